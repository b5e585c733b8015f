"""What each objective gives: test accuracy of one student on one transfer set, against `forward_kl` and `hard_label`.

    python bench/objectives.py [--rows 1000] [--seeds 3] [--sets banking77 sst_sentence ag_news]
                               [--students static transformer] [--cache work/bench] [--shared ../shared] [--json]

Every objective is fitted with the same rows, seeds and settings; the epochs are the student's, and dev chooses the
best. AG News has no fitted teacher: MiniLM is fitted here, once, to all its training rows. Objectives that look inside
are mixed with `forward_kl`, each at weight 1, as the table says; `mutual` needs a second student and is left out. A
teacher speaks once of each set, of everything that the transformer student's mixtures ask for; `static` reads other
tokens, and has a set without those signals. Intervals are Student's t over seeds at 95 %, of the accuracy and of its
difference to `forward_kl` with the same seed. Each finished cell is kept as JSON under the cache, so that a run that
was broken off goes on.

The fitted teachers and the texts are no part of the project: where they are not there, it says so and does nothing.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from parts import NotHereError, read_set, teacher_of, write_rows
from stillroom import corpus, export, loop, teach, train, transfer, transfer_set
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.objectives import Objective
from stillroom.students import Student
from stillroom.tasks.classification import Classification

ROOT = Path(__file__).resolve().parent.parent
SETS = ("banking77", "sst_sentence", "ag_news")
#: Each student with its epochs.
STUDENTS: dict[str, tuple[dict[str, Any], int]] = {
    "static": ({"kind": "static"}, 20),
    "transformer": ({"kind": "transformer", "layers": 2}, 4),
}
KL = {"kind": "forward_kl"}
#: Each line of the table: its name, and its mixture.
MIXTURES: dict[str, list[dict[str, Any]]] = {
    "forward_kl": [KL],
    "hard_label": [{"kind": "hard_label"}],
    "reverse_kl": [{"kind": "reverse_kl"}],
    "jensen_shannon": [{"kind": "jensen_shannon"}],
    "decoupled_kl": [{"kind": "decoupled_kl"}],
    "logit_mse": [{"kind": "logit_mse"}],
    "rank": [{"kind": "rank"}],
    "cosine + forward_kl": [{"kind": "cosine"}, KL],
    "relational + forward_kl": [{"kind": "relational"}, KL],
    "contrastive + forward_kl": [{"kind": "contrastive", "queue": 256}, KL],
    "hidden + forward_kl": [{"kind": "hidden"}, KL],
    "hidden (emd) + forward_kl": [{"kind": "hidden", "layers": "emd"}, KL],
    "attention + forward_kl": [{"kind": "attention"}, KL],
    "minilm_relation + forward_kl": [{"kind": "minilm_relation", "relation_heads": 12}, KL],
}


@dataclass(frozen=True)
class Ground:
    """A set of rows with its teacher, opened, and where artifacts are kept."""

    name: str
    task: Classification
    rows: corpus.Corpus
    teacher: Artifact
    loaded: teach.Opened
    store: Store

    def said(self, student: Student, names: Sequence[str]) -> transfer_set.TransferSet:
        """One transfer set for all mixtures of a student."""
        wanted = frozenset[str]().union(
            *(transfer.wanted(mixture(one), student=student, loaded=self.loaded, form=self.task.form) for one in names)
        )
        parts = (self.rows.train, self.rows.dev)
        return transfer.collect(self.loaded, teacher=self.teacher, parts=parts, task=self.task,
                                settings=recipe.Transfer(), seed=0, store=self.store, wanted=wanted)  # fmt: skip


def mixture(name: str) -> tuple[Objective, ...]:
    """The objectives of a line."""
    return tuple(plugins.build("objectives", one) for one in MIXTURES[name])


def fits(name: str, student: Student) -> bool:
    """Whether a student gives what a mixture looks at."""
    return all(one.needs <= student.signals | {"gold"} for one in mixture(name))


def ground(name: str, *, shared: Path, cache: Path, rows: int) -> Ground:
    """A set with so many rows at most in each split, and its teacher, fitted here where it has none.

    Raises:
        NotHereError: its files are not on this machine.
    """
    labels, splits = read_set(shared, name)
    task = Classification(labels=tuple(labels))
    store = Store(cache / "artifacts")

    chosen = {
        split: [found[one] for one in np.sort(np.random.default_rng(0).permutation(len(found))[:rows])]
        for split, found in splits.items()
    }
    source: Any = plugins.build("corpora", write_rows(chosen, labels, cache / "rows" / f"{name}-{rows}"))
    some = corpus.load(source, task=task, store=store)
    setting: Any = plugins.build("teachers", teacher_of(name, shared=shared, work=cache))
    teacher = teach.prepare(setting, task=task, corpus=some.learnable, fit=loop.fit, seed=0, store=store)
    return Ground(name, task, some, teacher, teach.Opened(setting, teacher, task=task), store)


def cell(here: Ground, student: Student, said: transfer_set.TransferSet, *, line: str, seed: int, epochs: int) -> Any:
    """One student fitted to one mixture, and its accuracy on test rows."""
    started = time.perf_counter()
    studied = teach.study(student, here.loaded, teacher=here.teacher, store=here.store)
    found = train.fit(student, task=here.task, corpus=here.rows.learnable, said=said, objectives=mixture(line),
                      settings=recipe.Train(epochs=epochs, patience=epochs), studied=studied, seed=seed,
                      store=here.store)  # fmt: skip
    test = here.rows.test.table(["text", "label"])
    network = student.reopen(found.folder, task=here.task)
    logits, _ = export.in_torch(network, test["text"].to_pylist(), task=here.task)
    accuracy = float(np.mean(logits.argmax(axis=1) == test["label"].to_numpy()))
    return {"accuracy": accuracy, "test_rows": test.num_rows, "seconds": time.perf_counter() - started}


def cells(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every cell, from the cache where it was finished before."""
    for name in arguments.sets:
        try:
            here = ground(name, shared=arguments.shared, cache=arguments.cache, rows=arguments.rows)
        except NotHereError as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
            continue
        for kind in arguments.students:
            settings, epochs = STUDENTS[kind]
            student: Student = plugins.build("students", settings)
            lines = [line for line in MIXTURES if fits(line, student)]
            said = here.said(student, lines)
            for seed in range(arguments.seeds):
                for line in lines:
                    what = {"set": name, "student": kind, "line": line, "seed": seed}
                    stated = {**what, "mixture": MIXTURES[line], "epochs": epochs,
                              "said": said.artifact.digest, "settings": student.resolved()}  # fmt: skip
                    path = arguments.cache / "cells" / f"{artifact.sha256(artifact.canonical(stated))[:20]}.json"
                    if not path.is_file():
                        found = cell(here, student, said, line=line, seed=seed, epochs=epochs)
                        path.parent.mkdir(parents=True, exist_ok=True)
                        draft = path.with_suffix(".draft")
                        draft.write_text(json.dumps({**what, **found}), encoding="utf-8")
                        draft.rename(path)
                    yield json.loads(path.read_text(encoding="utf-8"))


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """A mean, and half the width of its 95 % interval; None of one value."""
    if len(values) < 2:
        return float(np.mean(values)), None
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return float(np.mean(values)), half


def summed(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each set, student and mixture."""
    grouped: dict[tuple[str, str, str], dict[int, float]] = {}
    for one in found:
        grouped.setdefault((one["set"], one["student"], one["line"]), {})[one["seed"]] = one["accuracy"]
    lines = []
    for (name, student, line), by_seed in grouped.items():
        plain = grouped[name, student, "forward_kl"]
        mean, half = interval(list(by_seed.values()))
        gain, gain_half = interval([one - plain[seed] for seed, one in by_seed.items()])
        lines.append({"set": name, "student": student, "objective": line, "seeds": len(by_seed), "accuracy": mean,
                      "accuracy_half": half, "to_forward_kl": gain, "to_forward_kl_half": gain_half})  # fmt: skip
    return lines


def shown(mean: float, half: float | None, *, sign: str = "") -> str:
    """A figure in percent with its interval."""
    return f"{100 * mean:{sign}.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def main() -> None:
    """Print one table, or with --json its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="rows of each split, at most")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which sets")
    parser.add_argument("--students", nargs="+", choices=STUDENTS, default=list(STUDENTS), help="which students")
    parser.add_argument("--cache", type=Path, default=Path("work/bench"), help="where cells and artifacts are kept")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="where teachers and texts are")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    arguments = parser.parse_args()
    lines = summed(list(cells(arguments)))
    if arguments.json:
        print(json.dumps(lines))
        return
    print("| set | student | objective | seeds | accuracy % | to forward_kl, points |\n|---|---|---|---|---|---|")
    for one in lines:
        accuracy = shown(one["accuracy"], one["accuracy_half"])
        gain = shown(one["to_forward_kl"], one["to_forward_kl_half"], sign="+")
        print(f"| {one['set']} | {one['student']} | {one['objective']} | {one['seeds']} | {accuracy} | {gain} |")


if __name__ == "__main__":
    main()
