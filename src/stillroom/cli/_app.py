"""The app that commands are put on, and the options that several of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = "The command line: each command loads its inputs, calls the function of the same name and shows what it returns."
app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, help=HELP
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, in TOML.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Lay a value over the recipe.")]
Work = Annotated[Path, typer.Option(help="Where artifacts and runs are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, errors included.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
WORK = Path("work")
