"""Takes out of a tokenizer what a corpus never uses: its table of vectors is most of a small student.

Texts of the corpus are read as before, piece by piece; in any other text, what was known stays known: every single
character (or byte) keeps its piece, so a word whose own piece is gone falls into smaller ones and never into the
unknown (the idea of Abdaoui et al. 2010.05609; the closure is ours).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.errors import MismatchError, Problem

_TODO = 'Take `vocabulary = "teacher"`.'


@final
@dataclass(frozen=True)
class Trimmed:
    """A smaller tokenizer, and which of the old ids its ids were, in order."""

    tokenizer: str
    kept: NDArray[np.int64]


def trim(tokenizer: str, counts: NDArray[Any], *, min_count: int = 1, always: Iterable[int] = (0,)) -> Trimmed:
    """The tokenizer with the ids seen at least so often, those always needed, and whatever keeps words known.

    `counts` is by id. Ids stay in their old order.

    Raises:
        MismatchError: a tokenizer whose words can't be kept known so.
    """
    data: dict[str, Any] = json.loads(tokenizer)
    model, ids = data["model"], _ids(data)
    seen = {token for token, place in ids.items() if place < len(counts) and counts[place] >= min_count}
    named = {str(one["content"]) for one in data.get("added_tokens") or []} | set(_named(data.get("post_processor")))
    needed = set(always)
    wanted = seen | (named & set(ids)) | {token for token, place in ids.items() if place in needed}
    wanted |= {one for one in (model.get("unk_token"),) if one in ids}
    closures = {"WordPiece": _word_piece, "BPE": _bpe, "Unigram": _unigram}
    if model.get("type") not in closures:
        expected = f"one of {', '.join(closures)}"
        raise MismatchError(Problem("student.vocabulary", f"a tokenizer `{model.get('type')}`", expected, _TODO))
    wanted = closures[model["type"]](model, wanted)
    kept = np.array(sorted({ids[token] for token in wanted}), dtype=np.int64)
    renumbered = {int(old): new for new, old in enumerate(kept)}
    fresh = {token: renumbered[place] for token, place in ids.items() if place in renumbered}
    _rewrite(data, fresh)
    return Trimmed(json.dumps(data, ensure_ascii=False), kept)


def _ids(data: dict[str, Any]) -> dict[str, int]:
    vocabulary = data["model"].get("vocab") or {}
    if isinstance(vocabulary, list):
        vocabulary = {piece: place for place, (piece, _) in enumerate(vocabulary)}
    return {**vocabulary, **{one["content"]: one["id"] for one in data.get("added_tokens") or []}}


def _named(processor: Any) -> Iterable[str]:
    """The tokens that are put around a text."""
    if not processor:
        return
    for part in processor.get("processors", ()):
        yield from _named(part)
    if isinstance(processor.get("special_tokens"), dict):
        for one in processor["special_tokens"].values():
            yield from one["tokens"]
    for name in ("cls", "sep"):
        if name in processor:
            yield processor[name][0]


def _word_piece(model: dict[str, Any], wanted: set[str]) -> set[str]:
    """Every single character, inside a word and at its start.

    The longest piece that fits is taken, one after the other, and a place where none fits makes the word unknown.
    If each piece's characters are pieces themselves, no such place comes in, or goes, when pieces are taken out.
    """
    prefix, limits = model["continuing_subword_prefix"], set(model["vocab"])

    def characters(token: str) -> list[str]:
        inner = token.removeprefix(prefix)
        first = [prefix + inner[:1]] if token.startswith(prefix) else [inner[:1]]
        return first + [prefix + one for one in inner[1:]]

    singles = {token for token in limits if token and characters(token) == [token]}
    for token in limits - singles - _bracketed(limits):
        missing = [one for one in characters(token) if one not in limits]
        if missing and token != prefix:
            found = f"a piece `{token}` without a piece `{missing[0]}`"
            raise MismatchError(Problem("student.vocabulary", found, "a piece for each character of a piece", _TODO))
    return wanted | singles


def _bracketed(tokens: set[str]) -> set[str]:
    """Pieces that no word can hold, such as `[unused7]`: punctuation is split off before."""
    return {token for token in tokens if token.startswith("[") and token.endswith("]")}


def _bpe(model: dict[str, Any], wanted: set[str]) -> set[str]:
    """Every single character or byte, and whatever a kept token is merged from; other merges go."""
    if model.get("continuing_subword_prefix"):
        found = "pairs of tokens with a prefix"
        raise MismatchError(Problem("student.vocabulary", found, "pairs that are simply joined", _TODO))
    suffix = model.get("end_of_word_suffix") or ""
    pairs = [tuple(one.split(" ", 1)) if isinstance(one, str) else tuple(one) for one in model["merges"]]
    made_from: dict[str, list[str]] = {}
    for left, right in pairs:
        made_from.setdefault(left + right, []).extend((left, right))
    made = set(made_from)
    kept = wanted | {one for one in model["vocab"] if len(one.removesuffix(suffix)) <= 1 or one not in made}
    waiting = [one for one in kept if one in made_from]
    while waiting:
        for part in made_from[waiting.pop()]:
            if part not in kept:
                kept.add(part)
                waiting += [part] if part in made_from else []
    model["merges"] = [list(pair) for pair in pairs if "".join(pair) in kept and set(pair) <= kept]
    return kept


def _unigram(model: dict[str, Any], wanted: set[str]) -> set[str]:
    """Every single character and byte, and each piece with a character that stands nowhere alone."""
    pieces = [piece for piece, _ in model["vocab"]]
    singles = {one for one in pieces if len(one) == 1}
    alone = singles | {one for one in pieces if one.startswith("<") and one.endswith(">")}
    unknown = {pieces[model["unk_id"]]} if model.get("unk_id") is not None else set()
    return wanted | alone | unknown | {one for one in pieces if not set(one) <= singles}


def _rewrite(data: dict[str, Any], fresh: dict[str, int]) -> None:
    """Put the new ids wherever ids stand."""
    model = data["model"]
    if isinstance(model["vocab"], list):
        pieces = model["vocab"]
        model["vocab"] = [one for one in pieces if one[0] in fresh]
        if model.get("unk_id") is not None:
            model["unk_id"] = fresh[pieces[model["unk_id"]][0]]
    else:
        model["vocab"] = {token: fresh[token] for token in model["vocab"] if token in fresh}
    for one in data.get("added_tokens") or []:
        one["id"] = fresh[one["content"]]
    _renumber(data.get("post_processor"), fresh)
    data["padding"] = data["truncation"] = None


def _renumber(processor: Any, fresh: dict[str, int]) -> None:
    if not processor:
        return
    for part in processor.get("processors", ()):
        _renumber(part, fresh)
    if isinstance(processor.get("special_tokens"), dict):
        for one in processor["special_tokens"].values():
            one["ids"] = [fresh[token] for token in one["tokens"]]
    for name in ("cls", "sep"):
        if name in processor:
            processor[name][1] = fresh[processor[name][0]]
