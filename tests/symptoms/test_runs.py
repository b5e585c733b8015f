"""Faults of a recipe or a recording, in real runs that are small enough to be made for one fault each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import cost, doctor, journey, pipeline
from stillroom.core import recipe
from tests.conftest import LABELS, Travelled, sentences, write_csv
from tests.symptoms.scenes import FILLERS, plain, plants, symptoms


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy rows, and what a good teacher said of them."""
    folder = tmp_path_factory.mktemp("doctor")
    write_csv(folder / "rows.csv", sentences())
    rng = np.random.default_rng(0)
    sure = np.abs(rng.normal(3, 1, size=len(sentences())))
    record(folder / "said.jsonl", [one if label == LABELS[1] else -one
                                   for one, (_, label) in zip(sure.tolist(), sentences(), strict=True)])  # fmt: skip
    return folder


def record(path: Path, odds: list[float], *, header: list[str] | None = None) -> None:
    """What a teacher said, under a header that may lie."""
    lines: list[dict[str, Any]] = [{"labels": header}] if header else []
    for one, (text, _) in zip(odds, sentences(), strict=True):
        lines.append({"text": text, "logits": [-one / 2, one / 2]})
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


def run(
    recorded: Path, tmp_path: Path, *, until: str = "train", said: str = "said.jsonl", **changes: Any
) -> journey.Run:
    told = plain("ill", str(recorded / "rows.csv"), str(recorded / said), **changes)
    return pipeline.run(recipe.parse(told), work=tmp_path / "work", until=until)


def test_a_small_run_that_is_well(recorded: Path, tmp_path: Path) -> None:
    found = doctor.examine(run(recorded, tmp_path, until="evaluate").folder)
    assert found.findings == ()
    assert {one.symptom for one in found.unseen} == set()


@pytest.mark.slow
@pytest.mark.parametrize("student", [
    {"kind": "cnn", "dimensions": 16, "channels": 16, "epochs": 12, "learning_rate": 1e-2},
    {"kind": "bigru", "dimensions": 16, "units": 16, "epochs": 24, "learning_rate": 1e-2},
    {"kind": "transformer", "layers": 2, "epochs": 4},
])  # fmt: skip
def test_runs_of_other_students_are_well(toy: dict[str, Any], tmp_path: Path, student: dict[str, Any]) -> None:
    toy |= {"student": student, "export": {"formats": ["onnx"]}}
    found = doctor.examine(pipeline.run(recipe.parse(toy), work=tmp_path, until="evaluate").folder)
    assert found.findings == ()
    assert found.unseen == ()


def test_a_header_that_lies_is_found_at_the_end_of_the_run(
    recorded: Path, tmp_path: Path, travelled: Travelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """End to end: the labels are swapped, the student ends under its floor, and the run itself says why."""
    # Costs are not what is looked at, and timing them takes longer than all the rest: those of the toy run will do.
    monkeypatch.setattr(cost, "measure", lambda **asked: travelled.run.artifacts["cost"])
    told = [json.loads(line) for line in (recorded / "said.jsonl").read_text(encoding="utf-8").splitlines()]
    swapped = [one["logits"][0] - one["logits"][1] for one in told]
    record(tmp_path / "swapped.jsonl", swapped, header=list(LABELS))
    ended = run(tmp_path, tmp_path, until="dossier", said="swapped.jsonl", corpus={
        "kind": "table", "labelled": str(recorded / "rows.csv"), "dev_share": 0.3, "test_share": 0.3})  # fmt: skip
    assert ended.summary["findings"][0]["symptom"] == "label_order"
    assert {one["symptom"] for one in ended.summary["findings"] if one["follows_from"] is None} == {"label_order"}
    kept = json.loads((ended.folder / "summary.json").read_text(encoding="utf-8"))
    assert kept["findings"] == ended.summary["findings"]
    for document in ("report.html", "model_card.md"):
        assert "in another order" in (ended.folder / "dossier" / document).read_text(encoding="utf-8")
    assert not doctor.examine(ended.folder).well


@pytest.mark.slow
def test_a_teacher_that_only_names_labels_ends_no_run(
    recorded: Path, tmp_path: Path, travelled: Travelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the wrong ones, so that the student ends under its floor: the run says why, and what it can't tell."""
    monkeypatch.setattr(cost, "measure", lambda **asked: travelled.run.artifacts["cost"])
    told = [{"text": text, "label": LABELS[label == LABELS[0]]} for text, label in sentences()]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
    ended = run(tmp_path, tmp_path, until="dossier", corpus={
        "kind": "table", "labelled": str(recorded / "rows.csv"), "dev_share": 0.3, "test_share": 0.3})  # fmt: skip
    assert {one["symptom"] for one in ended.summary["findings"] if one["follows_from"] is None} == {"label_order"}
    blind = {one["symptom"]: one["reason"] for one in ended.summary["unseen"]}
    assert set(blind) == {"sure_teacher"}
    assert "how sure" in blind["sure_teacher"]


@pytest.mark.parametrize(("rate", "words"), [(2.0, "never came below"), (0.01, "second half"), (0.001, "hardly moved")])
@plants("learning_rate")
def test_a_rate_out_of_range_is_found(recorded: Path, tmp_path: Path, rate: float, words: str) -> doctor.Examination:
    found = doctor.examine(run(recorded, tmp_path, train={"learning_rate": rate}).folder)
    assert symptoms(found) == {"learning_rate"}
    assert words in found.findings[0].told
    return found


@plants("idle_term")
def test_a_term_that_is_cut_off_is_found(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> doctor.Examination:
    """Its value moves in the log, because the other term moves the student: only the gradient tells."""
    from stillroom.objectives.forward_kl import ForwardKL

    whole = ForwardKL.loss
    monkeypatch.setattr(ForwardKL, "loss", lambda *told, **more: whole(*told, **more).detach())
    ended = run(recorded, tmp_path)
    found = doctor.examine(ended.folder)
    assert symptoms(found) == {"idle_term"}
    finding = found.findings[0]
    assert finding.keys == ("objective[0]",)
    values = [line["terms"]["forward_kl"] for line in lines(ended)]
    assert max(values) > 1.1 * min(values)
    return found


@plants("idle_term")
def test_a_term_without_weight_is_found(recorded: Path, tmp_path: Path) -> doctor.Examination:
    mixture = [{"kind": "forward_kl"}, {"kind": "logit_mse", "weight": 0.0}]
    found = doctor.examine(run(recorded, tmp_path, objective=mixture).folder)
    assert [(one.symptom, one.keys[0]) for one in found.findings] == [("idle_term", "objective[1].weight")]
    return found


def test_stages_of_one_kind_are_told_apart(recorded: Path, tmp_path: Path) -> None:
    """The second stage counts when the first one does no more, and each has a line of its own in the log."""
    mixture = [{"kind": "forward_kl", "ends": 0.5}, {"kind": "forward_kl", "starts": 0.5, "temperature": 1.0}]
    ended = run(recorded, tmp_path, objective=mixture, train={"patience": 8})
    assert [list(line["terms"]) for line in lines(ended)] == [["forward_kl"]] * 4 + [["forward_kl 2"]] * 4
    assert [list(line["gradients"]) for line in lines(ended)] == [["forward_kl"]] * 4 + [["forward_kl 2"]] * 4
    assert doctor.examine(ended.folder).findings == ()


def test_a_stage_that_never_comes_is_found_under_its_place(recorded: Path, tmp_path: Path) -> None:
    mixture = [{"kind": "forward_kl"}, {"kind": "forward_kl", "weight": 0.0, "temperature": 1.0}]
    found = doctor.examine(run(recorded, tmp_path, objective=mixture).folder)
    assert [(one.symptom, one.keys[0]) for one in found.findings] == [("idle_term", "objective[1].weight")]
    assert "`forward_kl 2`" in found.findings[0].told


def lines(ended: journey.Run) -> list[dict[str, Any]]:
    """The log of a run's student."""
    told = (ended.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in told.splitlines()]


@pytest.mark.slow
def test_texts_that_are_learned_by_heart_are_found(tmp_path: Path) -> None:
    """Labels drawn by lot: there is nothing to learn but the texts themselves."""
    rng = np.random.default_rng(5)
    rows = [(" ".join(rng.choice(FILLERS, 9)), LABELS[int(rng.integers(2))]) for _ in range(900)]
    write_csv(tmp_path / "rows.csv", rows)
    told = [{"text": text, "probabilities": {one: 0.9 if one == label else 0.1 for one in LABELS}}
            for text, label in rows]  # fmt: skip
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
    student = {"kind": "bag", "features": {"bits": 16}, "learning_rate": 0.2, "epochs": 3, "batch_size": 8}
    found = doctor.examine(run(tmp_path, tmp_path, student=student).folder)
    assert symptoms(found) - {"learning_rate"} == {"few_rows"}
    assert "by heart" in next(one for one in found.findings if one.symptom == "few_rows").cause
