"""What people see: the only place that knows about colour. Data go to stdout, talk goes to stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from stillroom.console.bars import Bars
from stillroom.console.streams import data, talk
from stillroom.core.errors import StillroomError

if TYPE_CHECKING:
    from stillroom.cascade import Certified
    from stillroom.journey import Run
    from stillroom.proofread import Proofread

__all__ = ["Bars", "data", "talk"]

_SIDES = ("teacher", "student", "undistilled", "baseline")
_SEVERITIES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_STATES = {"pass": "green", "fail": "red", "inconclusive": "yellow", "not measurable": "yellow"}


def fail(error: StillroomError, *, as_json: bool) -> None:
    """Show an error: every problem with its place, what was found, what was expected, and what to do."""
    if as_json:
        data.print_json(json.dumps(error.as_dict()))
        return
    for problem in error.problems:
        lines = (
            f"[bold red]✗[/bold red] [bold]{escape(problem.where)}[/bold]",
            f"  found     {escape(problem.found)}",
            f"  expected  {escape(problem.expected)}",
            f"  to do     {escape(problem.todo)}",
        )
        talk.print("\n".join(lines), soft_wrap=True)  # a path that is broken over two lines can't be copied


def show_json(value: object) -> None:
    """One JSON document on stdout."""
    data.print(json.dumps(value, indent=2, ensure_ascii=False), markup=False)


def show_run(run: Run, *, as_json: bool) -> None:
    """What a run has come to: its comparison and documents, or, where it stopped early, its last artifact."""
    if as_json:
        show_json({**run.summary, "stages": run.stages, "documents": [str(path) for path in run.documents]})
        return
    if run.summary:
        show_summary(run.summary)
        done = [name for name, one in run.stages.items() if one["reused"]]
        talk.print(f"[dim]reused: {', '.join(done) or 'nothing'}[/dim]")
        for path in (run.folder / "summary.json", *run.documents):
            data.print(str(path), markup=False)
        return
    for name, found in run.artifacts.items():
        reused = " (reused)" if run.stages[name]["reused"] else ""
        data.print(f"{name}: {found.folder}{reused}", markup=False)


def show_examination(found: Mapping[str, Any], *, as_json: bool) -> None:
    """What the doctor found, and what could not be looked at."""
    if as_json:
        show_json(found)
        return
    show_findings(found["findings"])
    if not found["findings"]:
        data.print("Nothing is found to be wrong.")
    show_unseen(found["unseen"])


def show_unseen(unseen: Sequence[Mapping[str, Any]]) -> None:
    """What the doctor could not look at, each with the reason."""
    for one in unseen:
        talk.print(f"[dim]not looked at: {escape(one['symptom'])}: {escape(one['reason'])}[/dim]", soft_wrap=True)


def show_findings(findings: Sequence[Mapping[str, Any]]) -> None:
    """Each finding with what shows it, what it comes from and what to change."""
    for one in findings:
        style = _SEVERITIES[one["severity"]]
        chance = "" if one["p_holm"] is None else f" [dim](p = {one['p_holm']:.2g}, corrected)[/dim]"
        follows = f" [dim]follows from {escape(one['follows_from'])}[/dim]" if one["follows_from"] else ""
        keys = f" [dim]({escape(', '.join(one['keys']))})[/dim]" if one["keys"] else ""
        lines = [
            f"[{style}]{one['severity']}[/] [bold]{escape(one['symptom'])}[/bold]{chance}{follows}",
            f"  found     {escape(one['told'])}",
            f"  cause     {escape(one['cause'])}",
            f"  to do     {escape(one['change'])}{keys}",
        ]
        for fact in one["evidence"]:
            value = fact["value"] if isinstance(fact["value"], str) else number(fact["value"])
            where = escape(f"{fact['artifact']} {fact['field']}")
            lines.append(f"            {escape(fact['name'])} {escape(value)} [dim]{where}[/dim]")
        data.print("\n".join(lines))


def show_proofs(found: Iterable[Proofread], *, as_json: bool, brief: bool) -> int:
    """Show what is found in files, as it is found; how much of it is left.

    `brief`: the names of files alone.
    """
    files = []
    left = 0
    for one in found:
        left += 0 if one.fixed else len(one.findings)
        if as_json:
            files.append(one.as_dict())
        elif brief and one.findings:
            data.print(f"{one.path}: {len(one.findings)} to correct", markup=False)
        elif not brief:
            data.file.writelines(f"{one.path}:{finding.as_line()}\n" for finding in one.findings)
        for cut in one.cuts:
            talk.print(f"{one.path}: characters {cut.start}–{cut.end}: {cut.why}", markup=False, soft_wrap=True)
        if one.fixed and not as_json:
            talk.print(f"{one.path}: {len(one.findings)} corrected", markup=False, soft_wrap=True)
    if as_json:
        show_json({"files": files, "left": left})
    return left


def show_search(found: Mapping[str, Any], *, folder: Path, as_json: bool) -> None:
    """The points that a search finished, the cheapest first, and what was chosen and confirmed."""
    if as_json:
        show_json(found)
        return
    from stillroom.search import FILE, PAGE, page

    table = Table(title=f"{found['name']}: finished points (★ on the frontier, → chosen)", title_justify="left")
    for title in ("", "point", "dev", "of teacher", "texts/s", "× teacher", "p50 ms", "MB", "price / 1 M"):
        table.add_column(title, justify="left" if title in ("", "point") else "right")
    for point in found["points"]:
        signs = ("→" if point["name"] == found["chosen"]["name"] else "") + ("★" if point["frontier"] else "")
        table.add_row(signs, *[escape(one) for one in page.cells(point)], style="dim" if point["beyond"] else None)
    data.print(table)
    for sentence in page.sentences(found):
        data.print(escape(sentence))
    for path in (folder / FILE, folder / PAGE, found["chosen"]["bundle"], *found["confirmed"]["documents"]):
        data.print(str(path), markup=False)


def show_web(found: Mapping[str, Any], *, as_json: bool) -> None:
    """A folder that runs a student in a browser, and how to look at it."""
    if as_json:
        show_json(found)
        return
    told = f"{found['folder']}: {found['files']} files, {found['size_mb']:.1f} MB, runner {found['runner']}."
    data.print(escape(told))
    data.print(escape(f"Look at it: python -m http.server --directory {found['folder']}"))


def show_changes(found: Mapping[str, Any], *, as_json: bool) -> None:
    """What changed from one run to another: metrics, the slices and gates that did, and costs."""
    if as_json:
        show_json(found)
        return
    from stillroom import compare

    table = Table(title=f"{found['before']} → {found['after']}", title_justify="left")
    for title in ("", "before", "after", "change", "rows", "state"):
        table.add_column(title, justify="left" if title in ("", "state") else "right")
    for name, one in found["metrics"].items():
        _change(table, name, one)
    for one in found["slices"]:
        if one["state"] not in ("unchanged", "not measurable"):
            _change(table, f"{one['family']}: {one['name']}", one)
    for one in found["costs"]:
        table.add_row(one["cost"].replace("_", " "), number(one["before"]), number(one["after"]),
                      f"× {one['ratio']:.3g}", "", "")  # fmt: skip
    data.print(table)
    for one in found["gates"]:
        if one["before"] != one["after"]:
            data.print(escape(f"gate {one['measure']}: {one['before'] or 'none'} → {one['after'] or 'none'}"))
    for sentence in compare.told(found):
        data.print(escape(sentence))


def _change(table: Table, name: str, one: Mapping[str, Any]) -> None:
    style = {"better": "green", "worse": "yellow", "regression": "bold red"}.get(one["state"], "dim")
    table.add_row(escape(name), number(one.get("before")), number(one.get("after")), interval(one["change"]),
                  f"{one['change']['n']:,}", f"[{style}]{one['state']}[/]")  # fmt: skip


def show_cascade(found: Certified, *, as_json: bool) -> None:
    """What a cascade's certificate says, what each threshold comes to, and what is escalated of each group."""
    if as_json:
        kept = {"page": str(found.page), "bundle": None if found.bundle is None else str(found.bundle.folder)}
        show_json({**found.told, **kept})
        return
    from stillroom.cascade import page

    data.print(_thresholds(found.told["steps"], title=f"{found.told['name']}: thresholds, strict to loose"))
    if found.told["groups"]:
        table = Table(title="escalation by group", title_justify="left")
        for title in ("group", "rows", "escalated", "wrong, of all its texts"):
            table.add_column(title, justify="left" if title == "group" else "right")
        told = [one for one in found.told["groups"] if one["escalated"]["value"] is not None]
        for one in told:
            table.add_row(escape(f"{one['family']}: {one['name']}"), f"{one['n']:,}", interval(one["escalated"]),
                          interval(one["wrong"]))  # fmt: skip
        data.print(table)
        if few := len(found.told["groups"]) - len(told):
            talk.print(f"[dim]{few} groups more have too few rows: the page names them[/dim]")
    for sentence in page.sentences(found.told):
        data.print(escape(sentence))
    for path in (found.page, found.bundle.folder if found.bundle is not None else None):
        if path is not None:
            data.print(str(path), markup=False)


def show_traffic(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Whether a certificate holds for other texts."""
    if as_json:
        show_json(found)
        return
    from stillroom.cascade import traffic

    if found["steps"]:
        data.print(_thresholds(found["steps"], title=f"{found['name']} on {found['file']}"))
    for sentence in traffic.sentences(found):
        data.print(escape(sentence))


def _thresholds(steps: Sequence[Mapping[str, Any]], *, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in ("", "confidence ≥", "answered", "wrong", "bound", "escalated", "paid, of the teacher's price"):
        table.add_column(name, justify="right")
    for one in steps:
        sign = "[green]✓[/]" if one["passed"] else "[red]✗[/]"
        paid = interval(one["paid"]) if one["paid"]["value"] is not None else "–"
        table.add_row(sign, number(one["threshold"]), f"{one['answered']:,}", f"{one['wrong']:,}",
                      number(one["bound"]), interval(one["escalated"]), paid)  # fmt: skip
    return table


def show_listing(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Families with their members."""
    if as_json:
        show_json(found)
        return
    for family, members in found.items():
        data.print(f"[bold]{family}[/bold]")
        for name, purpose in members.items():
            data.print(f"  {name:<18} {escape(purpose)}")


def show_summary(summary: Mapping[str, Any]) -> None:
    """The comparison of a finished run, its verdict and its gates."""
    data.print(_comparison(summary))
    verdict = summary.get("verdict") or {}
    if verdict.get("sentence"):
        data.print(escape(verdict["sentence"]))
    if gap := summary.get("gap"):
        data.print(escape(gap["sentence"]))
    speedup = summary.get("speedup")
    if speedup:
        data.print(f"Speed-up {speedup['value']:,.0f}× the fp32 teacher on one thread (rounds {speedup['low']:,.0f}–"
                   f"{speedup['high']:,.0f})")  # fmt: skip
    if summary.get("gates"):
        data.print(_gates(summary["gates"]))
    show_findings(summary.get("findings") or [])
    show_unseen(summary.get("unseen") or [])


def _comparison(summary: Mapping[str, Any]) -> Table:
    table = Table(title=f"{summary['name']}: teacher and student", title_justify="left")
    table.add_column("")
    for side in _SIDES:
        table.add_column(side, justify="right")
    metrics = list(summary["teacher"].get("scores") or {})
    for metric in metrics:
        table.add_row(metric, *[interval((_scores(summary, side)).get(metric)) for side in _SIDES])
    retention = summary.get("retention") or {}
    for metric, value in retention.items():
        table.add_row(f"kept of {metric}", "", interval(value), "", "")
    for name in ("agreement", "negative_flips"):
        table.add_row(name.replace("_", " "), "", interval(summary.get(name)), "", "")
    for title, path in (("texts/s, 1 thread", ("texts_per_second",)), ("p50 ms", ("latency_ms", "p50")),
                        ("p99 ms", ("latency_ms", "p99")), ("resident MB", ("resident_mb",)),
                        ("disk MB", ("disk_mb",)), ("parameters", ("parameters",)),
                        ("price / 1 M texts", ("price_per_million_texts",))):  # fmt: skip
        table.add_row(
            title, *[number(_dig(summary[side].get("cost"), path)) for side in ("teacher", "student")], "", ""
        )
    return table


def _scores(summary: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (summary.get(side) or {}).get("scores") or {}
    return found


def _dig(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _gates(gates: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="gates", title_justify="left")
    for title in ("state", "measure", "limit", "measured", "why"):
        table.add_column(title)
    for gate in gates:
        sign = "≥" if gate["sense"] == "at_least" else "≤"
        words = " ".join(escape(str(gate[one])) for one in ("reason", "advice") if gate.get(one))
        state = f"[{_STATES.get(gate['state'], '')}]{gate['state']}[/]"
        table.add_row(state, escape(gate["measure"]), f"{sign} {gate['limit']:g}", interval(gate), words)
    return table


def interval(value: Any) -> str:
    """A figure with its interval, in four digits."""
    if not isinstance(value, Mapping) or value.get("value") is None:
        return "–"
    if value.get("low") is None or value.get("high") is None:
        return number(value["value"])
    return f"{number(value['value'])} [dim]({number(value['low'])}–{number(value['high'])})[/dim]"


def number(value: Any) -> str:
    """A number as people read it."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.4f}" if value and abs(value) < 2 else f"{value:.3f}"
