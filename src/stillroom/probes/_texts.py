"""Texts that a file of the user's brings, and how probable each side finds them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stillroom.core import artifact
from stillroom.core.errors import InputError, Problem
from stillroom.intervals import not_measurable
from stillroom.metrics import Floats
from stillroom.probes import SIDES, Heard, Sitting
from stillroom.table import STUDENT
from stillroom.tasks import Task

FIGURES = (*SIDES, "growth")
UNSAID = "it does not say how probable a text is"


def digest(path: str, *, needed_by: str) -> str:
    """The SHA-256 of a file.

    Raises:
        InputError: it is not there.
    """
    if not Path(path).is_file():
        todo = "Get it from its authors, and give its path."
        raise InputError(Problem(f"audit.probes, `{needed_by}`", f"no file `{path}`", "one that can be read", todo))
    return artifact.file_sha256(Path(path))


def written(path: str) -> str:
    """What a file holds, one that is packed (`.gz`) too."""
    packed = Path(path).read_bytes()
    return (gzip.decompress(packed) if path.endswith(".gz") else packed).decode("utf-8")


def unfit(task: Task, *, where: str) -> list[Problem]:
    """Why a task's answers don't tell how probable a text is."""
    if task.form.extends:
        return []
    return [Problem(where, f"a probe of whole texts for {task.kind}", "a task of text that goes on", "Take it out.")]


def bits(sitting: Sitting, heard: Heard, side: str, texts: Sequence[str]) -> Floats | None:
    """How many bits a side would take for each text; NaN of one that it did not read to its end; None: it can't say."""
    task, known = sitting.task, heard.known(side, texts)
    found = np.full(len(texts), np.nan)
    some = [text for text, there in zip(texts, known.tolist(), strict=True) if there]
    said = heard.of(side, some)
    told = task.answered(task.golds([None] * len(some)), said, said).surprise
    if told is None:
        return None
    nats, reached = told
    sizes = np.array([len(text.rstrip().encode()) for text in some], dtype=np.float64)
    found[known] = np.where(reached >= sizes, nats / np.log(2), np.nan)
    return found


def filled(found: Mapping[str, Any], count: int, why: str, heard: Heard) -> dict[str, Any]:
    """What was found, and of the rest why it was not; the teacher's own reason goes before."""
    rest = {name: why if name == STUDENT else heard.unasked or why for name in FIGURES if name not in found}
    return {**{name: not_measurable(count, one).as_dict() for name, one in rest.items()}, **found}
