"""Every figure in report and model card cites the digest of what it comes from, and one that did not would be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from stillroom.core import artifact
from stillroom.documents import Evidence
from stillroom.documents.model_card import ModelCard
from stillroom.documents.report import Report
from tests.documents.evidence import STAGES, full, log, made_up
from tests.test_dossier import Page


def examined() -> dict[str, Any]:
    """A whole summary of a student that came out low, so that the doctor was asked."""
    summary = full()
    key = summary["stages"]["train"]["key"]
    fact = {"name": "rows", "value": 12, "artifact": f"student/{key}", "field": "facts.rows"}
    found = {"symptom": "few_rows", "severity": "warning", "told": "12 rows to learn from.", "cause": "There are few.",
             "change": "Find more.", "evidence": [fact]}  # fmt: skip
    summary["corpus"]["rights"]["gaps"] = ["2 of 3 licences are not stated"]
    return {**summary, "findings": [found]}


CITED = re.compile(r'<code title="[0-9a-f]{64}">[0-9a-f]{12}</code>')


class Blocks(HTMLParser):
    """The numbers of a page that stand in no block with a digest: a paragraph, figure, row of figures or list."""

    BLOCKS = frozenset({"p", "figure", "aside"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, bool]] = []
        self.waiting: list[list[str]] = []
        self.cited: list[bool] = []
        self.bare: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in Page.EMPTY:
            return
        told = dict(attrs)
        classes = (told.get("class") or "").split()
        inside_figures = tag == "div" and any(one == "dl" for one, _ in self.open)
        block = tag in self.BLOCKS or "cited" in classes or inside_figures
        self.open.append((tag, block))
        if block:
            self.waiting.append([])
            self.cited.append(False)
        if tag == "code" and re.fullmatch("[0-9a-f]{64}", told.get("title") or ""):
            self.cited = [True] * len(self.cited)

    def handle_endtag(self, tag: str) -> None:
        last, block = self.open.pop()
        assert last == tag
        if block:
            words, cited = self.waiting.pop(), self.cited.pop()
            if not cited:
                (self.waiting[-1] if self.waiting else self.bare).extend(words)

    def handle_data(self, data: str) -> None:
        tags = {tag for tag, _ in self.open}
        if re.search("[0-9]", data) and not tags & {"head", "nav"}:
            (self.waiting[-1] if self.waiting else self.bare).append(data.strip())


def uncited(page: str) -> list[str]:
    """Numbers of a page without a digest beside them; the metrics' formulas measure nothing."""
    formulas = re.compile(r'<figure class="table glossary">.*?</figure>', flags=re.DOTALL)
    return Blocks(formulas.sub("", page)).bare


@pytest.mark.parametrize("summary", [full, examined, made_up], ids=["whole", "examined", "made up"])
def test_every_figure_cites_a_digest(summary: Callable[[], dict[str, Any]]) -> None:
    page, stages = Report().render(Evidence(summary(), log())), full()["stages"]
    pieces = re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)
    assert len(pieces) > 15
    without = [one for one in pieces if not CITED.search(one)]
    assert [re.findall(r"<caption><span>(.*?)</span>", one)[:1] for one in without] == [["What the metrics are"]]
    assert uncited(page) == []
    for stage in STAGES:
        assert f'title="{stages[stage]["digest"]}"' in page
        assert f'title="{stages[stage]["key"]}"' in page


def test_a_figure_without_a_digest_would_be_seen() -> None:
    """Planted: each block with figures loses its source line in turn, and a figure stands by itself."""
    page = Report().render(Evidence(examined(), log()))
    lines = [
        found.span() for found in re.finditer(r'<p class="source">.*?</p>|<(span|small) class="cite">.*?</\1>', page)
    ]
    assert len(lines) > 25
    unseen = [start for start, end in lines if not uncited(page[:start] + page[end:])]
    assert [page[start - 160 : start] for start in unseen] == []
    assert uncited(page.replace("<main>", "<main><div>It is 7 times as quick.</div>")) == ["It is 7 times as quick."]


def bare(card: str) -> list[str]:
    """Blocks of a card with a number and no source under them, or under the table or list that they belong to."""
    blocks = re.sub(r"```.*?```", "", card.split("---\n", 2)[2], flags=re.DOTALL).split("\n\n")
    found = []
    for place, block in enumerate(blocks):
        told = re.sub(r"`[^`]*`", "", block)
        if not re.search("[0-9]", told) or block.startswith(("*Source", "#")):
            continue
        rest = iter([*blocks[place + 1 :], "", ""])
        after = next(rest)
        if after.startswith("|") and not block.startswith("|"):  # a caption: on to what follows the table
            after = next(rest)
        if not after.startswith("*Source") and (block.startswith("|") or blocks[place + 1].startswith("|")):
            after = next(rest)  # a note on how to read the table
        if not after.startswith("*Source"):
            found.append(block)
    return found


def told_of_a_run(card: str) -> str:
    """A card without its glossary, which measures nothing, and without the list of digests itself."""
    for title in ("What the metrics are", "Stages of this run"):
        card, times = re.subn(rf"{title}\.\n\n(\|.*\n)+", "", card)
        assert times == 1
    return card


@pytest.mark.parametrize("summary", [full, examined, made_up], ids=["whole", "examined", "made up"])
def test_every_figure_of_the_card_cites_a_digest(summary: Callable[[], dict[str, Any]]) -> None:
    assert bare(told_of_a_run(ModelCard().render(Evidence(summary())))) == []


def test_what_the_doctor_found_cites_the_artifacts_of_its_facts() -> None:
    train = full()["stages"]["train"]["digest"]
    found = re.search(r"12 rows to learn from.*?</div>", Report().render(Evidence(examined())), flags=re.DOTALL)
    assert found
    assert re.findall('title="([0-9a-f]{64})"', found.group()) == [train]


def test_a_figure_of_the_card_without_a_digest_would_be_seen() -> None:
    """Planted: each block with figures loses its source line in turn."""
    card = told_of_a_run(ModelCard().render(Evidence(examined())))
    lines = [found.span() for found in re.finditer(r"\*Source: .*\*\n\n?", card)]
    assert len(lines) > 15
    assert [card[start - 160 : start] for start, end in lines if not bare(card[:start] + card[end:])] == []


def test_the_card_cites_digests_and_holds_them_in_full() -> None:
    card = ModelCard().render(Evidence(full(), log()))
    for stage, made in full()["stages"].items():
        assert f"| {stage} | `{made['key']}` | `{made['digest']}` |" in card
    assert f"*Source: evaluate `{artifact.sha256(b'evaluate')[:12]}`.*" in card
