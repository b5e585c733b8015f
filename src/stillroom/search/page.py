"""The frontier as a page that needs no network, no script and no other file: three pictures and a table."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import svg

from stillroom.documents.report import drawing

_WIDTH, _HEIGHT = 460, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 440, 18, 262
_AXES = (
    ("latency_ms", "median ms a text, alone, one thread"),
    ("disk_mb", "MB on disk"),
    ("price_per_million_texts", "price of a million texts"),
)
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
svg{width:100%;max-width:460px;height:auto;font-size:12px}figure{display:inline-block;margin:0 1rem 1rem 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.25rem .6rem;text-align:right}
td:first-child,th:first-child{text-align:left}tr.frontier{font-weight:600}tr.beyond{opacity:.6}
.grid{stroke:#ddd}.edge{fill:none;stroke:#2a6f97;stroke-width:2}.dot{fill:#999}.dot.frontier{fill:#2a6f97}
.ring{fill:none;stroke:#b5460f;stroke-width:2.5}.teacher{stroke:#b5460f;stroke-dasharray:5 4}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#16191c}text{fill:#ddd}.grid{stroke:#333}}
"""


def render(found: Mapping[str, Any]) -> str:
    """The page of a search, from what its JSON holds."""
    name = html.escape(str(found["name"]))
    figures = "".join(f"<figure>{_panel(found, key, said)}</figure>" for key, said in _AXES)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name} · search</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{name}: students for a budget</h1>\n{''.join(f'<p>{html.escape(one)}</p>' for one in sentences(found))}"
        f"<h2>Quality against cost</h2>{figures}\n<h2>Finished points</h2>{_table(found['points'])}\n"
        f"<h2>Not finished</h2>{_reasons({**found['not_finished'], **found['unfit']})}</body></html>\n"
    )


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What was looked for and what was found, in words."""
    told = [
        f"{len(found['points'])} points were finished in {found['seconds']:,.0f} seconds and judged by "
        f"{found['metric']} on {found['dev_rows']:,} dev rows; the teacher has {found['teacher']['score']:.4f} there."
    ]
    chosen, confirmed = found["chosen"], found["confirmed"]
    if chosen is not None:
        fair = chosen["corrected"]
        told.append(
            f"Chosen: {chosen['name']}, "
            f"the best on dev of the {chosen['of']} within the budget. There it "
            f"has {chosen['score']:.4f}, and {fair['value']:.4f} ({fair['low']:.4f} to {fair['high']:.4f}) once the "
            f"choice is paid for."
        )
    if confirmed is not None:
        test = confirmed["scores"][found["metric"]]
        told.append(
            f"On the test, seen once and by no other point: {test['value']:.4f} "
            f"({test['low']:.4f} to {test['high']:.4f}, {test['n']:,} rows). Run: {confirmed['run']}."
        )
    return told


def _panel(found: Mapping[str, Any], key: str, said: str) -> str:
    points: Sequence[Mapping[str, Any]] = found["points"]
    ticks = drawing.decades(min(one[key] for one in points), max(one[key] for one in points))
    scores = [*(one["score"] for one in points), found["teacher"]["score"]]
    heights = drawing.nice(min(scores), max(scores))
    across = drawing.Scale(ticks[0], ticks[-1], _LEFT + 10, _RIGHT - 10, log=True)
    up = drawing.Scale(heights[0], heights[-1], _BOTTOM - 8, _TOP + 8)
    parts: list[svg.Element] = []
    for score in heights:
        y = up.at(score)
        parts.append(svg.Line(x1=_LEFT, y1=y, x2=_RIGHT, y2=y, class_=["grid"]))
        parts.append(drawing.words(f"{score:g}", x=_LEFT - 6, y=y + 4, anchor="end"))
    for cost in ticks:
        x = across.at(cost)
        parts.append(svg.Line(x1=x, y1=_TOP, x2=x, y2=_BOTTOM, class_=["grid"]))
        parts.append(drawing.words(f"{cost:g}", x=x, y=_BOTTOM + 18))
    teacher = up.at(found["teacher"]["score"])
    parts.append(svg.Line(x1=_LEFT, y1=teacher, x2=_RIGHT, y2=teacher, class_=["teacher"]))
    parts.append(drawing.polyline(((across.at(one[key]), up.at(one["score"])) for one in _edge(points, key)), "edge"))
    chosen = (found["chosen"] or {}).get("name")
    for one in points:
        x, y = across.at(one[key]), up.at(one["score"])
        told = drawing.title(f"{one['name']}: {one['score']:.4f}")
        class_ = ["dot", "frontier"] if one["frontier"] else ["dot"]
        parts.append(svg.Circle(elements=[told], cx=x, cy=y, r=5, class_=class_))
        if one["name"] == chosen:
            parts.append(svg.Circle(cx=x, cy=y, r=9, class_=["ring"]))
    parts.append(drawing.words(said, x=(_LEFT + _RIGHT) / 2, y=_BOTTOM + 42))
    described = "; ".join(f"{one['name']}: {one[key]:.4g}, {one['score']:.4f}" for one in points)
    title = f"{found['metric']} on dev against {said}; dashed: the teacher, ringed: the chosen point"
    picture = svg.SVG(elements=parts, viewBox=svg.ViewBoxSpec(0, 0, _WIDTH, _HEIGHT))
    return drawing.markup(picture, said=title, described=described)


def _edge(points: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """The points that are better than every cheaper one."""
    kept: list[Mapping[str, Any]] = []
    for one in sorted(points, key=lambda point: (point[key], -point["score"])):
        if not kept or one["score"] > kept[-1]["score"]:
            kept.append(one)
    return kept


def _table(points: Sequence[Mapping[str, Any]]) -> str:
    titles = ("point", "dev score", "of the teacher", "texts/s", "× teacher", "p50 ms", "MB", "price / 1 M", "run",
              "bundle")  # fmt: skip
    rows = "".join(
        f'<tr class="{"frontier" if one["frontier"] else ""}{" beyond" if one["beyond"] else ""}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in (*cells(one), one["run"], one["bundle"]))
        + "</tr>"
        for one in points
    )
    return f"<table><tr>{''.join(f'<th>{one}</th>' for one in titles)}</tr>{rows}</table>"


def cells(point: Mapping[str, Any]) -> tuple[str, ...]:
    """A point's figures as people read them."""
    kept, times = point["retention"], point["speedup"]
    return (
        point["name"],
        f"{point['score']:.4f}",
        "–" if kept is None else f"{kept:.1%}",
        f"{point['texts_per_second']:,.0f}",
        "–" if times is None else f"{times:,.1f}",
        f"{point['latency_ms']:.3f}",
        f"{point['disk_mb']:.2f}",
        f"{point['price_per_million_texts']:.2g}",
    )


def _reasons(told: Mapping[str, str]) -> str:
    lines = "".join(f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in told.items())
    return f"<ul>{lines}</ul>" if lines else "<p>Nothing.</p>"
