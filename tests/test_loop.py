"""What the one loop can do beside a plain fit: a curriculum, thawing, a peer, rounds. Each shows in the weights."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillroom import fitness, loop, pipeline, runtime
from stillroom.core import plugins, recipe, seeds
from stillroom.core.errors import MismatchError
from stillroom.learner import Beginner, Learner
from stillroom.objectives import Objective
from stillroom.students import Network, Student
from stillroom.tasks.classification import Classification
from stillroom.teachers._fitting import Examples, Plan
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, sentences

TASK = Classification(labels=LABELS)
PLAN = Plan(epochs=4, batch_size=16, learning_rate=2e-2, patience=9, seed=1, bf16=False)


def bag() -> tuple[Network, Examples, Examples]:
    """A fresh student with rows whose labels it can learn; the teacher is surest of the first ones."""
    student: Student = plugins.build("students", {"kind": "bag", "features": {"kind": "ngrams", "bits": 10}})
    network = student.begin(task=TASK, studied=Path(), texts=iter(()), seed=0)
    rows = sentences()
    order = np.random.default_rng(0).permutation(len(rows))
    texts = [rows[place][0] for place in order]
    gold = np.array([LABELS.index(rows[place][1]) for place in order], dtype=np.int64)
    sure = np.linspace(4.0, 0.5, len(rows), dtype=np.float32)
    logits = np.where(np.arange(2)[None] == gold[:, None], sure[:, None], 0.0).astype(np.float32)
    ids, cut = network.encode(texts), 300
    return network, Examples(ids[:cut], gold[:cut], logits[:cut]), Examples(ids[cut:], gold[cut:], logits[cut:])


def mixture(*kinds: str, **settings: Any) -> tuple[Objective, ...]:
    return tuple(plugins.build("objectives", {"kind": kind, **settings}) for kind in kinds)


def fitted(folder: Path, plan: Plan = PLAN, **more: Any) -> tuple[Network, list[dict[str, Any]]]:
    network, train, dev = bag()
    objectives = more.pop("objectives", mixture("forward_kl"))
    log = loop.fit(network, task=TASK, train=train, dev=dev, objectives=objectives, plan=plan, folder=folder, **more)
    return network, log


def weights(network: Network) -> np.ndarray[Any, np.dtype[np.float32]]:
    return torch.cat([one.detach().flatten() for one in network.module.parameters()]).numpy()


def seen(monkeypatch: pytest.MonkeyPatch, plan: Plan, folder: Path) -> list[list[int]]:
    """The rows of each epoch, in the order in which they were learned from."""
    rows: list[list[int]] = []
    plain = Learner.say

    def say(learner: Learner, some: Any) -> Any:
        rows.append(some.tolist())
        return plain(learner, some)

    monkeypatch.setattr(Learner, "say", say)
    fitted(folder, plan)
    per_epoch = -(-300 // plan.batch_size)
    return [list(chain(*rows[start : start + per_epoch])) for start in range(0, len(rows), per_epoch)]


def changed(plan: Plan, **settings: Any) -> Plan:
    return Plan(**{**vars(plan), **settings})


def test_a_curriculum_begins_with_what_the_teacher_is_sure_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    epochs = seen(monkeypatch, changed(PLAN, curriculum=0.5), tmp_path)
    assert [len(rows) for rows in epochs] == [300] * 4, "an epoch stays as long as it was"
    assert max(epochs[0]) == 89, "the surest 30 %"
    assert 89 < max(epochs[1]) < 299
    assert sorted(epochs[2]) == sorted(epochs[3]) == list(range(300))


def test_without_a_curriculum_every_row_comes_once_an_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for rows in seen(monkeypatch, PLAN, tmp_path):
        assert sorted(rows) == list(range(300))


@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_thawing_goes_from_the_head_down(kind: str, classifier_folder: Path, tmp_path: Path) -> None:
    """While the last stratum is frozen its weights stay; once all are thawed they move."""
    settings: dict[str, Any] = {"static": {"dimensions": 8, "hidden": 8}, "transformer": {"layers": 2}}[kind]
    settings |= {"freeze_embeddings": False} if kind == "transformer" else {}
    student: Student = plugins.build("students", {"kind": kind, **settings})
    student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), tmp_path)
    _, train, _ = bag()
    texts = [text for text, _ in sentences()[:64]]

    def moved(**plan: Any) -> list[bool]:
        network = student.begin(task=TASK, studied=tmp_path, texts=iter(texts), seed=0)
        before = [[one.detach().clone() for one in stratum] for stratum in network.strata()]
        ids = network.encode(texts)
        rows = Examples(ids, train.gold[: len(ids)], train.logits[: len(ids)] if train.logits is not None else None)
        short = changed(PLAN, batch_size=32, epochs=4, learning_rate=1e-2, **plan)
        loop.fit(network, task=TASK, train=rows, dev=rows, objectives=mixture("hard_label"), plan=short,
                 folder=tmp_path / f"fit-{len(plan)}-{plan.get('steps')}")  # fmt: skip
        after = network.strata()
        assert all(one.requires_grad for stratum in after for one in stratum), "the loop leaves all of it trained"
        return [
            any(not torch.equal(one, two) for one, two in zip(old, new, strict=True) if one.numel())
            for old, new in zip(before, after, strict=True)
        ]

    first = moved(unfreeze=0.9, steps=2)
    assert first[0]
    assert not any(first[1:])
    assert all(moved())


def test_peers_hear_each_other(tmp_path: Path) -> None:
    """Alone, a student with nothing but `mutual` learns nothing; beside a peer that learns it comes to say the same."""
    gold = mixture("hard_label")
    both = (*mixture("mutual", weight=5.0), *gold)
    network, train, dev = bag()
    other, other_train, other_dev = bag()
    nobody = Examples(train.ids, np.full(len(train.gold), -1), train.logits)
    teacher_only = Beginner(other, other_train, other_dev, 2e-2, bf16=False)
    log = loop.fit(network, task=TASK, train=nobody, dev=dev, objectives=both, plan=PLAN, folder=tmp_path / "two",
                   peer=teacher_only)  # fmt: skip
    assert log[-1]["dev"]["accuracy"] > 0.9, "it has heard the labels from its peer alone"
    assert log[-1]["peer"]["accuracy"] > 0.9
    assert "mutual" in log[-1]["terms"]
    alone, lines = fitted(tmp_path / "one", objectives=mixture("mutual"))
    assert not weights(alone).any()
    assert lines[-1]["terms"] == {}


@pytest.mark.slow
def test_a_pair_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    def pair(folder: Path, stop: int | None) -> list[Any]:
        network, train, dev = bag()
        other, other_train, other_dev = bag()
        told = 0

        def interrupt(event: Any) -> None:
            nonlocal told
            told += event.done > 0
            if told == stop:
                raise KeyboardInterrupt

        peer = Beginner(other, other_train, other_dev, 1e-2, bf16=False)
        plan = changed(PLAN, checkpoint_seconds=0.0)
        loop.fit(network, task=TASK, train=train, dev=dev, objectives=mixture("mutual", "hard_label"), plan=plan,
                 folder=folder, peer=peer, report=interrupt)  # fmt: skip
        return [weights(network), weights(other)]

    calm = pair(tmp_path / "calm", None)
    with pytest.raises(KeyboardInterrupt):
        pair(tmp_path / "broken", 23)
    for one, two in zip(pair(tmp_path / "broken", None), calm, strict=True):
        np.testing.assert_array_equal(one, two)


EVERY_SCHEDULE: dict[str, Any] = {"unfreeze": 0.9, "curriculum": 0.5, "quantization_aware": 0.5}


@pytest.mark.parametrize("stop", [pytest.param(2, marks=pytest.mark.slow), 6, pytest.param(11, marks=pytest.mark.slow)])
def test_under_every_schedule_a_fit_goes_on_where_it_was_broken_off(
    stop: int, classifier_folder: Path, tmp_path: Path
) -> None:
    """Killed before, in and after the middle: what is thawed, held back, rounded and weighed is what it would be."""
    student: Student = plugins.build("students", {"kind": "transformer", "layers": 2, "freeze_embeddings": False})
    student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), tmp_path)
    _, rows, _ = bag()
    texts = [text for text, _ in sentences()[:32]]
    objectives = (
        *mixture("forward_kl", weight_end=0.2, temperature=3.0, temperature_end=1.0),
        *mixture("hard_label", starts=0.3),
        *mixture("logit_mse", ends=0.6),
    )
    plan = changed(PLAN, batch_size=12, learning_rate=1e-3, checkpoint_seconds=0.0, **EVERY_SCHEDULE)

    def fit(folder: Path, last: int | None = None) -> tuple[Any, list[dict[str, Any]]]:
        network = student.begin(task=TASK, studied=tmp_path, texts=iter(texts), seed=0)
        some = Examples(network.encode(texts), rows.gold[:32], rows.logits[:32] if rows.logits is not None else None)
        steps = 0

        def interrupt(event: Any) -> None:
            nonlocal steps
            steps += event.done > 0
            if steps == last:
                raise KeyboardInterrupt

        log = loop.fit(network, task=TASK, train=some, dev=some, objectives=objectives, plan=plan, folder=folder,
                       report=interrupt)  # fmt: skip
        return weights(network), log

    calm = fit(tmp_path / "calm")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken", stop)
    again = fit(tmp_path / "broken")
    np.testing.assert_array_equal(again[0], calm[0])
    assert again[1] == calm[1]


class Beside:
    """A device's own generator of chance."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(5)

    def get_rng_state(self) -> torch.Tensor:
        return self.generator.get_state()

    def set_rng_state(self, state: torch.Tensor) -> None:
        self.generator.set_state(state)


def test_the_chance_of_a_device_is_kept_with_a_checkpoint_and_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Planted: noise from a generator that is not the CPU's, as dropout draws it on another device."""
    beside, plain = Beside(), Learner.say

    def say(learner: Learner, rows: Any) -> Any:
        said = plain(learner, rows)
        noise = torch.rand(said["logits"].shape, generator=beside.generator)
        return {**said, "logits": said["logits"] * noise}

    monkeypatch.setattr(Learner, "say", say)
    monkeypatch.setattr(seeds, "of_device", lambda device: beside)
    plan = changed(PLAN, batch_size=32, epochs=2, checkpoint_seconds=0.0)
    before = beside.get_rng_state()
    calm, _ = fitted(tmp_path / "calm", plan)
    assert torch.equal(beside.get_rng_state(), before)
    told = 0

    def interrupt(event: Any) -> None:
        nonlocal told
        told += event.done > 0
        if told == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "broken", plan, report=interrupt)
    again, _ = fitted(tmp_path / "broken", plan)
    np.testing.assert_array_equal(weights(again), weights(calm))


@pytest.mark.slow
def test_rounds_end_with_a_student_of_a_student(toy: dict[str, Any], tmp_path: Path) -> None:
    toy["student"] = {"kind": "bag", "features": {"kind": "ngrams", "bits": 12}, "epochs": 2}
    once = pipeline.run(recipe.parse(toy), work=tmp_path, until="train").artifacts["train"]
    toy["train"] = {"rounds": 3}
    last = pipeline.run(recipe.parse(toy), work=tmp_path, until="train").artifacts["train"]
    lineage = [last]
    while True:
        said = lineage[-1].manifest["inputs"]["said"]
        transfers = [json.loads(path.read_text()) for path in tmp_path.glob("transfer/*/manifest.json")]
        teacher = next(one for one in transfers if one["digest"] == said)["inputs"]["teacher"]
        students = [path.parent for path in tmp_path.glob("student/*/manifest.json")]
        found = [one for one in students if json.loads((one / "manifest.json").read_text())["digest"] == teacher]
        if not found:
            break
        from stillroom.core import artifact

        lineage.append(artifact.load(found[0]))
    assert len(lineage) == 3
    assert lineage[-1].digest == once.digest, "the first round is the run without rounds: it is not fitted twice"
    assert len({one.digest for one in lineage}) == 3


@pytest.mark.slow
def test_a_recipe_can_ask_for_every_scheme_of_training_at_once(toy: dict[str, Any], tmp_path: Path) -> None:
    """A peer, a curriculum, thawing, moving weights and rounding, from the recipe to a bundle in eight bits."""
    toy["student"] = {"kind": "transformer", "layers": 2, "epochs": 4, "freeze_embeddings": False}
    toy["peer"] = {"kind": "transformer", "layers": 1, "epochs": 4}
    toy["objective"] = [
        {"kind": "mutual", "weight": 0.5},
        {"kind": "forward_kl", "temperature": 4.0, "temperature_end": 1.0},
        {"kind": "hard_label", "weight": 1.0, "weight_end": 0.0},
    ]
    toy["train"] = {"curriculum": 0.5, "unfreeze": 0.5, "quantization_aware": 0.5}
    toy["export"] = {"formats": ["onnx", "onnx_int8"]}
    run = pipeline.run(recipe.parse(toy), work=tmp_path)
    log = [json.loads(line) for line in (run.artifacts["train"].folder / "log.jsonl").read_text().splitlines()]
    assert all({"mutual", "forward_kl", "hard_label"} <= set(one["terms"]) for one in log[:-1])
    assert all(0 <= one["peer"]["accuracy"] <= 1 for one in log)
    assert [one.get("rounded", False) for one in log] == [False, False, True, True]
    assert {"mutual", "forward_kl"} <= set(log[-1]["gradients"])
    variants = run.artifacts["export"].manifest["facts"]["variants"]
    assert (variants[0]["format"], variants[0]["reason"]) == ("onnx", "passed its checks")
    assert {one["format"] for one in variants} == {"onnx", "onnx_int8"}
    assert toy["train"].items() <= run.artifacts["train"].manifest["settings"]["train"].items()
    assert runtime.load(run.folder).predict(["the film was great today"])[0].label == "positive"


def test_what_does_not_fit_is_refused_before_anything_starts(toy: dict[str, Any]) -> None:
    toy["peer"] = {"kind": "bag"}
    with pytest.raises(MismatchError, match="no objective hears"):
        fitness.check(recipe.parse(toy))
    toy["objective"] = [{"kind": "mutual"}, {"kind": "forward_kl"}]
    fitness.check(recipe.parse(toy))
    toy["train"] = {"rounds": 2}
    with pytest.raises(MismatchError, match="rounds with a peer") as caught:
        fitness.check(recipe.parse(toy))
    assert "no second student" in str(caught.value), "from the second round on nobody would be beside it"
    del toy["peer"], toy["train"]
    with pytest.raises(MismatchError, match="needs peer"):
        fitness.check(recipe.parse(toy))


def test_stages_and_schedules_follow_training() -> None:
    one = plugins.build("objectives", {"kind": "forward_kl", "weight": 1.0, "weight_end": 0.0, "temperature": 4.0,
                                       "temperature_end": 1.0, "starts": 0.25})  # fmt: skip
    assert one.at(0.2) is None
    half = one.at(0.5)
    assert (half.weight, half.temperature) == (pytest.approx(0.5), pytest.approx(2.5))
    assert one.at(1.0) is None, "its weight has come to nothing"


def test_while_a_stage_is_to_come_nothing_stops_early(tmp_path: Path) -> None:
    staged = mixture("hard_label", starts=0.6)
    _, log = fitted(tmp_path, changed(PLAN, epochs=8, patience=1), objectives=staged)
    assert len(log) >= 6, "five epochs without any gain were no reason to stop"
    assert log[-1]["dev"]["accuracy"] > 0.9


def test_under_bf16_a_fit_computes_in_it_and_its_weights_stay_in_fp32(classifier_folder: Path, tmp_path: Path) -> None:
    student: Student = plugins.build("students", {"kind": "transformer", "layers": 2})
    student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), tmp_path)
    _, rows, _ = bag()
    texts = [text for text, _ in sentences()[:32]]
    network = student.begin(task=TASK, studied=tmp_path, texts=iter(texts), seed=0)
    some = Examples(network.encode(texts), rows.gold[:32], rows.logits[:32] if rows.logits is not None else None)
    computed: set[torch.dtype] = set()
    linear = next(one for one in network.module.modules() if isinstance(one, torch.nn.Linear))
    linear.register_forward_hook(lambda _module, _given, found: computed.add(found.dtype))
    before = weights(network)
    plan = changed(PLAN, epochs=2, learning_rate=1e-3, bf16=True)
    log = loop.fit(network, task=TASK, train=some, dev=some, objectives=mixture("forward_kl", "hard_label"), plan=plan,
                   folder=tmp_path / "fit")  # fmt: skip
    assert computed == {torch.bfloat16}
    assert {one.dtype for one in network.module.state_dict().values() if one.is_floating_point()} == {torch.float32}
    assert all(np.isfinite([line["loss"], line["dev"]["loss"]]).all() for line in log)
    assert log[-1]["dev"]["loss"] < log[0]["before"]["loss"]
    assert np.isfinite(weights(network)).all()
    assert (weights(network) != before).any()
