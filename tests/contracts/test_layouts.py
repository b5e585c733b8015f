"""Every layout: what it writes loads in the library that it is for, and answers as the student does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import fitness
from stillroom.core import batches, plugins, recipe
from stillroom.core.errors import MismatchError, RecipeError
from stillroom.layouts import Layout
from stillroom.students import Network
from stillroom.tasks.embeddings import Embeddings
from stillroom.teachers.sentence_transformer import Embedder
from tests.conftest import sentences

#: Layouts of students that embed; that of language models: `tests/students/test_decoder.py`.
NAMES = [name for name in plugins.names("layouts") if "vectors" in plugins.member("layouts", name).shapes]
TASK = Embeddings(dimensions=24)
STUDENTS: dict[str, dict[str, Any]] = {"static": {"dimensions": 16}, "transformer": {"layers": 2}}
PAIRS = [(name, kind) for name in NAMES for kind in sorted(plugins.member("layouts", name).students)]
TEXTS = [
    *(text for text, _ in sentences()[::40]),
    "",
    "GREAT!!",
    "naïve café 中文",
    "☃ zzz qqq",
    "great\tfilm\n",
    "a" * 90,
]


def load(name: str, folder: Path) -> Any:
    """What the library makes of it: texts to vectors."""
    if name == "model2vec":
        from model2vec import StaticModel

        return StaticModel.from_pretrained(folder).encode
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode


@pytest.fixture(scope="module", params=STUDENTS)
def student(request: pytest.FixtureRequest, embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A student of a teacher whose vectors are turned and cut, with weights that are not at their start."""
    import torch

    folder = tmp_path_factory.mktemp("student")
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(32, 32)))[0][:24].astype(np.float32)
    teacher = Embedder(embedder_folder, name="tiny", turn=turn)
    made = plugins.build("students", {"kind": request.param, **STUDENTS[request.param]})
    (folder / "studied").mkdir()
    made.study(teacher, folder / "studied")
    network = made.begin(task=TASK, studied=folder / "studied", texts=iter(TEXTS), seed=3)
    with torch.no_grad():
        for weight in network.module.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * 0.02)
    network.save(folder)
    again: Network = made.reopen(folder, task=TASK)
    return again


def in_torch(network: Network) -> Any:
    import torch

    with torch.inference_mode():
        one_by_one = [batches.pad(network.encode([text])) for text in TEXTS]
        both = [network.module.eval()(torch.from_numpy(ids), torch.from_numpy(mask)) for ids, mask in one_by_one]
        return torch.cat(both).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_is_its_own_settings(name: str) -> None:
    layout: Layout = plugins.build("layouts", name)
    assert type(layout).__doc__
    assert plugins.build("layouts", layout.model_dump(mode="json")) == layout
    with pytest.raises(RecipeError, match="a key that nothing reads"):
        plugins.build("layouts", {"kind": name, "nonsense": 1})


@pytest.mark.parametrize("name", NAMES)
def test_the_library_answers_as_the_student_does(name: str, student: Network, tmp_path: Path) -> None:
    layout: Layout = plugins.build("layouts", name)
    kind = "static" if "Static" in type(student).__name__ else "transformer"
    if kind not in layout.students:
        with pytest.raises(TypeError):
            layout.write(student, tmp_path)
        return
    layout.write(student, tmp_path)
    expected = in_torch(student)
    assert expected.shape == (len(TEXTS), 24)
    found = np.array(load(name, tmp_path)(TEXTS))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not list(tmp_path.rglob("*.bin")), "nothing that only pickle reads"
    assert "/tmp" not in "".join(path.read_text() for path in tmp_path.rglob("*config*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_student_that_it_can_not_hold_is_refused_before_anything_begins(name: str, toy: dict[str, Any]) -> None:
    with pytest.raises(MismatchError, match=r"export\.layouts\[0\]"):
        fitness.check(recipe.parse({**toy, "export": {"layouts": [name]}}))
    with pytest.raises(RecipeError, match="Did you mean"):
        recipe.parse({**toy, "export": {"layouts": [f"{name}s"]}})
    assert json.loads(recipe.parse({**toy, "export": {"layouts": [name]}}).model_dump_json())


@pytest.mark.parametrize("cut", [{"heads": 1}, {"feed_forward": 8}])
def test_what_no_configuration_states_is_refused_before_anything_begins(
    cut: dict[str, int], embedder_folder: Path, toy: dict[str, Any]
) -> None:
    vectors = {"task": {"kind": "embeddings", "dimensions": 32}, "objective": [{"kind": "cosine"}],
               "teacher": {"kind": "sentence_transformer", "model": str(embedder_folder)}}  # fmt: skip
    student = {"kind": "transformer", "layers": 2, **cut}
    export = {"formats": ["onnx"], "layouts": ["sentence_transformers"]}
    with pytest.raises(MismatchError, match=r"export\.layouts\[0\].*more was cut"):
        fitness.check(recipe.parse({**toy, **vectors, "student": student, "export": export}))
