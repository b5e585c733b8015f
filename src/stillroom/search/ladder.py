"""Who is tried: each kind of student offers its rungs, and those stay that fit the recipe's task and teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, final

from stillroom import fitness
from stillroom.core import plugins
from stillroom.core.recipe import Recipe
from stillroom.objectives import Objective
from stillroom.students import Span, Student

_TEMPERATURES = Span(1.0, 8.0, log=True)
_SHARES = Span(0.5, 1.0)
#: Joins the task's own mixture where teacher and student both show a vector, which tells more than a few logits.
_VECTORS = {"kind": "contrastive", "weight": 1.0}


@final
@dataclass(frozen=True)
class Candidate:
    """A student with its settings, and the mixture that it is fitted by."""

    name: str
    student: Student
    objectives: tuple[Objective, ...]

    @property
    def family(self) -> str:
        """Its kind."""
        return self.student.kind

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe that fits just this one."""
        return recipe.model_copy(update={"student": self.student, "objective": self.objectives})

    def spans(self) -> dict[str, Span]:
        """What a search may move: settings of the student, and temperature and shares of the mixture."""
        found = {f"student.{name}": span for name, span in self.student.spans().items()}
        for place, one in enumerate(self.objectives):
            if getattr(one, "temperature", None) is not None and getattr(one, "temperature_end", None) is None:
                found[f"objective.{place}.temperature"] = _TEMPERATURES
        weighed = [one.weight > 0 for one in self.objectives if one.weight_end is None]
        if len(weighed) == len(self.objectives) and weighed[0] and sum(weighed) > 1:
            found["mixture"] = _SHARES
        return found

    def moved(self, values: Mapping[str, Any], *, name: str) -> Candidate:
        """The same with other values for what `spans` names."""
        own = {key.removeprefix("student."): value for key, value in values.items() if key.startswith("student.")}
        objectives = list(self.objectives)
        for place, one in enumerate(objectives):
            if (warmth := values.get(f"objective.{place}.temperature")) is not None:
                objectives[place] = one.model_copy(update={"temperature": warmth})
        if "mixture" in values:
            objectives = _mixed(objectives, share=values["mixture"])
        return Candidate(name, self.student.model_copy(update=own), tuple(objectives))


def _mixed(objectives: list[Objective], *, share: float) -> list[Objective]:
    """The first term takes this share of the weight, and the others share the rest as they did."""
    total = sum(one.weight for one in objectives)
    rest = total - objectives[0].weight
    shares = [share if place == 0 else (1 - share) * one.weight / rest for place, one in enumerate(objectives)]
    return [one.model_copy(update={"weight": total * part}) for one, part in zip(objectives, shares, strict=True)]


def climb(recipe: Recipe, *, teacher_layers: int) -> tuple[list[Candidate], dict[str, str]]:
    """Those that fit, the first rung of every kind first; and those that don't, each with the reason."""
    kinds = recipe.search.families or plugins.names("students")
    rungs = [list(_rungs(kind, recipe, teacher_layers)) for kind in kinds]
    fit: list[Candidate] = []
    unfit: dict[str, str] = {}
    for one in chain.from_iterable(zip_longest(*rungs)):
        if one is not None:
            problems = fitness.misfits(one.recipe(recipe))
            if problems:
                unfit[one.name] = "; ".join(f"{problem.found}, not {problem.expected}" for problem in problems)
            else:
                fit.append(one)
    return fit, unfit


def _rungs(kind: str, recipe: Recipe, teacher_layers: int) -> Iterator[Candidate]:
    """The recipe's own student first, where it is of this kind; then what the kind offers."""
    member: Any = plugins.member("students", kind)
    own = [recipe.student] if recipe.student.kind == kind else []
    offered = [*own, *(one for one in member.ladder(teacher_layers=teacher_layers) if one not in own)]
    offered = offered[: recipe.search.rungs]
    for student in offered:
        apart = student.model_dump(mode="json", serialize_as_any=True, exclude_defaults=True)
        told = [f"{name}={value}" for name, value in _flat(apart).items()]
        yield Candidate(" ".join([kind, *told]), student, _mixture(recipe, student))


def _mixture(recipe: Recipe, student: Student) -> tuple[Objective, ...]:
    """The recipe's own, or else the task's, with vectors where that fits."""
    if recipe.objective:
        return recipe.objective
    own = fitness.objectives(recipe)
    richer = (*own, plugins.build("objectives", _VECTORS))
    problems = fitness.misfits(recipe.model_copy(update={"student": student, "objective": richer}))
    return own if problems else richer


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        inside = isinstance(value, Mapping) and value
        found |= (
            _flat(value, f"{before}{name}.") if inside else {f"{before}{name}": "default" if value == {} else value}
        )
    return found
