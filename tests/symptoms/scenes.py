"""Runs to be examined, and how a test that plants a fault is held to finding it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillroom import doctor, table
from stillroom.core import artifact
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.probabilities import softmax
from stillroom.metrics import Answers
from tests.conftest import LABELS

ROWS = {"train": 200, "dev": 80, "test": 160}
FILLERS = [f"{a}{b}" for a in ("ba", "co", "du", "fe", "gi", "lu", "mo", "ne") for b in "bcdfghklmnprstvz"]
TELLING = ([f"gut{one}" for one in "abcdefgh"], [f"bös{one}" for one in "abcdefgh"])
GREEK = ("αυτή", "ήταν", "μια", "πολύ", "ταινία", "καλή", "κακή", "χθες", "βράδυ", "όλοι", "είπαν", "τίποτα")


def symptoms(found: doctor.Examination) -> set[str]:
    """What was found, without what a finding before explains."""
    return {one.symptom for one in found.findings if one.follows_from is None}


#: The kinds that some test plants and finds.
PLANTED: set[str] = set()


def plants(*kinds: str) -> Callable[[Callable[..., doctor.Examination]], Callable[..., None]]:
    """Holds a test, which gives its examination, to finding what it says that it plants."""
    PLANTED.update(kinds)

    def held(test: Callable[..., doctor.Examination]) -> Callable[..., None]:
        @functools.wraps(test)
        def finds(**fixtures: Any) -> None:
            found = test(**fixtures)
            assert set(kinds) <= symptoms(found)
            assert all(one.told and one.cause and one.change for one in found.findings)

        return finds

    return held


class Pair:
    """A synthetic corpus with a teacher whose confidence is true: gold is drawn from what it says."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.logits, self.gold, self.texts = {}, {}, {}
        for role, count in ROWS.items():
            odds = rng.normal(0, 3, size=count)
            gold = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(np.int64)
            self.logits[role] = np.stack([-odds / 2, odds / 2], axis=1)
            self.gold[role] = gold
            self.texts[role] = [self.text(rng, one) for one in gold.tolist()]
        noise = rng.normal(0, 1.0, size=(3, ROWS["test"], 2))
        test = self.logits["test"]
        self.others = {"student": test + noise[0], "undistilled": 0.8 * test + noise[1], "baseline": noise[2]}
        self.taught, self.answer = {"train": "train"}, "logits"
        self.changes: dict[str, Any] = {}

    @staticmethod
    def text(rng: np.random.Generator, label: int) -> str:
        return " ".join([*rng.choice(FILLERS, 7), *rng.choice(TELLING[label], 2)])

    def write(self, work: Path) -> Path:
        """The artifacts of a run that was not trained here: corpus, teacher, transfer and evaluation."""
        ids = {role: [artifact.text_id(one) for one in texts] for role, texts in self.texts.items()}
        keys = {
            "corpus": made(work, "corpus", lambda draft: self._corpus(draft, ids)),
            "teacher": made(work, "teacher", lambda draft: draft.facts.update({"kind": "recorded"})),
            "transfer": made(work, "transfer", lambda draft: self._transfer(draft, ids)),
            "evaluate": made(work, "evaluation", lambda draft: self._evaluation(draft, ids)),
        }
        folder = work / "runs" / "pair"
        stages = {stage: {"key": one.key, "digest": one.digest} for stage, one in keys.items()}
        artifact.write_json(folder / "run.json", {"name": "pair", "stages": stages})
        artifact.write_json(folder / "recipe.resolved.json", plain("pair", "rows.csv", "said.jsonl", **self.changes))
        return folder

    def _corpus(self, draft: Draft, ids: Mapping[str, list[str]]) -> None:
        for role in ROWS:
            columns = {"id": ids[role], "text": self.texts[role], "label": self.gold[role]}
            pq.write_table(pa.table(columns), draft.folder / f"{role}.parquet")

    def _transfer(self, draft: Draft, ids: Mapping[str, list[str]]) -> None:
        draft.facts |= {"signals": {self.answer: {}}, "teacher": {"answers": self.answer}}
        for number, (role, part) in enumerate({**self.taught, "dev": "dev"}.items()):
            flat = pa.array(self.logits[role].astype(np.float16).ravel())
            columns = {"id": ids[role], "text": self.texts[role], "part": [part] * len(ids[role])}
            told = pa.table(
                {**columns, self.answer: pa.FixedSizeListArray.from_arrays(flat, self.logits[role].shape[1])}
            )
            pq.write_table(told, draft.folder / f"shard-{number}.parquet")

    def _evaluation(self, draft: Draft, ids: Mapping[str, list[str]]) -> None:
        above = {"value": 0.1, "low": 0.05, "high": 0.15, "n": ROWS["test"], "reason": ""}
        pairs = {
            f"student_minus_{other}": {"accuracy": above, "spearman": above} for other in ("undistilled", "baseline")
        }
        artifact.write_json(draft.folder / "evaluation.json", {"difference": pairs})
        if self.answer == "logits":
            self._table(draft, ids)

    def _table(self, draft: Draft, ids: Mapping[str, list[str]]) -> None:
        rows, count = ids["test"], ROWS["test"]
        said = {"teacher": self.logits["test"], **self.others}
        gold, teacher = self.gold["test"], softmax(said["teacher"].astype(np.float32))
        told = table.Table(
            tuple(rows),
            ("",) * count,
            np.zeros(count, dtype=np.bool_),
            {},
            {
                name: Answers(gold, softmax(one.astype(np.float32)), teacher, labels=LABELS)
                for name, one in said.items()
            },
            {},
        )
        table.write_table(told, draft.folder / "table.parquet")


def of_vectors(seed: int) -> Pair:
    """The same texts with a teacher that answers with vectors."""
    pair, rng = Pair(seed), np.random.default_rng(seed)
    pair.answer = "embedding"
    pair.logits = {role: one / np.linalg.norm(one, axis=1, keepdims=True)
                   for role, count in ROWS.items() for one in [rng.normal(size=(count, 24))]}  # fmt: skip
    pair.changes = {"task": {"kind": "embeddings", "dimensions": 24}, "student": {"kind": "static"},
                    "teacher": {"kind": "sentence_transformer", "model": "unused"}}  # fmt: skip
    return pair


def made(work: Path, stage: str, make: Callable[[Draft], None]) -> Artifact:
    return Store(work).obtain(stage, settings={}, inputs={}, make=make)


def plain(name: str, rows: str, said: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "task": {"kind": "classification", "labels": list(LABELS)},
        "corpus": {"kind": "table", "labelled": rows, "dev_share": 0.3, "test_share": 0.3},
        "teacher": {"kind": "recorded", "outputs": said},
        "student": {"kind": "bag", "features": {"bits": 12}, "learning_rate": 0.2, "epochs": 8, "dropout": 0.0},
        "evaluate": {"resamples": 200},
        "cost": {"texts": 16, "repeats": 3},
        **changes,
    }


def binomial_tail(hits: int, n: int, share: float) -> float:
    """The probability of so many hits or more among n."""
    from math import comb

    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(hits, n + 1))
