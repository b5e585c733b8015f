"""A term of the loss teaches nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, final

from stillroom.objectives import GOLD, PEER, Objective, terms
from stillroom.symptoms import ANY, Case, Finding, Seen, Severity, Symptom

_STILL = 1e-6  # a term that changes by less of itself over all epochs does not move


@final
class IdleTerm(Symptom):
    """A term of the loss teaches nothing: it has no weight, no rows, no gradient, or it never moves."""

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "train"})
    shapes: ClassVar[frozenset[str]] = ANY
    threshold: ClassVar[str] = (
        "a gradient of exactly 0 while the term is not; a value that changes by less than 10⁻⁶ of itself; no row with "
        "gold for a term that needs it; a term that is in no line of the log"
    )
    false_alarms: ClassVar[str] = "none: nothing here is left to chance"
    explains: ClassVar[frozenset[str]] = frozenset({"learning_rate"})

    kind: Literal["idle_term"] = "idle_term"

    def look(self, case: Case) -> Iterator[Seen]:
        """Each objective of the mixture, as the log tells of it."""
        for place, (one, name) in enumerate(zip(case.objectives, terms(case.objectives), strict=True)):
            yield from self._term(case, one, name, place)
        yield from self._dev(case)

    def _term(self, case: Case, objective: Objective, name: str, place: int) -> Iterator[Seen]:
        key = f"objective[{place}]"
        values = [line["terms"][name] for line in case.log if name in line["terms"]]
        if not values:
            if PEER in objective.needs and not case.artifacts["train"].manifest["settings"].get("peer"):
                return
            why = "its weight is 0" if not objective.weight else f"it starts after {objective.starts:.0%} of training"
            yield self._idle(case, f"`{name}` never counted: {why}.", "The recipe names a term that is never used.",
                             "Give it a weight and a share of training that is reached, or take it out.",
                             (f"{key}.weight", f"{key}.starts"), [("epochs", len(case.log), "log.jsonl: terms")],
                             severity="warning")  # fmt: skip
            return
        gold = len(case.gold("train"))
        if GOLD in objective.needs and not gold:
            yield self._idle(case, f"`{name}` has not one row with gold to learn from.",
                             "No training row has a label, and this term needs them.",
                             "Take the term out, or give labels.", (key, "corpus.train"),
                             [("rows with gold", gold, "log.jsonl: terms")], severity="note")  # fmt: skip
            return
        gradients = [line["gradients"][name] for line in case.log if name in line.get("gradients", {})]
        if gradients and not any(gradients):
            yield self._idle(case, f"`{name}` is {values[-1]:.4g} in the log and has no gradient in any epoch.",
                             "The term is cut off from the student's outputs (a `detach`, a rounding, a copy).",
                             "Correct the objective's `loss`: it must depend on what the student said.", (key,),
                             [("largest gradient", max(gradients), f"log.jsonl: gradients.{name}"),
                              ("value", values[-1], f"log.jsonl: terms.{name}")])  # fmt: skip
        elif len(values) > 2 and max(values) - min(values) <= _STILL * max(map(abs, values)):
            yield self._idle(case, f"`{name}` stood at {values[0]:.4g} in all {len(values)} epochs.",
                             "The term does not follow the student, or nothing that is trained moves it.",
                             "Look at the objective's `loss` and at what of the student is trained.", (key,),
                             [("first", values[0], f"log.jsonl: terms.{name}"),
                              ("last", values[-1], f"log.jsonl: terms.{name}")])  # fmt: skip

    def _dev(self, case: Case) -> Iterator[Seen]:
        """Dev that can't judge what gold teaches."""
        if any(GOLD in one.needs for one in case.objectives) and case.gold("train") and not case.gold("dev"):
            yield self._idle(case, "No dev row has gold, so no epoch was chosen by it.",
                             "Dev follows the teacher alone, while a term of the loss follows gold.",
                             "Give dev rows with labels.", ("corpus.dev", "corpus.dev_share"),
                             [("dev rows judged", case.log[-1]["dev"]["rows"], "log.jsonl: dev.rows")],
                             severity="warning")  # fmt: skip

    def _idle(
        self,
        case: Case,
        told: str,
        cause: str,
        change: str,
        keys: tuple[str, ...],
        facts: Sequence[tuple[str, Any, str]],
        *,
        severity: Severity = "error",
    ) -> Finding:
        evidence = tuple(case.fact(name, value, "train", where) for name, value, where in facts)
        return Finding(self.kind, severity, told, cause, change, keys, evidence)
