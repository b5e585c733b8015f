"""Who gets how much of the time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillroom import loop
from stillroom.core import artifact
from stillroom.search.bench import Bench
from stillroom.search.explorer import Explorer
from stillroom.search.journal import Journal
from stillroom.search.ladder import Candidate
from stillroom.search.proposals import Proposals
from tests.search.scenes import Ground, Searched


@pytest.mark.slow
def test_who_is_outclassed_after_a_short_fit_stops_there(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = Ground(searched, tmp_path, monkeypatch)
    good, still = ground.named("good"), ground.named("still", learning_rate=1e-9)
    near = ground.named("near", learning_rate=good.student.model_dump()["learning_rate"] * 1.01)
    explorer = ground.explored(good, still, near)
    assert {one.candidate.name for one in explorer.points} == {"good", "near"}
    assert explorer.dropped == {"still": "after a short fit good was as quick, as small and better"}
    taken: dict[Path, int] = {}
    for folder, _ in ground.steps:
        taken[folder] = taken.get(folder, 0) + 1
    assert len(taken) == 3
    assert min(taken.values()) * 3 == max(taken.values())


@pytest.mark.slow
def test_no_step_is_taken_twice_also_when_killed_between_a_short_and_a_whole_fit(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = Ground(searched, tmp_path / "search", monkeypatch)
    candidates = [ground.named("good"), ground.named("near", learning_rate=0.021)]
    finish = Bench.finish

    def killed(bench: Bench, candidate: Candidate, **told: Any) -> Any:
        if candidate.name == "near":
            raise KeyboardInterrupt
        return finish(bench, candidate, **told)

    monkeypatch.setattr(Bench, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        ground.explored(*candidates)
    monkeypatch.setattr(Bench, "finish", finish)
    assert list(ground.work.glob("student/.draft-*/fit/checkpoint/state.json")), "what paused can go on"
    explorer = ground.explored(*candidates)
    assert {one.candidate.name for one in explorer.points} == {"good", "near"}
    assert len(ground.steps) == len(set(ground.steps)), "a step was taken twice"
    assert not list(ground.work.glob("student/.draft-*"))
    bench, paused = explorer.bench, {one.candidate.name: one.run.artifacts["train"] for one in explorer.points}
    bench.store = artifact.Store(tmp_path / "straight")
    for one in candidates:
        assert bench._fit(one, seed=bench.recipe.seed).digest == paused[one.name].digest, "as if it had never paused"
    ground.steps.clear()
    assert [one.score for one in ground.explored(*candidates).points] == [one.score for one in explorer.points]
    assert not ground.steps


@pytest.mark.slow
def test_a_fit_that_is_not_done_when_the_time_is_over_stops_and_goes_on_with_more(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock leaps in the last epoch of the second one; the first is finished whatever the clock says."""
    ground = Ground(searched, tmp_path, monkeypatch)
    candidates = [ground.named("first"), ground.named("second", learning_rate=0.021)]
    late: list[Path] = []
    take = loop.Loop._step

    def leaping(one: loop.Loop, rows: Any) -> None:
        take(one, rows)
        started = {folder for folder, _ in ground.steps}
        if len(started) == 2 and one.epoch == one.plan.epochs - 1:
            late.append(one.folder)

    monkeypatch.setattr(loop.Loop, "_step", leaping)
    monkeypatch.setattr(Explorer, "_left", lambda _: -1.0 if late else 600.0)
    explorer = ground.explored(*candidates)
    assert [one.candidate.name for one in explorer.points] == ["first"]
    assert explorer.dropped == {"second": "the minutes were over in the middle of its fit"}
    taken = len(ground.steps)
    assert ground.explored(*candidates).dropped == explorer.dropped, "a decision stands"
    assert len(ground.steps) == taken
    (tmp_path / "journal.jsonl").unlink()
    monkeypatch.setattr(Explorer, "_left", lambda _: 600.0)
    assert len(ground.explored(*candidates).points) == 2


@pytest.mark.slow
def test_nobody_is_looked_at_in_the_time_of_those_who_wait(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no time for both of the others: the second is finished before anybody looks at the third."""
    ground = Ground(searched, tmp_path, monkeypatch)
    candidates = [ground.named(name, learning_rate=rate) for name, rate in (("a", 0.02), ("b", 0.021), ("c", 0.022))]
    asked: list[str] = []
    monkeypatch.setattr(Explorer, "_fit_seconds", lambda _, one: float(ord(one.name)))
    monkeypatch.setattr(Explorer, "_whole_seconds", lambda *_: 10.0)
    monkeypatch.setattr(Explorer, "_needs", lambda *_: 12.0)
    decide = Journal.decide

    def left(explorer: Explorer) -> float:
        return 30.0 - 10.0 * len(explorer.points) - 2.0 * (len(explorer._short) - len(explorer.points))

    def noted(journal: Journal, what: str, make: Any) -> dict[str, Any]:
        asked.append(what)
        return decide(journal, what, make)

    monkeypatch.setattr(Explorer, "_left", left)
    monkeypatch.setattr(Journal, "decide", noted)
    explorer = ground.explored(*candidates)
    assert [one.candidate.name for one in explorer.points] == ["a", "b"]
    looks = [one for one in asked if one.startswith(("short fit of", "whole fit of"))]
    assert looks == [*(f"{what} fit of {one}" for one in "ab" for what in ("short", "whole")), "short fit of c"]
    assert explorer.dropped == {"c": "it needs about 12 s, and 10 s were left"}


@pytest.mark.slow
def test_what_was_fitted_before_the_search_is_not_fitted_again(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor compared with those after a short fit: it would win by having had more."""
    ground = Ground(searched, tmp_path, monkeypatch)
    good, still = ground.named("good"), ground.named("still", learning_rate=1e-9)
    bench = Bench(ground.recipe, work=tmp_path, report=lambda _: None)
    bench.ask([good, still])
    bench._fit(good, seed=bench.recipe.seed)
    before = len(ground.steps)
    explorer = ground.explored(good, still)
    assert {one.candidate.name for one in explorer.points} == {"good", "still"}
    assert len(ground.steps) == len(set(ground.steps)) > before, "one that learns nothing may stop early"
    seen = explorer._short["good"]
    assert seen.statistics is None
    told = (explorer.points[0].run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8")
    log = [json.loads(line) for line in told.splitlines()]
    assert seen.score == max(one["dev"]["accuracy"] for one in log[: explorer._short_epochs(good)])


@pytest.mark.slow
@pytest.mark.parametrize("better", [True, False])
def test_a_proposal_is_finished_where_it_is_better_after_a_short_fit(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, better: bool
) -> None:
    """The first rung learns nothing, so that any proposal beats it; or the proposal does not."""
    ground = Ground(searched, tmp_path, monkeypatch, proposals=1)
    rate, proposed = (1e-9, 2e-2) if better else (2e-2, 1e-9)
    monkeypatch.setattr(Proposals, "next", lambda _: {"student.learning_rate": proposed})
    told: list[float | None] = []
    monkeypatch.setattr(Proposals, "tell", lambda _, score: told.append(score))
    explorer = ground.explored(ground.named("first", learning_rate=rate))
    name = "bag proposal 1"
    assert [one.candidate.name for one in explorer.points] == (["first", name] if better else ["first"])
    assert told == [explorer._short[name].score]
    assert explorer._short[name].candidate.student.model_dump()["learning_rate"] == proposed
    assert explorer.dropped == ({} if better else {name: "after a short fit it was no better than first"})
    assert len(ground.steps) == len(set(ground.steps))
