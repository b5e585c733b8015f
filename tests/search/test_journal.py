"""Decisions that stand, also behind a torn line."""

from __future__ import annotations

from pathlib import Path

from stillroom.search.journal import Journal


def test_a_journal_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    path, now = tmp_path / "journal.jsonl", [100.0]
    first = Journal(path, clock=lambda: now[0])
    now[0] += 5
    assert first.decide("one", lambda: {"go": True}) == {"go": True}
    with path.open("a") as file:
        file.write('{"at": 9, "wha')
    again = Journal(path, clock=lambda: now[0])
    now[0] += 2
    assert again.decide("one", lambda: {"go": False}) == {"go": True}
    assert again.decide("two", lambda: {"go": False}) == {"go": False}
    assert again.spent() == 7
    assert Journal(path, clock=lambda: 0.0).spent() == 7
