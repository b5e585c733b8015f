"""A journey without text of anybody: it ends, and how far it is from real text is measured where there is some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stillroom import console, doctor, dossier, fitness, gates, journey, pipeline
from stillroom.core import recipe
from stillroom.core.errors import MismatchError
from stillroom.journey import Run
from tests.conftest import Travelled, sentences, write_csv


@pytest.fixture
def data_free(travelled: Travelled, encoder_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """The toy's fitted teacher, found in its folder, and a corpus out of its vocabulary."""
    real = {"kind": "table", "test": str(write_csv(tmp_path / "test.csv", sentences())), "train": "", "dev": ""}
    for split in ("train", "dev"):  # rows of these splits are there, and nobody may look at them
        planted = [(f"planted {split} {text}", label) for text, label in sentences()[::7]]
        real[split] = str(write_csv(tmp_path / f"{split}.csv", planted))
    teacher = travelled.run.artifacts["teacher"].folder
    return {
        **travelled.recipe,
        "name": "free",
        "corpus": {"kind": "vocabulary", "tokenizer": str(encoder_folder), "runs": 600, "real": real},
        "teacher": {"kind": "huggingface", "model": str(teacher)},
        "gate": [{"measure": "retention.accuracy", "at_least": 0.5}, {"measure": "gap.told_apart", "at_most": 0.6}],
    }


def travel(built: dict[str, Any], folder: Path, *, until: str = "evaluate") -> Run:
    return pipeline.run(recipe.parse(built), work=folder / "work", until=until)


def summed_up(run: Run, travelled: Travelled) -> dict[str, Any]:
    """The summary of a run that was neither probed nor timed, which takes long: another one's figures will do."""
    others = {stage: travelled.run.artifacts[stage] for stage in ("audit", "cost")}
    return journey.summary(run.recipe, {**run.artifacts, **others})


def evaluation(run: Run) -> dict[str, Any]:
    return dict(run.artifacts["evaluate"].read_json("evaluation.json"))


def test_the_gap_to_real_text_is_measured_and_shown(
    data_free: dict[str, Any], tmp_path: Path, travelled: Travelled, capsys: pytest.CaptureFixture[str]
) -> None:
    run = travel(data_free, tmp_path)
    summary = summed_up(run, travelled)
    found = summary["gap"]
    assert found["told_apart"]["value"] > 0.7, "words by chance are no sentences"
    assert found["told_apart"]["low"] > 0.5
    agreement = found["agreement"]
    assert agreement["real"] == summary["agreement"]
    assert agreement["real_minus_made"]["value"] == pytest.approx(
        agreement["real"]["value"] - agreement["made"]["value"], abs=1e-6
    )
    assert agreement["real_minus_made"]["low"] < agreement["real_minus_made"]["value"]
    assert 0.5 < found["confidence"]["made"]["value"] < 1
    assert {one.measure: one.state for one in gates.judge(run.recipe.gate, summary)}["gap.told_apart"] == "fail"
    assert summary["undistilled"] is None, "no gold is looked at but that of the test"
    assert summary["corpus"]["rows"]["train"] == 0
    for path in dossier.write(summary, curves=(), folder=tmp_path / "dossier"):
        page = path.read_text(encoding="utf-8")
        assert "Made texts beside real ones" in page
        assert found["sentence"].split(" (")[0] in page
    console.show_summary(summary)
    assert found["sentence"].split(" (")[0] in " ".join(capsys.readouterr().out.split())
    assert "far_texts" in {one.symptom for one in doctor.examine(run.folder).findings}


def test_of_real_rows_only_the_test_is_looked_at(data_free: dict[str, Any], tmp_path: Path) -> None:
    run = travel(data_free, tmp_path, until="corpus")
    seen = run.artifacts["corpus"]
    assert seen.read_json("report.json")["rows"]["test"] == len(sentences())
    texts = [text for name in ("dev", "unlabelled", "train", "test") for text in
             pq.read_table(seen.folder / f"{name}.parquet")["text"].to_pylist()]  # fmt: skip
    assert not any("planted" in text for text in texts)


@pytest.mark.slow
def test_without_real_rows_it_ends_and_says_what_is_not_measurable(
    data_free: dict[str, Any], tmp_path: Path, travelled: Travelled
) -> None:
    del data_free["corpus"]["real"]
    run = travel(data_free, tmp_path)
    summary = summed_up(run, travelled)
    assert not journey.ends_low(summary)
    assert summary["retention"]["accuracy"]["value"] is None
    assert "real" in summary["retention"]["accuracy"]["reason"]
    assert summary["gap"]["told_apart"]["value"] is None
    assert summary["gap"]["agreement"]["made"]["value"] > 0.5
    assert {one.state for one in gates.judge(run.recipe.gate, summary)} == {"not measurable"}
    for path in dossier.write(summary, curves=(), folder=tmp_path / "dossier"):
        page = path.read_text(encoding="utf-8")
        assert "No row was there to test on" in page
        assert "no row to test on: the texts were made" in page
    assert doctor.examine(run.folder).well
    console.show_summary(summary)


@pytest.mark.slow
def test_made_from_the_real_texts_shows_no_gap(
    data_free: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault taken out: where made texts are drawn like real ones, nothing is seen."""
    from stillroom.corpora.vocabulary import Vocabulary

    rows = sentences()
    order = np.random.default_rng(1).permutation(len(rows)).tolist()
    half = [rows[place][0] for place in order[::2]]
    rest = [rows[place] for place in order[1::2]]
    data_free["corpus"]["real"]["test"] = str(write_csv(tmp_path / "half.csv", rest))
    data_free["corpus"]["dev_share"] = 0.45
    monkeypatch.setattr(Vocabulary, "texts", lambda self, task: ((text, "made") for text in half))
    found = evaluation(travel(data_free, tmp_path))["gap"]
    assert found["told_apart"]["low"] < 0.5
    assert found["told_apart"]["n"] > 60
    assert found["agreement"]["real_minus_made"]["low"] <= 0 <= found["agreement"]["real_minus_made"]["high"]


@pytest.mark.slow
def test_a_student_of_generated_texts(
    data_free: dict[str, Any], generator_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path / "cache"))
    data_free["corpus"] = {"kind": "generated", "model": str(generator_folder), "count": 200, "max_tokens": 12,
                           "dev_share": 0.45, "real": data_free["corpus"]["real"]}  # fmt: skip
    found = evaluation(travel(data_free, tmp_path))
    assert found["gap"]["told_apart"]["low"] > 0.5
    assert found["gap"]["texts"]["real"] == found["rows"]["test"] == len(sentences())


def test_a_teacher_that_needs_gold_or_known_texts_is_refused(data_free: dict[str, Any], encoder_folder: Path) -> None:
    for teacher in ({"kind": "finetuned", "base": str(encoder_folder)}, {"kind": "recorded", "outputs": "said.jsonl"}):
        with pytest.raises(MismatchError, match="whose texts are made"):
            fitness.check(recipe.parse({**data_free, "teacher": teacher}))


def test_rows_to_test_on_alone_are_enough_beside_made_texts_only(data_free: dict[str, Any], tmp_path: Path) -> None:
    alone = {"kind": "table", "test": data_free["corpus"]["real"]["test"]}
    run = pipeline.run(
        recipe.parse({**data_free, "corpus": {**data_free["corpus"], "real": alone}}), work=tmp_path, until="corpus"
    )
    assert run.artifacts["corpus"].read_json("report.json")["rows"]["test"] == len(sentences())
    with pytest.raises(MismatchError, match="rows to test on alone"):
        fitness.check(recipe.parse({**data_free, "corpus": alone}))


@pytest.mark.slow
def test_the_whole_way_without_a_text_of_anybody(data_free: dict[str, Any], tmp_path: Path) -> None:
    del data_free["corpus"]["real"]
    run = travel(data_free, tmp_path, until="dossier")
    assert not run.passed, "what was not measured is no reason to ship"
    assert run.summary["speedup"]["value"] > 1
    assert (run.folder / "dossier" / "report.html").is_file()
    again = travel(data_free, tmp_path, until="dossier")
    assert {name for name, one in again.stages.items() if not one["reused"]} <= {"gates"}
