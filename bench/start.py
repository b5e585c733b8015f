"""How long a prediction takes from cold, and how much memory: the program itself, in a process of its own each time.

    make demo && python bench/start.py [work/runs/reviews] [--json]

Nine processes; the median counts, and the slowest is shown. `stillroom predict` never loads torch; for the figure of a
machine that has none, run it with the interpreter of an environment that holds the base install alone.
`vs_half_second` and `vs_120_mb` are the shares of those limits that it takes.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from parts import show

PROCESSES = 9
SECONDS, MEGABYTES = 0.5, 120.0
TEXT = "a warm and moving film"


def once(run: Path) -> float:
    """Seconds from start to answer of one process.

    Raises:
        CalledProcessError: it failed.
    """
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "stillroom.cli", "predict", str(run), TEXT], check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    run = Path(next((one for one in sys.argv[1:] if not one.startswith("--")), "work/runs/reviews"))
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # empty is unset: an installed program has its bytecode
    once(run)  # the first fills the caches of files
    seconds = [once(run) for _ in range(PROCESSES)]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    middle = float(np.median(seconds))
    rows = [
        ("seconds, median", f"{middle:.3f}"),
        ("seconds, slowest", f"{max(seconds):.3f}"),
        ("MB, peak", f"{peak:.0f}"),
    ]
    ratios = {"vs_half_second": middle / SECONDS, "vs_120_mb": peak / MEGABYTES}
    show(f"{PROCESSES} predictions from cold", ratios, rows=rows)


if __name__ == "__main__":
    main()
