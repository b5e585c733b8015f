"""What people wrote in a file and what they did not: prose with the place of each character, and all else left alone.

In Markdown code, HTML, links' targets, images and front matter are nobody's prose; signs that only mark something up
are taken out, so that a sentence is read as it will be seen. In any text, addresses of the web and of mail are left
alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

#: How a file is written.
Form = Literal["markdown", "plain"]
MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".rmd", ".qmd")
_ADDRESS = re.compile(r"\b(?:https?|ftp|file)://\S+|\bwww\.\S+|\bmailto:\S+|\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_BLANK_LINE = re.compile(r"(?:\r\n|\n|\r)[^\S\n\r]*(?:\r\n|\n|\r)\s*")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
_FRONT = re.compile(
    r"\ufeff?(?:---[ \t]*\r?\n.*?^(?:---|\.\.\.)|\+\+\+[ \t]*\r?\n.*?^\+\+\+)[ \t]*(?:\r?\n|\Z)", re.S | re.M
)


@final
@dataclass(frozen=True)
class Piece:
    """Characters of a block that stand together in its file."""

    at: int
    """Where it begins in the block."""
    start: int
    """Where it begins in the file, both in code points."""
    length: int
    free: bool
    """Whether it is prose; else it is there to be read, and left alone."""


@final
@dataclass(frozen=True)
class Block:
    """A paragraph, a heading, a cell: what is read together."""

    text: str
    pieces: tuple[Piece, ...]

    def place(self, start: int, end: int) -> tuple[int, int] | None:
        """Where some of its characters stand in the file; None where that is not all prose, or not all together.

        What is put in between two characters stands behind the first of them, where that is prose.
        """
        if start == end:
            before = self._piece(start - 1) if start else None
            if before and before.free:
                place = before.start + start - before.at
                return place, place
        first = self._piece(start)
        if first is None or not first.free:
            return None
        begin = first.start + start - first.at
        at, reached = start, begin
        while at < end:
            one = self._piece(at)
            if one is None or not one.free or one.start + at - one.at != reached:
                return None
            step = min(end, one.at + one.length) - at
            at, reached = at + step, reached + step
        return begin, reached

    def _piece(self, at: int) -> Piece | None:
        found = self.pieces[bisect_right(self.pieces, at, key=lambda one: one.at) - 1] if self.pieces else None
        return found if found and found.at <= at < found.at + found.length else None


def form_of(path: Path) -> Form:
    """How a file of that name is written."""
    return "markdown" if path.suffix.lower() in MARKDOWN else "plain"


def blocks(text: str, *, form: Form) -> list[Block]:
    """What is to be read of a file, from its beginning to its end."""
    return list(_of_markdown(text) if form == "markdown" else _of_plain(text))


def _of_plain(text: str) -> Iterator[Block]:
    start = 0
    for gap in _BLANK_LINE.finditer(text):
        yield from _block(text, [(start, gap.start(), True)])
        start = gap.end()
    yield from _block(text, [(start, len(text), True)])


def _block(text: str, stretches: Sequence[tuple[int, int, bool]]) -> Iterator[Block]:
    """The block of some stretches of a text, if it has a word of prose. Addresses in them are left alone."""
    written, pieces, at = [], [], 0
    for start, end, free in stretches:
        for first, last, own in _parted(text, start, end) if free else ((start, end, False),):
            if last > first:
                pieces.append(Piece(at, first, last - first, own))
                written.append(text[first:last])
                at += last - first
    whole = "".join(written)
    if any(one.free and not whole[one.at : one.at + one.length].isspace() for one in pieces):
        yield Block(whole, tuple(pieces))


def _parted(text: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    for found in _ADDRESS.finditer(text, start, end):
        yield start, found.start(), True
        yield found.start(), found.end(), False
        start = found.end()
    yield start, end, True


def _of_markdown(text: str) -> Iterator[Block]:
    front = _FRONT.match(text)
    lines = [found.span() for found in _LINE.finditer(text) if found.end() > found.start()]
    told = text
    if front:  # its lines stay, so that the others keep their numbers
        told = "\n" * sum(end <= front.end() for _, end in lines) + text[front.end() :]
    reached: dict[int, int] = {}
    parser, links = _parser(), dict[str, Any]()
    before = ""
    for token in parser.parse(told, links):
        if token.type == "inline" and token.map and token.content:
            places = _places(text, lines, token, reached if before in ("th_open", "td_open") else None)
            marked = _marked(parser, token.content, links)
            yield from _block(text, _stretches(text, token.content, places, marked))
        before = token.type


def _places(text: str, lines: Sequence[tuple[int, int]], token: Token, cells: dict[int, int] | None) -> list[int]:
    """Where each character of an inline token stands in the file; −1 where that can't be told.

    The parser takes indents, marks of quotes and lists, and the like from the beginnings of lines. Cells of one line
    stand behind each other: up to where its `cells` were found is kept.
    """
    found: list[int] = []
    number = token.map[0] if token.map else 0
    for line in token.content.split("\n"):
        start, end = lines[number] if number < len(lines) else (0, 0)
        own = text[start:end].rstrip("\r\n")
        at = own.rfind(line) if cells is None else own.find(line, cells.get(number, 0))
        if cells is not None:
            cells[number] = max(at, 0) + len(line)
        found += range(start + at, start + at + len(line)) if at >= 0 else [-1] * len(line)
        found.append(start + len(own))  # the end of the line
        number += 1
    return found[:-1]


def _stretches(
    text: str, content: str, places: Sequence[int], marked: Iterable[tuple[int, int, int]]
) -> list[tuple[int, int, bool]]:
    """What stands together in the file of an inline token without its marks, and whether it is prose."""
    marks = [_PROSE] * len(content)
    for start, end, what in marked:
        for at in range(start, end):
            marks[at] = max(marks[at], what)
    found: list[tuple[int, int, bool]] = []
    for place, what in zip(places, marks, strict=True):
        if what == _MARK or place < 0:
            continue
        free, end = what == _PROSE, place + (2 if text.startswith("\r\n", place) else 1)
        if found and found[-1][1] == place and found[-1][2] == free:
            found[-1] = (found[-1][0], end, free)
        else:
            found.append((place, end, free))
    return found


_PROSE, _CODE, _MARK = 0, 1, 2
_GONE = {"html_inline", "image", "autolink"}


def _marked(parser: MarkdownIt, content: str, links: dict[str, Any]) -> Iterator[tuple[int, int, int]]:
    """What in an inline text is no prose, as the parser finds it: code is read and left alone, marks are taken out."""
    events: list[_Event] = []
    parser.inline.parse(content, parser, {**links, "events": events}, [])
    for one in events:
        if one.rule in _GONE:
            yield one.start, one.end, _MARK
        elif one.rule == "backticks":
            width = len(one.tokens[-1].markup) if one.tokens and one.tokens[-1].type == "code_inline" else 0
            if width:
                yield one.start, one.start + width, _MARK
                yield one.start + width, one.end - width, _CODE
                yield one.end - width, one.end, _MARK
        elif one.rule == "entity":
            yield one.start, one.end, _CODE
        elif one.rule == "escape" and one.tokens[-1].content != content[one.start : one.end]:
            yield one.start, one.start + 1, _MARK
        elif one.rule == "link":
            yield one.start, one.start + 1, _MARK
            yield one.label_end, one.end, _MARK
        elif one.rule == "emphasis":
            for at, token in enumerate(one.tokens[one.start - one.end :], start=one.start):
                if token.type != "text" or not token.content:
                    yield at, at + 1, _MARK


@final
@dataclass(frozen=True)
class _Event:
    """A rule of the parser that found something, where, and the tokens that it made of it."""

    rule: str
    start: int
    end: int
    tokens: tuple[Token, ...]
    label_end: int


@cache
def _parser() -> MarkdownIt:
    """CommonMark with tables, whose inline rules also tell where they found what, which its tokens do not."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"])
    parser.inline.ruler2.disable("fragments_join")  # it moves text from token to token
    for rule, name in zip(parser.inline.ruler.getRules(""), parser.inline.ruler.get_active_rules(), strict=True):
        parser.inline.ruler.at(name, _telling(name, rule))
    return parser


def _telling(name: str, rule: Any) -> Callable[[StateInline, bool], bool]:
    def told(state: StateInline, silent: bool) -> bool:
        start, known = state.pos, len(state.tokens)
        label_end = -1
        if name == "link" and not silent and state.src[start] == "[":
            label_end = state.md.helpers.parseLinkLabel(state, start, True)
        found = bool(rule(state, silent))
        if found and not silent and "events" in state.env:
            made = tuple(state.tokens[known:])
            state.env["events"].append(_Event(name, start, state.pos, made, label_end))
        return found

    return told
