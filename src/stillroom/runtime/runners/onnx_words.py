"""Runs an exported student that labels words on ONNX Runtime, texts of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from pydantic import SerializeAsAny

from stillroom.core import batches
from stillroom.core.scripted import Scripted
from stillroom.core.tagging import Tagged
from stillroom.runtime.encoders import WordEncoder
from stillroom.runtime.runners import Serve
from stillroom.runtime.runners._graphs import Graphs, session


@final
class OnnxWords(Graphs):
    """Runs an exported student: inputs `ids` and `mask`, output `logits` of each token, read where a word begins."""

    kind: Literal["onnx_words"] = "onnx_words"
    encoder: SerializeAsAny[WordEncoder]
    """How texts become ids and words."""
    file: str
    """The graph's file in the bundle."""

    def in_browser(self, folder: Path) -> Scripted:
        """The same graph, in WebAssembly."""
        own = Scripted({"kind": self.kind, "file": self.file}, files=(self.file,), graph=True)
        return own.holding(encoder=self.encoder.in_browser(folder))

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """A session of ONNX Runtime with so many threads."""
        graph, read = session(folder / self.file, threads=threads), self.encoder.open_words(folder)
        tags = int(graph.get_outputs()[0].shape[2])

        def serve(texts: Sequence[str]) -> Tagged:
            ids, words = read(texts)
            values = np.empty((len(words.tokens), tags), dtype=np.float32)
            for rows in batches.by_tokens([len(one) for one in ids], budget=self.tokens_per_batch):
                padded, mask = batches.pad([ids[row] for row in rows])
                numbers, owners, tokens = words.of(rows)
                values[numbers] = graph.run(["logits"], {"ids": padded, "mask": mask})[0][owners, tokens]
            return Tagged(values, words.places, words.counts)

        return serve
