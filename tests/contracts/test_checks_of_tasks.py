"""Which check is of which task: the whole evaluation is made of every task, and the docs say what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stillroom import aspects, comparison, contamination, fitness, gap, generalisation, slices, written_slices
from stillroom import compare as runs
from stillroom.core import plugins, recipe
from stillroom.core.artifact import Draft, Store, text_id
from stillroom.fits import Fits
from stillroom.metrics import Metric
from stillroom.table import SLICES, STATISTICS, STUDENT, TABLE, TEACHER, Table, align, write_statistics, write_table
from stillroom.tasks import Task
from tests.contracts.test_tasks import SETTINGS as TASKS
from tests.contracts.test_tasks import outputs, toy

PAGE = (Path(__file__).parents[2] / "docs" / "stages" / "evaluate.md").read_text(encoding="utf-8")
SETTINGS = recipe.Evaluate(resamples=200, min_slice_rows=10)
COINS = np.random.default_rng(0).random(9999) < 0.5
#: Settings that more is measured with.
MORE: dict[str, dict[str, Any]] = {"embeddings": {"prefixes": (4, 8)}}
#: What somebody says behind each text of a toy, so that texts differ.
BEHIND = ("", " and so on", " but not in Oslo, as it was 9 years ago", " . It may be so . They said it was")


@dataclass(frozen=True)
class Judged:
    """The evaluation of a task whose teachers and students answer by chance, and what it was made of."""

    task: Task
    table: Table
    told: dict[str, Any]
    side: gap.Side


def judged(kind: str) -> Judged:
    """Some hundred rows, made of the toy's."""
    task: Task = plugins.build("tasks", {"kind": kind, **TASKS[kind], **MORE.get(kind, {})})
    own, table = toy(task)
    copies = -(-120 // len(own))
    texts = [f"{text}{BEHIND[copy % len(BEHIND)]}" for copy in range(copies) for text in own]
    ids = [f"{text_id(text)}{f'-{copy}' if copy else ''}" for copy in range(copies) for text in own]
    labels = table["label"].to_pylist() * copies
    roles, domains = ["test"] * len(ids), ["films" if row % 3 else "goods" for row in range(len(ids))]
    if kind == "embeddings":  # pairs are its toy; searches are judged too
        search = {"among": "shelf", "others": [{"id": "d0", "grade": 1.0}]}
        for new, role, domain, label in (("d", "beside", "shelf", None), ("q", "test", "films", search)):
            ids += [f"{new}{row}" for row in range(40)]
            texts += [f"{new} {row} of the sea" for row in range(40)]
            roles, domains, labels = roles + [role] * 40, domains + [domain] * 40, labels + [label] * 40
    rows = pa.table({
        "id": ids, "text": texts, "label": pa.chunked_array([labels], type=task.gold_type()), "domain": domains,
        "role": roles, "column.side": ["left" if row % 2 else "right" for row in range(len(ids))],
        "column.price": [f"{row / 7:.2f}" for row in range(len(ids))],
    })  # fmt: skip
    said = [outputs(task, texts, seed=seed) for seed in range(5)]
    read = aspects.Familiar([texts[:60]])
    measured = partial(aspects.measure, members=SETTINGS.aspects, familiar=read)
    answers = {TEACHER: (ids, said[0]), STUDENT: (ids, said[1])}
    made = align(rows, answers, task=task, aspects=measured, familiar=task.familiar(rows.slice(0, 5).to_batches()))
    fits = Fits.of(said[1:3], [said[0], said[4]], rows, task=task, named=frozenset())
    told = comparison.compare(made, metrics=task.metrics, settings=SETTINGS, seed=1, fits=fits)
    return Judged(task, made, told, gap.Side(ids, texts, said[0], said[1]))


def is_fed_back(here: Judged) -> bool:
    """Whether rows that were learned from and forgotten are listed for the next recipe, as `forgotten` does it."""
    form, (told, own) = here.task.form, (here.side.teacher, here.side.student)
    if form.answer == "sequence":  # `TransferSet.answers_are_texts`
        return False
    strength = 1.0 - form.alike(own, form.laid(told, own))
    return bool(np.clip(strength, 0, 1).max() > 0)


def generalises(here: Judged) -> bool:
    """Whether what was learned by heart is told apart."""
    found = generalisation.compare(here.side, here.side, task=here.task, confidence=0.95)
    return generalisation.most(here.task) > 0 and found["gap"]["value"] is not None


def has_gap(here: Judged) -> bool:
    """Whether its corpus may be made, and be held against real texts."""
    asked = {"name": "made", "task": {"kind": here.task.kind, **TASKS[here.task.kind]},
             "corpus": {"kind": "vocabulary", "tokenizer": "any"}, "teacher": {"kind": "huggingface", "model": "any"},
             "student": {"kind": "bag"}}  # fmt: skip
    problems = fitness.misfits(recipe.parse(asked))
    return not any("whose texts are made" in one.found for one in problems)


def is_scored_clean(here: Judged) -> bool:
    """Whether scores are told of clean and of contaminated rows."""
    some = {one for one, inside in zip(here.table.ids, COINS, strict=False) if inside}
    found = contamination._scores(some, here.told, table=here.table, settings=SETTINGS, seed=1)
    return all(found[part][STUDENT]["value"] is not None for part in contamination.PARTS)


def is_compared(here: Judged, work: Path) -> bool:
    """Whether two runs of it can be."""

    def make(draft: Draft) -> None:
        write_table(here.table, draft.folder / TABLE)
        members: list[Metric] = [plugins.build("metrics", one) for one in here.told["systems"][STUDENT]["scores"]]
        write_statistics(here.table, members, draft.folder / STATISTICS)
        written_slices.write(here.table, members[0], draft.folder / SLICES)

    folder = Store(work).obtain("evaluation", settings={}, inputs={}, make=make).folder
    found = runs.compare(folder, folder)
    return any(one["state"] == "unchanged" for one in found["metrics"].values())


@pytest.mark.parametrize("kind", plugins.names("tasks"))
def test_the_docs_say_which_checks_are_of_it(kind: str, tmp_path: Path) -> None:
    here = judged(kind)
    forgotten, ceiling = here.told["forgotten"], here.told["ceiling"]
    told = (
        forgotten["rate"]["value"] is not None and forgotten["excess"]["value"] is not None,
        is_fed_back(here),
        all(one["value"] is not None for one in ceiling.values()),
        generalises(here),
        has_gap(here),
        is_scored_clean(here),
        is_compared(here, tmp_path),
    )
    row = " | ".join("yes" if one else "no" for one in told)
    assert f"| `{kind}` | {row} |" in PAGE


@pytest.mark.parametrize("kind", plugins.names("tasks"))
def test_the_docs_say_by_what_its_rows_are_cut(kind: str) -> None:
    here = judged(kind)
    families = list(dict.fromkeys(part.family for part in slices.cut(here.table)))
    everywhere = {"domain", "side", "price", *plugins.names("aspects")}
    assert {"domain", "side", "price", "length", "negation"} <= set(families)
    own = ", ".join(f"`{one}`" for one in families if one not in everywhere)
    assert f"| `{kind}` | {own} |" in PAGE
