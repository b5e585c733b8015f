"""Two evaluations on the same rows: what fell is found, what did not is not, and what can't be compared is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from stillroom import compare, intervals, power
from stillroom.cli import app
from stillroom.core import artifact, plugins
from stillroom.core.artifact import Draft, Store
from stillroom.core.errors import InputError
from stillroom.core.probabilities import softmax
from stillroom.metrics import Answers, Metric
from stillroom.table import STATISTICS, TABLE, Table, write_statistics, write_table
from tests.conftest import Travelled

METRICS = ("accuracy", "macro_f1", "nll", "negative_flips")
LABELS = ("a", "b", "c")


def evaluation(
    work: Path, name: str, *, lost: float = 0.0, on: str = "", rows: int = 1200, first: int = 0, noise: int = 1
) -> Path:
    """A student that errs here and there, and so often more on rows of the year `on` (all, where that is "")."""
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, rows)
    year = rng.integers(2000, 2003, rows)
    teacher = softmax(rng.normal(size=(rows, 3)) + 3.0 * np.eye(3)[gold])
    known = rng.normal(size=(rows, 3)) + 2.5 * np.eye(3)[gold]
    own = np.random.default_rng(noise)
    forgets = (own.random(rows) < lost) & ((year.astype(str) == on) | (not on))
    student = softmax(np.where(forgets[:, None], np.roll(known, 1, axis=1), known))
    told = Table(
        ids=tuple(f"r{first + row}" for row in range(rows)),
        domain=("films",) * rows,
        outside=np.zeros(rows, dtype=np.bool_),
        aspects={"length": rng.integers(5, 200, rows).astype(np.float64)},
        said={"teacher": Answers(gold, teacher, teacher, LABELS), "student": Answers(gold, student, teacher, LABELS)},
        columns={"year": tuple(map(str, year))},
    )

    def make(draft: Draft) -> None:
        write_table(told, draft.folder / TABLE)
        write_statistics(told, [plugins.build("metrics", one) for one in METRICS], draft.folder / STATISTICS)

    return Store(work).obtain("evaluation", settings={"name": name}, inputs={}, make=make).folder


def test_a_run_beside_itself_is_unchanged_in_everything(tmp_path: Path) -> None:
    same = evaluation(tmp_path, "a")
    found = compare.compare(same, same)
    assert set(found["metrics"]) == set(METRICS)
    assert {one["state"] for one in [*found["metrics"].values(), *found["slices"]]} == {"unchanged"}
    assert all(one["change"]["value"] == 0 for one in found["metrics"].values())
    assert found["rows"] == {"both": 1200, "only_before": 0, "only_after": 0}
    assert compare.passed(found)


def test_what_fell_is_a_regression_and_the_other_way_round_it_is_better(tmp_path: Path) -> None:
    good, bad = evaluation(tmp_path, "a"), evaluation(tmp_path, "b", lost=0.1)
    fell, rose = compare.compare(good, bad), compare.compare(bad, good)
    for metric in ("accuracy", "macro_f1", "nll", "negative_flips"):
        assert fell["metrics"][metric]["state"] == "regression"
        assert rose["metrics"][metric]["state"] == "better"
        change = fell["metrics"][metric]["change"]
        assert change["value"] == pytest.approx(-rose["metrics"][metric]["change"]["value"], rel=1e-5)
    assert not compare.passed(fell)
    assert compare.passed(rose)


def test_figures_are_those_of_the_metrics_themselves(tmp_path: Path) -> None:
    found = compare.compare(evaluation(tmp_path, "a"), evaluation(tmp_path, "b", lost=0.1))
    told = found["metrics"]["accuracy"]
    assert told["after"] - told["before"] == pytest.approx(told["change"]["value"], abs=1e-6)
    assert 0.8 < told["before"] < 1
    assert told["change"]["n"] == 1200


def test_a_fall_within_the_margin_is_told_and_is_no_regression(tmp_path: Path) -> None:
    good, bad = evaluation(tmp_path, "a"), evaluation(tmp_path, "b", lost=0.04)
    assert compare.compare(good, bad)["metrics"]["accuracy"]["state"] == "regression"
    wide = compare.compare(good, bad, margin=0.2)
    assert wide["metrics"]["accuracy"]["state"] == "worse"
    assert compare.passed(wide)


def test_a_slice_that_fell_is_named_though_the_whole_hardly_moved(tmp_path: Path) -> None:
    found = compare.compare(evaluation(tmp_path, "a"), evaluation(tmp_path, "b", lost=0.15, on="2001"))
    fell = {(one["family"], one["name"]) for one in found["slices"] if one["state"] == "regression"}
    assert ("year", "2001") in fell
    assert not {("year", "2000"), ("year", "2002")} & fell
    assert not any(one["state"] == "better" for one in found["slices"])
    assert "year “2001”" in found["regressions"]


def test_slices_that_differ_by_chance_are_neither_worse_nor_better(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path, str(seed), lost=0.08, noise=seed) for seed in range(1, 13)]
    told = [compare.compare(one, other)["slices"] for one, other in zip(runs[::2], runs[1::2], strict=True)]
    assert sum(any(one["state"] != "unchanged" for one in some) for some in told) <= 2


def test_students_that_err_as_often_on_other_rows_are_told_apart_no_more_often_than_stated(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path, str(seed), lost=0.08, noise=seed) for seed in range(1, 13)]
    told = [compare.compare(one, other) for one, other in zip(runs[::2], runs[1::2], strict=True)]
    assert sum(bool(one["regressions"]) for one in told) <= 2


def test_what_is_unchanged_says_how_many_rows_would_show_a_change_of_the_margin(tmp_path: Path) -> None:
    runs = [evaluation(tmp_path, str(seed), lost=0.08, noise=seed, rows=300) for seed in (1, 2)]
    found = compare.compare(*runs, margin=0.02)
    open_ = {name: one for name, one in found["metrics"].items() if one["state"] == "unchanged"}
    assert open_
    for name, one in open_.items():
        member: Metric = plugins.build("metrics", name)
        size = 0.02 * (member.high - member.low)
        half = max(one["change"]["high"] - one["change"]["value"], one["change"]["value"] - one["change"]["low"])
        if half <= size:
            assert (one["more_rows"], one["power"]) == (0, f"These rows would show a change of {size:.3g}.")
            continue
        assert one["more_rows"] == pytest.approx(300 * ((half / size) ** 2 - 1), abs=1)
        assert one["power"] == f"About {one['more_rows']:,} more rows would show a change of {size:.3g}."
        assert any(one["power"] in line for line in compare.told(found))
    for part in found["slices"]:
        assert part["state"] == "unchanged"
        assert f" more rows of {part['family']} “{part['name']}” would" in part["power"]
    wide = compare.compare(*runs, margin=0.5)["metrics"]["accuracy"]
    assert (wide["more_rows"], wide["power"]) == (0, "These rows would show a change of 0.5.")
    small = compare.compare(*runs)["metrics"]["accuracy"]
    assert small["more_rows"] == intervals_to_zero(small["change"])


def intervals_to_zero(change: dict[str, Any]) -> int | None:
    return power.to_settle(change["value"], change["low"], change["high"], limit=0.0, n=change["n"])


def test_what_is_worse_says_how_many_rows_would_show_whether_it_is_past_the_margin(tmp_path: Path) -> None:
    good, bad = evaluation(tmp_path, "a", rows=600), evaluation(tmp_path, "b", lost=0.06, rows=600)
    fell = compare.compare(good, bad)["metrics"]["accuracy"]["change"]
    margin = -fell["value"] + 0.004
    told = compare.compare(good, bad, margin=margin)["metrics"]["accuracy"]
    assert told["state"] == "worse"
    expected = power.to_settle(fell["value"], fell["low"], fell["high"], limit=-margin, n=600)
    assert told["more_rows"] == expected
    assert "whether it fell by more than" in told["power"]


def test_a_slice_of_too_few_rows_is_told_and_how_many_more_it_needs(tmp_path: Path) -> None:
    one, other = evaluation(tmp_path, "a", rows=60), evaluation(tmp_path, "b", rows=60, lost=0.05)
    found = compare.compare(one, other)
    few = [one for one in found["slices"] if one["state"] == "not measurable"]
    assert {one["family"] for one in few} >= {"length", "year"}
    for part in few:
        needed = f"{part['n']} rows; 30 are needed: {30 - part['n']} more of {part['family']} “{part['name']}”"
        assert part["change"]["reason"] == needed
    assert any(line.startswith(f"{len(few)} of {len(found['slices'])} slices can't") for line in compare.told(found))


def test_only_rows_of_both_count_and_another_test_is_refused(tmp_path: Path) -> None:
    here, later = evaluation(tmp_path, "a"), evaluation(tmp_path, "b", first=300)
    assert compare.compare(here, later)["rows"] == {"both": 900, "only_before": 300, "only_after": 300}
    with pytest.raises(InputError, match="the same test"):
        compare.compare(here, evaluation(tmp_path, "c", first=5000))


def test_what_is_no_evaluation_is_refused_with_its_name(tmp_path: Path) -> None:
    other = Store(tmp_path).obtain("corpus", settings={}, inputs={}, make=lambda draft: None).folder
    with pytest.raises(InputError, match="an evaluation"):
        compare.compare(other, other)
    empty = Store(tmp_path).obtain("evaluation", settings={}, inputs={}, make=lambda draft: None).folder
    with pytest.raises(InputError, match="test rows"):
        compare.compare(empty, empty)


def test_two_runs_on_the_command_line(travelled: Travelled) -> None:
    folder = str(travelled.run.folder)
    told = CliRunner().invoke(app, ["compare", folder, folder, "--json"])
    assert told.exit_code == 0
    found: dict[str, Any] = json.loads(told.stdout)
    assert found["regressions"] == []
    assert {one["cost"] for one in found["costs"]} >= {"texts_per_second", "disk_mb"}
    shown = CliRunner().invoke(app, ["compare", folder, folder])
    assert shown.exit_code == 0
    assert "accuracy" in shown.stdout


def test_the_command_says_no_where_something_regressed(tmp_path: Path) -> None:
    good, bad = evaluation(tmp_path, "a"), evaluation(tmp_path, "b", lost=0.1)
    told = CliRunner().invoke(app, ["compare", str(good), str(bad)])
    assert told.exit_code == 1
    assert "Regressed past the margin: accuracy" in told.stdout
    assert CliRunner().invoke(app, ["compare", str(bad), str(good)]).exit_code == 0


def test_a_damaged_evaluation_is_refused(tmp_path: Path) -> None:
    good = evaluation(tmp_path, "a")
    (good / STATISTICS).write_bytes(b"nothing")
    with pytest.raises(artifact.ArtifactError):
        compare.compare(good, good)


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_false_discoveries_are_corrected_as_scipy_does(p: list[float]) -> None:
    assert intervals.benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p).tolist(), abs=1e-12)
