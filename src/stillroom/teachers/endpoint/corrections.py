"""What a text corrects that a model wrote in place of another, and when it is no correction of it.

A model that is asked to correct writes a whole text and marks nothing, so what it corrects is found by alignment
(`stillroom.core.edits`). It may talk beside that: where the text is a single line and it wrote several, the line that
changes least is what it wrote. And it may write something else altogether: a refusal in words, an answer to the text,
the same thing said better. Such a text tells of no mistakes, so one that changes more than half of the chunks (and more
than two) is no answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from stillroom.core import edit_tags, edits, proofs, spelling

#: Why a text that was written is no correction: it changes too much, or is far longer than what it should correct.
REWRITTEN, TOO_LONG = "rewritten", "too long"
#: What is counted: changes; of them those that no tag says, which are not learned; replies that say something beside.
CHANGES, BEYOND_TAGS, TALK = "changes", "changes beyond tags", "talk beside a correction"
_MOST, _FEW = 0.5, 2
_TIMES, _MORE = 2, 8  # so many times as many chunks, and some: nothing is aligned that is longer
_QUOTES = (('"', '"'), ("“", "”"), ("'", "'"), ("`", "`"))


@final
@dataclass(frozen=True)
class Correction:
    """The corrected text, or why there is none, and what was counted."""

    text: str | None
    why: str = ""
    tally: Mapping[str, int] | None = None


def read(written: str, source: str) -> Correction:
    """What a text that is not empty makes of the source."""
    lines = [one for one in (_unquoted(line, source) for line in written.strip().splitlines()) if one]
    if not lines:
        return Correction(None, REWRITTEN)
    talks = len(source.strip().splitlines()) <= 1 < len(lines)
    texts = lines if talks else [_unquoted(written, source)]
    words = [one.text for one in edits.chunks(source)]
    known = {one: _changed(words, one) for one in dict.fromkeys(texts) if not _is_longer(one, words)}
    if not known:
        return Correction(None, TOO_LONG)
    found = min(known, key=lambda one: known[one])
    if known[found] > max(_FEW, _MOST * len(words)):
        return Correction(None, REWRITTEN)
    return Correction(found, tally=_tally(found, source, talks=talks))


def _tally(corrected: str, source: str, *, talks: bool) -> Mapping[str, int]:
    marks = proofs.reference(source, corrected, is_word=spelling.dictionary().__contains__).marks
    said = {one.at for one in marks if one.tag != edit_tags.OTHER}  # a chunk has room for one
    return Counter({CHANGES: len(marks), BEYOND_TAGS: len(marks) - len(said), TALK: int(talks)})


def _changed(words: list[str], text: str) -> int:
    """How many chunks of either side are changed."""
    changes = edits.changes(words, [one.text for one in edits.chunks(text)])
    return sum(max(one.last - one.first, len(one.replacement)) for one in changes)


def _is_longer(text: str, words: list[str]) -> bool:
    return len(edits.chunks(text)) > _TIMES * len(words) + _MORE


def _unquoted(text: str, source: str) -> str:
    """A text without the quotation marks that a model puts around one that has none."""
    text, bare = text.strip(), source.strip()
    for opens, closes in _QUOTES:
        inside = len(text) > 1 and text[0] == opens and text[-1] == closes
        if inside and not (bare.startswith(opens) and bare.endswith(closes)):
            return text[1:-1].strip()
    return text
