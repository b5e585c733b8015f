"""The documents say what the summary holds, cite where it comes from, and survive what the summary lacks."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from stillroom import dossier
from stillroom.core.errors import MissingExtra
from stillroom.documents import SYSTEMS, Evidence, report
from stillroom.documents.model_card import ModelCard
from stillroom.documents.report import Report, drawing
from tests.documents.evidence import full, interval, log, made_up

HOSTILE = "<script>alert('x')</script> | `tick` & \"quote\"\n# no heading\u2028"


@pytest.fixture(scope="module")
def page() -> str:
    return Report().render(Evidence(full(), log()))


@pytest.fixture(scope="module")
def card() -> str:
    return ModelCard().render(Evidence(full(), log()))


def front_matter(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.load(front, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe
    return found


class Page(HTMLParser):
    """What a browser would make of a page: its tags, attributes and words; refuses tags that don't nest."""

    EMPTY = frozenset({"meta", "br", "hr", "img", "input", "link"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def leaves(found: Any, change: Callable[[Any], Any]) -> Any:
    """The same tables and lists, with other things in them."""
    if isinstance(found, dict):
        return {name: leaves(value, change) for name, value in found.items()}
    if isinstance(found, list):
        return [leaves(value, change) for value in found]
    return change(found)


def test_writes_every_document_whole(tmp_path: Path) -> None:
    began = time.perf_counter()
    paths = dossier.write(full(), curves=log(), folder=tmp_path / "dossier")
    assert time.perf_counter() - began < 3
    assert {path.name for path in paths} == {"report.html", "model_card.md"} == set(os.listdir(tmp_path / "dossier"))
    assert (tmp_path / "dossier" / "report.html").read_text("utf-8") == Report().render(Evidence(full(), log()))


def test_writes_nothing_if_a_document_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Report, evidence: Evidence) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Report, "render", fail)
    with pytest.raises(ZeroDivisionError):
        dossier.write(full(), curves=log(), folder=tmp_path / "dossier")
    assert not (tmp_path / "dossier").exists()


def test_names_that_no_file_can_hold_are_written_all_the_same(tmp_path: Path) -> None:
    summary = full()
    summary["slices"][0]["name"] = "half a character \ud800"
    for path in dossier.write(summary, curves=[], folder=tmp_path):
        assert "half a character ?" in path.read_text("utf-8")


def test_without_jinja_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    report._template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"stillroom\[train\]"):
        Report().render(Evidence({}))


def test_without_what_draws_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['svg'] = None; import stillroom.search;"
        "from stillroom.documents import Evidence; from stillroom.documents.report import Report;"
        "Report().render(Evidence({}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "no package `svg.py`" in done.stderr
    assert "pip install 'stillroom[train]'" in done.stderr


def test_the_headline_is_in_words_and_figures(page: str) -> None:
    said = Page(page).text
    assert "The student keeps 95.2 % of its teacher’s accuracy at 312× the speed." in said
    assert "The teacher helps: accuracy 0.816" in said
    assert "3 of 5 gates did not pass." in said
    for figure in ("95.2 % 93.9–96.5", "312× 301–320", "15.9 MB", "the teacher: 91.7 MB", "0.000301 USD"):
        assert figure in said


@pytest.mark.parametrize(
    "words",
    [
        "Student without the teacher",
        "TF-IDF with logistic regression",
        "−4.1 points −5.3 to −2.9",  # a difference
        "70 < 0.0001 Holm < 0.0001",  # McNemar
        "7.4 % (6.3–8.5) of the test rows: 158 of 2,132",
        "89.2 % (84.8–93.6) of the teacher’s accuracy on 427 rows",
        "editorials n = 61 not measurable 61 rows; 100 are needed",
        "85.7 % → 79.8 %",  # a slice
        "negation ≥ 1 and length ≥ 81",  # one that was found by looking
        "Both are wrong, in different ways, on 1.2 % (0.7–1.7).",
        "KL(teacher ‖ student)",
        "9.10 ms 41.0 µs 222×",
        "Latency of one text, p99 not measured 94.0 µs –",
        "Latency is of single texts: 60 of the teacher and 1,000 of the student.",
        "19,734 texts, 561 k tokens, 473 texts/s, in bf16",
        "2 min 11 s",
        "1.84 M",  # break-even
        "no quicker than what it came from (0.8×)",
        "Best on dev at epoch 12: 80.7 % (ringed).",
        "Expected calibration error 2.2 % (1.4–3.0).",
        "About 5,330 more rows would settle it",
        "≥ 92.0 %",
        "≤ 90.0 MB",
        "who wrote the unlabelled text is not recorded",
        "made in this run",
        "1 of 15 slices could not be measured: domain “editorials”",
        "it does not beat frozen embeddings",
    ],
)
def test_both_documents_tell_what_the_summary_holds(words: str, page: str, card: str) -> None:
    assert words in Page(page).text
    plain = card.replace("\\", "").replace("&lt;", "<")
    in_markdown = {
        "−4.1 points −5.3 to −2.9": "−4.1 points (−5.3 to −2.9)",
        "70 < 0.0001 Holm < 0.0001": "70 | < 0.0001 (Holm < 0.0001)",
        "editorials n = 61 not measurable 61 rows; 100 are needed": "editorials | 61 | not measured (61 rows",
        "85.7 % → 79.8 %": "79.8 % (77.7–81.9)",
        "Latency of one text, p99 not measured 94.0 µs –": "Latency of one text, p99 | not measured | 94.0 µs | – |",
        "9.10 ms 41.0 µs 222×": "9.10 ms | 41.0 µs | 222×",
        "Best on dev at epoch 12: 80.7 % (ringed).": "",  # curves are pictures
        "Expected calibration error 2.2 % (1.4–3.0).": "Expected calibration error of the student: 2.2 % (1.4–3.0).",
    }
    assert in_markdown.get(words, words) in plain


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    for tag, attributes in Page(page).tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "href", "xlink:href", "action") or str(value).startswith("#")
    assert not re.search(r"https?://|url\(|@import", page)
    policy = next(one for _, one in Page(page).tags if one.get("http-equiv") == "Content-Security-Policy")
    assert str(policy["content"]).startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


def test_the_page_can_be_read_without_seeing_it(page: str) -> None:
    tags = Page(page).tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.count("<table>") == page.count("<caption>") > 10
    drawings = [one for tag, one in tags if tag == "svg" and "class" in one]
    assert all((one.get("role") == "img" and one.get("aria-label")) or one.get("aria-hidden") for one in drawings)
    for picture in re.findall(r'<svg[^>]*role="img".*?</svg>', page):
        assert picture.split(">", 2)[1].startswith("<title")


def test_a_gate_is_told_apart_by_more_than_colour(page: str) -> None:
    for state, sign in (("pass", "✓"), ("fail", "✕"), ("inconclusive", "≈"), ("not measurable", "–")):
        css = state.replace(" ", "-")
        assert f'<span class="state {css}"><i aria-hidden="true">{sign}</i>{state}</span>' in page


def test_systems_are_told_apart_by_shape() -> None:
    assert len({str(drawing.mark(system, 0, 0)).replace(system, "") for system in SYSTEMS}) == len(SYSTEMS)


def test_the_same_evidence_gives_the_same_text(page: str, card: str) -> None:
    evidence = Evidence(json.loads(json.dumps(full())), json.loads(json.dumps(log())))
    assert Report().render(evidence) == page
    assert ModelCard().render(evidence) == card


def test_with_nothing_measured_nothing_is_invented() -> None:
    page, card = Report().render(Evidence({})), ModelCard().render(Evidence({}))
    for said in (Page(page).text, card):
        assert "not measured" in said
        assert not re.search(r"[0-9] ?[%×]|[0-9]\.[0-9]|nan|None", said)
    assert "model-index" not in front_matter(card)
    assert "no digest recorded" in page


PARTS = sorted(full())


@pytest.mark.parametrize(
    "names",
    [*(PARTS[start::8] for start in range(8)), *(pytest.param([name], marks=pytest.mark.slow) for name in PARTS)],
    ids=lambda names: names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
)
@pytest.mark.parametrize("value", ["gone", [None, {"value": {}, "teacher": 3}]])
def test_any_part_may_be_missing_or_strange(names: list[str], value: Any) -> None:
    summary = full()
    for name in names:
        if value == "gone":
            del summary[name]
        else:
            summary[name] = value
    Page(Report().render(Evidence(summary, log())))
    front_matter(ModelCard().render(Evidence(summary, log())))


@pytest.mark.parametrize("value", [None, "words", 0, 1e-12, 1e18, -1.5, True, [], {}])
def test_every_leaf_may_be_strange(value: Any) -> None:
    evidence = Evidence(leaves(full(), lambda _: value), leaves(log(), lambda _: value))
    Page(Report().render(evidence))
    front_matter(ModelCard().render(evidence))


def test_why_something_was_not_measured_is_told() -> None:
    summary = full()
    summary["retention"]["accuracy"] = {"value": None, "low": None, "high": None, "n": 12, "reason": "12 rows only"}
    said = Page(Report().render(Evidence(summary))).text
    assert "What the student keeps of its teacher was not measured; it runs at 312× the speed." in said
    assert "of the teacher’s accuracy kept not measured 12 rows only" in said


def hostile() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary with every string, and every name that people choose, turned into an attack."""
    summary = leaves(full(), lambda value: HOSTILE if isinstance(value, str) else value)
    for part in (
        summary["student"]["scores"],
        summary["retention"],
        summary["stages"],
        summary["corpus"]["duplicates"],
    ):
        part[HOSTILE] = next(iter(part.values()))
    summary["corpus"]["labels"]["train"][HOSTILE] = 3
    summary["corpus"]["rows"][HOSTILE] = 4
    summary["labels"] = [HOSTILE, "b"]
    rows = log()
    for row in rows:
        row["terms"][HOSTILE] = 0.2
        row["dev"][HOSTILE] = 0.2
    return summary, rows


def test_hostile_names_stay_words() -> None:
    page = Page(Report().render(Evidence(*hostile())))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, one in page.tags for name in one)
    assert "<script>alert('x')</script>" in page.text


def test_hostile_names_stay_words_in_markdown() -> None:
    card = ModelCard().render(Evidence(*hostile()))
    front = front_matter(card)
    assert front["model-index"][0]["name"] == " ".join(HOSTILE.split())
    body = card.split("---\n", 2)[2]
    assert "<" not in body
    headings = [line for line in body.splitlines() if line.startswith("#")]
    assert len(headings) == len([line for line in ModelCard().render(Evidence(full())).splitlines() if line[:1] == "#"])
    blocks = [block for block in body.split("\n\n") if block.startswith("|")]
    assert len(blocks) > 10
    for block in blocks:
        assert len({line.count("|") - line.count("\\|") for line in block.splitlines()}) == 1


def test_front_matter_is_what_the_hub_reads(card: str) -> None:
    front = front_matter(card)
    assert front["license"] == "other"
    assert front["license_name"] == "teacher-apache-2.0-text-mit"
    assert front["library_name"] == "stillroom"
    assert front["pipeline_tag"] == "text-classification"
    assert "language" not in front
    assert front["metrics"] == ["accuracy", "macro_f1", "ece", "nll", "agreement"]
    (result,) = front["model-index"][0]["results"]
    scores = full()["student"]["scores"]
    assert {one["type"]: one["value"] for one in result["metrics"]} == {
        name: found["value"] for name, found in scores.items()
    }


@pytest.mark.parametrize(
    ("told", "expected"), [("summarization", "summarization"), ("translation", "translation"), ("", None)]
)
def test_front_matter_has_the_hubs_name_of_the_task_where_there_is_one(told: str, expected: str | None) -> None:
    front = front_matter(ModelCard().render(Evidence(full() | {"hub_task": told})))
    assert front.get("pipeline_tag") == expected
    assert front["model-index"][0]["results"][0]["task"]["type"] == (expected or "classification")


def test_front_matter_against_the_hubs_own_reader(card: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    read = hub.ModelCard(card, ignore_metadata_errors=False).data
    assert {one.metric_type: one.metric_value for one in read.eval_results} == {
        name: found["value"] for name, found in full()["student"]["scores"].items()
    }
    assert {one.dataset_name for one in read.eval_results} == {"A fixture"}
    assert read.library_name == "stillroom"


@pytest.mark.parametrize(
    ("teacher", "text", "expected"),
    [
        ("MIT", "mit", {"license": "mit"}),
        ("", "", {"license": "unknown"}),
        ("Apache-2.0", "", {"license": "other", "license_name": "teacher-apache-2.0-text-unknown"}),
        ("My own!", "My own!", {"license": "other", "license_name": "teacher-my-own-text-my-own"}),
    ],
)
def test_the_licence_is_that_of_what_went_in(teacher: str, text: str, expected: dict[str, str]) -> None:
    summary = {"teacher": {"identity": {"licence": teacher}}, "corpus": {"rights": {"licence": text}}}
    front = front_matter(ModelCard().render(Evidence(summary)))
    assert {name: value for name, value in front.items() if name.startswith("license")} == expected


def test_nobody_is_told_that_all_is_well(page: str, card: str) -> None:
    for text in (page, card):
        assert "compliant" not in text.lower()
        assert "anonymous" not in text.lower()


def test_a_student_that_is_worse_is_said_to_be() -> None:
    summary = full()
    summary["difference"]["student_minus_baseline"]["accuracy"] = interval(-0.03, 0.01)
    summary["difference"]["student_minus_undistilled"]["accuracy"] = interval(0.003, 0.01)
    summary["student"]["cost"]["price_per_million_texts"] = 0.2
    summary["break_even_texts"] = None
    said = Page(Report().render(Evidence(summary))).text
    assert "The student is worse than the baseline: −3.0 points (−4.0 to −2.0)." in said
    assert "These rows show no difference between the student and the same student without its teacher." in said
    assert "never the student is not the cheaper one" in said


def test_the_gap_to_real_text_is_told_where_texts_were_made(page: str, card: str) -> None:
    for text, plain in (
        (Report().render(Evidence(made_up(), log())), page),
        (ModelCard().render(Evidence(made_up())), card),
    ):
        for words in (
            "Made texts beside real ones",
            "98.3",
            "−12.0",
            "Real ones",
            "nobody wrote",
            "Far &lt;b&gt;apart",
        ):
            assert words in text
            assert words not in plain
    assert front_matter(ModelCard().render(Evidence(made_up())))["model-index"][0]["results"][0]["dataset"]["name"] == (
        "Real ones"
    )


@pytest.mark.parametrize("value", [None, 7, "words", [], {}, {"agreement": 3, "told_apart": {"value": "x"}}])
def test_a_strange_gap_breaks_nothing(value: Any) -> None:
    for document in (Report(), ModelCard()):
        document.render(Evidence({**made_up(), "gap": value}))


def test_where_nothing_was_tested_that_is_said() -> None:
    text = ModelCard().render(Evidence({**made_up(), "rows": {"test": 0}}))
    assert "No row was there to test on" in text
    assert "test rows of one corpus" not in text
