"""The sentiment suite of CheckList (Ribeiro et al. 2005.04118) as JSON lines: its words for what ours are.

Its lines have `MFT`, `INV` and `DIR` as types and 0, 1, 2 as labels. What it expects where it states no label is code,
and in no file: that is said here, a test at a time, as the suite describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillroom.core.errors import Problem, nearest

_TYPES = {"MFT": "minimum", "INV": "invariance", "DIR": "direction"}
_LABELS = ("negative", "neutral", "positive")
_NOT_NEGATIVE = {"any_of": ["neutral", "positive"]}
_EXPECTED: Mapping[str, Mapping[str, Any]] = {
    "simple negations: not negative": {"labels": _NOT_NEGATIVE},
    "simple negations: I thought x was negative, but it was not (should be neutral or positive)": {
        "labels": _NOT_NEGATIVE
    },
    "Hard: Negation of negative with neutral stuff in the middle (should be positive or neutral)": {
        "labels": _NOT_NEGATIVE
    },
    "intensifiers": {"sense": "at_least", "unless": ["neutral"]},
    "reducers": {"sense": "at_most", "unless": ["neutral"]},
    "add positive phrases": {"label": "positive", "sense": "at_least"},
    "add negative phrases": {"label": "positive", "sense": "at_most"},
    '"used to" should reduce': {"sense": "at_most"},
}


def case(value: Any, *, where: str) -> dict[str, Any] | Problem:
    """A line of it as one of ours."""
    if not isinstance(value, dict) or value.get("type") not in _TYPES:
        found = f"`{str(value.get('type') if isinstance(value, dict) else value)[:40]}`"
        return Problem(where, found, f"a case of {', '.join(_TYPES)}", "Correct the line, or `form`.")
    kind, test, stated = _TYPES[value["type"]], value.get("test"), value.get("labels")
    own = {name: one for name, one in value.items() if name != "labels"} | {"type": kind}
    if stated is not None:
        named = stated if isinstance(stated, list) else [stated]
        if kind != "minimum" or not all(type(one) is int and 0 <= one < len(_LABELS) for one in named):
            found, expected = f"the labels `{str(stated)[:40]}`", "0, 1 or 2 of an MFT, null of all others"
            return Problem(where, found, expected, "Correct the line.")
        names = [_LABELS[one] for one in named]
        return own | {"labels": names if isinstance(stated, list) else names[0]}
    if kind == "invariance":
        return own
    if (unstated := _EXPECTED.get(str(test))) is None:
        todo = f'{nearest(str(test), _EXPECTED)} Write its cases with what is expected, with `form = "cases"`.'
        return Problem(where, f"`{test}`, of which the file does not say what is expected", "a known test", todo)
    return {**own, **unstated}
