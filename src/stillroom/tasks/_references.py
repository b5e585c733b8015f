"""Gold that is a text, or several that are all right: how a source of rows may give it."""

from __future__ import annotations

import json
from typing import Any


def read(label: Any) -> list[str] | None:
    """The texts: one, several, or these as JSON; None where there is none, or one that says nothing."""
    if isinstance(label, str) and label.startswith("["):
        try:
            label = json.loads(label)
        except ValueError:
            label = [label]
    found = [label] if isinstance(label, str) else label
    if not isinstance(found, list | tuple) or not found:
        return None
    return list(found) if all(isinstance(one, str) and one.strip() for one in found) else None


def fault(label: Any, *, expected: str, todo: str) -> tuple[str, str, str] | None:
    """What was found in place of texts, what was expected, what to do; None: they are texts."""
    if read(label) is not None:
        return None
    return f"`{label if len(str(label)) <= 60 else f'{str(label)[:59]}…'}`", expected, todo
