"""What is said of each token of a text, given those before it, and what is written behind the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import objects, scored, signals, spans
from stillroom.core.errors import MismatchError, Problem
from stillroom.core.scored import Scored
from stillroom.core.words import Traced, Words
from stillroom.objectives import PEER
from stillroom.shapes import Aim, Reader, Shape, _lessons, _sides

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.students import Ids, Network, ReadsTokens, ReadsWords

_IDS, _WROTE, _TEXT, _SPANS = "token_ids", "wrote", "sequence", "spans"


@final
class _Sheet:
    """A line a token."""

    def __init__(self, words: Words, outputs: int) -> None:
        self._words = words
        self.outputs = _of_words(np.zeros((len(words.tokens), outputs), dtype=np.float32), words)

    def put(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Take what stands at the token before each."""
        numbers, owners, tokens = self._words.of(rows)
        self.outputs.values[numbers] = logits[owners, tokens]


@final
class Causal(Shape):
    """What is said of each token of a text, given those before it (`core.scored`), and what is written behind it.

    A token is told where the one before it stands, so every text begins with a token of no text. A network's words are
    here its tokens, and their places are bytes: they tell how much text was told, whatever it was cut into. A teacher
    may also do no more than write: then there is the text alone, and whether it came to its end.
    """

    axes: ClassVar[tuple[str, ...]] = ("token", "likeliest")
    answer: ClassVar[str] = "token_logprobs"
    answering: ClassVar[frozenset[str]] = frozenset(
        {"token_logprobs", _IDS, _WROTE, _TEXT, _SPANS, signals.WORDS, signals.COUNTS, signals.ENDED}
    )
    beside: ClassVar[tuple[str, ...]] = (_IDS, _WROTE, _TEXT, signals.WORDS)
    head: ClassVar[str] = "AutoModelForCausalLM"
    graph_runner: ClassVar[str] = "onnx_causal"
    judged_at_once: ClassVar[int] = 512  # of each id logits over a whole vocabulary
    has_tail: ClassVar[bool] = True
    extends: ClassVar[bool] = True
    may_write: ClassVar[bool] = True

    kind: Literal["causal"] = "causal"
    likeliest: int = Field(32, ge=1)
    """How many of the likeliest tokens are told of."""
    further: int = Field(0, ge=0)
    """How many tokens are written behind a text, at most."""
    temperature: float = Field(0.0, ge=0)
    """How far what is written is left to chance."""
    learns: Literal["text", "written"] = "text"
    """What of it a student learns from; a teacher writes nothing that nobody learns from."""

    @property
    def asked_at_once(self) -> int:
        """Few, where the teacher writes."""
        return 128 if self.learns == "written" else super().asked_at_once

    @property
    def most_written(self) -> int:
        """So many, further ones."""
        return self.further

    def join(self, parts: Sequence[Any], *, outputs: int) -> Scored:
        """One after the other."""
        return scored.join(parts, outputs=outputs)

    def take(self, said: Scored, rows: NDArray[np.int64]) -> Scored:
        """The tokens of these texts."""
        return said.take(rows)

    def values(self, said: Scored) -> NDArray[Any]:
        """A line a token."""
        return said.values

    def with_values(self, said: Scored, values: NDArray[Any]) -> Scored:
        """These, for the same tokens."""
        return replace(said, values=values)

    def unfit(self, said: Any, *, texts: int, outputs: int) -> tuple[str, str] | None:
        """Another number of texts or columns."""
        columns = said.values.shape[1:]
        if len(said) == texts and columns == (outputs,):
            return None
        return f"{list(columns)} numbers a token of {len(said)} texts", f"{outputs} numbers a token of {texts} texts"

    def finite(self, said: Scored) -> NDArray[np.bool_]:
        """Where every token's line is."""
        odd = ~np.isfinite(said.values).all(axis=1)
        return np.asarray(np.bincount(said.owners[odd], minlength=len(said)) == 0)

    def alike(self, one: Scored, other: Scored) -> NDArray[np.float64]:
        """The share of the tokens that begin for both at which they think the same one likeliest; 1 where none does."""
        read = [said.only(said.read) for said in (one, other)]
        lines = spans.beside(*read)
        owners = read[0].owners[lines[0]]
        same = read[0].ids[lines[0], 0] == read[1].ids[lines[1], 0]
        told, count = (np.bincount(owners, weights=each, minlength=len(one)) for each in (same, None))
        return np.divide(told, count, out=np.ones(len(one)), where=count > 0)

    def gap(self, one: Scored, other: Scored) -> float:
        """Of the logarithm of any probability, by rank; without end where other tokens were read.

        What is written is not compared: it hangs on which of two equally probable tokens comes first.
        """
        if not np.array_equal(one.counts - one.wrote, other.counts - other.wrote):
            return float("inf")
        both = [said.values[said.read][:, : said.kept + 2] for said in (one, other)]
        return float(np.abs(both[0] - both[1]).max(initial=0.0))

    def drift(self, one: Scored, other: Scored) -> float:
        """The mean gap of a token's probability; the largest is that of one token among thousands."""
        both = [np.exp(said.own[said.read].astype(np.float64)) for said in (one, other)]
        return float(np.abs(both[0] - both[1]).mean()) if len(both[0]) else 0.0

    def named(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """The likeliest token; where there is no number, none."""
        return np.asarray(np.nan_to_num(values[:, (values.shape[1] + 3) // 2], nan=-1.0), dtype=np.int64)

    def sureness(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The probability of the likeliest token."""
        return np.exp(values[:, 1].astype(np.float64))

    def aim(self, said: Scored, read: Traced) -> Aim:
        """The logarithm of how probable the text is, whatever was said of it: the sum over its tokens.

        A network names tokens by its own ids here, so that it may have a vocabulary of its own.
        """
        before = read.words.tokens
        return Aim((before, read.ids[before + 1].astype(np.int64)), np.ones(len(before), dtype=np.float32))

    def lines(self, said: Scored) -> list[dict[str, Any]]:
        """The lines of its tokens, their bytes, and what was written."""
        split = zip(said.each(said.values), said.each(said.places), said.wrote.tolist(), said.texts, strict=True)
        return [
            {self.answer: np.round(values.astype(np.float64), 6).tolist(), "bytes": places.tolist(), _WROTE: wrote,
             "written": text}
            for values, places, wrote, text in split
        ]  # fmt: skip

    def of_lines(self, lines: Sequence[Mapping[str, Any]]) -> Scored:
        """The lines of all texts end to end."""
        counts = np.array([len(line["bytes"]) for line in lines], dtype=np.int64)
        places = [np.array(line["bytes"], dtype=np.int32).reshape(-1, 2) for line in lines]
        values = [np.array(line[self.answer], dtype=np.float32) for line in lines if line["bytes"]]
        found = np.concatenate(values) if values else np.zeros((0, 2 * self.likeliest + 3), dtype=np.float32)
        if found.ndim != 2 or len(found) != counts.sum():
            raise ValueError("a line of numbers for each token")
        wrote = np.array([line[_WROTE] for line in lines], dtype=np.int64)
        return Scored(found, np.concatenate(places), counts, wrote, objects.array([line["written"] for line in lines]))

    def heard(self, said: Mapping[str, NDArray[Any]]) -> Scored:
        """Numbers and ids, one beside the other; of who only writes, what it wrote."""
        if self.answer not in said:
            return scored.unscored(said[_TEXT], said[signals.ENDED], kept=self.likeliest)
        values = np.concatenate([said[self.answer].astype(np.float32), said[_IDS].astype(np.float32)], axis=1)
        return Scored(values, said[signals.WORDS], said[signals.COUNTS], said[_WROTE], said[_TEXT])

    def said(self, outputs: Scored) -> dict[str, NDArray[Any]]:
        """Numbers apart from ids, which half precision would not hold."""
        kept = outputs.kept
        return {
            self.answer: outputs.values[:, : kept + 2],
            _IDS: outputs.values[:, kept + 2 :].astype(np.int32),
            _WROTE: outputs.wrote,
            _TEXT: outputs.texts,
            signals.WORDS: outputs.places,
            signals.COUNTS: outputs.counts,
        }

    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A list a text of what its tokens are given, and of the bytes that they stand for; or the text alone."""
        import pyarrow as pa

        written = pa.array(said[_TEXT].tolist(), type=pa.string())
        if self.answer not in said:
            return {_TEXT: written, signals.ENDED: pa.array(said[signals.ENDED], type=pa.bool_())}
        starts = pa.array(np.concatenate([[0], np.cumsum(said[signals.COUNTS])]), type=pa.int32())
        kinds = {self.answer: pa.float16(), _IDS: pa.int32(), signals.WORDS: pa.int32()}
        found = {}
        for name, kind in kinds.items():
            flat = pa.array(said[name].reshape(-1), type=kind)
            lines = pa.FixedSizeListArray.from_arrays(flat, said[name].shape[1])
            found[name] = pa.ListArray.from_arrays(starts, lines)
        return {**found, _WROTE: pa.array(said[_WROTE], type=pa.int32()), _TEXT: written}

    def columns_of(self, answer: str) -> tuple[str, ...]:
        """Those of its tokens, or of a text of which nothing else is told."""
        return (answer, *self.beside) if answer == self.answer else (answer, signals.ENDED)

    def answers(self, shard: pa.Table) -> Scored:
        """What was said of each token, or what was written."""
        if self.answer not in shard.column_names:
            told = shard[signals.ENDED].to_numpy().astype(np.bool_)
            return self.heard({_TEXT: objects.array(shard[_TEXT].to_pylist()), signals.ENDED: told})
        tables: dict[str, NDArray[Any]] = {}
        for name in (self.answer, _IDS, signals.WORDS):
            column = shard[name].combine_chunks()
            lines = column.flatten()
            flat = lines.flatten().to_numpy(zero_copy_only=False)
            tables[name] = flat.reshape(-1, lines.type.list_size)
        counts = shard[self.answer].combine_chunks().value_lengths().to_numpy(zero_copy_only=False)
        wrote = shard[_WROTE].to_numpy().astype(np.int64)
        texts = objects.array(shard[_TEXT].to_pylist())
        return self.heard({**tables, signals.COUNTS: counts.astype(np.int64), _WROTE: wrote, _TEXT: texts})

    def keep(self, said: Mapping[str, NDArray[Any]], texts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """The tokens of these texts, or what was written of them."""
        if self.answer not in said:
            return {name: said[name][texts] for name in (_TEXT, signals.ENDED)}
        tokens = np.repeat(texts, said[signals.COUNTS])
        kept = {name: said[name][tokens] for name in (self.answer, _IDS, signals.WORDS)}
        return {**kept, **{name: said[name][texts] for name in (_WROTE, _TEXT, signals.COUNTS)}}

    def read(self, network: Reader, texts: Sequence[str]) -> tuple[list[Ids], Words]:
        """Its tokens, each of them a word, but for the first, which is of no text."""
        return cast("ReadsWords", network).read(texts)

    def written(self, said: Scored) -> list[str]:
        """What was written behind texts."""
        return [one for one in said.texts.tolist() if one]

    def taught(
        self, network: Reader, texts: Sequence[str], said: Any, *, lines: Any = None
    ) -> tuple[list[Ids], Words, Scored]:
        """With what its teacher wrote behind what both read, and what that said, as lines of the student's tokens.

        Where the student has every token of the teacher's and reads as it does, it reads what the teacher read and
        wrote; else it reads the text in its own tokens, as far as both have a boundary in common (`core.spans`), or,
        of a teacher that says nothing of tokens, as far as it reads at all.

        Raises:
            MismatchError: there is no such boundary behind the beginning of any text.
        """
        lessons = _lessons.of(cast("ReadsTokens", network), texts, said)
        if len(said.tokens) and not any(len(one.values) for one in lessons):
            problem = Problem("student", "no place where a token ends for it and for its teacher",
                              "a student that reads the same bytes as its teacher",
                              "Start the student from this teacher, or from a model that reads bytes too.")  # fmt: skip
            raise MismatchError(problem)
        retold = scored.join([one.as_scored() for one in lessons], outputs=said.values.shape[1])
        inside = np.concatenate([np.arange(count) for count in [0, *retold.counts.tolist()]]).astype(np.int64)
        return [one.ids for one in lessons], Words(inside, retold.places, retold.counts), retold

    def split(self, values: NDArray[Any]) -> int:
        """How many tokens are of a span that is not one token for both."""
        return int(spans.split(values[np.isfinite(values[:, 0])]).sum())

    def behind(self, said: Scored, starts: NDArray[np.int64]) -> Scored:
        """With no number for tokens that begin before; which ones they are is still told."""
        values = said.values.astype(np.float32)
        values[said.places[:, 0] < starts[said.owners], : said.kept + 2] = np.nan
        return replace(said, values=values)

    def told(
        self, network: Network, ids: Any, mask: Any, said: Mapping[str, Any] | None = None, *, texts: Sequence[str] = ()
    ) -> Any:
        """A line a token, at the one before it, by the names that its teacher has for them."""
        logits = network.module(ids, mask) if said is None else said[self.answer]
        return cast("ReadsTokens", network).names.called(self.table(logits, ids, mask))

    def table(self, logits: Any, ids: Any, mask: Any) -> NDArray[np.float32]:
        """A line a token, at the one before it, from logits over the vocabulary that the ids are of."""
        there, table = mask[:, 1:], np.zeros((*ids.shape, 2 * self.likeliest + 3), dtype=np.float32)
        inside = logits[:, :-1][there].float().cpu().numpy()
        table[:, :-1][there.cpu().numpy()] = scored.of_logits(
            inside, ids[:, 1:][there].cpu().numpy(), kept=self.likeliest
        )
        return table

    def learned(self, said: Scored, heard: NDArray[Any]) -> Scored:
        """Of a prompt that was gone on with, what stands behind it."""
        return said.only(np.isfinite(heard[:, 0]))

    def opposed(
        self, said: Mapping[str, Any], told: Mapping[str, Any], *, wanted: frozenset[str] = signals.LOGITS
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both sides over the teacher's likeliest tokens and one more, all others together; and the tokens that came.

        Logarithms of probabilities are logits too, so that every objective of logits is one of these. What the student
        has no token for is among the others. Its logits over the vocabulary are its `sequence`, as those of any network
        that learns to write are.

        Raises:
            MismatchError: a second student that has other tokens.
        """
        both = dict(said), dict(told)
        if self.answer not in told:
            return both
        logits, values = said[self.answer], told[self.answer]
        kept = (values.shape[-1] - 3) // 2
        ids = values[..., kept + 3 :].long()
        both[0].update({"logits": _sides.over(ids, logits), _TEXT: logits})
        both[1].update({"logits": _sides.heard(ids, values[..., 1 : kept + 2]), _TEXT: values[..., kept + 2].long()})
        if _SPANS in wanted:
            both[0][_SPANS], both[1][_SPANS] = _sides.spans(logits, values)
        if PEER in told:
            if told[PEER].shape != logits.shape:
                problem = Problem("peer", "a second student that has other tokens", "one with the same tokens",
                                  "Give both the same `start` and `vocabulary`.")  # fmt: skip
                raise MismatchError(problem)
            both[1][PEER] = _sides.over(ids, told[PEER])
        return both

    def sheet(self, texts: int, *, outputs: int, words: Words | None) -> _Sheet:
        """A line a token."""
        if words is None:
            raise TypeError("a student that does not say which tokens it reads can't tell what follows them")
        return _Sheet(words, outputs)

    def aligned(self, said: Scored, words: Words | None) -> NDArray[Any]:
        """Lines of its tokens; where the teacher wrote, nothing is learned from what it read."""
        learned = ~said.read | (said.wrote == 0)[said.owners]
        return np.where(learned[:, None], said.values, np.nan).astype(said.values.dtype)

    def spread(self, values: NDArray[Any], words: Words | None) -> Scored:
        """With the bytes that they are about; none is known to be written."""
        if words is None:
            raise TypeError("values of tokens without the tokens")
        return _of_words(values if values.ndim == 2 else values[:, None], words)


def _of_words(values: NDArray[Any], words: Words) -> Scored:
    nothing = np.zeros(len(words), dtype=np.int64)
    return Scored(values, words.places, words.counts, nothing, objects.array([""] * len(words)))
