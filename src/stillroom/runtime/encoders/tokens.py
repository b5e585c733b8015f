"""Token ids from a tokenizer of the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Encoding, Tokenizer

from stillroom.core import scripted, token_bytes
from stillroom.core.scripted import Scripted
from stillroom.core.words import Traced, Words
from stillroom.runtime.encoders import (
    Encode,
    EncodeChunks,
    Ids,
    Reach,
    ReadWords,
    Trace,
    WordEncoder,
    _characters,
    whole,
)

FILE = "tokenizer.json"
CHARACTERS = "characters.json"
_PIECES = {"model": "WordPiece", "normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer"}


@final
class Tokens(WordEncoder):
    """Token ids from the `tokenizer.json` in the student's folder."""

    kind: Literal["tokens"] = "tokens"
    special: bool
    """Whether to add the tokens that a transformer expects around a text."""
    max_tokens: int | None = Field(None, ge=1)
    """Longer texts are cut, special tokens kept; None: they are not."""
    unknown: int = Field(0, ge=0)
    """The id for a text that has no token at all."""

    def open(self, folder: Path) -> Encode:
        """The tokenizer in a folder, without padding; a text without tokens gets `unknown`."""
        return self.read((folder / FILE).read_text(encoding="utf-8"))

    def in_browser(self, folder: Path) -> Scripted:
        """Word pieces by BERT's rules; the tokenizer tells which characters are signs, and which it drops."""
        written = (folder / FILE).read_text(encoding="utf-8")
        unfit = _no_word_pieces(json.loads(written))
        if unfit:
            todo = "Export a student with word pieces, or one of words and n-grams (`bag`)."
            raise scripted.refused(unfit, expected="word pieces by the rules of BERT", todo=todo)
        told = {**self.model_dump(mode="json"), "file": FILE, "characters": CHARACTERS}
        return Scripted(told, files=(FILE,), made={CHARACTERS: _characters.of_pieces(written)})

    def read(self, written: str) -> Encode:
        """The same for a tokenizer as `tokenizer.json` would hold it."""
        return self._encode(self.ready(Tokenizer.from_str(written)))

    def open_words(self, folder: Path) -> ReadWords:
        """The same with the words that the tokens make."""
        return self.read_words((folder / FILE).read_text(encoding="utf-8"))

    def read_words(self, written: str) -> ReadWords:
        """The same for a tokenizer as `tokenizer.json` would hold it.

        A word is what the tokenizer cuts a text into before it looks for tokens. Of a text that is cut at `max_tokens`,
        the words beyond are not read.
        """
        tokenizer = self.ready(Tokenizer.from_str(written))
        nothing = np.array([self.unknown], dtype=np.int32)

        def read(texts: Sequence[str]) -> tuple[list[Ids], Words]:
            found = tokenizer.encode_batch(list(texts), add_special_tokens=self.special)
            ids = [np.array(one.ids, dtype=np.int32) if one.ids else nothing for one in found]
            return ids, words_of(found)

        return read

    def trace(self, written: str) -> Trace:
        """The same for one text, with where each token stands too."""
        tokenizer = self.ready(Tokenizer.from_str(written))

        def trace(text: str) -> Traced:
            found = tokenizer.encode(text, add_special_tokens=self.special)
            ids = np.array(found.ids or [self.unknown], dtype=np.int32)
            return Traced(ids, np.array(found.offsets or [(0, 0)], dtype=np.int32), words_of([found]))

        return trace

    def read_each(self, written: str) -> ReadWords:
        """The same where each token is to be told by the one before it: a word each, but for the first of a text.

        That first one is of no text. Places are bytes, up to the end of the text where it is not cut; also inside a
        character where tokens are bytes.
        """
        tokenizer = self.ready(Tokenizer.from_str(written))
        sizes = np.array([len(one or b"") for one in token_bytes.spelled(written)], dtype=np.int64)

        def read(texts: Sequence[str]) -> tuple[list[Ids], Words]:
            found = tokenizer.encode_batch(list(texts), add_special_tokens=self.special)
            ids = [np.array(one.ids, dtype=np.int32) for one in found]
            counts = np.array([len(one) - 1 for one in ids], dtype=np.int64)
            inside = np.concatenate([np.arange(count) for count in [0, *counts.tolist()]]).astype(np.int64)
            places = [_bytes(one, text, sizes[one.ids[1:]]) for one, text in zip(found, texts, strict=True)]
            nothing = np.zeros((0, 2), dtype=np.int32)
            return ids, Words(inside, np.concatenate([nothing, *places]), counts)

        return read

    def trace_each(self, written: str) -> Trace:
        """The same for one text, with the characters that each token stands at too."""
        trace, read = self.trace(written), self.read_each(written)
        return lambda text: replace(trace(text), words=read([text])[1])

    def open_reach(self, folder: Path) -> Reach:
        """Of a text that is cut, up to the end of its last token that is kept."""
        if self.max_tokens is None:
            return whole
        tokenizer = self.ready(Tokenizer.from_file(str(folder / FILE)))

        def reach(texts: Sequence[str]) -> list[int]:
            found = tokenizer.encode_batch(list(texts), add_special_tokens=self.special)
            return [
                max((end for _, end in one.offsets), default=0) if one.overflowing else len(text)
                for text, one in zip(texts, found, strict=True)
            ]

        return reach

    def open_both(self, folder: Path) -> tuple[Encode, EncodeChunks]:
        """The tokenizer for texts, and for chunks that it would split anyway, which it reads in half the time.

        Opened once for both: that is a tenth of a first prediction.
        """
        tokenizer = self.ready(Tokenizer.from_file(str(folder / FILE)))
        return self._encode(tokenizer), _encode_chunks(tokenizer)

    def _encode(self, tokenizer: Tokenizer) -> Encode:
        nothing = np.array([self.unknown], dtype=np.int32)

        def encode(texts: Sequence[str]) -> list[Ids]:
            found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=self.special)
            return [np.array(one.ids, dtype=np.int32) if one.ids else nothing for one in found]

        return encode

    def ready(self, tokenizer: Tokenizer) -> Tokenizer:
        """The tokenizer without padding, and cut where it is to be."""
        tokenizer.no_padding()
        if self.max_tokens is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(self.max_tokens)
        return tokenizer


def _bytes(found: Encoding, text: str, sizes: NDArray[np.int64]) -> NDArray[np.int32]:
    """The bytes of a text that each of its tokens but the first stands for, from where the one before it ends.

    `sizes` are those of what the tokens spell. Where that is not what stands in the text, the characters decide that
    they were read from: of several tokens for one character, the first has it.
    """
    ends = np.cumsum([0, *(len(character.encode()) for character in text)])
    low, high = ends[np.array(found.offsets, dtype=np.int64).reshape(-1, 2)[1:]].T
    own = np.cumsum(sizes)
    if not ((low <= own) & (own <= high)).all():
        own = np.maximum.accumulate(high)
    if len(own) and not found.overflowing:
        own[-1] = ends[-1]
    return np.stack([np.concatenate([[0], own])[:-1], own], axis=1).astype(np.int32)


def words_of(found: Sequence[Encoding]) -> Words:
    """The words of encoded texts: what each token is a part of, and the characters from the first part to the last.

    A token that is of no word (one that was added around a text) is of none, and so is a word without characters.
    """
    counts = np.array([len(one) for one in found], dtype=np.int64)
    owners = chain.from_iterable(one.word_ids for one in found)
    of = np.array([-1 if one is None else one for one in owners], dtype=np.int64)
    offsets = chain.from_iterable(chain.from_iterable(one.offsets for one in found))
    characters = np.fromiter(offsets, np.int32, 2 * len(of)).reshape(-1, 2)
    texts = np.repeat(np.arange(len(found)), counts)
    begins = np.ones(len(of), dtype=np.bool_)
    begins[1:] = (of[1:] != of[:-1]) | (texts[1:] != texts[:-1])
    ends = np.append(begins[1:], True)[: len(of)]
    first, last = np.flatnonzero(begins & (of >= 0)), np.flatnonzero(ends & (of >= 0))
    places = np.stack([characters[first, 0], characters[last, 1]], axis=1)
    there = places[:, 1] > places[:, 0]
    first, places = first[there], places[there]
    starts = np.cumsum(counts) - counts
    return Words(first - starts[texts[first]], places, np.bincount(texts[first], minlength=len(found)))


def _encode_chunks(tokenizer: Tokenizer) -> EncodeChunks:
    def encode(chunks: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        found = tokenizer.encode(" ".join(chunks), add_special_tokens=False)
        starts = np.cumsum([0, *(len(chunk) + 1 for chunk in chunks[:-1])])
        # A token may begin with the space before its chunk; where it ends is certain.
        ends = np.array(found.offsets, dtype=np.int64).reshape(-1, 2)[:, 1]
        owners = np.searchsorted(starts, ends - 1, side="right") - 1
        return np.array(found.ids, dtype=np.int64), np.bincount(owners, minlength=len(chunks))

    return encode


def _no_word_pieces(tokenizer: Mapping[str, Any]) -> str:
    """What of a tokenizer the script for word pieces does not know; nothing: it knows all."""
    for part, kind in _PIECES.items():
        found = (tokenizer.get(part) or {}).get("type")
        if found != kind:
            return f"a tokenizer whose {part} is {found or 'none'}"
    around = (tokenizer.get("post_processor") or {}).get("type")
    if around not in (None, "TemplateProcessing"):
        return f"a tokenizer whose post_processor is {around}"
    moved = ("lstrip", "rstrip", "single_word", "normalized")
    odd = [one["content"] for one in tokenizer.get("added_tokens", ()) if any(one[name] for name in moved)]
    return f"a tokenizer with tokens that are looked for by rules of their own, such as `{odd[0]}`" if odd else ""
