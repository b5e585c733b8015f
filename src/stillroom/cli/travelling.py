"""Commands that go with a recipe: the whole journey, a stage of it, a search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stillroom.cli._app import WORK, AsJson, Overrides, Quiet, RecipePath, Work, app
from stillroom.core import processes


@app.command()
def check(recipe: RecipePath, set_: Overrides = None, as_json: AsJson = False) -> None:
    """See that a recipe is well and its parts fit, before anything expensive starts."""
    from stillroom import console, fitness
    from stillroom.core import recipe as recipes

    loaded = recipes.load(recipe, set_ or [])
    fitness.check(loaded)
    if as_json:
        console.show_json(fitness.describe(loaded))
    else:
        told = fitness.describe(loaded)
        possible = told.pop("possible")
        parts = " · ".join(f"{name} {value}" for name, value in told.items())
        console.data.print(f"{recipe}: well. {parts}", markup=False)
        for kind, why in possible.items():
            if why != "possible":
                console.data.print(f"objective {kind}: {why}", markup=False)


@app.command()
def run(
    recipe: RecipePath, set_: Overrides = None, work: Work = WORK, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Travel the whole journey; exit code 1 where a gate does not pass."""
    _travel(recipe, set_, work=work, until="dossier", as_json=as_json, quiet=quiet)


def _stage(name: str, until: str, summary: str) -> None:
    def command(
        recipe: RecipePath, set_: Overrides = None, work: Work = WORK, as_json: AsJson = False, quiet: Quiet = False
    ) -> None:
        _travel(recipe, set_, work=work, until=until, as_json=as_json, quiet=quiet)

    command.__doc__ = summary
    app.command(name)(command)


for _name, _summary in {
    "corpus": "Read, check, split and store the rows.",
    "teacher": "Make the teacher ready: fitted or found.",
    "transfer": "Ask the teacher once about every text.",
    "train": "Fit the student.",
    "evaluate": "Compare teacher, student and baselines on the test.",
    "audit": "Ask both what no test row asks: how they stand slips, odd signs and other words.",
    "cost": "Time, memory, disk and money of both sides.",
    "gates": "Judge the figures; exit code 1 where a gate does not pass.",
    "dossier": "Write the report and the model card.",
}.items():
    _stage(_name, _name, _summary)


@app.command()
def export(
    what: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="The recipe, in TOML; with --format also a run, or a bundle.")
    ],
    form: Annotated[
        Literal["web"] | None,
        typer.Option("--format", help="`web`: also a folder that runs the student in a browser."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where that folder goes.")] = Path("web"),
    runner: Annotated[str | None, typer.Option(help="One of the bundle's runners, for the browser.")] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="A folder of onnxruntime-web; none: npm fetches it where it is needed.")
    ] = None,
    set_: Overrides = None,
    work: Work = WORK,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the bundle that people ship; with `--format web` also a page that runs it on a visitor's device."""
    if form is None:
        _travel(what, set_, work=work, until="export", as_json=as_json, quiet=quiet)
        return
    from stillroom import console, web

    bundle = what if what.is_dir() else _bundle(what, set_, work=work, quiet=quiet or as_json)
    console.show_web(web.write(bundle, out=out, runner=runner, onnxruntime=runtime).as_dict(), as_json=as_json)


def _bundle(recipe: Path, overrides: list[str] | None, *, work: Path, quiet: bool) -> Path:
    """The folder of a run that has come as far as its bundle."""
    from stillroom import console, pipeline
    from stillroom.core import recipe as recipes

    loaded, written = recipes.load(recipe, overrides or []), recipes.as_written(recipe, overrides or [])
    with console.Bars(quiet=quiet) as report:
        return pipeline.run(loaded, work=work, until="export", written=written, report=report).folder


def _travel(recipe: Path, overrides: list[str] | None, *, work: Path, until: str, as_json: bool, quiet: bool) -> None:
    from stillroom import console, pipeline
    from stillroom.core import recipe as recipes

    loaded, written = recipes.load(recipe, overrides or []), recipes.as_written(recipe, overrides or [])
    with console.Bars(quiet=quiet or as_json or not processes.is_main()) as report:
        here = pipeline.run(loaded, work=work, until=until, written=written, report=report)
    if processes.is_main():
        console.show_run(here, as_json=as_json)
    if not here.passed:
        raise typer.Exit(1)


@app.command()
def search(
    recipe: RecipePath,
    minutes: Annotated[float | None, typer.Option(help="How long to search.")] = None,
    max_disk_mb: Annotated[float | None, typer.Option(help="What the student's files may take.")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="What the median text may take.")] = None,
    min_retention: Annotated[float | None, typer.Option(help="The least share of the teacher's dev score.")] = None,
    set_: Overrides = None,
    work: Work = WORK,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Find the best student for a budget and confirm it once on the test; exit code 1 where a gate does not pass."""
    from stillroom import console
    from stillroom import search as searches
    from stillroom.core import recipe as recipes

    limits = {"minutes": minutes, "max_disk_mb": max_disk_mb, "max_latency_ms": max_latency_ms,
              "min_retention": min_retention}  # fmt: skip
    given = [f"search.{name}={value}" for name, value in limits.items() if value is not None]
    loaded = recipes.load(recipe, [*(set_ or []), *given])
    with console.Bars(quiet=quiet or as_json) as report:
        found = searches.explore(loaded, work=work, report=report)
    console.show_search(found.told, folder=found.folder, as_json=as_json)
    if not found.passed:
        raise typer.Exit(1)
