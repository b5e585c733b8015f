"""Harper, a grammar checker of rules: quick, and right more often than it is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from numpy.typing import NDArray

from stillroom.core import artifact, rules, signals
from stillroom.core.artifact import Draft
from stillroom.core.progress import Report
from stillroom.tasks import Task
from stillroom.teachers import Closed, Desk, Identity, LoadedTeacher, Precision, Teacher, _proofreaders
from stillroom.teachers._fitting import Fit

if TYPE_CHECKING:
    from stillroom.corpus import Learnable


@final
class Harper(Teacher):
    """The rules of Harper (`harper-py`): of each thing that it finds, its first suggestion is made.

    It says what should stand where, and not how sure it is. What it changes in a way that no tag says is left as it is.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"tokens"})

    kind: Literal["harper"] = "harper"
    dialect: Literal["american", "british", "australian", "canadian", "indian"] = "american"
    """Whose English."""
    without: tuple[str, ...] = ()
    """Kinds of things, as Harper names them, that it is not to speak of, such as `Spelling`."""
    licence: str = "Apache-2.0"
    """The licence of its rules, or of what it said."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What runs it."""
        return ("harper-py",)

    @property
    def signals(self) -> frozenset[str]:
        """No more than what it names."""
        return frozenset({"label"})

    @property
    def shows_network(self) -> bool:
        """It has none."""
        return False

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of its name and version: the rules are part of the program."""
        return {"rules": artifact.sha256(f"harper-py {rules.version(needed_by='teacher')}".encode())}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Note which rules they are."""
        _proofreaders.refuse_other_tags(task, whose="harper")
        artifact.write_json(
            draft.folder / "teacher.json", {"version": rules.version(needed_by="teacher"), "dialect": self.dialect}
        )

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The rules."""
        return Rules(self, task=task)


@final
class Rules(Closed):
    """The rules, read when they are first asked."""

    whose: ClassVar[str] = "a grammar checker of rules"

    def __init__(self, settings: Harper, *, task: Task) -> None:
        self._settings, self._task = settings, task

    def identify(self) -> Identity:
        """Who it is."""
        one = self._settings
        told = {"version": rules.version(needed_by="teacher"), "dialect": one.dialect, "without": list(one.without)}
        digest = artifact.sha256(artifact.canonical(told))
        return Identity(
            f"harper {rules.version(needed_by='teacher')}",
            digest,
            None,
            self._task.outputs,
            one.licence,
            answers="label",
        )

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """The tag of each chunk, and how many chunks it read."""
        said = _proofreaders.tagged(texts, [self.corrected(text) for text in texts])
        return said, int(said[signals.COUNTS].sum())

    def corrected(self, text: str) -> str:
        """The text with the first suggestion for each thing that it finds."""
        one = self._settings
        return rules.corrected(text, needed_by="teacher", dialect=one.dialect, without=one.without)
