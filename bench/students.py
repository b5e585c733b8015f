"""How quick the small students are: texts per CPU-second of `static`, `bag`, `cnn`, the fp32 teacher and `model2vec`.

One thread, batches of 32, tokenization included; sides take turns, and no round has texts that an earlier one had.
Weights are untrained: speed does not depend on them. Run it: python bench/students.py [--json]
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parts import model_folder, show, texts_of_reviews
from stillroom.core import plugins
from stillroom.students import Student
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import Checkpoint

ROUNDS = 5
SMALL = ("static", "bag", "cnn")
WARM_UP, PER_ROUND, TEACHER_PER_ROUND, BATCH = 6000, 2048, 128, 32
TASK = Classification(labels=("negative", "positive"))


def small(kind: str, teacher: Checkpoint, texts: Sequence[str], folder: Path) -> Callable[[Sequence[str]], Any]:
    """A student of that kind as its bundle is served."""
    student: Student = plugins.build("students", kind)
    student.study(teacher, folder)
    saved = folder / "saved"
    saved.mkdir()
    student.begin(task=TASK, studied=folder, texts=iter(texts), seed=0).save(saved)
    runner = student.runner(saved, texts=texts[:500])
    assert runner is not None
    return runner.open(saved, threads=1)


def model2vec(folder: Path, tokenizer_json: str) -> Callable[[Sequence[str]], Any]:
    """The peer on vectors of the same vocabulary and 256 dimensions; it only embeds, our students also classify."""
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    vectors = load_file(folder / "vocabulary.safetensors")["vectors"].astype(np.float32)[:, :256]
    model = StaticModel(vectors=vectors, tokenizer=Tokenizer.from_str(tokenizer_json))
    return lambda texts: model.encode(list(texts), batch_size=BATCH, use_multiprocessing=False)


def rate(answer: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """Texts per CPU-second."""
    started = time.process_time()
    for start in range(0, len(texts), BATCH):
        answer(texts[start : start + BATCH])
    return len(texts) / (time.process_time() - started)


def main() -> None:
    """Print one table, or with --json one object of ratios."""
    torch.set_num_threads(1)
    texts = texts_of_reviews()
    folder = Path(tempfile.mkdtemp(prefix="stillroom-bench-"))
    try:
        teacher = Checkpoint(model_folder(folder / "teacher"), name="MiniLM", task=TASK)
        sides: dict[str, Callable[[Sequence[str]], Any]] = {}
        for kind in SMALL:
            (folder / kind).mkdir()
            sides[kind] = small(kind, teacher, texts[:WARM_UP], folder / kind)
        sides["model2vec"] = model2vec(folder / "static", teacher.tokenizer_json())
        sides["teacher"] = lambda some: teacher.ask(some, precision="fp32", tokens_per_batch=512)
        for name, answer in sides.items():
            rate(answer, texts[: WARM_UP if name != "teacher" else BATCH])
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(ROUNDS):
            start = WARM_UP + number * PER_ROUND
            fresh = texts[start : start + PER_ROUND]
            for name, answer in sides.items():
                rates[name].append(rate(answer, fresh if name != "teacher" else fresh[:TEACHER_PER_ROUND]))
        seen = {name: rate(sides[name], texts[:WARM_UP]) for name in SMALL}
    finally:
        shutil.rmtree(folder)
    pairs = {"static_vs_teacher": ("static", "teacher"), "bag_vs_teacher": ("bag", "teacher"),
             "cnn_vs_teacher": ("cnn", "teacher"), "static_vs_model2vec": ("static", "model2vec"),
             "bag_vs_model2vec": ("bag", "model2vec")}  # fmt: skip
    ratios = {
        name: float(np.median(np.array(rates[one]) / np.array(rates[other]))) for name, (one, other) in pairs.items()
    }
    rows = [(f"{name}, unseen texts", f"{np.median(found):,.0f} texts/CPU-s") for name, found in rates.items()]
    rows += [(f"{name}, texts seen before", f"{found:,.0f} texts/CPU-s") for name, found in seen.items()]
    show("students", ratios, rows=rows)


if __name__ == "__main__":
    main()
