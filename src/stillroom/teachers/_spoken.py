"""A teacher that goes on with prompts and is fitted here: a language model, to what people would have it write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, final

import numpy as np

from stillroom.core.errors import InputError, Problem
from stillroom.core.names import Names
from stillroom.students import Network
from stillroom.teachers import LoadedTeacher, _pretrained, _speaking, gguf
from stillroom.teachers._bases import Base, Course, Floor
from stillroom.teachers._fitting import Examples

if TYPE_CHECKING:
    from stillroom.shapes.causal import Causal
    from stillroom.students.decoder.network import DecoderNetwork


@final
class Spoken(Base):
    """A language model, whole, held against itself before it was fitted."""

    def begun(self, folder: Path, *, seed: int, longest: int = 0) -> Network:
        """The model as it is: nothing of it is left to chance."""
        from stillroom.students.decoder.network import DecoderNetwork

        settings, where = self.settings, self.settings.folder
        if settings.file:
            inner, plain = gguf.load(where, settings.file)
        else:
            inner = _pretrained.load_network(where, form=self.task.form)
            plain = _pretrained.tokenizer_file(where).read_text(encoding="utf-8")
        tokenizer = _speaking.begun(plain, inner, start=settings.start, where="teacher")
        table = inner.get_input_embeddings().weight
        table.requires_grad_(not settings.freeze_embeddings)
        made = DecoderNetwork(inner, tokenizer, names=Names.plain(len(table)), form=cast("Causal", self.task.form),
                              max_tokens=settings.max_tokens)  # fmt: skip
        return self.settled(made)

    def legible(self, network: Network, examples: Examples, *, where: str) -> Examples:
        """Those that end where they were meant to: of others the last words would be missing.

        Raises:
            InputError: there is none.
        """
        reads = cast("DecoderNetwork", network)
        whole = np.array([row for row, ids in enumerate(examples.ids) if ids[-1] in reads.ends], dtype=np.int64)
        if not len(whole):
            room, wished = reads.encoder.max_tokens, self.settings.max_tokens
            todo = "Set it higher." if room == wished else "Take a base that reads more, or shorter prompts."
            found = f"room for {room} tokens, where each prompt of `{where}` with its reference has more"
            raise InputError(Problem("teacher.max_tokens", found, "as many as a row has", todo))
        return examples if len(whole) == len(examples.ids) else examples.some(whole)

    def floor(self, course: Course) -> Floor:
        """What it was before any step."""
        score = float(course.log[0]["before"][course.metric.kind])
        return Floor(score, "itself before it was fitted", len(course.train.ids))

    def open(self, folder: Path, *, name: str) -> LoadedTeacher:
        """The fitted model."""
        network = _pretrained.load_network(folder, form=self.task.form)
        tokenizer = _pretrained.tokenizer_file(folder).read_text(encoding="utf-8")
        weights = _pretrained.folder_digest(folder)
        return _speaking.LanguageModel(network, tokenizer, name=name, weights=weights, licence=self.settings.licence,
                                       price=0.0, task=self.task)  # fmt: skip
