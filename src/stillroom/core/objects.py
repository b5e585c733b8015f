"""Arrays of things that are no numbers: texts, tuples, what numpy would make a table of if it could."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array(items: Sequence[Any]) -> NDArray[np.object_]:
    """Things as an array with one axis."""
    found = np.empty(len(items), dtype=np.object_)
    found[:] = items
    return found
