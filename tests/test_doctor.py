"""What the doctor does with a run: one that is well, parts of it broken on purpose, and one that broke off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from stillroom import doctor, pipeline
from stillroom.core import artifact, recipe
from stillroom.core.errors import ArtifactError
from stillroom.symptoms import FOLDERS, Case, Seen
from stillroom.symptoms.leak import Leak
from tests.conftest import Travelled, sentences
from tests.symptoms.scenes import GREEK, Pair, plants, symptoms


@pytest.fixture
def copy(travelled: Travelled, tmp_path: Path) -> Path:
    """The folder of that run in a work folder of its own."""
    work = tmp_path / "work"
    told = json.loads((travelled.run.folder / "run.json").read_text(encoding="utf-8"))
    for stage, where in FOLDERS.items():
        place = Path(where) / told["stages"][stage]["key"]
        shutil.copytree(travelled.work / place, work / place)
    shutil.copytree(travelled.run.folder, work / "runs" / "toy")
    return work / "runs" / "toy"


def part(folder: Path, stage: str) -> Path:
    """The folder of a stage's artifact."""
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return folder.parent.parent / FOLDERS[stage] / str(told["stages"][stage]["key"])


def sealed(folder: Path) -> None:
    """A manifest that fits the files as they are now."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = {name: artifact.file_sha256(folder / name) for name in manifest["files"]}
    body = {name: manifest[name] for name in ("files", "facts", "stage")}
    manifest["digest"] = artifact.sha256(artifact.canonical(body))
    artifact.write_json(folder / "manifest.json", manifest)


def test_the_toy_run_is_well(travelled: Travelled) -> None:
    found = doctor.examine(travelled.run.folder)
    assert found.findings == ()
    assert found.unseen == ()
    assert "findings" not in travelled.run.summary


@plants("padding")
def test_a_network_that_counts_padding_is_found(copy: Path, monkeypatch: pytest.MonkeyPatch) -> doctor.Examination:
    from stillroom.students.static.network import Folded

    masked = Folded.forward
    monkeypatch.setattr(Folded, "forward", lambda self, ids, mask: masked(self, ids, mask | True))
    found = doctor.examine(copy)
    assert "padding" in symptoms(found)
    assert found.findings[0].severity == "error"
    return found


@plants("export_loss")
def test_an_export_that_lost_is_found(copy: Path) -> doctor.Examination:
    from safetensors.numpy import load_file, save_file

    bundle = part(copy, "export")
    weights = load_file(bundle / "static.safetensors")
    save_file({**weights, "head": -weights["head"]}, bundle / "static.safetensors")
    sealed(bundle)
    found = doctor.examine(copy)
    assert symptoms(found) == {"export_loss"}
    return found


@plants("unknown_tokens", "far_texts")
def test_another_language_in_the_test_is_found(copy: Path) -> doctor.Examination:
    corpus = part(copy, "corpus")
    rows = pq.read_table(corpus / "test.parquet")
    rng = np.random.default_rng(0)
    other = pa.array([" ".join(rng.choice(GREEK, 9)) for _ in range(rows.num_rows)])
    pq.write_table(rows.set_column(rows.column_names.index("text"), "text", other), corpus / "test.parquet")
    sealed(corpus)
    found = doctor.examine(copy)
    assert symptoms(found) == {"unknown_tokens", "far_texts"}
    assert found.findings[0].symptom == "unknown_tokens"
    return found


@plants("unknown_tokens")
def test_a_tokenizer_that_knows_neither_test_nor_training_texts_is_found(copy: Path) -> doctor.Examination:
    student = part(copy, "train")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1, "film": 2, "was": 3}, unk_token="[UNK]"))  # noqa: S106  of text
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(student / "tokenizer.json"))
    sealed(student)
    found = doctor.examine(copy)
    finding = next(one for one in found.findings if one.symptom == "unknown_tokens")
    assert (finding.severity, finding.p) == ("error", None)
    assert finding.cause.startswith("The texts are")
    assert finding.evidence[1].value == pytest.approx(finding.evidence[0].value, abs=0.1)
    return found


@plants("leak")
def test_rows_of_the_test_in_the_transfer_set_are_found(copy: Path) -> doctor.Examination:
    """As if they had come as texts without labels."""
    corpus, said = part(copy, "corpus"), part(copy, "transfer")
    rows = pq.read_table(corpus / "test.parquet").slice(0, 10)
    path = min(said.glob("shard-train-*.parquet"))
    shard = pq.read_table(path)
    leaked = shard.slice(0, 10).set_column(0, "id", rows["id"]).set_column(1, "text", rows["text"])
    pq.write_table(pa.concat_tables([shard, leaked]), path)
    sealed(said)
    found = doctor.examine(copy)
    assert symptoms(found) == {"leak"}
    assert "10 of" in found.findings[0].told
    return found


def test_a_warning_of_the_teacher_is_passed_on(copy: Path) -> None:
    teacher = part(copy, "teacher")
    manifest = json.loads((teacher / "manifest.json").read_text(encoding="utf-8"))
    manifest["facts"] |= {"warning": "it is weak", "dev_accuracy": 0.6, "floor_dev_accuracy": 0.9}
    artifact.write_json(teacher / "manifest.json", manifest)
    sealed(teacher)
    assert symptoms(doctor.examine(copy)) == {"weak_teacher"}


@plants("cold_start", "under_floor")
def test_a_student_that_took_nothing_of_its_teacher_is_found(travelled: Travelled) -> doctor.Examination:
    student = {"kind": "bag", "features": {"bits": 10}, "epochs": 1, "learning_rate": 1e-4}
    cold = recipe.parse({**travelled.recipe, "name": "cold", "student": student, "gate": []})
    ended = pipeline.run(cold, work=travelled.work, until="evaluate")
    found = doctor.examine(ended.folder)
    assert symptoms(found) == {"cold_start", "under_floor"}
    assert {one.symptom for one in found.unseen} == {"learning_rate"}
    return found


def course(losses: list[float], dev: list[float], scores: list[float], *, before: float) -> list[dict[str, Any]]:
    """A log with such a course, under a rate that falls in a straight line."""
    steps = len(losses)
    lines: list[dict[str, Any]] = [
        {"loss": one, "dev": {"loss": two, "accuracy": three}, "learning_rate": (steps - place) / steps - 0.98 / steps}
        for place, (one, two, three) in enumerate(zip(losses, dev, scores, strict=True))
    ]
    lines[0]["before"] = {"loss": before, "accuracy": 0.5, "rows": 100.0}
    return lines


@pytest.mark.parametrize(
    ("losses", "dev", "scores", "words"),
    [
        ([0.7, 0.9, 0.6, 0.8], [0.6, 0.6, 0.6, 0.6], [0.6, 0.7, 0.7, 0.7], "rose in 2 of 3 epochs"),
        ([0.5, 0.4, 0.3, 0.2], [0.5, 0.6, 0.7, 0.8], [0.8, 0.7, 0.7, 0.7], "first epoch was the best"),
        ([0.5, 0.2, 0.1, 0.05], [0.4, 0.2, 0.15, 0.149], [0.8, 0.9, 0.9, 0.9], ""),
        ([0.5, 0.01, 0.02, 0.01, 0.02], [0.4, 0.2, 0.2, 0.2, 0.2], [0.8, 0.9, 0.9, 0.9, 0.9], ""),
    ],
)
def test_the_course_of_a_loss_is_read(copy: Path, losses: Any, dev: Any, scores: Any, words: str) -> None:
    train = part(copy, "train")
    lines = course(losses, dev, scores, before=0.7)
    terms = {"terms": {"forward_kl": 0.1, "hard_label": 0.1}}
    told = [{**line, "terms": {name: one / (place + 1) for name, one in terms["terms"].items()}}
            for place, line in enumerate(lines)]  # fmt: skip
    artifact.write_text(train / "log.jsonl", "".join(json.dumps(one) + "\n" for one in told))
    sealed(train)
    found = doctor.examine(copy)
    assert symptoms(found) == ({"learning_rate"} if words else set())
    assert all(words in one.told for one in found.findings)


# What is there is examined, and what is not is said.


def test_a_run_that_broke_off(copy: Path) -> None:
    told = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    told["stages"] = {stage: one for stage, one in told["stages"].items() if stage in ("corpus", "teacher", "transfer")}
    artifact.write_json(copy / "run.json", told)
    found = doctor.examine(copy)
    assert found.findings == ()
    blind = {one.symptom: one.reason for one in found.unseen}
    assert blind["padding"] == "the run has no train"
    assert {"under_floor", "export_loss", "cold_start", "learning_rate"} <= set(blind)


def test_a_folder_that_is_no_run_and_an_artifact_that_is_damaged(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no JSON"):
        doctor.examine(tmp_path)
    (part(copy, "train") / "log.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"log\.jsonl"):
        doctor.examine(copy)


def test_a_symptom_that_fails_is_one_that_was_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(self: Leak, case: Case) -> Iterator[Seen]:
        yield self.unseen("a beginning")
        raise KeyError("logits")

    monkeypatch.setattr(Leak, "look", look)
    pair = Pair(1)
    pair.logits = {role: one[:, ::-1] for role, one in pair.logits.items()}
    found = doctor.examine(pair.write(tmp_path))
    assert symptoms(found) == {"label_order"}
    assert {one.symptom: one.reason for one in found.unseen}["leak"] == "looking for it failed (KeyError)"


def test_near_twins_are_those_of_the_corpus() -> None:
    texts = [f"{text}, said everybody who had seen it twice" for text, _ in sentences()[:40]]
    others = [f"{texts[3]}!", "nothing of the kind", texts[7].upper()]
    found: Mapping[int, int] = doctor.twins(texts, others)
    assert found[3] == 0
    assert found[7] == 2
    assert 1 not in found.values()
    assert doctor.twins([], others) == doctor.twins(texts, []) == {}
