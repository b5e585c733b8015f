"""Which probe is of which task: every probe is put to every task, and the docs say what comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom.core import plugins
from stillroom.core.artifact import text_id
from stillroom.metrics import Metric
from stillroom.probes import SIDES, Heard, Probe, Sitting
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows, Task
from tests.contracts.test_probes import TOLD, figures
from tests.contracts.test_tasks import SETTINGS, outputs, toy

PROBES = plugins.names("probes")
#: Those that look into networks, which nobody has here: whether there is something to be explained, a shape says.
INSIDE = {name for name in PROBES if plugins.build("probes", {"kind": name, **TOLD.get(name, {})}).packages}
PAGE = Path(__file__).parents[2] / "docs" / "stages" / "audit.md"
#: What somebody says behind each text of a toy, so that there is something to exchange.
BEHIND = " and she said it was not her old man"
_ROUNDS = 3


def put(task: Task, probe: Probe) -> str:
    """Whether anything can be measured of two who answer by chance: yes, no, or that it is refused at once."""
    if probe.misfits(task, where="audit.probes"):
        return "refused"
    texts, table = toy(task)
    copies = -(-90 // len(texts))
    gold = task.golds(copies * list(task.gold(table["label"])))
    ids = [f"{text_id(text)}{f'-{copy}' if copy else ''}" for copy in range(copies) for text in texts]
    texts = [f"{text}{BEHIND} {copy}" for copy in range(copies) for text in texts]
    about = Rows(texts, ids, [""] * len(texts), np.zeros(len(texts), dtype=np.bool_))
    said = {side: outputs(task, texts, seed=seed) for seed, side in enumerate((TEACHER, STUDENT))}
    members: list[Metric] = [plugins.build("metrics", name) for name in task.metrics]
    columns = {"side": [("left", "right")[row % 2] for row in range(len(texts))]}
    gold = gold if task.known(gold).any() else task.named(said[TEACHER])
    judged = np.flatnonzero(task.asked(gold))
    answered = task.answered(gold, said[STUDENT], said[TEACHER], rows=about)
    first = next(one for one in members if one.statistics(answered) is not None)
    here = Sitting(task, about, gold, judged, said, first, frozenset(), columns, confidence=0.95, resamples=200,
                   min_rows=10, seed=0)  # fmt: skip
    asked = list(dict.fromkeys(probe.texts(here)))
    for _ in range(_ROUNDS):
        places = {text: place for place, text in enumerate(asked)}
        told: dict[str, Any] = {side: outputs(task, asked, seed=7 + seed) if asked else task.form.join(
            [], outputs=len(task.outputs)) for seed, side in enumerate(SIDES)}  # fmt: skip
        heard = Heard(task, dict.fromkeys(SIDES, places), told)
        further = [text for some in probe.further(here, heard).values() for text in some]
        asked = list(dict.fromkeys([*asked, *further]))
    found = probe.measure(here, Heard(task, dict.fromkeys(SIDES, places), told))
    known = [figure for path, figure in figures(found) if figure["value"] is not None]
    return "yes" if known else "no"


def suite(path: Path) -> Path:
    """Cases that expect no label: what is said is to stay."""
    told = {"test": "names", "capability": "names", "type": "invariance"}
    lines = [{**told, "texts": [f"Mira{number} was here", "Ann was here"]} for number in range(120)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def pairs(path: Path) -> Path:
    """As many pairs as can be measured, out of those that there are."""
    head, *lines = Path(TOLD["pairs"]["file"]).read_text(encoding="utf-8").splitlines()
    more = [line.replace(" are ", f" are {number} times ") for number in range(20) for line in lines]
    path.write_text("\n".join([head, *more]), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", plugins.names("tasks"))
def test_the_docs_say_which_probes_are_of_it(kind: str, tmp_path: Path) -> None:
    task: Task = plugins.build("tasks", {"kind": kind, **SETTINGS[kind]})
    told = []
    for name in PROBES:
        if name in INSIDE:
            told.append("no" if task.form.unexplained else "yes")
            continue
        settings = dict(TOLD.get(name, {}))
        if "suites" in settings:
            settings["suites"] = [str(suite(tmp_path / "suite.jsonl"))]
        if name == "pairs":
            settings["file"] = str(pairs(tmp_path / "pairs.csv"))
        if "favourable" in settings and not set(settings["favourable"]) <= set(task.names):
            del settings["favourable"]
        told.append(put(task, plugins.build("probes", {"kind": name, **settings})))
    page = PAGE.read_text(encoding="utf-8")
    assert f"| probe | {' | '.join(f'`{name}`' for name in PROBES)} |" in page
    assert f"| `{kind}` | {' | '.join(told)} |" in page
