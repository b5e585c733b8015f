"""What the corpus stage takes: peak memory and rows a second as the rows grow tenfold.

    python bench/corpus.py [--rows 1000000] [--json]

Each size runs in a process of its own, on a csv of generated sentences of about 130 characters, of which one in a
hundred repeats another and two in a hundred differ from one by a word. `memory_1m_vs_100k` is the ratio of the two
peaks, `speed_1m_vs_100k` that of the rows a second (1: the work is linear). Both keep their names when `--rows` makes
the sizes smaller.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

_REPEATED, _NEAR = 0.01, 0.02


def write_rows(path: Path, count: int) -> None:
    """A csv of generated sentences; word frequencies fall as 1/rank, as in real text."""
    rng = np.random.default_rng(count)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    words = np.array(["".join(letters[rng.geometric(0.12, rng.integers(2, 9)) % 26]) for _ in range(20_000)])
    weights = 1 / np.arange(2, len(words) + 2)
    before: list[str] = []
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["text", "label"])
        for start in range(0, count, 10_000):
            size = min(10_000, count - start)
            lengths = np.clip(rng.normal(21, 6, size), 4, 60).astype(int)
            drawn = words[rng.choice(len(words), lengths.sum(), p=weights / weights.sum())]
            texts = [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]
            for place, chance in enumerate(rng.random(size)):
                if before and chance < _REPEATED + _NEAR:
                    texts[place] = before[place % len(before)]
                    if chance >= _REPEATED:
                        texts[place] += " again"
            before = texts
            out.writerows(zip(texts, rng.choice(["negative", "positive"], size), strict=True))


def measure(path: Path) -> dict[str, float]:
    """Load the file here, and say what it took."""
    from stillroom import corpus
    from stillroom.core.artifact import Store
    from stillroom.corpora.table import Table
    from stillroom.tasks.classification import Classification

    unit = 1 if sys.platform == "darwin" else 1024
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made = corpus.load(
            Table(labelled=str(path)), task=Classification(labels=("negative", "positive")), store=Store(Path(folder))
        )
        seconds = time.perf_counter() - started
        kept = sum(made.report["rows"].values())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return {"seconds": seconds, "before_mb": before_mb, "peak_mb": peak_mb, "kept": kept}


def main() -> None:
    """Measure both sizes and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="the larger size; the smaller is a tenth of it")
    parser.add_argument("--json", action="store_true", help="print one object of named ratios")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    results: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for rows in (arguments.rows // 10, arguments.rows):
            path = Path(folder) / f"{rows}.csv"
            write_rows(path, rows)
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[rows] = {"rows": rows, **json.loads(done.stdout)}
            path.unlink()
    few, many = results.values()
    if arguments.json:
        ratios = {
            "memory_1m_vs_100k": round(many["peak_mb"] / few["peak_mb"], 4),
            "speed_1m_vs_100k": round(many["rows"] / many["seconds"] / (few["rows"] / few["seconds"]), 4),
        }
        print(json.dumps(ratios))
        return
    print(f"{'rows':>10} {'seconds':>9} {'rows/s':>9} {'peak MB':>9} {'of it before':>13}")
    for rows, found in results.items():
        speed = rows / found["seconds"]
        print(
            f"{rows:>10,} {found['seconds']:>9.1f} {speed:>9,.0f} {found['peak_mb']:>9.0f} {found['before_mb']:>13.0f}"
        )
    print(f"memory_1m_vs_100k: {many['peak_mb'] / few['peak_mb']:.3f}")


if __name__ == "__main__":
    main()
