"""What people say of how near texts are: grades of pairs, and what a search among documents should find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray


@final
@dataclass(frozen=True)
class Judged:
    """Other texts by their id, and a grade of each: how near it is to this one, or how relevant to it."""

    others: tuple[tuple[str, float], ...]
    among: str = ""
    """Where a search should find them: among the texts of this domain, of which all others have grade 0; "": none."""


#: The gold of each row: an array of `Judged`, None where there is none.
Golds = NDArray[np.object_]


def here(row: int) -> str:
    """An id for the row at a place, where rows have none."""
    return f"#{row}"
