"""Runs an exported student on ONNX Runtime, texts of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializeAsAny, field_validator

from stillroom.core import batches, plugins
from stillroom.runtime.encoders import Encoder
from stillroom.runtime.runners import Runner, Serve

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@final
class Onnx(Runner):
    """Runs an exported student: inputs `ids` and `mask`, output `logits`."""

    kind: Literal["onnx"] = "onnx"
    encoder: SerializeAsAny[Encoder]
    """How texts become ids."""
    file: str
    """The graph's file in the bundle."""
    tokens_per_batch: int = Field(batches.ON_CPU, ge=1)
    """Padded tokens a batch."""

    @field_validator("encoder", mode="before")
    @classmethod
    def _member(cls, value: Any) -> Any:
        return plugins.build("runtime.encoders", value) if isinstance(value, dict) else value

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


def session(file: Path, *, threads: int) -> InferenceSession:
    """A graph that can be run on this CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The arena keeps what the longest batch needed; a student on a small machine should give it back.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
