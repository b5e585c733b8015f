"""Runs an exported student on ONNX Runtime, texts of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import batches
from stillroom.core.scripted import Scripted
from stillroom.runtime.runners import Serve
from stillroom.runtime.runners._graphs import Graphs, session


@final
class Onnx(Graphs):
    """Runs an exported student: inputs `ids` and `mask`, output `logits`."""

    kind: Literal["onnx"] = "onnx"
    file: str
    """The graph's file in the bundle."""

    def in_browser(self, folder: Path) -> Scripted:
        """The same graph, in WebAssembly."""
        own = Scripted({"kind": self.kind, "file": self.file}, files=(self.file,), graph=True)
        return own.holding(encoder=self.encoder.in_browser(folder))

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """A session of ONNX Runtime with so many threads."""
        graph, encode = session(folder / self.file, threads=threads), self.encoder.open(folder)
        classes = int(graph.get_outputs()[0].shape[1])

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), classes), dtype=np.float32)
            ids = encode(texts)
            for rows in batches.by_tokens([len(one) for one in ids], budget=self.tokens_per_batch):
                padded, mask = batches.pad([ids[row] for row in rows])
                logits[rows] = graph.run(["logits"], {"ids": padded, "mask": mask})[0]
            return logits

        return serve
