"""The one loop: dev chooses, test is refused, and a run that was broken off ends where it would have ended."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, fitness, teach, train, transfer, transfer_set
from stillroom.augmentations.masking import Masking
from stillroom.core import plugins, recipe
from stillroom.core.artifact import Store
from stillroom.core.errors import InputError, MismatchError
from stillroom.core.progress import Event
from stillroom.corpora.table import Table
from stillroom.objectives import Objective
from stillroom.teachers._fitting import Examples
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import sentences, write_csv
from tests.train.scenes import HEARD, MIXTURE, SMALL, TASK, Ground, inside, logged, made


def test_test_rows_are_refused(ground: Ground, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="test"):
        corpus.refuse_test(ground.rows.test)
    with pytest.raises(TypeError, match="test rows"):
        ground.fit(made("bag"), Store(tmp_path), said=ground.held)
    assert not list(tmp_path.glob("student/*/manifest.json"))


def test_what_was_studied_of_another_teacher_is_refused(
    ground: Ground, classifier_folder: Path, tmp_path: Path
) -> None:
    """Its tokens have other numbers: a student that begins with them would read what the teacher never said."""
    folder = Path(shutil.copytree(classifier_folder, tmp_path / "other"))
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    pieces = tokenizer["model"]["vocab"]
    pieces["fine"], pieces["dull"] = pieces["dull"], pieces["fine"]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    store = Store(tmp_path / "work")
    teacher = store.obtain("teacher", settings={"other": True}, inputs={}, make=lambda draft: None)
    foreign = teach.study(made("static"), Checkpoint(folder, name="other", task=TASK), teacher=teacher, store=store)
    chosen: dict[str, Any] = {"task": TASK, "corpus": ground.rows.learnable, "said": ground.said, "seed": 3,
                              "objectives": MIXTURE, "settings": recipe.Train(), "store": store}  # fmt: skip
    own = teach.study(made("bag"), ground.loaded, teacher=ground.teacher, store=ground.store)
    with pytest.raises(MismatchError, match="reads with tokenizer"):
        train.fit(made("static"), studied=foreign, **chosen)
    with pytest.raises(MismatchError, match="reads with tokenizer"):
        train.fit(made("bag"), studied=own, peer=(made("static"), foreign), **chosen)
    assert not (tmp_path / "work" / "student").exists()


def test_a_start_is_studied_anew_for_another_teacher_only_where_that_answers_with_vectors(
    ground: Ground, encoder_folder: Path, tmp_path: Path
) -> None:
    store, student = (
        Store(tmp_path / "work"),
        plugins.build("students", {"kind": "static", "start": str(encoder_folder)}),
    )
    teachers = [
        store.obtain("teacher", settings={"n": n}, inputs={}, make=lambda draft, n=n: draft.facts.update(n=n))  # type: ignore[misc]
        for n in (1, 2)
    ]

    def keys(answer: str) -> set[str]:
        return {teach.study(student, ground.loaded, teacher=one, store=store, answer=answer).key for one in teachers}

    assert len(keys("logits")) == 1
    assert len(keys("embedding")) == 2
    assert not keys("logits") & keys("embedding")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind != "bag" else kind for kind in sorted(SMALL)]
)
def test_broken_off_in_an_epoch_and_gone_on_with(ground: Ground, tmp_path: Path, kind: str) -> None:
    calm = ground.fit(made(kind), Store(tmp_path / "calm"))
    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        seen += event.stage == "student" and event.done > 0
        if seen == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ground.fit(made(kind), Store(tmp_path / "broken"), report=interrupt)
    assert list((tmp_path / "broken").glob("student/.draft-*/fit/checkpoint/state.json"))
    again = ground.fit(made(kind), Store(tmp_path / "broken"))
    assert again.digest == calm.digest
    assert logged(again) == logged(calm)


@pytest.mark.slow
def test_broken_off_under_rounding_and_gone_on_with(ground: Ground, tmp_path: Path) -> None:
    """At the first rounded epoch it takes up its best weights: once, not again when it goes on in the middle of it."""
    settings = recipe.Train(checkpoint_seconds=0.0, quantization_aware=0.5)
    calm = ground.fit(made("transformer"), Store(tmp_path / "calm"), settings=settings)
    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        seen += event.stage == "student" and event.done > 0
        if seen == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ground.fit(made("transformer"), Store(tmp_path / "broken"), report=interrupt, settings=settings)
    again = ground.fit(made("transformer"), Store(tmp_path / "broken"), settings=settings)
    assert again.digest == calm.digest
    assert [bool(line.get("rounded")) for line in logged(again)] == [False, True]


def test_the_best_epoch_on_dev_is_what_is_kept(ground: Ground, tmp_path: Path) -> None:
    """At this rate the student gets worse again: the last epoch must not be what is saved."""
    gold = tuple(plugins.build("objectives", one) for one in ("hard_label",))
    student = made("static", epochs=8, learning_rate=0.5)
    found = ground.fit(student, Store(tmp_path), said=None, objectives=gold, settings=recipe.Train(patience=8))
    scores = [line["dev"]["accuracy"] for line in logged(found)]
    network = student.reopen(found.folder, task=TASK)
    dev = ground.rows.dev.table(["text", "label"])
    from stillroom.export import in_torch

    logits, _ = in_torch(network, dev["text"].to_pylist(), task=TASK)
    accuracy = float(np.mean(logits.argmax(axis=1) == dev["label"].to_numpy()))
    assert accuracy == pytest.approx(max(scores), abs=0.02)


@pytest.mark.slow
def test_it_stops_when_dev_gets_no_better(ground: Ground, tmp_path: Path) -> None:
    student = made("bag", epochs=50, learning_rate=1e-8)
    found = ground.fit(student, Store(tmp_path), settings=recipe.Train(patience=2))
    assert len(logged(found)) < 50


def needs(kind: str) -> frozenset[str]:
    found = plugins.member("objectives", kind)
    assert issubclass(found, Objective)
    return found.needs


@pytest.mark.parametrize("kind", [kind for kind in plugins.names("objectives") if needs(kind) <= HEARD])
def test_every_term_moves_the_student_alone(ground: Ground, tmp_path: Path, kind: str) -> None:
    alone = (plugins.build("objectives", kind),)
    found = ground.fit(made("bag", epochs=2), Store(tmp_path), objectives=alone)
    losses = [line["terms"][kind] for line in logged(found)]
    assert losses[1] < losses[0]


def test_each_term_is_told_and_they_sum_to_the_loss(ground: Ground, tmp_path: Path) -> None:
    for line in logged(ground.fit(made("bag"), Store(tmp_path))):
        assert set(line["terms"]) == {"forward_kl", "hard_label"}
        assert line["loss"] == pytest.approx(sum(line["terms"].values()))


def test_the_log_tells_where_it_began_and_how_hard_each_term_pulled(ground: Ground, tmp_path: Path) -> None:
    found = ground.fit(made("bag"), Store(tmp_path))
    first, *others = logged(found)
    gold = ground.rows.dev.table(["label"])["label"].to_numpy()
    # A bag begins with all weights zero, and so with the first label for every text.
    assert first["before"]["accuracy"] == pytest.approx((gold == 0).mean())
    assert first["before"]["loss"] > first["dev"]["loss"]
    assert all("before" not in line for line in others)
    for line in (first, *others):
        assert set(line["gradients"]) == set(line["terms"])
        assert all(one > 0 for one in line["gradients"].values())


def test_dev_without_gold_is_judged_by_the_teacher() -> None:
    metric = plugins.build("metrics", "accuracy")
    teacher = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]], dtype=np.float32)
    said = np.log([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    ids = [np.array([1], dtype=np.int32)] * 3
    without = Examples(ids, np.array([-1, -1, -1]), teacher)
    assert without.score(metric, said, task=TASK) == (pytest.approx(2 / 3), 3)
    one_gold = Examples(ids, np.array([1, -1, -1]), teacher)
    assert one_gold.score(metric, said, task=TASK) == (0.0, 1)


def test_nothing_to_learn_from_is_an_error(ground: Ground, tmp_path: Path) -> None:
    unlabelled = write_csv(tmp_path / "un.csv", [(text, "") for text, _ in sentences()[:50]])
    dev, test = (
        write_csv(tmp_path / f"{name}.csv", sentences()[at : at + 30]) for name, at in (("dev", 100), ("test", 200))
    )
    source = Table(unlabelled=str(unlabelled), dev=str(dev), test=str(test))
    rows = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
    with pytest.raises(InputError, match="no row that says what is right"):
        ground.fit(made("bag"), Store(tmp_path / "work"), said=None, corpus=rows.learnable)
    twin = train.undistilled(
        made("bag"),
        task=TASK,
        corpus=rows.learnable,
        settings=recipe.Train(),
        studied=ground.teacher,
        seed=1,
        store=ground.store,
    )
    assert twin is None


@pytest.fixture
def today(ground: Ground, tmp_path: Path) -> corpus.Corpus:
    """Rows in which nobody says `dull`, and none but those of dev `today`."""
    rows = [(text, label) for text, label in sentences() if not {"dull", "today"} & set(text.split())]
    files = {"train": rows[::4], "test": rows[2::20], "dev": [(f"{text} today", one) for text, one in rows[1::20]]}
    paths = {name: str(write_csv(tmp_path / f"{name}.csv", some)) for name, some in files.items()}
    return corpus.load(Table(**paths), task=TASK, store=ground.store)


def told(ground: Ground, rows: corpus.Corpus, *rules: Any) -> transfer_set.TransferSet:
    """What the teacher said of them, hidden states too, and of texts that are made."""
    settings = recipe.Transfer(precision="fp32", augment=rules)
    parts = (rows.train, rows.dev)
    return transfer.collect(ground.loaded, teacher=ground.teacher, parts=parts, task=TASK, settings=settings, seed=1,
                            store=ground.store, held_out=(rows.test,),
                            wanted=frozenset({"logits", "hidden.1", "hidden.3"}))  # fmt: skip


def test_a_twin_begins_as_its_student_does(ground: Ground, today: corpus.Corpus, tmp_path: Path) -> None:
    """Both have seen what dev says, where the student has: a piece that one keeps the other keeps too."""
    student = made("transformer", vocabulary="corpus", epochs=1)
    said, studied = told(ground, today), teach.study(student, ground.loaded, teacher=ground.teacher, store=ground.store)
    chosen = {"task": TASK, "corpus": today.learnable, "settings": recipe.Train(), "studied": studied, "seed": 1}
    fitted = train.fit(student, said=said, objectives=MIXTURE, store=Store(tmp_path), **chosen)
    twin = train.undistilled(student, begun_with=said, store=Store(tmp_path), **chosen)
    assert twin is not None
    assert twin.manifest["facts"]["parameters"] == fitted.manifest["facts"]["parameters"]
    pieces = [(one.folder / "tokenizer.json").read_text(encoding="utf-8") for one in (fitted, twin)]
    assert pieces[0] == pieces[1]
    assert '"today"' in pieces[0]


def test_a_student_of_few_tokens_has_seen_the_texts_that_are_made(ground: Ground, today: corpus.Corpus) -> None:
    student, mixture = made("transformer", vocabulary="corpus"), (inside("hidden"),)
    said = told(ground, today, Masking(token="dull", share=0.5))  # noqa: S106  a token of text, not of access
    studied = teach.study(student, ground.loaded, teacher=ground.teacher, store=ground.store)
    _, rows, _ = train.begin(student, studied, today.learnable, said, mixture, task=TASK, seed=1)
    assert len(rows.ids) > today.train.count


def test_a_student_that_reads_other_tokens_is_told_by_which_setting(ground: Ground, tmp_path: Path) -> None:
    mixture = (inside("hidden"),)
    student = made("transformer", vocabulary="corpus", min_count=100)
    with pytest.raises(MismatchError, match="min_count"):
        ground.fit(student, Store(tmp_path), said=ground.inside(student, mixture), objectives=mixture)


def test_a_recipe_whose_student_is_to_read_other_tokens_is_refused_before_anything_is_asked(
    toy: dict[str, Any],
) -> None:
    toy["student"] = {"kind": "transformer", "vocabulary": "corpus", "min_count": 100}
    toy["export"] = {"formats": ["onnx"]}
    toy["objective"] = [{"kind": "forward_kl"}, {"kind": "hidden"}]
    with pytest.raises(MismatchError, match=r"objective\[1\]") as caught:
        fitness.check(recipe.parse(toy))
    assert len(caught.value.problems) == 1
    assert {"student.vocabulary", "student.min_count"} <= set(re.findall(r"student\.\w+", str(caught.value)))
    for change in ({"min_count": 1}, {"vocabulary": "teacher"}):
        fitness.check(recipe.parse({**toy, "student": {**toy["student"], **change}}))
    toy["objective"][1] = {"kind": "cosine"}
    fitness.check(recipe.parse(toy))
