"""The sentences of a dossier: what was found, what was lost and what was not looked at, each out of the evidence.

Beside sentences with figures stands where these come from: `of_headline`, `of_examined`, `of_limitations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stillroom.documents import Evidence, Figure, Source, at, number, words
from stillroom.documents import _contamination as contamination
from stillroom.documents import _forgotten as forgotten
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units


def headline(evidence: Evidence) -> str:
    """The run in one sentence."""
    kept = evidence.figure("retention", evidence.primary).value if evidence.primary else None
    faster = evidence.figure("speedup").value
    metric = evidence.primary.replace("_", "-")
    if kept is None:
        start = "What the student keeps of its teacher was not measured"
        return f"{start}; it runs at {units.TIMES.value(faster)} the speed." if faster else f"{start}."
    start = f"The student keeps {units.PERCENT.value(kept)} of its teacher’s {metric}"
    return (
        f"{start} at {units.TIMES.value(faster)} the speed." if faster else f"{start}; its speed-up was not measured."
    )


def of_headline(evidence: Evidence) -> tuple[Source, ...]:
    """The artifacts that the headline rests on."""
    return tuple(evidence.source(stage) for stage in ("evaluate", "cost"))


def gates(evidence: Evidence) -> str:
    """What the gates said, in one sentence."""
    judged = evidence.rows("gates")
    refused = sum(one.get("state") != "pass" for one in judged)
    if not judged:
        return "No gate was set: nothing stood in the way of a release."
    if not refused:
        return "The gate passed." if len(judged) == 1 else f"All {len(judged)} gates passed."
    return f"{refused} of {len(judged)} gates did not pass."


def stopped(evidence: Evidence) -> str:
    """Which gates did not pass; empty if none."""
    found = [one for one in evidence.rows("gates") if one.get("state") != "pass"]
    named = ", ".join(f"{words(one.get('measure'))} ({words(one.get('state')) or 'not measurable'})" for one in found)
    return f"Gates that did not pass: {named}." if found else ""


def lost(evidence: Evidence) -> list[str]:
    """What the student gets wrong that its teacher got right, and where it forgot most."""
    return [*_flips(evidence), *_worst(evidence), *_discovered(evidence), *gap(evidence)]


def gap(evidence: Evidence) -> list[str]:
    """How far the texts that were learned from are from real ones, where they were made here."""
    return evidence.sentences("gap", "sentence")


def _flips(evidence: Evidence) -> Iterator[str]:
    broken, mended = evidence.figure("negative_flips"), evidence.figure("positive_flips")
    if broken.value is None:
        yield f"Negative flips (texts that the teacher gets right and the student wrong) were {_why_not(broken)}."
    else:
        count = _counted(evidence.find("negative_flips", "count"), broken)
        share = units.PERCENT.told(broken)
        yield f"The student is wrong where its teacher is right on {share} of the test rows{count}."
    if mended.value is not None:
        count = _counted(evidence.find("positive_flips", "count"), mended)
        yield f"It is right where its teacher is wrong on {units.PERCENT.told(mended)}{count}."
    astray = evidence.figure("divergence", "wrong_flips")
    if astray.value is not None:
        yield f"Both are wrong, in different ways, on {units.PERCENT.told(astray)}."
    agreed = evidence.figure("agreement")
    if agreed.value is not None:
        yield f"Both give the same answer on {units.PERCENT.told(agreed)} of the test rows."
    seen, less = evidence.figure("generalisation", "seen"), evidence.figure("generalisation", "gap")
    if seen.value is not None and less.value is not None:
        yield (
            f"On rows that it learned from they agree on {units.PERCENT.told(seen)}: "
            f"{units.POINTS.told(less)} more than on as many test rows."
        )


def _why_not(figure: Figure) -> str:
    return f"{units.UNMEASURED} ({figure.reason})" if figure.reason else units.UNMEASURED


def _counted(count: Any, figure: Figure) -> str:
    found = number(count)
    if found is None:
        return ""
    return f": {found:,.0f} of {figure.n:,}" if figure.n else f": {found:,.0f}"


def _worst(evidence: Evidence) -> Iterator[str]:
    kept = evidence.figure("worst_slice", "retention")
    if kept.value is None:
        yield f"The worst slice was {_why_not(kept)}."
        return
    family, name = (evidence.words("worst_slice", part) or "unnamed" for part in ("family", "name"))
    n = number(evidence.find("worst_slice", "n"))
    rows = "" if n is None else f" on {n:,.0f} rows"
    yield (
        f"The slice that kept least is {family.replace('_', ' ')} “{name}”: {units.PERCENT.told(kept)} of the "
        f"teacher’s {evidence.primary.replace('_', '-') or 'score'}{rows}. The interval is that of the least of all "
        "slices."
    )


def _discovered(evidence: Evidence) -> Iterator[str]:
    for one in evidence.rows("discovered", "slices"):
        lost, elsewhere = Figure.read(one.get("negative_flips")), number(one.get("elsewhere"))
        if one.get("confirmed") is True and lost.value is not None and elsewhere is not None:
            yield (
                f"Found by looking, and confirmed on other rows: where `{words(one.get('rule'))}`, "
                f"{units.PERCENT.told(lost)} of the rows are lost, and {units.PERCENT.value(elsewhere)} elsewhere."
            )


def examined(evidence: Evidence) -> list[str]:
    """What the doctor found of a student that came out low, a sentence or two each; empty if nothing was found."""
    return [
        f"{words(one.get('severity')).capitalize()}, `{words(one.get('symptom'))}`: {words(one.get('told'))} "
        f"{words(one.get('cause'))} {words(one.get('change'))}".strip()
        for one in evidence.rows("findings")
        if words(one.get("told"))
    ]


def of_examined(evidence: Evidence) -> tuple[Source, ...]:
    """The artifacts that the doctor's findings rest on: each fact has the key of its own."""
    facts = [one for found in evidence.rows("findings") for one in Evidence(found).rows("evidence")]
    keys = {words(one.get("artifact")).rpartition("/")[2] for one in facts}
    made = evidence.table("stages")
    return tuple(evidence.source(str(stage)) for stage, one in made.items() if words(at(one, "key")) in keys - {""})


def limitations(evidence: Evidence) -> list[str]:
    """What a reader must not take from these figures."""
    return [
        *_of_scope(evidence),
        *_of_gates(evidence),
        *_of_slices(evidence),
        *contamination.limitations(evidence),
        *_of_worth(evidence),
        *_of_rights(evidence),
        *_of_costs(evidence),
        *evidence.sentences("corpus", "notes"),
        *evidence.sentences("notes"),
    ]


def of_limitations(evidence: Evidence) -> tuple[Source, ...]:
    """The artifacts that the limitations rest on."""
    stages = ("corpus", "teacher", "evaluate", "cost", "gates")
    return tuple(evidence.source(stage) for stage in stages if stage != "gates" or evidence.rows("gates"))


def _of_scope(evidence: Evidence) -> Iterator[str]:
    n = number(evidence.find("rows", "test"))
    n = number(evidence.find("corpus", "rows", "test")) if n is None else n
    if evidence.table("gap"):
        yield (
            "The student learned from texts that were made here and that nobody wrote. It has not learned what such "
            "texts leave out, and dev, which chose among its epochs, was made in the same way."
        )
    if n == 0:
        yield "No row was there to test on: how the student does on real text is unknown."
        return
    rows = "the test rows" if n is None else f"{n:,.0f} test rows"
    yield (
        f"Every score rests on {rows} of one corpus. Text of another kind, time or author may fare worse; slices by "
        "domain, where there are any, show by how much."
    )
    count = forgotten.seeds(evidence)
    yield (
        "One training run with one seed: the intervals tell how figures vary with the rows drawn, not with the seed."
        if count < 2
        else f"The student that ships is one of {count} seeds: the intervals of its scores tell how figures vary with "
        "the rows drawn; how they vary with the seed stands beside."
    )
    yield "The student learned from its teacher’s answers, and with them its teacher’s mistakes and leanings."
    if not evidence.table("audit"):
        yield (
            "Not looked at here: whether training text can be drawn out of the student, personal data, robustness to "
            "altered text, and differences between groups of people."
        )


def _of_gates(evidence: Evidence) -> Iterator[str]:
    if stopped(evidence):
        yield stopped(evidence)


def _of_slices(evidence: Evidence) -> Iterator[str]:
    found = tables.slices(evidence)
    blind = [one for one in found if not one.measured]
    if not found:
        yield "No slice was measured: where the student forgot is unknown."
    if blind:
        named = ", ".join(f"{one.family.replace('_', ' ')} “{one.name}”" for one in blind[:5])
        more = "" if len(blind) <= 5 else f" and {len(blind) - 5} more"
        yield f"{len(blind)} of {len(found)} slices could not be measured: {named}{more}."
    for one in evidence.rows("uncut"):
        why = Figure.read(one.get("slices")).reason
        yield f"The {words(one.get('family'))} “{words(one.get('name'))}” makes no slices: {why}."


def _of_worth(evidence: Evidence) -> Iterator[str]:
    """What each comparison could not show."""
    for other, shown in (
        ("undistilled", "the same student without its teacher"),
        ("baseline", "the baseline"),
    ):
        found = evidence.figure("difference", f"student_minus_{other}", evidence.primary)
        if found.value is None:
            yield f"How the student compares with {shown} was {_why_not(found)}."
        elif found.low is None or found.high is None or found.low <= 0 <= found.high:
            yield f"These rows show no difference between the student and {shown}."
        elif found.high < 0:
            yield f"The student is worse than {shown}: {units.of_difference(evidence.primary).told(found)}."


def _of_rights(evidence: Evidence) -> Iterator[str]:
    for gap in evidence.sentences("corpus", "rights", "gaps"):
        yield f"Gap in the rights: {gap.rstrip('.')}."


def _of_costs(evidence: Evidence) -> Iterator[str]:
    cpu = evidence.words("machine", "cpu")
    if _has_costs(evidence.table("student", "cost")):
        where = f"one machine ({cpu})" if cpu else "one machine"
        yield f"Times, memory and prices were measured on {where}; elsewhere they differ."
    else:
        yield "What the student costs to run was not measured."


def _has_costs(found: Mapping[str, Any]) -> bool:
    return any(number(one) is not None for one in found.values())
