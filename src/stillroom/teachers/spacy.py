"""A spaCy pipeline that finds spans: names its spans, and does not say how sure it is of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import artifact, signals, tagging
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, Problem, missing_extra, nearest
from stillroom.core.progress import Report
from stillroom.core.tagging import Span
from stillroom.tasks import Task
from stillroom.teachers import Closed, Desk, Identity, LoadedTeacher, Precision, Teacher, _pretrained
from stillroom.teachers._fitting import Fit

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from stillroom.corpus import Learnable

_WHERE = "teacher.model"
_BATCH = 256


@final
class Spacy(Teacher):
    """A spaCy pipeline with entities; it names spans (`doc.ents`) and gives no probabilities.

    It shows no network that a student could start from: name another with `student.start`.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"tokens"})

    kind: Literal["spacy"] = "spacy"
    model: str
    """The pipeline: its folder, or `package:<import name>/<folder>`."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """What the task calls the pipeline's labels, such as `PERSON = "PER"`; the others stay as they are."""
    licence: str = ""
    """The licence of its weights, or of what it said."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What runs it."""
        return ("spacy",)

    @property
    def signals(self) -> frozenset[str]:
        """No more than what it names."""
        return frozenset({"label"})

    @property
    def shows_network(self) -> bool:
        """None that a student could start from."""
        return False

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of the pipeline's files."""
        return {"model": _pretrained.tree_digest(self._folder())}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """See that it finds what the task asks for; its weights stay where they are.

        Raises:
            MismatchError: labels that the pipeline does not have.
        """
        folder = self._folder()
        self._check(load(folder, where=_WHERE, part="ner"), task)
        facts = {"model": self.model, "digest": _pretrained.tree_digest(folder), "labels": dict(self.labels)}
        artifact.write_json(draft.folder / "teacher.json", facts)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The pipeline."""
        return Pipeline(self, self._folder(), task=task)

    def _folder(self) -> Path:
        return _pretrained.locate(self.model, where=_WHERE, holds="config.cfg")

    def _check(self, pipeline: Language, task: Task) -> None:
        own = [str(one) for one in pipeline.pipe_labels["ner"]]
        given = {self.labels.get(one, one) for one in own}
        problems = [
            Problem(f"teacher.labels.{one}", "a label that it does not have", "one of its own", nearest(one, own))
            for one in self.labels
            if one not in own
        ]
        problems += [
            Problem("task.labels", f"`{one}`, which the pipeline never gives",
                    f"what it gives: {', '.join(sorted(given))}"[:300],
                    "Take it out, or say under [teacher.labels] which of its labels that is.")
            for one in task.names
            if one not in given
        ]  # fmt: skip
        if problems:
            raise MismatchError(*problems)


@final
class Pipeline(Closed):
    """A pipeline that is loaded when it is first asked."""

    whose: ClassVar[str] = "a spaCy pipeline"

    def __init__(self, settings: Spacy, folder: Path, *, task: Task) -> None:
        self._settings, self._folder, self._task = settings, folder, task

    @cached_property
    def _pipeline(self) -> Language:
        return load(self._folder, where=_WHERE, part="ner")

    def identify(self) -> Identity:
        """Who it is."""
        return self._identity

    @cached_property
    def _identity(self) -> Identity:
        one = self._settings
        name = self._folder.name if Path(one.model).is_dir() else one.model.rpartition("/")[2]
        labels = self._task.outputs
        return Identity(name, _pretrained.tree_digest(self._folder), None, labels, one.licence, answers="label")

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """The tag of each word, its own words with their characters."""
        docs = list(self._pipeline.pipe(texts, batch_size=_BATCH))
        places = [[(token.idx, token.idx + len(token)) for token in doc if not token.is_space] for doc in docs]
        counts = np.array([len(one) for one in places], dtype=np.int64)
        words = np.array([place for one in places for place in one], dtype=np.int32).reshape(-1, 2)
        tags = tagging.on_words([self._spans(doc) for doc in docs], words, counts, self._task.names)
        said: dict[str, NDArray[Any]] = {"label": tags, signals.WORDS: words, signals.COUNTS: counts}
        return said, int(counts.sum())

    def _spans(self, doc: Doc) -> list[Span]:
        """Its entities that the task asks for."""
        named = [(one, self._settings.labels.get(one.label_, one.label_)) for one in doc.ents]
        return [Span(one.start_char, one.end_char, label) for one, label in named if label in self._task.names]


def load(folder: Path, *, where: str, part: str, parts: frozenset[str] = frozenset()) -> Language:
    """A pipeline with one part (or others that do as well, `parts`) and what these need; nothing else is loaded.

    Raises:
        InputError: it can't be loaded here, or has no such part.
        MissingExtra: spaCy is not installed.
    """
    try:
        import spacy
    except ImportError as error:
        raise missing_extra("spacy", package="spacy", needed_by=where) from error
    wanted = {part, *parts}
    kept = wanted | {"tok2vec", "transformer", "attribute_ruler"}
    expected = f"a spaCy pipeline with a {part}"
    try:
        own = spacy.util.load_meta(folder / "meta.json").get("pipeline", [])
        found = spacy.load(folder, exclude=[one for one in own if one not in kept])
    except (OSError, ValueError, KeyError) as error:
        told, todo = " ".join(str(error).split())[:200], "Install it again, for this version of spaCy."
        raise InputError(Problem(str(folder), told, expected, todo)) from error
    if not wanted & set(found.pipe_names):
        told = f"a pipeline of {', '.join(own) or 'nothing'}"
        raise InputError(Problem(str(folder), told, expected, "Take another one."))
    return found
