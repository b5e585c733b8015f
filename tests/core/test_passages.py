"""Passages: nothing of a text is lost, sentences stay whole where they can, and blanks belong to what they follow."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stillroom.core import passages
from stillroom.core.passages import Plan

ODD = st.text(alphabet=st.sampled_from("ab. A!\n\r?\"'。 👍\u0301\u2028\x1c\t"), max_size=80)
PLANS = st.builds(Plan, by=st.sampled_from(["sentence", "paragraph", "text"]), most=st.none() | st.integers(1, 30))


def bodies(text: str, plan: Plan) -> list[str]:
    return [text[one.first : one.last] for one in passages.split(text, plan=plan)]


@given(text=ODD, plan=PLANS)
@example(text="? \r\r", plan=Plan(by="sentence", most=1))
def test_together_they_are_the_text(text: str, plan: Plan) -> None:
    found = list(passages.split(text, plan=plan))
    assert "".join(text[one.start : one.end] for one in found) == text
    assert found[0].start == 0
    assert found[-1].end == len(text)
    for one in found:
        assert one.start <= one.first <= one.last <= one.end
        body = text[one.first : one.last]
        assert body == text[one.start : one.end].strip()
        assert body or not text.strip(), "white space alone is no passage"
        assert plan.most is None or len(body) <= plan.most


@given(text=st.text(max_size=60), plan=PLANS)
def test_any_text_comes_back(text: str, plan: Plan) -> None:
    assert "".join(text[one.start : one.end] for one in passages.split(text, plan=plan)) == text


TEXT = "One here. Two there!\nStill two?\n\n  Dr. No came. He left.\r\n \r\nLast"


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (
            Plan(by="sentence", most=None),
            ["One here.", "Two there!", "Still two?", "Dr. No came.", "He left.", "Last"],
        ),
        (Plan(by="paragraph", most=None), ["One here. Two there!\nStill two?", "Dr. No came. He left.", "Last"]),
        (Plan(by="paragraph", most=21), ["One here. Two there!", "Still two?", "Dr. No came. He left.", "Last"]),
        (Plan(by="text", most=None), [TEXT]),
        (Plan(by="text", most=45), ["One here. Two there!\nStill two?", "Dr. No came. He left.\r\n \r\nLast"]),
    ],
)
def test_where_they_end(plan: Plan, expected: list[str]) -> None:
    assert bodies(TEXT, plan) == expected
    assert not any(one.broken for one in passages.split(TEXT, plan=plan))


@pytest.mark.parametrize(
    ("text", "expected", "broken"),
    [
        ("one two three", ["one two", "three"], [True, False]),
        ("one\ntwo three four", ["one", "two", "three", "four"], [False, True, True, False]),
        ("onetwothreefour", ["onetwoth", "reefour"], [True, False]),
        ("one.      two three four", ["one.", "two", "three", "four"], [True, True, True, False]),
    ],
)
def test_a_sentence_that_is_too_long_is_parted_and_that_is_told(
    text: str, expected: list[str], broken: list[bool]
) -> None:
    plan = Plan(by="paragraph", most=8)
    assert bodies(text, plan) == expected
    assert [one.broken for one in passages.split(text, plan=plan)] == broken


def test_passages_come_before_the_text_is_gone_through() -> None:
    """A long text costs nothing before it is asked for more."""
    told = passages.split("A sentence. " * 1_000_000, plan=Plan(by="paragraph", most=100))
    assert next(told).last < 100
