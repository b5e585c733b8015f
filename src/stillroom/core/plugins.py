"""From the name in a recipe to the member that answers to it.

A family is a package of ours with a plural name; each file in it is a member, and its name is what people type as
`kind`. Strangers add members by entry point in the group `stillroom.<family>`, and are found the same way.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stillroom.core.errors import InputError, Problem, RecipeError, nearest


class Member(BaseModel):
    """What every member of every family is: its own settings, frozen, with unknown ones refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    parts: ClassVar[Mapping[str, str]] = {}
    """Fields that hold members of a family themselves, one or several, and which family that is."""

    kind: str
    """The member's name: its file's."""


class Settings(BaseModel):
    """The settings of a stage, frozen, with unknown ones refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: ClassVar[Mapping[str, str]] = {}
    """Fields that hold members of a family, and which family that is."""


M = TypeVar("M", bound=Member)
S = TypeVar("S", bound=BaseModel)


@cache
def names(family: str) -> tuple[str, ...]:
    """The names of all members of a family, ours and strangers'."""
    package = importlib.import_module(f"stillroom.{family}")
    ours = {found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_")}
    strangers = {point.name for point in importlib.metadata.entry_points(group=f"stillroom.{family}")}
    return tuple(sorted(ours | strangers))


@cache
def member(family: str, kind: str) -> type[Member]:
    """The class that answers to `kind` in a family.

    Raises:
        InputError: no member has that name.
    """
    # Ours first, by name: looking through every installed package for strangers takes longer than a prediction.
    ours = kind.isidentifier() and not kind.startswith("_")
    if not ours or importlib.util.find_spec(f"stillroom.{family}.{kind}") is None:
        return _stranger(family, kind)
    module = importlib.import_module(f"stillroom.{family}.{kind}")
    for value in vars(module).values():
        own = isinstance(value, type) and issubclass(value, Member) and value.__module__ == module.__name__
        if own and value.model_fields["kind"].default == kind:
            answer: type[Member] = value
            return answer
    raise AssertionError(f"stillroom.{family}.{kind} defines no member of that kind")


def _stranger(family: str, kind: str) -> type[Member]:
    """A member that another package brought."""
    for point in importlib.metadata.entry_points(group=f"stillroom.{family}", name=kind):
        found: type[Member] = point.load()
        return found
    raise InputError(
        Problem(family, f"the kind `{kind}`", f"the name of one of the {family}", nearest(kind, names(family)))
    )


def free(family: str) -> Iterator[Any]:
    """Every member that needs nothing told: without a setting that has to be given."""
    for name in names(family):
        if not any(field.is_required() for field in member(family, name).model_fields.values()):
            yield build(family, name)


def build(family: str, settings: dict[str, Any] | str) -> Any:
    """A member made from settings as a recipe or a manifest holds them.

    Raises:
        InputError: no member of that name, or settings that it does not have.
    """
    values = {"kind": settings} if isinstance(settings, str) else dict(settings)
    found, problems = check(member(family, str(values.get("kind"))), values, where=family)
    if problems:
        raise RecipeError(*problems)
    return found


def built(family: str, value: Any) -> Any:
    """The members of a family where a list of names or tables stands; anything else as it is.

    Raises:
        ValueError: a name or a setting that there is not.
    """
    if not isinstance(value, list | tuple):
        return value
    try:
        return tuple(build(family, item) if isinstance(item, str | dict) else item for item in value)
    except InputError as error:
        raise ValueError("; ".join(f"{p.expected}: {p.todo}" for p in error.problems)) from error


def check(model: type[S], values: dict[str, Any], *, where: str) -> tuple[S | None, list[Problem]]:
    """The model made from `values`, or every problem there is with them and with the members that they hold."""
    values, problems = dict(values), []
    families: Mapping[str, str] = getattr(model, "parts", {})
    for key, family in families.items():
        if values.get(key) is not None:
            place = f"{where}.{key}" if where else key
            values[key], more = members(family, values[key], where=place)
            problems += more
    try:
        made = model.model_validate(values)
    except ValidationError as error:
        told = {problem.where for problem in problems}
        for detail in error.errors():
            # A member that could not be made is missing now: that was said already.
            key = str(detail["loc"][0]) if detail["loc"] else ""
            place = f"{where}.{key}" if where else key
            if key not in families or not any(one.startswith(place) for one in told):
                problems.append(_problem(model, dict(detail), where=where))
        return None, problems
    return (None if problems else made), problems


def members(family: str, found: Any, *, where: str) -> tuple[Any, list[Problem]]:
    """The member that a table describes, or the members of a list of them (None for one that can't be made)."""
    if not isinstance(found, list | tuple):
        return _made(family, found, where=where)
    built = [_made(family, item, where=f"{where}[{number}]") for number, item in enumerate(found)]
    return tuple(one for one, _ in built), [problem for _, more in built for problem in more]


def _made(family: str, item: Any, *, where: str) -> tuple[Member | None, list[Problem]]:
    if isinstance(item, Member):
        return item, []
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        todo = f"Add `kind`: one of {', '.join(names(family))}."
        return None, [Problem(where, "no `kind`", f"a table that names one of the {family}", todo)]
    kind: str = item["kind"]
    if kind not in names(family):
        todo = nearest(kind, names(family))
        return None, [Problem(f"{where}.kind", f"`{kind}`", f"the name of one of the {family}", todo)]
    return check(member(family, kind), item, where=where)


def _problem(model: type[BaseModel], detail: dict[str, Any], *, where: str) -> Problem:
    """A validation error in our words."""
    path = ".".join(str(part) for part in detail["loc"])
    place = ".".join(part for part in (where, path) if part)
    if detail["type"] == "extra_forbidden":
        fields = _fields_at(model, detail["loc"][:-1])
        name = str(detail["loc"][-1])
        return Problem(place, "a key that nothing reads", "a known key", nearest(name, fields))
    if detail["type"] == "missing":
        return Problem(place, "nothing", "a value", f"Add `{path}`.")
    field = model.model_fields.get(str(detail["loc"][0])) if detail["loc"] else None
    # Where a key was put in the wrong place, nobody is to read it in a log.
    found = repr(detail["input"]) if field is None or field.repr else "a value that is not shown"
    message = str(detail["msg"])
    for start in ("Value error, ", "Input should be ", "Assertion failed, "):
        message = message.removeprefix(start)
    return Problem(place, found if len(found) < 80 else f"{found[:77]}…", message, f"Correct `{path or where}`.")


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The names of the fields that may stand at a place in a model."""
    for part in path:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
