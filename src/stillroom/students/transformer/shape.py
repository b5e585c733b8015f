"""Keeps and gives back a network of a shape that its own config has no word for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stillroom.core import artifact
from stillroom.students.transformer import projection, pruning

FILE = "cut.json"


def note(cut: Mapping[str, int], folder: Path) -> None:
    """Write down what was kept: heads, feed-forward units, width."""
    artifact.write_json(folder / FILE, dict(cut))


def reopen(folder: Path) -> tuple[Any, dict[str, int]]:
    """The network in a folder, and what was kept of it."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForSequenceClassification

    cut: dict[str, int] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]):
        inner = AutoModelForSequenceClassification.from_config(config)
    if "heads" in cut or "feed_forward" in cut:
        pruning.reshape(inner, heads=cut.get("heads"), feed_forward=cut.get("feed_forward"))
    if "width" in cut:
        projection.reshape(inner, width=cut["width"])
    inner.load_state_dict(load_file(folder / "model.safetensors"))
    return inner.eval(), cut
