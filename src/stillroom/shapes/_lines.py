"""What a teacher said of the tokens of texts that it wrote (`core.scored`), as columns of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stillroom.core.errors import MismatchError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.students import Ids

LINES = "token_logprobs"
_IDS, _TOKENS = "token_ids", "tokens"


def columns(lines: Sequence[Sequence[NDArray[np.float32]]]) -> dict[str, pa.Array]:
    """A list a row of the lines of all its texts' tokens, numbers apart from ids, and of how many tokens each has."""
    import pyarrow as pa

    flat = [one for some in lines for one in some]
    values = np.concatenate(flat) if flat else np.zeros((0, 5), dtype=np.float32)
    kept = (values.shape[1] - 3) // 2
    counts = [sum(len(one) for one in some) for some in lines]
    starts = pa.array(np.concatenate([[0], np.cumsum(counts)]), type=pa.int32())
    found = {_TOKENS: pa.array([[len(one) for one in some] for some in lines], type=pa.list_(pa.int32()))}
    for name, table in (
        (LINES, values[:, : kept + 2].astype(np.float16)),
        (_IDS, values[:, kept + 2 :].astype(np.int32)),
    ):
        inside = pa.FixedSizeListArray.from_arrays(pa.array(table.reshape(-1)), table.shape[1])
        found[name] = pa.ListArray.from_arrays(starts, inside)
    return found


def read(shard: pa.Table) -> list[NDArray[np.float32]]:
    """What `columns` wrote, a text that is learned from after the other."""
    tables = []
    for name in (LINES, _IDS):
        flat = shard[name].combine_chunks().flatten()
        numbers = flat.flatten().to_numpy(zero_copy_only=False)
        tables.append(numbers.reshape(-1, flat.type.list_size).astype(np.float32))
    values = np.concatenate(tables, axis=1)
    ends = np.cumsum([0, *shard[_TOKENS].combine_chunks().flatten().to_pylist()])
    return [values[start:end] for start, end in pairwise(ends.tolist())]


def refuse_other_tokens(targets: Sequence[Ids], lines: Sequence[NDArray[np.float32]]) -> None:
    """What a teacher said of its tokens says nothing of others.

    Raises:
        MismatchError: others are to be written, or fewer of them.
    """
    same = [len(own) == len(its) for own, its in zip(targets, lines, strict=True)]
    # A target's ids stand behind the vocabulary: all by as much.
    apart = {int(one) for own, its in zip(targets, lines, strict=True) if len(own) == len(its)
             for one in own - its[:, (its.shape[1] + 1) // 2].astype(np.int64)}  # fmt: skip
    if not all(same) or len(apart) > 1:
        found = f"other tokens than its teacher's, or fewer of them, in {same.count(False) or 'some'} texts"
        todo = 'Set `student.vocabulary` to "teacher", and `student.longest` to as many tokens as are written.'
        raise MismatchError(Problem("student", found, "a student that writes its teacher's tokens", todo))
