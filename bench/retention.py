"""What the student that `search` chooses on dev keeps of its teacher on test, and how much quicker it is.

    python bench/retention.py [--seeds 3] [--minutes 6] [--sets banking77 sst_sentence ag_news]
                              [--tiers dictionary order encoder] [--work work/retention] [--shared ../shared] [--json]

A tier is what a student may be: `dictionary` adds up what words bring (bag, static), `order` also reads their order
(cnn, bigru), `encoder` keeps layers of the teacher. For each set and tier there is one search of so many minutes. What
it chooses is fitted with every seed, and meets the test in a run of its own. Speed is that of the bundle against the
fp32 teacher in torch on one thread, tokenization included, in turns. Intervals are Student's t over seeds at 95 %;
`gain` is what the teacher's words added to gold labels alone. What is finished is kept under `--work`: a run that was
broken off goes on.

AG News has no fitted teacher: MiniLM is fitted here, once. Where the sets are not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from objectives import interval, shown
from parts import ASKED_BESIDE, NotHereError, read_set, teacher_of, tell, write_rows
from stillroom import pipeline, search
from stillroom.core import recipe

ROOT = Path(__file__).resolve().parent.parent
SETS = ("banking77", "sst_sentence", "ag_news")
TIERS: dict[str, list[str]] = {"dictionary": ["bag", "static"], "order": ["cnn", "bigru"], "encoder": ["transformer"]}
#: The recipe's own student, where a search should try one beside those that its kind offers.
STARTS: dict[tuple[str, str], dict[str, Any]] = {
    ("sst_sentence", "dictionary"): {"kind": "static", "features": {"bits": 18}, "epochs": 6},
    ("sst_sentence", "encoder"): {"kind": "transformer", "layers": 2, "feed_forward": 1024, "epochs": 4},
    **{
        (name, "encoder"): {
            "kind": "transformer",
            "layers": 2,
            "feed_forward": 1024,
            "epochs": 8,
            "learning_rate": 3e-4,
        }
        for name in ("banking77", "ag_news")
    },
}
#: Kept of the teacher (%), at how many times its speed: what a tier has to reach on a set.
ASKED = {
    ("banking77", "dictionary"): (99.5, 300),
    ("ag_news", "dictionary"): (99.5, 300),
    ("sst_sentence", "dictionary"): (96.0, 150),
    ("sst_sentence", "order"): (98.0, 30),
    **{(name, "encoder"): (99.5, 10) for name in SETS},
}


#: The size of the peers' best, which no student here may exceed but an encoder.
PEER_MB = 31.4


def asked(name: str, tier: str, *, shared: Path, work: Path, minutes: float) -> recipe.Recipe:
    """The recipe of one search.

    Raises:
        NotHereError: its set is not on this machine.
    """
    labels, splits = read_set(shared, name)
    return recipe.parse(
        {
            "name": f"{name}-{tier}",
            "seed": 0,
            "task": {"kind": "classification", "labels": labels},
            "corpus": write_rows(splits, labels, work / "rows" / name),
            "teacher": teacher_of(name, shared=shared, work=work),
            "transfer": ASKED_BESIDE.get(name, {}),
            "student": STARTS.get((name, tier), {"kind": TIERS[tier][0]}),
            "export": {"formats": ["onnx", "onnx_int8"]},
            "search": {
                "minutes": minutes,
                "families": TIERS[tier],
                "max_disk_mb": None if tier == "encoder" else PEER_MB,
            },
        }
    )


def cells(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A search for every set and tier, and runs of what it chose; from disk where they were finished before."""
    for name, tier in product(arguments.sets, arguments.tiers):
        try:
            wanted = asked(name, tier, shared=arguments.shared, work=arguments.work, minutes=arguments.minutes)
        except NotHereError as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
            continue
        found = search.explore(wanted, work=arguments.work, report=tell)
        chosen = next(one for one in found.told["points"] if one["name"] == found.told["chosen"]["name"])
        for seed in range(arguments.seeds):
            again = wanted.resolved() | {"name": f"{wanted.name}-{seed}", "seed": seed, "student": chosen["student"],
                                         "objective": chosen["objectives"]}  # fmt: skip
            again["transfer"] = again["transfer"] | {"also": found.run.recipe.transfer.also}
            run = pipeline.run(recipe.parse(again), work=arguments.work, report=tell)
            yield {"set": name, "tier": tier, "seed": seed, "chosen": chosen["name"], **figures(run.summary)}


def figures(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the table shows of one run, from its summary."""
    metric = "accuracy"
    worth = told["verdict"].get("difference")
    return {
        "teacher": told["teacher"]["scores"][metric]["value"],
        "student": told["student"]["scores"][metric]["value"],
        "kept": told["retention"][metric]["value"],
        "speedup": told["speedup"]["value"],
        "p50_ms": told["student"]["cost"]["latency_ms"]["p50"],
        "disk_mb": told["student"]["cost"]["disk_mb"],
        "gain": None if worth is None else worth["value"],
    }


def summed(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each set and tier."""
    lines = []
    for name, tier in dict.fromkeys((one["set"], one["tier"]) for one in found):
        own = [one for one in found if (one["set"], one["tier"]) == (name, tier)]
        line: dict[str, Any] = {"set": name, "tier": tier, "seeds": len(own), "chosen": [one["chosen"] for one in own]}
        for figure in ("student", "kept", "gain"):
            values = [one[figure] for one in own if one[figure] is not None]
            line[figure], line[f"{figure}_half"] = interval(values) if values else (None, None)
        line["speedup"] = float(np.median([one["speedup"] for one in own]))
        line["p50_ms"] = float(np.median([one["p50_ms"] for one in own]))
        line["disk_mb"] = float(np.median([one["disk_mb"] for one in own]))
        kept, times = ASKED.get((name, tier), (None, None))
        lines.append({**line, "asked_kept": kept, "asked_speedup": times})
    return lines


def main() -> None:
    """Print one table, or with --json its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--minutes", type=float, default=6, help="of each search")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which sets")
    parser.add_argument("--tiers", nargs="+", choices=list(TIERS), default=list(TIERS), help="which kinds of students")
    parser.add_argument("--work", type=Path, default=Path("work/retention"), help="where searches are kept")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="where teachers and texts are")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    arguments = parser.parse_args()
    lines = summed(list(cells(arguments)))
    if arguments.json:
        print(json.dumps(lines))
        return
    print("| set | tier | seeds | accuracy % | kept % | asked | × teacher | asked | p50 ms | MB | gain, points |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for one in lines:
        accuracy, kept = (shown(one[name], one[f"{name}_half"]) for name in ("student", "kept"))
        gain = "not measured" if one["gain"] is None else shown(one["gain"], one["gain_half"], sign="+")
        asked_kept, asked_times = (f"≥ {one[name]:g}" if one[name] else "–" for name in ("asked_kept", "asked_speedup"))
        print(f"| {one['set']} | {one['tier']} | {one['seeds']} | {accuracy} | {kept} | {asked_kept} "
              f"| {one['speedup']:.0f} | {asked_times} | {one['p50_ms']:.2f} | {one['disk_mb']:.1f} "
              f"| {gain} |")  # fmt: skip


if __name__ == "__main__":
    main()
