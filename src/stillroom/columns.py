"""What the user's own columns say of rows, as far as rows can be told apart by it: words of a few kinds, or numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from stillroom.metrics import Floats

#: A column of words with more values than this names rows rather than kinds of rows.
MOST_VALUES = 50
#: Numbers with no more values than this are told apart one by one, those with more by fifths.
_MOST_NUMBERS = 10


def amounts(values: Sequence[str]) -> Floats | None:
    """A column of numbers, NaN where a row has none; None where it is words, or has so few values that each is one."""
    try:
        found = np.array([float(one) if one and "_" not in one else math.nan for one in values])
    except ValueError:
        return None
    given = [one for one in values if one]
    numbers = np.isfinite(found).sum() == len(given)
    return found if numbers and len(np.unique(found[~np.isnan(found)])) > _MOST_NUMBERS else None


def unfit(values: Collection[str]) -> str:
    """Why a column of words makes no slices, where it has too many of them."""
    kinds = len(set(values) - {""})
    if kinds <= MOST_VALUES:
        return ""
    rows = sum(bool(one) for one in values)
    return (
        f"{kinds} values in {rows} rows, and not all are numbers: {MOST_VALUES} at most are slices. Give the corpus a "
        "column that puts them into groups"
    )


def of_test(columns: Mapping[str, Sequence[str]], test: Sequence[int]) -> dict[str, list[str]]:
    """What the columns say of the test rows, in the order of their names."""
    return {name: [values[row] for row in test] for name, values in sorted(columns.items())}
