"""A vector for each text: what means the same lies near, and what answers a question is found."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stillroom.core import judged, objects
from stillroom.core.artifact import text_id
from stillroom.core.judged import Judged
from stillroom.core.scripted import Scripted
from stillroom.tasks import Rows, Task, ToyRow

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.words import Words
    from stillroom.metrics._vectors import Embedded

_EXPECTED = "another text with a score, or what a search should find"
_NEAR = 10
_POOL = 2048  # each text is held against at most so many: work stays linear in the rows


@final
@dataclass(frozen=True)
class VectorPrediction:
    """The vector of a text, of length one: the cosine of two of them is their product."""

    vector: NDArray[np.float32]

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it."""
        return {"vector": [round(one, 6) for one in self.vector.tolist()]}

    def as_line(self) -> str:
        """Its first numbers, and how many there are."""
        first = " ".join(f"{one:.3f}" for one in self.vector[:4].tolist())
        return f"{first} … ({len(self.vector)} dimensions)"

    def annotated(self, text: str) -> str:
        """The same before the text, which it is about as a whole."""
        return f"{self.as_line()}\t{text}"


@final
class Embeddings(Task):
    """A vector for each text: what means the same lies near, and what answers a question is found.

    Nothing is learned from gold: it judges, in the test, and dev is judged by what the teacher says of it.
    """

    shape: ClassVar[str] = "vectors"
    signals: ClassVar[frozenset[str]] = frozenset({"embedding"})
    floor: ClassVar[str] = "lsa"
    judged_by: ClassVar[tuple[str, ...]] = ("spearman", "ndcg", "neighbours")
    learns_gold: ClassVar[bool] = False
    prediction: ClassVar[Mapping[str, Any]] = {
        "required": ["vector"],
        "properties": {"vector": {"type": "array", "items": {"type": "number"}}},
    }
    unsure: ClassVar[str] = "a vector names nothing that another could name otherwise, and does not say how sure it is"

    kind: Literal["embeddings"] = "embeddings"
    dimensions: int = Field(ge=2)
    """Of a vector: as many as the teacher's have, or fewer, those that its vectors vary in most."""
    prefixes: tuple[int, ...] = ()
    """How many first dimensions have to do without the others (Matryoshka), such as [64, 128]; none: only all."""

    @model_validator(mode="after")
    def _inside(self) -> Embeddings:
        if list(self.prefixes) != sorted({one for one in self.prefixes if 1 < one < self.dimensions}):
            raise ValueError(f"`prefixes` in rising order, each above 1 and below the {self.dimensions} `dimensions`")
        return self

    @property
    def lengths(self) -> tuple[int, ...]:
        """Those of its prefixes."""
        return self.prefixes

    @property
    def hub_task(self) -> str:
        """A vector a text."""
        return "feature-extraction"

    @property
    def outputs(self) -> tuple[str, ...]:
        """A number for each dimension."""
        return tuple(str(one) for one in range(self.dimensions))

    def gold_type(self) -> pa.DataType:
        """Ids of other texts with grades, and where they are searched."""
        import pyarrow as pa

        other = pa.struct([("id", pa.string()), ("grade", pa.float64())])
        return pa.struct([("among", pa.string()), ("others", pa.list_(other))])

    def code(self, label: Any, text: str = "") -> dict[str, Any] | None:
        """What is judged, or None where it can't be read as such."""
        found = _judged(label)
        if found is None:
            return None
        return {"among": found.among, "others": [{"id": one, "grade": grade} for one, grade in found.others]}

    def fault(self, label: Any, text: str) -> tuple[str, str, str] | None:
        """No pair with a score, or a grade that is no number, or a search that should find nothing."""
        found = _judged(label)
        if found is None:
            shown = str(label) if len(str(label)) <= 60 else f"{str(label)[:59]}…"
            return f"`{shown}`", _EXPECTED, 'Name the column of the other text: `other = "…"` under [corpus].'
        if isinstance(label, Mapping) and not str(label.get("other", "there")).strip():
            return "an empty text as the other one", "a text", "Fill the column, or leave the pair out."
        if not all(np.isfinite(grade) for _, grade in found.others):
            return "a score that is no number", "a number, the higher the nearer", "Correct the row."
        if found.among and not any(grade > 0 for _, grade in found.others):
            return "a search that should find nothing", "a document with a grade above 0", "Leave the query out."
        return None

    def gold(self, column: pa.ChunkedArray) -> NDArray[Any]:
        """`Judged`, None where a row has no gold."""
        return self.golds([None if row is None else _of(row) for row in column.to_pylist()])

    def golds(self, items: Sequence[Any]) -> NDArray[Any]:
        """The same from a list."""
        return objects.array([_of(one) if isinstance(one, Mapping) else one for one in items])

    def known(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Where something is judged."""
        return np.array([isinstance(one, Judged) for one in gold], dtype=np.bool_)

    def asked(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Rows where something is judged, where there are any: the others are what it is judged by."""
        known = self.known(gold)
        return known if known.any() else np.ones(len(gold), dtype=np.bool_)

    def beside(self, gold: NDArray[Any]) -> frozenset[str]:
        """The domains that are searched."""
        return frozenset(one.among for one in gold if isinstance(one, Judged) and one.among)

    def place(self, gold: NDArray[Any], words: Words | None) -> NDArray[np.int64]:
        """Nothing is learned from gold."""
        return np.full(len(gold), -1, dtype=np.int64)

    def named(self, said: Any) -> NDArray[Any]:
        """Pairs of each text with its nearest and with some others, graded by their cosine. Not of positions of gold.

        Each text is held against the first texts alone, so that the work is linear in their number.
        """
        vectors = np.asarray(said)
        if vectors.ndim != 2:
            return self.golds([None] * len(vectors))
        pool = vectors[:_POOL]
        near = min(_NEAR, len(pool) - 1)
        some = np.linspace(0, len(pool) - 1, _NEAR, dtype=np.int64)
        found: list[Judged] = []
        for start in range(0, len(vectors), 1024):
            cosines = vectors[start : start + 1024] @ pool.T
            for line, row in zip(cosines, range(start, len(vectors)), strict=False):
                line[row : row + 1] = -np.inf  # itself
                best = np.argpartition(-line, near)[:near] if near > 0 else np.zeros(0, np.int64)
                others = np.unique(
                    [*best.tolist(), *(one for one in ((some + row) % len(pool)).tolist() if one != row)]
                )
                found.append(Judged(tuple((judged.here(one), float(line[one])) for one in others.astype(int).tolist())))
        return self.golds(found)

    def same(self, one: Any, other: Any) -> NDArray[np.bool_]:
        """All: a vector names nothing that another could name otherwise."""
        return np.ones(len(one), dtype=np.bool_)

    def answered(
        self,
        gold: NDArray[Any],
        said: Any,
        teacher: Any,
        *,
        named: bool = False,
        rows: Rows | None = None,
        familiar: Collection[str] = frozenset(),
    ) -> Embedded:
        """The vectors of all rows, of which those are judged that have gold."""
        from stillroom.metrics._vectors import Embedded, Space

        count = len(gold)
        ids = rows.ids if rows else [judged.here(row) for row in range(count)]
        domains = rows.domains if rows else [""] * count
        known = np.flatnonzero(self.known(gold))
        its = np.asarray(said, dtype=np.float32)
        theirs = its if teacher is said else np.asarray(teacher, dtype=np.float32)
        texts = rows.texts if rows else ()
        space = Space(its, theirs, known, gold[known], ids, domains, texts)
        return Embedded(space, np.arange(len(known)), self.prefixes)

    def decode(self, said: Any, texts: Sequence[str] = ()) -> list[VectorPrediction]:
        """As they are."""
        return [VectorPrediction(one) for one in said]

    def in_browser(self) -> Scripted:
        """Vectors, and how near lines are to another."""
        return Scripted({"kind": self.kind})

    def objectives(self, said: frozenset[str] = frozenset({"embedding"})) -> tuple[Mapping[str, Any], ...]:
        """Each vector where the teacher's is, and among the others of a batch as near to each as the teacher's."""
        return ({"kind": "cosine", "prefixes": list(self.prefixes)}, {"kind": "similarity_kl", "weight": 0.3})

    def toy(self) -> Sequence[ToyRow]:
        """Sentences about a few things, each with another one about the same thing, or about another thing."""
        things = ("cats", "rain", "bread", "songs", "ships", "gold", "tigers", "snow")
        frames = ("{} were seen today", "they talked about {} again", "nobody had expected {}", "how we love {}")
        rows = []
        for place, (thing, frame) in enumerate(itertools.product(range(len(things)), range(len(frames)))):
            other = thing if place % 2 else (thing + 3) % len(things)
            its = frames[(frame + 1) % len(frames)].format(things[other])
            score = 1.0 if other == thing else 0.0
            rows.append(ToyRow(frames[frame].format(things[thing]), {"other": its, "score": score}))
        return rows


def _judged(label: Any) -> Judged | None:
    """What is judged, from what a source of rows gives: a pair, a search, or these as JSON; None: it is neither."""
    if isinstance(label, str):
        try:
            label = json.loads(label)
        except ValueError:
            return None
    if isinstance(label, Judged):
        return label
    if not isinstance(label, Mapping):
        return None
    try:
        if "other" in label:
            return Judged(((text_id(str(label["other"])), float(label["score"])),))
        found = tuple((str(one), float(grade)) for one, grade in label["relevant"].items())
        return Judged(found, str(label["among"])) if label["among"] else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _of(row: Mapping[str, Any]) -> Judged:
    return Judged(tuple((one["id"], one["grade"]) for one in row["others"]), row["among"])
