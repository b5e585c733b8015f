"""Which characters are which, as ranges of code points, for scripts that have to read texts as we do.

Versions of Unicode disagree on the newest characters, and so do a browser, Python and a tokenizer: so what those say
that a bundle is served with is written down.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache

LETTERS = "letters.json"
_HALVES = range(0xD800, 0xE000)


@cache
def every() -> str:
    """Every character that a text can hold."""
    return "".join(chr(code) for code in range(0x110000) if code not in _HALVES)


@cache
def letters() -> str:
    r"""Those that words are made of (`\w`), as JSON."""
    return json.dumps([(ord(one[0][0]), ord(one[0][-1])) for one in re.finditer(r"\w+", every())])


def ranges(characters: Iterable[str]) -> list[tuple[int, int]]:
    """Characters in order as ranges, the last of each included."""
    found: list[tuple[int, int]] = []
    for code in map(ord, characters):
        if found and found[-1][1] == code - 1:
            found[-1] = (found[-1][0], code)
        else:
            found.append((code, code))
    return found
