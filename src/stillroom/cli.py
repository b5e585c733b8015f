"""The command line: each command loads its inputs, calls the function of the same name and shows what it returns."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

# Looking through every installed package for plugins of pydantic takes a tenth of a first prediction.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# Torch's threads wait for each other in a loop that keeps its core busy. Where others are at work on the machine, that
# made small steps 3 to 15 times slower; a shorter wait costs nothing where nobody is.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import typer

from stillroom.core import processes
from stillroom.core.errors import StillroomError, missing_extra

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, help=__doc__
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, in TOML.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Lay a value over the recipe.")]
Work = Annotated[Path, typer.Option(help="Where artifacts and runs are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, errors included.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
WORK = Path("work")
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
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="A JSON object a line, as it comes.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask the student: about texts, or about any number of them in files and from stdin."""
    from stillroom import console, runtime
    from stillroom import predict as predictions

    predictor = runtime.load(folder, runner=runner, verify=verify)
    rows = predictions.given(texts) if texts else predictions.lines(file or ["-"], column=column, whole=whole)
    alone = quiet or as_json or (out is None and sys.stdout.isatty())  # a bar and data would share the screen
    with console.Bars(quiet=alone) as report:
        found = predictions.answers(predictor, rows, length=length, report=report)
        as_written = predictions.as_json if as_json else predictions.as_jsonl if as_jsonl else predictions.as_lines
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


@app.command()
def show(
    what: Annotated[Path, typer.Argument(help="The folder of a run or of an artifact.")], as_json: AsJson = False
) -> None:
    """Show a finished run, or what an artifact is."""
    from stillroom import console, journey

    found = journey.look(what)
    if as_json or "teacher" not in found:
        console.show_json(found)
    else:
        console.show_summary(found)


@app.command()
def doctor(what: Annotated[Path, typer.Argument(help="The folder of a run.")], as_json: AsJson = False) -> None:
    """Examine a run, finished or broken off; exit code 1 where an error is found."""
    from stillroom import console
    from stillroom import doctor as examiner

    found = examiner.examine(what)
    console.show_examination(found.as_dict(), as_json=as_json)
    if not found.well:
        raise typer.Exit(1)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="The folder of a run, or of an evaluation.")],
    after: Annotated[Path, typer.Argument(help="That of the one to hold against it.")],
    margin: Annotated[float, typer.Option(help="How much a figure may fall, as a share of its range.")] = 0.0,
    confidence: Annotated[float, typer.Option(help="The level of what is shown.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Compare the students of two runs on the same test rows; exit code 1 where a figure fell past the margin."""
    from stillroom import compare as comparer
    from stillroom import console

    found = comparer.compare(before, after, margin=margin, confidence=confidence)
    console.show_changes(found, as_json=as_json)
    if not comparer.passed(found):
        raise typer.Exit(1)


@app.command()
def cascade(
    what: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    epsilon: Annotated[float, typer.Option(help="The share of texts that may be answered unlike the teacher.")] = 0.05,
    delta: Annotated[float, typer.Option(help="How probable it may be that the certificate is wrong.")] = 0.05,
    rows: Annotated[Path | None, typer.Option(help="Other texts, to put the run's certificate to as it is.")] = None,
    teacher: Annotated[str, typer.Option(help="Its column of the teacher's answers; none: the teacher is asked.")] = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Certify when the student may answer and when its teacher has to; exit code 1 where that can't be certified."""
    from stillroom import cascade as cascades
    from stillroom import console

    if rows is not None:
        _judge_traffic(what, rows, teacher=teacher, as_json=as_json, quiet=quiet)
        return
    with console.Bars(quiet=quiet or as_json) as report:
        found = cascades.certify(what, epsilon=epsilon, delta=delta, report=report)
    console.show_cascade(found, as_json=as_json)
    if not found.passed:
        raise typer.Exit(1)


def _judge_traffic(run: Path, rows: Path, *, teacher: str, as_json: bool, quiet: bool) -> None:
    from stillroom import console
    from stillroom.cascade import traffic

    with console.Bars(quiet=quiet or as_json) as report:
        found = traffic.judge(run, rows, teacher=teacher, report=report)
    console.show_traffic(found, as_json=as_json)
    if not traffic.passed(found):
        raise typer.Exit(1)


@app.command("list")
def list_(
    family: Annotated[str | None, typer.Argument(help="A family, such as students; none: all, and the runs.")] = None,
    work: Work = WORK,
    as_json: AsJson = False,
) -> None:
    """List the members of the families, and the runs."""
    from stillroom import console, journey

    console.show_listing(journey.listing(family, work=work), as_json=as_json)


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="The recipe to write.")],
    student: Annotated[str, typer.Option(help="The student's kind.")] = "static",
    as_json: AsJson = False,
) -> None:
    """Write a recipe to start from."""
    from stillroom import console, starter

    written = starter.write(path, student=student)
    if as_json:
        console.show_json({"recipe": str(written)})
    else:
        console.data.print(f"Wrote {written}. Check it: stillroom check {written}", markup=False)


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


if __name__ == "__main__":
    main()
