"""LitServe with batches, as its documentation shows. Run: python litserve_server.py PORT."""

from __future__ import annotations

import sys

import litserve
from model import Model


class Api(litserve.LitAPI):
    """The student behind LitServe."""

    def setup(self, device: str) -> None:
        """Load it in the worker."""
        self.model = Model()

    def decode_request(self, request: dict[str, str]) -> str:
        """The text."""
        return request["text"]

    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        """A batch of texts."""
        return self.model.predict(list(texts))

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        """As it is."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=16, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="error", generate_client_file=False
    )
