"""Runs of students that embed texts, examined: one that is well, and parts of it broken on purpose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillroom import doctor, pipeline
from stillroom.core import recipe
from stillroom.journey import Run
from tests.conftest import sentences
from tests.symptoms.scenes import GREEK, symptoms
from tests.test_doctor import part, sealed

pytestmark = pytest.mark.slow


def write(path: Path, texts: list[str]) -> str:
    """Each text with the next one, and how near it is, by lot: nobody looks at that here."""
    grades = np.random.default_rng(1).random(len(texts)).round(3).tolist()
    rows = [{"text": one, "other": other, "label": grade}
            for one, other, grade in zip(texts, texts[1:] + texts[:1], grades, strict=True)]  # fmt: skip
    path.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    return str(path)


def travelled(folder: Path, embedder: Path, *, test: list[str] | None = None) -> Run:
    every = [sentences()[place][0] for place in np.random.default_rng(0).permutation(len(sentences())).tolist()]
    (folder / "more.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in every[120:]), encoding="utf-8")
    made = {
        "name": "vectors",
        "task": {"kind": "embeddings", "dimensions": 24},
        "corpus": {"kind": "table", "dev": write(folder / "dev.jsonl", every[:60]),
                   "test": write(folder / "test.jsonl", test or every[60:120]),
                   "unlabelled": str(folder / "more.jsonl"), "other": "other"},
        "teacher": {"kind": "sentence_transformer", "model": str(embedder)},
        "student": {"kind": "static", "dimensions": 32, "epochs": 12, "batch_size": 32, "learning_rate": 1e-2},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
    }  # fmt: skip
    return pipeline.run(recipe.parse(made), work=folder / "work", until="evaluate")


@pytest.fixture(scope="module")
def run(embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return travelled(tmp_path_factory.mktemp("vectors"), embedder_folder)


def test_it_is_well(run: Run) -> None:
    found = doctor.examine(run.folder)
    assert symptoms(found) <= {"learning_rate", "under_floor"}, found.findings
    assert not any("failed" in one.reason for one in found.unseen)


def test_a_network_that_counts_padding_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from stillroom.students.static.vectors import Folded

    masked = Folded.forward
    monkeypatch.setattr(Folded, "forward", lambda self, ids, mask: masked(self, ids + (~mask) * 7, mask | True))
    assert "padding" in symptoms(doctor.examine(run.folder))


def test_another_language_in_the_test_is_found(embedder_folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    other = [" ".join(rng.choice(GREEK, 9)) for _ in range(80)]
    found = symptoms(doctor.examine(travelled(tmp_path, embedder_folder, test=other).folder))
    assert {"unknown_tokens", "far_texts"} <= found


def test_a_student_that_knows_what_it_learned_from_alone_is_found(run: Run, tmp_path: Path) -> None:
    """Of dev the teacher says the opposite of what the student does, as of texts that it could only learn by heart."""
    shutil.copytree(run.folder.parent.parent, tmp_path / "work")
    folder = tmp_path / "work" / "runs" / run.folder.name
    said = part(folder, "transfer")
    for path in said.glob("shard-dev-*.parquet"):
        shard = pq.read_table(path)
        flat = -shard["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat), 24)
        pq.write_table(shard.set_column(shard.column_names.index("embedding"), "embedding", column), path)
    sealed(said)
    (found,) = [one for one in doctor.examine(folder).findings if one.symptom == "few_rows"]
    assert "by heart" in found.cause
    assert found.p_holm is not None
