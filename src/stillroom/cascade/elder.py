"""The teacher of a finished run, to be asked now: where a server's student is not sure enough."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from stillroom import runtime, teach
from stillroom.core import artifact, recipe
from stillroom.core.artifact import Store
from stillroom.core.errors import InputError, Occupied, Problem
from stillroom.teachers import Desk

_RECIPE = "recipe.resolved.json"
_TOKENS = 2048  # padded, that are read at once
_PATIENCE_SECONDS = 60.0  # whoever keeps a ledger keeps it alone, for as long as an answer takes
_NEVER = -1e4  # a logit that leaves a label no probability at all


@final
class Elder:
    """A run's teacher. It is loaded when it is first asked, and may then need more than a student does."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError or ArtifactError where the folder holds no run with a teacher."""
        told = json.loads((folder / runtime.RUN).read_text(encoding="utf-8")).get("stages", {})
        if "teacher" not in told:
            why, todo = "a run without a teacher", "Run its recipe to the end."
            raise InputError(Problem(str(folder), why, "one that has one", todo))
        resolved = json.loads((folder / _RECIPE).read_text(encoding="utf-8"))
        loaded = recipe.parse(resolved, where=str(folder / _RECIPE))
        store = Store(folder.resolve().parent.parent)
        found = artifact.load(store.root / "teacher" / told["teacher"]["key"])
        self._task = loaded.task
        self._lock = threading.Lock()
        self._teacher = teach.Opened(loaded.teacher, found, task=loaded.task, desk=Desk(store.books))

    def ask(self, texts: Sequence[str]) -> list[Any]:
        """Its prediction for each text; None where it has none. Who asks meanwhile, here or elsewhere, waits.

        Raises:
            Occupied: another process has asked it for very long.
        """
        with self._lock:
            said = self._said(texts)
        missing = said.get("unanswered")
        known = np.ones(len(texts), dtype=np.bool_) if missing is None else ~np.asarray(missing, dtype=np.bool_)
        form = self._task.form
        told = form.heard(said if known.all() else form.keep(said, known))
        if self._teacher.identify().answers == "label":  # no more than a name: it is all of its opinion
            named = form.values(told)[:, None]
            wide = np.where(np.arange(len(self._task.outputs)) == named, 0.0, _NEVER)
            told = form.with_values(told, wide.astype(np.float32))
        answered = [text for text, one in zip(texts, known.tolist(), strict=True) if one]
        found = iter(self._task.decode(told, answered))
        return [next(found) if one else None for one in known.tolist()]

    def _said(self, texts: Sequence[str]) -> Any:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._teacher.ask(texts, precision=self._teacher.precisions[0], tokens_per_batch=_TOKENS)[0]
            except Occupied:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
