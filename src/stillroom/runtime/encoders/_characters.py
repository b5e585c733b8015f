"""Which characters a tokenizer of word pieces drops, and which it takes for signs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

from tokenizers import Tokenizer

from stillroom.core import characters

_BETWEEN = "\U0001d306"  # a symbol that no normaliser changes
_AT_ONCE = 1024


@cache
def of_pieces(written: str) -> str:
    """Those that its normaliser drops, and those that its splitter takes for signs, as JSON."""
    tokenizer = Tokenizer.from_str(written)
    every = characters.every().replace(_BETWEEN, "")
    parts = [every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE)]
    dropped = [one for part in parts for one in _dropped(part, tokenizer)]
    signs = [one for part in parts for one in _signs(part, tokenizer)]
    return json.dumps({"dropped": characters.ranges(dropped), "signs": characters.ranges(signs)})


def _dropped(part: str, tokenizer: Tokenizer) -> Iterator[str]:
    changed = tokenizer.normalizer.normalize_str(part)
    if not changed:
        yield from part
    elif changed.replace(" ", "") != part:
        left = tokenizer.normalizer.normalize_str(_BETWEEN.join(part)).split(_BETWEEN)
        yield from (one for one, stays in zip(part, left, strict=True) if not stays)


def _signs(part: str, tokenizer: Tokenizer) -> Iterator[str]:
    if len(tokenizer.pre_tokenizer.pre_tokenize_str(part)) > 1:
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str("a".join(part))
        yield from (piece for piece, _ in pieces if len(piece) == 1 and piece != "a")
