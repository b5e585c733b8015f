"""A whole search: what it finishes, what it never does twice, and what it may not see."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from stillroom import cli, doctor, journey, pipeline, runtime, search, train
from stillroom import corpus as corpora
from stillroom.core import recipe
from stillroom.core.errors import InputError, RecipeError
from stillroom.search import FILE
from stillroom.search.bench import Bench
from stillroom.search.explorer import Explorer
from stillroom.search.journal import Journal
from stillroom.search.ladder import climb
from tests.conftest import sentences, write_csv, write_toml
from tests.search.scenes import FAMILIES, Searched, fits


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
