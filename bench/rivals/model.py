"""What every rival serves: the bundle's graph and tokenizer, read as its runner reads them, without any of our code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

BUNDLE = "RIVAL_BUNDLE"


class Model:
    """Texts to labels and scores."""

    def __init__(self) -> None:
        folder = Path(os.environ[BUNDLE])
        told = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        runner = told["runners"][told["default"]]["settings"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        self.labels = told["task"]["labels"]
        self.temperature = float(told.get("temperature", 1.0))
        self._session = onnxruntime.InferenceSession(
            str(folder / runner["file"]), options, providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )  # fmt: skip
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        if runner["encoder"].get("max_tokens"):
            self._tokenizer.enable_truncation(runner["encoder"]["max_tokens"])

    def predict(self, texts: list[str]) -> list[dict[str, object]]:
        """Filled up to the longest text, as tutorials do it."""
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=True)
        longest = max(len(one.ids) for one in found)
        ids = np.zeros((len(texts), longest), dtype=np.int64)
        mask = np.zeros((len(texts), longest), dtype=np.bool_)
        for row, one in enumerate(found):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = True
        given = {one.name: one.type for one in self._session.get_inputs()}
        kinds = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
        fed = {name: table.astype(kinds[given[name]]) for name, table in (("ids", ids), ("mask", mask))}
        logits = self._session.run(["logits"], fed)[0] / self.temperature
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        return [
            {"label": self.labels[int(row.argmax())], "score": float(row.max()),
             "scores": dict(zip(self.labels, row.tolist(), strict=True))}
            for row in odds
        ]  # fmt: skip
