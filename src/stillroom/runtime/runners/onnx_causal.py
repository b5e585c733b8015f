"""Runs an exported student that tells what comes next on ONNX Runtime, and lets it write."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
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
from stillroom.runtime.runners import Encoded, Serve, Written
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
        return _Speaker(self, folder, threads=threads)


@final
class _Speaker:
    """The student: reads and scores texts, and writes behind them."""

    def __init__(self, told: OnnxCausal, folder: Path, *, threads: int) -> None:
        self._told, self._graph = told, Graph.open(folder, file=told.file, threads=threads)
        written = (folder / TOKENIZER).read_text(encoding="utf-8")
        self._read, self._spell = told.encoder.read_each(written), Tokenizer.from_str(written)
        self._outputs = len(scored.columns(told.form.likeliest))
        self._names = Names.load(folder) if told.renames else None

    def __call__(self, texts: Sequence[str]) -> Scored:
        """What it tells of each token, and what it writes."""
        ids, words = self._read(texts)
        sheet = self._told.form.sheet(len(ids), outputs=self._outputs, words=words)
        said = objects.array([""] * len(ids))
        for rows in batches.by_tokens([len(one) for one in ids], budget=self._told.tokens_per_batch):
            padded, mask = batches.pad([ids[row] for row in rows])
            logits, now = self._graph.read(padded, mask)
            lines = self._lines(logits, padded, mask)
            sheet.put(rows, self._names.called(lines) if self._names else lines)
            for place, row in enumerate(rows.tolist()) if self._told.form.further else ():
                length = len(ids[row])
                past = now[:, :, place : place + 1, :, :length]
                more = self._tokens(logits[place, length - 1], past, texts[row])
                said[row] = self._spell.decode(list(more), skip_special_tokens=True)
        return replace(sheet.outputs, texts=said)

    def write(
        self,
        text: str,
        *,
        most: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        stops: Sequence[str] = (),
    ) -> Generator[str, None, Written]:
        """What it writes behind a text, as it writes it."""
        (ids,), _ = self._read([text])
        padded, mask = batches.pad([ids])
        logits, now = self._graph.read(padded, mask)
        tokens, told, room = [], 0, self._room(len(ids), most)
        held = max([len(one) - 1 for one in stops], default=0)  # letters that a stop may yet begin with
        whole = ""
        for token in self._tokens(logits[0, len(ids) - 1], now, text, most=most, temperature=temperature, seed=seed):
            tokens.append(token)
            whole = self._spell.decode(tokens, skip_special_tokens=True)
            stopped = min((place for one in stops if (place := whole.find(one)) >= 0), default=None)
            if stopped is not None:
                if stopped > told:
                    yield whole[told:stopped]
                return Written(ended=True, read=len(ids), written=len(tokens))
            # A character of which only some bytes are written is told with its last.
            safe = len(whole) - held
            if safe > told and not whole.endswith("\N{REPLACEMENT CHARACTER}"):
                yield whole[told:safe]
                told = safe
        if len(whole) > told:
            yield whole[told:]
        return Written(ended=len(tokens) < room, read=len(ids), written=len(tokens))

    def _lines(
        self, logits: NDArray[np.float32], ids: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """A line a token, at the one before it."""
        likeliest = self._told.form.likeliest
        table = np.zeros((*ids.shape, 2 * likeliest + 3), dtype=np.float32)
        there = mask[:, 1:]
        table[:, :-1][there] = scored.of_logits(logits[:, :-1][there], ids[:, 1:][there], kept=likeliest)
        return table

    def _room(self, read: int, most: int | None) -> int:
        """How many tokens it may write behind so many."""
        further = self._told.form.further if most is None else min(most, self._told.form.further)
        longest = self._told.encoder.max_tokens
        return further if longest is None else max(min(further, longest - read), 0)

    def _tokens(
        self,
        last: NDArray[np.float32],
        past: NDArray[np.float32],
        text: str,
        *,
        most: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
    ) -> Iterator[int]:
        """The tokens that it writes behind a text that it has read, its end left out."""
        room = self._room(past.shape[4], most)
        warmth = self._told.form.temperature if temperature is None else temperature
        rng = seeds.generator(seed, f"runtime/written/{artifact.text_id(text)}")
        for place in range(room):
            token = _next(last, warmth, rng)
            if token in self._told.ends:
                return
            yield token
            if place + 1 < room:
                logits, past = self._graph.go_on(np.array([token], dtype=np.int64), past)
                last = logits[-1]


def _next(logits: NDArray[np.float32], temperature: float, rng: np.random.Generator) -> int:
    """The likeliest token, or one by chance."""
    if not temperature:
        return int(logits.argmax())
    odds = probabilities.softmax(logits[None] / temperature)[0]
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
