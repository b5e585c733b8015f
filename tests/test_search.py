"""The search for a student: what it finishes, what it never does twice, and what it may not see."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stillroom import cli, cost, doctor, export, journey, loop, pipeline, runtime, search, train
from stillroom import corpus as corpora
from stillroom.core import artifact, plugins, recipe
from stillroom.core.errors import InputError, RecipeError
from stillroom.core.progress import Event
from stillroom.corpus import Rows
from stillroom.metrics import share
from stillroom.search import FILE, choice
from stillroom.search.bench import Bench, Jury
from stillroom.search.explorer import Explorer
from stillroom.search.journal import Journal
from stillroom.search.ladder import Candidate, climb
from stillroom.search.proposals import Proposals
from stillroom.students import Span
from tests.conftest import make_toy, sentences, write_csv, write_toml

ACCURACY = plugins.build("metrics", "accuracy")
FAMILIES = ["bag", "static"]


def asked(table: Path, encoder: Path, **limits: Any) -> dict[str, Any]:
    toy = make_toy(table, encoder)
    toy["search"] = {"families": FAMILIES, "minutes": 20, "rungs": 3, "proposals": 1, **limits}
    return toy


class Searched:
    """A finished search, with everything that was told on the way and what was read before the confirmation."""

    def __init__(self, toy: dict[str, Any], work: Path) -> None:
        self.toy, self.work, self.events = toy, work, list[Event]()
        self.found = search.explore(recipe.parse(toy), work=work, report=self.events.append)


@pytest.fixture(scope="module")
def searched(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """One search. Reading a row of the test before the chosen student's own run is an error in it."""
    folder = tmp_path_factory.mktemp("searched")
    table = write_csv(folder / "toy.csv", sentences())
    confirming: list[bool] = []
    travel, methods = pipeline.run, ("table", "batches", "texts")
    kept = {name: getattr(Rows, name) for name in methods}

    def run(*args: Any, **keywords: Any) -> Any:
        confirming.append(True)
        return travel(*args, **keywords)

    def guarded(name: str) -> Any:
        def read(rows: Rows[Any], *args: Any, **keywords: Any) -> Any:
            assert confirming or rows.role not in ("test", "outside"), "a peek at the test"
            return kept[name](rows, *args, **keywords)

        return read

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run", run)
        for name in methods:
            patch.setattr(Rows, name, guarded(name))
        found = Searched(asked(table, encoder_folder), folder / "work")
    assert confirming == [True], "confirmed once"
    return found


def fits(work: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in work.glob("student/*/manifest.json")}


@pytest.mark.slow
def test_several_families_are_tried_and_points_are_told(searched: Searched) -> None:
    told = json.loads((searched.found.folder / FILE).read_text(encoding="utf-8"))
    assert told == searched.found.told
    points = told["points"]
    # Who is outclassed after a short fit hangs on speeds of the moment; but one of each kind is finished.
    assert {one["name"].split()[0] for one in points} == set(FAMILIES)
    assert len(points) + len(told["not_finished"]) >= 6
    assert {name.split()[0] for name in (*told["not_finished"], *(one["name"] for one in points))} == set(FAMILIES)
    assert any(one["frontier"] for one in points)
    for one in points:
        assert len(runtime.load(Path(one["bundle"])).predict(["the film was great today"])) == 1
        assert one["texts_per_second"] > 0
        assert one["speedup"] > 0
        assert one["price_per_million_texts"] > 0
    assert told["teacher"]["texts_per_second"] > 0
    chosen = told["chosen"]
    assert chosen["name"] in {one["name"] for one in points}
    assert chosen["corrected"]["low"] <= chosen["corrected"]["value"] <= chosen["corrected"]["high"]


@pytest.mark.slow
def test_the_chosen_point_alone_meets_the_test_and_its_bundle_is_that_of_the_search(searched: Searched) -> None:
    told, run = searched.found.told, searched.found.run
    assert str(run.artifacts["export"].folder) == told["chosen"]["bundle"]
    assert len(list(searched.work.glob("evaluation/*/manifest.json"))) == 1
    assert (run.folder / "dossier" / "report.html").is_file()
    assert told["confirmed"]["scores"]["accuracy"]["n"] > 0


@pytest.mark.slow
def test_the_page_shows_every_point(searched: Searched) -> None:
    shown = (searched.found.folder / "search.html").read_text(encoding="utf-8")
    assert shown.count("<svg") == 3
    for one in searched.found.told["points"]:
        assert one["bundle"] in shown
        assert f"<td>{one['run']}</td>" in shown


@pytest.mark.slow
def test_each_point_is_a_run_up_to_its_bundle(searched: Searched) -> None:
    """It can be looked at, examined, asked, and gone on with: its own recipe gives the very same bundle."""
    points = searched.found.told["points"]
    names = {f"toy-{number}" for number in range(1, len(points) + 1)}
    assert {path.name for path in (searched.work / "runs").iterdir()} == {*names, "toy-found"}
    assert {Path(one["run"]).name for one in points} == names
    for one in points:
        stages = journey.look(Path(one["run"]))["stages"]
        assert list(stages) == ["corpus", "teacher", "transfer", "train", "export"]
        assert stages["export"]["digest"] == one["digest"]
        examined = doctor.examine(Path(one["run"]))
        assert "the run has no evaluate" in " ".join(unseen.reason for unseen in examined.unseen)
        assert len(runtime.load(Path(one["run"])).predict(["the film was great today"])) == 1
        again = pipeline.run(recipe.load(Path(one["run"]) / "recipe.toml"), work=searched.work, until="export")
        assert {name: told["key"] for name, told in again.stages.items()} == {
            name: told["key"] for name, told in stages.items()
        }


@pytest.mark.slow
def test_a_rerun_trains_nothing_and_decides_the_same(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fits(searched.work)
    monkeypatch.setattr(train, "begin", lambda *_, **__: pytest.fail("a fit was begun again"))
    again = search.explore(recipe.parse(searched.toy), work=searched.work)
    assert again.told == searched.found.told
    assert fits(searched.work) == before


def explored(searched: Searched, **limits: Any) -> Explorer:
    """The same search with other limits: what it finished is found in its work folder."""
    toy = {**searched.toy, "search": {**searched.toy["search"], **limits}}
    bench = Bench(recipe.parse(toy), work=searched.work, report=lambda _: None)
    candidates, _ = climb(bench.recipe, teacher_layers=3)
    bench.ask(candidates)
    names = "-".join(limits)
    journal = next((searched.work / "searches" / "toy").glob("journal-*.jsonl"))
    if "minutes" in limits:
        journal = journal.with_name(f"{names}.jsonl")
    explorer = Explorer(bench, Journal(journal, clock=time.monotonic), report=lambda _: None)
    explorer.explore(candidates)
    return explorer


@pytest.mark.slow
def test_other_rows_are_another_search(searched: Searched, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "toy.csv", sentences(extra=" again"))
    other = {**searched.toy, "corpus": {**searched.toy["corpus"], "labelled": str(table)}}
    kept = recipe.parse(searched.toy)
    mine = Bench(kept, work=searched.work, report=lambda _: None)
    loaded = corpora.load(recipe.parse(other).corpus, task=kept.task, store=mine.store)
    before = search.key(kept, mine)
    mine.corpus_digest = loaded.artifact.digest  # under the very same recipe, as when a file is written over
    assert search.key(kept, mine) != before


@pytest.mark.slow
def test_the_limits_decide_who_may_be_chosen(searched: Searched) -> None:
    limit = min(one["disk_mb"] for one in searched.found.told["points"]) * 1.0001
    explorer = explored(searched, max_disk_mb=limit)
    told = search.summary(explorer, {}, spent=0.0)
    best = search.chosen(explorer.points, told, explorer.bench)
    assert next(one for one in told["points"] if one["name"] == best["name"])["disk_mb"] <= limit
    assert {bool(one["beyond"]) for one in told["points"]} == {True, False}


@pytest.mark.slow
def test_a_budget_that_nothing_meets_names_the_nearest_point(searched: Searched) -> None:
    toy = {**searched.toy, "search": {**searched.toy["search"], "max_disk_mb": 1e-9}}
    with pytest.raises(InputError) as caught:
        search.explore(recipe.parse(toy), work=searched.work)
    small = min(searched.found.told["points"], key=lambda one: one["disk_mb"])
    assert f"the nearest is {small['name']}" in caught.value.problems[0].found


@pytest.mark.slow
def test_with_no_time_the_quickest_is_finished_all_the_same(searched: Searched) -> None:
    explorer = explored(searched, minutes=1e-6)
    assert len(explorer.points) == 1
    assert explorer.dropped


@pytest.mark.slow
def test_the_jury_and_the_bench_refuse_rows_of_the_test(searched: Searched) -> None:
    bench = Bench(recipe.parse(searched.toy), work=searched.work, report=lambda _: None)
    candidates, _ = climb(bench.recipe, teacher_layers=3)
    bench.ask(candidates)
    peek: Any = corpora.load(bench.recipe.corpus, task=bench.recipe.task, store=bench.store).test
    with pytest.raises(TypeError, match="evaluation only"):
        Jury.call(peek, bench.said, task=bench.recipe.task)
    with pytest.raises(TypeError, match="evaluation only"):
        cost.lightly(bench.recipe.teacher, bench.teacher, bench.teacher, [peek], task=bench.recipe.task, beside=False)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"families": ["statik"]}, "Did you mean `static`?"),
        ({"minutes": 0}, "greater than 0"),
        ({"minutes": -1}, "greater than 0"),
    ],
)
def test_slips_in_the_budget_are_told(toy: dict[str, Any], setting: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match="search") as caught:
        recipe.parse({**toy, "search": setting})
    assert said in str(caught.value)


def test_who_does_not_fit_is_left_out_with_the_reason(toy: dict[str, Any]) -> None:
    fit, unfit = climb(recipe.parse(toy), teacher_layers=3)
    assert {one.family for one in fit} >= {"bag", "static"}
    assert all("export" not in one for one in fit[0].name)
    assert unfit["transformer layers=1"].startswith("nothing, not a format")


def test_a_ladder_is_of_unlike_students_within_the_teacher(toy: dict[str, Any]) -> None:
    fit, _ = climb(recipe.parse({**toy, "export": {"formats": ["onnx"]}}), teacher_layers=3)
    names = [one.name for one in fit]
    assert len(names) == len(set(names))
    depths = [one.student.model_dump()["layers"] for one in fit if one.family == "transformer"]
    assert depths == [1, 2, 2], "always fewer than the teacher has; two of them also for longer"


def test_vectors_join_the_mixture_of_those_that_show_them_unless_the_recipe_names_one(toy: dict[str, Any]) -> None:
    fit, _ = climb(recipe.parse(toy), teacher_layers=3)
    told = {one.family: [objective.kind for objective in one.objectives] for one in fit}
    assert told["static"] == [*told["bag"], "contrastive"]
    fit, _ = climb(recipe.parse({**toy, "objective": [{"kind": "logit_mse"}]}), teacher_layers=3)
    assert {tuple(objective.kind for objective in one.objectives) for one in fit} == {("logit_mse",)}


@pytest.mark.parametrize("kind", plugins.names("students"))
def test_every_student_offers_rungs_and_names_what_may_be_moved(kind: str) -> None:
    member: Any = plugins.member("students", kind)
    rungs = member.ladder(teacher_layers=6)
    assert rungs
    assert len({json.dumps(one.resolved(), sort_keys=True) for one in rungs}) == len(rungs)
    for one in rungs:
        assert isinstance(one, member)
        for name, span in one.spans().items():
            assert span.low < span.high
            for end in (span.low, span.high):
                value = round(end) if span.whole else end
                assert member.model_validate({**one.model_dump(), name: value}), f"{name} can't be {value}"


def search_in_a_process(toy: dict[str, Any], work: Path) -> None:
    search.explore(recipe.parse(toy), work=work)


@pytest.mark.slow
def test_killed_in_the_middle_nothing_finished_is_trained_again(searched: Searched, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for stage in ("corpus", "teacher", "transfer", "studied"):
        shutil.copytree(searched.work / stage, work / stage)
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    toy = {**searched.toy, "search": {"families": ["bag"], "minutes": 20, "rungs": 2, "proposals": 0}}
    process = context.Process(target=search_in_a_process, args=(toy, work))
    process.start()
    until = time.monotonic() + 120
    while time.monotonic() < until and process.is_alive() and len(fits(work)) < 2:
        time.sleep(0.002)
    assert process.is_alive(), "over too soon"
    process.kill()
    process.join()
    kept = fits(work)
    journal = next((work / "searches" / "toy").glob("journal-*.jsonl"))
    lines = journal.read_bytes().rpartition(b"\n")[0].splitlines()
    assert len(kept) >= 2
    search.explore(recipe.parse(toy), work=work)
    assert len(fits(work)) > len(kept)
    assert kept.items() <= fits(work).items(), "a finished point was trained again"
    assert journal.read_bytes().splitlines()[: len(lines)] == lines, "a decision was taken again"


class Ground:
    """A small search of hand-made candidates, on what another search had prepared, with every step that it takes."""

    def __init__(self, searched: Searched, work: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        for stage in ("corpus", "teacher", "transfer", "studied"):
            shutil.copytree(searched.work / stage, work / stage)
        budget = {"families": ["bag"], "minutes": 20, "rungs": 1, "proposals": 0, **settings}
        self.recipe, self.work = recipe.parse({**searched.toy, "search": budget}), work
        self.rung = climb(self.recipe, teacher_layers=3)[0][0]
        self.steps: list[tuple[Path, int]] = []
        take, look = loop.Loop._step, export.in_torch

        def counted(one: loop.Loop, rows: Any) -> None:
            if "stillroom-pace-" not in str(one.folder):
                self.steps.append((one.folder, one.step))
            take(one, rows)

        monkeypatch.setattr(loop.Loop, "_step", counted)
        # Which of two students of a size is the quicker in torch hangs on the moment.
        monkeypatch.setattr(export, "in_torch", lambda *told, **named: (look(*told, **named)[0], 1000.0))

    def named(self, name: str, **settings: Any) -> Candidate:
        return Candidate(name, self.rung.student.model_copy(update=settings), self.rung.objectives)

    def explored(self, *candidates: Candidate) -> Explorer:
        bench = Bench(self.recipe, work=self.work, report=lambda _: None)
        bench.ask(candidates)
        explorer = Explorer(bench, Journal(self.work / "journal.jsonl", clock=time.monotonic), report=lambda _: None)
        explorer.explore(candidates)
        return explorer


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


def test_a_journal_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    path, now = tmp_path / "journal.jsonl", [100.0]
    first = Journal(path, clock=lambda: now[0])
    now[0] += 5
    assert first.decide("one", lambda: {"go": True}) == {"go": True}
    with path.open("a") as file:
        file.write('{"at": 9, "wha')
    again = Journal(path, clock=lambda: now[0])
    now[0] += 2
    assert again.decide("one", lambda: {"go": False}) == {"go": True}
    assert again.decide("two", lambda: {"go": False}) == {"go": False}
    assert again.spent() == 7
    assert Journal(path, clock=lambda: 0.0).spent() == 7


def test_proposals_keep_within_their_spans_and_repeat_themselves() -> None:
    spans = {"rate": Span(1e-4, 1e-2, log=True), "width": Span(8, 32, whole=True)}

    def proposed() -> list[dict[str, Any]]:
        study, said = Proposals(spans, seed=5, name="static", higher_is_better=True), []
        for number in range(8):
            said.append(study.next())
            study.tell(None if number == 2 else -abs(said[-1]["width"] - 20.0))
        return said

    first = proposed()
    assert first == proposed()
    assert len({one["rate"] for one in first}) == len(first)
    assert all(1e-4 <= one["rate"] <= 1e-2 and one["width"] in range(8, 33) for one in first)


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.integers(0, 4)))
def test_the_frontier_is_what_nothing_beats(figures: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    def beats(one: Any, other: Any) -> bool:
        return all(a >= b for a, b in zip(one, other, strict=True)) and any(
            a > b for a, b in zip(one, other, strict=True)
        )

    expected = [not any(beats(other, one) for other in figures) for one in figures]
    assert choice.frontier(figures).tolist() == expected


def drawn(rng: np.random.Generator, truths: list[float], *, rows: int) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    return [share(rng.random(rows) < truth) for truth in truths]


@pytest.mark.slow
def test_a_choice_among_equals_flatters_and_the_correction_does_not() -> None:
    truths, rows = [0.8] * 10, 300
    found = []
    for number in range(60):
        rng = np.random.default_rng(number)
        statistics = drawn(rng, truths, rows=rows)
        found.append(choice.choose(statistics, [1.0] * 10, metric=ACCURACY, rng=rng, resamples=120))
    flattered = np.mean([one.score for one in found]) - 0.8
    corrected = np.mean([one.corrected for one in found]) - 0.8
    standard_error = np.sqrt(0.8 * 0.2 / rows)
    assert flattered > standard_error, "the best of ten equals looks better than it is"
    assert abs(corrected) < 0.35 * standard_error
    assert np.mean([one.low <= 0.8 <= one.high for one in found]) >= 0.9
    assert all(one.optimism == one.score - one.corrected for one in found)


def test_the_best_is_chosen_and_of_equally_good_ones_the_cheapest() -> None:
    rng = np.random.default_rng(3)
    base = rng.random(400) < 0.8
    near, far = base.copy(), base.copy()
    near[np.flatnonzero(base)[:1]] = False
    far[np.flatnonzero(base)[:60]] = False
    statistics = [share(base), share(near), share(far)]
    assert choice.choose(statistics, [3.0, 2.0, 1.0], metric=ACCURACY, rng=rng, resamples=200).place == 0
    twice = [share(far), share(base), share(base[::-1])]
    assert choice.choose(twice, [1.0, 3.0, 2.0], metric=ACCURACY, rng=rng, resamples=200).place == 2
    assert choice.clearly_better(statistics[0], statistics[2], metric=ACCURACY, rng=rng)
    assert not choice.clearly_better(statistics[0], statistics[1], metric=ACCURACY, rng=rng)
    assert not choice.clearly_better(statistics[2], statistics[0], metric=ACCURACY, rng=rng)


@pytest.mark.slow
def test_the_command_tells_what_python_found(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """People get a table and paths, programs one document; the limits come from the recipe or the options."""
    path = write_toml(tmp_path / "toy.toml", searched.toy)
    words = ["stillroom", "search", str(path), "--work", str(searched.work), "--quiet"]
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"]["name"] == searched.found.told["chosen"]["name"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        cli.main()
    shown = capsys.readouterr().out
    assert found["chosen"]["name"] in shown
    assert FILE in shown
    monkeypatch.setattr(sys, "argv", [*words, "--minutes", "0"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2


def test_a_teacher_that_only_names_labels_can_be_followed(toy: dict[str, Any], tmp_path: Path) -> None:
    """Its label has all of its probability."""
    lines = [json.dumps({"text": text, "label": label}) for text, label in sentences()]
    (tmp_path / "said.jsonl").write_text("\n".join(lines), encoding="utf-8")
    toy["teacher"] = {"kind": "recorded", "outputs": str(tmp_path / "said.jsonl")}
    toy["search"] = {"families": ["bag"], "rungs": 1}
    asked = recipe.parse(toy)
    bench = Bench(asked, work=tmp_path / "work", report=lambda event: None)
    bench.ask(climb(asked, teacher_layers=0)[0])
    assert bench.said.names_labels_only
    gold = bench.corpus.dev.table(["label"])["label"].to_pylist()
    assert bench.jury.gold.tolist() == gold, "it is always right"
    np.testing.assert_array_equal(bench.jury.teacher, np.eye(2)[gold])
    assert bench.jury.score(bench.jury.statistics(None)) == 1.0
    assert bench.jury.score(bench.jury.statistics(-bench.jury.teacher)) == 0.0
