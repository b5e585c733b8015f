"""The rules of Harper, a grammar checker: what they would make of a text. They know no network, and are quick."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Collection
from functools import cache
from typing import Any

from stillroom.core import edits, proofs, spelling
from stillroom.core.edits import Edit
from stillroom.core.errors import missing_extra
from stillroom.core.proofs import Mark

AMERICAN = "american"

#: A linter that is asked by a second thread while it answers refuses.
_turn = threading.Lock()


def version(*, needed_by: str) -> str:
    """Which rules they are.

    Raises:
        MissingExtra: they are not installed.
    """
    try:
        return importlib.metadata.version("harper-py")
    except importlib.metadata.PackageNotFoundError as error:
        raise missing_extra("proof", package="harper-py", needed_by=needed_by) from error


def corrected(text: str, *, needed_by: str, dialect: str = AMERICAN, without: Collection[str] = frozenset()) -> str:
    """The text with the first suggestion for each thing that they find, but for some kinds of things."""
    linter, harper = _linter(dialect, needed_by=needed_by)
    made = []
    with _turn:
        found = linter.lint(text, language=harper.Language.PLAINTEXT)
    for lint in found:
        if not lint.suggestions or lint.lint_kind in without:
            continue
        first, span = lint.suggestions[0], lint.span
        start = span.end if first.kind == harper.SuggestionKind.INSERT_AFTER else span.start
        made.append(Edit(start, span.end, first.replacement_text))
    return edits.applied(text, made)


def marks(text: str, *, needed_by: str) -> tuple[Mark, ...]:
    """What they correct, as far as tags say it."""
    is_word = spelling.dictionary().__contains__
    return proofs.reference(text, corrected(text, needed_by=needed_by), is_word=is_word).marks


@cache
def _linter(dialect: str, *, needed_by: str) -> tuple[Any, Any]:
    try:
        import harper
    except ImportError as error:
        raise missing_extra("proof", package="harper-py", needed_by=needed_by) from error
    return harper.Linter(harper.Dialect[dialect.upper()]), harper
