"""What is told of rows that were seen before."""

from __future__ import annotations

from typing import Any

import pytest

from stillroom.documents import Evidence
from stillroom.documents.model_card import ModelCard
from stillroom.documents.report import Report
from tests.documents.evidence import contamination, full, log


@pytest.fixture(scope="module")
def page() -> str:
    return Report().render(Evidence(full(), log()))


@pytest.fixture(scope="module")
def card() -> str:
    return ModelCard().render(Evidence(full()))


def test_both_tell_who_shares_and_the_scores_without(page: str, card: str) -> None:
    for text in (page, card):
        for words in (
            "57 of 2,132 test rows share their text.",
            "What the teacher was trained on is not known.",
            "texts made for the transfer set",
            "13 words in a row",
            "11,748",
            "Alike by design: texts made for the transfer set and train (made of these rows).",
            "test 311",
            "94.6 %",
            "57 rows; 100 are needed",
        ):
            assert words in text


def test_rows_are_named_by_their_ids_in_the_report(page: str, card: str) -> None:
    assert f'title="{"ab" * 16}"' in page
    assert f'title="{"cd" * 16}"' in page
    assert "ab" * 16 not in card


def test_what_is_clean_is_no_limitation() -> None:
    clean = contamination()
    clean |= {"test_rows_shared": {"value": 0, "n": 9}, "teacher_rows_shared": {"value": 0, "n": 9}}
    for found, times in ((contamination(), 2), (clean, 1)):
        card = ModelCard().render(Evidence({**full(), "contamination": found}))
        assert card.count("What the teacher was trained on is not known.") == times
        assert card.count("57 of 2,132 test rows share their text.") == times


def test_what_was_not_searched_is_said_to_be(page: str, card: str) -> None:
    without = {name: value for name, value in full().items() if name != "contamination"}
    assert "Rows that were seen before:</strong> not measured" in Report().render(Evidence(without, log()))
    assert "## Contamination" not in ModelCard().render(Evidence(without))
    assert "## Contamination" in card
    assert "Rows that were seen before:</strong> not measured" not in page


@pytest.mark.parametrize(
    "value", [None, 7, "words", [], {}, {"pairs": 3, "scores": {"clean": []}, "sentences": "One."}]
)
def test_strange_evidence_breaks_nothing(value: Any) -> None:
    for document in (Report(), ModelCard()):
        document.render(Evidence({**full(), "contamination": value}))
