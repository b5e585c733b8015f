"""ONNX of a student that tells what comes next, weights in eight bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.formats import Checks, Format, onnx_causal, onnx_int8

if TYPE_CHECKING:
    from stillroom.runtime.runners import Runner
    from stillroom.students import Network

FILE = "causal.int8.onnx"


@final
class OnnxCausalInt8(Format):
    """ONNX that remembers, weights in eight bits: a quarter of the size, kept only where the dev metric holds."""

    shapes: ClassVar[frozenset[str]] = frozenset({"causal"})

    kind: Literal["onnx_causal_int8"] = "onnx_causal_int8"
    max_loss: float = Field(0.01, ge=0)
    """How much of the dev metric it may cost."""
    min_speed: float = Field(1.0, ge=0)
    """How many times as quick it has to be; 0: it is kept for its size alone."""
    weight_bits: Literal[7, 8] = 8
    """With 8, processors without VNNI cut sums that are too large; with 7, none does, and more is lost."""

    @property
    def rounds_to(self) -> int:
        """As asked for."""
        return self.weight_bits

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Quantize the graph, weights per channel, activations as they come."""
        path = folder / FILE
        onnx_int8.quantize(onnx_causal.graph(network, folder), path, weight_bits=self.weight_bits)
        return onnx_causal.runner(network, path), onnx_causal.files(network, folder, path)

    def objection(self, checks: Checks) -> str:
        """Outputs that are no numbers, a metric that does not hold, or no gain in speed."""
        return "; ".join(onnx_int8.objections(checks, max_loss=self.max_loss, min_speed=self.min_speed))
