"""What people read while work goes on and no terminal is there: lines at its start, every so often, and at its end."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from stillroom import console
from stillroom.core.progress import Meter


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("stillroom.console.bars.time", SimpleNamespace(monotonic=found.monotonic))
    return found


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The lines since this was last asked."""
    monkeypatch.setattr(console.talk, "width", 200)
    return lambda: capsys.readouterr().err.splitlines()


def test_long_work_is_told_of_with_rate_time_left_and_spend(clock: Clock, lines: Callable[[], list[str]]) -> None:
    with console.Bars() as bars:
        meter = Meter(bars, stage="transfer", total=40_000, unit="texts")
        assert lines() == ["transfer: 40,000 texts …"]
        clock.now += 10
        meter.advance(2_000, spend="0.20")
        assert lines() == [], "a line every 15 seconds, and no more"
        clock.now += 10
        meter.advance(2_000, spend="0.40")
        assert lines() == ["transfer: 4,000 of 40,000 texts, 200/s, 3:00 left, spend 0.40"]
        clock.now += 14
        meter.advance(1_000, spend="0.50")
        assert lines() == []
        clock.now += 6
        meter.advance(9_000, spend="1.40")
        assert lines() == ["transfer: 14,000 of 40,000 texts, 500/s, 0:52 left, spend 1.40"], "at the rate of late"
        clock.now += 5
        meter.advance(26_000, spend="4.00")
        assert lines() == ["transfer: 40,000 texts in 45.0 s, spend 4.00"]
    assert lines() == []


def test_a_total_that_comes_down_on_the_way_is_reached(clock: Clock, lines: Callable[[], list[str]]) -> None:
    with console.Bars() as bars:
        meter = Meter(bars, stage="transfer", total=100, unit="texts")
        clock.now += 20
        meter.spare(30)
        meter.advance(35)
        assert lines() == ["transfer: 100 texts …", "transfer: 35 of 70 texts, 1.8/s, 0:20 left"]
        meter.advance(35)
        assert lines() == ["transfer: 70 texts in 20.0 s"]


def test_work_without_a_total_ends_when_other_work_starts_or_all_does(
    clock: Clock, lines: Callable[[], list[str]]
) -> None:
    with console.Bars() as bars:
        meter = Meter(bars, stage="corpus", total=None, unit="rows")
        Meter(bars, stage="texts", total=1, unit="texts").advance()
        assert lines() == ["corpus: rows …", "texts: 1 texts …", "texts: 1 texts in 0.0 s"], (
            "what is inside ends nothing"
        )
        clock.now += 16
        meter.advance(320)
        assert lines() == ["corpus: 320 rows, 20/s"]
        clock.now += 60
        fit = Meter(bars, stage="student", total=1_000, unit="texts")
        assert lines() == ["corpus: 320 rows in 16.0 s", "student: 1,000 texts …"]
        clock.now += 2
        fit.advance(400, loss="0.123")
        fit.note("it stops early")
    assert lines() == ["student: it stops early", "student: 400 texts in 2.0 s, loss 0.123"]


def test_nothing_to_do_is_over_when_it_starts(lines: Callable[[], list[str]]) -> None:
    with console.Bars() as bars:
        Meter(bars, stage="transfer", total=0, unit="texts")
    assert lines() == ["transfer: texts …", "transfer: 0 texts in 0.0 s"]


def test_quiet_says_nothing(clock: Clock, lines: Callable[[], list[str]]) -> None:
    with console.Bars(quiet=True) as bars:
        meter = Meter(bars, stage="transfer", total=2, unit="texts")
        clock.now += 100
        meter.advance(1)
    assert lines() == []


def test_a_bar_follows_a_total_that_comes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = console.Bars()
    monkeypatch.setattr(console.talk, "_force_terminal", True)
    meter = Meter(bars, stage="transfer", total=100, unit="texts")
    meter.spare(40)
    meter.advance(60)
    (task,) = bars._progress.tasks
    assert (task.completed, task.total, task.finished) == (60, 60, True)


def test_work_that_has_nothing_done_yet_is_told_of_once(lines: Callable[[], list[str]]) -> None:
    with console.Bars() as bars:
        meter = Meter(bars, stage="corpus", total=None, unit="rows")
        for step in ("reading", "checking"):
            meter.advance(0, step=step)
    assert lines() == ["corpus: rows …"]
