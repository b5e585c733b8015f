"""Runs an exported student that tells what comes next on ONNX Runtime, and lets it write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Tokenizer

from stillroom.core import artifact, batches, objects, probabilities, scored, seeds
from stillroom.core.names import Names
from stillroom.core.scored import Scored
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.runners import Encoded, Serve
from stillroom.runtime.runners._graphs import session
from stillroom.shapes.causal import Causal


@final
class OnnxCausal(Encoded):
    """Runs an exported student that goes on: inputs `ids`, `mask`, `past`; outputs `logits` and `now`, the next past.

    Texts of like length are read together; each is gone on with alone.
    """

    pads: ClassVar[bool] = True
    parallel: ClassVar[bool] = True

    kind: Literal["onnx_causal"] = "onnx_causal"
    encoder: Tokens
    """How texts become tokens."""
    file: str
    """The graph's file in the bundle."""
    form: Causal
    """Of how many likeliest tokens it tells, and how much it writes."""
    ends: tuple[int, ...]
    """The tokens that end what it writes."""
    renames: bool = False
    """Whether its teacher had other ids for its tokens: those are in a file beside, and what it tells goes by them."""
    tokens_per_batch: int = Field(256, ge=1)
    """Padded tokens a batch."""

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """A session of ONNX Runtime with so many threads."""
        graph = Graph.open(folder, file=self.file, threads=threads)
        written = (folder / TOKENIZER).read_text(encoding="utf-8")
        read, spell = self.encoder.read_each(written), Tokenizer.from_str(written)
        outputs = len(scored.columns(self.form.likeliest))
        names = Names.load(folder) if self.renames else None

        def serve(texts: Sequence[str]) -> Scored:
            ids, words = read(texts)
            sheet = self.form.sheet(len(ids), outputs=outputs, words=words)
            said = objects.array([""] * len(ids))
            for rows in batches.by_tokens([len(one) for one in ids], budget=self.tokens_per_batch):
                padded, mask = batches.pad([ids[row] for row in rows])
                logits, now = graph.read(padded, mask)
                lines = self._told(logits, padded, mask)
                sheet.put(rows, names.called(lines) if names else lines)
                for place, row in enumerate(rows.tolist()) if self.form.further else ():
                    length = len(ids[row])
                    past = now[:, :, place : place + 1, :, :length]
                    more = self._go_on(graph, logits[place, length - 1], past, texts[row])
                    said[row] = spell.decode(more, skip_special_tokens=True)
            return replace(sheet.outputs, texts=said)

        return serve

    def _told(
        self, logits: NDArray[np.float32], ids: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """A line a token, at the one before it."""
        table = np.zeros((*ids.shape, 2 * self.form.likeliest + 3), dtype=np.float32)
        there = mask[:, 1:]
        table[:, :-1][there] = scored.of_logits(logits[:, :-1][there], ids[:, 1:][there], kept=self.form.likeliest)
        return table

    def _go_on(self, graph: Graph, last: NDArray[np.float32], past: NDArray[np.float32], text: str) -> list[int]:
        """The tokens that it writes behind a text that it has read, its end left out."""
        read = past.shape[4]
        room = min(self.form.further, (self.encoder.max_tokens or read + self.form.further) - read)
        rng = seeds.generator(0, f"runtime/written/{artifact.text_id(text)}")
        found: list[int] = []
        while len(found) < room:
            token = self._next(last, rng)
            if token in self.ends:
                break
            found.append(token)
            if len(found) < room:
                logits, past = graph.go_on(np.array([token], dtype=np.int64), past)
                last = logits[-1]
        return found

    def _next(self, logits: NDArray[np.float32], rng: np.random.Generator) -> int:
        """The likeliest token, or one by chance."""
        if not self.form.temperature:
            return int(logits.argmax())
        odds = probabilities.softmax(logits[None] / self.form.temperature)[0]
        return int(rng.choice(len(odds), p=odds))


@final
class Graph:
    """The session, with what it remembers handed in and out."""

    def __init__(self, session: Any, *, tokens: str) -> None:
        self._session, self.tokens = session, tokens
        past = next(one for one in session.get_inputs() if one.name == "past")
        # Layers, keys and values, texts, heads, tokens, width: how many texts and tokens is open.
        layers, parts, _, heads, _, width = past.shape
        self._sizes = int(layers), int(parts), int(heads), int(width)

    @classmethod
    def open(cls, folder: Path, *, file: str, threads: int) -> Graph:
        """A graph in a folder, beside its tokenizer."""
        return cls(session(folder / file, threads=threads), tokens=artifact.file_sha256(folder / TOKENIZER))

    @property
    def nothing(self) -> NDArray[np.float32]:
        """The past of a text that begins."""
        return self._past(1)

    def read(self, ids: NDArray[np.int64], mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits of texts from their beginning, `[texts, length, vocabulary]`, and all that it remembers of them."""
        logits, now = self._session.run(["logits", "now"], {"ids": ids, "mask": mask, "past": self._past(len(ids))})
        return logits, now

    def go_on(
        self, ids: NDArray[np.int64], past: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The logits behind each of one text's further tokens, and all that it remembers by then."""
        mask = np.ones((1, past.shape[4] + len(ids)), dtype=np.bool_)
        logits, now = self._session.run(["logits", "now"], {"ids": ids[None], "mask": mask, "past": past})
        return logits[0], now

    def forget(self, past: NDArray[np.float32], *, kept: int) -> NDArray[np.float32]:
        """What it remembers of the first so many tokens."""
        return past[:, :, :, :, :kept]

    def _past(self, texts: int) -> NDArray[np.float32]:
        layers, parts, heads, width = self._sizes
        return np.zeros((layers, parts, texts, heads, 0, width), dtype=np.float32)
