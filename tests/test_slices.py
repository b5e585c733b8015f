import itertools

import numpy as np
import pytest

from stillroom import slices
from stillroom.core import objects, plugins, proofs, recipe
from stillroom.core.probabilities import softmax
from stillroom.core.proofs import Mark
from stillroom.core.tagging import Span
from stillroom.metrics import Answers
from stillroom.metrics._corrections import Corrected
from stillroom.metrics._spans import Spans
from stillroom.table import Table

LABELS = ("a", "b", "c")
SETTINGS = recipe.Evaluate(resamples=300, min_slice_rows=50)


def table(*, test: int = 600, outside: int = 150, seed: int = 0, lost: tuple[str, float] = ("", 0.0)) -> Table:
    """A student that is its teacher, save on the slice `lost` (a class), where it is wrong that often."""
    rng = np.random.default_rng(seed)
    rows = test + outside
    gold = rng.integers(0, 3, rows)
    right = rng.random(rows) < 0.9
    strength = rng.uniform(0.5, 3.0, rows)
    predicted = np.where(right, gold, (gold + 1) % 3)
    teacher = strength[:, None] * (predicted[:, None] == np.arange(3))
    name, share = lost
    forgets = (np.array(LABELS)[gold] == name) & (rng.random(rows) < share)
    student = np.where(forgets[:, None], np.roll(teacher, 1, axis=1), teacher)
    return Table(
        ids=tuple(f"r{row}" for row in range(rows)),
        domain=("films",) * test + ("tweets",) * (outside // 2) + ("goods",) * (outside - outside // 2),
        outside=np.arange(rows) >= test,
        aspects={"length": rng.integers(5, 200, rows).astype(np.float64)},
        said={
            name: Answers(gold, softmax(one), softmax(teacher), labels=LABELS)
            for name, one in {"teacher": teacher, "student": student}.items()
        },
        columns={
            "year": tuple(str(2000 + row % 3) for row in range(rows)),
            "key": tuple(f"k{row}" for row in range(rows)),
        },
    )


def with_column(values: list[str]) -> Table:
    """The table with one column."""
    return Table(**{**vars(table()), "columns": {"theirs": tuple(values)}})


def by_family(cut: list[slices.Slice]) -> dict[str, list[slices.Slice]]:
    families: dict[str, list[slices.Slice]] = {}
    for part in cut:
        families.setdefault(part.family, []).append(part)
    return families


def compare(table: Table, settings: recipe.Evaluate = SETTINGS) -> list[slices.Finding]:
    return slices.compare(
        table,
        slices.cut(table),
        metric=plugins.build("metrics", "accuracy"),
        settings=settings,
        rng=np.random.default_rng(1),
    )


class TestCut:
    def test_a_family_shares_out_its_rows(self) -> None:
        whole = table()
        families = by_family(slices.cut(whole))
        assert set(families) == {"class", "length", "domain", "teacher_confidence", "year"}
        for family, parts in families.items():
            members = np.concatenate([part.members for part in parts])
            expected = np.arange(750) if family == "domain" else whole.test
            np.testing.assert_array_equal(np.sort(members), expected)
            assert len({part.name for part in parts}) == len(parts)

    def test_classes_and_domains_are_named_as_they_are(self) -> None:
        families = by_family(slices.cut(table()))
        assert [part.name for part in families["class"]] == ["a", "b", "c"]
        assert [part.name for part in families["domain"]] == ["films", "goods", "tweets"]

    def test_fifths_go_from_small_to_large_and_are_about_equal(self) -> None:
        whole = table()
        fifths = by_family(slices.cut(whole))["length"]
        assert len(fifths) == 5
        assert all(100 <= len(part.members) <= 140 for part in fifths)
        ranges = [
            (whole.aspects["length"][part.members].min(), whole.aspects["length"][part.members].max())
            for part in fifths
        ]
        assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))
        assert fifths[0].name == f"1 of 5: {ranges[0][0]:.0f}–{ranges[0][1]:.0f}"

    def test_equal_values_stay_together(self) -> None:
        whole = table()
        whole.aspects["length"][:] = np.where(np.arange(750) % 10 < 7, 20, 90)
        fifths = by_family(slices.cut(whole))["length"]
        assert [part.name for part in fifths] == ["1 of 2: 20–20", "2 of 2: 90–90"]

    def test_a_family_of_one_slice_is_left_out(self) -> None:
        whole = table(outside=0)
        whole.aspects["length"][:] = 20
        assert set(by_family(slices.cut(whole))) == {"class", "teacher_confidence", "year"}

    def test_of_what_is_counted_there_is_none_or_one_or_more_and_rows_without_a_number_are_in_no_slice(self) -> None:
        whole = table()
        amounts = np.resize([0.0, 0.0, 1.0, 2.0, 5.0, np.nan], 750)
        counted = Table(**{**vars(whole), "aspects": {"negation": amounts, "entity_density": amounts / 10}})
        families = by_family(slices.cut(counted))
        assert [(part.name, len(part.members)) for part in families["negation"]] == [
            ("none", 200), ("1", 100), ("2 or more", 200)
        ]  # fmt: skip
        assert sum(len(part.members) for part in families["entity_density"]) == 500
        nothing = Table(**{**vars(whole), "aspects": {"negation": np.full(750, np.nan), "depth": np.full(750, np.nan)}})
        assert not {"negation", "depth"} & set(by_family(slices.cut(nothing)))

    def test_a_column_that_names_rows_is_no_family_and_is_told_with_the_reason(self) -> None:
        whole = table()
        assert "key" not in by_family(slices.cut(whole))
        (told,) = slices.uncut(whole)
        assert (told["family"], told["name"]) == ("column", "key")
        assert told["slices"]["value"] is None
        assert told["slices"]["reason"].startswith("600 values in 600 rows, and not all are numbers: 50 at most")

    def test_a_column_of_numbers_is_cut_into_fifths_named_by_their_range(self) -> None:
        whole = with_column([f"{(row * 37) % 750 - 100.5}" for row in range(750)])
        parts = by_family(slices.cut(whole))["theirs"]
        assert [len(part.members) for part in parts] == [120] * 5
        values = np.array([float(one) for one in whole.columns["theirs"]])
        for number, part in enumerate(parts, start=1):
            low, high = values[part.members].min(), values[part.members].max()
            assert part.name == f"{number} of 5: {low:.3f}–{high:.3f}"
        assert slices.uncut(whole) == []

    def test_rows_without_a_number_are_in_no_fifth(self) -> None:
        parts = by_family(slices.cut(with_column(["" if row % 3 else str(row) for row in range(750)])))["theirs"]
        assert sum(len(part.members) for part in parts) == 200
        assert parts[0].name == "1 of 5: 0–117"

    def test_a_few_numbers_are_told_apart_one_by_one(self) -> None:
        parts = by_family(slices.cut(with_column([str(row % 10) for row in range(750)])))["theirs"]
        assert [part.name for part in parts] == list("0123456789")
        more = by_family(slices.cut(with_column([str(row % 11) for row in range(750)])))["theirs"]
        assert [part.name for part in more] == [
            "1 of 5: 0–2",
            "2 of 5: 3–4",
            "3 of 5: 5–6",
            "4 of 5: 7–8",
            "5 of 5: 9–10",
        ]

    @pytest.mark.parametrize("other", ["n/a", "1_000", "nan", "inf"])
    def test_one_value_that_is_no_number_makes_it_a_column_of_words(self, other: str) -> None:
        whole = with_column([other if row == 3 else str(row) for row in range(750)])
        assert "theirs" not in by_family(slices.cut(whole))
        assert [one["name"] for one in slices.uncut(whole)] == ["theirs"]

    def test_classes_are_cut_however_many_they_are(self) -> None:
        labels = tuple(f"class {number:02d}" for number in range(60))
        gold = np.arange(750) % 60
        sure = np.eye(60)[gold]
        said = {name: Answers(gold, sure, sure, labels=labels) for name in ("teacher", "student")}
        parts = by_family(slices.cut(Table(**{**vars(table()), "said": said})))
        assert [part.name for part in parts["class"]] == list(labels)

    def test_rows_without_a_value_are_in_no_slice_of_the_column(self) -> None:
        whole = table()
        columns = {"year": tuple("" if row % 2 else value for row, value in enumerate(whole.columns["year"]))}
        years = by_family(slices.cut(Table(**{**vars(whole), "columns": columns})))["year"]
        assert sum(len(part.members) for part in years) == 300

    def test_rows_outside_of_a_domain_that_also_has_test_rows_are_told_apart(self) -> None:
        whole = table()
        same = Table(**{**vars(whole), "domain": ("films",) * 750})
        assert [part.name for part in by_family(slices.cut(same))["domain"]] == ["films", "films (outside)"]


class TestCompare:
    def test_a_student_that_is_its_teacher_keeps_everything_everywhere(self) -> None:
        for finding in compare(table()):
            assert finding.retention.as_dict() == {
                "value": 1.0,
                "low": 1.0,
                "high": 1.0,
                "n": len(finding.slice.members),
            }
            assert finding.negative_flips["count"] == 0
            assert finding.teacher == finding.student

    def test_the_class_that_was_forgotten_is_the_worst_slice(self) -> None:
        findings = compare(table(lost=("b", 0.3)))
        worst = slices.worst(findings, confidence=0.95)
        assert (worst["family"], worst["name"]) == ("class", "b")
        assert worst["retention"]["low"] < worst["retention"]["value"] < worst["retention"]["high"] < 0.9
        kept = {finding.slice.name: finding.retention.value for finding in findings if finding.slice.family == "class"}
        assert kept["a"] == kept["c"] == 1.0
        assert worst["retention"]["value"] == pytest.approx(kept["b"])

    def test_the_score_of_a_class_is_its_recall(self) -> None:
        whole = table(lost=("b", 0.3))
        found = next(one for one in compare(whole) if one.slice.name == "b")
        student = whole.said["student"].take(whole.test)
        assert isinstance(student, Answers)
        recall = (student.probabilities[student.gold == 1].argmax(axis=1) == 1).mean()
        assert found.student.value == pytest.approx(recall)

    def test_spans_that_are_seen_where_none_is_count_against_their_label(self) -> None:
        """Of 300 texts 100 have an `a`, which both find; the student sees one in 100 others."""
        a, b = Span(0, 4, "a"), Span(5, 9, "b")
        gold = objects.array([(a, b) if row < 100 else (b,) for row in range(300)])
        said = objects.array([(a, b) if row < 200 else (b,) for row in range(300)])
        both = {name: Spans(gold, one, gold, ("a", "b")) for name, one in {"teacher": gold, "student": said}.items()}
        whole = Table(**{**vars(table(test=300, outside=0)), "said": both})
        parts = [one for one in slices.cut(whole) if one.family == "label"]
        found = slices.compare(whole, parts, metric=plugins.build("metrics", "span_f1"), settings=SETTINGS,
                               rng=np.random.default_rng(0))  # fmt: skip
        kept = {one.slice.name: (len(one.slice.members), one.retention.value) for one in found}
        assert kept == {"a": (200, pytest.approx(2 / 3)), "b": (300, 1.0)}

    def test_a_slice_that_the_metric_is_not_about_is_not_asked_for_more_rows(self) -> None:
        mark = (Mark(3, "word:has"), 0.9)
        text = "he have a cat"
        gold = objects.array([(proofs.reference(text, text if row < 80 else "he has a cat", is_word=bool),)
                              for row in range(160)])  # fmt: skip
        said = objects.array([[mark]] * 160)
        one = Corrected(gold, said, said, objects.array([text] * 160))
        whole = Table(**{**vars(table(test=160, outside=0)), "said": {"teacher": one, "student": one}})
        found = slices.compare(whole, slices.cut(whole), metric=plugins.build("metrics", "false_flags"),
                               settings=SETTINGS, rng=np.random.default_rng(0))  # fmt: skip
        told = {part.slice.name: part.as_dict() for part in found if part.slice.family == "errors"}
        assert told["none"]["state"] == "measured"
        assert told["some"]["reason"] == "no row of errors “some” is what false_flags is about"

    def test_a_small_slice_is_not_measurable_and_says_why(self) -> None:
        settings = recipe.Evaluate(resamples=200, min_slice_rows=100)
        goods = next(one for one in compare(table(), settings) if one.slice.name == "goods").as_dict()
        assert goods["state"] == "not measurable"
        assert goods["reason"] == "75 rows; 100 are needed: 25 more of domain “goods”"
        assert goods["retention"]["value"] is None
        assert goods["negative_flips"]["n"] == 75

    def test_a_slice_on_which_the_teacher_is_never_right_has_no_retention(self) -> None:
        whole = table()
        teacher = whole.said["teacher"]
        assert isinstance(teacher, Answers)
        teacher.probabilities[teacher.gold == 2] = [0.9, 0.05, 0.05]
        third = next(one for one in compare(whole) if one.slice.name == "c").as_dict()
        assert third["state"] == "not measurable"
        assert third["teacher"]["value"] == 0.0
        assert "zero" in third["reason"]

    def test_without_a_measurable_slice_there_is_no_worst(self) -> None:
        findings = compare(table(test=40, outside=0), recipe.Evaluate(resamples=200, min_slice_rows=100))
        worst = slices.worst(findings, confidence=0.95)
        assert worst["retention"]["value"] is None
        assert worst["retention"]["reason"]
