"""Finds the best student for a budget: a ladder of unlike students, cheap first, and the frontier of what they give.

    ladder     who is tried
    bench      where they are fitted, bundled, timed and judged, on train and dev rows alone
    explorer   who gets how much of the time; proposals: settings to try next; journal: what was decided
    choice     the frontier, the choice, and how much a choice flatters
    page       the frontier as a page

Dev chooses. The chosen student then travels the ordinary journey, and that run alone sees the test, once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from stillroom import cost, fitness, pipeline
from stillroom.core import artifact, processes, recipe, seeds
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Event, Report, silent
from stillroom.core.recipe import Recipe
from stillroom.journey import Run
from stillroom.search import choice, ladder
from stillroom.search.bench import Bench, Trial
from stillroom.search.explorer import Explorer
from stillroom.search.journal import Clock, Journal

FILE, PAGE = "search.json", "search.html"
_LIMITS = {"max_disk_mb": "disk_mb", "max_latency_ms": "latency_ms", "min_retention": "retention"}


@final
@dataclass(frozen=True)
class Found:
    """What a search came to: `work/searches/<name>/` with its JSON and its page, and the run that confirmed it."""

    folder: Path
    told: Mapping[str, Any]
    run: Run

    @property
    def passed(self) -> bool:
        """Whether every gate of the confirming run said yes."""
        return self.run.passed


def explore(
    recipe: Recipe,
    budget: recipe.Search | None = None,
    *,
    work: Path = Path("work"),
    report: Report = silent,
    clock: Clock = time.monotonic,
) -> Found:
    """Look for the best student within a budget (the recipe's own, if None), and confirm it once on the test.

    A search that was stopped goes on where it was; one that is over is found again without any work.

    Raises:
        MissingExtra: what it needs is not installed.
        InputError: nothing could be tried, or no point keeps within the budget: the nearest one is named.
    """
    asked = recipe.model_copy(update={} if budget is None else {"search": budget})
    fitness.check(asked)
    fitness.equipped(asked, stages=("search", *pipeline.STAGES))
    if processes.count() > 1:
        todo = "Start it without a launcher: what it times would be of several at work."
        raise InputError(Problem("search", f"{processes.count()} processes", "one", todo))
    alone = asked.model_copy(update={"peer": None, "train": asked.train.model_copy(update={"rounds": 1})})
    folder, began = work / "searches" / recipe.name, clock()
    bench = Bench(alone, work=work, report=report)
    journal = Journal(folder / f"journal-{key(alone, bench)}.jsonl", clock=clock, began=began)
    told = journal.decide("teacher", lambda: {"layers": bench.loaded.layers})
    candidates, unfit = ladder.climb(alone, teacher_layers=told["layers"])
    if not candidates:
        raise InputError(*(Problem(name, why, "a student that fits", "Try others.") for name, why in unfit.items()))
    bench.ask(candidates)
    explorer = Explorer(bench, journal, report=report)
    explorer.explore(candidates)
    if not explorer.points:
        why = "; ".join(f"{name}: {one}" for name, one in explorer.dropped.items())
        raise InputError(Problem("search", f"no point that could be finished ({why})", "one", "Change what is tried."))

    found = summary(explorer, unfit, spent=journal.decide("over", lambda: {"seconds": journal.spent()})["seconds"])
    _write(folder, found)
    best = chosen(explorer.points, found, bench)
    found |= {"chosen": best}
    _write(folder, found)
    winner = next(one.candidate for one in explorer.points if one.candidate.name == best["name"])
    report(Event("search", note=f"chosen: {winner.name}; its run, with the test, begins"))
    run = pipeline.run(
        winner.recipe(bench.recipe).model_copy(update={"name": f"{recipe.name}-found"}), work=work, report=report
    )
    found |= {"confirmed": _confirmed(run)}
    _write(folder, found)
    return Found(folder, found, run)


def key(asked: Recipe, bench: Bench) -> str:
    """What decisions depend on: rows, teacher, and all of a recipe but the limits, which only say who may be chosen."""
    from stillroom import __version__

    open_ = asked.search.model_copy(update=dict.fromkeys(_LIMITS))
    told = {"recipe": asked.model_copy(update={"search": open_}).digest, "stillroom": __version__}
    inputs = {"corpus": bench.corpus_digest, "teacher": bench.teacher.digest}
    return artifact.key_of("search", told, inputs)


def _write(folder: Path, found: Mapping[str, Any]) -> None:
    from stillroom.search import page  # it needs what draws, which the base lacks

    artifact.write_json(folder / FILE, found)
    artifact.write_text(folder / PAGE, page.render(found))


def summary(explorer: Explorer, unfit: Mapping[str, str], *, spent: float) -> dict[str, Any]:
    """Everything there is to tell before one is chosen."""
    bench, asked = explorer.bench, explorer.bench.recipe
    teacher = bench.jury.score(bench.jury.statistics(None))
    timed = explorer.points[0].facts["teacher"]
    points = [_point(one, asked.search, teacher=teacher, timed=timed) for one in explorer.points]
    sign = 1.0 if bench.jury.metric.higher_is_better else -1.0
    kept = choice.frontier(np.array([_figures(one, sign) for one in points]))
    points = [{**one, "frontier": bool(best)} for one, best in zip(points, kept, strict=True)]
    tried = {one["name"] for one in points}
    return {
        "name": asked.name,
        "recipe_digest": asked.digest,
        "metric": bench.jury.metric.kind,
        "dev_rows": len(bench.jury.texts),
        "budget": asked.search.model_dump(mode="json"),
        "seconds": round(spent, 1),
        "machine": cost.machine(),
        "currency": asked.cost.currency,
        "teacher": {"score": teacher, **(timed or {})},
        "points": sorted(points, key=lambda one: one["latency_ms"]),
        "not_finished": {name: why for name, why in explorer.dropped.items() if name not in tried},
        "unfit": dict(unfit),
        "chosen": None,
        "confirmed": None,
    }


def _figures(point: Mapping[str, Any], sign: float) -> list[float]:
    """What the frontier is of: all better when higher."""
    return [sign * point["score"], -point["latency_ms"], -point["disk_mb"], -point["price_per_million_texts"]]


def _point(trial: Trial, budget: recipe.Search, *, teacher: float, timed: Mapping[str, Any] | None) -> dict[str, Any]:
    """A finished point, with every figure from its trial, and where it lies."""
    facts = trial.facts
    told = {
        "name": trial.candidate.name,
        "kind": trial.candidate.family,
        "student": trial.candidate.student.resolved(),
        "objectives": [one.model_dump(mode="json") for one in trial.candidate.objectives],
        "run": str(trial.run.folder),
        "bundle": str(trial.bundle.folder),
        "digest": trial.bundle.digest,
        "score": trial.score,
        "scores": facts["scores"],
        "retention": trial.score / teacher if teacher else None,
        "texts_per_second": trial.texts_per_second,
        "speedup": trial.texts_per_second / timed["texts_per_second"] if timed else None,
        "latency_ms": facts["latency_ms"]["p50"],
        "disk_mb": trial.disk_mb,
        "parameters": facts["parameters"],
        "price_per_million_texts": facts["price_per_million_texts"],
    }
    return {**told, "beyond": _beyond(told, budget)}


def _beyond(point: Mapping[str, Any], budget: recipe.Search) -> dict[str, float]:
    """The limits that a point does not keep, each with how many times it would have to be better."""
    times = {
        "max_disk_mb": point["disk_mb"] / budget.max_disk_mb if budget.max_disk_mb else 0.0,
        "max_latency_ms": point["latency_ms"] / budget.max_latency_ms if budget.max_latency_ms else 0.0,
        "min_retention": budget.min_retention / max(point["retention"] or 0.0, 1e-9) if budget.min_retention else 0.0,
    }
    return {name: value for name, value in times.items() if value > 1.0}


def chosen(trials: Sequence[Trial], found: Mapping[str, Any], bench: Bench) -> dict[str, Any]:
    """The point that dev chooses among those within the budget, its score corrected for that.

    Raises:
        InputError: there is none.
    """
    points = {one["name"]: one for one in found["points"]}
    within = [one for one in trials if not points[one.candidate.name]["beyond"]]
    if not within:
        raise InputError(_too_tight(found["points"], bench.recipe.search))
    prices = [points[one.candidate.name]["price_per_million_texts"] for one in within]
    best = choice.choose([one.statistics for one in within], prices, metric=bench.jury.metric,
                         rng=seeds.generator(bench.recipe.seed, "search/choice"))  # fmt: skip
    return {
        "name": within[best.place].candidate.name,
        "run": points[within[best.place].candidate.name]["run"],
        "bundle": points[within[best.place].candidate.name]["bundle"],
        "of": len(within),
        "score": best.score,
        "corrected": {"value": best.corrected, "low": best.low, "high": best.high, "n": found["dev_rows"]},
    }


def _too_tight(points: Sequence[Mapping[str, Any]], budget: recipe.Search) -> Problem:
    nearest = min(points, key=lambda one: max(one["beyond"].values()))
    has = ", ".join(f"{_LIMITS[name]} {nearest[_LIMITS[name]]:.3g}" for name in nearest["beyond"])
    asked = ", ".join(f"{name} {getattr(budget, name):g}" for name in _LIMITS if getattr(budget, name) is not None)
    found = f"{len(points)} finished points, none within it; the nearest is {nearest['name']} ({has})"
    return Problem("search", found, f"a point within {asked}", "Loosen the budget, or give it more minutes.")


def _confirmed(run: Run) -> dict[str, Any]:
    """What the chosen student's own run found on the test."""
    return {
        "run": str(run.folder),
        "passed": run.passed,
        "scores": run.summary["student"]["scores"],
        "retention": run.summary["retention"],
        "documents": [str(one) for one in run.documents],
    }
