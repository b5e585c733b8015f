"""ONNX in pieces, one from each head of a student to the next: a text that is sure of its answer goes no further."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from pydantic import Field

from stillroom.formats import Checks, Format, Judge, _exits
from stillroom.formats.onnx import files
from stillroom.formats.onnx_int8 import objections
from stillroom.runtime.runners.exits import Exits

if TYPE_CHECKING:
    from stillroom.runtime.runners import Runner
    from stillroom.students import Network


@final
class OnnxExits(Format):
    """ONNX in pieces that texts may leave early: kept where the pieces are the student and leaving is worth it."""

    needs_exits: ClassVar[bool] = True

    kind: Literal["onnx_exits"] = "onnx_exits"
    tolerance: float = Field(1e-3, gt=0)
    """The largest difference of a logit while no text leaves early."""
    max_loss: float = Field(0.005, ge=0)
    """How much of the dev metric leaving early may cost: the threshold is the lowest that keeps to it."""
    min_speed: float = Field(1.2, ge=1)
    """How many times as quick it has to be: clearly, so that noise in the timing does not decide."""

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Export the pieces; until dev has chosen a threshold, no text leaves early."""
        paths = _exits.graphs(network, folder)
        return Exits(encoder=network.encoder, files=tuple(one.name for one in paths)), files(folder, *paths)

    def tuned(self, runner: Runner, folder: Path, *, dev: Judge) -> tuple[Runner, Mapping[str, Any]]:
        """With the threshold."""
        return _exits.tuned(runner, folder, dev=dev, max_loss=self.max_loss)

    def objection(self, checks: Checks) -> str:
        """Pieces that are not the student, a metric that does not hold, or no gain in speed."""
        found = objections(checks, max_loss=self.max_loss, min_speed=self.min_speed)
        if not checks.largest_difference <= self.tolerance:
            gap = f"logits differ by {checks.largest_difference:.2g}; the tolerance is {self.tolerance:g}"
            found.append(gap)
        return "; ".join(found)
