"""Rules for answers that need no model: what must not stand in them, whatever was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from stillroom.detectors import Detector, Finding, Look, Place

_LINK = re.compile(
    r"(?<![\w+.-])(?:(?:https?|ftps?|wss?|javascript):|data:[a-z]{1,20}/)[^\s<>\"'`]{1,4096}"
    r"|(?<=[(\"'=])//[\w-][^\s<>\"'`]{2,4096}|(?<![\w.])www\.[^\s<>\"'`]{1,4096}",
    re.IGNORECASE,
)
_DOMAIN = re.compile(r"(?<![\w.-])(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}(?![\w-])")
_WORD = re.compile(r"\w+")
_CLOSING = ".,;:!?)]}»”’*_"


@final
class Output(Detector):
    """Patterns, secrets, the words of a system prompt, and links to where the question did not point.

    These hold where models are talked round: a link or an image that carries data away is found by where it leads.
    """

    kind: Literal["output"] = "output"
    patterns: tuple[str, ...] = ()
    """Regular expressions that must match nowhere, upper or lower case alike."""
    secrets: tuple[str, ...] = Field((), repr=False)
    """Canaries and other words that nobody is to see; signs and capitals do not matter."""
    prompt: str = Field("", repr=False)
    """The system prompt, of which no long run of words is to be told."""
    words: int = Field(8, ge=3)
    """How many words of it in a row are too many."""
    links: bool = True
    """Whether to tell of links to domains that what was asked did not name."""
    domains: tuple[str, ...] = ()
    """Domains that may always be linked to, with all below them."""

    @field_validator("patterns")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, one in enumerate(value):
            try:
                found = re.compile(one, re.IGNORECASE)
            except re.error as error:
                raise ValueError(f"regular expressions (number {number + 1}: {error.msg})") from None
            if found.match(""):
                raise ValueError(f"regular expressions that need something to match (number {number + 1} does not)")
        return value

    @field_validator("secrets")
    @classmethod
    def _worded(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_WORD.search(one) for one in value):
            raise ValueError("secrets with a letter or a digit each")
        return value

    def open(self) -> Look:
        """The rules, compiled."""
        patterns = [re.compile(one, re.IGNORECASE) for one in self.patterns]
        secrets = [_words(one) for one in self.secrets]
        told = _words(self.prompt)
        long = min(self.words, len(told))
        runs = {tuple(told[at : at + long]) for at in range(len(told) - long + 1)} if told else set()
        allowed = tuple(one.lower().strip(".") for one in self.domains)

        def found(text: str, asked: str) -> Iterator[Place]:
            for pattern in patterns:
                yield from (Place(*one.span(), "pattern", "[removed]") for one in pattern.finditer(text) if one[0])
            if secrets or runs:
                words = list(_WORD.finditer(text))
                plain = [one[0].casefold() for one in words]
                places = [(at, len(one), "secret") for one in secrets for at in _all(one, plain)]
                starts = range(len(plain) - long + 1) if runs else ()
                places += [(at, long, "prompt") for at in starts if tuple(plain[at : at + long]) in runs]
                for at, count, name in places:
                    yield Place(words[at].start(), words[at + count - 1].end(), name, "[removed]")
            if self.links:
                yield from _strange(text, asked, allowed)

        def look(text: str, *, asked: str = "") -> Finding:
            return Finding("output", tuple(_together(sorted(found(text, asked)))))

        return look


def _words(text: str) -> list[str]:
    return [one.casefold() for one in _WORD.findall(text)]


def _all(run: Sequence[str], words: Sequence[str]) -> Iterator[int]:
    for at, one in enumerate(words):
        if one == run[0] and list(words[at : at + len(run)]) == list(run):
            yield at


def _together(places: list[Place]) -> Iterator[Place]:
    """Places that overlap as one, under the name of the first."""
    held: Place | None = None
    for one in places:
        if held is not None and one.start < held.end:
            held = Place(held.start, max(held.end, one.end), held.name, held.replacement)
            continue
        if held is not None:
            yield held
        held = one
    if held is not None:
        yield held


def _strange(text: str, asked: str, allowed: tuple[str, ...]) -> Iterator[Place]:
    """Links to where neither the question nor the settings point."""
    named: set[str] | None = None
    for one in _LINK.finditer(text):
        link = one[0].rstrip(_CLOSING)
        host = _host(link)
        if named is None:
            named = {found.lower() for found in _DOMAIN.findall(asked)}
        if host is None or not any(host == domain or host.endswith(f".{domain}") for domain in (*named, *allowed)):
            yield Place(one.start(), one.start() + len(link), "link", "[link]")


def _host(link: str) -> str | None:
    """Where a link leads; None: nowhere that has a name, as with `javascript:`."""
    if link.lower().startswith("www."):
        link = f"//{link}"
    try:
        host = urlsplit(link.replace("\\", "/")).hostname  # browsers take one for the other
    except ValueError:
        return None
    return host.rstrip(".").lower() if host else None
