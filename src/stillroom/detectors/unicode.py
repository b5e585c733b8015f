"""Characters that people don't see, or take for others: how words are hidden from readers and from other detectors."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import ClassVar, Literal, final

from stillroom.detectors import Detector, Finding, Look, Place

_HOMOGLYPHS_ALONE = 3  # letters of a word that may be all of another script

#: By Unicode's table of confusable characters (UTS 39), those that are one letter of ASCII to the eye.
_CYRILLIC = dict(zip("асԁеһіјӏкорԛѕуԝхѵАВСЕНІЈКМОРԚЅТУԜХѴҮ", "acdehijlkopqsywxvABCEHIJKMOPQSTYWXVY", strict=True))
_GREEK = dict(zip("αικνορτυχγϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aikvoptuxycjABEZHIKMNOPTYX", strict=True))
_ARMENIAN = dict(zip("օոսհցզ", "onuhgq", strict=True))
_ALIKE = _CYRILLIC | _GREEK | _ARMENIAN

#: The characters that this file is about; most texts have none of them and are done with at once.
_ODD = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"  # controls
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufe00-\ufe0f\U000e0000-\U000e01ef]"
)
#: More marks than any writing system puts on a letter.
_RUN = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{5,}")
_STYLED = re.compile(
    "[\u24b6-\u24e9\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff\U0001f110-\U0001f189]+"
)
_WORD = re.compile(r"[^\W\d_]+")
_OVERRIDES, _MARKS = "\u202d\u202e", "\u061c\u200e\u200f"
_BIDI = _OVERRIDES + _MARKS + "\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
_REGION = 6  # letters that name a region; no further is looked, or many tags would take the square of their number
_FLAG, _KEYCAP = "\U0001f3f4", "\u20e3"


@final
class Unicode(Detector):
    """Zero-width and control characters, tags, turned directions, styled letters, and letters of another script.

    What a writing system needs is left alone: joiners in Persian, in Indic scripts and in emoji, marks of direction
    beside letters that run from right to left, wide letters beside Chinese or Japanese, words of one script. Letters
    are replaced by those of ASCII that they look like (NFKC, or Unicode's table), all else by nothing.
    """

    clears: ClassVar[bool] = True

    kind: Literal["unicode"] = "unicode"

    def open(self) -> Look:
        """Nothing to load."""
        return look


def look(text: str, *, asked: str = "") -> Finding:
    """What is odd in a text."""
    if text.isascii() and not _ODD.search(text):
        return Finding("unicode")
    found = sorted([*_unseen(text), *_stacked(text), *_styled(text), *_mixed(text)])
    return Finding("unicode", tuple(_apart(found)))


def _apart(found: list[Place]) -> Iterator[Place]:
    done = 0
    for one in found:
        if one.start >= done:
            yield one
            done = one.end


def _unseen(text: str) -> Iterator[Place]:
    rightward = None  # looked for where it matters
    for match in _ODD.finditer(text):
        sign, at = match[0], match.start()
        before, after = text[at - 1 : at], text[at + 1 : at + 2]
        if sign in _BIDI:
            if rightward is None:
                rightward = any(unicodedata.bidirectional(one) in ("R", "AL") for one in text)
            if sign in _OVERRIDES or not rightward:
                yield Place(at, at + 1, "direction", "")
        elif "\U000e0000" <= sign <= "\U000e007f":
            if not _in_flag(text, at):
                yield Place(at, at + 1, "tag", "")
        elif "\ufe00" <= sign <= "\ufe0f" or sign >= "\U000e0100":
            bare = not before or before.isspace() or _ODD.match(before) is not None
            if bare or (before.isalnum() and not _takes(before, after)):
                yield Place(at, at + 1, "variation", "")
        elif unicodedata.category(sign) == "Cc":
            yield Place(at, at + 1, "control", "")
        elif not (sign == "\ufeff" and at == 0) and not _needed(sign, before, after):
            yield Place(at, at + 1, "soft hyphen" if sign == "\u00ad" else "zero-width", "")


def _needed(sign: str, before: str, after: str) -> bool:
    """Whether a sign without width does something where it stands."""
    sides = [one for one in (before, after) if one]
    if sign == "\u200d" and any(unicodedata.category(one) in ("So", "Sk") or one == "\ufe0f" for one in sides):
        return True
    return any(unicodedata.category(one)[0] in "LM" and not _plain_script(one) for one in sides)


def _plain_script(letter: str) -> bool:
    """Whether a letter is of a script that needs no signs without width."""
    return unicodedata.name(letter, "").partition(" ")[0] in ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN")


def _takes(before: str, after: str) -> bool:
    """Whether a letter or digit has forms that are chosen by a sign behind it."""
    return after == _KEYCAP or unicodedata.name(before, "").startswith(("CJK", "MONGOLIAN", "PHAGS", "MYANMAR"))


def _in_flag(text: str, at: int) -> bool:
    """Whether a tag belongs to the flag of a region: a black flag, small letters and digits, and an end."""
    start = at
    while start and at - start <= _REGION and "\U000e0020" <= text[start - 1] <= "\U000e007e":
        start -= 1
    end = at
    while end < len(text) and end - at <= _REGION and "\U000e0020" <= text[end] <= "\U000e007e":
        end += 1
    closed = text[end : end + 1] == "\U000e007f"
    return closed and text[start - 1 : start] == _FLAG and end - start <= _REGION


def _stacked(text: str) -> Iterator[Place]:
    """More marks than any letter has."""
    for match in _RUN.finditer(text):
        yield Place(match.start(), match.end(), "marks", "")


def _styled(text: str) -> Iterator[Place]:
    """Letters and digits of ASCII in another dress."""
    wide = None
    for match in _STYLED.finditer(text):
        if match[0][0] >= "\uff10" and match[0][0] <= "\uff5a":
            if wide is None:
                wide = any(one.isalpha() and unicodedata.east_asian_width(one) == "W" for one in text)
            if wide:
                continue
        plain = unicodedata.normalize("NFKC", match[0])
        for at, sign in enumerate(match[0], start=match.start()):
            letter = unicodedata.normalize("NFKC", sign)
            if len(plain) > 1 and letter != sign and letter.isascii() and letter.isalnum():
                yield Place(at, at + 1, "styled", letter)


def _mixed(text: str) -> Iterator[Place]:
    """Letters of another script that are in a word of Latin ones, or make up a word that only looks Latin."""
    words = [match for match in _WORD.finditer(text) if not match[0].isascii()]
    if not any(sign in _ALIKE for match in words for sign in match[0]):
        return
    latin = sum(map(str.isascii, filter(str.isalpha, text)))
    foreign = [sign for match in words for sign in match[0] if _foreign(sign)]
    alone = all(sign in _ALIKE for sign in foreign) and latin >= 3 * len(foreign)
    for match in words:
        letters = sum(sign.isascii() for sign in match[0])
        if letters >= 2 or (alone and (letters == 1 or len(match[0]) >= _HOMOGLYPHS_ALONE)):
            for at, sign in enumerate(match[0], start=match.start()):
                if sign in _ALIKE:
                    yield Place(at, at + 1, "homoglyph", _ALIKE[sign])


def _foreign(letter: str) -> bool:
    return unicodedata.name(letter, "").partition(" ")[0] in ("CYRILLIC", "GREEK", "COPTIC", "ARMENIAN")
