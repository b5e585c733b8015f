"""Teachers behind a server of the tests, and what their accounts come to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from stillroom.core import plugins
from stillroom.core.progress import Event, silent
from stillroom.tasks import Task
from stillroom.tasks.classification import Classification
from stillroom.tasks.generation import Generation
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextToText
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers import Desk
from stillroom.teachers.endpoint import Endpoint, Line
from tests.conftest import LABELS, sentences, write_csv
from tests.teachers.endpoint.servers import PRICES, Server

TASK = Classification(labels=LABELS)
#: The task of each way to answer, and what else has to be said there.
WAYS: dict[str, tuple[Task, dict[str, Any]]] = {
    "logprobs": (TASK, {}),
    "label": (TASK, {"max_tokens": 8}),
    "spans": (TokenLabelling(labels=LABELS), {"max_tokens": 8}),
    "text": (TextToText(), {"max_tokens": 8, "prompt": "Say it in other words.\n{text}"}),
    "corrections": (Proofreading(), {"max_tokens": 8, "prompt": "Correct it.\n{text}"}),
    "generation": (Generation(learns="written", writes=8, kept=8), {"answers": "text", "prompt": "Go on.\n{text}"}),
}


GOOD, BAD = "a warm film without a doubt", "a dull film from start to end"


KEY = "sk-secret-0123456789"


def endpoint(server: Server | str, **settings: Any) -> Endpoint:
    url = server if isinstance(server, str) else server.url
    chosen = {"base_url": url, "model": "lab/tiny", "max_spend": 1.0, "timeout_seconds": 5.0, **PRICES, **settings}
    made: Endpoint = plugins.build("teachers", {"kind": "endpoint", **chosen})
    return made


def opened(teacher: Endpoint, books: Path, report: Callable[[Event], None] = silent, task: Task = TASK) -> Line:
    line = teacher.open(Path("unused"), task=task, desk=Desk(books, report))
    assert isinstance(line, Line)
    return line


def of_way(
    way: str, server: Server | str, books: Path, report: Callable[[Event], None] = silent, **settings: Any
) -> Line:
    """A teacher that answers in one of the ways, opened for its task."""
    task, own = WAYS[way]
    return opened(endpoint(server, **{"answers": way, **own, **settings}), books, report, task=task)


def told(way: str, said: dict[str, Any]) -> list[Any]:
    """What was said of each text: a label, the tags of its words, or a text."""
    if way == "generation":
        return [[one] for one in said["sequence"].tolist()]
    form = WAYS[way][0].form
    heard = form.heard(said)
    each = [form.values(form.take(heard, np.array([row]))) for row in range(len(heard))]
    return [(one.argmax(axis=1) if way == "logprobs" else one).tolist() for one in each]


def ask(line: Line, texts: Sequence[str]) -> dict[str, Any]:
    return dict(line.ask(texts, precision="fp32", tokens_per_batch=1)[0])


def texts(count: int) -> list[str]:
    return [f"{text} {number}" for number, (text, _) in zip(range(count), sentences() * 9, strict=False)]


def lines(books: Path) -> list[dict[str, Any]]:
    (path,) = books.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def spent(books: Path) -> Decimal:
    """What a book comes to, summed here by hand."""
    found: dict[int, Decimal] = {}
    for line in lines(books):
        found[line["serial"]] = Decimal(line["cost"] if line["event"] == "settle" else line["reserve"])
    return sum(found.values(), Decimal(0))


def journey(tmp_path: Path, teacher: Endpoint, **more: Any) -> dict[str, Any]:
    table = tmp_path / "toy.csv"
    if not table.exists():
        write_csv(table, sentences()[::13])
    return {
        "name": "toy",
        "task": {"kind": "classification", "labels": list(LABELS)},
        "corpus": {"kind": "table", "labelled": str(table), "dev_share": 0.2, "test_share": 0.3},
        "teacher": teacher.resolved(),
        "student": {"kind": "bag", "epochs": 1, "features": {"bits": 8}},
        "transfer": {"shard_rows": 12},
        **more,
    }


def unlabelled(tmp_path: Path, teacher: Endpoint, *, count: int = 140, **more: Any) -> dict[str, Any]:
    """A recipe about texts without gold; in two of those to learn from something good stands twice."""
    rows = [sentences()[place][0] for place in np.random.default_rng(0).permutation(len(sentences()))[:count].tolist()]
    parts = {"dev": rows[:10], "test": rows[10 : count // 3], "train": rows[count // 3 :]}
    parts["train"] += [f"{text} warm and warm" for text, label in sentences()[:20:10] if label == LABELS[0]]
    for name, own in parts.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in own), encoding="utf-8")
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in ("dev", "test")}
    return {
        "name": "toy",
        "corpus": {"kind": "table", **paths, "unlabelled": str(tmp_path / "train.jsonl"), "label": "",
                   "near_twins": "keep"},
        "teacher": teacher.resolved(),
        "transfer": {"shard_rows": 12},
        **more,
    }  # fmt: skip


ASKS = """
import json, sys
from pathlib import Path
from stillroom.core import plugins
from stillroom.teachers import Desk
job = json.load(sys.stdin)
teacher, task = (plugins.build(f"{one}s", job[one]) for one in ("teacher", "task"))
line = teacher.open(Path(), task=task, desk=Desk(Path(job["books"])))
line.ask(job["texts"], precision="fp32", tokens_per_batch=1)
"""


def asking(server: Server, job: dict[str, Any], *, killed_at: int | None) -> int:
    """Ask in a process of its own, killed when the server has seen so many requests; and how it ended."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKS],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NO_PROXY": "*"},
    ) as process:
        assert process.stdin
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
        while killed_at and len(server.bodies) < killed_at and process.poll() is None:
            time.sleep(0.001)
        if killed_at:
            process.kill()
        return process.wait(60)
