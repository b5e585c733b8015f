"""An answer to each word of a text: logits over tags, or the positions of tags, with the characters of the words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import edits as core_edits
from stillroom.core import signals, tagging
from stillroom.core.probabilities import log_odds
from stillroom.core.tagging import Tagged
from stillroom.core.words import Traced, Words
from stillroom.shapes import Aim, Reader, Shape

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.edits import Edit
    from stillroom.students import Ids, ReadsWords

_NEVER = -1e4  # a logit that leaves a tag no probability at all


@final
class _Sheet:
    """A line a word."""

    def __init__(self, words: Words, outputs: int) -> None:
        self._words = words
        self._values = np.empty((len(words.tokens), outputs), dtype=np.float32)

    def put(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Take what stands at the first token of each word."""
        numbers, owners, tokens = self._words.of(rows)
        self._values[numbers] = logits[owners, tokens]

    @property
    def outputs(self) -> Tagged:
        """With the words that they are about."""
        return Tagged(self._values, self._words.places, self._words.counts)


@final
class Tokens(Shape):
    """An answer to each word of a text, with the characters that the word stands at.

    A teacher's words are its own: they are laid on the student's by their characters, so tokenizers need not match.
    """

    axes: ClassVar[tuple[str, ...]] = ("word", "tag")
    beside: ClassVar[tuple[str, ...]] = (signals.WORDS,)
    head: ClassVar[str] = "AutoModelForTokenClassification"
    graph_runner: ClassVar[str] = "onnx_words"

    kind: Literal["tokens"] = "tokens"
    goes_on: bool = True
    """Whether a later part of a word has what goes on with its tag; else it has the first tag, which says nothing."""

    def join(self, parts: Sequence[Any], *, outputs: int) -> Tagged:
        """One after the other."""
        return tagging.join(parts, tags=outputs)

    def take(self, said: Tagged, rows: NDArray[np.int64]) -> Tagged:
        """The words of these texts."""
        return said.take(rows)

    def values(self, said: Tagged) -> NDArray[Any]:
        """A line a word."""
        return said.values

    def with_values(self, said: Tagged, values: NDArray[Any]) -> Tagged:
        """These, for the same words."""
        return replace(said, values=values)

    def unfit(self, said: Any, *, texts: int, outputs: int) -> tuple[str, str] | None:
        """Another number of texts or tags."""
        tags = said.values.shape[1:]
        if len(said) == texts and tags == (outputs,):
            return None
        return f"tags {list(tags)} of the words of {len(said)} texts", f"{outputs} tags of the words of {texts} texts"

    def finite(self, said: Tagged) -> NDArray[np.bool_]:
        """Where every word's line is."""
        odd = ~np.isfinite(said.values).all(axis=1)
        owners = said.owners
        return np.asarray(np.bincount(owners[odd], minlength=len(said)) == 0)

    def gap(self, one: Tagged, other: Tagged) -> float:
        """Of any logit; without end where other words were read."""
        if not (np.array_equal(one.words, other.words) and np.array_equal(one.counts, other.counts)):
            return float("inf")
        return float(np.abs(one.values - other.values).max(initial=0.0))

    def alike(self, one: Tagged, other: Tagged) -> NDArray[np.float64]:
        """The share of its words that they give the same tag, where they have read the same words."""
        if not (np.array_equal(one.words, other.words) and np.array_equal(one.counts, other.counts)):
            raise TypeError("tags of other words: they are to be laid on these first")
        same = signals.named(one.values) == signals.named(other.values)
        told = np.bincount(one.owners, weights=same, minlength=len(one))
        return np.divide(told, one.counts, out=np.ones(len(one)), where=one.counts > 0)

    def laid(self, said: Tagged, own: Tagged) -> Tagged:
        """On the words that the other reads."""
        words = self.words(own)
        return self.spread(self.aligned(said, words), words)

    def swayed(self, said: Tagged, changed: Tagged, edits: Sequence[Sequence[Edit]]) -> NDArray[np.float64] | None:
        """By what the log-odds of its tags fall, the mean over the words that are left; NaN where none is.

        None where tags are all there is.
        """
        if said.values.ndim < 2 or changed.values.ndim < 2:
            return None
        before, after, owners = _same_words(said, changed, edits)
        named = self.named(said.values[before])
        fall = log_odds(said.values[before], named) - log_odds(changed.values[after], named)
        count = np.bincount(owners, minlength=len(said)).astype(np.float64)
        total = np.bincount(owners, weights=fall, minlength=len(said))
        mean = np.divide(total, count, out=np.full(len(said), np.nan), where=count > 0)
        return np.asarray(mean)

    def aim(self, said: Tagged, read: Traced) -> Aim:
        """The mean logit of the tags of those words that have another than the first, which says nothing.

        Of logits the likeliest tags: what a task makes of them is its own (`Task.explained`).
        """
        tags = signals.named(self.aligned(said, read.words))
        marked = np.flatnonzero(tags > 0)
        weights = np.full(len(marked), 1 / max(len(marked), 1), dtype=np.float32)
        return Aim((read.words.tokens[marked], tags[marked]), weights)

    def words(self, said: Tagged) -> Words:
        """Those that were labelled; at which tokens nobody asks."""
        return Words(np.zeros(len(said.words), dtype=np.int64), said.words, said.counts)

    def owners(self, said: Tagged) -> NDArray[np.int64]:
        """The text of each word."""
        return np.asarray(said.owners, dtype=np.int64)

    def lines(self, said: Tagged) -> list[dict[str, Any]]:
        """The logits of its words, and the words' characters."""
        ends = np.cumsum(said.counts)
        return [
            {"logits": np.round(values.astype(np.float64), 6).tolist(), "words": words.tolist()}
            for values, words in zip(np.split(said.values, ends[:-1]), np.split(said.words, ends[:-1]), strict=True)
        ]

    def of_lines(self, lines: Sequence[Mapping[str, Any]]) -> Tagged:
        """The lines of all texts end to end."""
        counts = np.array([len(line["words"]) for line in lines], dtype=np.int64)
        words = [np.array(line["words"], dtype=np.int32).reshape(-1, 2) for line in lines]
        values = [np.array(line["logits"], dtype=np.float32) for line in lines if line["words"]]
        found = Tagged(np.concatenate(values), np.concatenate(words), counts)
        if found.values.ndim != 2 or len(found.values) != len(found.words):
            raise ValueError("a line of logits for each word")
        return found

    def heard(self, said: Mapping[str, NDArray[Any]]) -> Tagged:
        """Its logits, or its tags."""
        values = said["logits"] if "logits" in said else said["label"]
        return Tagged(values, said[signals.WORDS], said[signals.COUNTS])

    def said(self, outputs: Tagged) -> dict[str, NDArray[Any]]:
        """The logits, and the words."""
        return {"logits": outputs.values, signals.WORDS: outputs.words, signals.COUNTS: outputs.counts}

    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A list a text of what its words are given, and of where they stand."""
        import pyarrow as pa

        starts = pa.array(np.concatenate([[0], np.cumsum(said[signals.COUNTS])]), type=pa.int32())
        places = pa.FixedSizeListArray.from_arrays(pa.array(said[signals.WORDS].reshape(-1), type=pa.int32()), 2)
        found = {signals.WORDS: pa.ListArray.from_arrays(starts, places)}
        if "logits" in said:
            half = said["logits"]
            flat = pa.array(half.reshape(-1), type=pa.float16())
            lines = pa.FixedSizeListArray.from_arrays(flat, half.shape[1])
            return {"logits": pa.ListArray.from_arrays(starts, lines), **found}
        return {"label": pa.ListArray.from_arrays(starts, pa.array(said["label"], type=pa.int32())), **found}

    def answers(self, shard: pa.Table) -> Tagged:
        """What each word was given."""
        words = shard[signals.WORDS].combine_chunks()
        counts = words.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        places = words.flatten().flatten().to_numpy(zero_copy_only=False).reshape(-1, 2).astype(np.int32)
        if "label" in shard.column_names:
            named = shard["label"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.int64)
            return Tagged(named, places, counts)
        lines = shard["logits"].combine_chunks().flatten()
        flat = lines.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        return Tagged(flat.reshape(-1, lines.type.list_size), places, counts)

    def keep(self, said: Mapping[str, NDArray[Any]], texts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """The words of these texts."""
        words = np.repeat(texts, said[signals.COUNTS])
        kept = {name: said[name][words] for name in (*signals.ANSWERS, signals.WORDS) if name in said}
        return {**kept, signals.COUNTS: said[signals.COUNTS][texts]}

    def read(self, network: Reader, texts: Sequence[str]) -> tuple[list[Ids], Words]:
        """Its tokens, and the words that they make."""
        return cast("ReadsWords", network).read(texts)

    def sheet(self, texts: int, *, outputs: int, words: Words | None) -> _Sheet:
        """A line a word."""
        if words is None:
            raise TypeError("a student that reads no words can't label them")
        return _Sheet(words, outputs)

    def aligned(self, said: Tagged, words: Words | None) -> NDArray[Any]:
        """What was said of other words, laid on these by their characters."""
        if words is None:
            raise TypeError("a student that reads no words can't learn what was said of words")
        if np.array_equal(said.counts, words.counts) and np.array_equal(said.words, words.places):
            return said.values
        named = said.values.ndim == 1
        if named and len(said.values):
            # Tags without numbers travel as if they were certain.
            certain = np.full((len(said.values), 2 * (int(said.values.max()) // 2) + 3), _NEVER, dtype=np.float32)
            certain[np.arange(len(certain)), said.values] = 0.0
            said = replace(said, values=certain)
        elif named:
            return np.full(len(words.tokens), -1, dtype=np.int64)
        values, known = tagging.project(said, words.places, words.counts, goes_on=self.goes_on)
        if named:
            return np.where(known, values.argmax(axis=1), -1)
        values[~known] = np.nan
        return values

    def spread(self, values: NDArray[Any], words: Words | None) -> Tagged:
        """With the words that they are about."""
        if words is None:
            raise TypeError("values of words without the words")
        return Tagged(values, words.places, words.counts)


def _same_words(
    said: Tagged, changed: Tagged, edits: Sequence[Sequence[Edit]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The words that are left after edits: their numbers before, those afterwards, and which text each is in."""
    before, after, owners = [], [], []
    first, then = said.starts.tolist(), changed.starts.tolist()
    for text, some in enumerate(edits):
        new = {
            tuple(one): then[text] + at for at, one in enumerate(changed.words[then[text] : then[text + 1]].tolist())
        }
        for number in range(first[text], first[text + 1]):
            start, end = said.words[number].tolist()
            touched = any(one.start < end and start < one.end for one in some)
            place = None if touched else new.get(core_edits.moved(start, end, some))
            if place is not None:
                before.append(number)
                after.append(place)
                owners.append(text)
    return np.array(before, np.int64), np.array(after, np.int64), np.array(owners, np.int64)
