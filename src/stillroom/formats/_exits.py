"""What exports in pieces share: the pieces' graphs, and the threshold, which dev chooses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillroom.core.errors import MismatchError, Problem
from stillroom.formats import Judge
from stillroom.formats.onnx import example, trace
from stillroom.runtime.runners import exits
from stillroom.students import Network, Staged

if TYPE_CHECKING:
    from torch import Tensor

    from stillroom.runtime.runners import Runner

_LEVELS = 100  # thresholds that are tried, at most


def graphs(network: Network, folder: Path) -> list[Path]:
    """The student's pieces as ONNX graphs, unless a format before this one has written them.

    The first takes `ids` and `mask`, the others `hidden` and `mask`; all but the last give `onward` beside `logits`.

    Raises:
        MismatchError: a student without exits.
    """
    if not isinstance(network, Staged) or len(network.heads) < 2:
        found, todo = "a student that answers at its end alone", "Set `student.exits`, or choose another format."
        raise MismatchError(Problem("export.formats", found, "one that texts may leave early", todo))
    pieces, paths = network.pieces(), []
    inputs, name = example(), "ids"
    for number, piece in enumerate(pieces):
        path = folder / f"exits.{number}.onnx"
        last = number == len(pieces) - 1
        if not path.is_file():
            trace(piece, path, inputs=inputs, outputs=("logits",) if last else ("logits", "onward"))
        if not last:
            inputs, name = {"hidden": _hidden(piece, inputs[name], inputs["mask"]), "mask": inputs["mask"]}, "hidden"
        paths.append(path)
    return paths


def _hidden(piece: Any, given: Tensor, mask: Tensor) -> Tensor:
    import torch

    with torch.no_grad():
        hidden: Tensor = piece(given, mask)[1]
    return hidden


def tuned(runner: Runner, folder: Path, *, dev: Judge, max_loss: float) -> tuple[Runner, dict[str, Any]]:
    """The runner with the lowest threshold at which, and above which, dev loses no more than `max_loss`.

    It is first looked for in what every head says of every text, then held to what is served: in eight bits, what
    stands beside a text in its batch counts a little.
    """
    assert isinstance(runner, exits.Exits), "a runner that no format of exits has written"  # noqa: S101  only these formats call it, with what they wrote
    heads = runner.heads(folder, dev.texts)
    chosen, answers = runner, heads[-1]
    for threshold in reversed(_enough(heads, dev, max_loss=max_loss)):
        trial = runner.model_copy(update={"threshold": threshold})
        served = trial.open(folder, threads=1)(dev.texts)
        if dev.loss(served) <= max_loss:
            chosen, answers = trial, served
            break
    early = exits.leaving(heads, threshold=chosen.threshold) < len(heads) - 1
    said = {"threshold": chosen.threshold, "exit_share": float(early.mean()), "dev": {dev.metric: dev.score(answers)}}
    return chosen, said


def _enough(heads: NDArray[np.float32], dev: Judge, *, max_loss: float) -> list[float]:
    """Thresholds from the top down, as far as dev bears it."""
    found = []
    for threshold in levels(heads):
        leaves = exits.leaving(heads, threshold=threshold)
        if not dev.loss(heads[leaves, np.arange(len(leaves))]) <= max_loss:
            break
        found.append(threshold)
    return found


def levels(heads: NDArray[np.float32]) -> Sequence[float]:
    """Thresholds worth trying, from the top down: each halfway between two texts, so that no rounding moves one."""
    sure = exits.sureness(heads[:-1])
    if not np.isfinite(sure).all():
        return []
    own = np.unique(np.append(sure, 1.0 / heads.shape[-1]))
    halfway = (own[1:] + own[:-1]) / 2
    if not len(halfway):
        return []
    picked = np.unique(np.linspace(0, len(halfway) - 1, _LEVELS).round().astype(np.int64))
    return [float(one) for one in halfway[picked[::-1]]]
