"""Shards of a transfer set: a run of texts with what the teacher said of them, written whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
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
from stillroom.shapes import Shape

_COUNTS = b"made"  # where a shard of made texts tells what became of them
_UNANSWERED = b"unanswered"  # where a shard tells how many texts were asked about and have no answer, by why
_TALLY = b"tally"  # where a shard tells how many parts of all its answers were of which sort


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


def answered(
    shard: Shard, said: Mapping[str, NDArray[Any]], *, form: Shape, objections: NDArray[np.object_] | None = None
) -> tuple[Shard, dict[str, NDArray[Any]], dict[str, int]]:
    """What is left of a shard without the texts that have no answer, or one that is objected to; how many, by why."""
    why = said.get(signals.UNANSWERED)
    if objections is not None:
        why = objections if why is None else np.where(why == "", objections, why)
    told = {name: one for name, one in said.items() if name not in signals.BESIDE}
    if why is None or not (why != "").any():
        return shard, told, {}
    keep = why == ""
    made = shard.made and replace(shard.made, rows=np.asarray(shard.made.rows)[keep].tolist())
    counts = Counter(str(one) for one in why[~keep])
    return replace(_only(shard, keep), made=made), _rows(told, keep, form), dict(sorted(counts.items()))


def tally(said: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """How many parts of the answers to all of a shard's texts were of which sort."""
    total: Counter[str] = Counter()
    for one in said.get(signals.TALLY, ()):
        total.update(one)
    return dict(total)


def sift(
    shard: Shard, said: Mapping[str, NDArray[Any]], *, made: augment.Made, sources: NDArray[np.int64], form: Shape
) -> tuple[Shard, dict[str, NDArray[Any]], dict[str, Any]]:
    """What is left of a shard of made texts now that the teacher spoke of them; and the count by `sources`."""
    keep, counts = made.keep(said["logits"] if "logits" in said else said["label"], sources=sources)
    return _only(shard, keep), _rows(said, keep, form), counts


def _only(shard: Shard, keep: NDArray[np.bool_]) -> Shard:
    left = np.flatnonzero(keep).tolist()
    return replace(shard, ids=[shard.ids[place] for place in left], texts=[shard.texts[place] for place in left])


def _rows(said: Mapping[str, NDArray[Any]], keep: NDArray[np.bool_], form: Shape) -> dict[str, NDArray[Any]]:
    kept = form.keep(said, keep)
    for name, one in said.items():
        if name in kept:
            continue
        axes = signals.token_axes(name)
        kept[name] = one[np.repeat(keep, said[signals.TOKENS] ** axes) if axes else keep]
    return kept


def write(
    folder: Path,
    shard: Shard,
    said: Mapping[str, NDArray[Any]],
    *,
    form: Shape,
    counts: Mapping[str, Any] | None = None,
    unanswered: Mapping[str, int] | None = None,
    tally: Mapping[str, int] | None = None,
) -> None:
    """Write what was said of a shard; of made texts, also how many became what; and how many have no answer.

    `tally` is of the parts of all answers, also of those that are left out.

    Raises:
        InputError: the teacher said something that is not finite in half precision.
    """
    path = shard.path(folder)
    further = {name: one for name, one in said.items() if name not in form.answering}
    if further:  # first: it is the table that says that a shard is whole
        _write_further(path.with_suffix(".safetensors"), shard, further)
    columns = {
        "id": pa.array(shard.ids, type=pa.string()),
        "text": pa.array(shard.texts, type=pa.string()),
        "part": pa.array([shard.part] * len(shard.ids), type=pa.string()).dictionary_encode(),
    }
    answers = {name: one for name, one in said.items() if name in form.answering}
    answers = form.kept(answers)
    if form.answer in answers:
        _refuse_not_finite(shard, form.finite(form.heard(answers)))
    table = pa.table(columns | form.columns(answers))
    told = {_COUNTS: counts, _UNANSWERED: unanswered or None, _TALLY: tally or None}
    if found := {name: artifact.canonical(one) for name, one in told.items() if one is not None}:
        table = table.replace_schema_metadata(found)
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


def _refuse_not_finite(shard: Shard, finite: NDArray[np.bool_]) -> None:
    """Nothing can be learned from what is no number, and one such row would spoil every weight of a student.

    Raises:
        InputError: the teacher said something that is not finite in half precision.
    """
    odd = [shard.ids[row] for row in np.flatnonzero(~finite).tolist()]
    if odd:
        found = f"outputs that are not finite in half precision for {len(odd)} texts (ids {', '.join(odd[:5])} …)"
        todo = "Look at the teacher: its weights, or what was recorded of it."
        raise InputError(Problem(f"teacher, {shard.name}", found, "numbers between -65504 and 65504", todo))


@final
@dataclass(frozen=True)
class Written:
    """What the shards of a folder come to."""

    texts: int
    made: Sequence[Mapping[str, Any]]
    """Of each shard of made texts, what became of them."""
    unanswered: Mapping[str, int]
    """How many texts have no answer, by why."""
    tally: Mapping[str, int]
    """How many parts of answers were of which sort."""


def written(folder: Path) -> Written:
    """What the shards of a folder come to, from what each tells of itself."""
    found = [pq.read_metadata(path) for path in sorted(folder.glob("shard-*.parquet"))]
    told = [one.metadata or {} for one in found]
    made = [json.loads(one[_COUNTS]) for one in told if _COUNTS in one]
    sums: dict[bytes, Counter[str]] = {_UNANSWERED: Counter(), _TALLY: Counter()}
    for one in told:
        for name, total in sums.items():
            total.update(json.loads(one.get(name, b"{}")))
    unanswered, parts = (dict(sorted(total.items())) for total in sums.values())
    return Written(sum(one.num_rows for one in found), made, unanswered, parts)
