"""What teachers share that read texts chunk by chunk and correct them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillroom.core import edit_tags, edits, proofs, signals, spelling
from stillroom.core.edits import Chunk
from stillroom.core.errors import MismatchError, Problem
from stillroom.tasks import Task


def refuse_other_tags(task: Task, *, whose: str) -> None:
    """Refuse a task whose outputs are not the tags of a proofreader.

    Raises:
        MismatchError: they are not.
    """
    if task.outputs != edit_tags.TAGS:
        found = f"a {whose} teacher for the task {task.kind}"
        raise MismatchError(Problem("teacher", found, "the task proofreading", "Choose another teacher, or that task."))


def read(texts: Sequence[str]) -> tuple[list[list[Chunk]], NDArray[np.int32], NDArray[np.int64]]:
    """The chunks of each text; the characters of all, end to end, `[chunks, 2]`; how many each text has."""
    found = [edits.chunks(text) for text in texts]
    places = np.array([(one.start, one.end) for some in found for one in some], dtype=np.int32).reshape(-1, 2)
    return found, places, np.array([len(one) for one in found], dtype=np.int64)


def tagged(texts: Sequence[str], corrected: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The tag of each chunk of texts, by what was made of them; of what was changed otherwise nothing is told."""
    words = spelling.dictionary()
    _, places, counts = read(texts)
    marks = [proofs.reference(text, one, is_word=words.__contains__).marks
             for text, one in zip(texts, corrected, strict=True)]  # fmt: skip
    return {"label": proofs.on_words(marks, places, counts), signals.WORDS: places, signals.COUNTS: counts}
