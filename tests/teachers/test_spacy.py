"""The spaCy teacher: a real pipeline, its labels as the task has them, and a student that starts elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillroom import fitness, pipeline
from stillroom.core import recipe
from stillroom.core.errors import InputError, MismatchError
from stillroom.core.tagging import Span
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers.spacy import Spacy
from tests.conftest import TAGGER
from tests.teachers.conftest import refusal

TASK = TokenLabelling(labels=("PER", "LOC"))
TEACHER = Spacy(model=TAGGER, labels={"PERSON": "PER", "GPE": "LOC"})
TEXTS = ["Barack Obama was born in Hawaii.", "nothing here", "Angela Merkel  met Emmanuel Macron\nin Berlin."]


def test_it_names_what_the_pipeline_finds_by_the_names_of_the_task(tmp_path: Path) -> None:
    said, tokens = TEACHER.open(tmp_path, task=TASK).ask(TEXTS, precision="fp32", tokens_per_batch=256)
    found = TASK.named(TASK.form.heard(said))
    assert found[0] == (Span(0, 12, "PER"), Span(25, 31, "LOC"))
    assert found[1] == ()
    assert [(TEXTS[2][one.start : one.end], one.label) for one in found[2]] == [
        ("Angela Merkel", "PER"), ("Emmanuel Macron", "PER"), ("Berlin", "LOC")]  # fmt: skip
    assert tokens == 7 + 2 + 8, "white space is no word"


def test_labels_that_nobody_gives_are_told_all_at_once(tmp_path: Path) -> None:
    wrong = Spacy(model=TAGGER, labels={"PERSN": "PER"})
    told = refusal(MismatchError, lambda: wrong._check(_pipeline(wrong), TASK))
    assert "teacher.labels.PERSN" in told
    assert "`PERSON`" in told
    assert "`PER`, which" in told
    assert "`LOC`" not in told, "the pipeline has a label of that name"


def _pipeline(teacher: Spacy) -> Any:
    from stillroom.teachers import spacy

    return spacy.load(teacher._folder(), where="teacher.model", part="ner")


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.cfg"):
        Spacy(model=str(tmp_path)).inputs(None)  # type: ignore[arg-type]  # it looks at no row


def rows(folder: Path, encoder: Path) -> dict[str, Any]:
    names = ("Barack Obama", "Angela Merkel", "Tony Blair", "Bill Clinton", "George Bush")
    places = ("Berlin", "Paris", "London", "Chicago", "Boston", "Madrid")
    lines = [json.dumps({"text": f"{a} went to {b} on a {day}.", "spans": [[0, len(a), "PER"],
                         [len(a) + 9, len(a) + 9 + len(b), "LOC"]]})
             for a in names for b in places for day in ("Monday", "cold night", "train at noon")]  # fmt: skip
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return {
        "name": "names",
        "seed": 3,
        "task": TASK.model_dump(),
        "corpus": {"kind": "table", "labelled": str(folder / "rows.jsonl"), "label": "spans", "dev_share": 0.2,
                   "test_share": 0.3},
        "teacher": TEACHER.resolved(),
        "student": {"kind": "bigru", "start": str(encoder), "dimensions": 16, "units": 12, "epochs": 12,
                    "batch_size": 8, "learning_rate": 2e-2},
        "export": {"formats": ["onnx"]},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
    }  # fmt: skip


def test_a_student_needs_a_start_of_its_own(tmp_path: Path, encoder_folder: Path) -> None:
    asked = rows(tmp_path, encoder_folder)
    fitness.check(recipe.parse(asked))
    asked["student"].pop("start")
    assert "student.start" in refusal(MismatchError, lambda: fitness.check(recipe.parse(asked)))
    asked["student"]["start"] = str(tmp_path / "nowhere")
    parsed = recipe.parse(asked)
    assert "student.start" in refusal(InputError, lambda: fitness.equipped(parsed, stages=("train",)))


def test_what_looks_at_tokens_of_the_teacher_is_not_for_a_student_with_other_tokens(
    tmp_path: Path, encoder_folder: Path
) -> None:
    asked = rows(tmp_path, encoder_folder)
    asked["teacher"] = {"kind": "finetuned", "base": str(encoder_folder)}
    asked["student"] = {"kind": "transformer", "layers": 1, "start": str(encoder_folder)}
    asked["objective"] = [{"kind": "hidden"}, {"kind": "forward_kl"}]
    assert "objective[0]" in refusal(MismatchError, lambda: fitness.check(recipe.parse(asked)))


@pytest.mark.slow
@pytest.mark.parametrize("student", ["bigru", "transformer"])
def test_a_student_of_another_network_learns_from_it(student: str, tmp_path: Path, encoder_folder: Path) -> None:
    """Tokens of word pieces learn from words of spaCy's."""
    asked = rows(tmp_path, encoder_folder)
    if student == "transformer":
        asked["student"] = {"kind": "transformer", "start": str(encoder_folder), "layers": 2, "epochs": 12,
                            "batch_size": 8, "learning_rate": 3e-3}  # fmt: skip
    run = pipeline.run(recipe.parse(asked), work=tmp_path / "work", until="evaluate")
    told = run.artifacts["evaluate"].read_json("evaluation.json")
    assert told["systems"]["teacher"]["scores"]["span_f1"]["value"] > 0.8
    assert told["retention"]["span_f1"]["value"] > 0.8


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"student": {"kind": "transformer", "layers": 2, "exits": [1]}}, "student"),
        ({"student": {"kind": "bag"}}, "student"),
        ({"objective": [{"kind": "cosine"}, {"kind": "forward_kl"}]}, "objective[0]"),
        ({"transfer": {"augment": [{"kind": "masking"}]}}, "transfer.augment[0]"),
        ({"corpus": {"kind": "vocabulary", "tokenizer": "x"}}, "corpus"),
        ({"teacher": {"kind": "recorded", "outputs": "said.jsonl"}}, "teacher"),
    ],
    ids=str,
)
def test_what_is_for_one_label_a_text_is_refused_for_spans(
    changes: dict[str, Any], where: str, tmp_path: Path, encoder_folder: Path
) -> None:
    asked = rows(tmp_path, encoder_folder) | {"teacher": {"kind": "finetuned", "base": str(encoder_folder)}}
    told = refusal(MismatchError, lambda: fitness.check(recipe.parse(asked | changes)))
    assert f"{where}:" in told or told.startswith(where)
