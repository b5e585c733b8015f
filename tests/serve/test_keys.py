"""Keys come and go without a restart; only hashes are kept; what can't be read is told without being repeated."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stillroom.core.errors import InputError
from stillroom.serve import keys
from stillroom.serve.keys import Ring


def _ring(file: Path, *lines: str) -> Ring:
    file.write_text("\n".join(lines), encoding="utf-8")
    return Ring(file, environment={})


def test_a_key_is_good_for_what_it_was_made_for(tmp_path: Path) -> None:
    asks, key = keys.make("anna")
    sees, other = keys.make("grafana", scopes=["metrics"])
    ring = _ring(tmp_path / "keys", "# ours", key.line(), "", other.line())
    assert ring.locked
    assert (found := ring.who(asks, scope="predict")) is not None
    assert found.name == "anna"
    assert ring.who(asks, scope="metrics") is None
    assert ring.who(sees, scope="metrics") is not None
    for wrong in (None, "", asks[:-1], asks + "x", asks.swapcase(), key.digest.hex()):
        assert ring.who(wrong, scope="predict") is None


def test_no_key_stands_in_its_file(tmp_path: Path) -> None:
    secret, key = keys.make("anna")
    assert secret not in key.line()
    assert keys.read(key.line(), where="here") == (key,)


def test_a_key_ends_on_its_day() -> None:
    secret, key = keys.make("anna", days=0)
    today = datetime.now(UTC).date()
    assert key.until == today
    gone = key.line().replace(today.isoformat(), (today - timedelta(days=1)).isoformat())
    assert Ring(None, environment={keys.VARIABLE: key.line()}).who(secret, scope="predict") is not None
    assert Ring(None, environment={keys.VARIABLE: gone}).who(secret, scope="predict") is None


def test_keys_change_while_it_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", 0.0)
    old, was = keys.make("old")
    new, will = keys.make("new")
    file = tmp_path / "keys"
    ring = _ring(file, was.line())
    file.write_text(was.line() + "\n" + will.line(), encoding="utf-8")
    os.utime(file, (1, 1))
    assert ring.who(old, scope="predict") is not None
    assert ring.who(new, scope="predict") is not None
    file.write_text(will.line(), encoding="utf-8")
    os.utime(file, (2, 2))
    assert ring.who(old, scope="predict") is None
    file.write_text("half a li", encoding="utf-8")
    os.utime(file, (3, 3))
    assert ring.who(new, scope="predict") is not None  # what can't be read changes nothing


def test_all_wrong_lines_are_told_at_once_and_none_is_repeated() -> None:
    secret = "srk_" + "pasted" * 7
    with pytest.raises(InputError) as told:
        keys.read(f"anna predict {secret}\nben all sha256:{'0' * 64}\ncy predict sha256:00", where="keys")
    assert [problem.where for problem in told.value.problems] == ["keys, line 1", "keys, line 2", "keys, line 3"]
    assert secret not in str(told.value)


@pytest.mark.parametrize(("name", "scopes"), [("", ["predict"]), ("a b", ["predict"]), ("a", ["all"]), ("a", [])])
def test_no_key_is_made_that_could_not_be_read(name: str, scopes: list[str]) -> None:
    with pytest.raises(InputError):
        keys.make(name, scopes=scopes)


def test_a_file_without_a_key_locks_nobody_out_in_silence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no key"):
        _ring(tmp_path / "keys", "# none yet")
    with pytest.raises(InputError, match="no file of keys"):
        Ring(tmp_path / "nowhere", environment={})


def test_without_keys_nobody_needs_one() -> None:
    assert not Ring(None, environment={}).locked
