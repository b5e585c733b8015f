"""Which rows a student is to heed more than others, since students before it forgot what their teacher said of them.

    runs/<name>/forgotten/   `forgotten.parquet`: `id` and `strength`, the share of it that students said otherwise

A run leaves such a folder (`forgotten.among_learned`), and the next recipe names it (`transfer.emphasise`). A row then
comes 1 + strength · `transfer.emphasis` times as often as one that is not in it, in epochs as long as before; the idea
is that of Liu et al., Just Train Twice (arXiv 2107.09044). Test rows are refused: fed back is what was learned from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom.core import artifact, recipe
from stillroom.core.errors import InputError, MismatchError, Problem

STAGE = "forgotten"
FILE = "forgotten.parquet"
FOLDER = "forgotten"
_KEY = "transfer.emphasise"
_NAME_IT = "Name the folder `forgotten` of a run on this corpus."


@final
@dataclass(frozen=True)
class Emphasis:
    """Rows by their id, each with how much of it was forgotten, and how much more often that makes it come."""

    where: str
    digest: str
    factor: float
    strengths: Mapping[str, float]

    @property
    def settings(self) -> dict[str, Any]:
        """What a fit hangs on."""
        return {"list": self.digest, "factor": self.factor}

    def of(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """How often each of these rows comes, beside one that is not emphasised."""
        return np.array([1.0 + self.factor * self.strengths.get(one, 0.0) for one in ids], dtype=np.float32)

    def among(self, ids: Iterable[str]) -> int:
        """How many of its rows are among these.

        Raises:
            MismatchError: none is.
        """
        found = sum(one in self.strengths for one in ids)
        if not found:
            rows = f"{len(self.strengths):,} rows, none of which is learned from here"
            raise MismatchError(Problem(f"{_KEY}: {self.where}", rows, "rows of this corpus", _NAME_IT))
        return found

    def refuse(self, held_out: Iterable[str]) -> None:
        """Refuse a list that names rows that something is judged on.

        Raises:
            MismatchError: it does.
        """
        found = sum(one.partition("-")[0] in self.strengths for one in held_out)
        if found:
            rows = f"{found:,} rows of the test"
            todo = "Take the list of a run with the same split: a test row that is fed back is no test."
            raise MismatchError(Problem(f"{_KEY}: {self.where}", rows, "rows to learn from alone", todo))


def read(settings: recipe.Transfer, *, own: Path) -> Emphasis | None:
    """The list that a recipe names; None where it names none. `own` is the folder of the run that asks.

    Raises:
        ArtifactError: nothing there, or a damaged folder.
        InputError: something else than such a list, an empty one, or the list that this very run is to write.
    """
    if not settings.emphasise:
        return None
    folder = Path(settings.emphasise)
    if folder.resolve() == (own / FOLDER).resolve():
        todo = "Give the recipe another `name`."
        raise InputError(Problem(f"{_KEY}: {folder}", "what this run writes itself", "what another run left", todo))
    found = artifact.load(folder)
    if found.manifest["stage"] != STAGE:
        what = f"an artifact of `{found.manifest['stage']}`"
        raise InputError(Problem(f"{_KEY}: {folder}", what, "a list of what was forgotten", _NAME_IT))
    table = pq.read_table(folder / FILE)
    if not table.num_rows:
        todo = f"Take `{_KEY}` out: those students said what their teacher did."
        raise InputError(Problem(f"{_KEY}: {folder}", "an empty list", "rows that were forgotten", todo))
    strengths = dict(zip(table["id"].to_pylist(), table["strength"].to_pylist(), strict=True))
    return Emphasis(str(folder), found.digest, settings.emphasis, strengths)
