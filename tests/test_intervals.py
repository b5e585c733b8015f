import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from stillroom import intervals, power
from stillroom.intervals import Estimate, Interval, Resamples, Sample
from stillroom.metrics import Floats, ratio


def mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def retention(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def pair(*, both: int, teacher_only: int, student_only: int, neither: int) -> Floats:
    """Right or not of student and teacher, `[rows, 2]`."""
    cells = {(1, 1): both, (0, 1): teacher_only, (1, 0): student_only, (0, 0): neither}
    return np.array([cell for cell, count in cells.items() for _ in range(count)], dtype=np.float64)


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


class TestAgainstScipy:
    """Both draw the same rows from the same generator, so that the intervals are the same and not only alike."""

    def test_a_mean(self) -> None:
        right = np.random.default_rng(1).random(250) < 0.8
        statistics = np.stack([right, np.ones(250)], axis=1)
        ours = intervals.bca(statistics, mean, resamples=2000, confidence=0.95, rng=np.random.default_rng(2))
        theirs = stats.bootstrap((right.astype(float),), np.mean, n_resamples=2000, rng=np.random.default_rng(2))
        assert ends(ours) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-9)

    @pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
    def test_a_ratio_of_pairs(self, confidence: float) -> None:
        rows = pair(both=200, teacher_only=25, student_only=9, neither=40)
        rng = np.random.default_rng(3)
        ours = intervals.bca(rows, retention, resamples=2000, confidence=confidence, rng=rng)
        theirs = stats.bootstrap(
            (rows[:, 0], rows[:, 1]),
            lambda student, teacher, axis=-1: student.sum(axis=axis) / teacher.sum(axis=axis),
            paired=True,
            vectorized=True,
            confidence_level=confidence,
            n_resamples=2000,
            rng=np.random.default_rng(3),
        )
        assert ends(ours) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-9)

    def test_a_skewed_mean_is_accelerated(self) -> None:
        losses = np.random.default_rng(4).exponential(size=120)
        statistics = np.stack([losses, np.ones(120)], axis=1)
        ours = intervals.bca(statistics, mean, resamples=2000, confidence=0.95, rng=np.random.default_rng(5))
        theirs = stats.bootstrap((losses,), np.mean, n_resamples=2000, rng=np.random.default_rng(5))
        assert ends(ours) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def difference(sums: Floats) -> Floats:
    return ratio(sums[..., 0] - sums[..., 1], sums[..., 2])


class TestAgainstScipyOnRandomTables:
    """Tables of pairs and of numbers, of any size and skew: the bias-corrected and accelerated interval is scipy's."""

    @given(rows=st.integers(20, 180), right=st.floats(0.3, 0.95), lost=st.floats(0.02, 0.5),
           gained=st.floats(0.02, 0.5), confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
           seed=st.integers(0, 2**32 - 1))  # fmt: skip
    @settings(max_examples=60, deadline=None)
    def test_retention_difference_and_score_of_pairs(
        self, rows: int, right: float, lost: float, gained: float, confidence: float, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        teacher = rng.random(rows) < right
        student = np.where(teacher, rng.random(rows) >= lost, rng.random(rows) < gained)
        statistics = np.stack([student, teacher, np.ones(rows)], axis=1).astype(np.float64)
        theirs = {
            "retention": lambda one, other, axis=-1: one.sum(axis=axis) / other.sum(axis=axis),
            "difference": lambda one, other, axis=-1: (one.sum(axis=axis) - other.sum(axis=axis)) / rows,
            "score": lambda one, other, axis=-1: one.sum(axis=axis) / rows,
        }
        ours = {"retention": retention, "difference": difference, "score": lambda sums: sums[..., 0] / sums[..., 2]}
        for name, value in ours.items():
            self.same(statistics, value, (statistics[:, 0], statistics[:, 1]), theirs[name], confidence, seed)

    @given(rows=st.integers(10, 150), shape=st.floats(0.3, 4), confidence=st.sampled_from([0.8, 0.9, 0.95]),
           seed=st.integers(0, 2**32 - 1))  # fmt: skip
    @settings(max_examples=40, deadline=None)
    def test_means_and_ratios_of_skewed_numbers(self, rows: int, shape: float, confidence: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        losses, words = rng.gamma(shape, size=rows), rng.integers(1, 40, rows).astype(np.float64)
        statistics = np.stack([losses * words, words], axis=1)
        self.same(statistics, mean, (losses * words, words), lambda one, other, axis=-1: one.sum(axis=axis) / other.sum(
            axis=axis), confidence, seed, ties=False)  # fmt: skip

    @staticmethod
    def same(
        statistics: Floats,
        value: Any,
        columns: tuple[Floats, ...],
        statistic: Any,
        confidence: float,
        seed: int,
        *,
        ties: bool = True,
    ) -> None:
        """Ours is theirs, where the figure moves and so many resamples can show its ends.

        Without `ties`: what is equal but for rounding, as where a resample is all of few rows, counts for a half here.
        """
        drawn = Resamples(len(statistics), count=500, rng=np.random.default_rng(seed))
        estimate = drawn.estimate({"a": Sample(statistics, value)})["a"]
        assume(np.isfinite(estimate.resampled).all() and np.isfinite(estimate.left_out).all())
        near = np.isclose(estimate.resampled, estimate.value, rtol=1e-12, atol=1e-14)
        below = float((estimate.resampled[~near] < estimate.value).sum() + near.sum() / 2) / 500
        assume(not near.all() if ties else not near.any())
        assume(intervals._bca(below, estimate.left_out, confidence=confidence, resamples=500) is not None)
        theirs = stats.bootstrap(columns, statistic, paired=True, vectorized=True, confidence_level=confidence,
                                 n_resamples=500, rng=np.random.default_rng(seed))  # fmt: skip
        assert ends(estimate.interval(confidence)) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-7)


def test_the_case_that_an_unpaired_test_misses() -> None:
    """n = 220, teacher 73.6 %, student 66.4 %, 19 rows lost and 3 gained: the pairing shows what is there."""
    rows = pair(both=143, teacher_only=19, student_only=3, neither=55)
    assert rows.mean(axis=0) == pytest.approx([0.664, 0.736], abs=5e-4)
    kept = intervals.bca(rows, retention, resamples=5000, confidence=0.95, rng=np.random.default_rng(0))
    assert kept.value == pytest.approx(0.901, abs=5e-4)
    assert ends(kept) == pytest.approx((0.842, 0.951), abs=3e-3)
    assert intervals.mcnemar(19, 3) == pytest.approx(0.0009, abs=5e-5)
    unpaired = (rows[:, 1].mean() - rows[:, 0].mean()) / math.sqrt(sum(rows.var(axis=0) / 220))
    assert 2 * stats.norm.sf(unpaired) > 0.09


@pytest.mark.parametrize(("truth", "rows"), [(0.9, 80), (0.5, 200)])
def test_covers_the_truth_about_as_often_as_it_says(truth: float, rows: int) -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for trial in range(200):
        right = rng.random(rows) < truth
        statistics = np.stack([right, np.ones(rows)], axis=1)
        low, high = ends(
            intervals.bca(statistics, mean, resamples=400, confidence=0.9, rng=np.random.default_rng(trial))
        )
        covered += low <= truth <= high
    # 0.9 give or take three standard errors, and as much again for few rows.
    assert 0.8 <= covered / 200 <= 0.97


class TestResamples:
    def test_are_the_same_in_every_pass(self) -> None:
        rows = pair(both=30, teacher_only=5, student_only=2, neither=6)
        drawn = Resamples(len(rows), count=300, rng=np.random.default_rng(7))
        together = drawn.estimate({"a": Sample(rows, retention), "b": Sample(rows[:, ::-1].copy(), retention)})
        alone = drawn.estimate({"a": Sample(rows, retention)})["a"]
        np.testing.assert_array_equal(together["a"].resampled, alone.resampled)
        np.testing.assert_allclose(together["a"].resampled * together["b"].resampled, 1.0)

    def test_do_not_use_up_the_generator(self) -> None:
        rng = np.random.default_rng(8)
        Resamples(10, count=5, rng=rng)
        assert rng.random() == np.random.default_rng(8).random()

    def test_do_not_depend_on_how_they_are_cut_into_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        statistics = np.random.default_rng(9).random((50, 2))
        sample = {"a": Sample(statistics, mean)}
        whole = Resamples(50, count=333, rng=np.random.default_rng(10)).estimate(sample)["a"]
        monkeypatch.setattr(intervals, "_BLOCK", 100)
        monkeypatch.setattr(intervals, "_DRAWS", 3)
        cut = Resamples(50, count=333, rng=np.random.default_rng(10)).estimate(sample)["a"]
        np.testing.assert_allclose(cut.resampled, whole.resampled, rtol=1e-12)
        np.testing.assert_allclose(cut.left_out, whole.left_out, rtol=1e-12)

    def test_a_part_of_the_rows_is_the_whole_with_zeros(self) -> None:
        rng = np.random.default_rng(11)
        statistics = np.stack([rng.random(60) < 0.7, np.ones(60)], axis=1)
        members = np.flatnonzero(rng.random(60) < 0.5)
        masked = np.zeros_like(statistics)
        masked[members] = statistics[members]
        drawn = Resamples(60, count=200, rng=rng)
        part = drawn.estimate({"a": Sample(statistics[members], mean, members)})["a"]
        zeros = drawn.estimate({"a": Sample(masked, mean)})["a"]
        assert part.n == len(members)
        np.testing.assert_allclose(part.resampled, zeros.resampled)
        np.testing.assert_allclose(part.left_out, zeros.left_out)

    def test_leave_each_row_out_once(self) -> None:
        statistics = np.stack([np.arange(6.0), np.ones(6)], axis=1)
        estimate = Resamples(6, count=10, rng=np.random.default_rng(12)).estimate({"a": Sample(statistics, mean)})["a"]
        np.testing.assert_allclose(estimate.left_out, [(15 - row) / 5 for row in range(6)])

    def test_weigh_as_many_rows_as_there_are(self) -> None:
        blocks = list(Resamples(7, count=40, rng=np.random.default_rng(13))._weights())
        weights = np.concatenate(blocks)
        assert weights.shape == (40, 7)
        assert (weights.sum(axis=1) == 7).all()


class TestDegenerateCases:
    def test_figures_that_never_differ_have_an_interval_of_no_width(self) -> None:
        rows = pair(both=40, teacher_only=0, student_only=0, neither=10)
        kept = intervals.bca(rows, retention, resamples=300, confidence=0.95, rng=np.random.default_rng(14))
        assert (kept.value, kept.low, kept.high) == (1.0, 1.0, 1.0)

    def test_a_ratio_to_zero_is_not_measurable(self) -> None:
        rows = pair(both=0, teacher_only=0, student_only=5, neither=10)
        kept = intervals.bca(rows, retention, resamples=300, confidence=0.95, rng=np.random.default_rng(15))
        assert (kept.value, kept.low, kept.high) == (None, None, None)
        assert "zero" in kept.reason

    def test_a_ratio_that_is_often_to_zero_is_not_measurable(self) -> None:
        rows = pair(both=1, teacher_only=1, student_only=3, neither=10)
        kept = intervals.bca(rows, retention, resamples=300, confidence=0.95, rng=np.random.default_rng(16))
        assert kept.value is None
        assert "too few rows" in kept.reason

    def test_one_row_is_too_few(self) -> None:
        one = intervals.bca(np.ones((1, 2)), mean, resamples=200, confidence=0.95, rng=np.random.default_rng(17))
        assert one.value is None

    def test_no_row_moves_the_figure_alone(self) -> None:
        """A constant jackknife has no acceleration; the interval is then the bias-corrected one."""
        resampled = np.random.default_rng(18).normal(size=1000)
        told = Estimate(0.0, resampled, np.zeros(50), 50).interval(0.95)
        low, high = ends(told)
        assert -2.3 < low < -1.6
        assert 1.6 < high < 2.3

    def test_a_figure_outside_its_resamples_gets_the_careful_interval(self) -> None:
        estimate = Estimate(0.0, np.linspace(1.0, 2.0, 1000), np.random.default_rng(19).normal(size=50), 50)
        assert ends(estimate.interval(0.95)) == ends(estimate.careful(0.95)) == pytest.approx((-1.975, 1.975))

    def test_is_cut_to_the_range_of_the_figure(self) -> None:
        estimate = Estimate(0.1, np.linspace(0.1, 0.6, 1000), np.zeros(50), 50)
        assert ends(estimate.careful(0.95, within=(0.0, 0.5))) == (0.0, 0.5)


@pytest.mark.slow
def test_the_smallest_of_noisy_figures_is_not_taken_at_its_word() -> None:
    """Twenty equal parts: the lowest one came out low by chance, and its interval must say so."""
    rng = np.random.default_rng(20)
    covered = percentile = 0
    for trial in range(60):
        right = rng.random((20, 100)) < 0.9
        statistics = np.stack([right.ravel().astype(np.float64), np.ones(2000)], axis=1)
        drawn = Resamples(2000, count=300, rng=np.random.default_rng(trial))
        parts = [np.arange(100) + 100 * number for number in range(20)]
        estimates = drawn.estimate({str(at[0]): Sample(statistics[at], mean, at) for at in parts})
        least = intervals.least(list(estimates.values()))
        assert least.value == pytest.approx(right.mean(axis=1).min())
        low, high = ends(least.careful(0.95))
        covered += low <= 0.9 <= high
        percentile += bool(np.quantile(least.resampled, 0.975) >= 0.9)
    assert covered >= 50
    assert percentile <= 5


class TestClopperPearson:
    @given(n=st.integers(1, 5000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95, 0.99]))
    @settings(max_examples=50, deadline=None)
    def test_agrees_with_statsmodels(self, n: int, share: float, confidence: float) -> None:
        hits = round(share * n)
        told = intervals.clopper_pearson(hits, n, confidence)
        expected = proportion_confint(hits, n, alpha=1 - confidence, method="beta")
        assert ends(told) == pytest.approx(expected, abs=1e-9)
        assert told.value == hits / n

    def test_nothing_found_still_has_an_upper_end(self) -> None:
        low, high = ends(intervals.clopper_pearson(0, 1000, 0.9))
        assert low == 0.0
        assert high == pytest.approx(1 - 0.05 ** (1 / 1000))

    def test_no_rows(self) -> None:
        assert intervals.clopper_pearson(0, 0, 0.95).value is None


@given(b=st.integers(0, 400), c=st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_mcnemar_agrees_with_statsmodels(b: int, c: int) -> None:
    expected = mcnemar_of_statsmodels([[10, b], [c, 10]], exact=True).pvalue if b + c else 1.0
    assert intervals.mcnemar(b, c) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert intervals.mcnemar(b, c) == intervals.mcnemar(c, b)


#: Chances, equal ones and those at the ends among them.
CHANCES = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.02, 0.05, 1.0]), min_size=1, max_size=20)


@given(p=CHANCES)
@settings(max_examples=150, deadline=None)
def test_holm_and_benjamini_hochberg_agree_with_statsmodels(p: list[float]) -> None:
    np.testing.assert_allclose(intervals.holm(p), multipletests(p, method="holm")[1], atol=1e-12)
    np.testing.assert_allclose(intervals.benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], atol=1e-12)


@given(rows=st.integers(1, 120), hit=st.floats(0, 1), part=st.floats(0, 1), lean=st.floats(0, 1),
       seed=st.integers(0, 2**32 - 1))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_more_often_is_fishers_exact_test_of_scipy(rows: int, hit: float, part: float, lean: float, seed: int) -> None:
    """On rows, in any order, with empty margins among them, and with hits that lean to the part."""
    rng = np.random.default_rng(seed)
    inside = rng.random(rows) < part
    hits = rng.random(rows) < np.where(inside, max(hit, lean), hit)
    table = [[int((hits & side).sum()), int((~hits & side).sum())] for side in (inside, ~inside)]
    expected = float(stats.fisher_exact(table, alternative="greater").pvalue)
    assert intervals.more_often(hits, inside) == pytest.approx(expected, rel=1e-7, abs=1e-12)


@given(p=st.lists(st.floats(0, 1), max_size=12))
@settings(max_examples=50, deadline=None)
def test_holm_keeps_the_order_and_lowers_nothing(p: list[float]) -> None:
    adjusted = intervals.holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_tells_json_what_it_knows() -> None:
    assert Interval(1 / 3, 0.25, 0.5, 12).as_dict() == {"value": 0.3333333, "low": 0.25, "high": 0.5, "n": 12}
    unknown = intervals.not_measurable(3, "3 rows; accuracy needs 30").as_dict()
    assert unknown == {"value": None, "low": None, "high": None, "n": 3, "reason": "3 rows; accuracy needs 30"}


# --- two samples --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "others", "m"), [(56, 70, 48, 80), (9, 10, 3, 10), (5, 56, 0, 29), (10, 10, 0, 20)]
)
def test_figures_apart_are_newcombes_where_both_have_wilsons_interval(hits: int, n: int, others: int, m: int) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

    one, other = (
        Interval(k / rows, *map(float, proportion_confint(k, rows, method="wilson")), rows)
        for k, rows in ((hits, n), (others, m))
    )
    low, high = confint_proportions_2indep(hits, n, others, m, method="newcomb", compare="diff")
    found = intervals.apart(one, other)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.n == min(n, m)


def test_figures_apart_cover_the_true_difference_and_need_both() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for one, other in zip(rng.binomial(120, 0.9, 400).tolist(), rng.binomial(80, 0.75, 400).tolist(), strict=True):
        found = intervals.apart(intervals.clopper_pearson(one, 120, 0.95), intervals.clopper_pearson(other, 80, 0.95))
        covered += found.low <= 0.15 <= found.high  # type: ignore[operator]  # both ends are there
    assert covered >= 0.95 * 400
    nothing = intervals.apart(intervals.clopper_pearson(3, 9, 0.95), intervals.not_measurable(0, "no rows"))
    assert (nothing.value, nothing.reason, nothing.n) == (None, "no rows", 0)


@given(value=st.floats(0.1, 0.9), below=st.floats(0.01, 0.3), above=st.floats(0.01, 0.3), limit=st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_so_many_more_rows_bring_the_limit_out_of_the_interval_and_one_less_hardly(
    value: float, below: float, above: float, limit: float
) -> None:
    low, high, n = value - below, value + above, 400
    more = power.to_settle(value, low, high, limit=limit, n=n)
    if more is None:
        assert abs(value - limit) < max(below, above) / 9
        return
    shrunk = math.sqrt(n / (n + more))
    outside = value - below * shrunk >= limit - 1e-9 if value > limit else value + above * shrunk <= limit + 1e-9
    assert outside
    if more > 1:
        wider = math.sqrt(n / (n + more - 1))
        assert value - below * wider < limit < value + above * wider or math.isclose(wider, shrunk, rel_tol=2e-3)


def test_a_standard_deviation_has_the_interval_of_a_normal_law() -> None:
    """It holds the truth as often as it says, and is that of the chi-square law."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        found = intervals.deviation(rng.normal(3.0, 2.0, 4), 0.9)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 2.0 <= found.high
    assert 340 <= held <= 380  # 90 % of 400: fewer or more in 1 of 1,000 times
    found = intervals.deviation(np.array([0.81, 0.83, 0.82]), 0.95)
    assert found.value == pytest.approx(0.01)
    assert found.low == pytest.approx(0.01 * np.sqrt(2 / stats.chi2(2).ppf(0.975)))
    assert intervals.deviation(np.array([0.8]), 0.95).value is None


class TestWithinGroups:
    def test_each_group_keeps_its_size(self) -> None:
        groups = np.array([0, 2, 2, 1, 0, 2, 2, 1, 0, 2])
        drawn = Resamples(10, count=400, rng=np.random.default_rng(1), within=groups)
        sizes = {
            str(group): Sample(np.ones((int((groups == group).sum()), 1)), lambda sums: sums[..., 0],
                               np.flatnonzero(groups == group))
            for group in range(3)
        }  # fmt: skip
        found = drawn.estimate(sizes)
        for group in range(3):
            assert set(found[str(group)].resampled) == {float((groups == group).sum())}

    def test_a_difference_of_two_means_spreads_as_it_should(self) -> None:
        rng = np.random.default_rng(2)
        groups = (rng.random(500) < 0.3).astype(np.int64)
        values = rng.normal(size=500) * (1 + groups)
        drawn = Resamples(500, count=4000, rng=rng, within=groups)
        parts = [np.flatnonzero(groups == group) for group in (0, 1)]
        found = drawn.estimate(
            {str(n): Sample(np.stack([values[p], np.ones(len(p))], axis=1), mean, p) for n, p in enumerate(parts)}
        )
        expected = math.sqrt(sum(values[p].var() / len(p) for p in parts))
        assert (found["0"] - found["1"]).resampled.std() == pytest.approx(expected, rel=0.05)


class TestTogether:
    def test_all_hold_as_often_as_they_say(self) -> None:
        held = 0
        for seed in range(200):
            rng = np.random.default_rng(seed)
            values = rng.normal(size=(120, 6)) * np.arange(1, 7)
            drawn = Resamples(120, count=300, rng=rng)
            columns = {str(k): Sample(np.stack([values[:, k], np.ones(120)], axis=1), mean) for k in range(6)}
            ends = intervals.together(list(drawn.estimate(columns).values()), 0.9)
            held += all(low <= 0.0 <= high for low, high in ends)
        assert 0.85 <= held / 200 <= 0.96

    def test_what_nothing_moves_is_its_own_end(self) -> None:
        still = Estimate(0.5, np.full(100, 0.5), np.full(10, 0.5), 10)
        moving = Estimate(0.0, np.random.default_rng(0).normal(size=100), np.zeros(10), 10)
        ends = intervals.together([still, moving], 0.95)
        assert ends[0] == (0.5, 0.5)
        assert ends[1][0] < -1 < 1 < ends[1][1]
        assert intervals.together([still], 0.95) == [(0.5, 0.5)]
