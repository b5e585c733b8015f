"""The tables of a dossier about what was kept and lost: plain cells, which each document writes in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from stillroom.documents import SYSTEMS, Evidence, Figure, Source, number, words
from stillroom.documents import _units as units

SHOWN = {
    "teacher": "Teacher",
    "student": "Student",
    "undistilled": "Student without the teacher",
    "baseline": "Baseline",
}
_LESS = {"teacher": "teacher", "undistilled": "student without the teacher", "baseline": "baseline"}


@final
@dataclass(frozen=True)
class Cell:
    """What stands in one place: `note` is said under it more quietly, `title` is the whole of what was cut short."""

    text: str
    note: str = ""
    kind: Literal["text", "number", "code", "state"] = "number"
    title: str = ""


@final
@dataclass(frozen=True)
class Table:
    """A table with where its figures come from; without rows it was not measured. `note` says how to read it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sources: tuple[Source, ...] = ()
    note: str = ""
    otherwise: str = units.UNMEASURED
    """What is said where there are no rows."""


@final
@dataclass(frozen=True)
class Slice:
    """A part of the test rows, and what was found on it."""

    family: str
    name: str
    n: int | None
    teacher: Figure
    student: Figure
    retention: Figure
    flips: Figure
    reason: str
    beside: Mapping[str, Mapping[str, Figure]]
    """By metric and system: what else is told of it."""

    @property
    def measured(self) -> bool:
        """Whether anything can be said of it."""
        return self.retention.value is not None


def of(figure: Figure, unit: units.Unit) -> Cell:
    """A figure, its interval under it."""
    if figure.value is None:
        return Cell(units.UNMEASURED, figure.reason)
    return Cell(unit.value(figure.value), unit.interval(figure))


def text(value: Any, *, otherwise: str = "not recorded") -> Cell:
    """Some words, or that there are none."""
    return Cell(words(value) or otherwise, kind="text")


def name_of(evidence: Evidence, system: str) -> Cell:
    """A system, with what it is under it."""
    notes = {
        "teacher": evidence.words("teacher", "identity", "name"),
        "student": " · ".join(filter(None, (evidence.words("student", "kind"), _served(evidence)))),
        "undistilled": "the same body, fitted to gold labels alone",
        "baseline": evidence.words("baseline", "name"),
    }
    return Cell(SHOWN[system], notes[system], kind="text")


def present(evidence: Evidence) -> list[str]:
    """The systems that have any score, teacher first."""
    return [system for system in SYSTEMS if evidence.table(system, "scores")]


def score(evidence: Evidence, system: str, metric: str) -> Figure:
    """A system's score."""
    return evidence.figure(system, "scores", metric)


def level(evidence: Evidence) -> str:
    """The level of the intervals, where it is told."""
    confidence = number(evidence.find("confidence"))
    return "" if confidence is None else f"{100 * confidence:g} % "


def rows_told(figures: Sequence[Figure]) -> str:
    """How many rows figures rest on, as a clause for a caption."""
    counts = sorted({figure.n for figure in figures if figure.n is not None})
    if not counts:
        return ""
    return f", n = {counts[0]:,}" if len(counts) == 1 else f", n = {counts[0]:,} to {counts[-1]:,}"


def scores(evidence: Evidence) -> Table:
    """Every system by every metric, and what the student keeps of its teacher."""
    metrics, systems = evidence.metrics, present(evidence)
    rows = [
        (name_of(evidence, system), *(_score_cell(evidence, system, metric) for metric in metrics))
        for system in systems
    ]
    kept = evidence.table("retention")
    if kept:
        cells = [of(Figure.read(kept[one]), units.PERCENT) if one in kept else Cell("–") for one in metrics]
        rows.append((Cell("Kept", "student ÷ teacher", kind="text"), *cells))
    figures = [score(evidence, system, metric) for system in systems for metric in metrics]
    return Table(
        f"Scores on the test rows, with {level(evidence)}intervals{rows_told(figures)}",
        ("System", *(units.label(metric) for metric in metrics)),
        tuple(rows),
        (evidence.source("evaluate"),),
        f"↑ more is better, ↓ less is better.{_signatures(evidence)}",
    )


def _signatures(evidence: Evidence) -> str:
    found = evidence.table("signatures")
    return "".join(f" {metric}: {evidence.words('signatures', metric)}." for metric in found)


def _score_cell(evidence: Evidence, system: str, metric: str) -> Cell:
    found = units.metric(metric)
    if system == "teacher" and found is not None and found.against_teacher:
        return Cell("–")
    return of(score(evidence, system, metric), units.of_metric(metric))


def differences(evidence: Evidence) -> Table:
    """The student less each other system, metric by metric, with the paired test."""
    metrics = evidence.metrics
    rows = []
    for system, shown in _LESS.items():
        found = evidence.table("difference", f"student_minus_{system}")
        tested = evidence.table("mcnemar", system)
        if not found and not tested:
            continue
        cells = [
            of(Figure.read(found[metric]), units.of_difference(metric)) if metric in found else Cell("–")
            for metric in metrics
        ]
        rows.append((Cell(f"Student − {shown}", kind="text"), *cells, *_tested(tested)))
    head = (
        "Difference",
        *(units.label(metric) for metric in metrics),
        "only the other right",
        "only the student right",
    )
    return Table(
        f"Differences on the same rows, with {level(evidence)}intervals",
        (*head, "McNemar p"),
        tuple(rows),
        (evidence.source("evaluate"),),
        "A difference is shown where its interval leaves out zero. McNemar’s exact test counts the rows that one side "
        "alone has right.",
    )


def divergence(evidence: Evidence) -> Table:
    """How far student and teacher are apart, item by item."""
    shown = {
        "forward_kl": ("KL(teacher ‖ student)", "large where the student rules out what its teacher does not"),
        "reverse_kl": ("KL(student ‖ teacher)", "large where the student is sure of what its teacher is not"),
        "jensen_shannon": ("Jensen–Shannon", "both, each beside their mean; at most 0.693"),
    }
    names = ("mean", "p50", "p95", "p99", "max")
    rows = [
        (Cell(said, note, kind="text"), *(of(evidence.figure("divergence", kind, one), units.PLAIN) for one in names))
        for kind, (said, note) in shown.items()
    ]
    reason = evidence.figure("divergence", "forward_kl", "mean").reason
    known = evidence.figure("divergence", "forward_kl", "mean").value is not None
    inside = "" if answers(evidence) == "texts" else f" Of a text: the mean over its {answers(evidence)}."
    return Table(
        f"How far apart they are on each text, in nats, with {level(evidence)}intervals",
        ("", "mean", "median", "95 %", "99 %", "largest"),
        tuple(rows) if known else (),
        (evidence.source("evaluate"),),
        f"So far apart are they at most on half of the texts, on 95 and on 99 of a hundred.{inside}",
        otherwise=reason or units.UNMEASURED,
    )


def gap(evidence: Evidence) -> Table:
    """How far the texts that were made are from real ones; without rows where none were made."""
    told = evidence.figure("gap", "told_apart")
    rows = [
        (
            Cell("Told apart", "texts that a classifier puts on the right side; a coin: 50 %", kind="text"),
            Cell("–"),
            Cell("–"),
            of(told, units.PERCENT),
        )
    ]
    for shown, note, what in (
        ("Agreement", "student and teacher give the same answer", "agreement"),
        ("Confidence", "the teacher’s mean highest probability", "confidence"),
    ):
        made, real, less = (evidence.figure("gap", what, one) for one in ("made", "real", "real_minus_made"))
        cells = (of(made, units.PERCENT), of(real, units.PERCENT), of(less, units.POINTS))
        rows.append((Cell(shown, note, kind="text"), *cells))
    return Table(
        f"Made texts beside real ones, with {level(evidence)}intervals",
        ("", "made texts", "real texts", "between them"),
        tuple(rows) if evidence.table("gap") else (),
        (evidence.source("evaluate"),),
        "Made texts: those of dev, like those that were learned from. Real texts: the test rows. Between them: real "
        "less made, or whether they can be told apart.",
    )


def glossary(evidence: Evidence) -> Table:
    """What each metric is, as the metric itself says."""
    rows = []
    for name in evidence.metrics:
        found = units.metric(name)
        if found is not None:
            said = words((type(found).__doc__ or "").split("\n\n")[0])
            rows.append((Cell(name, kind="code"), Cell(said, kind="text"), Cell(found.formula, kind="text")))
    return Table("What the metrics are", ("metric", "what it is", "formula"), tuple(rows))


def _tested(tested: Mapping[str, Any]) -> tuple[Cell, Cell, Cell]:
    b, c, p = (number(tested.get(name)) for name in ("b", "c", "p"))
    holm = number(tested.get("p_holm"))
    chance = units.UNMEASURED if p is None else _probability(p)
    return (
        Cell(units.COUNT.value(b)),
        Cell(units.COUNT.value(c)),
        Cell(chance, "" if holm is None else f"Holm {_probability(holm)}"),
    )


def _probability(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def slices(evidence: Evidence) -> list[Slice]:
    """Every slice, families together, in the order in which they were cut."""
    found = [_slice(one) for one in evidence.rows("slices")]
    families = list(dict.fromkeys(one.family for one in found))
    return sorted(found, key=lambda one: families.index(one.family))


def _slice(found: Mapping[str, Any]) -> Slice:
    teacher, student, retention, flips = (
        Figure.read(found.get(part)) for part in ("teacher", "student", "retention", "negative_flips")
    )
    n = number(found.get("n"))
    return Slice(
        family=words(found.get("family")) or "other",
        name=words(found.get("name")) or "unnamed",
        n=None if n is None else int(n),
        teacher=teacher,
        student=student,
        retention=retention,
        flips=flips,
        reason=words(found.get("reason")) or retention.reason,
        beside={metric: {system: Figure.read(figure) for system, figure in told.items()}
                for metric, told in (found.get("beside") or {}).items()},
    )  # fmt: skip


def slices_table(evidence: Evidence) -> Table:
    """The slices as a table."""
    unit, every = units.of_metric(evidence.primary), slices(evidence)
    told = ((metric, system) for one in every for metric, systems in one.beside.items() for system in systems)
    beside = list(dict.fromkeys(told))
    rows = tuple(
        (
            Cell(one.family, kind="text"),
            Cell(one.name, kind="text"),
            Cell(units.COUNT.value(one.n)),
            of(one.teacher, unit),
            of(one.student, unit),
            of(one.retention, units.PERCENT) if one.measured else Cell("not measurable", one.reason),
            *(of(one.beside[metric][system], units.of_metric(metric)) if metric in one.beside else Cell("–")
              for metric, system in beside),
        )
        for one in every
    )  # fmt: skip
    head = ("cut by", "slice", "n", "teacher", "student", "kept", *(f"{metric}, {system}" for metric, system in beside))
    caption = f"{evidence.primary or 'score'} by slice, with {level(evidence)}intervals"
    return Table(caption, head, rows, (evidence.source("evaluate"),))


def discovered(evidence: Evidence) -> Table:
    """The slices that nobody named, found on one half of the rows and tried on the other."""
    found = evidence.table("discovered")
    rows = tuple(
        (
            Cell(words(one.get("rule")), kind="text"),
            Cell(units.COUNT.value(number(one.get("n")))),
            of(Figure.read(one.get("negative_flips")), units.PERCENT),
            Cell(units.PERCENT.value(number(one.get("elsewhere")))),
            Cell(_probability(p) if (p := number(one.get("p_holm"))) is not None else "–"),
            Cell("confirmed" if one.get("confirmed") is True else "not confirmed", kind="text"),
        )
        for one in evidence.rows("discovered", "slices")
    )
    return Table(
        f"Slices found by looking, on rows that they were not found on, with {level(evidence)}intervals",
        ("rows where", "n", "teacher right, student wrong", "elsewhere", "Holm p", "held-out rows"),
        rows,
        (evidence.source("evaluate"),),
        "A shallow tree looked for them on one half of the test rows; all figures are of the other half. What is not "
        "confirmed may be chance.",
        otherwise=words(found.get("reason")) or units.UNMEASURED,
    )


def gates(evidence: Evidence) -> Table:
    """Each gate's answer, why, and what to do."""
    rows = tuple(
        (
            Cell(words(one.get("state")) or "not measurable", kind="state"),
            Cell(words(one.get("measure")) or "unnamed", kind="code"),
            Cell(_limit(one)),
            _found(one),
            Cell(words(one.get("reason")) or "–", words(one.get("advice")), kind="text"),
        )
        for one in evidence.rows("gates")
    )
    head = ("answer", "measure", "limit", "found", "why, and what would settle it")
    return Table("Gates, each judged on the bound of its interval", head, rows, judged_on(evidence))


def _found(gate: Mapping[str, Any]) -> Cell:
    """What a gate was judged on; the gate's own reason says why there is none."""
    cell = of(Figure.read(gate), units.of_measure(words(gate.get("measure"))))
    return Cell(cell.text) if cell.text == units.UNMEASURED else cell


def judged_on(evidence: Evidence) -> tuple[Source, ...]:
    """The artifacts that gates rest on."""
    gates = evidence.source("gates")
    measured = tuple(evidence.source(stage) for stage in ("evaluate", "cost"))
    return (gates, *measured) if gates.digest else measured


def _limit(gate: Mapping[str, Any]) -> str:
    limit = number(gate.get("limit"))
    if limit is None:
        return "not recorded"
    sense = {"at_least": "≥ ", "at_most": "≤ "}.get(words(gate.get("sense")), "")
    return f"{sense}{units.of_measure(words(gate.get('measure'))).value(limit)}"


def reliability(evidence: Evidence, system: str) -> Table:
    """How often a system is right where it is so sure."""
    rows = tuple(
        (
            Cell(f"{units.PERCENT.value(number(one.get('low')))} to {units.PERCENT.value(number(one.get('high')))}"),
            Cell(units.COUNT.value(number(one.get("n")))),
            Cell(units.PERCENT.value(number(one.get("confidence")))),
            Cell(units.PERCENT.value(number(one.get("accuracy")))),
        )
        for one in evidence.rows("reliability", system)
        if number(one.get("n"))
    )
    of = answers(evidence)
    head = ("confidence from, to", of, "mean confidence", "right")
    inside = f"Each of the {of} has an answer of its own; intervals resample texts." if of != "texts" else ""
    return Table(f"Reliability of the {system}", head, rows, (evidence.source("evaluate"),), inside)


def answers(evidence: Evidence) -> str:
    """What each has an answer of its own: texts, or their words."""
    return evidence.words("calibrated_by") or "texts"


def _served(evidence: Evidence) -> str:
    runner = evidence.words("student", "runner")
    return "" if runner in ("", evidence.words("student", "kind")) else f"served as {runner}"
