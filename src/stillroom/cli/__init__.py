"""The command line: `main` runs the command that was typed. Commands of a kind stand together in a module."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Annotated

# Looking through every installed package for plugins of pydantic takes a tenth of a first prediction.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# Torch's threads wait for each other in a loop that keeps its core busy. Where others are at work on the machine, that
# made small steps 3 to 15 times slower; a shorter wait costs nothing where nobody is.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import typer

from stillroom.cli import travelling, asking, serving, looking  # isort: skip  # noqa: F401  help lists them in this order
from stillroom.cli._app import app
from stillroom.core import processes
from stillroom.core.errors import StillroomError

_STOPPED = 130
_GRACE_SECONDS = 10.0


def main() -> None:
    """Run a command; every error of ours becomes its exit code and a message that says what to do."""
    try:
        with _one_voice():
            app(standalone_mode=True)
    except StillroomError as error:
        from stillroom import console

        console.fail(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == _STOPPED and processes.is_main():  # what typer makes of a KeyboardInterrupt
            sys.stderr.write("Stopped. What is finished is kept: the same command goes on from there.\n")
        raise


@contextlib.contextmanager
def _one_voice() -> Iterator[None]:
    """Of several processes let the main one tell what is wrong.

    What ends one of them mostly ends all, and the launcher ends whoever is left. Who is still there after a while is
    the only one who knows of its error.
    """
    try:
        yield
    except Exception:  # of whatever kind: it is only held back, and goes on from here
        if not processes.is_main():
            time.sleep(_GRACE_SECONDS)
        raise


def _version(wanted: bool) -> None:
    if wanted:
        from stillroom import __version__

        sys.stdout.write(f"stillroom {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    pass
