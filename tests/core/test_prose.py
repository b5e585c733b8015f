"""What is read of a file is what its readers see, each character stands where it is said to, and code is left alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from stillroom.core import prose
from stillroom.core.prose import Block, Form

SIGNS = ["teh", " ", " ", "\n", "\n\n", "*", "**", "_", "`", "``", "[", "](x)", "](", ")", "<b>", "</b>", "\\",
         "# ", "> ", "- ", "1. ", "    ", "```\n", "|", "\n|---|\n", "!", "👍", "---\n", "<div>\n", "http://a.b/teh",
         "a", "\r\n", "<http://a.b>"]  # fmt: skip
MARKDOWN = st.lists(st.sampled_from(SIGNS), max_size=30).map("".join)


def seen(text: str) -> str:
    """What readers see of the paragraphs of a Markdown file that are not code alone, by the parser's own tokens."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        shown = [one for one in token.children or [] if one.type in ("text", "code_inline")]
        if any(one.type == "text" and one.content.strip() for one in shown):
            found += [one.content for one in shown]
    return "".join(found)


@given(text=MARKDOWN.map(lambda text: text.replace("http://a.b", "")))
@example(text="a **b _c_** and ***d*** 5 * 3 *")
@example(text="> - 1. 1\n>   a `b  c` [d *e*](f 'g') ![h](i) \\* <i>j</i>")
def test_what_is_read_of_markdown_is_what_is_seen(text: str) -> None:
    assume(prose._FRONT.match(text) is None)
    read = "".join(block.text for block in prose.blocks(text, form="markdown"))
    assert "".join(read.split()) == "".join(seen(text).split())


@given(text=MARKDOWN, form=st.sampled_from(["markdown", "plain"]))
def test_every_character_stands_where_it_is_said_to(text: str, form: Form) -> None:
    last = 0
    for block in prose.blocks(text, form=form):
        assert "".join(text[one.start : one.start + one.length] for one in block.pieces) == block.text
        assert [one.at for one in block.pieces] == [
            sum(other.length for other in block.pieces[:place]) for place in range(len(block.pieces))
        ]
        for one in block.pieces:
            assert one.start >= last, "from the beginning to the end"
            last = one.start + one.length
        for start in range(len(block.text)):
            for end in range(start, min(start + 4, len(block.text))):
                place = block.place(start, end)
                if place and start < end:
                    assert text[place[0] : place[1]] == block.text[start:end]


@given(text=st.text(alphabet=st.sampled_from("ab. \n\r👍"), max_size=40))
def test_of_plain_text_all_is_read(text: str) -> None:
    found = prose.blocks(text, form="plain")
    assert re.sub(r"\s", "", "".join(one.text for one in found)) == re.sub(r"\s", "", text)
    assert all(piece.free for one in found for piece in one.pieces)


PAGE = """---
title: teh title
---
# Teh *head* of `teh code`

A [link to *teh* page](http://teh.example/teh "teh title") and
> teh quote `teh`

```python
teh = 1
```

    teh indented

<div class="teh">
teh
</div>

- item teh <b class="teh">bold</b>
  1. deep teh https://teh.example/teh and teh@teh.example

| teh a | `teh` |
|---|---|
| teh | teh |

![teh](teh.png) &amp; [ref][teh] <https://teh>

[teh]: http://teh.example
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_code_targets_html_and_front_matter_are_left_alone(ends: str) -> None:
    page = PAGE.replace("\n", ends)
    found = []
    for block in prose.blocks(page, form="markdown"):
        for one in re.finditer("teh", block.text, re.IGNORECASE):
            place = block.place(*one.span())
            if place:
                assert page[place[0] : place[1]] == one.group()
                line = page.count("\n", 0, place[0])
                found.append(page.split("\n")[line].strip()[:18])
    assert found == [
        "# Teh *head* of `t",
        "A [link to *teh* p",
        "> teh quote `teh`",
        "- item teh <b clas",
        "1. deep teh https:",
        "| teh a | `teh` |",
        "| teh | teh |",
        "| teh | teh |",
    ]


def one(text: str, form: Form = "markdown") -> Block:
    (found,) = prose.blocks(text, form=form)
    return found


def test_what_is_put_in_stands_with_the_word_before() -> None:
    text = "a **word** next"
    block = one(text)
    assert block.text == "a word next"
    assert block.place(6, 6) == (8, 8), "inside the bold, behind its word"
    assert block.place(0, 0) == (0, 0)
    assert block.place(2, 2) == (2, 2)
    assert block.place(2, 6) == (4, 8)
    assert block.place(0, 6) is None, "across a mark"
    assert one("`x` next").place(1, 1) == (3, 3), "not into code"


def test_how_a_file_is_written_is_told_by_its_name() -> None:
    assert [prose.form_of(Path(name)) for name in ("a.md", "b.MARKDOWN", "c.txt", "README")] == [
        "markdown", "markdown", "plain", "plain"
    ]  # fmt: skip
