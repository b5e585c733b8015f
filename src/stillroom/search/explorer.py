"""Who gets how much of the time: one of each kind whole, then short fits for the others, whole ones for those of them
that can still win, then new settings. Every fit pauses where a short one ends, and a whole one goes on from there.

Nothing is begun whose measured pace says that it can't end in time, and a fit that is still going on when the time is
over stops; but the quickest candidate is always finished. Every such decision stands in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, final

from stillroom.core import seeds
from stillroom.core.errors import InputError, OutsideError
from stillroom.core.progress import Event, Report
from stillroom.search import choice
from stillroom.search.bench import Bench, Glimpse, Over, Pace, TimeOver, Trial
from stillroom.search.journal import Journal
from stillroom.search.ladder import Candidate
from stillroom.search.proposals import Proposals

_SHORT = 3  # a short fit has one epoch in so many
_TIMING_SHARE = 0.25  # of the limit: what learning everybody's pace may take
_STARTING_SECONDS = 8.0  # of the process that times a bundle, with its few hundred texts one by one
_PASSES = 3  # over the checked dev texts, for each format that is written and checked
_LARGER = 1.5  # a proposal may be larger than what was timed

T = TypeVar("T")


@final
class Explorer:
    """One search: what is finished, what was stopped, and what is left of the time."""

    def __init__(self, bench: Bench, journal: Journal, *, report: Report) -> None:
        self.bench, self.journal, self._report = bench, journal, report
        self.points: list[Trial] = []
        self.dropped: dict[str, str] = {}
        self._paces: dict[str, Pace] = {}
        self._short: dict[str, Glimpse] = {}

    def explore(self, candidates: Sequence[Candidate]) -> None:
        """Everything there is time for."""
        # Kinds learn at different paces, so that none is judged by a short fit beside another kind's: one of each is
        # fitted whole. Inside a kind a short fit tells enough. A kind's later rungs wait, their paces too, until
        # every kind has had its turn.
        first = {one.family: one for one in reversed(candidates)}
        ordered: list[Candidate] = []
        for rungs in (list(first.values()), [one for one in candidates if first[one.family] is not one]):
            paced = self._paced(rungs)
            for one in paced:
                if all(point.candidate.family != one.family for point in self.points):
                    sure = not self.points
                    if self._try_short(one, sure=sure) is not None:
                        self._finish(one, sure=sure)
            ordered += paced
        ordered.sort(key=self._fit_seconds)
        for one in ordered:
            if one.name not in self._short:
                # A look at one more is worth nothing where it takes the time that those need who were looked at.
                if not self._goes(f"room for {one.name} beside who waits", partial(self._has_room, one)):
                    self._finish_waiting()
                self._try_short(one)
        self._finish_waiting()
        self._propose()

    def _has_room(self, one: Candidate) -> bool:
        needs = (self._whole_seconds(candidate) for candidate in self._waiting())
        return sum(needs, self._needs(one)) <= self._left()

    def _finish_waiting(self) -> None:
        for one in self._waiting():
            self._finish(one)

    def _waiting(self) -> list[Candidate]:
        """Those who had a short fit and may still win, in the order in which they had it."""
        seen = [one for one in self._short.values() if one.candidate.name not in self.dropped]
        return [one.candidate for one in seen if not self._finished(one.candidate) and not self._outclassed(one)]

    def _left(self) -> float:
        return self.bench.recipe.search.minutes * 60 - self.journal.spent()

    def _finished(self, candidate: Candidate) -> bool:
        return any(point.candidate.name == candidate.name for point in self.points)

    def _paced(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those whose pace could be taken, the quickest first."""
        allowed = self.journal.spent() + _TIMING_SHARE * self.bench.recipe.search.minutes * 60
        for one in candidates:
            if self._paces and self._goes(f"time {one.name}", lambda: self.journal.spent() < allowed) is False:
                self.dropped[one.name] = "no time was left to learn how long it takes"
                continue
            pace = self._attempt(one, f"pace of {one.name}", partial(self._note_pace, one))
            if pace is not None:
                self._paces[one.name] = pace
        return sorted((one for one in candidates if one.name in self._paces), key=self._fit_seconds)

    def _fit_seconds(self, candidate: Candidate) -> float:
        return self._paces[candidate.name].seconds(self.bench.epochs(candidate))

    def _note_pace(self, one: Candidate, _: Over) -> Pace:
        return Pace(**self.journal.decide(f"pace {one.name}", lambda: vars(self.bench.pace(one))))

    def _goes(self, what: str, asked: Callable[[], bool]) -> bool:
        return bool(self.journal.decide(what, lambda: {"go": asked()})["go"])

    def _short_epochs(self, candidate: Candidate) -> int:
        return max(1, round(self.bench.epochs(candidate) / _SHORT))

    def _short_seconds(self, candidate: Candidate) -> float:
        return self._paces[candidate.name].seconds(self._short_epochs(candidate))

    def _whole_seconds(self, candidate: Candidate) -> float:
        """What is left of a whole fit, with every seed, the bundle and its timing."""
        recipe = self.bench.recipe
        pace, seen = self._paces[candidate.name], self._short.get(candidate.name)
        fits = self._fit_seconds(candidate) * recipe.search.seeds
        if seen is not None:
            fits -= self._short_seconds(candidate) - pace.begin
        rows = min(1000, len(self.bench.jury.texts))
        passes = (1 + len(recipe.export.formats)) * _PASSES + 3
        a_text = 1 / seen.texts_per_second if seen else pace.judge / len(self.bench.jury.texts)
        return fits + _STARTING_SECONDS + rows * passes * a_text

    def _needs(self, candidate: Candidate) -> float:
        """What a short fit and the rest take together, which begins once more."""
        return self._whole_seconds(candidate) + self._paces[candidate.name].begin

    def _begins(self, candidate: Candidate, what: str, seconds: float, *, needs: float, sure: bool = False) -> bool:
        """Whether there is time for it; told, and written down."""

        def decided() -> dict[str, object]:
            left = self._left()
            return {"go": sure or needs <= left, "needs": round(needs, 1), "left": round(left, 1)}

        told = self.journal.decide(f"{what} {candidate.name}", decided)
        if told["go"]:
            minutes, rest = divmod(round(max(0.0, told["left"])), 60)
            note = f"{what} {candidate.name}, about {seconds:.0f} s; {len(self.points)} points finished, "
            self._report(Event("search", note=f"{note}{minutes}:{rest:02d} left"))
        else:
            self.dropped[candidate.name] = f"it needs about {told['needs']:.0f} s, and {told['left']:.0f} s were left"
        return bool(told["go"])

    def _attempt(self, candidate: Candidate, what: str, work: Callable[[Over], T], *, sure: bool = False) -> T | None:
        """Do it, unless it was seen that it can't be done: a fit that runs away, or a bundle that fails its checks."""
        known = self.journal.known(f"failed {what}")
        if known is None:
            try:
                return work(lambda: not sure and self._left() < 0)
            except TimeOver:
                why = "the minutes were over in the middle of its fit"
                known = self.journal.decide(f"failed {what}", lambda: {"why": why})
            except (InputError, OutsideError) as error:
                problem = error.problems[0]
                if isinstance(error, OutsideError) and problem.where != "export":
                    raise
                known = self.journal.decide(f"failed {what}", lambda: {"why": problem.found})
        self.dropped[candidate.name] = known["why"]
        return None

    def _try_short(self, candidate: Candidate, *, sure: bool = False) -> Glimpse | None:
        if not self._begins(
            candidate, "short fit of", self._short_seconds(candidate), needs=self._needs(candidate), sure=sure
        ):
            return None
        epochs = self._short_epochs(candidate)
        seen = self._attempt(
            candidate,
            f"short fit of {candidate.name}",
            lambda over: self.bench.short(candidate, epochs=epochs, over=over),
            sure=sure,
        )
        if seen is not None:
            self._short[candidate.name] = seen
        return seen

    def _finish(self, candidate: Candidate, *, sure: bool = False) -> None:
        seconds = self._whole_seconds(candidate)
        if self._begins(candidate, "whole fit of", seconds, needs=seconds, sure=sure):
            number = len(self.points) + 1
            point = self._attempt(
                candidate,
                f"whole fit of {candidate.name}",
                lambda over: self.bench.finish(candidate, number=number, beside_teacher=number == 1, over=over),
                sure=sure,
            )
            if point is not None:
                self.points.append(point)

    def _outclassed(self, seen: Glimpse) -> bool:
        """Whether another of its kind, after as short a fit, is as quick and as small, and better beyond chance."""
        metric, name = self.bench.jury.metric, seen.candidate.name
        for other in self._short.values():
            if other is seen or other.candidate.family != seen.candidate.family:
                continue
            if other.texts_per_second < seen.texts_per_second or other.disk_mb > seen.disk_mb:
                continue
            if other.statistics is None or seen.statistics is None:
                continue  # what was finished before was not seen after as short a fit
            rng = seeds.generator(self.bench.recipe.seed, f"search/{name}/{other.candidate.name}")
            if choice.clearly_better(other.statistics, seen.statistics, metric=metric, rng=rng):
                self.dropped[name] = f"after a short fit {other.candidate.name} was as quick, as small and better"
                return True
        return False

    def _propose(self) -> None:
        """New settings for each kind that has a finished point, in turn, from the best of its points on."""
        sign = 1.0 if self.bench.jury.metric.higher_is_better else -1.0
        bases: dict[str, Trial] = {}
        for point in self.points:
            before = bases.get(point.candidate.family)
            if before is None or sign * point.score > sign * before.score:
                bases[point.candidate.family] = point
        studies = {
            family: Proposals(base.candidate.spans(), seed=self.bench.recipe.seed, name=family,
                              higher_is_better=sign > 0)
            for family, base in bases.items() if self.bench.recipe.search.proposals
        }  # fmt: skip
        for number in range(1, self.bench.recipe.search.proposals + 1):
            for family in list(studies):
                if not self._try(bases[family].candidate, studies[family], number=number, sign=sign):
                    del studies[family]

    def _try(self, base: Candidate, study: Proposals, *, number: int, sign: float) -> bool:
        """Try new settings as `base` was tried; whether there was time for it."""
        one = base.moved(study.next(), name=f"{base.family} proposal {number}")
        pace = self._paces[base.name]
        self._paces[one.name] = Pace(pace.begin, pace.step * _LARGER, pace.judge * _LARGER, pace.steps)
        seen = self._try_short(one)
        study.tell(None if seen is None else seen.score)
        if seen is None:
            return bool(self.journal.decide(f"short fit of {one.name}", dict)["go"])
        if sign * seen.score > sign * self._short[base.name].score:
            self._finish(one)
        else:
            self.dropped[one.name] = f"after a short fit it was no better than {base.name}"
        return True
