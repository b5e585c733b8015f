"""Teachers behind a server of the tests, and what their accounts come to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from stillroom.core import plugins
from stillroom.core.progress import Event, silent
from stillroom.tasks import Task
from stillroom.tasks.classification import Classification
from stillroom.teachers import Desk
from stillroom.teachers.endpoint import Endpoint, Line
from tests.conftest import LABELS, sentences, write_csv
from tests.teachers.endpoint.servers import PRICES, Server

TASK = Classification(labels=LABELS)


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
