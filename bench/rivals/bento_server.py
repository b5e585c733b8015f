"""BentoML with adaptive batches, as its documentation shows. Run: python bento_server.py PORT."""

from __future__ import annotations

import subprocess
import sys

import bentoml
from model import Model


@bentoml.service(workers=1, traffic={"timeout": 60})
class Student:
    """The student behind BentoML."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=200)
    def predict(self, text: list[str]) -> list[dict]:
        """A batch of texts."""
        return self.model.predict(list(text))


if __name__ == "__main__":
    subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", "bento_server:Student", "--port", sys.argv[1]], check=True
    )
