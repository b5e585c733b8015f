"""Two evaluations on the same rows: what fell is found, what did not is not, and what can't be compared is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from stillroom import compare, intervals, power, written_slices
from stillroom.cli import app
from stillroom.core import artifact, objects, plugins, proofs, spelling
from stillroom.core.artifact import Draft, Store
from stillroom.core.errors import InputError
from stillroom.core.probabilities import softmax
from stillroom.core.proofs import Mark
from stillroom.core.tagging import Span
from stillroom.metrics import Answers, Metric
from stillroom.metrics._corrections import Corrected
from stillroom.metrics._spans import Spans
from stillroom.table import SLICES, STATISTICS, TABLE, Table, write_statistics, write_table
from tests.conftest import Travelled

METRICS = ("accuracy", "macro_f1", "nll", "negative_flips")
LABELS = ("a", "b", "c")
ALL = slice(None)


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

    return written(work, name, told, METRICS)


def written(work: Path, name: str, told: Table, metrics: Sequence[str]) -> Path:
    """The folder of an evaluation that this table was judged in."""
    members = [plugins.build("metrics", one) for one in metrics]

    def make(draft: Draft) -> None:
        write_table(told, draft.folder / TABLE)
        write_statistics(told, members, draft.folder / STATISTICS)
        written_slices.write(told, members[0], draft.folder / SLICES)

    return Store(work).obtain("evaluation", settings={"name": name}, inputs={}, make=make).folder


def labelled(
    work: Path, name: str, *, lost: float = 0.0, label: str = "", rows: int = 400, noise: int = 1, kept: slice = ALL,
    false: float = 0.0, known: int = 4, metrics: Sequence[str] = ("span_f1", "span_f1_partial"),
) -> Path:  # fmt: skip
    """A student of spans that misses some, and so many more of one label, of which it sees so many where none is.

    Every tenth row is outside; `known` labels are said to be some.
    """
    rng, own = np.random.default_rng(0), np.random.default_rng(noise)
    labels = ("person", "place", "thing", "time")
    gold = [tuple(Span(10 * at, 10 * at + 4, one) for at, one in enumerate(rng.choice(labels, int(rng.integers(1, 5)))))
            for _ in range(rows)]  # fmt: skip
    teacher = [tuple(one for one in some if rng.random() > 0.05) for some in gold]
    said = [tuple(one for one in some if own.random() > 0.1 + lost * (one.label == label)) for some in gold]
    if false:
        seen = np.random.default_rng(noise + 1).random(rows) < false
        said = [(*some, Span(50, 54, label)) if more else some for some, more in zip(said, seen, strict=True)]
    columns = [objects.array(one[kept]) for one in (gold, teacher, said)]
    some = np.arange(rows)[kept]
    texts = [" ".join(["four"] * 12) for _ in some]
    sides = {"teacher": columns[1], "student": columns[2]}
    told = Table(
        ids=tuple(f"r{row}" for row in some),
        domain=("",) * len(some),
        outside=some % 10 == 0,
        aspects={"length": rng.integers(5, 200, rows).astype(np.float64)[kept]},
        said={who: Spans(columns[0], one, columns[1], labels[:known], texts=texts) for who, one in sides.items()},
        columns={},
    )
    return written(work, name, told, metrics)


def of_label(folder: Path, label: str, *, rows: range = range(400)) -> float:
    """F1 of the spans of a label, as they were written down, of all test rows."""
    hits = total = 0
    for row in pq.read_table(folder / TABLE).to_pylist():
        if row["outside"] or int(row["id"][1:]) not in rows:
            continue
        gold, said = ({(one["start"], one["end"]) for one in row[name] if one["label"] == label}
                               for name in ("gold", "spans.student"))  # fmt: skip
        hits, total = hits + len(gold & said), total + len(gold) + len(said)
    return 2 * hits / total


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


def test_a_kind_of_span_that_fell_is_named_and_no_other(tmp_path: Path) -> None:
    good, bad = labelled(tmp_path, "a"), labelled(tmp_path, "b", lost=0.15, label="place")
    found = compare.compare(good, bad)
    fell = {(one["family"], one["name"]) for one in found["slices"] if one["state"] == "regression"}
    assert ("label", "place") in fell
    by_label = {one["name"]: one for one in found["slices"] if one["family"] == "label"}
    assert set(by_label) == {"person", "place", "thing", "time"}
    by_hand = of_label(bad, "place") - of_label(good, "place")
    assert by_label["place"]["change"]["value"] == pytest.approx(by_hand, abs=1e-6)
    assert by_hand < -0.08
    assert {one["state"] for name, one in by_label.items() if name != "place"} == {"unchanged"}
    assert "label “place”" in found["regressions"]
    assert not compare.passed(found)
    assert {one["family"] for one in compare.compare(good, good)["slices"]} == {"label", "length"}


def test_of_what_stands_inside_rows_those_count_that_both_were_tested_on(tmp_path: Path) -> None:
    good = labelled(tmp_path, "a", kept=slice(0, 340))
    bad = labelled(tmp_path, "b", lost=0.3, label="place", kept=slice(60, 400))
    found = compare.compare(good, bad)
    place = next(one for one in found["slices"] if one["name"] == "place")
    by_hand = [of_label(one, "place", rows=range(60, 340)) for one in (good, bad)]
    assert place["change"]["value"] == pytest.approx(by_hand[1] - by_hand[0], abs=1e-6)
    assert place["state"] == "regression"
    assert found["rows"]["both"] == 252


def test_spans_that_are_seen_where_none_is_count_against_their_label(tmp_path: Path) -> None:
    good, bad = labelled(tmp_path, "a"), labelled(tmp_path, "b", false=0.3, label="place")
    assert of_label(bad, "place") < of_label(good, "place") - 0.1
    for one, other, state in ((good, bad, "regression"), (bad, good, "better")):
        place = next(part for part in compare.compare(one, other)["slices"] if part["name"] == "place")
        assert place["change"]["value"] == pytest.approx(of_label(other, "place") - of_label(one, "place"), abs=1e-6)
        assert place["state"] == state


def test_what_stands_inside_rows_and_cant_be_compared_is_told_with_the_reason(tmp_path: Path) -> None:
    whole, fewer = labelled(tmp_path, "a"), labelled(tmp_path, "b", known=3)
    other = labelled(tmp_path, "c", metrics=("span_f1_partial", "span_f1"))
    few = [one for one in compare.compare(fewer, whole)["slices"] if one["state"] == "not measurable"]
    assert [(one["name"], one["change"]["reason"]) for one in few] == [("time", "the earlier run has no label “time”")]
    found = compare.compare(whole, other)["slices"]
    assert {one["name"]: one["state"] for one in found if one["family"] == "label"} == dict.fromkeys(
        ("person", "place", "thing", "time"), "not measurable")  # fmt: skip
    told = "what stands inside rows was judged otherwise than by `span_f1_partial`: the earlier run by `span_f1`"
    assert {one["change"]["reason"] for one in found if one["family"] == "label"} == {told}
    assert {one["state"] for one in found if one["family"] == "length"} == {"unchanged"}


def test_a_slice_that_a_metric_is_not_about_is_not_asked_for_more_rows(tmp_path: Path) -> None:
    """False flags are of texts that are right as they are: of those with mistakes no number of rows would tell."""
    folder = proofread(tmp_path, "a", lost=0.1, clean=60, metrics=("false_flags", "edit_f05"))
    (part,) = (one for one in compare.compare(folder, folder)["slices"] if one["name"] == "some")
    assert (part["state"], part["n"]) == ("not measurable", 0)
    assert part["change"]["reason"] == "no row of errors “some” is what false_flags is about"


def proofread(
    work: Path, name: str, *, lost: float, clean: int = 0, metrics: Sequence[str] = ("edit_f05", "edit_recall")
) -> Path:
    """A proofreader of a hundred texts with a mistake of each of two kinds: it misses some, and more misspellings.

    So many `clean` ones have none.
    """
    rng, rows = np.random.default_rng(5), 100
    text, right = "he have recieved a cat", "he has received a cat"
    gold = [
        (proofs.reference(text, text if row < clean else right, is_word=spelling.dictionary().__contains__),)
        for row in range(rows)
    ]
    both = [(Mark(3, "word:has"), 0.9), (Mark(8, "spell"), 0.9)]
    misses = (rng.random(rows) < 0.1, rng.random(rows) < 0.1 + lost)
    said = [[one for one, missed in zip(both, some, strict=True) if not missed] for some in zip(*misses, strict=True)]
    columns = [objects.array(one) for one in (gold, [both] * rows, said, [text] * rows)]
    sides = {"teacher": columns[1], "student": columns[2]}
    answered = {who: Corrected(columns[0], one, columns[1], columns[3]) for who, one in sides.items()}
    told = Table(tuple(map(str, range(rows))), ("",) * rows, np.zeros(rows, dtype=np.bool_), {}, answered, {})
    return written(work, name, told, metrics)


def test_a_kind_of_correction_that_fell_is_named_and_no_other(tmp_path: Path) -> None:
    found = compare.compare(proofread(tmp_path, "a", lost=0.0), proofread(tmp_path, "b", lost=0.5))
    states = {one["name"]: one["state"] for one in found["slices"] if one["family"] == "topic"}
    assert states == {"spelling": "regression", "agreement": "unchanged"}
    assert "topic “spelling”" in found["regressions"]


def test_kinds_of_spans_that_differ_by_chance_are_told_apart_no_more_often_than_stated(tmp_path: Path) -> None:
    runs = [labelled(tmp_path, str(seed), noise=seed) for seed in range(1, 21)]
    told = [compare.compare(one, other)["slices"] for one, other in zip(runs[::2], runs[1::2], strict=True)]
    assert sum(any(one["state"] != "unchanged" for one in some) for some in told) <= 2


def many(work: Path, name: str, *, lost: int = -1, noise: int = 0) -> Path:
    """Of 130 classes with 31 rows each a student knows all, but for the one it `lost` and one row in ten of `noise`."""
    classes = 130
    gold = np.repeat(np.arange(classes), 31)
    wrong = (gold == lost) | (np.random.default_rng(noise).random(len(gold)) < 0.1 * bool(noise))
    right, said = (softmax(8.0 * np.eye(classes)[one]) for one in (gold, np.where(wrong, (gold + 1) % classes, gold)))
    labels, rows = tuple(f"class {one:03d}" for one in range(classes)), len(gold)
    answers = {
        who: Answers(gold, one, right, labels, named=True) for who, one in {"teacher": right, "student": said}.items()
    }
    told = Table(tuple(map(str, range(rows))), ("",) * rows, np.zeros(rows, dtype=np.bool_), {}, answers, {})
    return written(work, name, told, ("accuracy",))


def test_one_slice_of_hundreds_that_fell_to_nothing_is_a_regression(tmp_path: Path) -> None:
    found = compare.compare(many(tmp_path, "a"), many(tmp_path, "b", lost=77))
    by_class = {one["name"]: one for one in found["slices"] if one["family"] == "class"}
    assert len(by_class) == 130
    assert [name for name, one in by_class.items() if one["state"] == "regression"] == ["class 077"]
    assert by_class["class 077"]["change"]["value"] == -1
    assert by_class["class 077"]["q"] < 0.001
    assert not compare.passed(found)


def test_hundreds_of_slices_that_differ_by_chance_are_told_apart_no_more_often_than_stated(tmp_path: Path) -> None:
    found = compare.compare(many(tmp_path, "a", noise=1), many(tmp_path, "b", noise=2))["slices"]
    by_class = [one["change"]["value"] for one in found if one["family"] == "class"]
    assert len(by_class) == 130
    assert min(by_class) < -0.15
    assert {one["state"] for one in found} == {"unchanged"}


@given(n=st.integers(30, 200), fell=st.integers(1, 30), rose=st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_a_change_that_no_resample_can_show_has_about_the_p_of_the_sign_test(n: int, fell: int, rose: int) -> None:
    """Of n rows so many fell and rose; the exact p of as many signs or more."""
    rows = np.repeat([-1.0, 1.0, 0.0], [fell, min(rose, n - fell), max(0, n - fell - rose)])
    drawn = np.random.default_rng(0).multinomial(n, np.unique(rows, return_counts=True)[1] / n, size=2000)
    resampled = drawn @ np.unique(rows) / n
    p = compare._chance(intervals.Estimate(float(rows.mean()), resampled, np.zeros(1), n))
    counts = int((rows < 0).sum()), int((rows > 0).sum())
    exact = stats.binomtest(min(counts), sum(counts), 0.5).pvalue
    assert exact / 4 < p < max(exact**0.75, 1.3 * exact) or p == 1


def test_slices_are_those_of_the_evaluation(travelled: Travelled) -> None:
    folder = travelled.run.folder
    known = {(one["family"], one["name"]): one for one in travelled.run.summary["slices"]}
    found = compare.compare(folder, folder)["slices"]
    assert {one["family"] for one in found} >= {"class", "length", "teacher_confidence"}
    for one in found:
        assert known[one["family"], one["name"]]["n"] == one["n"]


def test_an_evaluation_without_slices_is_refused_with_what_to_do(tmp_path: Path) -> None:
    good, old = evaluation(tmp_path, "a"), evaluation(tmp_path, "b")
    (old / SLICES).unlink()
    with pytest.raises((InputError, artifact.ArtifactError), match=r"slices\.parquet"):
        compare.compare(old, good)


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
        z, what = stats.norm.ppf(1 - 0.05 / len(METRICS) / 2), f"would show a change of {size:.3g} with 80 % power."
        allowed = size * z / (z + stats.norm.ppf(0.8))
        if half <= allowed:
            assert (one["more_rows"], one["power"]) == (0, f"These rows {what}")
            continue
        assert one["more_rows"] == pytest.approx(300 * ((half / allowed) ** 2 - 1), abs=1)
        assert one["power"] == f"About {one['more_rows']:,} more rows {what}"
        assert any(one["power"] in line for line in compare.told(found))
    for part in found["slices"]:
        assert part["state"] == "unchanged"
        assert f" more rows of {part['family']} “{part['name']}” would" in part["power"]
    wide = compare.compare(*runs, margin=0.5)["metrics"]["accuracy"]
    assert (wide["more_rows"], wide["power"]) == (0, "These rows would show a change of 0.5 with 80 % power.")
    small = compare.compare(*runs)["metrics"]["accuracy"]
    assert small["more_rows"] == rows_to_show(small["change"], abs(small["change"]["value"]))


def rows_to_show(change: dict[str, Any], size: float) -> int | None:
    ends, level = (change["value"], change["low"], change["high"]), 1 - 0.05 / len(METRICS)
    return power.to_show(*ends, size=size, confidence=level, n=change["n"])


def test_what_is_worse_says_how_many_rows_would_show_whether_it_is_past_the_margin(tmp_path: Path) -> None:
    good, bad = evaluation(tmp_path, "a", rows=600), evaluation(tmp_path, "b", lost=0.06, rows=600)
    fell = compare.compare(good, bad)["metrics"]["accuracy"]["change"]
    margin = -fell["value"] + 0.004
    told = compare.compare(good, bad, margin=margin)["metrics"]["accuracy"]
    assert told["state"] == "worse"
    assert told["more_rows"] == pytest.approx(rows_to_show(fell, 0.004), rel=1e-4)
    assert "whether it fell by more than" in told["power"]
    rose = compare.compare(good, bad)["metrics"]["negative_flips"]["change"]["value"] + 0.004
    other = compare.compare(good, bad, margin=rose)["metrics"]["negative_flips"]
    assert other["state"] == "worse"
    assert f"whether it rose by more than {rose:.3g} with 80 % power" in other["power"]


def test_a_slice_that_shows_a_change_only_by_itself_says_that_the_correction_decides() -> None:
    accuracy: Metric = plugins.build("metrics", "accuracy")
    alone = intervals.Interval(0.01, 0.001, 0.02, 400)
    told = compare._power(accuracy, alone, "unchanged", margin=0.0, confidence=0.95)
    assert told["more_rows"] == 0
    assert "correction for several slices decides" in told["power"]


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
