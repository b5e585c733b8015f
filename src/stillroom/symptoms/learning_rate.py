"""The learning rate, or the number of epochs, is out of range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, final

from stillroom.objectives import Objective
from stillroom.symptoms import ANY, Case, Fact, Finding, Seen, Severity, Symptom

_ROSE = 0.05  # of the first epoch's loss: a rise that is more than noise between batches, also once little is left
_HARDLY = 0.05  # of the dev loss before any step
_STEADY = 0.9  # of the fall that the earlier epochs had for the same way
_WORTH = 0.03  # of the dev loss
_FEWEST = 3


@final
class LearningRate(Symptom):
    """The learning rate or the number of epochs is out of range, as the course of the loss tells.

    Too high: dev ends no better than before the first step, or the training loss rises in half of the epochs, or the
    first epoch was the best and dev only got worse. Too low or too short: dev hardly moved at all, or in the second
    half of the epochs still falls as steeply as in the first, for each unit of rate times epochs.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    shapes: ClassVar[frozenset[str]] = ANY
    threshold: ClassVar[str] = (
        "rises of the loss by 5 % of the first epoch's in half of the epochs; 5 % of the dev loss before any step in "
        "all; in the second half 90 % of the first half's fall for each unit of rate times epochs, and 3 % of the "
        "loss: a fit that settles slows down, and a fall by less is noise"
    )
    false_alarms: ClassVar[str] = "rules without a test; small dev splits make the course noisy"

    kind: Literal["learning_rate"] = "learning_rate"

    def look(self, case: Case) -> Iterator[Seen]:
        """The log, from the score before any step on."""
        log = case.log
        if len(log) < _FEWEST:
            yield self.unseen(f"{len(log)} epochs; the course of a loss takes {_FEWEST}")
            return
        if moved_by_design(case.objectives, case.artifacts["train"].manifest["settings"]["train"]):
            yield self.unseen("weights, stages or a curriculum move the loss by themselves")
            return
        found = _too_high(log, metric=case.metric.kind) or _too_low(log)
        if found is None:
            return
        severity, told, high = found
        peak = case.recipe.train.learning_rate or case.recipe.student.learning_rate
        yield Finding(
            self.kind,
            severity,
            f"{told} (peak rate {peak:.3g}, {len(log)} epochs).",
            "The learning rate is too high for this student and batch size."
            if high
            else "The learning rate is too low, or training ended too early.",
            "Divide the rate by 3 to 10." if high else "Give it more epochs, or a rate that is 3 to 10 times higher.",
            ("train.learning_rate",) if high else ("train.epochs", "train.learning_rate"),
            tuple(_facts(case, log)),
        )


def _facts(case: Case, log: Sequence[Mapping[str, Any]]) -> Iterator[Fact]:
    if "before" in log[0]:
        yield case.fact("dev loss before any step", log[0]["before"]["loss"], "train", "log.jsonl: before.loss")
    for name, line in (("first", log[0]), ("last", log[-1])):
        yield case.fact(f"dev loss, {name} epoch", line["dev"]["loss"], "train", "log.jsonl: dev.loss")
        yield case.fact(f"loss, {name} epoch", line["loss"], "train", "log.jsonl: loss")


def _too_high(log: Sequence[Mapping[str, Any]], *, metric: str) -> tuple[Severity, str, bool] | None:
    losses, dev = [line["loss"] for line in log], [line["dev"]["loss"] for line in log]
    before = log[0].get("before", {}).get("loss")
    rises = sum(after - earlier > _ROSE * losses[0] for earlier, after in pairwise(losses))
    # Where the training loss falls below it and dev does not, texts are learned by heart: no matter of the rate.
    if before is not None and min(dev) > (1 + _HARDLY) * before and min(losses) > before:
        return "error", f"The dev loss was {before:.4g} before any step and never came below {min(dev):.4g}", True
    if 2 * rises >= len(losses) - 1:
        return "warning", f"The training loss rose in {rises} of {len(losses) - 1} epochs", True
    scores = [line["dev"].get(metric, 0.0) for line in log]
    if scores[0] > max(scores[1:]) and min(dev[1:]) > (1 + _ROSE) * dev[0]:
        return (
            "warning",
            f"The first epoch was the best, and the dev loss rose from {dev[0]:.4g} to {dev[-1]:.4g}",
            True,
        )
    return None


def _too_low(log: Sequence[Mapping[str, Any]]) -> tuple[Severity, str, bool] | None:
    dev, rates = [line["dev"]["loss"] for line in log], [line["learning_rate"] for line in log]
    before, losses = log[0].get("before", {}).get("loss"), [line["loss"] for line in log]
    still = min(losses) > (1 - _HARDLY) * losses[0]
    if before is not None and still and abs(min(dev) - before) < _HARDLY * before:
        return "error", f"The dev loss hardly moved: {before:.4g} before any step, {min(dev):.4g} at best", False
    if rates[-1] > 0.1 * rates[0]:  # it stopped for want of better scores, with rate left to spend
        return None
    # The way that an epoch can go is the mean of the rates at its ends.
    ways = [(one + two) / 2 for one, two in pairwise(rates)]
    middle = max(1, len(ways) // 2)
    early, late = dev[0] - dev[middle], dev[middle] - dev[-1]
    slope, last = early / sum(ways[:middle]), late / sum(ways[middle:])
    if slope > 0 and last >= _STEADY * slope and late >= _WORTH * dev[-1]:
        told = f"The dev loss still fell from {dev[middle]:.4g} to {dev[-1]:.4g} in the second half of the epochs, "
        return "warning", f"{told}{last / slope:.0%} as steeply as in the first", False
    return None


def moved_by_design(objectives: Sequence[Objective], settings: Mapping[str, Any]) -> bool:
    """Whether weights, stages or a curriculum move the loss by themselves, so that its course says little."""
    planned = any(
        getattr(one, name) is not None for one in objectives for name in type(one).model_fields if name.endswith("_end")
    )
    staged = any(one.starts > 0 or one.ends < 1 for one in objectives)
    return planned or staged or bool(settings.get("curriculum")) or bool(settings.get("unfreeze"))
