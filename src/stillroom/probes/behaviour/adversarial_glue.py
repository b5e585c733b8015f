"""The SST-2 part of Adversarial GLUE's dev set (Wang et al. 2111.02840): one JSON object, a list a task.

Its other tasks ask about two texts at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stillroom.core.errors import Problem

_PART, _LABELS = "sst2", ("negative", "positive")


def cases(text: str, file: str) -> Iterator[tuple[str, Any]]:
    """Each sentence with its label: a minimum of one test."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield file, Problem(file, f"no JSON ({error})", "one object, a list a task", "Copy the file again.")
        return
    rows = found.get(_PART) if isinstance(found, dict) else None
    if not isinstance(rows, list):
        todo = "Copy the file again, or correct `form`."
        yield file, Problem(file, f"no list `{_PART}`", "sentences with labels under that name", todo)
        return
    for number, row in enumerate(rows):
        where = f"{file}, {_PART}[{number}]"
        label = row.get("label") if isinstance(row, dict) else None
        if type(label) is not int or not 0 <= label < len(_LABELS):
            yield where, Problem(where, f"the label `{str(label)[:40]}`", "0 or 1", "Correct the row.")
            continue
        yield where, {"test": "SST-2", "capability": "Adversarial", "type": "minimum", "case": row.get("idx"),
                      "texts": [row.get("sentence")], "labels": _LABELS[label]}  # fmt: skip
