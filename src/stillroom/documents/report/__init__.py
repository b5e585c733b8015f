"""The report people look at: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from stillroom.core.errors import missing_extra
from stillroom.documents import Document, Evidence, Source, number, words
from stillroom.documents import _contamination as contamination
from stillroom.documents import _findings as findings
from stillroom.documents import _flipped as flipped
from stillroom.documents import _forgotten as forgotten
from stillroom.documents import _ledger as ledger
from stillroom.documents import _probed as probed
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents import _unmeasured as unmeasured

if TYPE_CHECKING:
    import jinja2

_TEMPLATE = "page.html.j2"


@final
class Report(Document):
    """The report people look at."""

    name: ClassVar[str] = "report.html"

    kind: Literal["report"] = "report"

    def render(self, evidence: Evidence) -> str:
        """The page."""
        return f"{_template().render(_context(evidence))}\n"


@cache
def _template() -> jinja2.Template:
    try:
        import jinja2
    except ImportError as error:
        raise missing_extra("train", package="jinja2", needed_by="the document `report`") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE)


@final
@dataclass(frozen=True)
class _Key:
    """One of the four figures that a reader sees first."""

    name: str
    value: str
    interval: str
    note: str
    source: Source


def _context(evidence: Evidence) -> dict[str, Any]:
    """All that the page shows, as words and pictures."""
    try:
        from stillroom.documents.report import frontier, panels, strips
    except ImportError as error:
        raise missing_extra("train", package="svg.py", needed_by="the document `report`") from error
    return {
        "name": evidence.words("name") or "unnamed run",
        "task": evidence.words("task"),
        "created": evidence.words("created"),
        "version": evidence.words("stillroom"),
        "recipe": evidence.words("recipe_digest"),
        "headline": findings.headline(evidence),
        "headline_sources": findings.of_headline(evidence),
        "verdict": evidence.words("verdict", "sentence") or "What the teacher added to this student was not measured.",
        "verdict_source": evidence.source("evaluate"),
        "gates_told": findings.gates(evidence),
        "gates_sources": tables.judged_on(evidence) if evidence.rows("gates") else (),
        "badges": [_badge(one) for one in evidence.rows("gates")],
        "keys": _keys(evidence),
        "frontier": frontier.picture(evidence),
        "frontier_table": frontier.table(evidence),
        "scores": tables.scores(evidence),
        "score_charts": strips.scores(evidence),
        "differences": tables.differences(evidence),
        "lost": findings.lost(evidence),
        "examined": findings.examined(evidence),
        "examined_sources": findings.of_examined(evidence),
        "gap": tables.gap(evidence),
        "costs": ledger.costs(evidence),
        "once": ledger.once(evidence),
        "variants": ledger.variants(evidence),
        "slices": strips.slices(evidence),
        "discovered": tables.discovered(evidence),
        "flipped": flipped.table(evidence),
        "divergence": tables.divergence(evidence),
        "forgotten_told": forgotten.sentences(evidence),
        "forgotten": forgotten.figures(evidence),
        "forgotten_slices": forgotten.slices(evidence),
        "forgotten_rows": forgotten.rows(evidence),
        "probed": probed.sections(evidence),
        "risk": panels.risk_and_coverage(evidence),
        "curves": panels.curves(evidence),
        "reliability": panels.reliability(evidence),
        "reliability_tables": [tables.reliability(evidence, system) for system in ("teacher", "student")],
        "seen_before": contamination.sentences(evidence),
        "shared_pairs": contamination.pairs(evidence),
        "shared_scores": contamination.scores(evidence),
        "shared_rows": contamination.flagged(evidence),
        "gates": tables.gates(evidence),
        "splits": ledger.splits(evidence),
        "labels": ledger.labels(evidence),
        "glossary": tables.glossary(evidence),
        "found": ledger.findings(evidence),
        "rights": ledger.rights(evidence),
        "gaps": evidence.sentences("corpus", "rights", "gaps"),
        "corpus_source": evidence.source("corpus"),
        "lineage": ledger.lineage(evidence),
        "identity": ledger.identity(evidence),
        "unmeasured": unmeasured.table(evidence),
        "limitations": findings.limitations(evidence),
        "limitations_sources": findings.of_limitations(evidence),
    }


def _badge(gate: Any) -> dict[str, str]:
    """A gate at a glance: its answer in a word, and what it was of."""
    return {"state": words(gate.get("state")) or "not measurable", "measure": words(gate.get("measure")) or "unnamed"}


def _keys(evidence: Evidence) -> list[_Key]:
    """Retention, speed-up, size and price."""
    metric = evidence.primary
    kept = evidence.figure("retention", metric) if metric else evidence.figure("retention")
    faster = evidence.figure("speedup")
    rounds = f"median of {faster.n} rounds, lowest to highest" if faster.n else "lowest to highest round"
    cost, evaluated = evidence.source("cost"), evidence.source("evaluate")
    return [
        _Key(
            f"of the teacher’s {metric.replace('_', '-') or 'score'} kept",
            units.PERCENT.value(kept.value),
            units.PERCENT.interval(kept),
            kept.reason or (f"{tables.level(evidence)}interval" if kept.has_interval else ""),
            evaluated,
        ),
        _Key(
            "the teacher’s speed on one thread",
            units.TIMES.value(faster.value),
            units.TIMES.interval(faster),
            faster.reason or (rounds if faster.has_interval else ""),
            cost,
        ),
        _side(evidence, "on disk", "disk_mb", units.MEGABYTES),
        _side(evidence, "for a million texts", "price_per_million_texts", ledger.money(evidence)),
    ]


def _side(evidence: Evidence, name: str, cost: str, unit: units.Unit) -> _Key:
    """A cost of the student, beside its teacher's."""
    teacher, student = (number(evidence.find(side, "cost", cost)) for side in ("teacher", "student"))
    note = "" if teacher is None else f"the teacher: {unit.value(teacher)}"
    return _Key(name, unit.value(student), "", note, evidence.source("cost"))
