"""How far work is: bars on a terminal; elsewhere a line when it starts, every so often, and when it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import final

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stillroom.console.streams import talk
from stillroom.core.progress import Event

_REFRESH_SECONDS = 0.2
_LINE_SECONDS = 15.0  # between two lines about one piece of work, where there is no terminal


@final
@dataclass
class _Work:
    """A piece of work that is told of in lines: when it began and moved last, and how far it was when last told of."""

    began: float
    moved: float
    told: float
    told_done: int
    event: Event


@final
class Bars:
    """Progress bars on stderr; where that is no terminal, a line when work starts, every so often, and when it ends."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=28),
            TextColumn("{task.completed:,.0f}{task.fields[of]} {task.fields[unit]}"),
            TextColumn("[cyan]{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[facts]}"),
            console=talk,
            refresh_per_second=5,
        )
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._shown: dict[str, float] = {}
        self._lines: dict[str, _Work] = {}

    def __enter__(self) -> Bars:
        """Start drawing."""
        if not self._quiet and talk.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop drawing."""
        if not self._quiet and talk.is_terminal:
            self._progress.stop()
        for one in [name for name, work in self._lines.items() if work.event.done]:
            self._end(one)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._quiet:
            return
        if event.note:
            talk.print(f"[dim]{escape(event.stage)}:[/dim] {escape(event.note)}")
            return
        if talk.is_terminal:
            self._draw(event)
        else:
            self._tell(event)

    def _draw(self, event: Event) -> None:
        now = time.monotonic()
        over = event.total is not None and event.done >= event.total
        if event.done == 0 or event.stage not in self._tasks:
            self._began[event.stage] = (now, event.done)
            if event.stage in self._tasks:
                self._progress.remove_task(self._tasks.pop(event.stage))
            self._tasks[event.stage] = self._progress.add_task(
                event.stage, total=event.total, of="", unit=event.unit, rate="", facts=""
            )
        elif not over and now - self._shown.get(event.stage, 0.0) < _REFRESH_SECONDS:
            return
        self._shown[event.stage] = now
        self._progress.update(
            self._tasks[event.stage],
            completed=event.done,
            total=event.total,
            of=f"/{event.total:,}" if event.total else "",
            rate=self._rate(event, now),
            facts=" ".join(_facts(event)),
        )

    def _rate(self, event: Event, now: float) -> str:
        since, first = self._began[event.stage]
        elapsed = now - since
        return f"{(event.done - first) / elapsed:,.0f}/s" if elapsed > 0.5 else ""

    def _tell(self, event: Event) -> None:
        now = time.monotonic()
        known = self._lines.get(event.stage)
        if event.done == 0 and (known is None or known.event.done):
            # Whoever can't know when he is done is done when the next one starts.
            for one in [name for name, work in self._lines.items() if work.event.done]:
                self._end(one)
            total = f" {event.total:,}" if event.total else ""
            talk.print(f"{escape(event.stage)}:{total} {event.unit} …")
        work = self._lines.setdefault(event.stage, _Work(now, now, now, event.done, event))
        work.moved, work.event = now, event
        if event.total is not None and event.done >= event.total:
            self._end(event.stage)
        elif now - work.told >= _LINE_SECONDS:
            talk.print(escape(f"{event.stage}: {_so_far(work, now)}"))
            work.told, work.told_done = now, event.done

    def _end(self, stage: str) -> None:
        work = self._lines.pop(stage)
        took = f"{work.event.done:,} {work.event.unit} in {work.moved - work.began:.1f} s"
        talk.print(escape(", ".join((f"{stage}: {took}", *_facts(work.event)))))


def _facts(event: Event) -> list[str]:
    return [f"{name} {value}" for name, value in event.facts.items()]


def _so_far(work: _Work, now: float) -> str:
    """How far a piece of work is, how quick it was since that was last told, and how long it will take at this rate."""
    event, rate = work.event, (work.event.done - work.told_done) / (now - work.told)
    of = f" of {event.total:,}" if event.total else ""
    left = ""
    if event.total and rate > 0:
        minutes, seconds = divmod(round((event.total - event.done) / rate), 60)
        left = f"{minutes}:{seconds:02d} left"
    parts = (f"{event.done:,}{of} {event.unit}", f"{rate:,.{0 if rate >= 10 else 1}f}/s", left, *_facts(event))
    return ", ".join(one for one in parts if one)
