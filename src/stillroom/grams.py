"""Runs of thirteen words, as numbers: what two texts have in common word for word, wherever it stands in them.

Words are runs of letters and digits in a normalised text, so that neither punctuation nor case hides a quotation; tags
of HTML and addresses of pages are no words, for whole sites have them in common. Thirteen is the longest that Brown et
al. (2005.14165, appendix C) took: shorter runs are often no more than a turn of phrase. Each word is hashed, and each
run out of its words' hashes, for many texts at a time; a test holds it to a search that compares the words themselves.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillroom import minhash

WORDS = 13
_NO_WORD = re.compile(r"[\W_]+")
_MARKUP = re.compile(r"</?[a-z][^<>]*>|\b(?:https?://|www\.)\S+")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it loses a bit
_BLANK = ord(" ")


def plain(text: str) -> str:
    """The text as all searches compare it: compatibility forms as one (NFKC), case folded, white space as one blank."""
    if not text.isascii():  # halves of characters, which no file can hold, are put aside too
        text = unicodedata.normalize("NFKC", text).encode("utf-8", "replace").decode("utf-8")
    return minhash.normalised(text)


def words(text: str) -> str:
    """The words of a plain text, one blank between two."""
    if "&" in text:
        text = html.unescape(text)
    return _NO_WORD.sub(" ", _MARKUP.sub(" ", text)).strip()


def hashes(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]:
    """The runs of some plain texts: the hash of each, the text that it is of, and how many words each text has."""
    spaced = [words(text) for text in texts]
    counts = np.array([text.count(" ") + 1 if text else 0 for text in spaced], dtype=np.int64)
    hashed = _hashed(" ".join(text for text in spaced if text))
    owners = np.repeat(np.arange(len(texts)), counts)
    starts = np.flatnonzero(owners[WORDS - 1 :] == owners[: max(0, len(owners) - WORDS + 1)])
    runs = np.zeros(len(starts), dtype=np.uint64)
    for place in range(WORDS):
        runs = runs * _BASE + hashed[starts + place]
    return minhash.mixed(runs), owners[starts], counts


def _hashed(text: str) -> NDArray[np.uint64]:
    """A hash for each word of a text in which one blank stands between two: Σ mixed(character) · baseⁱ, mixed again."""
    if not text:
        return np.empty(0, dtype=np.uint64)
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64)
    starts = np.concatenate([[0], np.flatnonzero(codes == _BLANK) + 1])
    lengths = np.diff(np.append(starts, len(codes) + 1))
    inside = np.arange(len(codes)) - np.repeat(starts, lengths)[: len(codes)]
    powers = np.cumprod(np.full(int(lengths.max()), _BASE, dtype=np.uint64))
    terms = minhash.mixed(codes) * powers[inside]
    terms[codes == _BLANK] = 0
    return minhash.mixed(np.add.reduceat(terms, starts))
