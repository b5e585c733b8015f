"""How a cascade keeps its promise: what is certified, how often that holds, what it escalates and costs, and a shift.

    python bench/cascade.py [--sets banking77 clinc150 ag_news] [--resamples 100] [--epsilons 0.05 0.03]
                            [--work work/cascade] [--shared ../shared] [--json]

A small student is fitted once a set. The promise is that with 95 % confidence no more than ε of the texts are
answered by the student and otherwise than by its teacher. The held-out rows are drawn anew into thirds a hundred times:
the first calibrates, the second certifies, the last is kept back. How often no more than ε went wrong is counted on

    kept back         the rows kept back alone: a sample themselves, so that a true certificate may break here by chance
    population        all rows that did not calibrate, out of which those that certify were drawn without replacement
    with replacement  the same population, with rows to certify on that are drawn from it with replacement: exactly
                      what the certificate speaks of

A resample in which nothing could be certified breaks no promise, and is counted beside.

    banking77   the MiniLM that comes with the set; static student
    clinc150    its annotators, whose labels are recorded and priced at an assumed 0.05 a label; what is out of scope is
                a label of its own and the hard traffic; bag student
    clinc150_fitted   the same rows with MiniLM as the teacher, fitted here; static student
    ag_news     MiniLM, fitted here to few rows; bag student
    ag_news_words   logistic regression over words and their pairs, fitted to other rows and recorded; bag student

Then texts of other sets are put to the certificates of the first and the last two, with what the teachers say of them.

What is finished is kept under `--work`. Where a set is not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from parts import BASE, NotHereError, read_set, tell, write_rows
from stillroom import cascade, pipeline
from stillroom.cascade import certificate, finished, traffic
from stillroom.cascade.finished import Answered
from stillroom.core import recipe
from stillroom.core.progress import silent
from stillroom.journey import Run
from stillroom.runtime.deferral import Prices

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ("banking77", "clinc150", "ag_news_words")
SETS = (*DEFAULT, "clinc150_fitted", "ag_news")
#: Whose certificate is put to the texts of which sets.
SHIFTS = {"banking77": ("clinc150", "ag_news", "sst_sentence"),
          **dict.fromkeys(("ag_news", "ag_news_words"),
                          ("ag_news", "banking77", "clinc150", "sst_sentence"))}  # fmt: skip
DELTA = 0.05
LABEL_PRICE = 0.05e6
#: How the teachers are fitted that do not come with their set.
FITTED: dict[str, dict[str, Any]] = {
    "clinc150_fitted": {"kind": "finetuned", "base": BASE, "epochs": 4, "learning_rates": [3e-4], "freeze_layers": 2,
                        "max_tokens": 48},
    "ag_news": {"kind": "finetuned", "base": BASE, "epochs": 1, "learning_rates": [1e-4], "freeze_layers": 3,
                "max_tokens": 64},
}  # fmt: skip
#: How many rows of a split are read, where not all are: a teacher of these is good enough to be imitated.
ROWS: dict[str, dict[str, int]] = {"ag_news": {"train": 1200, "dev": 300, "test": 1000},
                                   "ag_news_words": {"train": 3000, "dev": 300, "test": 1500}}  # fmt: skip
SHIFTED = 300

Splits = dict[str, list[tuple[str, int]]]


def rows_of(name: str, shared: Path) -> tuple[list[str], Splits]:
    """The labels and rows of a set; CLINC150 with its rows out of scope as a label of their own, in every split.

    Raises:
        NotHereError: the set is not on this machine.
    """
    if not name.startswith("clinc150"):
        return read_set(shared, name.removesuffix("_words"))
    path = shared / "data" / "classification" / "clinc150" / "data_full.json.gz"
    if not path.is_file():
        raise NotHereError(f"no {path}")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        found = json.load(file)
    labels = [*sorted({label for _, label in found["train"]}), "oos"]
    names = {"train": "train", "dev": "val", "test": "test"}
    return labels, {split: [(text, labels.index(label)) for text, label in (*found[own], *found[f"oos_{own}"])]
                    for split, own in names.items()}  # fmt: skip


def write_scoped(splits: Splits, labels: Sequence[str], folder: Path) -> dict[str, Any]:
    """The settings of a table with these rows, which says of each whether it is in scope."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, found in splits.items():
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            told = ((text, labels[one], "out" if labels[one] == "oos" else "in") for text, one in found)
            csv.writer(file).writerows([("text", "label", "scope"), *told])
    return {"kind": "table", **{split: str(folder / f"{split}.csv") for split in splits}, "columns": ["scope"]}


def annotators(splits: Splits, labels: Sequence[str], path: Path) -> dict[str, Any]:
    """The settings of a teacher that is those who labelled the set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [{"labels": list(labels), "teacher": "the annotators"}]
    told = {text: labels[one] for found in splits.values() for text, one in found}
    lines += [{"text": text, "label": label} for text, label in told.items()]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return {"kind": "recorded", "outputs": str(path), "price_per_million_texts": LABEL_PRICE}


def words(shared: Path) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """A teacher that goes by words: it gives log-probabilities, and was fitted to rows that no student here sees."""
    _, splits = read_set(shared, "ag_news")
    texts, gold = zip(*splits["train"][ROWS["ag_news_words"]["train"] :], strict=True)
    made = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), LogisticRegression(C=30.0))
    found: Callable[[Sequence[str]], NDArray[np.float64]] = made.fit(texts, gold).predict_log_proba
    return found


def recorded(splits: Splits, labels: Sequence[str], path: Path, *, shared: Path) -> dict[str, Any]:
    """The settings of that teacher, with its answers to these rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = list(dict.fromkeys(text for found in splits.values() for text, _ in found))
    lines: list[dict[str, Any]] = [{"labels": list(labels), "teacher": "logistic regression over words"}]
    lines += [{"text": text, "logits": said} for text, said in zip(texts, words(shared)(texts).tolist(), strict=True)]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return {"kind": "recorded", "outputs": str(path)}


def travelled(name: str, *, shared: Path, work: Path) -> Run:
    """A finished run of a set, its teacher and a small student; from disk where it was finished before."""
    labels, splits = rows_of(name, shared)
    # A third of the rows are enough to fit a teacher to.
    if name in FITTED:
        splits |= {"train": splits["train"][::3]}
    splits = {split: found[: ROWS.get(name, {}).get(split)] for split, found in splits.items()}
    folder, student = work / "rows" / name, {"kind": "static" if name in ("banking77", "clinc150_fitted") else "bag"}
    corpus = (write_scoped if name.startswith("clinc150") else write_rows)(splits, labels, folder)
    teacher = FITTED.get(name, {"kind": "huggingface", "model": str(shared / "teachers" / name), "labels": labels})
    if name == "clinc150":
        teacher = annotators(splits, labels, folder / "said.jsonl")
    if name == "ag_news_words":
        teacher = recorded(splits, labels, folder / "said.jsonl", shared=shared)
    built = {
        "name": name,
        "seed": 0,
        "task": {"kind": "classification", "labels": labels},
        "corpus": corpus,
        "teacher": teacher,
        "student": student,
        "evaluate": {"resamples": 1000},
        "cost": {"texts": 128},
        "audit": {"probes": []},
    }
    return pipeline.run(recipe.parse(built), work=work, until="gates", report=tell)


def certified(run: Run, epsilon: float) -> dict[str, Any]:
    """What is certified of a run on its own rows, and what it is worth."""
    told = cascade.certify(run.folder, epsilon=epsilon, delta=DELTA).told
    taken = next((one for one in reversed(told["steps"]) if one["passed"]), None)
    scopes = {one["name"]: one["escalated"] for one in told["groups"] if one["family"] == "scope"}
    return {"certificate": told["certificate"], "reason": told["reason"], "scopes": scopes,
            "escalated": taken and taken["escalated"], "paid": taken and taken["paid"]}  # fmt: skip


def resampled(rows: Answered, epsilon: float, *, count: int, prices: Prices) -> dict[str, Any]:
    """In how many resamples of the held-out rows what was certified holds, counted in three ways."""
    holds = dict.fromkeys(("kept_back", "population", "with_replacement"), 0)
    escalated: list[float] = []
    third, wrong = len(rows.ids) // 3, ~rows.right
    for seed in range(count):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(rows.ids))
        calibrating, rest = order[:third], order[third:]
        calibration = certificate.calibrate(rows.sureness[calibrating], rows.right[calibrating])
        confidence = calibration.of(rows.sureness)
        drawn = {"kept_back": (rest[:third], rest[third:]), "population": (rest[:third], rest),
                 "with_replacement": (rng.choice(rest, third), rest)}  # fmt: skip
        for name, (certifying, held) in drawn.items():
            steps = certificate.walk(confidence[certifying], wrong[certifying], calibration.thresholds, epsilon=epsilon,
                                     delta=DELTA)  # fmt: skip
            taken = certificate.taken(steps)
            answered = np.zeros(len(held), dtype=np.bool_) if taken is None else confidence[held] >= taken.threshold
            holds[name] += bool((answered & wrong[held]).mean() <= epsilon)
            if name == "kept_back" and taken is not None:
                escalated.append(float(1 - answered.mean()))
    own = prices.student / prices.teacher if prices.teacher and prices.student is not None else None
    ends = np.quantile(escalated, [0.05, 0.5, 0.95]).tolist() if escalated else [None] * 3
    paid = None if own is None or ends[1] is None else ends[1] + own
    return {"resamples": count, "certified": len(escalated), "holds": holds, "rows_each": third,
            "escalated": dict(zip(("p5", "p50", "p95"), ends, strict=True)), "paid": paid}  # fmt: skip


def shifted(name: str, run: Run, *, shared: Path, work: Path) -> Iterator[dict[str, Any]]:
    """The certificate of a run put to texts of other sets, and to further rows of its own."""
    for other in SHIFTS[name]:
        try:
            rows = rows_of(other, shared)[1]["test"]
        except NotHereError as error:
            print(f"{other}: skipped, {error}", file=sys.stderr)
            continue
        texts = [text for text, _ in rows[-SHIFTED:]]
        path, column = work / "rows" / f"{name}-{other}.csv", ""
        columns = {"text": texts}
        if name == "ag_news_words":
            column, labels = "teacher", rows_of(name, shared)[0]
            columns[column] = [labels[one] for one in words(shared)(texts).argmax(axis=1).tolist()]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([tuple(columns), *zip(*columns.values(), strict=True)])
        yield {"of": name, "texts": other, **traffic.judge(run.folder, path, teacher=column, report=tell)}


def cells(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What each set comes to at each ε."""
    for name in arguments.sets:
        try:
            run = travelled(name, shared=arguments.shared, work=arguments.work)
        except NotHereError as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
            continue
        opened = finished.reopen(run.folder)
        rows, prices = opened.held_out(silent), opened.prices()
        for epsilon in arguments.epsilons:
            line = {"set": name, "epsilon": epsilon, "agreement": run.summary["agreement"], **certified(run, epsilon)}
            yield line | {"resampled": resampled(rows, epsilon, count=arguments.resamples, prices=prices)}
        if name in SHIFTS and certified(run, arguments.epsilons[0])["certificate"]:
            yield {"set": name, "shift": list(shifted(name, run, shared=arguments.shared, work=arguments.work))}


def share(one: Mapping[str, Any] | None) -> str:
    """A share with its interval, in per cent."""
    if not one or one.get("value") is None:
        return "–"
    return f"{100 * one['value']:.1f} ({100 * one['low']:.1f}–{100 * one['high']:.1f})"


def main() -> None:
    """Print two tables, or with --json all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(DEFAULT), help="which sets")
    parser.add_argument("--resamples", type=int, default=100, help="of each set's held-out rows")
    parser.add_argument("--epsilons", nargs="+", type=float, default=[0.05, 0.03], help="what is promised")
    parser.add_argument("--work", type=Path, default=Path("work/cascade"), help="where runs are kept")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="where teachers and texts are")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    arguments = parser.parse_args()
    lines = list(cells(arguments))
    if arguments.json:
        print(json.dumps(lines))
        return
    print("| set | ε, % | same as the teacher, % | wrong / rows | bound, % | bound of the answered, % | escalated, % "
          "| paid, % | holds on rows kept back | population | with replacement | of resamples |")  # fmt: skip
    print("|---" * 12 + "|")
    for one in lines:
        if "shift" in one:
            continue
        shown, holds = one["certificate"], one["resampled"]["holds"]
        told = [one["reason"], "–", "–"] if shown is None else [f"{shown['wrong']} / {shown['n']:,}",
                f"{100 * shown['bound']:.2f}", f"{100 * shown['selective_bound']:.2f}"]  # fmt: skip
        print("|", " | ".join([one["set"], f"{100 * one['epsilon']:g}", share(one["agreement"]), *told,
                               share(one["escalated"]), share(one["paid"]), *map(str, holds.values()),
                               str(one["resampled"]["resamples"])]), "|")  # fmt: skip
    for one in lines:
        for scope, escalated in one.get("scopes", {}).items():
            print(f"{one['set']}, ε {100 * one['epsilon']:g} %, scope {scope}: {share(escalated)} % escalated")
    print("\n| trained on | texts | rows | answered | wrong | bound, % | verdict | Kolmogorov–Smirnov p |")
    print("|---" * 8 + "|")
    for one in (some for line in lines for some in line.get("shift", ())):
        told = (one["of"], one["texts"], f"{one['rows']:,}", f"{one['answered']:,}", f"{one['wrong']:,}",
                f"{100 * one['bound']:.1f}", one["state"], f"{one['shift']['p']:.1g}")  # fmt: skip
        print("|", " | ".join(told), "|")


if __name__ == "__main__":
    main()
