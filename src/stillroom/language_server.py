"""A language server that proofreads in any editor: it underlines while one writes, and offers to mend.

A text is read once the keys are still for a moment. Paragraphs that are as they were are remembered, so that only those
that changed are read again. A reading of a text that has changed since is given up, and what is asked of such a text is
not answered.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

from lsprotocol import types
from pygls.capabilities import get_capability
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from stillroom import __version__, proofread
from stillroom.core import prose
from stillroom.core.errors import StillroomError
from stillroom.core.prose import Block
from stillroom.runtime import Predictor, reading
from stillroom.tasks.proofreading import Correction

_STILL_SECONDS = 0.3
_AT_ONCE = 16  # paragraphs between two looks whether the text has changed
_REMEMBERED = 4096  # paragraphs
_MARKDOWN = {"markdown", "mdx", "quarto", "rmd"}  # what editors call it
_FIX_ALL = types.CodeActionKind.SourceFixAll
#: How a code point counts in the unit that an editor counts in.
_UNITS = {
    types.PositionEncodingKind.Utf8: lambda text: len(text.encode("utf-8", "surrogatepass")),
    types.PositionEncodingKind.Utf16: lambda text: len(text.encode("utf-16-le", "surrogatepass")) // 2,
    types.PositionEncodingKind.Utf32: len,
}


def serve(predictor: Predictor) -> None:
    """Speak to an editor over stdin and stdout until it says goodbye."""
    server(predictor).start_io()


@final
class Memory:
    """The corrections of paragraphs, of those that were read last."""

    def __init__(self, predictor: Predictor, *, capacity: int = _REMEMBERED) -> None:
        self._predictor, self._capacity = predictor, capacity
        self._known: OrderedDict[str, tuple[Correction, ...]] = OrderedDict()

    def unknown(self, blocks: Iterable[Block]) -> list[str]:
        """The paragraphs that have to be read, each once."""
        return [one for one in dict.fromkeys(block.text for block in blocks) if one not in self._known]

    def read(self, texts: Sequence[str]) -> None:
        """Read some paragraphs."""
        for text, found in zip(texts, reading.read_all(self._predictor, texts), strict=True):
            self._known[text] = found.prediction.corrections

    def corrections(self, blocks: Sequence[Block]) -> list[Correction]:
        """The corrections of a text where they stand in it; what of it is not known is read."""
        self.read(self.unknown(blocks))
        found = []
        for block in blocks:
            self._known.move_to_end(block.text)
            found += list(proofread.located(block, self._known[block.text]))
        while len(self._known) > max(self._capacity, len(blocks)):
            self._known.popitem(last=False)
        return found


@final
@dataclass(frozen=True)
class Known:
    """What is found in one version of a text."""

    version: int | None
    corrections: tuple[Correction, ...]
    ranges: tuple[types.Range, ...]


@final
class Ruler:
    """From the characters of a text to an editor's lines and columns.

    An editor's lines end at line feeds and carriage returns alone, and it counts columns in units of an encoding.
    """

    def __init__(self, text: str, encoding: types.PositionEncodingKind | str | None) -> None:
        self._text, self._starts = text, proofread.line_starts(text)
        self._units = _UNITS[types.PositionEncodingKind(encoding or types.PositionEncodingKind.Utf16)]

    def position(self, at: int) -> types.Position:
        """Where a character stands."""
        line = bisect_right(self._starts, at) - 1
        return types.Position(line, self._units(self._text[self._starts[line] : at]))

    def range(self, one: Correction) -> types.Range:
        """Where a correction stands."""
        return types.Range(self.position(one.start), self.position(one.end))


@final
@dataclass(frozen=True)
class _Edits:
    """How an editor is asked to change a text."""

    uri: str
    version: int | None
    """Which version of it, of those editors that can tell; an older one they leave alone."""

    def of(self, some: Iterable[tuple[Correction, types.Range]]) -> types.WorkspaceEdit:
        """The edits that make some corrections."""
        edits = [types.TextEdit(place, one.replacement) for one, place in some]
        if self.version is None:
            return types.WorkspaceEdit(changes={self.uri: edits})
        whose = types.OptionalVersionedTextDocumentIdentifier(uri=self.uri, version=self.version)
        return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(text_document=whose, edits=edits)])


def server(predictor: Predictor) -> LanguageServer:
    """The server, ready to be started."""
    # A change is told as the whole text: applied to lines of it, a change goes astray where a text has other signs
    # that Python takes for ends of lines.
    found = LanguageServer("stillroom", __version__, text_document_sync_kind=types.TextDocumentSyncKind.Full)
    memory = Memory(predictor)
    alone = ThreadPoolExecutor(1)
    known: dict[str, Known] = {}
    going: dict[str, asyncio.Task[None]] = {}

    async def read(document: TextDocument, version: int | None, *, still: float) -> None:
        await asyncio.sleep(still)
        try:
            await tell(document, version)
        except StillroomError as error:
            found.window_show_message(types.ShowMessageParams(types.MessageType.Error, str(error)))

    async def tell(document: TextDocument, version: int | None) -> None:
        loop = asyncio.get_running_loop()
        blocks = await loop.run_in_executor(alone, _blocks, document.source, document.language_id, document.uri)
        unread = memory.unknown(blocks)
        for start in range(0, len(unread), _AT_ONCE):
            await loop.run_in_executor(alone, memory.read, unread[start : start + _AT_ONCE])
        ruler = Ruler(document.source, found.workspace.position_encoding)
        corrections = tuple(await loop.run_in_executor(alone, memory.corrections, blocks))
        known[document.uri] = Known(version, corrections, tuple(ruler.range(one) for one in corrections))
        _publish(found, document.uri, known[document.uri])

    def begin(uri: str, *, still: float) -> None:
        if uri in going:
            going[uri].cancel()
        document = found.workspace.get_text_document(uri)
        going[uri] = asyncio.get_running_loop().create_task(read(document, document.version, still=still))

    @found.feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: types.DidOpenTextDocumentParams) -> None:
        begin(params.text_document.uri, still=0.0)

    @found.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: types.DidChangeTextDocumentParams) -> None:
        begin(params.text_document.uri, still=_STILL_SECONDS)

    @found.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: types.DidCloseTextDocumentParams) -> None:
        uri = params.text_document.uri
        known.pop(uri, None)
        if uri in going:
            going.pop(uri).cancel()
        _publish(found, uri, Known(None, (), ()))

    kinds = [types.CodeActionKind.QuickFix, _FIX_ALL]

    @found.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=kinds))
    async def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        uri = params.text_document.uri
        told = known.get(uri)
        if told is None or told.version != found.workspace.get_text_document(uri).version:
            return []
        versions = bool(get_capability(found.client_capabilities, "workspace.workspace_edit.document_changes", False))
        every = [*_each(told, params.range, _Edits(uri, told.version if versions else None)),
                 *_all(told, _Edits(uri, told.version if versions else None))]  # fmt: skip
        only = params.context.only
        return every if only is None else [one for one in every if any(_within(one.kind, kind) for kind in only)]

    return found


def _blocks(text: str, language: str | None, uri: str) -> list[Block]:
    named = uri.lower().endswith(prose.MARKDOWN)
    return prose.blocks(text, form="markdown" if language in _MARKDOWN or (not language and named) else "plain")


def _publish(server: LanguageServer, uri: str, known: Known) -> None:
    told = [_diagnostic(one, place) for one, place in zip(known.corrections, known.ranges, strict=True)]
    server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, told, version=known.version))


def _diagnostic(one: Correction, place: types.Range) -> types.Diagnostic:
    return types.Diagnostic(
        range=place,
        message=f"{_change(one)}. {one.explanation}",
        severity=types.DiagnosticSeverity.Information,
        code=one.type,
        source="stillroom",
    )


def _change(one: Correction) -> str:
    """What a correction does, in words."""
    if not one.text:
        return f"Put in “{one.replacement.strip()}”"
    return f"“{one.text}” → “{one.replacement}”" if one.replacement else f"Leave out “{one.text.strip()}”"


def _each(known: Known, asked: types.Range, edits: _Edits) -> list[types.CodeAction]:
    """An action for each correction that touches a range."""
    found = []
    for one, place in zip(known.corrections, known.ranges, strict=True):
        if place.start <= asked.end and asked.start <= place.end:
            found.append(
                types.CodeAction(
                    title=_change(one),
                    kind=types.CodeActionKind.QuickFix,
                    diagnostics=[_diagnostic(one, place)],
                    is_preferred=True,
                    edit=edits.of([(one, place)]),
                )
            )
    return found


def _all(known: Known, edits: _Edits) -> list[types.CodeAction]:
    """One action for all corrections of a text."""
    if not known.corrections:
        return []
    every = list(zip(known.corrections, known.ranges, strict=True))
    title = f"Make all corrections of this file ({len(every)})"
    return [types.CodeAction(title=title, kind=_FIX_ALL, edit=edits.of(every))]


def _within(kind: str | None, asked: str) -> bool:
    """Whether an action is of a kind that was asked for: `source` asks for `source.fixAll` too."""
    return kind is not None and (kind == asked or kind.startswith(f"{asked}."))
