"""Integrated gradients: held to their closed form in linear networks, and to what adds up in others."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stillroom import teach
from stillroom.core import plugins, recipe
from stillroom.probes import SECOND, Heard, _reasons, integrated_gradients
from stillroom.probes.attribution import Attribution
from stillroom.probes.integrated_gradients import IntegratedGradients
from stillroom.students import Inside
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks.classification import Classification
from stillroom.tasks.embeddings import Embeddings
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS
from tests.probes.test_attribution import TASK, WEIGHTS, WORDS, bag, sat, texts

if TYPE_CHECKING:
    import torch

needs_captum = pytest.mark.skipif(importlib.util.find_spec("captum") is None, reason="the extra `audit` is not here")
OTHERS = ("[PAD]", "[CLS]", "!")


def read(text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A token that was added, then the words of a text."""
    found = list(re.finditer(r"\w+|!", text))
    known = (*WORDS, *OTHERS)
    ids = [known.index("[CLS]"), *(known.index(one.group()) for one in found)]
    return np.array(ids, np.int32), np.array([(0, 0), *(one.span() for one in found)], np.int32)


def network(weights: dict[str, float], *, bend: float = 0.0, blank: bool = True) -> Inside:
    """Embeddings, summed, and a linear head; with a bend, the square of the sum is added."""
    import torch
    from torch import nn

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.table = nn.Embedding(len(WORDS) + len(OTHERS), 6)
            self.head = nn.Linear(6, 2)
            with torch.no_grad():  # along the last axis stands the weight that a test has given
                self.table.weight[:, -1] = torch.tensor([weights.get(one, 0.0) for one in (*WORDS, *OTHERS)])
                self.head.weight *= 0.02
                self.head.weight[:, -1] = torch.tensor([-1.0, 1.0])

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            total = (self.table(ids) * mask.unsqueeze(-1)).sum(dim=1)
            logits: torch.Tensor = self.head(total)
            return logits + bend * logits.square()

    module = Bag()
    return Inside(module, module.table, read, len(WORDS) if blank else None)


@needs_captum
@pytest.mark.parametrize("blank", [True, False])
def test_of_a_linear_network_it_is_weight_times_distance(blank: bool) -> None:
    import torch

    here = network(WEIGHTS, blank=blank)
    ids, places = read("superb dull plot!")
    for target in (0, 1):
        found, rise = integrated_gradients.along(here, ids, places, target=target, steps=10)
        module: Any = here.answer
        vectors = module.table.weight[torch.from_numpy(ids).long()]
        base = module.table.weight[len(WORDS)] if blank else torch.zeros(6)
        expected = ((vectors - base) @ module.head.weight[target]).detach().numpy()
        expected[0] = 0.0  # the token that was added is there at both ends
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert found.sum() == pytest.approx(rise, abs=1e-5)


@needs_captum
def test_of_a_bent_network_it_comes_to_what_the_logit_rises_by() -> None:
    here = network(WEIGHTS, bend=0.3)
    found, rise = integrated_gradients.along(here, *read("superb awful fine plot music!"), target=1, steps=50)
    assert found.sum() == pytest.approx(rise, rel=1e-4)


def measured(teacher: Inside, student: Inside, rows: list[str], **settings: Any) -> dict[str, Any]:
    sitting = sat(rows, bag(WEIGHTS), bag(WEIGHTS))
    look = {TEACHER: lambda: teacher, STUDENT: lambda: student}
    sitting = type(sitting)(**{**vars(sitting), "look": look})
    probe = IntegratedGradients(**settings)
    assert probe.texts(sitting) == []
    return probe.measure(sitting, Heard(TASK, {}, {}))


@needs_captum
def test_a_student_that_is_its_teacher_goes_by_the_same_words() -> None:
    told = measured(network(WEIGHTS), network(WEIGHTS), texts(40))
    assert told["spearman"]["value"] == pytest.approx(1.0)
    assert told["top_k"]["value"] == told["sign"]["value"] == 1.0
    assert abs(told["floor"]["spearman"]["value"]) < 0.06
    assert told["complete"][TEACHER]["value"] == 1.0


@needs_captum
def test_two_teachers_are_the_ceiling() -> None:
    """Planted: a second teacher that is the first, and one that goes by the mark at the end; its own rows are whole."""
    here = sat(texts(60), bag(WEIGHTS), bag(WEIGHTS))
    one, other = network(WEIGHTS), network({"!": 9.0} | {word: -one / 9 for word, one in WEIGHTS.items()})
    found = {}
    for name, second in (("same", one), ("other", other)):
        look = dict(zip((TEACHER, STUDENT, SECOND), (lambda: one, lambda: one, lambda it=second: it), strict=True))
        sitting = replace(here, look=look, said={**here.said, SECOND: here.said[TEACHER]})
        found[name] = IntegratedGradients().measure(sitting, Heard(TASK, {}, {}))
    assert found["same"]["teachers"]["spearman"]["value"] == pytest.approx(1.0)
    assert found["same"]["over_teachers"]["value"] == pytest.approx(1.0)
    assert found["other"]["teachers"]["spearman"]["high"] < 0
    assert found["other"]["spearman"] == found["same"]["spearman"]


@needs_captum
def test_a_student_that_goes_by_a_sign_is_found() -> None:
    """Planted: the mark at the end is what moves it, and words go the other way."""
    rows = [one for one in texts(120) if one.endswith("!")]
    told = measured(network(WEIGHTS), network({"!": 9.0} | {word: -one / 9 for word, one in WEIGHTS.items()}), rows)
    assert told["spearman"]["high"] < 0
    assert told["other_reasons"]["value"] > 0.9
    for one in told["examples"]:
        assert one["parts"][-1] == "!"
        assert one["readings"][1]["weights"][-1] in (1.0, -1.0)


@needs_captum
def test_rows_whose_weights_do_not_add_up_are_counted_and_left_out() -> None:
    """Planted: a network that jumps on the way, which no ten gradients see."""
    plain = network(WEIGHTS)
    jumping = Inside(lambda ids, mask: (one := plain.answer(ids, mask)) + 40.0 * (one > 1.0).float(), plain.inlet, read,
                     plain.blank)  # fmt: skip
    rows = texts(60)
    told = measured(plain, jumping, rows, steps=10)
    assert told["complete"][TEACHER]["value"] == 1.0
    assert told["complete"][STUDENT]["value"] < 0.8
    assert told["rows"] == round(told["complete"][STUDENT]["value"] * 60)


def test_who_can_not_be_looked_into_gets_no_number() -> None:
    probe, sitting = IntegratedGradients(), sat(texts(), bag(WEIGHTS), bag(WEIGHTS))
    told = probe.measure(sitting, Heard(TASK, {}, {}))
    assert "teacher can't be looked into" in told["spearman"]["reason"]
    vectors = np.eye(60, dtype=np.float32)
    sitting = sat(texts(), lambda _: vectors, lambda _: vectors, task=Embeddings(dimensions=60))
    assert "one answer to a text as a whole" in probe.measure(sitting, Heard(TASK, {}, {}))["spearman"]["reason"]


def test_no_recipe_asks_for_it_by_itself(toy: dict[str, Any]) -> None:
    asked = {one.kind for one in recipe.parse(toy).probes}
    assert IntegratedGradients in {type(one) for one in plugins.free("probes")}
    assert "integrated_gradients" not in asked
    assert "attribution" in asked


def adds_up(here: Inside | None) -> None:
    """Weights come to what the logit rises by, and stand at the words."""
    assert here is not None
    text = "the film was great today"
    ids, places = here.read(text)
    assert next(text[start:end] for start, end in places.tolist() if end > start) == "the"
    found, rise = integrated_gradients.along(here, ids, places, target=1, steps=50)
    assert np.abs(found).max() > 0
    assert found.sum() == pytest.approx(rise, abs=0.01 * np.abs(found).sum())
    assert not found[places[:, 1] == 0].any()


@needs_captum
@pytest.mark.parametrize("kind", ["static", "cnn", "bigru", "transformer"])
def test_students_can_be_looked_into(kind: str, classifier_folder: Path, tmp_path: Path) -> None:
    task, student = Classification(labels=LABELS), plugins.build("students", kind)
    studied, folder = tmp_path / "studied", tmp_path / "student"
    studied.mkdir()
    folder.mkdir()
    student.study(Checkpoint(classifier_folder, name="tiny", task=task), studied)
    some = ["the film was great today", "we found it dull in every scene"] * 4
    student.begin(task=task, studied=studied, texts=iter(some), seed=1).save(folder)
    adds_up(student.inside(folder, task=task))


@needs_captum
def test_a_teacher_can_be_looked_into(classifier_folder: Path, tmp_path: Path) -> None:
    teacher = plugins.build("teachers", {"kind": "huggingface", "model": str(classifier_folder)})
    found: Any = SimpleNamespace(folder=tmp_path)
    adds_up(teach.Opened(teacher, found, task=Classification(labels=LABELS)).inside())


def test_a_student_of_n_grams_can_not(tmp_path: Path) -> None:
    student = plugins.build("students", "bag")
    student.begin(task=TASK, studied=tmp_path, texts=iter(()), seed=1).save(tmp_path)
    assert student.inside(tmp_path, task=TASK) is None


def test_both_ways_of_weighing_look_at_the_same_rows() -> None:
    here = sat(texts(60), bag(WEIGHTS), bag(WEIGHTS))
    asked = Attribution(rows=7, pieces=5)
    seen = [{one.text for one in _reasons.parted(here, rows=7, pieces=pieces)} for pieces in (5, 400)]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 7
    assert len(asked.texts(here)) == 7 * 5 * 2
