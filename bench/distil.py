"""What asking the teacher once saves: wall time of distilling one student against loops that ask it at every step.

    asked once        `transfer.collect` into a new store (its probe included), then `loop.fit`
    teacher in loop   the very same loop, but each step's targets come from the teacher then and there: in the precision
                      that transfer chose, under `inference_mode`, and, as in ours, in batches of like length
    as often written  shuffled batches padded to their longest text, the teacher in fp32 under `no_grad`, no dev rows;
                      one epoch is timed and taken as many times as there are epochs

Student, start, texts, epochs, batch size, optimizers and dev rows are the same. What every way needs before its first
step (loading, the student's start) is not timed. The sides take turns on all cores; the median of the rounds' ratios
counts. The headline is the demo's student, `static`; `transformer` is three of the teacher's six layers. Run it:

    python bench/distil.py [--json]
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import copy
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from parts import model_folder, show, texts_of_reviews
from stillroom import loop, teach, transfer
from stillroom.core import artifact, batches, plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.corpus import Dev, Rows, Train
from stillroom.objectives import Objective, Target
from stillroom.students import Network, Student
from stillroom.tasks.classification import Classification
from stillroom.teachers._fitting import Examples, Plan
from stillroom.teachers.huggingface import HuggingFace

ROUNDS = {"static": 3, "transformer": 3}
EPOCHS = {"static": 6, "transformer": 3}
TEXTS, DEV_TEXTS, PLAIN_TEXTS = 1024, 128, 128
TASK = Classification(labels=("negative", "positive"))
OBJECTIVES: tuple[Objective, ...] = tuple(plugins.build("objectives", one) for one in TASK.objectives())


@dataclass(frozen=True)
class Ground:
    """What all sides stand on: a teacher, a student that is not begun, and texts."""

    teacher: Artifact
    loaded: teach.Opened
    student: Student
    studied: Path
    texts: Sequence[str]
    dev_texts: Sequence[str]

    def begin(self) -> Network:
        """The student before its first step."""
        return self.student.begin(task=TASK, studied=self.studied, texts=iter(self.texts), seed=0)

    def plan(self) -> Plan:
        """The student's own epochs and batch size; nothing stops early, so that every side does the same steps."""
        own = self.student
        return Plan(own.epochs, own.batch_size, own.learning_rate, own.epochs, 0, own.bf16())

    def fit(self, network: Network, parts: Sequence[Examples]) -> None:
        """The product's loop."""
        with tempfile.TemporaryDirectory(prefix="stillroom-bench-") as folder:
            loop.fit(network, task=TASK, train=parts[0], dev=parts[1], objectives=OBJECTIVES, plan=self.plan(),
                       folder=Path(folder))  # fmt: skip


class Asked:
    """Logits that are not there yet: each row is asked about when it is read, in one batch with its neighbours."""

    def __init__(self, ground: Ground, texts: Sequence[str], network: Any) -> None:
        self._network = network
        self._ids = [np.array(one.ids, dtype=np.int32) for one in tokenizer_of(ground).encode_batch_fast(list(texts))]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the teacher says of these rows."""
        padded, mask = batches.pad([self._ids[row] for row in rows])
        with torch.inference_mode():
            masked = torch.from_numpy(mask).long()
            found: NDArray[np.float32] = (
                self._network(input_ids=torch.from_numpy(padded), attention_mask=masked).logits.float().numpy()
            )
        return found


def tokenizer_of(ground: Ground) -> Any:
    """The teacher's tokenizer, for a loop of one's own."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(ground.loaded.tokenizer_json())
    tokenizer.enable_truncation(int(ground.loaded.network().config.max_position_embeddings))
    return tokenizer


def nobody(texts: Sequence[str]) -> NDArray[np.int64]:
    """No gold labels: the teacher's words are all that is learned from."""
    return np.full(len(texts), -1, dtype=np.int64)


def asked_once(ground: Ground, network: Network) -> str:
    """Our way; the precision that it asked in."""
    with tempfile.TemporaryDirectory(prefix="stillroom-bench-") as name:
        folder = Path(name)
        rows: list[Rows[Any]] = []
        for role, texts in (("unlabelled", ground.texts), ("dev", ground.dev_texts)):
            path = folder / f"{role}.parquet"
            pq.write_table(pa.table({"id": [artifact.text_id(text) for text in texts], "text": list(texts)}), path)
            rows.append(
                Rows[Train if role == "unlabelled" else Dev](path, artifact.file_sha256(path), role, len(texts))
            )
        said = transfer.collect(ground.loaded, teacher=ground.teacher, parts=rows, task=TASK,
                                settings=recipe.Transfer(), seed=0, store=Store(folder))  # fmt: skip
        found: dict[str, list[Any]] = {"unlabelled": [], "dev": []}
        for shard in said.shards():
            flat = shard["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
            found[str(shard["part"][0])].append((shard["text"].to_pylist(), flat.reshape(-1, len(TASK.outputs))))
        parts = [examples(network, shards) for shards in found.values()]
        ground.fit(network, parts)
        return str(said.artifact.manifest["facts"]["precision"]["precision"])


def examples(network: Network, shards: Sequence[tuple[list[str], NDArray[np.float32]]]) -> Examples:
    """Rows in memory from shards of a transfer set."""
    texts = [text for shard, _ in shards for text in shard]
    return Examples(network.encode(texts), nobody(texts), np.concatenate([logits for _, logits in shards]))


def teacher_in_loop(ground: Ground, network: Network, *, quick: Any) -> None:
    """The product's loop with the teacher inside it. Dev rows are asked about once, as a careful author would."""
    lazy: Any = Asked(ground, ground.texts, quick)
    loaded = ground.loaded
    precision = "bf16" if quick.dtype == torch.bfloat16 else "fp32"
    dev, _ = loaded.ask(ground.dev_texts, precision=precision, tokens_per_batch=recipe.Transfer().tokens_per_batch)
    parts = (
        Examples(network.encode(ground.texts), nobody(ground.texts), lazy),
        Examples(network.encode(ground.dev_texts), nobody(ground.dev_texts), dev["logits"]),
    )
    ground.fit(network, parts)


def as_often_written(ground: Ground, network: Network) -> float:
    """Seconds of a plain loop for all epochs, from one epoch on some of the texts."""
    plan, texts = ground.plan(), ground.texts[:PLAIN_TEXTS]
    started = time.perf_counter()
    asked = Asked(ground, texts, ground.loaded.network())
    ids = network.encode(texts)
    optimizers = network.optimizers(plan.learning_rate)
    network.module.train()
    order = np.random.default_rng(0).permutation(len(texts))
    for start in range(0, len(order), plan.batch_size):
        rows = order[start : start + plan.batch_size]
        padded, mask = batches.pad([ids[row] for row in rows])
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bf16):
            student = network.module(torch.from_numpy(padded), torch.from_numpy(mask)).float()
        gold, everyone = torch.from_numpy(nobody(rows)), torch.ones(len(rows), dtype=torch.bool)
        target = Target({"logits": torch.from_numpy(asked[rows])}, gold, everyone)
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.stack([one.weight * one.loss({"logits": student}, target) for one in OBJECTIVES]).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
    return (time.perf_counter() - started) * plan.epochs * len(ground.texts) / len(texts)


def timed(work: Callable[[Network], Any], network: Network) -> float:
    """Seconds of a way to distil."""
    started = time.perf_counter()
    work(network)
    return time.perf_counter() - started


def measure(ground: Ground, *, quick: Any, rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, a figure a round."""
    found: dict[str, list[float]] = {"asked once": [], "teacher in loop": [], "as often written": []}
    for number in range(rounds):
        for name in list(found) if number % 2 == 0 else list(reversed(found)):
            network = ground.begin()
            if name == "as often written":
                found[name].append(as_often_written(ground, network))
            elif name == "asked once":
                found[name].append(timed(lambda one: asked_once(ground, one), network))
            else:
                found[name].append(timed(lambda one: teacher_in_loop(ground, one, quick=quick), network))
    return found


def grounds(folder: Path) -> dict[str, Ground]:
    """A ground for each student, on one teacher."""
    setting = HuggingFace(model=str(model_folder(folder / "model")))
    nothing: Any = None  # this teacher learns nothing from a corpus
    store = Store(folder / "work")
    teacher = teach.prepare(setting, task=TASK, corpus=nothing, fit=nothing, seed=0, store=store)
    loaded = teach.Opened(setting, teacher, task=TASK)
    texts = texts_of_reviews()
    made = {}
    for kind in ROUNDS:
        student: Student = plugins.build("students", {"kind": kind, "epochs": EPOCHS[kind]})
        studied = teach.study(student, loaded, teacher=teacher, store=store).folder
        made[kind] = Ground(teacher, loaded, student, studied, texts[:TEXTS], texts[TEXTS : TEXTS + DEV_TEXTS])
    return made


def main() -> None:
    """Print one table, or with --json one object of ratios."""
    folder = Path(tempfile.mkdtemp(prefix="stillroom-bench-"))
    ratios: dict[str, float] = {}
    rows: list[tuple[str, str]] = []
    try:
        made = grounds(folder)
        first = next(iter(made.values()))
        precision = asked_once(first, first.begin())  # and everything is warm
        network = first.loaded.network()
        quick = copy.deepcopy(network).to(torch.bfloat16) if precision == "bf16" else network
        for kind, ground in made.items():
            seconds = measure(ground, quick=quick, rounds=ROUNDS[kind])
            suffix = "" if kind == "static" else f"_{kind}"
            for name, found in seconds.items():
                rows.append((f"{kind}, {name}", f"{np.median(found):.1f} s ({min(found):.1f}–{max(found):.1f})"))
            for name, side in (("vs_teacher_in_loop", "teacher in loop"), ("vs_as_often_written", "as often written")):
                each = np.array(seconds[side]) / np.array(seconds["asked once"])
                rows.append((f"rounds of {name}{suffix}", f"{each.min():.2f}–{each.max():.2f}"))
                ratios[name + suffix] = float(np.median(each))
    finally:
        shutil.rmtree(folder)
    epochs = ", ".join(f"{kind} {ground.student.epochs}" for kind, ground in made.items())
    show(f"distil: {TEXTS:,} texts, teacher in {precision}, epochs: {epochs}", ratios, rows=rows)


if __name__ == "__main__":
    main()
