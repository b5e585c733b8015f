"""Commands that look at what is there: runs, artifacts, families; and that write a recipe to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stillroom.cli._app import WORK, AsJson, Quiet, Work, app


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
    task: Annotated[str, typer.Option(help="What is to be done: stillroom list tasks.")] = "",
    student: Annotated[str, typer.Option(help="The student's kind; by itself one that suits the task.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a recipe to start from."""
    from stillroom import console, starter

    written = starter.write(path, task=task, student=student)
    if as_json:
        console.show_json({"recipe": str(written)})
    else:
        console.data.print(f"Wrote {written}. Check it: stillroom check {written}", markup=False)
