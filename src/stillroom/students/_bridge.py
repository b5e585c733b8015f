"""The way from a network's own space into the space that its teacher answers in, seen on words read alone.

A teacher of vectors may read them off its network in many ways: the mean of its tokens or the first of them, through
further layers, turned so that the first dimensions hold most. Whoever starts from the network starts with a linear map
that does as much on the words of its vocabulary: Ridge regression of the teacher's vectors of words on what the
student has of these words.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from stillroom.core import batches
from stillroom.core.progress import Meter, Report

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher

FILE = "bridge.safetensors"
_WORDS = 4096
_BUDGET = 8192  # tokens a batch
_RIDGE = 1e-3  # of the mean variance


def note(teacher: LoadedTeacher, network: Any, tokenizer: str, folder: Path, *, report: Report) -> None:
    """Write down words with what the teacher answers to them, and the mean of the network's last layer over each."""
    import torch
    from tokenizers import Tokenizer

    reads = Tokenizer.from_str(tokenizer)
    body = network.base_model.eval()
    whole = [
        (token, text)
        for token in range(int(body.get_input_embeddings().weight.shape[0]))
        if (text := reads.decode([token])) and reads.encode(text, add_special_tokens=False).ids == [token]
    ]
    some = [whole[place] for place in np.linspace(0, len(whole) - 1, min(_WORDS, len(whole))).astype(int).tolist()]
    meter = Meter(report, stage="words", total=len(some), unit="words")
    ids = [np.array(reads.encode(text).ids, dtype=np.int32) for _, text in some]
    pooled = np.empty((len(some), int(body.config.hidden_size)), dtype=np.float16)
    with torch.inference_mode():
        for rows in batches.by_tokens([len(one) for one in ids], budget=_BUDGET):
            padded, mask = (torch.from_numpy(one) for one in batches.pad([ids[row] for row in rows]))
            hidden = body(input_ids=padded, attention_mask=mask.long()).last_hidden_state * mask.unsqueeze(-1)
            pooled[rows] = (hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True)).float().numpy()
    said, _ = teacher.ask([text for _, text in some], precision=teacher.precisions[0], tokens_per_batch=_BUDGET,
                          wanted=frozenset({"embedding"}))  # fmt: skip
    meter.advance(len(some))
    found: dict[str, NDArray[Any]] = {
        "tokens": np.array([token for token, _ in some], dtype=np.int64),
        "pooled": pooled,
    }
    save_file({**found, "answers": said["embedding"].astype(np.float16)}, folder / FILE)


def of_tokens(folder: Path, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map `[dimensions, width]` from vectors of tokens, by their ids `[tokens, width]`."""
    seen = load_file(folder / FILE)
    return _solved(vectors[seen["tokens"]], seen["answers"])


def of_network(folder: Path) -> NDArray[np.float32]:
    """The map `[dimensions, width]` from the mean of the network's last layer."""
    seen = load_file(folder / FILE)
    return _solved(seen["pooled"], seen["answers"])


def _solved(own: NDArray[np.floating], answers: NDArray[np.floating]) -> NDArray[np.float32]:
    """Ridge regression of answers on vectors, both at length one."""
    x, y = (one.astype(np.float64) for one in (own, answers))
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    spread = x.T @ x
    spread[np.diag_indices_from(spread)] += _RIDGE * np.trace(spread) / len(spread)
    return np.ascontiguousarray(np.linalg.solve(spread, x.T @ y).T, dtype=np.float32)
