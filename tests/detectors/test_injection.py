"""A student as a detector: what it reads, what it adds up, and how its threshold is chosen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stillroom.core.errors import InputError, MismatchError
from stillroom.detectors.injection import Injection, chosen
from tests.conftest import Travelled

DULL, GREAT = "The film was dull today.", "The film was great today."


def detector(travelled: Travelled, **settings: object) -> Injection:
    base = {"bundle": str(travelled.run.folder), "labels": ("negative",), "threshold": 0.5}
    return Injection.model_validate(base | settings)


def test_the_score_is_what_the_student_says(travelled: Travelled) -> None:
    import stillroom

    for text in (DULL, GREAT):
        expected = stillroom.load(travelled.run.folder).predict([text])[0].scores["negative"]
        finding = detector(travelled).open()(text)
        assert finding.score == pytest.approx(expected, abs=1e-6)
        assert finding.found == (text == DULL)
    both = detector(travelled, labels=("negative", "positive"))
    assert both.open()(GREAT).score == pytest.approx(1.0)


def test_one_sentence_of_a_long_text_is_found_where_it_stands(travelled: Travelled) -> None:
    text = f"{GREAT} {GREAT}\n{DULL} {GREAT}"
    finding = detector(travelled, reads="sentences").open()(text)
    assert [text[one.start : one.end] for one in finding.places] == [DULL]
    assert finding.score == pytest.approx(detector(travelled).open()(DULL).score, abs=1e-6)


def test_a_long_sentence_is_read_in_windows(travelled: Travelled) -> None:
    text = " ".join(["great"] * 100 + ["dull", "awful", "boring"] + ["great"] * 100)
    reads = detector(travelled, reads="sentences")
    windows = list(reads._windows(text))
    assert windows[0][0] == 0
    assert windows[-1][1] == len(text)
    assert all(len(text[start:end].split()) <= 60 for start, end in windows)
    assert all(other[0] < one[1] for one, other in itertools.pairwise(windows))


def test_scores_are_those_of_the_texts_one_by_one(travelled: Travelled) -> None:
    texts = [DULL, "", GREAT, f"{GREAT} {DULL}", " \n"]
    for reads in ("whole", "sentences"):
        found = detector(travelled, reads=reads)
        one_by_one = [found.open()(text).score for text in texts]
        assert found.scores(texts) == pytest.approx(one_by_one, abs=1e-6)
    assert one_by_one[1] == 0


def test_a_label_that_the_bundle_has_not_is_refused(travelled: Travelled) -> None:
    with pytest.raises(MismatchError, match="`nonsense`"):
        detector(travelled, labels=("nonsense",)).open()


@pytest.mark.parametrize(("share", "told"), [(0.01, 1), (0.05, 5), (0.1, 10)])
def test_the_threshold_tells_no_more_than_the_share(share: float, told: int) -> None:
    scores = np.random.default_rng(0).random(100)
    threshold = chosen(scores, false_positives=share)
    assert int((scores >= threshold).sum()) == told
    assert int((np.full(100, 0.3) >= chosen(np.full(100, 0.3), false_positives=share)).sum()) == 0  # ties


def test_too_few_texts_or_a_score_of_one_give_no_threshold() -> None:
    with pytest.raises(InputError, match="100 texts"):
        chosen(np.zeros(99), false_positives=0.01)
    with pytest.raises(InputError, match="a score of 1"):
        chosen(np.ones(100), false_positives=0.01)
