"""Commands that ask a student: about texts, and about what is to be corrected in files and in an editor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stillroom.cli._app import AsJson, Quiet, app
from stillroom.core.errors import missing_extra


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="A bundle, or the folder of a run.")],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; none, and no files: a text a line from stdin.")
    ] = None,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", metavar="PATH", help="A file of texts, or a pattern; -: stdin.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--field", help="The field of JSON lines with the text; `.jsonl` files: text.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="A file is one text, however long.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file to write, whole or not at all; none: stdout.")] = None,
    runner: Annotated[str | None, typer.Option(help="One of the bundle's runners.")] = None,
    length: Annotated[int | None, typer.Option(help="How many words a summary has at most; as it comes.")] = None,
    verify: Annotated[bool, typer.Option(help="First check the answers to the golden inputs.")] = False,
    annotated: Annotated[
        bool, typer.Option("--annotated", help="Texts with what was found in them, spans and corrections in place.")
    ] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="A JSON object a line, as it comes.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask the student: about texts, or about any number of them in files and from stdin."""
    from stillroom import console, runtime
    from stillroom import predict as predictions

    if annotated and (as_json or as_jsonl):
        raise typer.BadParameter("--annotated is for people, --json and --jsonl for programs: choose one")
    predictor = runtime.load(folder, runner=runner, verify=verify)
    rows = predictions.given(texts) if texts else predictions.lines(file or ["-"], column=column, whole=whole)
    alone = quiet or as_json or (out is None and sys.stdout.isatty())  # a bar and data would share the screen
    with console.Bars(quiet=alone) as report:
        found = predictions.answers(predictor, rows, length=length, report=report)
        plain = predictions.as_annotated if annotated else predictions.as_lines
        as_written = predictions.as_json if as_json else predictions.as_jsonl if as_jsonl else plain
        predictions.write(as_written(found), out=out, whole=as_json)


Bundle = Annotated[
    Path | None, typer.Option("--bundle", envvar="STILLROOM_PROOFREADER", help="The proofreader: a bundle, or a run.")
]


@app.command()
def proofread(
    file: Annotated[list[str], typer.Argument(metavar="FILE...", help="Markdown or plain text; patterns too.")],
    bundle: Bundle = None,
    runner: Annotated[str | None, typer.Option(help="One of the bundle's runners.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Make the corrections in the files.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only name the files in which something is found.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Proofread files, code and links left alone; exit code 1 where something is found and not mended."""
    from stillroom import console
    from stillroom import proofread as proofs

    if fix and check:
        raise typer.BadParameter("--fix writes and --check does not: choose one")
    paths = proofs.files(file)
    with console.Bars(quiet=quiet or as_json or sys.stdout.isatty()) as report:
        found = proofs.proofread(proofs.proofreader(bundle, runner=runner), paths, fix=fix, report=report)
        left = console.show_proofs(found, as_json=as_json, brief=check)
    if left:
        raise typer.Exit(1)


@app.command()
def lsp(
    bundle: Bundle = None,
    runner: Annotated[str | None, typer.Option(help="One of the bundle's runners.")] = None,
) -> None:
    """Proofread in an editor: a language server on stdin and stdout."""
    from stillroom import proofread as proofs

    predictor = proofs.proofreader(bundle, runner=runner)
    try:
        from stillroom import language_server
    except ImportError as error:
        raise missing_extra("lsp", package="pygls", needed_by="stillroom lsp") from error
    language_server.serve(predictor)
