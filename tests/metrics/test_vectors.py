"""What is measured of vectors, against other libraries and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score
from sklearn.neighbors import NearestNeighbors
from tests.contracts.test_metrics import vectors

from stillroom.core import plugins
from stillroom.core.judged import Judged
from stillroom.intervals import Resamples, Sample
from stillroom.metrics import Metric
from stillroom.metrics._vectors import Embedded, Space
from stillroom.metrics.spearman import influence
from stillroom.tasks import Rows
from stillroom.tasks.embeddings import Embeddings

SPEARMAN, NDCG, NEIGHBOURS = (plugins.build("metrics", name) for name in ("spearman", "ndcg", "neighbours"))


def unit(table: Any) -> Any:
    return (table / np.linalg.norm(table, axis=-1, keepdims=True)).astype(np.float32)


def pairs(rows: int, *, seed: int, grades: int = 6) -> Embedded:
    """Texts with one graded pair each, many grades alike."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(2 * rows, 5))
    table[rows:] += rng.uniform(0, 3, (rows, 1)) * table[:rows]
    near = np.einsum("rw,rw->r", unit(table[:rows]), unit(table[rows:]))
    score = np.round((near + rng.normal(0, 0.4, rows)) * grades / 2)
    ids = [f"{one:032x}" for one in range(2 * rows)]
    gold = np.empty(rows, dtype=np.object_)
    gold[:] = [Judged(((ids[rows + row], float(score[row])),)) for row in range(rows)]
    told = unit(table)
    return Embedded(Space(told, told, np.arange(rows), gold, ids, [""] * 2 * rows), np.arange(rows))


class TestSpearman:
    @pytest.mark.parametrize("grades", [2, 6, 1000])
    def test_it_is_scipys(self, grades: int) -> None:
        said = pairs(300, seed=grades, grades=grades)
        _, cosines, given = said.space.pairs
        assert SPEARMAN.score(said) == pytest.approx(spearmanr(cosines, given)[0], abs=1e-12)

    def test_a_slice_is_ranked_anew(self) -> None:
        said = pairs(300, seed=1)
        some = np.arange(0, 300, 3)
        _, cosines, given = said.take(some).space.pairs
        assert SPEARMAN.score(said.take(some)) == pytest.approx(spearmanr(cosines[some], given[some])[0], abs=1e-12)

    def test_influence_is_the_slope_in_the_weight_of_a_pair(self) -> None:
        """Against copies: a pair that stands there once more moves ρ by its influence over the number of pairs."""
        said = pairs(400, seed=2)
        _, x, y = said.space.pairs
        rho = spearmanr(x, y)[0]
        for row in range(0, 400, 37):
            more = spearmanr(np.append(x, x[row]), np.append(y, y[row]))[0]
            assert (more - rho) * 401 == pytest.approx(influence(x, y)[row] - rho, abs=0.02)

    @pytest.mark.parametrize("grades", [3, 1000])
    def test_intervals_are_those_of_ranking_every_resample_anew(self, grades: int) -> None:
        said = pairs(400, seed=3, grades=grades)
        _, x, y = said.space.pairs
        rng = np.random.default_rng(4)
        drawn = [rng.integers(0, 400, 400) for _ in range(1500)]
        low, high = np.quantile([spearmanr(x[rows], y[rows])[0] for rows in drawn], [0.025, 0.975])
        resamples = Resamples(400, count=4000, rng=np.random.default_rng(5))
        found = resamples.estimate({"it": Sample(SPEARMAN.rows(said), SPEARMAN.value)})["it"].interval(0.95)
        assert found.low is not None
        assert found.high is not None
        assert found.high - found.low == pytest.approx(high - low, rel=0.08)
        assert abs(found.low - low) < 0.1 * (high - low)

    def test_grades_that_are_all_alike_tell_nothing(self) -> None:
        said = pairs(40, seed=6)
        said.space.gold[:] = [Judged(((one.others[0][0], 3.0),)) for one in said.space.gold]
        assert np.isnan(SPEARMAN.score(said))

    def test_searches_are_no_pairs(self) -> None:
        assert len(SPEARMAN.counted(vectors(1, rows=40, searching=True))) == 0
        assert len(NDCG.counted(vectors(1, rows=40))) == 0


class TestNdcg:
    def test_it_is_scikit_learns(self) -> None:
        said = vectors(3, rows=50, searching=True)
        space = said.space
        documents = np.arange(50, 100)
        scores = space.vectors[:50] @ space.vectors[documents].T
        relevant = np.zeros((50, 50))
        for row, one in enumerate(space.gold):
            for other, grade in one.others:
                relevant[row, space.place[other] - 50] = grade
        each = [ndcg_score(relevant[[row]], scores[[row]], k=10) for row in range(50)]
        np.testing.assert_allclose(NDCG.rows(said)[:, 0], each, atol=1e-9)

    def test_by_hand(self) -> None:
        """Of three documents the second nearest is relevant: 1/log₂3; a document that is not there is never found."""
        told = unit(np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.4], [0.0, 1.0]]))
        ids = ["q", "a", "b", "c"]
        for others, expected in ((("b", 1.0),), 1 / np.log2(3)), ((("gone", 1.0),), 0.0):
            gold = np.array([Judged(others, "docs")], dtype=np.object_)
            said = Embedded(Space(told, told, np.array([0]), gold, ids, ["", *["docs"] * 3]), np.array([0]))
            assert NDCG.score(said) == pytest.approx(expected)


class TestNeighbours:
    def test_it_is_scikit_learns(self) -> None:
        said = vectors(4, rows=60, searching=True)
        near = [
            NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(one[60:]).kneighbors(one[:60])[1]
            for one in (said.space.vectors, said.space.teacher)
        ]
        expected = [len(set(own) & set(its)) / 10 for own, its in zip(*near, strict=True)]
        np.testing.assert_allclose(NEIGHBOURS.rows(said)[:, 0], expected)
        np.testing.assert_array_equal(said.agrees, [own[0] == its[0] for own, its in zip(*near, strict=True)])

    def test_a_text_is_no_neighbour_of_itself_nor_of_its_repetition(self) -> None:
        table = unit(np.random.default_rng(5).normal(size=(30, 4)))
        table[7] = table[3]
        ids = [f"{one:032x}" for one in range(30)]
        ids[7] = f"{ids[3]}-2"
        gold = np.empty(30, dtype=np.object_)
        gold[:] = [Judged(((ids[0], 1.0),))] * 30
        space = Space(table, table, np.arange(30), gold, ids, [""] * 30)
        near = list(space._nearest(space.vectors, np.arange(30), np.array([one for one in range(30) if one != 7])))
        assert all(row not in some for row, some in enumerate(near))
        assert 3 not in near[7]
        assert near[7] == near[3]


class TestPrefixes:
    def test_the_student_is_cut_and_the_teacher_is_not(self) -> None:
        said = vectors(6, rows=50)
        task = Embeddings(dimensions=6, prefixes=(2, 4))
        rows = Rows([""] * 100, said.space.ids, said.space.domains, np.zeros(100, dtype=np.bool_))
        gold = np.array([*said.space.gold, *[None] * 50], dtype=np.object_)
        student = task.answered(gold, said.space.vectors, said.space.teacher, rows=rows)
        teacher = task.answered(gold, said.space.teacher, said.space.teacher, rows=rows)
        narrow = {name: one for _, name, _, one in student.parts()}
        assert list(narrow) == ["the first 2", "the first 4"]
        cut = narrow["the first 2"](student)
        np.testing.assert_allclose(cut.space.vectors, unit(said.space.vectors[:, :2]), atol=1e-6)
        np.testing.assert_array_equal(cut.space.teacher, said.space.teacher)
        assert narrow["the first 2"](teacher).space.vectors.shape == (100, 6)


class TestWhereNobodyJudged:
    def test_the_teachers_own_likeness_stands_in(self) -> None:
        """A student that is its teacher puts all pairs in its order; one by chance puts them in none."""
        rng = np.random.default_rng(7)
        task = Embeddings(dimensions=6)
        teacher = unit(rng.normal(size=(80, 6)))
        gold = task.named(teacher)
        assert task.known(gold).all()
        assert all(len(one.others) >= 10 for one in gold)
        assert SPEARMAN.score(task.answered(gold, teacher, teacher)) == pytest.approx(1.0)
        other = unit(rng.normal(size=(80, 6)))
        assert abs(SPEARMAN.score(task.answered(gold, other, teacher))) < 0.2

    @pytest.mark.parametrize("texts", [1, 2, 3, 12])
    def test_few_texts_are_held_against_those_there_are(self, texts: int) -> None:
        task = Embeddings(dimensions=6)
        gold = task.named(unit(np.random.default_rng(8).normal(size=(texts, 6))))
        assert all(f"#{row}" not in dict(one.others) for row, one in enumerate(gold))
        assert all(min(texts - 1, 10) <= len(one.others) < texts for one in gold)

    def test_metrics_stay_what_they_are(self) -> None:
        for metric in (SPEARMAN, NDCG, NEIGHBOURS):
            assert isinstance(metric, Metric)
            assert metric.answers == "vectors"
