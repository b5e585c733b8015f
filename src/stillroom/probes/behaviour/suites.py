"""Suites of cases in files: how they are read, and what is wrong with them.

A line a case, as JSON. `test`, `capability`, `type` and `texts` every case has; of the other keys those of its type:

    minimum      `labels`: the label of all its texts, or a list, one a text; {"any_of": […]} where several are right
    invariance   `tolerance`; the first text is the one that the others are compared with
    direction    `sense`: from the first text to the others the probability of `label` is "at_least" or "at_most"
                 what it was, but for `tolerance`; no `label`: that of the label named of the first text. `unless`:
                 labels that, named of the first text, leave nothing to expect

`case` is a name of its own for a case; else the number of its line is. `tolerance` is 0.1 where it is not given.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from pydantic import Field

from stillroom.core import artifact, plugins
from stillroom.core.errors import InputError, Problem, nearest
from stillroom.core.plugins import Settings
from stillroom.probes.behaviour import adversarial_glue, checklist
from stillroom.probes.behaviour.cases import Case, Direction, Expectation, Invariance, Minimum
from stillroom.tasks import Task

Form = Literal["cases", "checklist_sentiment", "adversarial_glue"]
_OWN = {"minimum": {"labels"}, "invariance": {"tolerance"}, "direction": {"label", "sense", "tolerance", "unless"}}
_ALWAYS = {"test", "capability", "type", "texts", "case"}
_GZIP = b"\x1f\x8b"
_NONE = ""

Read = Iterator[tuple[str, Any]]
"""Places in a file with what stands there: a case as this form has it, or a `Problem`."""


@final
class _Record(Settings):
    """A case as a line has it, its labels not yet read."""

    test: str = Field(min_length=1)
    capability: str = Field(min_length=1)
    type: Literal["minimum", "invariance", "direction"]
    texts: tuple[str, ...] = Field(min_length=1)
    case: str | int | None = None
    labels: Any = None
    label: str | int | None = None
    sense: Literal["at_least", "at_most"] | None = None
    tolerance: float = Field(0.1, ge=0, le=1)
    unless: tuple[str | int, ...] = ()


@final
@dataclass
class Found:
    """What was read of a suite for a task."""

    cases: list[Case] = field(default_factory=list)
    tests: dict[tuple[str, str], None] = field(default_factory=dict)
    """Capability and test of every case, as the file names them; those that are left out too."""
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many cases of each speak of labels that the task does not have."""
    problems: list[Problem] = field(default_factory=list)


@final
class Suite(Settings):
    """A file of cases."""

    file: str
    """Its path (jsonl, also .jsonl.gz)."""
    form: Form = "cases"
    """How it is written: `cases` is our own form, `checklist_sentiment` and `adversarial_glue` (SST-2) are others'."""
    labels: dict[str, str] = Field(default_factory=dict)
    """What the task calls the labels of the file; "" for one that it does not have: such cases are left out."""

    @property
    def digest(self) -> str:
        """Of the file.

        Raises:
            InputError: it is not there.
        """
        if not Path(self.file).is_file():
            raise InputError(_absent(self.file))
        return artifact.file_sha256(Path(self.file))

    def read(self, task: Task | None = None) -> Found:
        """Every case, and every problem; without a task, which tests there are and nothing of labels."""
        found = Found()
        reading = None if task is None else _Labels(task, self.labels)
        for where, value in self._values():
            record, problems = (None, [value]) if isinstance(value, Problem) else _record(value, where=where)
            if record is not None:
                test = record.capability, record.test
                found.tests[test] = None
                if reading is not None:
                    expected = reading.expected(record, where=where)
                    problems = [*problems, *reading.told()]
                    if expected is not None:
                        name = str(where.rpartition(", ")[2] if record.case is None else record.case)
                        found.cases.append(Case(name, *test, record.texts, expected))
                    elif not problems:
                        found.left_out[test] += 1
            found.problems += problems
        if not found.tests and not found.problems:
            found.problems.append(Problem(self.file, "no case", "a case a line", "Add cases, or take the suite out."))
        return found

    def _values(self) -> Read:
        path = Path(self.file)
        if not path.is_file():
            yield self.file, _absent(self.file)
            return
        try:
            data = path.read_bytes()
            text = (gzip.decompress(data) if data.startswith(_GZIP) else data).decode("utf-8-sig")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            todo = "Write it as UTF-8, or compress it again."
            yield self.file, Problem(self.file, f"data that can't be read ({error})", "a file of text", todo)
            return
        yield from _FORMS[self.form](text, self.file)


@final
class _Labels:
    """Reads the labels of a suite as a task has them, and tells of each one that it does not know once."""

    def __init__(self, task: Task, called: Mapping[str, str]) -> None:
        self._task, self._called = task, called
        self._known: set[str] = set()
        self._problems: list[Problem] = []
        for name, label in called.items():
            if label != _NONE and label not in task.names:
                todo = f'{nearest(label, task.names)} Write "" for a label that the task does not have.'
                self._unknown(label, f"labels.{name}", todo)

    def told(self) -> list[Problem]:
        """What was wrong since this was last asked."""
        found, self._problems = self._problems, []
        return found

    def expected(self, record: _Record, *, where: str) -> Expectation | None:
        """What a case expects; None: it is not known, or the task can't be held to it."""
        if record.type == "minimum":
            gold = tuple(
                tuple(self._golds(one, text, where=where))
                for one, text in zip(_each(record), record.texts, strict=True)
            )
            return Minimum(gold) if all(gold) else None
        if record.type == "invariance":
            return Invariance(record.tolerance)
        unless = [self._label(one, where=where) for one in record.unless]
        label = None if record.label is None else self._label(record.label, where=where)
        if record.label is not None and label is None:
            return None
        names = self._task.names
        return Direction(
            None if label is None else names.index(label),
            rises=record.sense == "at_least",
            tolerance=record.tolerance,
            unless=frozenset(names.index(one) for one in unless if one is not None),
        )

    def _golds(self, stated: Any, text: str, *, where: str) -> Iterator[Any]:
        """What is right for a text, as the task keeps gold."""
        several = stated["any_of"] if isinstance(stated, dict) and set(stated) == {"any_of"} else [stated]
        for one in several if isinstance(several, list) else [several]:
            label = self._label(one, where=where) if isinstance(one, str | int) else one
            if label is None:
                continue
            if (fault := self._task.fault(label, text)) is not None:
                self._problems.append(Problem(where, *fault))
            else:
                yield self._task.code(label, text)

    def _label(self, stated: str | int, *, where: str) -> str | None:
        """What the task calls a label; None: it has none such."""
        name = str(stated)
        label = self._called.get(name, name)
        if label in self._task.names:
            return label
        if label != _NONE:
            todo = f'{nearest(label, self._task.names)} Say under `labels` what the task calls it, "" if it has none.'
            self._unknown(label, where, todo)
        return None

    def _unknown(self, label: str, where: str, todo: str) -> None:
        if label not in self._known:
            self._known.add(label)
            listed = ", ".join(f"`{one}`" for one in self._task.names[:10])
            self._problems.append(Problem(where, f"the label `{label[:40]}`", f"one of {listed}", todo))


def _record(value: Any, *, where: str) -> tuple[_Record | None, list[Problem]]:
    """A line's case, or all that is wrong with it."""
    if not isinstance(value, dict):
        found = f"a value of type {type(value).__name__}"
        return None, [Problem(where, found, "a case: one object a line", "Correct the line.")]
    made, problems = plugins.check(_Record, value, where=where)
    if made is not None:
        problems = list(_faults(made, set(value), where=where))
    return (None if problems else made), problems


def _faults(record: _Record, keys: set[str], *, where: str) -> Iterator[Problem]:
    """What is wrong with a case whose keys are each well."""
    for key in sorted(keys - _ALWAYS - _OWN[record.type]):
        yield Problem(f"{where}.{key}", f"`{key}` of a case of {record.type}", "no such key", "Take it out.")
    for key, kind in (("labels", "minimum"), ("sense", "direction")):
        if record.type == kind and getattr(record, key) is None:
            yield Problem(where, f"a case of {kind} without `{key}`", f"`{key}`", f"Add `{key}`.")
    if record.type != "minimum" and len(record.texts) < 2:
        yield Problem(f"{where}.texts", "one text", "two or more, the first to compare with", "Add the others.")
    if isinstance(record.labels, list) and len(record.labels) != len(record.texts):
        found = f"{len(record.labels)} labels for {len(record.texts)} texts"
        yield Problem(f"{where}.labels", found, "one for each text, or a single one for all", "Correct the line.")
    for name in ("test", "capability"):
        if not slug(getattr(record, name)):
            yield Problem(f"{where}.{name}", f"`{getattr(record, name)}`", "a name with letters", "Name it.")
    for place, text in enumerate(record.texts):
        if not text.strip():
            yield Problem(f"{where}.texts[{place}]", "an empty text", "a text", "Take it out.")
        elif not _can_be_written(text):
            yield Problem(
                f"{where}.texts[{place}]", "half a surrogate pair", "text that UTF-8 can write", "Correct it."
            )


def _each(record: _Record) -> list[Any]:
    """What is right for each text."""
    return record.labels if isinstance(record.labels, list) else [record.labels] * len(record.texts)


def slug(name: str) -> str:
    """A name as a figure's path has it: letters, digits and underscores."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def _can_be_written(text: str) -> bool:
    """Whether UTF-8 can write it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _absent(file: str) -> Problem:
    return Problem(file, "no such file", "a suite of cases", "Check the path: it stands relative to where this is run.")


def _lines(text: str, file: str) -> Read:
    """Our own form."""
    # A line ends with a line feed alone: other characters that Python counts as line ends stand inside real texts.
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{file}, line {number}"
        if line.strip():
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, Problem(where, f"no JSON ({error})", "one object a line", "Correct the line.")


def _checklist(text: str, file: str) -> Read:
    for where, value in _lines(text, file):
        yield where, value if isinstance(value, Problem) else checklist.case(value, where=where)


_FORMS: Mapping[Form, Callable[[str, str], Read]] = {
    "cases": _lines,
    "checklist_sentiment": _checklist,
    "adversarial_glue": adversarial_glue.cases,
}
