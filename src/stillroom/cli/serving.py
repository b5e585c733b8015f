"""Commands that serve students over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stillroom.cli._app import AsJson, app


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
    trust: Annotated[
        Path | None, typer.Option(help="A file of public keys: serve what one of them has signed.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="For TLS; with --private-key.")] = None,
    private_key: Annotated[Path | None, typer.Option(help="For TLS; with --certificate.")] = None,
    log: Annotated[str | None, typer.Option(help="`troubles` or `all` requests on stderr.")] = None,
) -> None:
    """Serve students over HTTP."""
    from stillroom.serve import server, settings

    given = {"models": models, "host": host, "port": port, "workers": workers, "deadline_ms": deadline_ms, "keys": keys,
             "trust": trust, "certificate": certificate, "private_key": private_key, "log": log}  # fmt: skip
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


@app.command()
def sign(
    what: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="The folder of a run, or a bundle.")] = None,
    key: Annotated[Path | None, typer.Option(help="The file of a private key.")] = None,
    new_key: Annotated[Path | None, typer.Option(help="A file to write a new private key to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a bundle; or make a key: its public line for servers that trust it on stdout."""
    from stillroom import console, runtime
    from stillroom.runtime import signatures

    if (what is None) != (key is None) or (what is None) == (new_key is None):
        raise typer.BadParameter("either RUN and --key, or --new-key")
    if what is None or key is None:
        line = signatures.new_key(new_key) if new_key else ""
        if as_json:
            console.show_json({"file": str(new_key), "trust": line})
        else:
            sys.stdout.write(f"{line}\n")
        return
    bundle = runtime.open_bundle(what)
    signer = signatures.sign(bundle, key)
    if as_json:
        console.show_json({"bundle": str(bundle.folder), "digest": bundle.digest, "key": signer})
    else:
        console.data.print(f"Signed {bundle.folder} by {signer}", markup=False)
