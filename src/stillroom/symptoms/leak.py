"""Texts of the test or of dev were learned from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import ClassVar, Literal, final

import numpy as np
import pyarrow as pa

from stillroom.symptoms import ANY, Case, Fact, Finding, Seen, Symptom, _chance

_SHARE = 0.01
_FEWEST = 3
_COMPARED = 50_000  # taught texts that are searched for near twins


@final
class Leak(Symptom):
    """Texts of test or dev were learned from, word for word or nearly.

    Equal texts by id, over the training rows and all that the teacher was asked about; near twins (Jaccard index of
    five-character pieces of 0.8 or more) among 50,000 of the texts that it was asked about, drawn by id. Whether the
    student is better on the leaked rows is told beside it, where rows are right or wrong.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer"})
    shapes: ClassVar[frozenset[str]] = ANY
    threshold: ClassVar[str] = (
        "one equal text; near twins of one row in a hundred and of three at least (the corpus takes them out, and its "
        "search misses two in a thousand)"
    )
    false_alarms: ClassVar[str] = "equal texts: none; near twins: texts of one template can be alike by nature"

    kind: Literal["leak"] = "leak"

    def look(self, case: Case) -> Iterator[Seen]:
        """Test where it was evaluated, and dev."""
        others = case.some(_COMPARED, columns=["text"])["text"].to_pylist()
        for role in ("test", "dev"):
            if role == "test" and "evaluate" not in case.artifacts:
                yield self.unseen("test: it was not evaluated, so it is not read")
                continue
            yield from self._of(case, role, others)

    def _of(self, case: Case, role: str, others: Sequence[str]) -> Iterator[Seen]:
        held = case.rows(role, ["id", "text"])
        ids, texts = held["id"].to_pylist(), held["text"].to_pylist()
        taught = _met(case, {one.partition("-")[0] for one in ids})
        equal = [place for place, one in enumerate(ids) if one.partition("-")[0] in taught]
        if equal:
            yield self._finding(case, role, "error", equal, ids, "equal texts")
        near = sorted(set(case.twins(texts, others)) - set(equal))
        if len(near) >= max(_FEWEST, _SHARE * len(ids)):
            yield self._finding(case, role, "warning", near, ids, "near twins")

    def _finding(
        self,
        case: Case,
        role: str,
        severity: Literal["error", "warning"],
        places: Sequence[int],
        ids: Sequence[str],
        what: str,
    ) -> Finding:
        better, facts = self._better(case, [ids[place] for place in places]) if role == "test" else ("", ())
        return Finding(
            self.kind,
            severity,
            f"{len(places):,} of {len(ids):,} {role} rows have {what} among what the student learned from.{better}",
            f"Rows of {role} got into the texts that the teacher was asked about"
            f"{', or the rows come from templates' if what == 'near twins' else ''}: scores on them measure memory.",
            f"Take them out of the training texts: let the corpus make the splits, or correct the files of {role} and "
            "of `unlabelled`.",
            ("corpus.test", "corpus.unlabelled", "corpus.train"),
            (
                case.fact(f"{role} rows with {what}", len(places), "transfer", "shard-*.parquet: id, text"),
                case.fact(f"{role} rows", len(ids), "corpus", f"{role}.parquet: id"),
                *facts,
            ),
        )

    def _better(self, case: Case, leaked: Sequence[str]) -> tuple[str, tuple[Fact, ...]]:
        """How the student does on leaked rows and on the others."""
        if not case.names_labels:
            return "", ()
        judged = case.judged
        inside = np.isin(np.array(judged.ids), np.array(leaked))
        right = judged.right("student")
        if not inside.any() or inside.all():
            return "", ()
        shares = float(right[inside].mean()), float(right[~inside].mean())
        p = _chance.larger_share(int(right[inside].sum()), int(inside.sum()),
                                 int(right[~inside].sum()), int((~inside).sum()))  # fmt: skip
        told = f" The student is right on {shares[0]:.1%} of these and on {shares[1]:.1%} of the others (p = {p:.2g})."
        field = "table.parquet: probabilities.student"
        return told, (
            case.fact("student right on these", shares[0], "evaluate", field),
            case.fact("student right on the others", shares[1], "evaluate", field),
        )


def _met(case: Case, held: Collection[str]) -> set[str]:
    """Which of some ids are those of texts that were learned from."""
    wanted = pa.array(held, pa.string())
    found: set[str] = set()
    for ids in chain([case.rows("train", ["id"])["id"]], (shard["id"] for shard in case.told(columns=()))):
        found.update(ids.filter(pa.compute.is_in(ids, wanted)).to_pylist())
    return found
