"""The tables of a dossier about what it took: costs, exports, rows, rights and lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stillroom.documents import Evidence, at, number, words
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table, text

#: What is measured of both sides, its unit, and whether less of it is better.
_COSTS: tuple[tuple[str, tuple[str, ...], units.Unit, bool], ...] = (
    ("Speed, one thread", ("texts_per_second",), units.RATE, False),
    ("Latency of one text, p50", ("latency_ms", "p50"), units.LATENCY, True),
    ("Latency of one text, p95", ("latency_ms", "p95"), units.LATENCY, True),
    ("Latency of one text, p99", ("latency_ms", "p99"), units.LATENCY, True),
    ("Resident memory", ("resident_mb",), units.MEGABYTES, True),
    ("On disk", ("disk_mb",), units.MEGABYTES, True),
    ("Parameters", ("parameters",), units.SCALED, True),
    ("FLOPs a text", ("flops_per_text",), units.SCALED, True),
)


def costs(evidence: Evidence) -> Table:
    """Both sides' costs, and how they compare."""
    rows = []
    for shown, path, unit, less in (
        *_COSTS,
        ("Price of a million texts", ("price_per_million_texts",), money(evidence), True),
    ):
        teacher, student = (number(evidence.find(side, "cost", *path)) for side in ("teacher", "student"))
        if teacher is None and student is None and not less:
            continue
        gain = Cell(_gain(teacher, student, less=less))
        rows.append((Cell(shown, kind="text"), Cell(unit.value(teacher)), Cell(unit.value(student)), gain))
    known = any(row[1].text != units.UNMEASURED or row[2].text != units.UNMEASURED for row in rows)
    return Table(
        "What running each of them costs",
        ("", "Teacher", "Student", "Gain"),
        tuple(rows) if known else (),
        (evidence.source("cost"),),
        f"Measured in turn in one run, one thread each, tokenization included.{_singles(evidence)} Gain: how many "
        "times as quick, small or cheap the student is; under 1× it is worse.",
    )


def _singles(evidence: Evidence) -> str:
    """How many texts a latency is of, as a sentence; empty where that is not told."""
    teacher, student = (number(evidence.find(side, "cost", "latency_ms", "n")) for side in ("teacher", "student"))
    told = [
        f"{texts:,.0f} of the {side}"
        for side, texts in (("teacher", teacher), ("student", student))
        if texts is not None
    ]
    return f" Latency is of single texts: {' and '.join(told)}." if told else ""


def _gain(teacher: float | None, student: float | None, *, less: bool) -> str:
    if not teacher or not student or teacher < 0 or student < 0:
        return "–"
    return units.TIMES.value(teacher / student if less else student / teacher)


def money(evidence: Evidence) -> units.Unit:
    """How to write a price."""
    currency = evidence.words("price", "currency")
    return units.Unit(units.price, f" {currency}" if currency else "")


def once(evidence: Evidence) -> Table:
    """What is paid once, and hides behind a price per text."""
    seconds = {name: number(evidence.find("hidden", "seconds", name)) for name in ("teacher", "transfer", "train")}
    if seconds["transfer"] is None:
        seconds["transfer"] = number(evidence.find("transfer", "seconds"))
    spent = number(evidence.find("hidden", "spend"))
    rows = [
        (Cell("Making the teacher ready", kind="text"), _took(seconds["teacher"])),
        (Cell("Asking the teacher", _asked(evidence), kind="text"), _took(seconds["transfer"])),
        (Cell("Training the student", kind="text"), _took(seconds["train"])),
        (Cell("Spent on asking and training", kind="text"), Cell(money(evidence).value(spent))),
        (Cell("Texts until the student has paid for itself", kind="text"), _break_even(evidence)),
    ]
    rates = evidence.table("price")
    per_hour = number(rates.get("per_vcpu_hour"))
    note = "" if per_hour is None else f"At {money(evidence).value(per_hour)} for a vCPU-hour"
    utilisation = number(rates.get("utilisation"))
    if note:
        note += "." if utilisation is None else f", {100 * utilisation:g} % of which has work."
    sources = tuple(evidence.source(stage) for stage in ("transfer", "train", "cost"))
    known = any(row[1].text != units.UNMEASURED for row in rows)
    return Table("What is paid once", ("", "Took"), tuple(rows) if known else (), sources, note)


def _took(seconds: float | None) -> Cell:
    return Cell(units.SECONDS.value(seconds))


def _asked(evidence: Evidence) -> str:
    """How many texts the teacher was asked about, and how."""
    asked = evidence.table("transfer")
    texts, tokens, rate = (number(asked.get(name)) for name in ("texts", "tokens", "texts_per_second"))
    precision = at(asked, "precision", "precision") or asked.get("precision")
    told = [
        f"{texts:,.0f} texts" if texts is not None else "",
        f"{units.scaled(tokens)} tokens" if tokens is not None else "",
        units.RATE.value(rate) if rate is not None else "",
        f"in {words(precision)}" if words(precision) else "",
    ]
    return ", ".join(one for one in told if one)


def _break_even(evidence: Evidence) -> Cell:
    texts = number(evidence.find("break_even_texts"))
    if texts is not None:
        return Cell(units.scaled(texts), title=f"{texts:,.0f}")
    teacher, student = (
        number(evidence.find(side, "cost", "price_per_million_texts")) for side in ("teacher", "student")
    )
    if teacher is not None and student is not None and student >= teacher:
        return Cell("never", "the student is not the cheaper one")
    return Cell(units.UNMEASURED)


def variants(evidence: Evidence) -> Table:
    """The ways to serve the student that were tried, and which were kept."""
    seen = evidence.table("student", "checks")
    rows = []
    for one in evidence.rows("student", "variants"):
        name = words(one.get("format")) or "unnamed"
        checks = one.get("checks") or seen.get(name)
        gap, loss, speed = (number(at(checks, part)) for part in ("largest_difference", "metric_loss", "speed"))
        rows.append(
            (
                Cell(name, words(one.get("reason")), kind="code"),
                Cell("kept" if one.get("kept") else "dropped", kind="text"),
                Cell(units.UNMEASURED if gap is None else units.significant(gap, 2)),
                Cell(units.of_difference(evidence.primary).value(None if loss is None else -loss)),
                Cell(units.TIMES.value(speed)),
            )
        )
    head = ("form", "kept?", "logits differ by", f"{evidence.primary or 'metric'} on dev", "speed")
    note = "Checked against the student in torch; speed is against the quickest form before it."
    return Table("Forms of the student", head, tuple(rows), (evidence.source("export"),), note)


def forms(evidence: Evidence) -> Table:
    """The ways to serve the student that were tried when it was exported, and why each is in the bundle or is not."""
    rows = tuple(
        (
            Cell(words(one.get("format")) or "unnamed", kind="code"),
            Cell("kept" if one.get("kept") else "dropped", kind="text"),
            Cell(words(one.get("reason")) or "–", kind="text"),
            Cell(units.MEGABYTES.value(number(one.get("disk_mb"))) if one.get("kept") else "–"),
        )
        for one in evidence.rows("student", "variants")
    )
    note = "The size is that of the files that a form needs; bundle.json names them, and the form that is the default."
    return Table("Forms of the student", ("form", "kept?", "why", "size"), rows, (evidence.source("train"),), note)


def splits(evidence: Evidence) -> Table:
    """The rows of each split."""
    counts = evidence.table("corpus", "rows")
    rows = tuple((Cell(str(split), kind="text"), Cell(units.COUNT.value(number(one)))) for split, one in counts.items())
    return Table("Rows of the corpus", ("split", "rows"), rows, (evidence.source("corpus"),), otherwise="not recorded")


def labels(evidence: Evidence) -> Table:
    """How many rows each label has, in the splits where that is told."""
    counts = evidence.table("corpus", "labels")
    by_split = {str(split): found for split, found in counts.items() if isinstance(found, Mapping)}
    if counts and not by_split:
        by_split = {"rows": counts}
    names = list(dict.fromkeys(str(name) for found in by_split.values() for name in found))
    rows = tuple(
        (Cell(name, kind="text"), *(Cell(_count(found.get(name))) for found in by_split.values())) for name in names
    )
    return Table("Rows of each label", ("label", *by_split), rows, (evidence.source("corpus"),))


def _count(found: Any) -> str:
    value = number(found)
    return "–" if value is None else units.COUNT.value(value)


def findings(evidence: Evidence) -> Table:
    """What was found of the rows: duplicates and whatever else the corpus counted."""
    told = {name: evidence.find("corpus", name) for name in evidence.table("corpus")}
    rows = tuple(
        (Cell(place.replace("_", " "), kind="text"), Cell(value))
        for name, found in told.items()
        if name not in ("rows", "labels", "notes", "rights")
        for place, value in _leaves(found, name)
    )
    return Table("What was found in the rows", ("finding", "count"), rows, (evidence.source("corpus"),))


def _leaves(found: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every value in nested tables, with the names that lead to it."""
    if isinstance(found, Mapping):
        for name, value in found.items():
            yield from _leaves(value, f"{place} · {name}")
    elif isinstance(found, list | tuple):
        yield place, f"{len(found):,}"
    elif number(found) is not None:
        yield place, units.plain(number(found) or 0.0)
    elif words(found):
        yield place, words(found)


def rights(evidence: Evidence) -> Table:
    """Whose text it is, and on what basis it is used."""
    found = evidence.table("corpus", "rights")
    shown = {
        "source": "Source",
        "licence": "Licence",
        "retrieved": "Retrieved",
        "basis": "Basis for use",
        "purpose": "Purpose",
    }
    rows = [(Cell(word, kind="text"), text(found.get(name))) for name, word in shown.items()]
    real = found.get("real")
    if isinstance(real, Mapping):
        for name in ("source", "licence"):
            rows.append((Cell(f"{shown[name]} of the real texts", kind="text"), text(real.get(name))))
    teacher = (Cell("Licence of the teacher", kind="text"), text(evidence.find("teacher", "identity", "licence")))
    sources = (evidence.source("corpus"), evidence.source("teacher"))
    return Table("Rights", ("", "as recorded"), (*rows, teacher), sources)


def lineage(evidence: Evidence) -> Table:
    """Each stage's key and digest."""
    rows = []
    for stage, found in evidence.table("stages").items():
        key, digest = (words(at(found, name)) for name in ("key", "digest"))
        reused = at(found, "reused")
        rows.append(
            (
                Cell(str(stage), kind="text"),
                Cell(key[:12] or "–", kind="code", title=key),
                Cell(digest[:12] or "–", kind="code", title=digest),
                Cell(units.SECONDS.value(number(at(found, "seconds")))),
                Cell(
                    {True: "reused", False: "made in this run"}.get(reused, "not recorded")
                    if isinstance(reused, bool)
                    else "not recorded",
                    kind="text",
                ),
            )
        )
    note = (
        "A key is the hash of what a stage was made from, known before the work; a digest is the hash of what it "
        "made, and what every figure here cites."
    )
    head = ("stage", "key", "digest", "took", "in this run")
    return Table("Stages of this run", head, tuple(rows), (), note, otherwise="not recorded")


def identity(evidence: Evidence) -> Table:
    """Who was asked, by what recipe, with what."""
    machine = evidence.table("machine")
    flags = ", ".join(evidence.sentences("machine", "flags"))
    cores = number(machine.get("cores"))
    computer = " · ".join(filter(None, (words(machine.get("cpu")), f"{cores:.0f} cores" if cores else "", flags)))
    rows = (
        ("Recipe", evidence.find("recipe_digest"), "code"),
        ("Seed", evidence.find("seed"), "text"),
        ("Teacher", evidence.find("teacher", "identity", "name"), "text"),
        ("Weights of the teacher", evidence.find("teacher", "identity", "weights"), "code"),
        ("Tokenizer of the teacher", evidence.find("teacher", "identity", "tokenizer"), "code"),
        ("stillroom", evidence.find("stillroom"), "text"),
        ("Measured on", computer, "text"),
        ("Measured at", evidence.find("created"), "text"),
    )
    cells = tuple(
        (
            Cell(name, kind="text"),
            Cell(words(value) or "not recorded", kind="code" if kind == "code" and words(value) else "text"),
        )
        for name, value, kind in rows
    )
    sources = (evidence.source("teacher"), evidence.source("cost"))
    return Table("Who, what and where", ("", "as recorded"), cells, sources)
