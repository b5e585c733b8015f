"""What is measured of texts, against other libraries and by hand."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from tests.contracts.test_metrics import texts

from stillroom.core import objects, plugins
from stillroom.metrics._texts import Written
from stillroom.metrics.unfounded import unfounded


def written(said: list[str], gold: list[tuple[str, ...]], sources: list[str] | None = None) -> Written:
    references = np.empty(len(gold), dtype=np.object_)
    references[:] = gold
    told = objects.array(said)
    return Written(references, told, told, objects.array(sources or [""] * len(said)))


def score(name: str, answers: Written) -> float:
    found: Any = plugins.build("metrics", name)
    return float(found.score(answers))


def references(answers: Written) -> list[list[str | None]]:
    """As sacrebleu takes them: None where a row has no second one."""
    most = max(len(some) for some in answers.gold)
    return [[some[place] if place < len(some) else None for some in answers.gold] for place in range(most)]


@pytest.mark.parametrize("seed", range(6))
class TestSacrebleu:
    def test_bleu(self, seed: int) -> None:
        answers = texts(seed, rows=60)
        expected = BLEU().corpus_score(list(answers.said), references(answers)).score
        assert score("bleu", answers) == pytest.approx(expected, abs=1e-9)

    def test_bleu_where_an_order_has_no_hit(self, seed: int) -> None:
        answers = texts(seed, rows=1 + seed % 3)
        expected = BLEU().corpus_score(list(answers.said), references(answers)).score
        assert score("bleu", answers) == pytest.approx(expected, abs=1e-9)

    def test_chrf(self, seed: int) -> None:
        answers = texts(seed, rows=60)
        expected = CHRF().corpus_score(list(answers.said), references(answers)).score
        assert score("chrf", answers) == pytest.approx(expected, abs=1e-9)

    @pytest.mark.parametrize(("name", "theirs"), [("bleu", BLEU), ("chrf", CHRF)])
    @pytest.mark.parametrize("most", [1, 2, 9])
    def test_signatures(self, seed: int, name: str, theirs: type[BLEU | CHRF], most: int) -> None:
        """Of rows with one reference each, with two each, and with as many as there are."""
        drawn = texts(seed, rows=60)
        answers = replace(drawn, gold=objects.array([(some * 2)[:most] for some in drawn.gold]))
        counted = theirs()
        counted.corpus_score(list(answers.said), references(answers))
        found: Any = plugins.build("metrics", name)
        assert found.signature(answers) == str(counted.get_signature())


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge(name: str) -> None:
    answers = texts(3, rows=40)
    scorer = RougeScorer([name], use_stemmer=True)
    each = [np.mean([scorer.score(one, said)[name].fmeasure for one in some])
            for said, some in zip(answers.said, answers.gold, strict=True)]  # fmt: skip
    assert score(name.replace("rougeL", "rouge_l"), answers) == pytest.approx(100 * np.mean(each))


def test_nothing_written_is_worth_nothing_and_no_error() -> None:
    empty = written([""] * 3, [("a cat sat there",)] * 3)
    for name in ("bleu", "chrf", "rouge1", "rouge2", "rouge_l", "length_ratio"):
        assert score(name, empty) == 0.0, name
    assert np.isnan(score("copied", empty))
    assert score("unfounded", empty) == 0.0


def test_what_is_written_as_it_should_be_is_worth_everything() -> None:
    gold = ["the old ship sails home again", "Mira sings in Oslo tonight"]
    right = written(gold, [(one,) for one in gold])
    for name, best in (("bleu", 100), ("chrf", 100), ("rouge1", 100), ("rouge_l", 100), ("length_ratio", 1)):
        assert score(name, right) == pytest.approx(best), name
    assert right.right.all()
    assert right.agrees.all()


def test_exact_match_by_hand() -> None:
    said = ["In Oslo.", "in  oslo", "in Oslo now", "", "the sea"]
    gold = [("in oslo",), ("Rome", "In Oslo!"), ("in Oslo",), ("in Oslo",), ("sea the",)]
    assert score("exact_match", written(said, gold)) == pytest.approx(2 / 5)
    assert plugins.build("metrics", "exact_match").rows(written([], [])).shape == (0, 2)


def test_length_ratio_by_hand() -> None:
    """Three words for four, and four for two (the mean of one and three): seven to six."""
    answers = written(["a b c", "a b c d"], [("a b c d",), ("a", "a b c")])
    assert score("length_ratio", answers) == pytest.approx(6 / 7)


def test_rows_by_names_in_the_source_and_by_what_is_to_be_left_of_it() -> None:
    sources = ["We met Ann in Oslo, and Ann left.", "nothing here", "So Ann left", "x" * 100]
    found = written(["a"] * 4, [("We met Ann.",), ("nothing here at all",), (), ("x" * 9, "x" * 9)], sources).kinds()
    assert found == {"names": ["2 or more", "none", "1", "none"],
                     "compression": ["a quarter to a half", "longer than the text", "", "under a tenth"]}  # fmt: skip


def test_copied_by_hand() -> None:
    answers = written(["The cat sat.", "um gato"], [("",), ("",)], ["the CAT ran", "a cat"])
    assert score("copied", answers) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("said", "source", "expected"),
    [
        ("It cost 1,500 euros.", "The price was 1500 euros.", []),
        ("It cost 1,600 euros.", "The price was 1500 euros.", ["1,600"]),
        ("They met Mira there.", "Someone met her.", ["Mira"]),
        ("They met mira. Oslo was cold.", "Someone met her.", []),
        ("They met MIRA there.", "Mira met someone.", []),
        ("He said: “Anna came.”", "Nobody came.", []),
        ("In 2020 and 2021, sales fell.", "Sales fell in 2021.", ["2020"]),
        ("It weighs 1.5 pounds.", "It weighs 15 pounds.", ["1.5"]),
        ("It weighs 1,5 pounds.", "It weighs 1.5 pounds.", []),
        ("It cost 1.234,50 euros.", "The price was 1,234.50 euros.", []),
        ("It took 0.5 or 2 hours.", "It took 0,50 or 2.0 hours.", []),
        ("It weighs 0.500 grams.", "It weighs 500 grams.", ["0.500"]),
        ("It is version 1.2.3 of it.", "It is version 1.2.4 of it.", ["1.2.3"]),
        ("The firm moved to London.", "A London-based firm moved, and more--Paris too.", []),
        ("It is of Ann.", "Somebody announced it.", ["Ann"]),
        ("They asked Ann. They saw Mira’s house.", "Ann's house stands beside that of Mira.", []),
        ("They asked Jean-Luc.", "It was Jean-Luc who came.", []),
    ],
)
def test_numbers_and_names_that_the_source_lacks(said: str, source: str, expected: list[str]) -> None:
    assert unfounded(said, source) == expected


def test_of_several_texts_the_best_that_is_not_sifted_out_is_learned_from() -> None:
    """By their order; where all are objected to, it is told why the first is. What is judged stays the first."""
    task: Any = plugins.build("tasks", {"kind": "text_to_text", "most_copied": 0.7, "least_score": -1.0})
    sources = ["one two three four five six"] * 4
    some = [
        (("um dois tres quatro", -0.1), ("outra frase longa", -0.2)),
        (("one two three four five seis", -0.1), ("um", -0.2), ("outra frase longa", -0.3)),
        (("um", -0.1), ("outra frase longa", -1.5)),
        (),
    ]
    candidates = objects.array([""] * 4)
    candidates[:] = some
    said = {"sequence": objects.array([one[0][0] if one else "" for one in some]), "candidates": candidates}
    chosen, why = task.form.chosen(said, functools.partial(task.sift, sources))
    assert chosen["sequence"][:2].tolist() == ["um dois tres quatro", "outra frase longa"]
    assert why.tolist() == ["", "", "wrote too little", "wrote nothing"]
    assert said["sequence"][1] == "one two three four five seis"
    plain, why = task.form.chosen({"sequence": said["sequence"]}, functools.partial(task.sift, sources))
    assert plain["sequence"].tolist() == said["sequence"].tolist()
    assert why.tolist() == ["", "copied", "wrote too little", "wrote nothing"]


def test_a_low_score_is_told() -> None:
    task: Any = plugins.build("tasks", {"kind": "text_to_text", "least_score": -1.0})
    said = objects.array(["um gato grande"] * 2)
    assert task.sift(["a large cat"] * 2, said, scores=np.array([-1.2, -0.8])).tolist() == [
        "wrote what it is not sure of",
        "",
    ]
    assert task.sifting["least_score"] == -1.0


def test_what_a_teacher_wrote_is_sifted() -> None:
    task: Any = plugins.build("tasks", {"kind": "text_to_text", "most_copied": 0.7})
    cases = [
        ("a long sentence about a cat", "uma frase longa sobre um gato", ""),
        ("a long sentence about a cat", "  ", "wrote nothing"),
        ("a long sentence about a cat", "uma", "wrote too little"),
        ("a cat", "uma frase longa sobre um gato", "wrote too much"),
        ("one two three four five six", "one two three four five seis", "copied"),
        ("Kyoto", "Kyoto", ""),
    ]
    sources, said, expected = (list(one) for one in zip(*cases, strict=True))
    assert task.sift(sources, objects.array(said)).tolist() == expected
