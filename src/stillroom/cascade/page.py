"""A cascade as a page that needs no network, no script and no other file: a curve, the groups, every threshold."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import svg

from stillroom.documents.report import drawing

_WIDTH, _HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 540, 18, 272
_BAR = 220
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
svg.curve{width:100%;max-width:640px;height:auto;font-size:12px}svg.bar{width:220px;height:14px;vertical-align:middle}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.25rem .6rem;text-align:right}
.wide{overflow-x:auto}
td:first-child,th:first-child{text-align:left}tr.taken{font-weight:600}tr.beyond{opacity:.65}
.grid{stroke:#ddd}.edge{fill:none;stroke:#2a6f97;stroke-width:2}.bound{fill:none;stroke:#2a6f97;stroke-dasharray:3 3}
.dot{fill:#2a6f97}.ring{fill:none;stroke:#b5460f;stroke-width:2.5}.limit{stroke:#b5460f;stroke-dasharray:6 4}
.share{fill:#2a6f97}.reach{stroke:#222;stroke-width:1.5}.ground{fill:#eee}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#16191c}text{fill:#ddd}.grid{stroke:#333}
.ground{fill:#2a2e33}.reach{stroke:#ddd}}
"""


def render(found: Mapping[str, Any]) -> str:
    """The page, from what the JSON of the cascade holds."""
    name = html.escape(str(found["name"]))
    told = "".join(f"<p>{html.escape(one)}</p>" for one in sentences(found))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name} · cascade</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{name}: the student first, its teacher where it is not sure</h1>\n{told}"
        f"<h2>What is escalated against what goes wrong</h2>{_curve(found)}\n"
        f'<h2>Escalation by group</h2><div class="wide">{_groups(found["groups"])}</div>\n'
        f'<h2>Every threshold</h2><div class="wide">{_steps(found)}</div></body></html>\n'
    )


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What was certified or not, what it rests on and what it is worth, in words."""
    rows, level = found["rows"], f"{1 - found['delta']:.0%}"
    told = [
        f"{rows['held_out']:,} held-out rows with the teacher's answers, the run's test: {rows['calibration']:,} drawn "
        f"by chance calibrate how sure the student is, the other {rows['certification']:,} certify."
    ]
    certificate = found["certificate"]
    if certificate is None:
        return [*told, f"Cannot certify: {found['reason']}.", found["advice"]]
    taken = next(one for one in reversed(found["steps"]) if one["passed"])
    told.append(
        f"Certified with {level} confidence: at most {certificate['bound']:.2%} of all texts are answered by the "
        f"student and otherwise than its teacher would (asked were {found['epsilon']:.2%}; seen "
        f"{certificate['wrong']:,} of {certificate['n']:,}). Of the texts that the student answers, at most "
        f"{certificate['selective_bound']:.2%} (seen {certificate['wrong']:,} of {certificate['answered']:,})."
    )
    told.append(f"The teacher sees {_percent(taken['escalated'])} of the texts; {_paid(taken['paid'])}.")
    return [*told, found["holds_for"]]


def _paid(paid: Mapping[str, Any]) -> str:
    if paid["value"] is None:
        return f"what that costs is not measurable: {paid['reason']}"
    return f"you pay {_percent(paid)} of what the teacher costs for everything"


def _percent(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "–"
    return f"{one['value']:.1%} ({one['low']:.1%}–{one['high']:.1%})"


def _curve(found: Mapping[str, Any]) -> str:
    steps: Sequence[Mapping[str, Any]] = found["steps"]
    shown = [one for one in steps if one["bound"] <= 4 * found["epsilon"]] or steps[:1]
    heights = drawing.nice(0.0, max([found["epsilon"], *(one["bound"] for one in shown)]) * 100)
    across = drawing.Scale(0.0, 100.0, _LEFT, _RIGHT)
    up = drawing.Scale(heights[0], heights[-1], _BOTTOM, _TOP)
    parts: list[svg.Element] = []
    for height in heights:
        y = up.at(height)
        parts.append(svg.Line(x1=_LEFT, y1=y, x2=_RIGHT, y2=y, class_=["grid"]))
        parts.append(drawing.words(f"{height:g} %", x=_LEFT - 8, y=y + 4, anchor="end"))
    for share in (0.0, 25.0, 50.0, 75.0, 100.0):
        parts.append(drawing.words(f"{share:g} %", x=across.at(share), y=_BOTTOM + 18))
    limit = up.at(found["epsilon"] * 100)
    parts.append(svg.Line(x1=_LEFT, y1=limit, x2=_RIGHT, y2=limit, class_=["limit"]))
    places = [(across.at(100 * one["escalated"]["value"]), one) for one in shown]
    for class_, value in (("bound", "bound"), ("edge", "error")):
        parts.append(drawing.polyline(((x, up.at(100 * one[value])) for x, one in places), class_))
    for x, one in places:
        told = drawing.title(f"confidence ≥ {one['threshold']:.4f}")
        parts.append(svg.Circle(elements=[told], cx=x, cy=up.at(100 * one["error"]), r=3.5, class_=["dot"]))
    passed = [(x, one) for x, one in places if one["passed"]]
    if passed and found["certificate"] is not None:
        x, one = passed[-1]
        parts.append(svg.Circle(cx=x, cy=up.at(100 * one["error"]), r=8, class_=["ring"]))
    parts.append(drawing.words("of the texts go to the teacher", x=(_LEFT + _RIGHT) / 2, y=_BOTTOM + 44))
    title = ("Share of texts answered otherwise than by the teacher (solid) and its upper bound (dotted) against the "
             "share that is escalated; dashed: what was asked, ringed: the threshold that is taken")  # fmt: skip
    described = "; ".join(f"{100 * one['escalated']['value']:.1f} % escalated, {100 * one['error']:.2f} % wrong, "
                          f"bound {100 * one['bound']:.2f} %" for _, one in places)  # fmt: skip
    picture = svg.SVG(elements=parts, viewBox=svg.ViewBoxSpec(0, 0, _WIDTH, _HEIGHT), class_=["curve"])
    return f"{drawing.markup(picture, said=title, described=described)}<p>{title}.</p>"


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    if not groups:
        return "<p>Nothing to tell: there is no threshold, or nothing that rows could be told apart by.</p>"
    rows = "".join(
        f"<tr><td>{html.escape(one['family'])}: {html.escape(one['name'])}</td><td>{one['n']:,}</td>"
        f"<td>{_told(one['escalated'])}</td><td>{_bar(one)}</td><td>{_told(one['wrong'])}</td></tr>"
        for one in groups
    )
    titles = ("group", "rows", "escalated", "", "wrong, of all its texts")
    head = "".join(f"<th>{one}</th>" for one in titles)
    return (
        f"<table><tr>{head}</tr>{rows}</table>"
        "<p>Intervals of 95 % each, on the rows that certify; the certificate is for all texts together, and says "
        "nothing of a group alone.</p>"
    )


def _told(one: Mapping[str, Any]) -> str:
    return html.escape(one["reason"]) if one["value"] is None else _percent(one)


def _bar(group: Mapping[str, Any]) -> str:
    one = group["escalated"]
    if one["value"] is None:
        return ""
    parts: list[svg.Element] = [
        svg.Rect(x=0, y=2, width=_BAR, height=10, class_=["ground"]),
        svg.Rect(x=0, y=2, width=round(_BAR * one["value"], 2), height=10, class_=["share"]),
        svg.Line(x1=round(_BAR * one["low"], 2), y1=7, x2=round(_BAR * one["high"], 2), y2=7, class_=["reach"]),
    ]
    picture = svg.SVG(elements=parts, viewBox=svg.ViewBoxSpec(0, 0, _BAR, 14), class_=["bar"])
    return drawing.markup(picture, said=f"{group['name']}: {_percent(one)} escalated")


def _steps(found: Mapping[str, Any]) -> str:
    titles = ("confidence at least", "rows answered", "of these wrong", "bound, of all", "bound, of the answered",
              "escalated", "paid, of the teacher's price")  # fmt: skip
    passed = [one for one in found["steps"] if one["passed"]]
    lines = []
    for one in found["steps"]:
        class_ = "taken" if passed and one is passed[-1] else "" if one["passed"] else "beyond"
        cells = (f"{one['threshold']:.4f}", f"{one['answered']:,}", f"{one['wrong']:,}", f"{one['bound']:.2%}",
                 f"{one['selective_bound']:.2%}", _percent(one["escalated"]), _percent(one["paid"]))  # fmt: skip
        lines.append(f'<tr class="{class_}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    return f"<table><tr>{''.join(f'<th>{one}</th>' for one in titles)}</tr>{''.join(lines)}</table>"
