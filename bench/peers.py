"""Ours beside the peers, on the same rows and the same teacher's outputs: quality, training, speed and size in one run.

Sets are banking77 and SST-2 with the fitted teachers of ../shared/teachers (skipped, with a reason, where they are not
here). A peer gets the teacher's outputs where it can take them, gold labels where it can't, and its own defaults:

    TF-IDF + LR            words 1–2, logistic regression, gold
    model2vec              `distill(MiniLM, 256)`, its classifier on the teacher's labels, and on gold
    setfit distillation    three of the teacher's layers, pairwise cosines of the teacher, then its head on its labels
    sentence-transformers  three of the teacher's layers, mean squared error on its vectors, then LR on its labels
    ours                   every student that this project has, fitted to logits and gold, served as it ships

Everybody is fitted on train, chooses on dev, and sees test once. One thread; seconds are CPU seconds; texts/s are per
CPU-second over test texts in batches of 32, tokenization included, after a warm-up on train texts; sides take turns.
The fp32 teacher in torch, sorted by length, is the unit of speed. Run it in an environment that has the peers:

    pip install 'stillroom[train]' setfit sentence-transformers 'skeletoken<0.7'
    python bench/peers.py [--sets banking77 sst_sentence] [--rows N] [--ours KIND …] [--json]
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from parts import BASE, SHARED, fitted_teacher
from stillroom import corpus as corpora
from stillroom import export, loop, runtime, teach, train, transfer
from stillroom.core import plugins, recipe
from stillroom.core.artifact import Store
from stillroom.teachers import _pretrained, huggingface

Answer = Callable[[Sequence[str]], NDArray[np.int64]]
ROUNDS, BATCH, WARM_UP = 5, 32, 1024
SETFIT_STEPS, VECTOR_EPOCHS = 200, 2
LAYERS = 3
#: Students and their settings, with the export formats that serve them; the settings were chosen on dev.
OURS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "bag": ({"epochs": 12}, []),
    "static": ({"epochs": 20, "hidden": 512, "features": {"bits": 17}}, []),
    "cnn": ({}, ["onnx", "onnx_int8"]),
    "bigru": ({}, ["onnx", "onnx_int8"]),
    "transformer": ({"layers": LAYERS}, ["onnx", "onnx_int8"]),
}


@dataclass(frozen=True)
class Ground:
    """One set: texts, gold and the teacher's answers of each split, and the teacher itself."""

    name: str
    labels: tuple[str, ...]
    texts: dict[str, list[str]]
    gold: dict[str, NDArray[np.int64]]
    teacher: dict[str, NDArray[np.int64]]
    folder: Path
    recipe: recipe.Recipe


@dataclass(frozen=True)
class Side:
    """A fitted system."""

    name: str
    answer: Answer
    seconds: float
    megabytes: float


def size(folder: Path) -> float:
    """Megabytes of every file in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def tfidf(ground: Ground, work: Path) -> Side:
    """The floor, on gold."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    started = time.process_time()
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000, C=10.0))
    model.fit(ground.texts["train"], ground.gold["train"])
    seconds = time.process_time() - started
    weights, words = model[-1].coef_.nbytes, sum(len(word) + 12 for word in model[0].vocabulary_)
    return Side("TF-IDF + LR, gold", lambda texts: model.predict(list(texts)), seconds, (weights + words) / 1e6)


def model2vec(ground: Ground, work: Path, *, taught: bool) -> Side:
    """`model2vec`: a static model of the base, and its own classifier on top."""
    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification

    started = time.process_time()
    static = distill(str(_pretrained.locate(BASE, where="bench")), pca_dims=256, device="cpu")
    model = StaticModelForClassification.from_static_model(model=static)
    said = ground.teacher if taught else ground.gold
    names = {split: [ground.labels[one] for one in said[split]] for split in ("train", "dev")}
    model.fit(
        ground.texts["train"],
        names["train"],
        X_val=ground.texts["dev"],
        y_val=names["dev"],
        device="cpu",
        random_seed=7,
    )
    pipeline = model.to_pipeline()
    seconds = time.process_time() - started
    folder = work / f"model2vec-{taught}"
    pipeline.save_pretrained(str(folder))
    places = {label: place for place, label in enumerate(ground.labels)}
    name = f"model2vec classifier, {'teacher labels' if taught else 'gold'}"
    return Side(
        name, lambda texts: np.array([places[one] for one in pipeline.predict(list(texts))]), seconds, size(folder)
    )


def body(ground: Ground, work: Path, *, layers: int | None) -> Any:
    """The fitted teacher's encoder, or maximally spaced layers of it, as a sentence-transformers model."""
    from sentence_transformers import SentenceTransformer, models
    from transformers import AutoModel, AutoTokenizer

    folder = work / f"body-{layers}"
    if not folder.is_dir():
        encoder = AutoModel.from_pretrained(ground.folder, dtype=torch.float32)
        if layers is not None:
            count = encoder.config.num_hidden_layers
            kept = np.linspace(0, count - 1, layers).round().astype(int).tolist()
            encoder.encoder.layer = torch.nn.ModuleList([encoder.encoder.layer[place] for place in kept])
            encoder.config.num_hidden_layers = layers
        encoder.save_pretrained(folder)
        AutoTokenizer.from_pretrained(ground.folder).save_pretrained(folder)
    word = models.Transformer(str(folder))
    return SentenceTransformer(modules=[word, models.Pooling(word.get_word_embedding_dimension())], device="cpu")


def setfit(ground: Ground, work: Path) -> Side:
    """`setfit` distillation; its pairs grow with the square of the rows, so its steps are capped."""
    from datasets import Dataset
    from setfit import DistillationTrainer, SetFitModel, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    started = time.process_time()
    rows = min(2000, len(ground.texts["train"]))
    texts, said = ground.texts["train"][:rows], ground.teacher["train"][:rows]
    large = body(ground, work, layers=None)
    head = LogisticRegression(max_iter=1000).fit(large.encode(texts), said)
    teacher = SetFitModel(model_body=large, model_head=head)
    student = SetFitModel(model_body=body(ground, work, layers=LAYERS), model_head=LogisticRegression(max_iter=1000))
    arguments = TrainingArguments(
        output_dir=str(work / "setfit"),
        batch_size=16,
        max_steps=SETFIT_STEPS,
        num_iterations=2,
        seed=7,
        report_to="none",
    )
    trainer = DistillationTrainer(
        teacher_model=teacher, student_model=student, args=arguments, train_dataset=Dataset.from_dict({"text": texts})
    )
    trainer.train()
    everything = student.model_body.encode(ground.texts["train"])
    student.model_head.fit(everything, ground.teacher["train"])
    seconds = time.process_time() - started
    folder = work / "setfit-saved"
    student.save_pretrained(str(folder))
    return Side(
        "setfit distillation, 3 layers", lambda texts: np.asarray(student.predict(list(texts))), seconds, size(folder)
    )


def vectors(ground: Ground, work: Path) -> Side:
    """`sentence-transformers` knowledge distillation: the student's vectors are drawn to the teacher's."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments, losses
    from sklearn.linear_model import LogisticRegression

    started = time.process_time()
    texts = ground.texts["train"]
    targets = body(ground, work, layers=None).encode(texts)
    student = body(ground, work, layers=LAYERS)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(work / "vectors"), num_train_epochs=VECTOR_EPOCHS, per_device_train_batch_size=32,
        learning_rate=1e-4, warmup_ratio=0.1, seed=7, report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    rows = Dataset.from_dict({"sentence": texts, "label": targets.tolist()})
    SentenceTransformerTrainer(model=student, args=arguments, train_dataset=rows, loss=losses.MSELoss(student)).train()
    head = LogisticRegression(max_iter=1000, C=10.0).fit(student.encode(texts), ground.teacher["train"])
    seconds = time.process_time() - started
    folder = work / "vectors-saved"
    student.save_pretrained(str(folder))

    def answer(some: Sequence[str]) -> Any:
        return head.predict(student.encode(list(some), batch_size=BATCH))

    return Side("sentence-transformers KD, 3 layers", answer, seconds, size(folder) + head.coef_.nbytes / 1e6)


def ours(ground: Ground, work: Path, kinds: Sequence[str]) -> Iterator[Side]:
    """Each student as it ships: bundle, default runner."""
    built, store = ground.recipe, Store(work / "work")
    rows = corpora.load(built.corpus, task=built.task, store=store)
    teacher = teach.prepare(built.teacher, task=built.task, corpus=rows.learnable, fit=loop.fit, seed=7, store=store)
    loaded = teach.Opened(built.teacher, teacher, task=built.task)
    started = time.process_time()
    said = transfer.collect(loaded, teacher=teacher, parts=(rows.train, rows.unlabelled, rows.dev), task=built.task,
                            settings=built.transfer, seed=7, store=store)  # fmt: skip
    asking = time.process_time() - started
    mixture = tuple(plugins.build("objectives", dict(one)) for one in built.task.objectives())
    for kind in kinds:
        settings, formats = OURS[kind]
        student = plugins.build("students", {"kind": kind, **settings})
        studied = teach.study(student, loaded, teacher=teacher, store=store)
        started = time.process_time()
        trained = train.fit(student, task=built.task, corpus=rows.learnable, said=said, objectives=mixture,
                            settings=recipe.Train(patience=5), studied=studied, seed=7, store=store)  # fmt: skip
        seconds = asking + time.process_time() - started
        bundle = export.bundle(student, trained, task=built.task, dev=rows.dev,
                               settings=recipe.Export(formats=tuple(formats)), said=said,
                               rights=rows.rights, store=store)  # fmt: skip
        predictor = runtime.load(bundle.folder)
        needed = bundle.read_json(runtime.BUNDLE)["runners"][predictor.runner]["files"]
        megabytes = sum((bundle.folder / name).stat().st_size for name in needed) / 1e6
        yield Side(f"ours: {kind} ({predictor.runner})", answering(predictor), seconds, megabytes)


def answering(predictor: runtime.Predictor) -> Answer:
    """Labels by place."""
    return lambda texts: predictor.outputs(list(texts)).argmax(axis=1)


def rate(answer: Answer, texts: Sequence[str], *, at_once: int = BATCH) -> float:
    """Texts per CPU-second."""
    started = time.process_time()
    for start in range(0, len(texts), at_once):
        answer(texts[start : start + at_once])
    return len(texts) / (time.process_time() - started)


def measured(ground: Ground, sides: Sequence[Side]) -> list[dict[str, Any]]:
    """A line for each system: test once, speed in turns."""
    checkpoint = huggingface.Checkpoint(ground.folder, name="teacher", task=ground.recipe.task, labels=ground.labels)

    def teacher(texts: Sequence[str]) -> NDArray[np.int64]:
        return checkpoint.ask(texts, precision="fp32", tokens_per_batch=512)[0]["logits"].argmax(axis=1)

    gold, base = ground.gold["test"], float(np.mean(ground.teacher["test"] == ground.gold["test"]))
    lines = []
    for side in sides:
        said = np.concatenate([side.answer(ground.texts["test"][at : at + 512]) for at in range(0, len(gold), 512)])
        accuracy = float(np.mean(said == gold))
        lines.append({"set": ground.name, "system": side.name, "accuracy": accuracy, "retention": accuracy / base,
                      "train_cpu_s": side.seconds, "mb": side.megabytes})  # fmt: skip
        rate(side.answer, ground.texts["train"][:WARM_UP])
    rates: list[list[float]] = [[] for _ in sides]
    units = []
    test = ground.texts["test"]
    for number in range(ROUNDS):
        part = test[number * len(test) // ROUNDS : (number + 1) * len(test) // ROUNDS]
        units.append(rate(teacher, part[:128], at_once=128))
        for found, side in zip(rates, sides, strict=True):
            found.append(rate(side.answer, part))
    for line, found in zip(lines, rates, strict=True):
        line["texts_per_cpu_s"] = float(np.median(found))
        line["vs_teacher"] = float(np.median(np.array(found) / np.array(units)))
    return lines


def frontier(lines: Sequence[dict[str, Any]]) -> None:
    """Mark who is beaten in quality and speed by somebody."""
    for one in lines:
        beaten = [
            other["system"]
            for other in lines
            if other["accuracy"] >= one["accuracy"] and other["texts_per_cpu_s"] > one["texts_per_cpu_s"]
            and other is not one
        ]  # fmt: skip
        one["beaten_by"] = beaten


def grounds(names: Sequence[str], *, rows: int | None, folder: Path) -> Iterator[Ground]:
    """The sets that are here."""
    for name in names:
        built, texts, gold, logits = fitted_teacher(name, folder / f"{name}-csv", rows=rows)
        said = {split: one.argmax(axis=1).astype(np.int64) for split, one in logits.items()}
        yield Ground(name, built.task.outputs, texts, gold, said, SHARED / name, built)


def main() -> None:
    """Print one table a set, or with --json one object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=["banking77", "sst_sentence"])
    parser.add_argument("--rows", type=int, help="training rows, at most")
    parser.add_argument("--ours", nargs="+", default=[kind for kind in OURS if kind in plugins.names("students")])
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"skipped: no fitted teachers at {SHARED}")
    absent = [name for name in ("setfit", "sentence_transformers", "skeletoken") if find_spec(name) is None]
    if absent:
        sys.exit(f"skipped: no {', '.join(absent)} in this environment; the head of this file says what to install")
    warnings.simplefilter("ignore")  # of the peers, about themselves
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="stillroom-peers-"))
    everything: list[dict[str, Any]] = []
    try:
        for ground in grounds(chosen.sets, rows=chosen.rows, folder=folder):
            work = folder / ground.name
            work.mkdir()
            sides = [tfidf(ground, work), model2vec(ground, work, taught=True), model2vec(ground, work, taught=False)]
            sides += [setfit(ground, work), vectors(ground, work), *ours(ground, work, chosen.ours)]
            lines = measured(ground, sides)
            frontier(lines)
            everything += lines
            if not chosen.json:
                show(lines)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if chosen.json:
        print(json.dumps({f"{one['set']}: {one['system']}": one for one in everything}))


def show(lines: Sequence[dict[str, Any]]) -> None:
    """A Markdown table."""
    print(f"\n| {lines[0]['set']} | accuracy % | kept % | training CPU-s | texts/CPU-s | × teacher | MB | beaten by |")
    print("|---|---|---|---|---|---|---|---|")
    for one in sorted(lines, key=lambda line: -line["accuracy"]):
        quality = f"{100 * one['accuracy']:.2f} | {100 * one['retention']:.1f}"
        speed = f"{one['train_cpu_s']:.0f} | {one['texts_per_cpu_s']:,.0f} | {one['vs_teacher']:.1f}"
        print(f"| {one['system']} | {quality} | {speed} | {one['mb']:.1f} | {', '.join(one['beaten_by']) or '–'} |")


if __name__ == "__main__":
    main()
