"""Commands that serve students over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stillroom.cli._app import app


@app.command()
def serve(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=]PATH…", help="Bundles, or runs' folders.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A file of settings, in TOML; what stands here goes over it.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen at; 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 8000.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes behind the port; 1.")] = None,
    deadline_ms: Annotated[float | None, typer.Option(help="Within which a request is answered; 2000.")] = None,
    keys: Annotated[Path | None, typer.Option(help="A file of API keys, of `stillroom keys`.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="For TLS; with --private-key.")] = None,
    private_key: Annotated[Path | None, typer.Option(help="For TLS; with --certificate.")] = None,
    log: Annotated[str | None, typer.Option(help="`troubles` or `all` requests on stderr.")] = None,
) -> None:
    """Serve students over HTTP."""
    from stillroom.serve import server, settings

    given = {"models": models, "host": host, "port": port, "workers": workers, "deadline_ms": deadline_ms,
             "keys": keys, "certificate": certificate, "private_key": private_key, "log": log}  # fmt: skip
    server.run(settings.load(config, given))


@app.command()
def keys(
    name: Annotated[str, typer.Option(help="Who will use it.")],
    scope: Annotated[list[str] | None, typer.Option(help="`predict`, `metrics`; predict.")] = None,
    days: Annotated[int | None, typer.Option(help="How long it is good; none: until its line is taken out.")] = None,
) -> None:
    """Make an API key: its line for the server's file on stdout, the key itself, once, on stderr."""
    from stillroom.serve import keys as rings

    secret, key = rings.make(name, scopes=scope or ["predict"], days=days)
    sys.stderr.write(f"The key, shown this once: {secret}\n")
    sys.stdout.write(key.line() + "\n")
