"""What is drawn in a report: scales, whiskers, bins and curves stand where the figures say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import svg
from hypothesis import given
from hypothesis import strategies as st

from stillroom.documents import Evidence
from stillroom.documents.report import Report, drawing, panels
from tests.documents.evidence import bins, full, interval, log


@given(low=st.floats(-1e6, 1e6), span=st.floats(0, 1e6), count=st.integers(1, 8))
def test_ticks_hold_what_they_are_of(low: float, span: float, count: int) -> None:
    ticks = drawing.nice(low, low + span, count=count)
    slack = 1e-6 * max(1.0, abs(low), span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 2 * count + 3
    assert ticks == sorted(set(ticks))


@given(values=st.lists(st.floats(0.01, 1e9), min_size=2, max_size=8), log_scale=st.booleans())
def test_a_scale_keeps_order(values: list[float], log_scale: bool) -> None:
    scale = drawing.Scale(min(values), max(values), 10, 90, log=log_scale)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10 <= place <= 90 for place in places)


def test_a_strip_has_its_dot_between_its_whiskers() -> None:
    page = Report().render(Evidence(full(), log()))
    strip = next(one for one in re.findall(r'<svg[^>]*class="strip"[^>]*role="img".*?</svg></svg>', page))
    drawn = ElementTree.fromstring(strip)  # noqa: S314  our own
    whisker = next(one for one in drawn.iter("line") if str(one.get("class")).startswith("whisker"))
    (mark,) = list(drawn.iter("svg"))[1:]
    low, high, dot = (float(str(at).rstrip("%")) for at in (whisker.get("x1"), whisker.get("x2"), mark.get("x")))
    assert low < dot < high


def test_bins_are_drawn_with_their_rows() -> None:
    teacher, student = panels.reliability(Evidence(full()))
    for panel, found in ((teacher, bins(1.15)), (student, bins(1.0))):
        told = [one.text for one in ElementTree.fromstring(panel.picture).iter("text") if one.get("class") == "count"]  # noqa: S314  our own
        assert told == [str(one["n"]) for one in found if one["n"]]


def test_the_ring_stands_where_dev_chooses() -> None:
    rows = [
        {"epoch": 1, "dev": {"accuracy": 0.8, "loss": 0.5}},
        {"epoch": 2, "dev": {"accuracy": 0.9, "loss": 0.4}},
        {"epoch": 3, "dev": {"accuracy": 0.9, "loss": 0.3}},
        {"epoch": 4, "dev": {"accuracy": 0.9, "loss": 0.3}},
    ]
    drawn = panels.curves(Evidence({"retention": {"accuracy": interval(0.9, 0.1)}}, rows))
    assert [panel.note for panel in drawn if panel.note] == ["Best on dev at epoch 3: 90.0 % (ringed)."]


def test_one_epoch_is_enough_for_a_curve() -> None:
    (panel,) = panels.curves(Evidence({}, log()[:1]))[:1]
    assert panel.picture.count("<circle") == 4


@given(said=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1))
def test_words_stay_words(said: str) -> None:
    """The library writes words as they are given."""
    said += "<b>&\"'"
    written = drawing.markup(svg.SVG(elements=[drawing.words(said, x=0, y=0)]), said=said, described=said)
    drawn = ElementTree.fromstring(written)  # noqa: S314  our own
    assert [(one.tag, one.text) for one in drawn] == [("title", said), ("desc", said), ("text", said)]
    assert drawn.get("aria-label") == f"{said}. {said}"
