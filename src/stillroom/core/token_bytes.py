"""What each token of a tokenizer spells, in bytes: so that tokens of two tokenizers can be told to be the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"


def spelled(tokenizer: str) -> tuple[bytes | None, ...]:
    """By id, the bytes of text that a token stands for; none for numbers without a token.

    Of a tokenizer over bytes they are exact, also where a token is a part of a character. A token that is added whole
    stands for its name, where a text has it.
    """
    data: dict[str, Any] = json.loads(tokenizer)
    vocabulary = data["model"].get("vocab") or {}
    if isinstance(vocabulary, list):
        vocabulary = {piece: place for place, (piece, _) in enumerate(vocabulary)}
    bytewise = "ByteLevel" in {*_kinds(data.get("pre_tokenizer")), *_kinds(data.get("decoder"))}
    alphabet = _alphabet()
    found: dict[int, bytes] = {}
    for piece, place in vocabulary.items():
        if bytewise and all(one in alphabet for one in piece):
            found[place] = bytes(alphabet[one] for one in piece)
        else:
            byte = _BYTE.fullmatch(piece)
            found[place] = bytes([int(byte[1], 16)]) if byte else piece.replace(_SPACE, " ").encode()
    found |= {one["id"]: one["content"].encode() for one in data.get("added_tokens") or []}
    return tuple(found.get(place) for place in range(max(found, default=-1) + 1))


def named(tokenizer: str) -> dict[int, str]:
    """The tokens that are added whole, by id: no text is spelled by them, so that they are known by their names."""
    return {one["id"]: one["content"] for one in json.loads(tokenizer).get("added_tokens") or []}


def silent(tokenizer: str) -> frozenset[int]:
    """Those of them that are left out of a text that is written."""
    return frozenset(one["id"] for one in json.loads(tokenizer).get("added_tokens") or [] if one["special"])


def _kinds(part: Any) -> Iterator[str]:
    """The kinds of a part of a tokenizer, and of what it is put together from."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        for more in (*part.get("pretokenizers", ()), *part.get("decoders", ())):
            yield from _kinds(more)


def _alphabet() -> dict[str, int]:
    """The byte behind each character of a vocabulary over bytes: those that print as they are, the others moved up."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(moved)}
