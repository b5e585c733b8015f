"""What a student of token vectors takes from a network: each token of the vocabulary, read alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from stillroom.core.progress import Meter, Report
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import _bridge

if TYPE_CHECKING:
    from stillroom.students._started import Origin
    from stillroom.teachers import LoadedTeacher

FILE = "vocabulary.safetensors"
#: How students of token vectors read: special tokens say nothing where there is no attention.
ENCODER = Tokens(special=False)
_BATCH = 1024
_SIF = 1e-3  # the `a` in a / (a + p); Arora et al. found 1e-4 to 1e-3 good
_TEXTS = 4096


def collect(origin: Origin, folder: Path, *, report: Report, teacher: LoadedTeacher | None = None) -> None:
    """Write a network's tokenizer, and the mean of its last hidden states over each token read alone.

    Beside them, where this teacher answers with vectors, what it answers to words.
    """
    import torch

    (folder / TOKENIZER).write_text(origin.tokenizer_json(), encoding="utf-8")
    body = origin.network().base_model.eval()
    start, end = _around(folder / TOKENIZER)
    size = int(body.get_input_embeddings().weight.shape[0])
    meter = Meter(report, stage="vocabulary", total=size, unit="tokens")
    vectors = np.empty((size, int(body.config.hidden_size)), dtype=np.float16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled="bf16" in origin.precisions):
        for first in range(0, size, _BATCH):
            tokens = torch.arange(first, min(size, first + _BATCH))
            ids = torch.stack([torch.full_like(tokens, token) for token in start] + [tokens]
                              + [torch.full_like(tokens, token) for token in end], dim=1)  # fmt: skip
            hidden = body(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            vectors[first : first + _BATCH] = hidden.float().mean(dim=1).numpy()
            meter.advance(len(tokens))
    save_file({"vectors": vectors}, folder / FILE)
    if teacher is not None and teacher.identify().answers == "embedding":
        _bridge.note(teacher, origin.network(), origin.tokenizer_json(), folder, report=report)


def start(
    folder: Path, texts: Iterator[str], *, dimensions: int, centred: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """By token: vectors by PCA, of mean length one; weights by smooth inverse frequency; how often it was seen.

    Not `centred`, what all tokens have in common stays, for whoever has to end in the same space.
    """
    vectors = load_file(folder / FILE)["vectors"].astype(np.float64)
    if centred:
        vectors -= vectors.mean(axis=0)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    # The sign of an eigenvector is the solver's whim: we fix it, so that another build of it starts the same.
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    reduced = vectors @ directions[:, ::-1][:, :dimensions]
    reduced /= np.linalg.norm(reduced, axis=1).mean()
    seen = _count(folder, texts, size=len(vectors))
    counts = seen + 0.5
    weights = _SIF / (_SIF + counts / counts.sum())
    return reduced.astype(np.float32), weights.astype(np.float32), seen


def _count(folder: Path, texts: Iterator[str], *, size: int) -> NDArray[np.float64]:
    encode = ENCODER.open(folder)
    counts = np.zeros(size)
    while part := list(islice(texts, _TEXTS)):
        counts += np.bincount(np.concatenate(encode(part)), minlength=size)
    return counts


def _around(tokenizer: Path) -> tuple[list[int], list[int]]:
    """The special tokens that the teacher expects before and after a text."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(tokenizer)).encode("a", add_special_tokens=True)
    own = [place for place, special in enumerate(found.special_tokens_mask) if not special]
    return found.ids[: own[0]], found.ids[own[-1] + 1 :]
