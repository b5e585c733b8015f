"""What a search of ten minutes comes to on banking77, killed on its way and started again.

    python bench/search.py [--minutes 10] [--killed-after 330] [--work DIR] [--json]

`stillroom search` runs in a process of its own, is killed with -9 after so many seconds, and is started again with the
same command. Afterwards every student that was finished before the kill has to be the same file of the same moment:
nothing finished was trained again. The table has a line for each point, judged on dev, and then what was asked: six
points at least, of four kinds. The exit code says whether it was reached.

The teacher is the fitted one of ../shared/teachers; where that is not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from parts import SHARED, fitted_teacher
from stillroom.core import toml

POINTS, KINDS = 6, 4


def started(recipe: Path, work: Path) -> subprocess.Popen[bytes]:
    """The command, with what it tells on its way left to be seen."""
    return subprocess.Popen([sys.executable, "-m", "stillroom.cli", "search", str(recipe), "--work", str(work)],
                            stdout=subprocess.DEVNULL, start_new_session=True)  # fmt: skip


def finished(work: Path) -> dict[str, int]:
    """Every finished student, and when it was written, in nanoseconds."""
    return {str(one.parent): one.stat().st_mtime_ns for one in work.glob("student/*/manifest.json")}


def searched(folder: Path, *, minutes: float, killed_after: float) -> dict[str, Any]:
    """What it came to, and how many finished students it trained again."""
    built, *_ = fitted_teacher("banking77", folder / "rows", search={"minutes": minutes},
                               export={"formats": ["onnx", "onnx_int8"]})  # fmt: skip
    recipe, work = folder / "recipe.toml", folder / "work"
    recipe.write_text(toml.written(built.resolved()), encoding="utf-8")
    first = started(recipe, work)
    try:
        first.wait(timeout=killed_after)
        raise SystemExit(f"it ended by itself within {killed_after:.0f} s: kill it earlier")
    except subprocess.TimeoutExpired:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before, began = finished(work), time.time_ns()
    if (code := started(recipe, work).wait()) not in (0, 1):  # 1: a gate said no, which is an answer
        raise SystemExit(f"the second start ended with {code}")
    after = finished(work)
    told = json.loads((work / "searches" / built.name / "search.json").read_text(encoding="utf-8"))
    again = [one for one, moment in before.items() if after.get(one) != moment or moment > began]
    return {**told, "before_the_kill": len(before), "trained_again": len(again)}


def show(found: dict[str, Any]) -> None:
    """A Markdown table of the points, and what was asked beside what came of it."""
    print("| point | dev accuracy, % | × texts/s of the fp32 teacher | p50 ms | MB | frontier |")
    print("|---|---|---|---|---|---|")
    chosen = found["chosen"]["name"]
    for one in sorted(found["points"], key=lambda point: point["latency_ms"]):
        place = ("yes" if one["frontier"] else "no") + (", chosen" if one["name"] == chosen else "")
        print(f"| {one['name']} | {100 * one['score']:.1f} | {one['speedup']:.0f} | {one['latency_ms']:.2f} "
              f"| {one['disk_mb']:.1f} | {place} |")  # fmt: skip
    test, kept = found["confirmed"]["scores"][found["metric"]], found["confirmed"]["retention"][found["metric"]]
    kinds = {one["kind"] for one in found["points"]}
    print(f"\n{len(found['points'])} points (asked {POINTS}) of {len(kinds)} kinds (asked {KINDS}) in "
          f"{found['seconds']:.0f} s; {found['before_the_kill']} students finished before the kill, "
          f"{found['trained_again']} trained again (asked 0). Test, once: {test['value']:.4f} "
          f"({test['low']:.4f} to {test['high']:.4f}), kept {kept['value']:.4f} "
          f"({kept['low']:.4f} to {kept['high']:.4f}).")  # fmt: skip


def main() -> None:
    """Print the table, or with --json all that was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of the search")
    parser.add_argument("--killed-after", type=float, default=330, help="seconds until the kill")
    parser.add_argument("--work", type=Path, help="an empty folder for all of it, kept; else one that goes")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"skipped: no fitted teachers at {SHARED}")
    with tempfile.TemporaryDirectory(prefix="stillroom-search-") as gone:
        folder = arguments.work or Path(gone)
        folder.mkdir(parents=True, exist_ok=True)
        found = searched(folder, minutes=arguments.minutes, killed_after=arguments.killed_after)
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found)
    kinds = {one["kind"] for one in found["points"]}
    sys.exit(not (len(found["points"]) >= POINTS and len(kinds) >= KINDS and not found["trained_again"]))


if __name__ == "__main__":
    main()
