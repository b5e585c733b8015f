"""A run of a student that proofreads, examined: as it is, and with parts of it broken on purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillroom import doctor, pipeline, runtime
from stillroom.core import recipe
from stillroom.journey import Run
from stillroom.symptoms import Finding
from tests.journey.test_proofreading import rows
from tests.test_doctor import part, sealed

pytestmark = pytest.mark.slow
Sheet = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(scope="module")
def run(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("proofs")
    (folder / "rows.jsonl").write_text("\n".join(rows()), encoding="utf-8")
    rules = {"kind": "harper", "without": ["Capitalization"]}  # sentences of the toy begin small
    told = {
        "name": "proofs",
        "seed": 3,
        "task": {"kind": "proofreading"},
        "corpus": {"kind": "table", "labelled": str(folder / "rows.jsonl"), "label": "corrected", "dev_share": 0.2,
                   "test_share": 0.3, "near_twins": "keep"},
        "teacher": {"kind": "ensemble", "members": [rules, rules]},
        "student": {"kind": "cnn", "start": str(encoder_folder), "dimensions": 16, "channels": 16, "epochs": 14,
                    "batch_size": 8, "learning_rate": 1e-2},
        "export": {"formats": ["onnx"]},
        "evaluate": {"resamples": 200, "min_slice_rows": 10},
    }  # fmt: skip
    return pipeline.run(recipe.parse(told), work=folder / "work", until="evaluate")


@pytest.fixture
def copy(run: Run, tmp_path: Path) -> Path:
    shutil.copytree(run.folder.parent.parent, tmp_path / "work")
    return tmp_path / "work" / "runs" / run.folder.name


def found(folder: Path, symptom: str) -> Finding:
    return next(one for one in doctor.examine(folder).findings if one.symptom == symptom)


def changed(folder: Path, stage: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Lines of JSON in an artifact, changed."""
    path = part(folder, stage) / name
    told = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if name.endswith("l") else [
        json.loads(path.read_text(encoding="utf-8"))]  # fmt: skip
    change(told[0])
    path.write_text("\n".join(json.dumps(one) for one in told), encoding="utf-8")
    sealed(part(folder, stage))


def heard(folder: Path, change: Callable[[Sheet], Sheet], *, of: str) -> None:
    """What the teacher said of a part's words, changed."""
    for path in part(folder, "transfer").glob(f"shard-{of}-*.parquet"):
        shard = pq.read_table(path)
        lists = shard["logits"].combine_chunks()
        width = lists.type.value_type.list_size
        sheet = lists.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        flat = pa.array(change(sheet.astype(np.float32)).astype(np.float16).reshape(-1))
        made = pa.ListArray.from_arrays(lists.offsets, pa.FixedSizeListArray.from_arrays(flat, width))
        pq.write_table(shard.set_column(shard.column_names.index("logits"), "logits", made), path)
    sealed(part(folder, "transfer"))


def test_all_but_the_order_of_labels_is_looked_at(run: Run) -> None:
    told = doctor.examine(run.folder)
    assert {one.symptom for one in told.unseen} == {"label_order"}, told.unseen
    assert not {one.symptom for one in told.findings} & {"cold_start", "export_loss", "few_rows", "padding"}
    assert {one.symptom for one in told.findings if one.severity == "error"} <= {"under_floor"}, "gold is better here"


def test_a_network_that_counts_padding_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from stillroom.students.cnn.network import LocalConvolutions

    masked = LocalConvolutions.forward
    monkeypatch.setattr(LocalConvolutions, "forward",
                        lambda self, vectors, mask: masked(self, vectors, mask) + 0.01 * mask.shape[1])  # fmt: skip
    assert found(run.folder, "padding").severity == "error"


def test_an_export_that_lost_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from stillroom.shapes.tokens import Tokens

    whole = runtime.Predictor.outputs
    monkeypatch.setattr(
        runtime.Predictor, "outputs",
        lambda self, texts: Tokens().with_values(whole(self, texts), -whole(self, texts).values))  # fmt: skip
    assert found(run.folder, "export_loss").p_holm is not None


def test_a_teacher_below_the_dictionary_is_found(copy: Path) -> None:
    def change(told: dict[str, Any]) -> None:
        sides = told["systems"]
        sides["teacher"]["scores"], sides["baseline"]["scores"] = (
            {"edit_f05": {"value": one, "low": one - 0.05, "high": one + 0.05}} for one in (0.2, 0.4))  # fmt: skip

    changed(copy, "evaluate", "evaluation.json", change)
    assert "a dictionary is 0.400" in found(copy, "weak_teacher").told


def test_a_student_that_starts_from_nothing_is_found(copy: Path) -> None:
    """It knows nothing before its first step, and stays behind a teacher that shows its layers."""
    resolved = json.loads((copy / "recipe.resolved.json").read_text(encoding="utf-8"))
    resolved |= {"teacher": {"kind": "finetuned", "base": "unused"}, "student": {"kind": "transformer", "layers": 1}}
    (copy / "recipe.resolved.json").write_text(json.dumps(resolved), encoding="utf-8")
    behind = {"value": -0.2, "low": -0.3, "high": -0.1, "n": 90, "reason": ""}
    changed(copy, "train", "log.jsonl", lambda told: told["before"].update(edit_f05=0.0))
    assert not [one for one in doctor.examine(copy).findings if one.symptom == "cold_start"]
    changed(copy, "evaluate", "evaluation.json",
            lambda told: told["difference"]["student_minus_teacher"].update(edit_f05=behind))  # fmt: skip
    assert found(copy, "cold_start").evidence[0].value == 0.0


def test_what_was_learned_by_heart_is_found(copy: Path) -> None:
    heard(copy, lambda sheet: -sheet, of="dev")
    assert "by heart" in found(copy, "few_rows").cause


def test_a_teacher_that_is_sure_and_wrong_is_found(copy: Path) -> None:
    heard(copy, lambda sheet: np.roll(sheet, 1, axis=1), of="dev")
    finding = found(copy, "sure_teacher")
    assert finding.severity == "warning"
    (sure,) = [one.value for one in finding.evidence if one.name == "mean confidence"]
    assert isinstance(sure, float)
    assert sure > 0.9
