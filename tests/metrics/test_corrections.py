"""What is measured of corrections, against other implementations and by hand."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import fbeta_score, recall_score
from tests.conftest import TAGGER
from tests.contracts.test_metrics import corrections

from stillroom import comparison
from stillroom.core import objects, plugins, proofs, recipe, spelling
from stillroom.core.edits import chunks
from stillroom.core.proofs import Mark
from stillroom.metrics._corrections import Corrected
from stillroom.table import Table
from stillroom.tasks.proofreading import Proofreading

SHARED = Path(__file__).parents[3] / "shared" / "data" / "proofreading" / "jfleg"
Marks = list[tuple[Mark, float]]


def score(name: str, answers: Corrected) -> float:
    found: Any = plugins.build("metrics", name)
    return float(found.score(answers))


def answers(texts: list[str], references: list[tuple[str, ...]], said: list[Marks]) -> Corrected:
    words = spelling.dictionary()
    gold = [tuple(proofs.reference(text, one, is_word=words.__contains__) for one in some)
            for text, some in zip(texts, references, strict=True)]  # fmt: skip
    column = objects.array(said)
    return Corrected(objects.array(gold), column, column, objects.array(texts), pipeline=TAGGER)


def published_gleu(answers: Corrected, *, draws: int) -> float:
    """The authors' way: one reference a row is drawn, many times, and the scores are averaged."""
    rng = random.Random(0)
    total = 0.0
    for _ in range(draws):
        lengths, right, every = [0, 0], [0] * 4, [0] * 4
        for text, written, some in zip(answers.sources, answers.written, answers.gold, strict=True):
            source, said, wanted = (
                [one.text for one in chunks(part)] for part in (text, written, rng.choice(some).text)
            )
            lengths = [lengths[0] + len(said), lengths[1] + len(wanted)]
            for n in range(4):
                s, c, r = (Counter(tuple(part[at : at + n + 1]) for at in range(len(part) - n))
                           for part in (source, said, wanted))  # fmt: skip
                only = Counter({gram: count for gram, count in s.items() if gram not in r})
                right[n] += max(sum((c & r).values()) - sum((c & only).values()), 0)
                every[n] += max(len(said) - n, 0)
        if min(right) > 0:
            short = min(0.0, 1 - lengths[1] / lengths[0])
            total += exp(short + sum(log(a / b) for a, b in zip(right, every, strict=True)) / 4)
    return 100 * total / draws


@pytest.mark.parametrize("seed", range(3))
def test_gleu_with_one_reference_is_the_published_one(seed: int) -> None:
    said = corrections(seed, rows=30)
    one = Corrected(objects.array([some[:1] for some in said.gold]), said.said, said.teacher, said.texts)
    assert score("gleu", one) == pytest.approx(published_gleu(one, draws=1), abs=1e-9)


def test_gleu_with_several_is_what_drawing_them_comes_to() -> None:
    said = corrections(4, rows=60)
    assert max(len(some) for some in said.gold) > 1
    assert score("gleu", said) == pytest.approx(published_gleu(said, draws=200), abs=0.5)


def test_gleu_punishes_what_should_have_been_changed_and_was_not() -> None:
    texts, references = ["he have a cat in the house"] * 30, [("he has a cat in the house",)] * 30
    nothing: list[Marks] = [[] for _ in texts]
    right: list[Marks] = [[(Mark(3, "word:has"), 0.9)] for _ in texts]
    wrong: list[Marks] = [[(Mark(3, "word:had"), 0.9)] for _ in texts]
    scores = [score("gleu", answers(texts, references, one)) for one in (nothing, wrong, right)]
    assert scores[0] < scores[1] < scores[2] == pytest.approx(100)


@pytest.mark.parametrize("seed", range(3))
def test_edit_f05_is_that_of_sklearn_on_chunks(seed: int) -> None:
    said = corrections(seed, rows=50)
    one = Corrected(objects.array([some[:1] for some in said.gold]), said.said, said.teacher, said.texts)
    gold, own = [], []
    for text, references, marks in zip(one.sources, one.gold, one.said, strict=True):
        tags = {mark.at: mark.tag for mark in references[0].marks}, {mark.at: mark.tag for mark, _ in marks}
        for chunk in chunks(text):
            gold.append(tags[0].get(chunk.start, "keep"))
            own.append(tags[1].get(chunk.start, "keep"))
    labels = sorted({*gold, *own} - {"keep"})
    expected = fbeta_score(gold, own, beta=0.5, labels=labels, average="micro")
    assert score("edit_f05", one) == pytest.approx(expected)
    assert score("edit_recall", one) == pytest.approx(recall_score(gold, own, labels=labels, average="micro"))


def test_a_row_is_held_to_the_reference_that_it_is_nearest_to() -> None:
    texts, both = ["he have cat"], [("he has cat", "he has a cat")]
    said: list[Marks] = [[(Mark(3, "word:has"), 0.9)]]
    assert score("edit_f05", answers(texts, both, said)) == 1.0
    assert answers(texts, both, said).right.tolist() == [True]
    assert score("edit_f05", answers(texts, both, [[]])) == 0.0


@pytest.mark.parametrize("seed", range(2))
def test_errant_is_its_own_comparison(seed: int) -> None:
    """With one reference a row nothing is chosen; the counts are then those of `errant_compare`."""
    import errant
    from errant.commands.compare_m2 import computeFScore

    from stillroom.metrics.errant_f05 import _opened

    said = corrections(seed, rows=40)
    one = Corrected(
        objects.array([some[:1] for some in said.gold]), said.said, said.teacher, said.texts, pipeline=TAGGER
    )
    tool = _opened(TAGGER)
    assert isinstance(tool, errant.annotator.Annotator)
    counts = np.zeros(3)
    for text, written, references in zip(one.sources, one.written, one.gold, strict=True):
        sides = [{(edit.o_start, edit.o_end, edit.c_str) for edit in tool.annotate(tool.parse(text), tool.parse(other))}
                 for other in (written, references[0].text)]  # fmt: skip
        counts += [len(sides[0] & sides[1]), len(sides[0] - sides[1]), len(sides[1] - sides[0])]
    expected = computeFScore(*counts.tolist(), 0.5)[2]
    assert score("errant_f05", one) == pytest.approx(expected, abs=1e-4)


def test_false_flags_are_counted_in_words_of_what_is_right() -> None:
    texts = ["he has a cat .", "he have a cat ."]
    references = [("he has a cat .",), ("he has a cat .",)]
    said: list[Marks] = [[(Mark(3, "word:had"), 0.9)], [(Mark(3, "word:has"), 0.9)]]
    assert score("false_flags", answers(texts, references, said)) == pytest.approx(1000 / 4)


def test_marks_of_one_topic_alone_are_told_apart() -> None:
    texts, references = ["he have recieved a cat"], [("he has received a cat",)]
    found = answers(texts, references, [[(Mark(8, "spell"), 0.9)]])
    parts = {(family, name): narrow(found.take(rows)) for family, name, rows, narrow in found.parts()}
    assert {name for family, name in parts if family == "topic"} == {"spelling", "agreement"}
    assert score("edit_f05", parts["topic", "spelling"]) == 1.0
    assert score("edit_f05", parts["topic", "agreement"]) == 0.0
    assert score("edit_recall", parts["topic", "spelling"]) == 1.0
    assert score("edit_recall", parts["topic", "agreement"]) == 0.0


def test_recall_of_each_kind_stands_beside_what_is_kept_of_it() -> None:
    """Forty texts with one mistake of each of two kinds: the teacher finds both, the student misspellings and more."""
    texts, references = ["he have recieved a cat"] * 40, [("he has received a cat",)] * 40
    both, one = (
        [(Mark(3, "word:has"), 0.9), (Mark(8, "spell"), 0.9)],
        [(Mark(8, "spell"), 0.9), (Mark(19, "spell"), 0.9)],
    )
    every = answers(texts, references, [both] * 40)
    said = {"teacher": every, "student": replace(every, said=objects.array([one] * 40))}
    ids = tuple(map(str, range(40)))
    table = Table(ids, ("",) * 40, np.zeros(40, dtype=np.bool_), {}, said, {})
    settings = recipe.Evaluate(resamples=200, min_slice_rows=30)
    told = comparison.compare(table, metrics=Proofreading().metrics, settings=settings, seed=1)
    found = {part["name"]: part for part in told["slices"] if part["family"] == "topic"}
    for name, recall in (("spelling", 1.0), ("agreement", 0.0)):
        assert found[name]["beside"]["edit_recall"]["student"]["value"] == recall
        assert found[name]["beside"]["edit_recall"]["teacher"]["value"] == 1.0
        assert found[name]["beside"]["edit_recall"]["student"]["n"] == 40
    assert found["spelling"]["student"]["value"] < 1, "which false alarms lower"
    assert not any(part["beside"] for part in told["slices"] if part["family"] != "topic")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data sets here")
def test_what_learners_wrote_has_the_score_that_others_report() -> None:
    """GLEU of JFLEG's dev as it stands is 38.2 to 38.4 by the tokens of whoever counts."""
    texts = (SHARED / "dev.src.txt").read_text(encoding="utf-8").splitlines()
    columns = [(SHARED / f"dev.ref{at}.txt").read_text(encoding="utf-8").splitlines() for at in range(4)]
    gold = objects.array([tuple(proofs.Reference(one, ()) for one in some) for some in zip(*columns, strict=True)])
    nothing = objects.array([[] for _ in texts])
    assert score("gleu", Corrected(gold, nothing, nothing, objects.array(texts))) == pytest.approx(38.3, abs=0.2)
