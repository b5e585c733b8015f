"""Integrated gradients: held to their closed form in linear networks, and to what adds up in others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stillroom.core import edit_tags, objects, plugins, recipe
from stillroom.core.words import Traced, Words
from stillroom.probes import SECOND, Heard, _reasons, integrated_gradients
from stillroom.probes.attribution import Attribution
from stillroom.probes.integrated_gradients import IntegratedGradients
from stillroom.shapes import Aim
from stillroom.students import Inside
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Task
from stillroom.tasks.embeddings import Embeddings
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextToText
from stillroom.tasks.token_labelling import TokenLabelling
from tests.conftest import needs_captum
from tests.probes.test_attribution import TASK, WEIGHTS, WORDS, Says, bag, sat, texts

if TYPE_CHECKING:
    import torch

OTHERS = ("[PAD]", "[CLS]", "!")
TAGS = TokenLabelling(labels=("place",))
WIDTH = 16
VECTORS = Embeddings(dimensions=WIDTH)


def read(text: str) -> Traced:
    """A token that was added, then the words of a text."""
    found = list(re.finditer(r"\w+|!", text))
    known = (*WORDS, *OTHERS)
    ids = [known.index("[CLS]"), *(known.index(one.group()) for one in found)]
    places = np.array([(0, 0), *(one.span() for one in found)], np.int32)
    words = Words(np.arange(1, len(ids)), places[1:], np.array([len(found)]))
    return Traced(np.array(ids, np.int32), places, words)


def label(target: int) -> Aim:
    return Aim((np.array([target]),), np.ones(1, dtype=np.float32))


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
    nothing = module.table.weight[len(WORDS)].detach() if blank else torch.zeros(1)
    return Inside(module, module.table, read, nothing)


@needs_captum
@pytest.mark.parametrize("blank", [True, False])
def test_of_a_linear_network_it_is_weight_times_distance(blank: bool) -> None:
    import torch

    here = network(WEIGHTS, blank=blank)
    told = read("superb dull plot!")
    for target in (0, 1):
        found, rise = integrated_gradients.along(here, told, label(target), steps=10)
        module: Any = here.answer
        vectors = module.table.weight[torch.from_numpy(told.ids).long()]
        base = module.table.weight[len(WORDS)] if blank else torch.zeros(6)
        expected = ((vectors - base) @ module.head.weight[target]).detach().numpy()
        expected[0] = 0.0  # the token that was added is there at both ends
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert found.sum() == pytest.approx(rise, abs=1e-5)


@needs_captum
def test_of_a_bent_network_it_comes_to_what_the_logit_rises_by() -> None:
    here = network(WEIGHTS, bend=0.3)
    found, rise = integrated_gradients.along(here, read("superb awful fine plot music!"), label(1), steps=50)
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
    written = objects.array(texts())
    sitting = sat(texts(), lambda _: written, lambda _: written, task=TextToText())
    assert "told token by token" in probe.measure(sitting, Heard(TASK, {}, {}))["spearman"]["reason"]


def test_no_recipe_asks_for_it_by_itself(toy: dict[str, Any]) -> None:
    asked = {one.kind for one in recipe.parse(toy).probes}
    assert IntegratedGradients in {type(one) for one in plugins.free("probes")}
    assert "integrated_gradients" not in asked
    assert "attribution" in asked


def tagged(marked: Mapping[str, float], cues: Mapping[str, float]) -> tuple[Inside, Says]:
    """A network that tags words, linear in their vectors, and what it says: `Paris` is a place wherever it stands.

    The logit of a tag is what its own word adds (`marked`), and what all words of the text add together (`cues`).
    """
    import torch
    from torch import nn

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            names = (*WORDS, *OTHERS)
            weights = [[marked.get(one, 0.0), cues.get(one, 0.0)] for one in names]
            self.table = nn.Embedding.from_pretrained(torch.tensor(weights))

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            vectors = self.table(ids) * mask.unsqueeze(-1)
            begins = vectors[..., 0] + vectors[..., 1].sum(dim=1, keepdim=True)
            return torch.stack([torch.zeros_like(begins) + 5.0, begins, begins - 9.0], dim=-1)

    module = Tagger()

    def say(rows: Sequence[str]) -> Any:
        every = [read(one) for one in rows]
        lines = [module(torch.from_numpy(one.ids[None]).long(), torch.ones(1, len(one.ids)))[0] for one in every]
        values = [line.detach().numpy()[one.words.tokens] for line, one in zip(lines, every, strict=True)]
        return TAGS.form.spread(np.concatenate(values), Words.join([one.words for one in every]))

    return Inside(module, module.table, read, torch.zeros(1)), say


def compared(teacher: tuple[Inside, Says], student: tuple[Inside, Says], *, task: Task, rows: list[str], **settings: Any
             ) -> dict[str, Any]:  # fmt: skip
    here = sat(rows, teacher[1], student[1], task=task)
    here = replace(here, look={TEACHER: lambda: teacher[0], STUDENT: lambda: student[0]})
    return IntegratedGradients(rows=len(rows), **settings).measure(here, Heard(task, {}, {}))


@needs_captum
def test_of_tags_that_are_linear_a_word_weighs_what_it_adds_to_those_that_say_something() -> None:
    """Of two words with a tag each has its own half; what all words add together counts whole; of the rest nothing."""
    here, say = tagged({"Paris": 20.0, "script": 12.0, "dull": -7.0}, WEIGHTS)
    text = "superb Paris dull script !"
    aim = TAGS.form.aim(say([text]), read(text))
    assert aim.at[0].tolist() == [2, 4]
    found, rise = integrated_gradients.along(here, read(text), aim, steps=10)
    own = (0.0, 0.0, 10.0, 0.0, 6.0, 0.0)
    cues = [0.0, *(WEIGHTS.get(word, 0.0) for word in text.split())]
    np.testing.assert_allclose(found, np.add(own, cues), atol=1e-5)
    assert found.sum() == pytest.approx(rise, abs=1e-5)


@needs_captum
def test_taggers_are_compared_where_both_find_the_same_and_rows_without_a_span_are_counted() -> None:
    """Planted: a student that finds the same spans, for the opposite reasons."""
    rows, marked = texts(120), {word: 20.0 if word == "Paris" else -20.0 for word in (*WORDS, "!")}
    without = sum("Paris" not in one for one in rows)
    teacher = tagged(marked, WEIGHTS)
    same = compared(teacher, teacher, task=TAGS, rows=rows)
    assert 0 < without < 60
    assert same["silent"] == without
    assert same["rows"] == same["named_same"] == 120 - without
    assert same["spearman"]["value"] == pytest.approx(1.0)
    assert same["complete"][STUDENT]["n"] == 120 - without
    assert same["complete"][STUDENT]["value"] == 1.0
    other = tagged(marked, {word: -one for word, one in WEIGHTS.items()})
    told = compared(teacher, other, task=TAGS, rows=rows)
    assert told["named_same"] == same["named_same"]
    assert told["spearman"]["high"] < 0
    shown = IntegratedGradients.exhibits(told)[2].rows[-1]
    assert shown[1] == without


def test_what_is_explained_of_words_is_what_is_named_of_them() -> None:
    """Corrections that are not the likeliest tags and are made, the likeliest that are not; spans that make sense."""
    text = "superb Paris dull script !"
    words, delete = read(text).words, edit_tags.TAGS.index("delete")
    shares = np.full((5, len(edit_tags.TAGS)), 1e-9)
    shares[:, delete] = (0.3, 0.55, 0.7, 1e-9, 1e-9)
    shares[:, 0] = 1 - shares[:, delete]
    for least, expected in ((0.25, [1, 2, 3]), (0.5, [2, 3]), (0.6, [3])):
        task = Proofreading(least_sure=least)
        said = task.form.spread(np.log(shares), words)
        aim = task.form.aim(task.explained(said), read(text))
        assert (aim.at[0].tolist(), set(aim.at[1].tolist())) == (expected, {delete})
        assert [one.at for one in task.named(said)[0][0].marks] == words.places[np.array(expected) - 1, 0].tolist()
    logits = np.array([[3.0, 0, 0], [2.0, 0, 2.1], [2.0, 1.9, 0], [1.0, 0, 5.0], [3.0, 0, 0]])
    said = TAGS.form.spread(logits, words)
    assert TAGS.explained(said).values.tolist() == [0, 0, 1, 2, 0], "no span begins with what goes on"
    assert TAGS.explained(TAGS.explained(said)).values.tolist() == [0, 0, 1, 2, 0]


@needs_captum
def test_a_likely_tag_that_makes_no_span_is_not_explained() -> None:
    """Planted: `Paris` goes on with a place that nothing began, and is none."""
    here, say = tagged({word: 12.0 if word == "Paris" else -20.0 for word in (*WORDS, "!")}, {})
    turned = [0, 2, 1]
    other = Inside(lambda ids, mask: here.answer(ids, mask)[..., turned], here.inlet, read, here.blank)
    goes_on = (other, lambda rows: replace(said := say(rows), values=said.values[:, turned]))
    rows = [one for one in texts(120) if "Paris" in one]
    assert compared((here, say), (here, say), task=TAGS, rows=rows)["silent"] == 0
    assert compared(goes_on, goes_on, task=TAGS, rows=rows)["silent"] == len(rows)


def embedder(weights: Mapping[str, float], *, unit: bool, zeros: bool = False) -> tuple[Inside, Says]:
    """The sum of vectors of words, at length one or as it is, and what it says; nothing is the mean vector."""
    import torch
    from torch import nn
    from torch.nn.functional import normalize

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            names = (*WORDS, *OTHERS)
            self.table = nn.Embedding(len(names), WIDTH)
            with torch.no_grad():
                self.table.weight.copy_(torch.from_numpy(np.random.default_rng(1).normal(size=(len(names), WIDTH))))
                self.table.weight *= torch.tensor([weights.get(one, 0.0) for one in names])[:, None]

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            total = (self.table(ids) * mask.unsqueeze(-1)).sum(dim=1)
            return normalize(total, dim=-1) if unit else total

    module = Sum()

    def say(rows: Sequence[str]) -> NDArray[np.float32]:
        every = [torch.from_numpy(read(one).ids[None]).long() for one in rows]
        return torch.cat([normalize(module(one, torch.ones(one.shape)), dim=-1) for one in every]).detach().numpy()

    blank = torch.zeros(1) if zeros else module.table.weight.detach().mean(dim=0)
    return Inside(module, module.table, read, blank), say


@needs_captum
def test_of_vectors_that_are_sums_a_word_weighs_what_of_it_lies_along_the_whole() -> None:
    here, say = embedder(WEIGHTS, unit=False)
    told = read("superb dull plot!")
    said = say(["superb dull plot!"])
    found, rise = integrated_gradients.along(here, told, VECTORS.form.aim(said, told), steps=10)
    module: Any = here.answer
    own = module.table.weight.detach().numpy()[told.ids] - here.blank.numpy()
    expected = own @ said[0]
    expected[0] = 0.0
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.sum() == pytest.approx(rise, abs=1e-5)


@needs_captum
def test_embedders_are_compared_by_what_brings_each_word_to_the_whole() -> None:
    """Planted: a student whose light words are the teacher's heavy ones."""
    strong = {word: 0.2 + 0.3 * place for place, word in enumerate(WORDS)}
    weak = {word: 0.2 + 0.3 * place for place, word in enumerate(reversed(WORDS))}
    rows, teacher = texts(120, end=""), embedder(strong, unit=True)
    same = compared(teacher, teacher, task=VECTORS, rows=rows)
    assert same["spearman"]["value"] == pytest.approx(1.0)
    assert same["complete"][TEACHER]["value"] > 0.95
    assert same["silent"] == 0
    told = compared(teacher, embedder(weak, unit=True), task=VECTORS, rows=rows)
    assert told["spearman"]["high"] < 0.5
    assert told["floor"]["spearman"]["value"] == pytest.approx(0.0, abs=0.1)


@needs_captum
def test_vectors_of_length_one_have_no_way_that_begins_at_zeros() -> None:
    """On all of it they point where they point in the end: no weight of any word, and a row that is not complete."""
    strong = {word: 0.2 + 0.3 * place for place, word in enumerate(WORDS)}
    both = embedder(strong, unit=True, zeros=True)
    told = compared(both, both, task=VECTORS, rows=texts(60))
    assert told["complete"][STUDENT]["value"] == 0.0
    assert told["rows"] == 0


@needs_captum
def test_of_texts_that_go_on_a_word_weighs_what_it_adds_to_those_behind_it() -> None:
    """A network that is linear in the sum of what it has read so far."""
    import torch
    from torch import nn

    class Further(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.table = nn.Embedding(len(WORDS) + len(OTHERS), 6)
            self.head = nn.Linear(6, len(WORDS) + len(OTHERS), bias=False)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.head((self.table(ids) * mask.unsqueeze(-1)).cumsum(dim=1))
            return found

    module, told = Further(), read("superb dull plot!")
    told = replace(told, words=Words(np.arange(4), told.words.places, told.words.counts))  # at the token before each
    blank = module.table.weight[len(WORDS)].detach()
    aim = plugins.build("shapes", "causal").aim(None, told)
    found, rise = integrated_gradients.along(Inside(module, module.table, read, blank), told, aim, steps=10)
    own = (module.table.weight[told.ids] - blank) @ module.head.weight[told.ids[1:]].T
    expected = torch.triu(own).sum(dim=1).detach().numpy()
    expected[0] = 0.0  # the token that was added is there at both ends
    assert expected[-1] == 0.0, "behind the last one there is none"
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.sum() == pytest.approx(rise, abs=1e-5)


@needs_captum
@pytest.mark.parametrize("at_once", [1, 30, 1 << 24])
def test_how_much_is_looked_at_together_changes_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    here = network(WEIGHTS, bend=0.3)
    whole = integrated_gradients.along(here, read("superb awful fine!"), label(1), steps=20)[0]
    monkeypatch.setattr(integrated_gradients, "_AT_ONCE", at_once)
    parts = integrated_gradients.along(here, read("superb awful fine!"), label(1), steps=20)[0]
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_both_ways_of_weighing_look_at_the_same_rows() -> None:
    here = sat(texts(60), bag(WEIGHTS), bag(WEIGHTS))
    asked = Attribution(rows=7, pieces=5)
    seen = [{one.text for one in _reasons.parted(here, rows=7, pieces=pieces)} for pieces in (5, 400)]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 7
    assert len(asked.texts(here)) == 7 * 5 * 2
