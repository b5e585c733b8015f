"""What a request can be told is wrong. Nothing of its texts is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

from pydantic import ValidationError

from stillroom.core.errors import Problem, StillroomError
from stillroom.serve import batcher, shelf

_MOST = 20  # problems that are told


@final
class Fault(Exception):
    """Why a request is not answered as it hoped."""

    def __init__(self, status: int, code: str, *problems: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.problems, self.headers = status, code, problems, dict(headers or {})

    @property
    def message(self) -> str:
        """All of it in words."""
        return " ".join(str(problem) for problem in self.problems)


def of_body(error: ValidationError) -> Fault:
    """A body that is no JSON, or not of the form that was asked for: every problem with its place."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [
        Problem(
            ".".join(str(part) for part in ("body", *one["loc"])),
            "a key that nothing reads" if one["type"] == "extra_forbidden" else "something else",
            one["msg"].removeprefix("Input should be ").removeprefix("Value error, "),
            "See /openapi.json.",
        )
        for one in found[:_MOST]
    ]
    unread = any(one["type"] == "json_invalid" for one in found)
    return Fault(400, "invalid_json", *problems) if unread else Fault(422, "invalid_request", *problems)


def of(error: Exception) -> Fault | None:
    """What an error of ours means to whoever asked; None: it is none of ours."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, batcher.Refused):
        return busy(error.retry_after)
    if isinstance(error, batcher.Late):
        todo = "Ask again, or allow it more time."
        return Fault(504, "deadline", Problem("server", "a deadline that went by", "an answer by then", todo))
    if isinstance(error, shelf.Unknown):
        return Fault(404, "unknown_model", Problem("model", str(error), "one of GET /models", "Correct the name."))
    if isinstance(error, StillroomError):
        return Fault(422, "invalid_request", *error.problems)
    return None


def busy(seconds: float) -> Fault:
    """There is no room, and should be some after so long."""
    whole = max(math.ceil(seconds), 1)
    problem = Problem("server", "more to do than can be done in time", "room", f"Try again in {whole} s.")
    return Fault(429, "overloaded", problem, headers={"retry-after": str(whole)})


def refusal(status: int, code: str, where: str, found: str, expected: str, todo: str) -> Fault:
    """A fault with one problem."""
    return Fault(status, code, Problem(where, found, expected, todo))


def as_dict(fault: Fault) -> Mapping[str, object]:
    """The fault as a program reads it."""
    problems: Sequence[Mapping[str, str]] = [
        {"where": one.where, "found": one.found, "expected": one.expected, "todo": one.todo} for one in fault.problems
    ]
    return {"error": {"code": fault.code, "problems": problems}}
