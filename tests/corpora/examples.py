"""Small sources of rows: sentences that differ enough for no two to be near twins, and a sample's archive made here."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import tarfile
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stillroom.corpora import sample
from stillroom.tasks.classification import Classification

LABELS = ("negative", "positive")
TASK = Classification(labels=LABELS)
Pairs = list[tuple[str, str]]


def sentences(count: int, *, seed: int = 0) -> list[str]:
    """Sentences of random words."""
    return list(_sentences(count, seed))


@cache
def _sentences(count: int, seed: int) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("aeioulnrst"), rng.integers(3, 9))) for _ in range(400)]
    return tuple(" ".join(rng.choice(words, rng.integers(7, 14))) for _ in range(count))


def pairs(count: int, *, seed: int = 0) -> Pairs:
    """Sentences with labels in turn."""
    return [(text, LABELS[place % 2]) for place, text in enumerate(sentences(count, seed=seed))]


def write_csv(path: Path, rows: Pairs, *, header: tuple[str, ...] = ("text", "label")) -> str:
    """Rows as csv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def write_dataset(folder: Path, rows: Pairs, *, names: tuple[str, ...] = LABELS, shards: int = 1) -> str:
    """Rows as `save_to_disk` of datasets 5.2 lays them out, the labels as class numbers."""
    folder.mkdir(parents=True)
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    files = [f"data-{shard:05d}-of-{shards:05d}.arrow" for shard in range(shards)]
    state = {"_data_files": [{"filename": name} for name in files], "_fingerprint": "0", "_split": None}
    (folder / "dataset_info.json").write_text(json.dumps({"citation": "", "features": features}))
    (folder / "state.json").write_text(json.dumps(state))
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())])
    for shard, name in enumerate(files):
        part = rows[shard::shards]
        columns = {"text": [text for text, _ in part], "label": [names.index(label) for _, label in part]}
        with pa.ipc.new_stream(str(folder / name), schema) as writer:
            writer.write_table(pa.table(columns, schema=schema))
    return str(folder)


def write_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive built like the sample's, in a cache under `folder`, with the checks turned to it."""
    inner, parts = io.BytesIO(), []
    with tarfile.open(fileobj=inner, mode="w:gz") as files:
        for number, part in enumerate((sample._MOVIES, *sample._OTHERS)):
            texts = enumerate(sentences(80, seed=number))
            lines = [f"{n // 4}_{n % 4}\t{(-1.5, 2.25)[n % 2]}\t{text}" for n, text in texts]
            lines[0] = f"0_0\t0.0\tneither good nor bad \u2013 a line\u2028end and an old one\x85in {part.domain} "
            data = "\r\n".join(lines).encode()
            entry = tarfile.TarInfo(part.name)
            entry.size = len(data)
            files.addfile(entry, io.BytesIO(data))
            parts.append(dataclasses.replace(part, sha256=hashlib.sha256(data).hexdigest()))
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr(sample._INNER, inner.getvalue())
    monkeypatch.setattr(sample, "_MOVIES", parts[0])
    monkeypatch.setattr(sample, "_OTHERS", tuple(parts[1:]))
    monkeypatch.setattr(sample, "_INNER_SHA256", hashlib.sha256(inner.getvalue()).hexdigest())
    monkeypatch.setattr(sample, "_ARCHIVE_SHA256", hashlib.sha256(outer.getvalue()).hexdigest())
    monkeypatch.setenv("STILLROOM_CACHE", str(folder))
    path = folder / "sample" / sample._ARCHIVE
    path.parent.mkdir(parents=True)
    path.write_bytes(outer.getvalue())
    return path


def write_beir(folder: Path) -> Path:
    """Documents, queries and judgements as BEIR has them: of six queries, four are judged, one with two documents."""
    (folder / "qrels").mkdir(parents=True)
    words = ("rivers", "metals", "birds", "storms", "harbours", "letters")
    documents = [
        {"_id": f"d{n}", "title": word, "text": f"All that is known of {word}. It is not much (Smith et al. 1999)!"}
        for n, word in enumerate(words)
    ]
    documents += [{"_id": "d6", "title": "A title that is long enough", "text": "rivers in winter"}]
    queries = [{"_id": f"q{n}", "text": f"where are {word}?"} for n, word in enumerate(words)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in range(4)), "q0\td6\t2", "q1\td2\t0"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines), encoding="utf-8")
    return folder
