"""What was forgotten is fed back: it helps where something rare is, asks nobody anew, and no test row is in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from stillroom import corpus as corpora
from stillroom import emphasis, fitness, forgotten, pipeline, timetable, train
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import ArtifactError, InputError, MismatchError
from stillroom.emphasis import Emphasis
from stillroom.export import in_torch
from stillroom.students import Student
from stillroom.transfer_set import TransferSet

LABELS = ("negative", "positive", "mixed")
_RARE = LABELS.index("mixed")
_WORDS = {"negative": ("dull", "awful", "weak"), "positive": ("fine", "great", "warm")}


def rows(seed: int, *, usual: int, rare: int) -> list[tuple[str, str]]:
    """Texts with a word of praise or of blame among others, and a few with both, which are a label of their own."""
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < usual + rare:
        label = "mixed" if len(found) < rare else str(rng.choice(LABELS[:2]))
        words = [f"word{one}" for one in rng.integers(0, 6, 3)]
        words += [str(rng.choice(some)) for name, some in _WORDS.items() if label in (name, "mixed")]
        found[" ".join(map(str, rng.permutation(words)))] = label
    return sorted(found.items())


@dataclass(frozen=True)
class Scene:
    """A corpus in which a label is rare, and a teacher that knows it."""

    recipe: recipe.Recipe
    work: Path
    said: TransferSet
    corpus: corpora.Corpus
    studied: Artifact
    texts: list[str]
    gold: NDArray[np.int64]

    def fit(self, seed: int, heeded: Emphasis | None = None) -> Artifact:
        said = self.said.emphasised(heeded, held_out=[self.corpus.test.ids()])
        return train.fit(self.recipe.student, task=self.recipe.task, corpus=self.corpus.learnable, said=said,
                         objectives=fitness.objectives(self.recipe), settings=self.recipe.train,
                         studied=self.studied, seed=seed, store=Store(self.work))  # fmt: skip

    def forgot(self, *fits: Artifact) -> Artifact:
        found = forgotten.among_learned(fits, student=self.recipe.student, said=self.said, task=self.recipe.task,
                                        store=Store(self.work))  # fmt: skip
        assert found is not None
        return found

    def heed(self, lost: Artifact, factor: float = 4.0) -> Emphasis:
        settings = recipe.Transfer(emphasise=str(lost.folder), emphasis=factor)
        found = emphasis.read(settings, own=self.work / "runs" / "another")
        assert found is not None
        return found

    def recall(self, fitted: Artifact) -> tuple[float, float]:
        """Of the rare label, and of the others, on rows that nobody learned from."""
        network = self.recipe.student.reopen(fitted.folder, task=self.recipe.task)
        right = in_torch(network, self.texts, task=self.recipe.task)[0].argmax(axis=1) == self.gold
        rare = self.gold == _RARE
        return float(right[rare].mean()), float(right[~rare].mean())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("rare")
    parts = {
        "train": rows(1, usual=560, rare=40),
        "dev": rows(2, usual=100, rare=8),
        "test": rows(3, usual=60, rare=60),
    }
    paths, lines = {}, []
    for name, some in parts.items():
        paths[name] = str(folder / f"{name}.jsonl")
        told = [json.dumps({"text": text, "label": label}) for text, label in some]
        Path(paths[name]).write_text("\n".join(told), encoding="utf-8")
        lines += [json.dumps({"text": text, "probabilities": {one: 0.94 if one == label else 0.03 for one in LABELS}})
                  for text, label in some]  # fmt: skip
    (folder / "said.jsonl").write_text("\n".join(lines), encoding="utf-8")
    student = {"kind": "bag", "features": {"kind": "ngrams", "bits": 12}, "epochs": 3, "batch_size": 16,
               "learning_rate": 3e-2}  # fmt: skip
    built = recipe.parse({
        "name": "rare", "task": {"kind": "classification", "labels": list(LABELS)}, "student": student,
        "corpus": {"kind": "table", "near_twins": "keep", **paths},
        "teacher": {"kind": "recorded", "outputs": str(folder / "said.jsonl")},
    })  # fmt: skip
    run = pipeline.run(built, work=folder / "work", until="train")
    store = Store(folder / "work")
    studied = next(one for one in (store.root / "studied").iterdir() if not one.name.startswith("."))
    loaded = corpora.load(built.corpus, task=built.task, store=store)
    test = loaded.test.table(["text", "label"])
    return Scene(built, store.root, TransferSet(run.artifacts["transfer"]), loaded, artifact.load(studied),
                 test["text"].to_pylist(), test["label"].to_numpy())  # fmt: skip


def test_what_was_forgotten_is_remembered_once_it_is_emphasised(scene: Scene) -> None:
    """In the mean of seeds, on rows that nobody learned from; and what was known before is not given up for it."""
    before, after = [], []
    for seed in range(3):
        plain = scene.fit(seed)
        before.append(scene.recall(plain))
        after.append(scene.recall(scene.fit(seed, scene.heed(scene.forgot(plain)))))
    (rare, usual), (rare_then, usual_then) = np.mean(before, axis=0), np.mean(after, axis=0)
    assert rare < 0.2
    assert rare_then > rare + 0.4
    assert usual_then > usual - 0.1


def test_what_is_listed_is_what_was_learned_and_said_otherwise(scene: Scene) -> None:
    fits = [scene.fit(seed) for seed in range(3)]
    lost = scene.forgot(*fits)
    table = pq.read_table(lost.folder / emphasis.FILE).to_pydict()
    assert table["strength"] == sorted(table["strength"], reverse=True)
    assert set(np.round(np.multiply(table["strength"], 3))) <= {1, 2, 3}
    held = {*scene.corpus.test.ids(), *scene.corpus.dev.ids()}
    assert not held & set(table["id"])
    train_rows = scene.corpus.train.table(["id", "text", "label"])
    texts, gold = train_rows["text"].to_pylist(), train_rows["label"].to_numpy()
    networks = [scene.recipe.student.reopen(one.folder, task=scene.recipe.task) for one in fits]
    said = [in_torch(one, texts, task=scene.recipe.task)[0].argmax(axis=1) for one in networks]
    wrong = np.mean([one != gold for one in said], axis=0)  # here the teacher is right on every row
    expected = {
        one: pytest.approx(share) for one, share in zip(train_rows["id"].to_pylist(), wrong, strict=True) if share
    }
    assert dict(zip(table["id"], table["strength"], strict=True)) == expected
    assert lost.manifest["facts"] == {"seeds": 3, "rows": len(gold), "listed": len(expected),
                                      "most": int((wrong >= 0.5).sum())}  # fmt: skip


def test_a_student_that_is_its_teacher_lists_nothing_and_nothing_is_not_fed_back(scene: Scene) -> None:
    student: Student = plugins.build("students", {**scene.recipe.student.resolved(), "epochs": 30, "dropout": 0.0})
    fitted = train.fit(student, task=scene.recipe.task, corpus=scene.corpus.learnable, said=scene.said,
                       objectives=fitness.objectives(scene.recipe), settings=recipe.Train(patience=30),
                       studied=scene.studied, seed=1, store=Store(scene.work))  # fmt: skip
    lost = scene.forgot(fitted)
    assert lost.manifest["facts"]["listed"] == 0
    with pytest.raises(InputError, match="an empty list"):
        scene.heed(lost)


def test_only_the_student_is_another_by_it(scene: Scene) -> None:
    """The key of a fit hangs on the list and on the factor; the transfer set's on neither."""
    plain = scene.fit(0)
    lost = scene.forgot(plain)
    heeded = [scene.fit(0, scene.heed(lost, factor)) for factor in (4.0, 2.0)]
    assert len({plain.key, *(one.key for one in heeded)}) == 3
    assert heeded[0].manifest["inputs"] == plain.manifest["inputs"]
    assert heeded[0].manifest["settings"]["emphasis"] == {"list": lost.digest, "factor": 4.0}
    assert heeded[0].manifest["facts"]["emphasised"] == {"rows": lost.manifest["facts"]["listed"], "not_here": 0}
    asked = recipe.parse({**scene.recipe.resolved(), "name": "next", "transfer": {"emphasise": str(lost.folder)}})
    run = pipeline.run(asked, work=scene.work, until="train")
    assert run.artifacts["transfer"].key == scene.said.artifact.key
    assert run.stages["transfer"]["reused"]


def test_rows_come_as_often_as_they_are_emphasised_in_epochs_as_long_as_before(scene: Scene) -> None:
    heeded = scene.heed(scene.forgot(scene.fit(0)))
    said = scene.said.emphasised(heeded, held_out=())
    student = scene.recipe.student
    _, examples, dev = train.begin(student, scene.studied, scene.corpus.learnable, said,
                                   fitness.objectives(scene.recipe), task=scene.recipe.task, seed=0)  # fmt: skip
    shown = examples.shown
    assert shown is not None
    assert dev.shown is None
    assert shown.mean() == pytest.approx(1.0)
    ratio = shown / shown.min()
    assert sorted(set(np.round(ratio, 3).tolist())) == [1.0, 5.0]
    plan = train.plan(student, recipe.Train(epochs=60), task=scene.recipe.task, seed=0, taught=True)
    table = timetable.Timetable(plan, examples, ())
    epochs = [np.concatenate(table.order(epoch)) for epoch in range(60)]
    assert {len(one) for one in epochs} == {len(examples.ids)}
    counts = np.array([np.bincount(one, minlength=len(shown)) for one in epochs])
    assert (counts >= np.floor(shown)).all()
    assert (counts <= np.ceil(shown)).all()
    assert counts.mean(axis=0) == pytest.approx(shown, abs=0.3)


class TestRefused:
    """Each names the key, what was found and what to do."""

    def test_a_folder_that_is_not_there_or_was_tampered_with(self, scene: Scene, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="no such folder"):
            emphasis.read(recipe.Transfer(emphasise=str(tmp_path / "nowhere")), own=tmp_path)
        folder = Path(shutil.copytree(scene.forgot(scene.fit(0)).folder, tmp_path / "list"))
        table = pq.read_table(folder / emphasis.FILE)
        pq.write_table(table.slice(1), folder / emphasis.FILE)
        with pytest.raises(ArtifactError, match="SHA-256"):
            emphasis.read(recipe.Transfer(emphasise=str(folder)), own=tmp_path)

    def test_another_artifact(self, scene: Scene, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="artifact of `student`"):
            emphasis.read(recipe.Transfer(emphasise=str(scene.fit(0).folder)), own=tmp_path)

    def test_the_list_that_the_run_itself_is_to_write(self, scene: Scene, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="another `name`"):
            emphasis.read(recipe.Transfer(emphasise=str(tmp_path / "x" / ".." / "forgotten")), own=tmp_path)

    def test_rows_of_another_corpus(self, scene: Scene) -> None:
        strangers = Emphasis("elsewhere", "0" * 64, 4.0, {artifact.text_id(f"text {one}"): 1.0 for one in range(9)})
        with pytest.raises(MismatchError, match="9 rows, none of which is learned from here"):
            scene.said.emphasised(strangers, held_out=())

    def test_rows_of_the_test(self, scene: Scene) -> None:
        strengths = dict.fromkeys([*list(scene.corpus.test.ids())[:2], *list(scene.corpus.train.ids())[:3]], 1.0)
        planted = Emphasis("elsewhere", "0" * 64, 4.0, strengths)
        with pytest.raises(MismatchError, match="2 rows of the test"):
            scene.said.emphasised(planted, held_out=[scene.corpus.test.ids()])

    def test_some_strangers_are_counted_and_let_be(self, scene: Scene) -> None:
        strengths = dict.fromkeys([*list(scene.corpus.train.ids())[:3], artifact.text_id("a stranger")], 1.0)
        some = Emphasis("elsewhere", "0" * 64, 4.0, strengths)
        found: dict[str, Any] = dict(scene.fit(0, some).manifest["facts"]["emphasised"])
        assert found == {"rows": 3, "not_here": 1}
