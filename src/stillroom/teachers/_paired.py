"""A teacher that writes a text for each text and is fitted here: a base that does, or an encoder under a decoder."""

from __future__ import annotations

from pathlib import Path
from typing import final

from stillroom import floors
from stillroom.students import Network
from stillroom.teachers import LoadedTeacher, _writing
from stillroom.teachers._bases import Base, Course, Floor
from stillroom.teachers._fitting import Examples


@final
class Paired(Base):
    """A network that reads one text and writes another, held against what students of its task are."""

    def begun(self, folder: Path, *, seed: int, longest: int = 0) -> Network:
        """The base, under a decoder by chance where it has none."""
        settings = self.settings
        found = _writing.fresh(settings.folder, task=self.task, seed=seed, max_tokens=settings.max_tokens,
                               longest=longest)  # fmt: skip
        for table in found.token_tables():
            table.requires_grad_(not settings.freeze_embeddings)
        return self.settled(found)

    def longest(self, network: Network, examples: Examples) -> int:
        """That of the longest reference."""
        return network.longest_of(examples.ids) if isinstance(network, _writing.WritingNetwork) else 0

    def floor(self, course: Course) -> Floor:
        """The cheap method that students of this task are held against."""
        rows, method = course.corpus.train.table(["text", "label"]), floors.of(self.task)
        said = method.say(rows, course.dev.texts, task=self.task, seed=course.seed)
        return Floor(course.dev.score(course.metric, said, task=self.task)[0], method.name, len(course.train.ids))

    def open(self, folder: Path, *, name: str) -> LoadedTeacher:
        """The fitted network."""
        settings = self.settings
        return _writing.Writer(folder, name=name, task=self.task, licence=settings.licence,
                               candidates=settings.candidates, max_tokens=settings.max_tokens)  # fmt: skip
