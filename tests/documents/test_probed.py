"""How documents show texts with their words weighed."""

from __future__ import annotations

import re
from typing import Any

from stillroom.core import plugins
from stillroom.documents import Evidence
from stillroom.documents.model_card import ModelCard
from stillroom.documents.report import Report
from tests.documents.evidence import full, interval, log
from tests.documents.test_citations import bare, told_of_a_run, uncited
from tests.test_dossier import Page


def summary() -> dict[str, Any]:
    told: dict[str, Any] = plugins.build("probes", "attribution").nothing("made up")
    told |= {"rows": 60, "named_same": 52, "spearman": interval(-0.02, 0.1, 52)}
    teacher = {"side": "teacher", "named": "<good>", "weights": [1.0, -0.6, 0.0]}
    student = {"side": "student", "named": "bad", "weights": [0.1, -0.3, 0.9]}
    told["examples"] = [{"told": "They disagree", "parts": ["a <b>fine</b>", "  plot", " twist"],
                         "readings": [teacher, student]}]  # fmt: skip
    return {**full(), "attribution": told}


def test_words_are_told_apart_without_colour() -> None:
    page = Report().render(Evidence(summary(), log()))
    read = Page(page)
    assert '<mark class="for s3">a &lt;b&gt;fine&lt;/b&gt;<sup>+</sup></mark>' in page
    assert '<mark class="against s2">plot<sup>−</sup></mark> twist' in page
    assert "Heaviest: “a <b>fine</b>” for it (1.00), “plot” against it (0.60)." in read.text
    assert "<good>" in read.text
    assert "<b>fine" not in page
    assert re.search(r"mark\.against \{ text-decoration: underline dotted", page)
    assert "−0.02" in read.text
    assert "−0.12 to 0.08" in read.text


def test_marked_texts_cite_where_they_come_from() -> None:
    assert uncited(Report().render(Evidence(summary(), log()))) == []
    assert bare(told_of_a_run(ModelCard().render(Evidence(summary())))) == []


def test_the_card_says_it_in_words() -> None:
    card = ModelCard().render(Evidence(summary()))
    assert "- student bad: “twist” for it (0.90), “plot” against it (0.30)" in card
    assert "<b>" not in card
