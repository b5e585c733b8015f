"""What a search decided and how long it had been at it: a line a decision, appended, read again by a rerun.

Decisions that rest on the clock can't be derived from artifacts. A rerun takes those that stand here as they are, and
goes on from the last one with the time that was left then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from stillroom.core.errors import translating_full_disk

Clock = Callable[[], float]


@final
class Journal:
    """The decisions of one search, by name."""

    def __init__(self, path: Path, *, clock: Clock, began: float | None = None) -> None:
        self._path, self._clock = path, clock
        self._began = clock() if began is None else began
        self._told: dict[str, dict[str, Any]] = {}
        self._before = 0.0
        for line in _whole_lines(path):
            self._told[line["what"]] = line["told"]
            self._before = line["at"]

    def spent(self) -> float:
        """Seconds of search so far, those of earlier runs included."""
        return self._before + self._clock() - self._began

    def known(self, what: str) -> dict[str, Any] | None:
        """What was decided, if it was."""
        return self._told.get(what)

    def decide(self, what: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was decided before, or what is decided now and from now on stands."""
        if what not in self._told:
            told = make()
            line = json.dumps({"at": round(self.spent(), 3), "what": what, "told": told}, ensure_ascii=False)
            with translating_full_disk(self._path.parent):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
                    file.flush()
                    os.fsync(file.fileno())
            self._told[what] = json.loads(line)["told"]
        return self._told[what]


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines that were written to their end; what a killed process left of its last one is cut off."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.decode("utf-8").splitlines()]
