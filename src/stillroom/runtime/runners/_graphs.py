"""What runners of exported graphs share: how they read, how much at a time, and a session of ONNX Runtime."""

from __future__ import annotations

from abc import ABC
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, SerializeAsAny, field_validator

from stillroom.core import batches, plugins
from stillroom.runtime.encoders import Encoder
from stillroom.runtime.runners import Encoded

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class Graphs(Encoded, ABC):
    """Runs graphs of ONNX on ids that stand in batches with their mask."""

    pads: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    encoder: SerializeAsAny[Encoder]
    """How texts become ids."""
    tokens_per_batch: int = Field(batches.ON_CPU, ge=1)
    """Padded tokens a batch."""

    @field_validator("encoder", mode="before")
    @classmethod
    def _member(cls, value: Any) -> Any:
        return plugins.build("runtime.encoders", value) if isinstance(value, dict) else value


def session(file: Path, *, threads: int) -> InferenceSession:
    """A graph that can be run on this CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The arena keeps what the longest batch needed; a student on a small machine should give it back.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    # On CPUs its kernel for a layer norm with the addition before it takes nine times as long as the two apart.
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"],
                                        disabled_optimizers=["SkipLayerNormFusion"])  # fmt: skip
