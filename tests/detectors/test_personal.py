"""Personal data by its looks: cases by hand, and check digits against other ways to reckon them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom.detectors import _reading
from stillroom.detectors.personal import Personal, iban, luhn

look = Personal().open()


def found(text: str) -> list[tuple[str, str]]:
    return [(one.name, text[one.start : one.end]) for one in look(text).places]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to ann.lee+shop@mail.example.co.uk, please.", [("e-mail", "ann.lee+shop@mail.example.co.uk")]),
        ("<jörg@müller.example>", [("e-mail", "jörg@müller.example")]),
        ("Call +44 20 7946 0958 now", [("phone", "+44 20 7946 0958")]),
        ("(415) 555-2671, 415-555-2671 x12", [("phone", "(415) 555-2671"), ("phone", "415-555-2671 x12")]),
        ("Tel. 030 12345678 oder 0043 1 5880012", [("phone", "030 12345678"), ("phone", "0043 1 5880012")]),
        ("IBAN DE89 3704 0044 0532 0130 00 thanks", [("iban", "DE89 3704 0044 0532 0130 00")]),
        ("GB82WEST12345698765432", [("iban", "GB82WEST12345698765432")]),
        ("AB12 FR14 2004 1010 0505 0001 3M02 606", [("iban", "FR14 2004 1010 0505 0001 3M02 606")]),
        ("4111 1111 1111 1111, 378282246310005", [("card", "4111 1111 1111 1111"), ("card", "378282246310005")]),
        ("order 12 5500-0055-5555-5559 31", [("card", "5500-0055-5555-5559")]),
        ("from 203.0.113.9 and 2001:db8::8a2e:370:7334.", [("ip", "203.0.113.9"), ("ip", "2001:db8::8a2e:370:7334")]),
        ("SSN 078-05-1120", [("social security", "078-05-1120")]),
        ("NI AB 12 34 56 C", [("social security", "AB 12 34 56 C")]),
        ("NIR 2 55 08 14 168 025 38", [("social security", "2 55 08 14 168 025 38")]),
        ("at 650 2nd Street or 12 Old Mill Rd, N.Y.", [("street", "650 2nd Street"), ("street", "12 Old Mill Rd")]),
        ("Hauptstraße 12b; 5 bis rue de la Paix", [("street", "Hauptstraße 12b"), ("street", "5 bis rue de la Paix")]),
    ],
)  # fmt: skip
def test_what_is_personal_is_found_where_it_stands(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "On 2022-02-22 at 12:30:45, version 1.2.3, price 1,000,000.00 and 0.1234567890",
        "ISBN 978-3-16-148410-0, order 4711-0815, 1998-2003, 10.05.1999",
        "std::vector, a::b, C::, ab::cd, 12:30, @home and a@b",
        "card 4111 1111 1111 1112, IBAN DE89 3704 0044 0532 0130 01, host 127.0.0.1, 999.1.1.1",
        "SSN 000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567",
        "NIR 2 55 08 14 168 025 39",
        "We met 12 people and 3 of them drive.",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_only_what_is_asked_for_is_told() -> None:
    text = "a@example.org, 203.0.113.9"
    assert [one.name for one in Personal(find=("ip",)).open()(text).places] == ["ip"]


def checked(digits: str) -> str:
    """A number with its Luhn digit, reckoned by a table of what a doubled digit is worth."""
    worth = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    total = sum(worth[int(one)] if place % 2 == 0 else int(one) for place, one in enumerate(digits[::-1]))
    return digits + str(-total % 10)


@given(st.text(string.digits, min_size=8, max_size=18), st.data())
def test_luhn_takes_what_is_right_and_sees_every_single_slip(digits: str, data: st.DataObject) -> None:
    number = checked(digits)
    assert luhn(number)
    at = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([one for one in string.digits if one != number[at]]))
    assert not luhn(number[:at] + other + number[at + 1 :])


@given(st.text(string.digits, min_size=18, max_size=18), st.data())
def test_an_iban_has_its_remainder_and_every_single_slip_shows(account: str, data: st.DataObject) -> None:
    # The check digits by long division, a digit at a time (D is 13, E is 14).
    left = 0
    for one in f"{account}131400":
        left = (left * 10 + int(one)) % 97
    number = f"DE{98 - left:02}{account}"
    assert iban(number)
    assert found(f"to {number}.") == [("iban", number)]
    at = data.draw(st.integers(2, len(number) - 1))
    other = data.draw(st.sampled_from([one for one in string.digits if one != number[at]]))
    assert not iban(number[:at] + other + number[at + 1 :])


@given(
    st.lists(
        st.sampled_from(["a word", "ann@example.org", "+44 20 7946 0958", "4111 1111 1111 1111", "203.0.113.9"]),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_masked_holds_nothing_personal(parts: list[str]) -> None:
    text = "; ".join(parts)
    masked = _reading.whole(text).without(look(text).places).text
    assert masked.count("[") == sum(one != "a word" for one in parts)
    assert found(masked) == []
    assert masked.count("a word") == parts.count("a word")
