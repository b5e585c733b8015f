"""Which entries of a tokenizer's vocabulary are words by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_STARTS = ("Ġ", "▁")


def whole_words(tokenizer: Tokenizer) -> dict[str, int]:
    """Words and their numbers: letters only, no continuation, and a word's start where the vocabulary marks those."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=False)
    marked = any(token.startswith(_STARTS) for token in vocabulary)
    bytewise = any(token.startswith("Ġ") for token in vocabulary)  # letters beyond ASCII are spelled otherwise there
    found: dict[str, int] = {}
    for token, number in sorted(vocabulary.items(), key=lambda item: item[1]):
        word = token[1:] if token.startswith(_STARTS) else token
        if word.isalpha() and (word.isascii() or not bytewise) and marked == (word != token):
            found.setdefault(word, number)
    return found
