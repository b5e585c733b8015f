"""The language of a proofreader: a tag for each word says what becomes of it.

    keep             it stays
    delete           it goes
    spell            the word of the dictionary that fits best: `stillroom.core.spelling` finds it
    ending:y>ies     another ending
    form:past        this form of an irregular verb
    number           the other number of an irregular noun
    word:their       this word instead
    before:the       this word before it
    after:,          this sign behind it
    capital, lower   its first letter
    join, hyphen     one with the chunk behind it
    exchange         it and the chunk behind it change places

A tag stands at the first token of a chunk; what stands on other tokens counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stillroom.core import artifact, edits, english
from stillroom.core.edits import Change, Chunk, Edit
from stillroom.core.english import Topic

KEEP, DELETE, SPELL = "keep", "delete", "spell"
_STOPS = (".", "!", "?")
OTHER = "other"  # a change that no tag says: counted, and never learned
_VERB = {form: line for line in english.VERBS for form in line}
_NUMBER = dict(english.NOUNS) | {many: one for one, many in english.NOUNS.items()}
_CONFUSED = [(topic, tuple(some.split())) for topic, every in english.CONFUSED.items() for some in every]
_WORDS = tuple(dict.fromkeys(word for _, some in _CONFUSED for word in some))
_BEFORE = tuple(dict.fromkeys(word for some in english.LEFT_OUT.values() for word in some.split()))

_OF_NOUNS = {"", "s", "es", "y", "ies"}
_OF_VERBS = {"", "s", "es", "d", "ed", "ing", "e", "y", "ied", "ies", "n", "ying"}
#: What a tag that names no word is a matter of.
_ALONE: Mapping[str, Topic] = {
    "spell": "spelling", "form": "verb form", "number": "number", "after": "punctuation", "capital": "capitals",
    "lower": "capitals", "join": "spacing", "hyphen": "spacing", "exchange": "word order",
}  # fmt: skip

#: Every tag, in the order in which outputs stand.
TAGS: tuple[str, ...] = (
    KEEP, DELETE, SPELL, "capital", "lower", "join", "hyphen", "exchange", "number",
    *(f"form:{form}" for form in english.FORMS),
    *dict.fromkeys(f"ending:{old}>{new}" for old, new in english.ENDINGS),
    *(f"word:{word}" for word in _WORDS),
    *(f"before:{word}" for word in _BEFORE),
    *(f"after:{sign}" for sign in english.SIGNS),
)  # fmt: skip

#: What finds the word that is meant: of a chunk's number among the chunks of a text; None: none is near.
Speller = Callable[[Sequence[Chunk], int], str | None]


def digest() -> str:
    """Of every tag, and of what they are told by."""
    told = [TAGS, english.CONFUSED, english.VERBS, english.NOUNS, english.ENDINGS, english.LEFT_OUT, english.SIGNS]
    return artifact.sha256(artifact.canonical(told))


def told() -> dict[str, Any]:
    """The whole language, as JSON: for a script that makes the same edits of the same tags."""
    return {
        "tags": list(TAGS), "stops": list(_STOPS), "signs": list(english.SIGNS), "forms": list(english.FORMS),
        "verbs": [list(line) for line in english.VERBS], "numbers": dict(_NUMBER),
        "confused": [[topic, list(some)] for topic, some in _CONFUSED],
        "left_out": [[topic, some.split()] for topic, some in english.LEFT_OUT.items()],
        "alone": dict(_ALONE), "of_nouns": sorted(_OF_NOUNS), "of_verbs": sorted(_OF_VERBS),
    }  # fmt: skip


def tag_of(source: Sequence[Chunk], change: Change, *, is_word: Callable[[str], bool]) -> tuple[str, int]:
    """The tag that says a change, and the number of the chunk that it stands on; `OTHER` where none does."""
    old = [one.text for one in source[change.first : change.last]]
    new, at = list(change.replacement), change.first
    if not old:
        return _put_in(source, change)
    if not new:
        return (DELETE, at) if len(old) == 1 else (OTHER, at)
    if len(old) == 2:
        joined = dict(zip(edits.joined(*old), ("join", "hyphen"), strict=True))
        return joined.get(new[0], OTHER) if len(new) == 1 else "exchange", at
    if len(new) == 2:
        return (SPELL if "".join(new).lower() == old[0].lower() else OTHER), at
    return _replaced(old[0], new[0], is_word=is_word), at


def _put_in(source: Sequence[Chunk], change: Change) -> tuple[str, int]:
    word = " ".join(change.replacement)
    if word in english.SIGNS and change.first:
        return f"after:{word}", change.first - 1
    known = word.lower() in _BEFORE and change.first < len(source)
    return (f"before:{word.lower()}" if known else OTHER), min(change.first, len(source) - 1)


def _replaced(old: str, new: str, *, is_word: Callable[[str], bool]) -> str:
    low, wanted = old.lower(), new.lower()
    if low == wanted:
        return "capital" if new == _capital(old) else "lower" if new == low and old == _capital(low) else OTHER
    if not old[0].isalnum():
        return OTHER
    if _VERB.get(low) and wanted in _VERB[low] and low != wanted and not {low, wanted} & set(_WORDS):
        return f"form:{english.FORMS[_VERB[low].index(wanted)]}"
    if _NUMBER.get(low) == wanted:
        return "number"
    if not is_word(old):
        return SPELL
    if wanted in _WORDS:
        return f"word:{wanted}"
    found = next(
        (f"ending:{one}>{other}" for one, other in english.ENDINGS if with_ending(low, one, other) == wanted), ""
    )
    return found or (SPELL if edits.near(low, wanted) else OTHER)


def edit_of(tag: str, source: Sequence[Chunk], at: int, *, text: str, spell: Speller) -> Edit | None:
    """The edit that a tag on a chunk means; None where it changes nothing, or can't be made here."""
    chunk = source[at]
    name, _, rest = tag.partition(":")
    if name == "before":
        return _before(rest, source, at, text)
    if name == "after":
        return _after(rest, source, at, text)
    if name in ("join", "hyphen", "exchange"):
        return _with_next(name, source, at, text)
    if name == "delete":
        return _without(source, at, text)
    new = _instead(name, rest, source, at, spell)
    if new is not None and "’" in text:
        new = new.replace("'", "’")
    return None if new is None or new == chunk.text else Edit(chunk.start, chunk.end, new)


def _instead(name: str, rest: str, source: Sequence[Chunk], at: int, spell: Speller) -> str | None:
    word = source[at].text
    low = edits.plain(word).lower()
    if name == "capital":
        return _capital(word)
    if name == "lower":
        return word.lower() if word == _capital(word.lower()) else None
    if name == "spell":
        # A dictionary has no names: what is written large inside a sentence is left alone.
        found = spell(source, at) if word[:1].islower() or _begins(source, at) else None
    elif name == "ending":
        found = with_ending(low, *rest.split(">"))
    elif name == "form":
        found = _VERB[low][english.FORMS.index(rest)] if low in _VERB else None
    elif name == "number":
        found = _NUMBER.get(low)
    else:
        found = rest if name == "word" else None
    return None if found is None else cased(found, like=word, first=_begins(source, at))


def topic_of(tag: str, word: str) -> Topic:
    """What a tag on a word is a matter of; what no tag says counts as another word."""
    name, _, rest = tag.partition(":")
    low = word.lower()
    if name in ("word", "before"):
        for topic, some in _CONFUSED if name == "word" else ():
            if rest in some and low in some:
                return topic
        if name == "before":
            return next(topic for topic, some in english.LEFT_OUT.items() if rest in some.split())
        return next(topic for topic, some in _CONFUSED if rest in some)
    if name == "ending":
        return "number" if set(rest.split(">")) <= _OF_NOUNS else _kind_of_ending(rest)
    if name == "delete" and not word[:1].isalnum():
        return "punctuation"
    if name == "delete":
        return "article" if low in ("a", "an", "the") else "extra word"
    return _ALONE.get(name, "confused words")


def _kind_of_ending(rest: str) -> Topic:
    return "verb form" if set(rest.split(">")) <= _OF_VERBS else "punctuation" if "'" in rest else "word form"


def with_ending(low: str, old: str, new: str) -> str | None:
    """A word with another ending; None where it does not end so, or too little would be left."""
    if not low.endswith(old) or len(low) - len(old) < 2:
        return None
    return low[: len(low) - len(old)] + new


def _begins(source: Sequence[Chunk], at: int) -> bool:
    """Whether a chunk begins a sentence, as far as signs tell."""
    return at == 0 or source[at - 1].text in _STOPS


def _after(sign: str, source: Sequence[Chunk], at: int, text: str) -> Edit | None:
    """A sign behind a chunk; none where one is, nor a stop at the end of what has none and so may be a heading."""
    end = source[at].end
    heading = at == len(source) - 1 and not any(one.text in _STOPS for one in source)
    there = source[at].text, text[end : end + 2].strip()[:1]
    if set(there) & set(english.SIGNS) or (sign in _STOPS and heading):
        return None
    return Edit(end, end, _spaced(text) + sign)


def _before(word: str, source: Sequence[Chunk], at: int, text: str) -> Edit:
    chunk = source[at]
    written = "I" if word == "i" else word
    begins = _begins(source, at)
    if begins and chunk.text == _capital(chunk.text.lower()) and chunk.text != "I":
        return Edit(chunk.start, chunk.end, f"{_capital(written)} {chunk.text.lower()}")
    return Edit(chunk.start, chunk.start, f"{_capital(written) if begins else written} ")


def _with_next(name: str, source: Sequence[Chunk], at: int, text: str) -> Edit | None:
    if at + 1 >= len(source):
        return None
    one, other = source[at], source[at + 1]
    between = text[one.end : other.start]
    if name != "exchange":
        return Edit(one.end, other.start, "" if name == "join" else "-") if between.isspace() else None
    first, second = other.text, one.text
    if at == 0 and one.text != "I":
        first, second = _capital(first), second.lower()
    return Edit(one.start, other.end, f"{first}{between}{second}")


def _without(source: Sequence[Chunk], at: int, text: str) -> Edit:
    """A chunk goes with the space before it; the first of a text with the one behind, and gives its capital away."""
    chunk = source[at]
    if at:
        return Edit(source[at - 1].end if text[source[at - 1].end : chunk.start].isspace() else chunk.start,
                    chunk.end, "")  # fmt: skip
    if len(source) == 1:
        return Edit(0, len(text), "")
    follower = source[1]
    return Edit(chunk.start, follower.end, _capital(follower.text) if chunk.text[:1].isupper() else follower.text)


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]


def cased(found: str, *, like: str, first: bool) -> str:
    """A word with the capitals of the one whose place it takes."""
    if len(like) > 1 and like.isupper():
        return found.upper()
    if found == "i" or found.startswith("i'"):
        return _capital(found)
    return _capital(found) if like[:1].isupper() and (like != "I" or first) else found


def _spaced(text: str) -> str:
    """How this text parts a word from the sign behind it."""
    return " " if re.search(r"\s[,.](\s|$)", text) else ""


def forms(low: str) -> list[str]:
    """The other forms of an irregular verb; none: it is none, or has words of its own among those confused."""
    return [] if low in _WORDS else [one for one in dict.fromkeys(_VERB.get(low, ())) if one not in {low, *_WORDS}]


def other_number(low: str) -> str | None:
    """One of an irregular noun's several, or the other way round."""
    return _NUMBER.get(low)
