"""How near `transfer` comes to the quickest loop one would write by hand, and how far from the one people do write.

`transfer.collect` runs as in a journey: it digests the teacher, probes whether bf16 agrees with fp32, tokenizes, sorts
inside a shard, batches, and writes the shard and its manifest into a store that is new each round. Against it stand

    bare loop    tokenize everything, sort by length, batches of as many tokens, padded to the longest of a batch,
                 `inference_mode`, in the precision that transfer chose; it keeps the logits in memory, nothing more
    padded fp32  batches of 32 in the order given, each padded to 128 tokens, fp32, under `no_grad`

All have the same network and, in a round, the same texts; loading is not timed. Digests and probe are paid once a
transfer set, whatever its size, so the size matters: a round has two shards of texts, fewer than the demo asks about.
`vs_bare_loop_asking_alone` leaves them out: its seconds are the ledger's. The padded loop is slow, so that it has
rounds of its own, fewer and smaller ones: there too `transfer` pays for digests and probe, on the same few texts.

All cores work. Half of each loop runs before `transfer` and half after, so that a machine that slows down slows all
sides alike; the median of the rounds' ratios counts. Run it:

    python bench/transfer.py [--json]
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import copy
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from parts import model_folder, show, texts_of_reviews
from stillroom import teach, transfer
from stillroom.core import artifact, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.corpus import Rows, Train
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import HuggingFace

ROUNDS, PADDED_ROUNDS = 5, 3
TEXTS, PADDED_TEXTS, WARM_UP = 4096, 1000, 128  # no text comes twice: there are some 23,600
SETTINGS = recipe.Transfer()
TASK = Classification(labels=("negative", "positive"))
#: Each loop with what `transfer` did on the same texts.
SIDES = ("bare loop", "transfer", "transfer, asking alone", "padded fp32", "transfer, beside padded")

#: Asks about texts, and says how many seconds that took.
Loop = Callable[[Sequence[str]], float]


def rows_of(texts: Sequence[str], path: Path) -> Rows[Train]:
    """Texts as the corpus stage leaves them."""
    pq.write_table(pa.table({"id": [artifact.text_id(text) for text in texts], "text": list(texts)}), path)
    return Rows(path, artifact.file_sha256(path), "unlabelled", len(texts))


def collect(loaded: teach.Opened, teacher: Artifact, texts: Sequence[str]) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole stage in a new store, and the manifest it wrote."""
    folder = Path(tempfile.mkdtemp(prefix="stillroom-bench-"))
    try:
        rows = rows_of(texts, folder / "rows.parquet")
        started = time.perf_counter()
        said = transfer.collect(
            loaded, teacher=teacher, parts=(rows,), task=TASK, settings=SETTINGS, seed=0, store=Store(folder)
        )
        return time.perf_counter() - started, dict(said.artifact.manifest)
    finally:
        shutil.rmtree(folder)


def bare_loop(network: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """Seconds of the loop that does nothing but ask, sorted by length."""
    started = time.perf_counter()
    ids = [one.ids for one in tokenizer.encode_batch_fast(list(texts))]
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    logits = torch.empty((len(ids), len(TASK.outputs)))
    start = 0
    with torch.inference_mode():
        while start < len(order):
            longest = len(ids[order[start]])
            batch = order[start : start + max(1, SETTINGS.tokens_per_batch // longest)]
            padded = torch.tensor([ids[place] + [0] * (longest - len(ids[place])) for place in batch])
            lengths = torch.tensor([len(ids[place]) for place in batch])
            mask = (torch.arange(longest) < lengths[:, None]).long()
            logits[batch] = network(input_ids=padded, attention_mask=mask).logits.float()
            start += len(batch)
    return time.perf_counter() - started


def padded_loop(network: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """Seconds of the loop that pads every text to 128 tokens."""
    started = time.perf_counter()
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            coded = tokenizer.encode_batch(list(texts[start : start + 32]))
            ids = torch.tensor([one.ids for one in coded])
            mask = torch.tensor([one.attention_mask for one in coded])
            found.append(network(input_ids=ids, attention_mask=mask).logits)
    assert len(torch.cat(found)) == len(texts)
    return time.perf_counter() - started


def tokenizer_of(loaded: teach.Opened, *, padded: bool) -> Any:
    """The teacher's tokenizer, for a loop of one's own."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(loaded.tokenizer_json())
    longest = int(loaded.network().config.max_position_embeddings)
    tokenizer.enable_truncation(128 if padded else longest)
    if padded:
        tokenizer.enable_padding(length=128)
    return tokenizer


def measure(folder: Path) -> tuple[dict[str, list[float]], str]:
    """Texts per second of each side, a figure a round, and the precision that transfer chose."""
    setting = HuggingFace(model=str(model_folder(folder / "model")))
    nothing: Any = None  # this teacher learns nothing from a corpus
    teacher = teach.prepare(setting, task=TASK, corpus=nothing, fit=nothing, seed=0, store=Store(folder / "work"))
    loaded = teach.Opened(setting, teacher, task=TASK)
    texts = texts_of_reviews()
    precision = collect(loaded, teacher, texts[:WARM_UP])[1]["facts"]["precision"]["precision"]
    quick = copy.deepcopy(loaded.network()).to(torch.bfloat16) if precision == "bf16" else loaded.network()
    plain, padding = tokenizer_of(loaded, padded=False), tokenizer_of(loaded, padded=True)
    rates: dict[str, list[float]] = {name: [] for name in SIDES}

    def ask(some: Sequence[str], loop: Loop) -> tuple[float, float, float]:
        """Texts per second of the loop, of transfer and of its asking alone, on the same texts."""
        half = len(some) // 2
        took = loop(some[:half])
        seconds, manifest = collect(loaded, teacher, some)
        took += loop(some[half:])
        return len(some) / took, len(some) / seconds, manifest["circumstances"]["ledger"]["texts_per_second"]

    def bare(part: Sequence[str]) -> float:
        return bare_loop(quick, plain, part)

    def padded(part: Sequence[str]) -> float:
        return padded_loop(loaded.network(), padding, part)

    for loop in (bare, padded):
        ask(texts[:WARM_UP], loop)
    fresh = iter(texts[WARM_UP:])
    for number in range(ROUNDS):
        found = ask(list(islice(fresh, TEXTS)), bare)
        for name, one in zip(SIDES[:3], found, strict=True):
            rates[name].append(one)
        if number < PADDED_ROUNDS:
            found = ask(list(islice(fresh, PADDED_TEXTS)), padded)
            for name, one in zip(SIDES[3:], found, strict=False):
                rates[name].append(one)
    return rates, precision


def main() -> None:
    """Print one table, or with --json one object of ratios."""
    folder = Path(tempfile.mkdtemp(prefix="stillroom-bench-"))
    try:
        rates, precision = measure(folder)
    finally:
        shutil.rmtree(folder)
    pairs = {
        "vs_bare_loop": ("transfer", "bare loop"),
        "vs_padded_fp32": ("transfer, beside padded", "padded fp32"),
        "vs_bare_loop_asking_alone": ("transfer, asking alone", "bare loop"),
    }
    each = {name: np.array(rates[one]) / np.array(rates[other]) for name, (one, other) in pairs.items()}
    rows = [
        (name, f"{np.median(found):,.0f} texts/s ({min(found):,.0f}–{max(found):,.0f})")
        for name, found in rates.items()
    ]
    rows += [(f"rounds of {name}", f"{found.min():.2f}–{found.max():.2f}") for name, found in each.items()]
    title = f"transfer: {TEXTS:,} texts a round, {PADDED_TEXTS:,} beside the padded loop, asked in {precision}"
    show(title, {name: float(np.median(found)) for name, found in each.items()}, rows=rows)


if __name__ == "__main__":
    main()
