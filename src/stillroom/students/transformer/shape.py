"""Keeps and gives back a network of a shape that its own config has no word for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stillroom.core import artifact
from stillroom.shapes import Shape
from stillroom.students.transformer import projection, pruning

FILE = "cut.json"
_WEIGHTS = "model.safetensors"


def keep(inner: Any, cut: Mapping[str, int], folder: Path) -> None:
    """Write the network, and what was kept of it: heads, feed-forward units, width.

    Its weights go by the names that they have in torch. Those of `save_pretrained` are the checkpoint's that it came
    from, where old ones call a gain `gamma`, and only `from_pretrained` reads them.
    """
    from safetensors.torch import save_file

    inner.config.save_pretrained(folder)
    save_file({name: one.detach().contiguous() for name, one in inner.state_dict().items()}, folder / _WEIGHTS)
    artifact.write_json(folder / FILE, dict(cut))


def reopen(folder: Path, *, form: Shape) -> tuple[Any, dict[str, int]]:
    """The network in a folder, and what was kept of it."""
    import transformers
    from safetensors.torch import load_file

    cut: dict[str, int] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]):
        inner = getattr(transformers, form.head).from_config(config)
    if "heads" in cut or "feed_forward" in cut:
        pruning.reshape(inner, heads=cut.get("heads"), feed_forward=cut.get("feed_forward"))
    if "width" in cut:
        projection.reshape(inner, width=cut["width"])
    inner.load_state_dict(load_file(folder / _WEIGHTS))
    return inner.eval(), cut
