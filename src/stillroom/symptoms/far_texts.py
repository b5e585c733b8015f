"""The texts that were learned from are not like those of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

from stillroom.core import two_samples
from stillroom.symptoms import ANY, Case, Finding, Quiet, Seen, Symptom, _chance

_TOLD_APART = 0.65


@final
class FarTexts(Symptom):
    """The texts that were learned from are not like those of the test: a classifier tells them apart.

    Logistic regression on hashed words and pieces of words, fitted on one half of both sides and tested on the other
    (a classifier two-sample test, Lopez-Paz and Oquab 1610.06545). Its hits are held against a coin.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer", "evaluate"})
    shapes: ClassVar[frozenset[str]] = ANY
    threshold: ClassVar[str] = (
        "right on more held-out texts than a coin, and on 65 % at least: templates, and the twins that the corpus took "
        "out of one side, let it tell a little"
    )
    false_alarms: ClassVar[str] = "exact binomial test on the held-out half; at most the doctor's level"

    kind: Literal["far_texts"] = "far_texts"

    def look(self, case: Case) -> Iterator[Seen]:
        """Taught texts on one side, test texts on the other, each part of what was learned from by itself.

        One part that is like the test is enough: what else was learned from does no harm by being different. So it is
        the nearest part that counts, and "all are far" has the largest of their p-values (an intersection–union test).
        """
        test = case.rows("test", ["id", "text"]).sort_by("id")["text"].to_pylist()[: two_samples.MOST]
        parts = [case.some(two_samples.MOST, part, columns=["text"])["text"].to_pylist() for part in case.parts]
        sizes = [min(len(part), len(test)) for part in parts]
        if max(sizes, default=0) < two_samples.FEWEST:
            yield self.unseen(f"{max(sizes, default=0)} texts on one side; {two_samples.FEWEST} are needed")
            return
        compared = [
            two_samples.told_apart(part[:size], test[:size], needed_by="doctor")
            for part, size in zip(parts, sizes, strict=True)
            if size >= two_samples.FEWEST
        ]
        hits, n = min(compared, key=lambda one: one[0] / one[1])
        p = max(_chance.at_least(*one, 0.5) for one in compared)
        if hits < _TOLD_APART * n:
            yield Quiet(p)
            return
        yield Finding(
            self.kind,
            "warning",
            f"A classifier tells test texts from those that were learned from on {hits / n:.1%} of {n:,} texts that it "
            "had not seen (a coin: 50 %).",
            "The transfer set is of another kind, language, length or time than the test.",
            "Add texts like those of the test to what the teacher is asked about (not the test texts themselves).",
            ("corpus.unlabelled", "corpus.train"),
            (
                case.fact("told apart", hits / n, "transfer", "shard-*.parquet: text"),
                case.fact("texts compared", n, "corpus", "test.parquet: text"),
            ),
            p,
        )
