"""The documents say what the summary holds, cite where it comes from, and survive what the summary lacks."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stillroom import dossier
from stillroom.core import artifact
from stillroom.core.errors import MissingExtra
from stillroom.documents import SYSTEMS, Evidence, Figure, _units, report
from stillroom.documents.model_card import ModelCard
from stillroom.documents.report import Report, panels, svg

STAGES = ("corpus", "teacher", "transfer", "train", "export", "evaluate", "cost", "gates")
HOSTILE = "<script>alert('x')</script> | `tick` & \"quote\"\n# no heading\u2028"


def interval(value: float, half: float, n: int = 2132) -> dict[str, Any]:
    return {"value": value, "low": round(value - half, 6), "high": round(value + half, 6), "n": n}


def figures(accuracy: float, macro: float, ece: float, nll: float) -> dict[str, Any]:
    return {
        "accuracy": interval(accuracy, 0.016),
        "macro_f1": interval(macro, 0.017),
        "ece": interval(ece, 0.008),
        "nll": interval(nll, 0.03),
    }


def piece(family: str, name: str, n: int, kept: float, half: float) -> dict[str, Any]:
    return {
        "family": family,
        "name": name,
        "n": n,
        "state": "measured",
        "reason": "",
        "teacher": interval(0.857, half, n),
        "student": interval(round(0.857 * kept, 4), half, n),
        "retention": interval(kept, half, n),
        "negative_flips": {**interval(round((1 - kept) + 0.03, 4), 0.01, n), "count": round(n * (1.03 - kept))},
    }


def unmeasured(family: str, name: str, n: int) -> dict[str, Any]:
    reason = f"{n} rows; 100 are needed"
    nothing = {"value": None, "low": None, "high": None, "n": n, "reason": reason}
    told = {"family": family, "name": name, "n": n, "state": "not measurable", "reason": reason}
    return {**told, "teacher": nothing, "student": nothing, "retention": nothing, "negative_flips": None}


def bins(sharpness: float) -> list[dict[str, Any]]:
    found = []
    for number in range(15):
        low, high = round(number / 15, 6), round((number + 1) / 15, 6)
        if high <= 0.5:
            found.append({"low": low, "high": high, "n": 0, "confidence": None, "accuracy": None})
            continue
        middle = (max(low, 0.5) + high) / 2
        n = round(60 + 1500 * max(0.0, middle - 0.5) ** (2 * sharpness))
        right = middle - 0.05 * (sharpness - 0.9) * (middle - 0.4) * 10
        found.append({"low": low, "high": high, "n": n, "confidence": round(middle, 5), "accuracy": round(right, 5)})
    return found


def slices() -> list[dict[str, Any]]:
    return [
        piece("class", "negative", 1066, 0.949, 0.019),
        piece("class", "positive", 1066, 0.955, 0.018),
        *(piece("length", f"{place} of 5: {told}", 426, kept, 0.026) for place, told, kept in LENGTHS),
        piece("domain", "movies", 2132, 0.952, 0.013),
        piece("domain", "products", 1610, 0.931, 0.021),
        piece("domain", "tweets", 1840, 0.962, 0.019),
        unmeasured("domain", "editorials", 61),
        *(piece("teacher_confidence", f"{place} of 5: {told}", 427, kept, 0.04) for place, told, kept in SURE),
    ]


LENGTHS = ((1, "4–62", 0.971), (2, "63–95", 0.955), (3, "96–123", 0.951), (4, "124–156", 0.944), (5, "157–267", 0.938))
SURE = ((1, "0.500–0.871", 0.892), (2, "0.872–0.968", 0.921), (3, "0.969–0.990", 0.957), (4, "0.991–0.996", 0.989))


def full() -> dict[str, Any]:
    """A whole summary. Every figure in it is made up: it shows what a report looks like, and nothing else."""
    cost = {"parameters": 22_713_984, "flops_per_text": 1.24e9, "resident_mb": 612.4, "disk_mb": 91.7}
    small = {"parameters": 7_883_522, "flops_per_text": 20_480, "resident_mb": 96.3, "disk_mb": 15.9}
    return {
        "name": "fixture-reviews",
        "task": "classification",
        "seed": 7,
        "recipe_digest": artifact.sha256(b"recipe"),
        "stillroom": "0.1.0",
        "created": "2026-01-05T10:00:00+00:00",
        "labels": ["negative", "positive"],
        "confidence": 0.95,
        "rows": {"test": 2132, "outside": 3511},
        "teacher": {
            "identity": {
                "name": "fixture encoder, fine-tuned",
                "weights": artifact.sha256(b"weights"),
                "tokenizer": artifact.sha256(b"tokenizer"),
                "labels": ["negative", "positive"],
                "licence": "Apache-2.0",
            },
            "scores": figures(0.857, 0.856, 0.041, 0.352),
            "cost": {
                **cost,
                "texts_per_second": 118.2,
                "latency_ms": {"p50": 9.1, "p95": 14.8, "p99": 18.2},
                "price_per_million_texts": 0.094,
            },
        },
        "student": {
            "kind": "static",
            "runner": "static",
            "scores": {**figures(0.816, 0.815, 0.022, 0.421), "agreement": interval(0.893, 0.013)},
            "cost": {
                **small,
                "texts_per_second": 36_900.0,
                "latency_ms": {"p50": 0.041, "p95": 0.068, "p99": 0.094},
                "price_per_million_texts": 0.000301,
            },
            "variants": [
                {
                    "format": "static",
                    "kept": True,
                    "reason": "passed its checks",
                    "checks": {"largest_difference": 0.0042, "metric_loss": 0.0, "speed": 4.1},
                },
                {
                    "format": "onnx_int8",
                    "kept": False,
                    "reason": "no quicker than what it came from (0.8×)",
                    "checks": {"largest_difference": 0.13, "metric_loss": 0.004, "speed": 0.8},
                },
            ],
        },
        "undistilled": {"scores": {**figures(0.789, 0.789, 0.087, 0.502), "agreement": interval(0.851, 0.015)}},
        "baseline": {
            "name": "TF-IDF with logistic regression",
            "scores": {**figures(0.771, 0.771, 0.035, 0.486), "agreement": interval(0.822, 0.016)},
        },
        "retention": {"accuracy": interval(0.952, 0.013), "macro_f1": interval(0.9518, 0.0131)},
        "difference": {
            "student_minus_teacher": {"accuracy": interval(-0.041, 0.012), "nll": interval(0.069, 0.021)},
            "student_minus_undistilled": {"accuracy": interval(0.027, 0.013), "nll": interval(-0.081, 0.026)},
            "student_minus_baseline": {"accuracy": interval(0.045, 0.015), "nll": interval(-0.065, 0.024)},
        },
        "agreement": interval(0.893, 0.013),
        "negative_flips": {**interval(0.074, 0.011), "count": 158},
        "positive_flips": {**interval(0.033, 0.008), "count": 70},
        "mcnemar": {
            "teacher": {"b": 158, "c": 70, "p": 5.6e-9, "p_holm": 1.1e-8},
            "undistilled": {"b": 141, "c": 199, "p": 0.0020, "p_holm": 0.0020},
            "baseline": {"b": 155, "c": 251, "p": 2.1e-6, "p_holm": 4.2e-6},
        },
        "speedup": {"value": 312.2, "low": 301.4, "high": 319.9, "n": 5},
        "break_even_texts": 1_840_000.0,
        "price": {"per_vcpu_hour": 0.04, "currency": "USD", "utilisation": 1.0},
        "hidden": {"seconds": {"teacher": 131.0, "transfer": 41.7, "train": 9.4}, "cores": 2, "spend": 0.00114},
        "slices": slices(),
        "worst_slice": {
            "family": "teacher_confidence",
            "name": "1 of 5: 0.500–0.871",
            "n": 427,
            "retention": interval(0.892, 0.044, 5643),
        },
        "reliability": {"teacher": bins(1.15), "student": bins(1.0)},
        "verdict": {
            "sentence": "The teacher helps: accuracy 0.816 with the teacher’s words, 0.789 without them.",
            "worth": "helps",
            "difference": interval(0.027, 0.013),
        },
        "gates": gates(),
        "corpus": {
            "rows": {"train": 7986, "dev": 544, "test": 2132, "unlabelled": 11_204, "outside": 3511},
            "labels": {
                "train": {"negative": 3993, "positive": 3993},
                "dev": {"negative": 272, "positive": 272},
                "test": {"negative": 1066, "positive": 1066},
            },
            "notes": ["These figures are made up for a test."],
            "duplicates": {"exact": {"train": 12, "unlabelled": 204}, "near, dropped from train": 9},
            "rights": {
                "source": "A fixture",
                "licence": "MIT",
                "retrieved": "2026-01-04",
                "basis": "the licence",
                "gaps": ["who wrote the unlabelled text is not recorded"],
            },
        },
        "transfer": {
            "precision": {"precision": "bf16", "reason": "probabilities differ by at most 0.0121"},
            "texts": 19_734,
            "seconds": 41.7,
            "texts_per_second": 473.2,
            "tokens": 561_204,
        },
        "machine": {"cpu": "A fixture’s processor", "cores": 2, "flags": ["avx512f", "avx512_bf16"]},
        "notes": ["Teacher: it does not beat frozen embeddings with logistic regression."],
        "stages": {
            stage: {
                "key": artifact.sha256(f"key of {stage}".encode())[:24],
                "digest": artifact.sha256(stage.encode()),
                "seconds": 3.2 * place,
                "reused": stage in ("corpus", "teacher"),
            }
            for place, stage in enumerate(STAGES, start=1)
        },
    }


def gates() -> list[dict[str, Any]]:
    def gate(measure: str, state: str, sense: str, limit: float, *found: float | None) -> dict[str, Any]:
        value, low, high = found
        told = {"measure": measure, "state": state, "sense": sense, "limit": limit}
        return {**told, "value": value, "low": low, "high": high, "reason": f"why it is {state}", "advice": ""}

    return [
        gate("retention.accuracy", "pass", "at_least", 0.92, 0.952, 0.939, 0.965),
        gate("speedup", "pass", "at_least", 150.0, 312.2, 301.4, 319.9),
        {
            **gate("worst_slice.retention", "inconclusive", "at_least", 0.88, 0.892, 0.848, 0.936),
            "advice": "About 5,330 more rows would settle it; it would then pass.",
        },
        gate("student.cost.resident_mb", "fail", "at_most", 90.0, 96.3, None, None),
        gate("student.scores.recall", "not measurable", "at_least", 0.9, None, None, None),
    ]


def log() -> list[dict[str, Any]]:
    rows = []
    for epoch in range(1, 13):
        kl, hard = 0.08 + 0.55 / epoch, 0.03 + 0.07 / epoch
        dev = {
            "accuracy": round(0.815 - 0.12 / epoch**1.4 - 0.0004 * epoch, 5),
            "loss": 0.14 + 0.5 / epoch + 0.002 * epoch,
            "rows": 544.0,
        }
        terms = {"forward_kl": kl, "hard_label": hard}
        loss = kl + hard
        rows.append(
            {"epoch": epoch, "step": 250 * epoch, "loss": loss, "terms": terms, "dev": dev, "learning_rate": 1e-3}
        )
    return rows


@pytest.fixture(scope="module")
def page() -> str:
    return Report().render(Evidence(full(), log()))


@pytest.fixture(scope="module")
def card() -> str:
    return ModelCard().render(Evidence(full(), log()))


def front_matter(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    found: dict[str, Any] = yaml.load(front, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
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
        "9.10 ms 41.0 µs 222×",
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
        "9.10 ms 41.0 µs 222×": "9.10 ms | 41.0 µs | 222×",
        "Best on dev at epoch 12: 80.7 % (ringed).": "",  # curves are pictures
        "Expected calibration error 2.2 % (1.4–3.0).": "Expected calibration error of the student: 2.2 % (1.4–3.0).",
    }
    assert in_markdown.get(words, words) in plain


def test_every_figure_cites_a_digest(page: str) -> None:
    stages = full()["stages"]
    pieces = re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)
    assert len(pieces) > 15
    without = [one for one in pieces if not re.search(r'<code title="[0-9a-f]{64}">[0-9a-f]{12}</code>', one)]
    assert [re.search(r"<caption><span>(.*?)</span>", one)[1] for one in without] == ["What the metrics are"]  # type: ignore[index]
    for stage in STAGES:
        assert f'title="{stages[stage]["digest"]}"' in page
        assert f'title="{stages[stage]["key"]}"' in page


def test_the_card_cites_digests_and_holds_them_in_full(card: str) -> None:
    for stage, made in full()["stages"].items():
        assert f"| {stage} | `{made['key']}` | `{made['digest']}` |" in card
    assert f"*Source: evaluate `{artifact.sha256(b'evaluate')[:12]}`.*" in card


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
    for drawing in re.findall(r'<svg[^>]*role="img".*?</svg>', page):
        assert drawing.split(">", 2)[1].startswith("<title")


def test_a_gate_is_told_apart_by_more_than_colour(page: str) -> None:
    for state, sign in (("pass", "✓"), ("fail", "✕"), ("inconclusive", "≈"), ("not measurable", "–")):
        css = state.replace(" ", "-")
        assert f'<span class="state {css}"><i aria-hidden="true">{sign}</i>{state}</span>' in page


def test_systems_are_told_apart_by_shape() -> None:
    assert len({svg.mark(system, 0, 0).split('d="')[1].split('"')[0] for system in SYSTEMS}) == len(SYSTEMS)


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


@pytest.mark.parametrize("name", sorted(full()))
@pytest.mark.parametrize("value", ["gone", [None, {"value": {}, "teacher": 3}]])
def test_any_part_may_be_missing_or_strange(name: str, value: Any) -> None:
    summary = full()
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


@pytest.mark.parametrize(
    ("unit", "figure", "expected"),
    [
        (_units.PERCENT, Figure(0.931, 0.918, 0.944), "93.1 % (91.8–94.4)"),
        (_units.PERCENT, Figure(0.931), "93.1 %"),
        (_units.PERCENT, Figure(reason="12 rows; 30 are needed"), "not measured: 12 rows; 30 are needed"),
        (_units.PERCENT, Figure(), "not measured"),
        (_units.POINTS, Figure(-0.031, -0.044, -0.018), "−3.1 points (−4.4 to −1.8)"),
        (_units.POINTS, Figure(0.00001, -0.01, 0.01), "0.0 points (−1.0 to +1.0)"),
        (_units.TIMES, Figure(412.4, 398.0, 420.0), "412× (398–420)"),
        (_units.TIMES, Figure(9.444), "9.44×"),
        (_units.LATENCY, Figure(0.0412), "41.2 µs"),
        (_units.LATENCY, Figure(12.34), "12.3 ms"),
        (_units.MEGABYTES, Figure(5.94), "5.9 MB"),
        (_units.MEGABYTES, Figure(2470.0), "2.47 GB"),
        (_units.MEGABYTES, Figure(0.0078), "7.8 kB"),
        (_units.SECONDS, Figure(0.018), "18 ms"),
        (_units.Unit(_units.significant), Figure(3.04e-8), "3.04e−8"),
        (_units.Unit(_units.significant), Figure(0.00000734), "0.00000734"),
        (_units.SCALED, Figure(22_713_984), "22.7 M"),
        (_units.SCALED, Figure(999_960), "1,000 k"),
        (_units.RATE, Figure(36_900.4), "36,900 texts/s"),
        (_units.SECONDS, Figure(131.0), "2 min 11 s"),
        (_units.SECONDS, Figure(59.7), "60 s"),
        (_units.SECONDS, Figure(7322.0), "2 h 2 min"),
        (_units.of_metric("nll"), Figure(0.42, 0.391, 0.451), "0.420 (0.391–0.451)"),
        (_units.of_measure("retention.accuracy"), Figure(0.95), "95.0 %"),
        (_units.of_measure("student.cost.latency_ms.p95"), Figure(1.5), "1.50 ms"),
        (_units.of_measure("difference.student_minus_teacher.nll"), Figure(0.05), "+0.050"),
        (_units.of_measure("student.scores.ece"), Figure(0.05), "5.0 %"),
    ],
)
def test_figures_read_as_people_write_them(unit: _units.Unit, figure: Figure, expected: str) -> None:
    assert unit.told(figure) == expected


@given(low=st.floats(-1e6, 1e6), span=st.floats(0, 1e6), count=st.integers(1, 8))
def test_ticks_hold_what_they_are_of(low: float, span: float, count: int) -> None:
    ticks = svg.nice(low, low + span, count=count)
    slack = 1e-6 * max(1.0, abs(low), span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 2 * count + 3
    assert ticks == sorted(set(ticks))


@given(values=st.lists(st.floats(0.01, 1e9), min_size=2, max_size=8), log_scale=st.booleans())
def test_a_scale_keeps_order(values: list[float], log_scale: bool) -> None:
    scale = svg.Scale(min(values), max(values), 10, 90, log=log_scale)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 <= place <= 90 for place in places)


def test_a_strip_has_its_dot_between_its_whiskers(page: str) -> None:
    strip = next(one for one in re.findall(r'<svg role="img"[^>]*class="strip".*?</svg></svg>', page))
    drawn = ElementTree.fromstring(strip)  # noqa: S314 (our own)
    whisker = next(one for one in drawn.iter("line") if str(one.get("class")).startswith("whisker"))
    (mark,) = list(drawn.iter("svg"))[1:]
    low, high, dot = (float(str(at).rstrip("%")) for at in (whisker.get("x1"), whisker.get("x2"), mark.get("x")))
    assert low < dot < high


def test_speed_is_drawn_only_where_it_is_known() -> None:
    panel = panels.speed_and_quality(Evidence(full()))
    assert panel is not None
    names = re.findall(r'class="name">(.*?)<', panel.picture)
    assert names == ["Teacher", "Student"]


def test_bins_are_drawn_with_their_rows() -> None:
    teacher, student = panels.reliability(Evidence(full()))
    for panel, found in ((teacher, bins(1.15)), (student, bins(1.0))):
        assert re.findall(r'class="count">(.*?)<', panel.picture) == [str(one["n"]) for one in found if one["n"]]


def test_the_ring_stands_where_dev_chooses() -> None:
    rows = [
        {"epoch": 1, "dev": {"accuracy": 0.8, "loss": 0.5}},
        {"epoch": 2, "dev": {"accuracy": 0.9, "loss": 0.4}},
        {"epoch": 3, "dev": {"accuracy": 0.9, "loss": 0.3}},
        {"epoch": 4, "dev": {"accuracy": 0.9, "loss": 0.3}},
    ]
    drawn = panels.curves(Evidence({"retention": {"accuracy": interval(0.9, 0.1)}}, rows))
    assert [panel.note for panel in drawn if panel.note] == ["Best on dev at epoch 3: 90.0 % (ringed)."]


def test_one_epoch_is_enough_for_a_curve() -> None:
    (panel,) = panels.curves(Evidence({}, log()[:1]))[:1]
    assert panel.picture.count("<circle") == 4


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


def made_up() -> dict[str, Any]:
    """A run that learned from made texts."""
    less = {"made": interval(0.93, 0.01), "real": interval(0.81, 0.02), "real_minus_made": interval(-0.12, 0.024)}
    told = {
        "told_apart": interval(0.983, 0.009),
        "agreement": less,
        "confidence": less,
        "sentence": "Far <b>apart</b>.",
    }
    summary = {**full(), "gap": told}
    summary["corpus"] = {
        **summary["corpus"],
        "rights": {**summary["corpus"]["rights"], "real": {"source": "Real ones"}},
    }
    return summary


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
