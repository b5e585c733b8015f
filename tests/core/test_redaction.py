"""What documents may show of a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stillroom.core.redaction import redacted, veiled


def test_addresses_numbers_and_capitals_are_put_out() -> None:
    text = "write to Jane at jane.doe@example.org or +49 30-1234, room b12, see www.example.org/jane @jane"
    told = redacted(text)
    assert told == "write to xxxx at xxxx.xxx@xxxxxxx.xxx or +xx xx-xxxx, room xxx, see xxx.xxxxxxx.xxx/xxxx @xxxx"
    assert veiled("It's 5!") == "xx'x x!"


@given(st.text())
def test_every_place_stays_and_nothing_personal_does(text: str) -> None:
    for told in (redacted(text), veiled(text)):
        assert len(told) == len(text)
        assert not any(one.isdigit() or one.isupper() for one in told)
    assert {one for one in veiled(text) if one.isalnum()} <= {"x"}
