"""Which layer of the student is held against which of the teacher; both are counted from 1, what goes in is 0."""

from __future__ import annotations

from stillroom.core.errors import MismatchError, Problem


def even(student: int, teacher: int) -> list[tuple[int, int]]:
    """Each of the student's layers m with the teacher's round(m · L / S), halves up: the last with the last."""
    return [(own, (2 * own * teacher + student) // (2 * student)) for own in range(1, student + 1)]


def last(student: int, teacher: int) -> list[tuple[int, int]]:
    """The last with the last."""
    return [(student, teacher)]


def refuse_none(kind: str, student_layers: int) -> None:
    """An objective of layers needs some.

    Raises:
        MismatchError: the student has no layers that can be looked into.
    """
    if not student_layers:
        found = f"`{kind}`, which looks into layers, for a student that shows none"
        todo = "Choose the student `transformer`, or objectives that look at whole texts."
        raise MismatchError(Problem("objective", found, "a student of layers", todo))
