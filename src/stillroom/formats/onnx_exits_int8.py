"""ONNX in pieces as `onnx_exits` writes them, with weights in eight bits as in `onnx_int8`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from pydantic import Field

from stillroom.formats import Checks, Format, Judge, _exits
from stillroom.formats.onnx import files
from stillroom.formats.onnx_int8 import objections, quantize
from stillroom.runtime.runners.exits import Exits

if TYPE_CHECKING:
    from stillroom.runtime.runners import Runner
    from stillroom.students import Network


@final
class OnnxExitsInt8(Format):
    """ONNX in pieces that texts may leave early, weights in eight bits; kept where dev holds *and* it is quicker."""

    needs_exits: ClassVar[bool] = True

    kind: Literal["onnx_exits_int8"] = "onnx_exits_int8"
    max_loss: float = Field(0.005, ge=0)
    """How much of the dev metric both together may cost: the threshold is the lowest that keeps to it."""
    min_speed: float = Field(1.2, ge=1)
    """How many times as quick it has to be: clearly, so that noise in the timing does not decide."""
    weight_bits: Literal[7, 8] = 7
    """As for `onnx_int8`."""

    @property
    def rounds_to(self) -> int:
        """As asked for."""
        return self.weight_bits

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Quantize the pieces; until dev has chosen a threshold, no text leaves early."""
        paths = []
        for plain in _exits.graphs(network, folder):
            paths.append(plain.with_suffix(".int8.onnx"))
            quantize(plain, paths[-1], weight_bits=self.weight_bits)
        return Exits(encoder=network.encoder, files=tuple(one.name for one in paths)), files(folder, *paths)

    def tuned(self, runner: Runner, folder: Path, *, dev: Judge) -> tuple[Runner, Mapping[str, Any]]:
        """With the threshold."""
        return _exits.tuned(runner, folder, dev=dev, max_loss=self.max_loss)

    def objection(self, checks: Checks) -> str:
        """Outputs that are no numbers, a metric that does not hold, or no gain in speed."""
        return "; ".join(objections(checks, max_loss=self.max_loss, min_speed=self.min_speed))
