"""ONNX with weights in eight bits: smaller, and quicker where the processor has instructions for it."""

from __future__ import annotations

import logging
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

from pydantic import Field

from stillroom.formats import Checks, Format
from stillroom.formats.onnx import files, graph, runner

if TYPE_CHECKING:
    from stillroom.runtime.runners import Runner
    from stillroom.students import Network

FILE = "model.int8.onnx"


@final
class OnnxInt8(Format):
    """ONNX with weights in eight bits, kept only where the dev metric holds *and* it is quicker on this machine."""

    kind: Literal["onnx_int8"] = "onnx_int8"
    max_loss: float = Field(0.005, ge=0)
    """How much of the dev metric it may cost."""
    min_speed: float = Field(1.2, ge=1)
    """How many times as quick it has to be: clearly, so that noise in the timing does not decide."""
    weight_bits: Literal[7, 8] = 7
    """With 7, products fit wherever they are added, and every processor gives the same; with 8, those without VNNI cut
    sums that are too large."""

    @property
    def rounds_to(self) -> int:
        """As asked for."""
        return self.weight_bits

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Quantize the graph, weights per channel, activations as they come."""
        path = folder / FILE
        quantize(graph(network, folder), path, weight_bits=self.weight_bits)
        return runner(network, path), files(folder, path)

    def objection(self, checks: Checks) -> str:
        """Outputs that are no numbers, a metric that does not hold, or no gain in speed."""
        return "; ".join(objections(checks, max_loss=self.max_loss, min_speed=self.min_speed))


def quantize(plain: Path, path: Path, *, weight_bits: int) -> None:
    """Write a graph once more, weights per channel in so many bits, activations as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root.setLevel(logging.ERROR)  # it advises a preparation that changes nothing for graphs like ours
        try:
            narrow = weight_bits == 7
            quantize_dynamic(plain, path, per_channel=True, weight_type=QuantType.QInt8, reduce_range=narrow)
        finally:
            root.setLevel(level)


def objections(checks: Checks, *, max_loss: float, min_speed: float) -> list[str]:
    """Why not to keep what is not the student to the last digit."""
    found = []
    if not math.isfinite(checks.largest_difference):
        found.append("some logits are no numbers")
    if not checks.metric_loss <= max_loss:
        found.append(f"the dev metric falls by {checks.metric_loss:.4f}; {max_loss:g} is allowed")
    if not checks.speed >= min_speed:
        found.append(f"it is not {min_speed:g} times as quick here as what there was before it")
    return found
