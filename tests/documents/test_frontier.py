"""Quality against cost: who stands where, who is beaten by whom, and what is not drawn because nobody measured it."""

from __future__ import annotations

import itertools
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom.documents import Evidence
from stillroom.documents.report import Report, frontier
from tests.conftest import Travelled
from tests.documents.evidence import full, interval, log


def found(told: dict[str, Any]) -> dict[str, frontier.Point]:
    here = frontier.of_run(Evidence(told))
    assert here is not None
    return {one.name: one for one in here.points}


def two(*points: tuple[float, float]) -> frontier.Frontier:
    """A run of teacher and student, each with a score and a speed, and the floor."""
    sides = ("teacher", "student")
    systems = {
        side: {"scores": {"accuracy": interval(score, 0.01)}, "cost": {"texts_per_second": rate}}
        for side, (score, rate) in zip(sides, points, strict=True)
    }
    here = frontier.of_run(Evidence({**systems, "retention": {"accuracy": interval(1.0, 0.1)}}))
    assert here is not None
    return here


def test_every_point_of_a_run_stands_where_it_was_measured() -> None:
    told = found(full())
    assert list(told) == ["Student", "Student without the teacher", "onnx", "Teacher", "Baseline"]
    assert told["Student"].cost == 0.000301
    assert (told["Teacher"].cost, told["Teacher"].rate) == (0.094, 118.2)
    assert told["Student without the teacher"].cost == told["Student"].cost, "it is the same network"
    assert told["Baseline"].cost is None


def test_a_form_stands_by_the_one_that_ships() -> None:
    """On dev it loses 0.002 and is a quarter as quick: so it costs four times as much as the student does."""
    form = found(full())["onnx"]
    assert form.cost == pytest.approx(4 * 0.000301)
    assert form.rate == pytest.approx(36_900 / 4)
    assert form.score.value == pytest.approx(0.816 - 0.002)
    assert not form.score.has_interval
    assert form.beaten_by == "Student"


@pytest.mark.parametrize("change", [{"checked_by": "macro_f1"}, {"checked_by": ""}, {"checks": {}}, {"runner": "gone"}])
def test_a_form_that_was_judged_by_something_else_has_no_place(change: dict[str, Any]) -> None:
    told = full()
    told["student"] |= change
    assert "onnx" not in found(told)


def test_a_form_that_was_dropped_has_no_place() -> None:
    told = full()
    told["student"]["checks"]["onnx_int8"] = {"metric_loss": -0.1, "texts_per_second": 99_000}
    assert "onnx_int8" not in found(told)


def test_the_frontier_is_who_nobody_beats() -> None:
    assert [one.name for one in two((0.9, 10), (0.8, 1000)).edge] == ["Student", "Teacher"]
    (alone,) = two((0.8, 10), (0.9, 1000)).edge
    assert alone.name == "Student"
    assert two((0.8, 10), (0.9, 1000)).points[1].beaten_by == "Student"
    assert len(two((0.9, 10), (0.9, 10)).edge) == 2, "who is the same as another is not beaten by it"


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(1, 1e6)), min_size=2, max_size=2))
def test_the_edge_only_climbs_and_nobody_stands_above_it(points: list[tuple[float, float]]) -> None:
    here = two(points[0], points[1])
    scores = [one.score.value or 0.0 for one in here.edge]
    assert scores == sorted(scores)
    for one in here.known:
        best = max(other.score.value or 0.0 for other in here.edge if (other.cost or 0.0) <= (one.cost or 0.0))
        assert (one.score.value or 0.0) <= best


def test_of_a_metric_that_is_to_be_low_the_lower_is_better() -> None:
    told = {
        side: {"scores": {"nll": interval(score, 0.01)}, "cost": {"texts_per_second": rate}}
        for side, score, rate in (("teacher", 0.5, 10.0), ("student", 0.4, 1000.0))
    }
    here = frontier.of_run(Evidence(told))
    assert here is not None
    assert [one.name for one in here.edge] == ["Student"]


def test_without_prices_it_is_time_that_is_paid() -> None:
    here = two((0.9, 10), (0.8, 1000))
    assert here.axis == "time for a million texts, one thread"
    assert [one.cost for one in here.points] == [1000.0, 100_000.0]


def test_where_no_cost_is_known_nothing_is_drawn() -> None:
    told = full()
    for side in ("teacher", "student"):
        told[side]["cost"] = {}
    evidence = Evidence(told)
    assert frontier.picture(evidence) is None
    assert not frontier.table(evidence).rows
    assert "<strong>Quality against cost:</strong> not measured." in Report().render(evidence)


def test_the_picture_has_marks_stairs_and_a_level_and_no_two_names_meet() -> None:
    panel = frontier.picture(Evidence(full()))
    assert panel is not None
    drawn = ElementTree.fromstring(panel.picture)  # noqa: S314  our own
    marks = [one.get("class") for one in drawn.iter() if str(one.get("class")).startswith("mark")]
    assert sorted(map(str, marks)) == ["mark export", "mark student", "mark teacher", "mark undistilled"]
    assert [one.get("class") for one in drawn.iter("line") if "level" in str(one.get("class"))] == ["level baseline"]
    (edge,) = [one for one in drawn.iter("polyline") if one.get("class") == "edge"]
    places = [tuple(map(float, one.split(","))) for one in str(edge.get("points")).split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(places))
    heights = sorted(float(str(one.get("y"))) for one in drawn.iter("text") if one.get("class") == "name")
    assert len(heights) == 5
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 15


def test_it_stands_right_behind_the_verdict_with_its_table() -> None:
    page = Report().render(Evidence(full(), log()))
    sections = re.findall(r'<section id="(\w+)">', page)
    read_first = ["frontier", "kept", "cost", "lost", "calibration", "forgotten", "contamination"]
    assert sections[: len(read_first)] == read_first
    assert sections[-1] == "limits"
    section = page.partition('<section id="frontier">')[2].partition("</section>")[0]
    assert section.index("<svg") < section.index("Who is good for how much")
    assert "no: beaten by “Student”" in section
    assert "unknown: its cost was not measured" in section
    assert section.count("Source") == 2


def test_a_real_run_has_all_its_points(travelled: Travelled) -> None:
    told = travelled.run.summary
    here = found(told)
    kept = {one["format"] for one in told["student"]["variants"] if one["kept"]} - {told["student"]["runner"]}
    assert {name for name, one in here.items() if one.mark == "export"} == kept
    assert {one.mark for one in here.values()} >= {"teacher", "student", "undistilled", "baseline"}
    assert here["Student"].cost == told["student"]["cost"]["price_per_million_texts"]
