"""Shards of a transfer set: a run of texts with what the teacher said of them, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import augment
from stillroom.core import artifact, signals
from stillroom.core.errors import InputError, Problem

_COUNTS = b"made"  # where a shard of made texts tells what became of them


@final
@dataclass(frozen=True)
class Shard:
    """Texts to be asked about, in the order of the corpus."""

    name: str
    part: str
    ids: Sequence[str]
    texts: Sequence[str]
    made: augment.Made | None = None
    """Where its texts were made of rows: of which, and by what."""
    of: str = ""
    """The shard of those rows."""
    most: int = 0
    """How many texts it could have had, as far as the rows told."""

    def path(self, folder: Path) -> Path:
        """Its table in a folder: once it is there, the shard is whole."""
        return folder / f"{self.name}.parquet"


def sift(
    shard: Shard, said: Mapping[str, NDArray[Any]], *, made: augment.Made, of_rows: NDArray[Any]
) -> tuple[Shard, dict[str, NDArray[Any]], dict[str, Any]]:
    """What is left of a shard of made texts now that the teacher has spoken of them; and the count."""
    keep, counts = made.keep(said["logits"] if "logits" in said else said["label"], of_rows=of_rows)
    kept = {}
    for name, one in said.items():
        axes = signals.token_axes(name)
        kept[name] = one[np.repeat(keep, said[signals.TOKENS] ** axes) if axes else keep]
    left = np.flatnonzero(keep).tolist()
    ids, texts = [shard.ids[place] for place in left], [shard.texts[place] for place in left]
    return replace(shard, ids=ids, texts=texts), kept, counts


def write(
    folder: Path, shard: Shard, said: Mapping[str, NDArray[Any]], *, counts: Mapping[str, Any] | None = None
) -> None:
    """Write what was said of a shard; of made texts, also how many became what.

    Raises:
        InputError: the teacher said something that is not finite in half precision.
    """
    path = shard.path(folder)
    further = {name: one for name, one in said.items() if name not in signals.ANSWERS}
    if further:  # first: it is the table that says that a shard is whole
        _write_further(path.with_suffix(".safetensors"), shard, further)
    columns = {
        "id": pa.array(shard.ids, type=pa.string()),
        "text": pa.array(shard.texts, type=pa.string()),
        "part": pa.array([shard.part] * len(shard.ids), type=pa.string()).dictionary_encode(),
    }
    if "logits" in said:
        with np.errstate(over="ignore"):
            half = said["logits"].astype(np.float16)
        _refuse_not_finite(shard, half)
        flat = pa.array(half.reshape(-1), type=pa.float16())
        columns["logits"] = pa.FixedSizeListArray.from_arrays(flat, half.shape[1])
    else:
        columns["label"] = pa.array(said["label"], type=pa.int32())
    table = pa.table(columns)
    if counts is not None:
        table = table.replace_schema_metadata({_COUNTS: artifact.canonical(counts)})
    draft = path.with_name(f".{path.name}.draft")
    pq.write_table(table, draft, compression="zstd")
    draft.rename(path)


def _write_further(path: Path, shard: Shard, said: Mapping[str, NDArray[Any]]) -> None:
    from safetensors.numpy import save_file

    for name, one in said.items():
        if not np.isfinite(one).all():
            found = f"`{name}` that is not finite in half precision"
            todo = "Look at the teacher's weights, or ask for another signal."
            raise InputError(Problem(f"teacher, {shard.name}", found, "numbers between -65504 and 65504", todo))
    draft = path.with_name(f".{path.name}.draft")
    save_file({name: np.ascontiguousarray(one) for name, one in said.items()}, draft)
    draft.rename(path)


def _refuse_not_finite(shard: Shard, logits: NDArray[np.float16]) -> None:
    """Nothing can be learned from what is no number, and one such row would spoil every weight of a student.

    Raises:
        InputError: the teacher said something that is not finite in half precision.
    """
    odd = [shard.ids[row] for row in np.flatnonzero(~np.isfinite(logits).all(axis=1)).tolist()]
    if odd:
        found = f"outputs that are not finite in half precision for {len(odd)} texts (ids {', '.join(odd[:5])} …)"
        todo = "Look at the teacher: its weights, or what was recorded of it."
        raise InputError(Problem(f"teacher, {shard.name}", found, "logits between -65504 and 65504", todo))


def written(folder: Path) -> tuple[int, list[dict[str, Any]]]:
    """How many texts stand in the shards of a folder; and, of each shard of made texts, what became of them."""
    found = [pq.read_metadata(path) for path in sorted(folder.glob("shard-*.parquet"))]
    counts = [json.loads(one.metadata[_COUNTS]) for one in found if _COUNTS in (one.metadata or {})]
    return sum(one.num_rows for one in found), counts
