"""ONNX with dynamic batch and length, in the student's own precision."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, final

from pydantic import Field

from stillroom.core import plugins
from stillroom.core.errors import OutsideError, Problem, missing_extra
from stillroom.formats import Checks, Format
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stillroom.runtime.runners import Runner
    from stillroom.shapes import Shape
    from stillroom.students import Network

FILE = "model.onnx"


@final
class Onnx(Format):
    """ONNX with dynamic batch and length: kept where its outputs are the student's."""

    kind: Literal["onnx"] = "onnx"
    tolerance: float = Field(1e-3, gt=0)
    """The largest difference of a logit."""

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Export the graph, unless a format before this one has."""
        path = graph(network, folder)
        return runner(network, path), files(folder, path)

    def objection(self, checks: Checks) -> str:
        """Outputs that are not the student's."""
        if checks.largest_difference <= self.tolerance:
            return ""
        return f"logits differ by {checks.largest_difference:.2g}; the tolerance is {self.tolerance:g}"


def runner(network: Network, path: Path) -> Runner:
    """What serves a network that was exported to this file."""
    shape: Shape = plugins.build("shapes", network.shape)
    member = plugins.member("runtime.runners", shape.graph_runner)
    return cast("Runner", member.model_validate({"encoder": network.encoder, "file": path.name}))


def files(folder: Path, *paths: Path) -> tuple[str, ...]:
    """The names of an export's files, the tokenizer's among them where there is one."""
    return (*(path.name for path in paths), *((TOKENIZER,) if (folder / TOKENIZER).is_file() else ()))


def graph(network: Network, folder: Path) -> Path:
    """The student as an ONNX graph with inputs `ids` and `mask`, output `logits`, batch and length dynamic."""
    path = folder / FILE
    if not path.is_file():
        trace(network.module, path, inputs=example(), outputs=("logits",))
    return path


def example() -> dict[str, Tensor]:
    """A batch to trace a network with: one text longer than the other."""
    import torch

    return {
        "ids": torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0]]),
        "mask": torch.tensor([[True, True, True, True], [True, True, True, False]]),
    }


def trace(
    module: nn.Module,
    path: Path,
    *,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Sequence[Mapping[int, str]] | None = None,
) -> None:
    """Write a module as an ONNX graph with these inputs and outputs.

    `axes` are those of each input that may vary, by their names; none: the first two of each, batch and length.

    Raises:
        MissingExtra: what exports it is not here.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  the exporter below needs it and would say so less clearly
        import torch
    except ImportError as error:
        raise missing_extra("train", package=str(error.name), needed_by="export.formats") from error
    axes = [{0: "batch", 1: "length"}] * len(inputs) if axes is None else axes
    sizes = {name: torch.export.Dim(name) for one in axes for name in one.values() if name}
    vary = tuple({at: sizes.get(name, torch.export.Dim.AUTO) for at, name in one.items()} for one in axes)
    # While it exports, torch writes recurrent layers as loops; how it wrote them before, step by step for the length of
    # the example, it may remember from an export before this one.
    for layer in (torch.ops.aten.gru.input, torch.ops.aten.lstm.input):
        layer._dispatch_cache.clear()
    with warnings.catch_warnings(), _hushed("torch.onnx"):
        warnings.simplefilter("ignore")  # of torch, about torch
        program: Any = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=vary,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    _refuse_fixed(model, axes)
    _strip(model)
    onnx.save_model(model, path)


def _refuse_fixed(model: Any, axes: Sequence[Mapping[int, str]]) -> None:
    """Stop a graph that takes texts of the example's length alone.

    Raises:
        OutsideError: it is one.
    """
    sizes = {
        one.name: [list(one.type.tensor_type.shape.dim)[at] for at in vary]
        for one, vary in zip(model.graph.input, axes, strict=True)
    }
    fixed = [name for name, own in sizes.items() if any(size.dim_value for size in own)]
    if fixed:
        found = f"a graph whose inputs {', '.join(fixed)} have a fixed size"
        todo = "Leave the format out, and tell us which student this was."
        raise OutsideError(Problem("export, onnx", found, "batch and length that may vary", todo))


@contextlib.contextmanager
def _hushed(name: str) -> Iterator[None]:
    """Keep a library's warnings about itself off the user's screen."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _strip(model: Any) -> None:
    """Take out where the graph was made: traces of this machine's paths, which would make every digest its own."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
