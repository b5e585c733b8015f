"""The model card that travels with a student: Markdown with the front matter that the Hugging Face hub reads.

There are two of it: the whole card, out of a run, and the short one inside a bundle, which is there before anything is
measured and has no score.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, final

from stillroom.documents import Document, Evidence, Source, number, words
from stillroom.documents import _contamination as contamination
from stillroom.documents import _findings as findings
from stillroom.documents import _forgotten as forgotten
from stillroom.documents import _ledger as ledger
from stillroom.documents import _probed as probed
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table

#: The licences that the hub knows by name and that texts and models here come under; others are named beside `other`.
_HUB_LICENCES = frozenset({
    "afl-3.0", "apache-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-2.0",
    "gpl-3.0", "lgpl-3.0", "mit", "mpl-2.0", "odc-by", "odbl", "pddl", "unlicense",
})  # fmt: skip
#: What YAML can't hold in a quoted string as it is, and what a page that shows the front matter might take for markup.
_ESCAPED = re.compile("[<>\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_MARKUP = re.compile(r"([\\`*_\[\]|~]|^[#+-](?=\s))")
_INTENDED = (
    "For text like that which it was trained on, in place of the teacher, where {losses} can be borne. It is not meant "
    "for decisions about people without somebody who looks at them, nor for text of other kinds, languages or times "
    "without measuring again."
)
_OWNER = (
    "The licence in the front matter is what is recorded of text and teacher, and says nothing of what may be done "
    "with the student: that is for its owner to settle."
)
_NOT_SHIPPED = (
    "Scores, losses, speed and what it costs: measured figures are in the report of the run.",
    "Rows of the corpus: the texts of `golden.jsonl` were made up. Whether training text can be drawn out of the "
    "weights was not looked at.",
    "A signature: `manifest.json` shows that every file is whole, and not who made it. `stillroom sign` "
    "says that beside it.",
)


@final
class ModelCard(Document):
    """The model card that travels with a student."""

    name: ClassVar[str] = "model_card.md"

    kind: Literal["model_card"] = "model_card"

    def render(self, evidence: Evidence) -> str:
        """Front matter, then the card."""
        return _with_front(evidence, _body(evidence))

    def shipped(self, evidence: Evidence) -> str:
        """The short card, for the inside of a bundle: what is known of a student when it is exported."""
        return _with_front(evidence, _shipped(evidence))


def _with_front(evidence: Evidence, blocks: Iterator[str]) -> str:
    front = "\n".join(_yaml(_front(evidence)))
    return f"---\n{front}\n---\n\n" + "\n\n".join(blocks) + "\n"


def _front(evidence: Evidence) -> dict[str, Any]:
    """What the hub reads."""
    task = evidence.words("hub_task")
    licence = _licence(evidence)
    front: dict[str, Any] = {**licence, "library_name": "stillroom"}
    if task:
        front["pipeline_tag"] = task
    front["tags"] = [one for one in ("stillroom", "knowledge-distillation", evidence.words("student", "kind")) if one]
    measured = _measured(evidence)
    if measured:
        front["metrics"] = [metric for metric, *_ in measured]
    front["model-index"] = [{"name": evidence.words("name") or "unnamed", "results": _results(evidence, task)}]
    if not measured:
        del front["model-index"]
    return front


def _measured(evidence: Evidence) -> list[tuple[str, float, str]]:
    """Each measured metric of the student: its value, and its name with the interval."""
    found = []
    for metric in evidence.metrics:
        figure = tables.score(evidence, "student", metric)
        if figure.value is not None:
            interval = units.of_metric(metric).interval(figure)
            rows = f", n = {figure.n:,}" if figure.n else ""
            told = f" ({tables.level(evidence)}interval {interval}{rows})" if interval else ""
            found.append((metric, figure.value, f"{metric}{told}"))
    return found


def _results(evidence: Evidence, task: str) -> list[dict[str, Any]]:
    name = evidence.words("name") or "unnamed"
    return [
        {
            "task": {"type": task or evidence.words("task") or "other"},
            "dataset": {
                "type": _slug(name) or "other",
                "name": _tested_on(evidence) or f"the test split of {name}",
                "split": "test",
            },
            "metrics": [{"type": metric, "value": value, "name": told} for metric, value, told in _measured(evidence)],
        }
    ]


def _tested_on(evidence: Evidence) -> str:
    """Whose text the test is: where texts were made, that of the real ones."""
    rights = ("corpus", "rights")
    return evidence.words(*rights, "real", "source") or evidence.words(*rights, "source")


def _licence(evidence: Evidence) -> dict[str, str]:
    """The licence that all that went in shares; else `other`, with what went in; else `unknown`."""
    made_of = {
        "teacher": evidence.words("teacher", "identity", "licence"),
        "text": evidence.words("corpus", "rights", "licence"),
    }
    known = {part: _slug(licence) for part, licence in made_of.items() if _slug(licence)}
    if not known:
        return {"license": "unknown"}
    shared = set(known.values())
    if len(known) == len(made_of) and len(shared) == 1 and shared <= _HUB_LICENCES:
        return {"license": shared.pop()}
    named = "-".join(f"{part}-{known.get(part, 'unknown')}" for part in made_of)
    return {"license": "other", "license_name": named}


def _slug(said: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", said.lower()).strip("-.")


def _yaml(value: Any, depth: int = 0) -> Iterator[str]:
    """Tables and lists as YAML, every string quoted as JSON, which YAML reads alike."""
    pad = "  " * depth
    for key, found in value.items() if isinstance(value, dict) else ((None, one) for one in value):
        start = f"{pad}-" if key is None else f"{pad}{key}:"
        if isinstance(found, dict | list):
            lines = list(_yaml(found, depth + 1))
            if key is None:
                # The first line of a table in a list stands beside the dash.
                yield f"{pad}- {lines[0].lstrip()}"
                yield from lines[1:]
            else:
                yield start
                yield from lines
        else:
            yield f"{start} {_scalar(found)}"


def _scalar(value: Any) -> str:
    told = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", told)


def _body(evidence: Evidence) -> Iterator[str]:
    """The card, block by block."""
    yield f"# {_text(evidence.words('name') or 'unnamed')}"
    yield f"**{_text(findings.headline(evidence))}** {_text(evidence.words('verdict', 'sentence'))}".rstrip()
    yield from _cited(findings.of_headline(evidence))
    yield _text(findings.gates(evidence))
    if evidence.rows("gates"):
        yield from _cited(tables.judged_on(evidence))
    yield "## What it is"
    yield _what(evidence)
    yield "## Intended use"
    yield _INTENDED.format(losses="the losses below")
    yield "## How to use it"
    yield "With stillroom installed, from the folder of the run or of its bundle; torch is not needed."
    yield from _use(_code(f"work/runs/{evidence.words('name') or 'name'}").strip("`"))
    yield "## What was kept"
    yield from _table(tables.scores(evidence))
    if tables.glossary(evidence).rows:
        yield from _table(tables.glossary(evidence))
    yield from _table(tables.differences(evidence))
    yield "## What was lost"
    yield _list(findings.lost(evidence))
    yield from _cited((evidence.source("evaluate"),))
    yield from _table(tables.divergence(evidence))
    if findings.examined(evidence):
        yield "The student came out under its floor, or under itself without a teacher. The doctor found:"
        yield _list(findings.examined(evidence))
        yield from _cited(findings.of_examined(evidence))
    yield from _table(tables.slices_table(evidence))
    yield from _table(tables.discovered(evidence))
    yield "## What was forgotten"
    if told := forgotten.sentences(evidence):
        yield _list(told)
        yield from _cited((evidence.source("evaluate"),))
    yield from _table(forgotten.figures(evidence))
    for one in probed.sections(evidence):
        yield f"## {one.title}"
        yield one.lead
        for table in one.tables:
            yield from _table(table)
        for text in one.texts:
            yield f"{_text(text.caption)}:"
            yield _list([f"{read.side} {read.named}".strip() + f": {read.heaviest}" for read in text.readings])
            yield from _cited(text.sources)
    if tables.gap(evidence).rows:
        yield "## The gap to real text"
        yield from _table(tables.gap(evidence))
    yield "## Calibration"
    yield from _calibration(evidence)
    if contamination.sentences(evidence):
        yield "## Contamination"
        yield _list(contamination.sentences(evidence))
        yield from _cited((evidence.source("evaluate"),))
        yield from _table(contamination.pairs(evidence))
        yield from _table(contamination.scores(evidence))
    yield "## Cost"
    yield from _speed(evidence)
    for table in (ledger.costs(evidence), ledger.once(evidence), ledger.variants(evidence)):
        yield from _table(table)
    yield "## Gates"
    yield from _table(tables.gates(evidence)) if evidence.rows("gates") else [_text(findings.gates(evidence))]
    yield "## Training data and rights"
    yield from _data(evidence)
    yield "## Limitations"
    yield _list(findings.limitations(evidence))
    yield from _cited(findings.of_limitations(evidence))
    yield "## Lineage"
    yield from _table(ledger.lineage(evidence))
    yield from _table(ledger.identity(evidence))


def _shipped(evidence: Evidence) -> Iterator[str]:
    """The short card, block by block."""
    teacher, kind = evidence.words("teacher", "identity", "name"), evidence.words("student", "kind")
    yield f"# A {_text(f'{kind} student'.strip())} of {_text(teacher or 'a teacher')}"
    yield "Written when this bundle was made, before anything was measured on test rows: there is no score here."
    yield "## What it is"
    yield f"{_what(evidence)} Parameters: {units.SCALED.value(number(evidence.find('student', 'parameters')))}."
    yield from _cited((evidence.source("train"),))
    yield "## Intended use"
    yield _INTENDED.format(losses="what it loses")
    yield "## How to use it"
    yield "With stillroom installed, from this folder or that of its run; torch is not needed."
    yield from _use("path/to/this/folder")
    yield "With `verify=True`, `stillroom.load` first checks this machine’s answers against `golden.jsonl`."
    yield "## Its forms"
    yield from _table(ledger.forms(evidence))
    yield "## Rights"
    yield from _table(replace(ledger.rights(evidence), sources=(), note="As the manifest of this bundle has them."))
    yield from _gaps(evidence)
    yield _OWNER
    yield "## What is not in it"
    yield "\n".join(f"- {one}" for one in _NOT_SHIPPED)


def _what(evidence: Evidence) -> str:
    teacher, kind = evidence.words("teacher", "identity", "name"), evidence.words("student", "kind")
    labels = ", ".join(_code(one) for one in evidence.sentences("labels"))
    return (
        f"A small {f'{_code(kind)} ' if kind else ''}student, fitted to what "
        f"{f'the teacher {_code(teacher)}' if teacher else 'a teacher'} said of the training text. "
        f"Task: {_text(evidence.words('task') or 'not recorded')}."
        f"{f' Labels: {labels}.' if labels else ''}"
    )


def _use(folder: str) -> Iterator[str]:
    yield f'```sh\nstillroom predict {folder} "a text"\n```'
    yield (
        f'```python\nimport stillroom\n\nstudent = stillroom.load("{folder}")\n'
        'print(student.predict(["a text"])[0].as_dict())\n```'
    )


def _calibration(evidence: Evidence) -> Iterator[str]:
    told = [
        f"Expected calibration error of the {system}: {units.PERCENT.told(evidence.figure(system, 'scores', 'ece'))}."
        for system in ("teacher", "student")
    ]
    yield _list(told)
    yield from _cited((evidence.source("evaluate"),))
    for system in ("teacher", "student"):
        yield from _table(tables.reliability(evidence, system))


def _speed(evidence: Evidence) -> Iterator[str]:
    faster = evidence.figure("speedup")
    rounds = f", the lowest and highest of {faster.n} rounds in brackets" if faster.n and faster.has_interval else ""
    yield f"Speed against the teacher, on one thread: {_text(units.TIMES.told(faster))}{rounds}."
    yield from _cited((evidence.source("cost"),))


def _data(evidence: Evidence) -> Iterator[str]:
    yield from _table(ledger.rights(evidence))
    yield from _gaps(evidence)
    yield _OWNER
    yield from _table(ledger.splits(evidence))
    yield from _table(ledger.labels(evidence))
    if ledger.findings(evidence).rows:
        yield from _table(ledger.findings(evidence))


def _gaps(evidence: Evidence) -> Iterator[str]:
    gaps = evidence.sentences("corpus", "rights", "gaps")
    if gaps:
        yield "Gaps in what is known of the rights:"
        yield _list(gaps)
        if evidence.source("corpus").digest:
            yield from _cited((evidence.source("corpus"),))


def _table(table: Table) -> Iterator[str]:
    """A table of Markdown, its caption over it and its sources under it."""
    if not table.rows:
        yield f"{_text(table.caption)}: {table.otherwise}."
        return
    lines = [_row([_text(one) or " " for one in table.head])]
    lines.append(_row(["---:" if cell.kind == "number" else "---" for cell in table.rows[0]]))
    lines += [_row([_cell(cell) for cell in row]) for row in table.rows]
    yield f"{_text(table.caption)}."
    yield "\n".join(lines)
    if table.note:
        yield _text(table.note)
    yield from _cited(table.sources)


def _cited(sources: Sequence[Source]) -> Iterator[str]:
    if sources:
        told = ", ".join(f"{one.stage} {_code(one.short)}" for one in sources)
        yield f"*Source: {told}.*"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    # A digest stands here in full: a file has no hovering.
    said = _code(cell.title or cell.text) if cell.kind == "code" and cell.text != "–" else _text(cell.text)
    if not cell.note:
        return said
    return f"{said} ({_text(cell.note)})" if cell.kind == "number" else f"{said}: {_text(cell.note)}"


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {_text(one)}" for one in sentences)


def _text(said: str) -> str:
    """Words that are nothing but words in Markdown and in the HTML that it becomes."""
    plain = words(said).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)


def _code(said: str) -> str:
    """Words as code; what would end it, or a table's cell, is left out."""
    return f"`{re.sub(r'[`|<>]', '', words(said))}`"
