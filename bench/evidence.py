"""What it takes to put teacher and student to the test: seconds and memory of `evaluate` and `audit` on banking77.

    python bench/evidence.py [--seeds 3] [--work work/evidence] [--shared ../shared] [--json]

3,080 test rows, the fitted MiniLM, a static student. Everything up to the bundle is made first and not counted; then a
fresh process runs the journey to the end of `audit`: test rows are asked about, the student's other seeds and its twin
are fitted, all figures come with their intervals, and the default probes are put. The limits are 180 seconds on two
cores, and 2,000 MB resident.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parts import parser, read_set, show, teacher_of, tell, to_show, write_rows
from stillroom import pipeline
from stillroom.core import recipe

SECONDS, MEGABYTES = 180.0, 2000.0


def asked(*, shared: Path, work: Path, seeds: int) -> recipe.Recipe:
    """The recipe.

    Raises:
        NotHereError: the set is not on this machine.
    """
    labels, splits = read_set(shared, "banking77")
    return recipe.parse(
        {
            "name": "evidence",
            "seed": 0,
            "task": {"kind": "classification", "labels": labels},
            "corpus": write_rows(splits, labels, work / "rows"),
            "teacher": teacher_of("banking77", shared=shared, work=work),
            "student": {"kind": "static"},
            "train": {"seeds": seeds},
        }
    )


def measured(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One run in a process of its own."""
    wanted = asked(shared=arguments.shared, work=arguments.work, seeds=arguments.seeds)
    pipeline.run(wanted, work=arguments.work, until="export", report=tell)
    path = arguments.work / "evidence.toml"
    path.write_text(wanted.as_toml(), encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("stillroom")),
        "audit",
        str(path),
        "--work",
        str(arguments.work),
        "--quiet",
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    yield {"seconds": seconds, "megabytes": megabytes}


def main() -> int:
    """Measure, and show it beside the limits."""
    arguments = parser(__doc__, seeds=3, work="work/evidence").parse_args()
    for one in to_show(measured, arguments):
        ratios = {"seconds_of_limit": one["seconds"] / SECONDS, "memory_of_limit": one["megabytes"] / MEGABYTES}
        rows = [("evaluate and audit", f"{one['seconds']:.0f} s of {SECONDS:.0f}"),
                ("most memory", f"{one['megabytes']:,.0f} MB of {MEGABYTES:,.0f}")]  # fmt: skip
        show("banking77, 3,080 test rows", ratios, rows=rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
