"""Asks metatronnanoguard, in a process of its own: JSON lines with a `text` in, probabilities of an injection out.

Its tokenizer is a pickle, which may run any code when it is read: it is read here, where there is nothing but the
package, torch and texts of public sets, and never in a process of ours. One text at a time, as the package does it.

    pip install --no-deps --target nanoguard metatronnanoguard==0.1.0 tiktoken==0.14.0 regex
    python bench/nanoguard.py nanoguard < texts.jsonl > said.jsonl
"""

from __future__ import annotations

import json
import os
import sys

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    """Answer until there are no more lines: the probability, and the CPU-seconds that it took."""
    import time

    sys.path.insert(0, sys.argv[1])
    import torch

    from nanoguard import NanoGuard

    torch.set_num_threads(1)
    guard = NanoGuard(device="cpu")
    for line in sys.stdin:
        started = time.process_time()
        score = guard.scan(json.loads(line)["text"]).injection_score
        seconds = time.process_time() - started
        sys.stdout.write(json.dumps({"injection": round(score, 6), "seconds": round(seconds, 5)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
