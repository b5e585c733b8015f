"""The language server with a client of the protocol over stdio, and what it remembers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from lsprotocol.types import PositionEncodingKind as Encoding
from pygls.lsp.client import LanguageClient

from stillroom import language_server, proofread
from stillroom.core import prose

URI = "file:///letter.md"
TEXT = "# Teh 👍🏽 teh `teh`\n\nWe recieved\u2028 teh [it](teh).\r\n\n```\nteh\n```\n"
SECONDS = 120  # nothing here takes one, unless the machine has much else to do


class Editor:
    """An editor that keeps what it is told of a text."""

    def __init__(self, client: LanguageClient) -> None:
        self.client = client
        self.told: asyncio.Queue[types.PublishDiagnosticsParams] = asyncio.Queue()

        @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def _told(params: types.PublishDiagnosticsParams) -> None:
            self.told.put_nowait(params)

    def open(self, text: str, *, language: str = "markdown") -> None:
        item = types.TextDocumentItem(URI, language, 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def change(self, text: str, version: int) -> None:
        whose = types.VersionedTextDocumentIdentifier(version, URI)
        change = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(whose, [change]))

    async def next(self) -> types.PublishDiagnosticsParams:
        return await asyncio.wait_for(self.told.get(), SECONDS)

    async def actions(self, place: types.Range, *, only: Sequence[str] | None = None) -> list[types.CodeAction]:
        context = types.CodeActionContext([], only=only)
        asked = types.CodeActionParams(types.TextDocumentIdentifier(URI), place, context)
        found = await asyncio.wait_for(self.client.text_document_code_action_async(asked), SECONDS)
        return [one for one in found or [] if isinstance(one, types.CodeAction)]


@contextlib.asynccontextmanager
async def editor(bundle: Path, *encodings: Encoding) -> AsyncIterator[Editor]:
    client = LanguageClient("editor", "1")
    code = "import sys; sys.modules['torch'] = None\nfrom stillroom.cli import main\nmain()"
    await client.start_io(sys.executable, "-c", code, "lsp", "--bundle", str(bundle), env={**os.environ})
    general = types.GeneralClientCapabilities(position_encodings=list(encodings) or None)
    # Editors that negotiate an encoding here also tell versions of texts apart; others do neither.
    edits = types.WorkspaceEditClientCapabilities(document_changes=bool(encodings))
    workspace = types.WorkspaceClientCapabilities(workspace_edit=edits)
    capabilities = types.ClientCapabilities(general=general, workspace=workspace)
    asked = types.InitializeParams(capabilities=capabilities, process_id=os.getpid())
    told = await asyncio.wait_for(client.initialize_async(asked), SECONDS)
    assert told.capabilities.position_encoding == (encodings[0] if encodings else Encoding.Utf16)
    client.initialized(types.InitializedParams())
    try:
        yield Editor(client)
    finally:
        await asyncio.wait_for(client.shutdown_async(None), SECONDS)
        client.exit(None)
        await asyncio.wait_for(client.stop(), SECONDS)
        assert client._server is not None
        assert client._server.returncode == 0
        client._server._transport.close()  # type: ignore[attr-defined]  # else it warns that it was left open


def written(text: str, place: types.Range, encoding: Encoding) -> str:
    """What stands at a range, as an editor finds it: lines, then units of the encoding."""
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    name, width = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding.value]
    assert place.start.line == place.end.line
    raw = lines[place.start.line].encode(name)
    return raw[place.start.character * width : place.end.character * width].decode(name)


def mended(text: str, action: types.CodeAction, encoding: Encoding) -> str:
    """A text with an action done, as an editor does it."""
    assert action.edit
    edits: list[Any] = list((action.edit.changes or {}).get(URI, ()))
    for change in action.edit.document_changes or ():
        assert isinstance(change, types.TextDocumentEdit)
        assert change.text_document.version == 1
        edits += change.edits
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)
    name, width = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}[encoding.value]
    for one in sorted(edits, key=lambda one: one.range.start, reverse=True):
        raw = lines[one.range.start.line].encode(name)
        start, end = one.range.start.character * width, one.range.end.character * width
        lines[one.range.start.line] = (raw[:start] + one.new_text.encode(name) + raw[end:]).decode(name)
    return "".join(lines)


def run(talk: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await talk()

    asyncio.run(whole())


WHOLE = types.Range(types.Position(0, 0), types.Position(99, 0))


@pytest.mark.parametrize("encodings", [(), (Encoding.Utf8,), (Encoding.Utf32, Encoding.Utf16)], ids=str)
def test_an_editor_is_told_what_stands_where_and_mends_it(
    proofreader_folder: Path, encodings: tuple[Encoding, ...]
) -> None:
    used = encodings[0] if encodings else Encoding.Utf16

    async def talk() -> None:
        async with editor(proofreader_folder, *encodings) as one:
            one.open(TEXT)
            told = await one.next()
            assert (told.uri, told.version) == (URI, 1)
            assert [written(TEXT, found.range, used) for found in told.diagnostics] == ["Teh", "teh", "recieved", "teh"]
            assert [found.code for found in told.diagnostics][2] == "spelling"
            assert "“recieved” → “received”" in told.diagnostics[2].message
            fixes = await one.actions(told.diagnostics[1].range)
            assert [fix.kind for fix in fixes] == ["quickfix", "source.fixAll"]
            assert all(bool(fix.edit and fix.edit.document_changes) == bool(encodings) for fix in fixes)
            assert mended(TEXT, fixes[0], used) == TEXT.replace("👍🏽 teh", "👍🏽 the")
            (fix,) = await one.actions(WHOLE, only=["source"])
            right = TEXT.replace("# Teh 👍🏽 teh", "# The 👍🏽 the").replace("recieved\u2028 teh", "received\u2028 the")
            assert mended(TEXT, fix, used) == right
            one.change(right, 2)
            told = await one.next()
            assert (told.version, len(told.diagnostics)) == (2, 0)
            assert await one.actions(WHOLE) == []

    run(talk)


def test_of_quick_changes_the_last_is_read_and_stale_ones_get_no_answer(proofreader_folder: Path) -> None:
    async def talk() -> None:
        async with editor(proofreader_folder) as one:
            one.open("teh end", language="plaintext")
            assert len((await one.next()).diagnostics) == 1
            for version in range(2, 12):
                one.change("    teh end " + "teh " * version, version)
            assert await one.actions(WHOLE) == [], "what is known is of an older text"
            told = await one.next()
            assert (told.version, len(told.diagnostics)) == (11, 12)
            assert one.told.empty()
            whose = types.TextDocumentIdentifier(URI)
            one.client.text_document_did_close(types.DidCloseTextDocumentParams(whose))
            assert not (await one.next()).diagnostics

    run(talk)


def test_only_paragraphs_that_changed_are_read_again(proofreader_folder: Path) -> None:
    predictor: Any = proofread.proofreader(proofreader_folder)
    memory = language_server.Memory(predictor, capacity=3)
    text = "teh one\n\nteh two\n\nteh three"
    first = prose.blocks(text, form="plain")
    assert memory.unknown(first) == ["teh one", "teh two", "teh three"]
    memory.read(memory.unknown(first))
    assert [text[one.start : one.end] for one in memory.corrections(first)] == ["teh"] * 3
    longer = "new\n\n" + text.replace("two", "2")
    second = prose.blocks(longer, form="plain")
    assert memory.unknown(second) == ["new", "teh 2"]
    memory.read(memory.unknown(second))
    found = memory.corrections(second)
    assert [longer[one.start : one.end] for one in found] == ["teh"] * 3
    assert [one.start for one in found] == [longer.index(one) for one in ("teh one", "teh 2", "teh three")]
    assert memory.unknown(first) == ["teh two"], "what was not asked for longest is forgotten"


def test_columns_are_counted_as_the_editor_counts() -> None:
    text = "a👍🏽b\r\nne\u0301\rc\u2028d"
    for encoding, columns in ((Encoding.Utf8, 9), (Encoding.Utf16, 5), (Encoding.Utf32, 3), (None, 5)):
        ruler = language_server.Ruler(text, encoding)
        assert ruler.position(3) == types.Position(0, columns)
        assert ruler.position(text.index("n")) == types.Position(1, 0)
        assert ruler.position(text.index("c")) == types.Position(2, 0)
        assert ruler.position(text.index("d")).line == 2, "a sign that Python takes for a line's end"


def test_a_text_that_can_not_be_read_is_told_and_the_server_goes_on(proofreader_folder: Path) -> None:
    async def talk() -> None:
        async with editor(proofreader_folder) as one:
            said: asyncio.Queue[str] = asyncio.Queue()

            @one.client.feature(types.WINDOW_SHOW_MESSAGE)
            def _said(params: types.ShowMessageParams) -> None:
                said.put_nowait(params.message)

            one.open("teh \ud800 end", language="plaintext")
            assert "surrogate" in await asyncio.wait_for(said.get(), SECONDS)
            one.change("teh end", 2)
            assert len((await one.next()).diagnostics) == 1

    run(talk)
