"""Texts as documents may show them: with all words put out, or with those alone that might be personal.

What is put out keeps its length and its signs, so that what stood somewhere in a text stands there afterwards.
"""

from __future__ import annotations

import re

#: Addresses and handles; whatever holds a digit; words, of which those with a capital may be names.
_PERSONAL = re.compile(r"\S*@\S+|(?:https?://|www\.)\S+|\S*\d\S*|[^\W\d_][\w'’\-]*")
_LETTER = re.compile(r"[^\W_]")


def veiled(text: str) -> str:
    """A text without any word of it: an x stands for each letter and digit."""
    return _LETTER.sub("x", text)


def redacted(text: str) -> str:
    """A text without addresses, without anything that holds a digit, and without words with a capital.

    By their looks alone: names in small letters stay, and the first word of a sentence is put out as names are.
    """
    return _PERSONAL.sub(lambda found: veiled(found[0]) if _personal(found[0]) else found[0], text)


def _personal(word: str) -> bool:
    """Whether a match of `_PERSONAL` is: its last branch takes every word, for capitals have no sign of their own."""
    plain = word.replace("’", "").replace("'", "").replace("-", "").isalpha()
    return not plain or not word.islower()
