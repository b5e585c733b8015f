"""A dictionary: what is not in it is misspelt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np

from stillroom.core import edit_tags, edits, spelling
from stillroom.core.tagging import Tagged
from stillroom.floors import Floor

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.tasks import Task

_HARDLY = 1e-6


@final
class Dictionary(Floor):
    """Every small-lettered word that the dictionary does not have is marked as misspelt, and nothing else.

    What is put there is the word that fits best, as for every student that marks a word so.
    """

    name: ClassVar[str] = "a dictionary"
    needs_gold: ClassVar[bool] = False

    kind: Literal["dictionary"] = "dictionary"

    def say(self, train: pa.Table, texts: Sequence[str], *, task: Task, seed: int) -> Tagged:
        """Log-probabilities of the tags of each chunk: certain ones."""
        words = spelling.dictionary()
        found = [edits.chunks(text) for text in texts]
        wrong = [one.text not in words and one.text.islower() for some in found for one in some]
        shares = np.full((len(wrong), len(edit_tags.TAGS)), _HARDLY)
        tags = np.where(wrong, edit_tags.TAGS.index(edit_tags.SPELL), 0).astype(np.int64)
        shares[np.arange(len(wrong)), tags] = 1.0
        places = np.array([(one.start, one.end) for some in found for one in some], dtype=np.int32).reshape(-1, 2)
        counts = np.array([len(some) for some in found], dtype=np.int64)
        return Tagged(np.log(shares).astype(np.float32), places, counts)
