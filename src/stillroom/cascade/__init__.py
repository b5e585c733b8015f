"""The student answers where it is sure enough, else its teacher: certifies how seldom that goes wrong, and the price.

    finished      a finished run: its held-out rows, with what both sides said of them
    certificate   the threshold, and what is shown of it
    traffic       the same threshold put to other texts
    page          all of it as a page

What is certified is put into a bundle of its own, beside the run's, and the run finds it there.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import export, intervals, runtime
from stillroom.cascade import certificate, finished, page
from stillroom.cascade.certificate import Calibration, Step
from stillroom.cascade.finished import Answered, Finished
from stillroom.core import artifact, seeds
from stillroom.core.artifact import Artifact, Draft
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Event, Report, silent
from stillroom.intervals import Interval, not_measurable
from stillroom.runtime import deferral
from stillroom.runtime.deferral import Prices

STAGE, FILE, PAGE, ROWS = "cascade", "certified.json", "cascade.html", "rows.json"
CALIBRATES = 1 / 3
"""The share of the held-out rows that calibrate: what certifies gains more by a row."""
HOLDS_FOR = (
    "This holds for traffic like the held-out rows (exchangeable with them), and for nothing else: where other texts "
    "come, or the teacher changes, certify again on rows of that traffic (`--rows`)."
)
_NO_PRICE = "the teacher has no price: the run timed none, and none was asked for"


@final
@dataclass(frozen=True)
class Certified:
    """What was certified, or why it could not be: an artifact, and the bundle that carries the threshold."""

    artifact: Artifact
    told: Mapping[str, Any]
    bundle: Artifact | None

    @property
    def passed(self) -> bool:
        """Whether there is a certificate."""
        return self.bundle is not None

    @property
    def page(self) -> Path:
        """The page that people read."""
        return self.artifact.folder / PAGE


def certify(folder: Path, *, epsilon: float = 0.05, delta: float = 0.05, report: Report = silent) -> Certified:
    """Certify a cascade of a finished run's student and teacher on its held-out rows, or find that it was.

    With confidence 1 − `delta`, no more than `epsilon` of all texts are answered by the student and otherwise than its
    teacher would. Where that is shown, the run's bundle with threshold and certificate is written beside the bundle,
    and `stillroom.load` of the run finds it. Choose both numbers before you look: whoever tries until one passes has
    no certificate.

    Raises:
        InputError: numbers that make no promise, or a run without rows to certify on.
        MismatchError: a task whose answers do not say how sure they are.
        ArtifactError: no run there, or one that is damaged.
    """
    _refuse_no_promise(epsilon, delta)
    run = finished.reopen(folder)

    def make(draft: Draft) -> None:
        rows = run.held_out(report)
        told, scores = _certified(run, rows, epsilon=epsilon, delta=delta)
        artifact.write_json(draft.folder / FILE, told)
        artifact.write_json(draft.folder / ROWS, scores)
        artifact.write_text(draft.folder / PAGE, page.render(told))

    described: dict[str, Any] = {"epsilon": epsilon, "delta": delta, "calibrates": CALIBRATES, "seed": run.recipe.seed}
    described |= {"least_answered": certificate.LEAST_ANSWERED, "task": run.recipe.task.model_dump(mode="json")}
    inputs = {"bundle": run.bundle.digest, "held": run.held.artifact.digest, "test": run.corpus.test.digest}
    inputs |= {"said": run.said.artifact.digest, "evaluation": run.evaluation.digest}
    inputs |= {"cost": run.costs.digest} if run.costs is not None else {}
    found = run.store.obtain(STAGE, settings=described, inputs=inputs, make=make)
    told = found.read_json(FILE)
    if told["certificate"] is None:
        return Certified(found, told, None)
    bundle = _carrying(run, found, told)
    kept = {"of": run.bundle.digest, "bundle": bundle.key, "cascade": found.key}
    artifact.write_json(folder / runtime.CASCADE, kept)
    report(Event(STAGE, note=f"the bundle that carries it: {bundle.folder}"))
    return Certified(found, told, bundle)


def _refuse_no_promise(epsilon: float, delta: float) -> None:
    problems = [
        Problem(f"--{name}", f"{value:g}", f"a number above 0 and below {below:g}", "Such as 0.05.")
        for name, value, below in (("epsilon", epsilon, 1.0), ("delta", delta, 0.5))
        if not 0 < value < below
    ]
    if problems:
        raise InputError(*problems)


def _certified(run: Finished, rows: Answered, *, epsilon: float, delta: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Everything that is told, as JSON can hold it; and how sure the student is of each row that certifies."""
    calibrating, certifying = parts(len(rows.ids), seed=run.recipe.seed)
    certificate_of = _digest([rows.ids[row] for row in certifying.tolist()])
    calibration: Calibration | None = None
    steps: tuple[Step, ...] = ()
    if len(calibrating) and len(certifying):
        calibration = certificate.calibrate(rows.sureness[calibrating], rows.right[calibrating])
        steps = certificate.walk(calibration.of(rows.sureness[certifying]), ~rows.right[certifying],
                                 calibration.thresholds, epsilon=epsilon, delta=delta)  # fmt: skip
    taken = certificate.taken(steps)
    described = run.bundle.read_json(runtime.BUNDLE)
    prices = run.prices()
    told: dict[str, Any] = {
        "name": run.recipe.name,
        "epsilon": epsilon,
        "delta": delta,
        "rows": {
            "held_out": len(rows.ids),
            "from": run.corpus.test.role,
            "calibration": len(calibrating),
            "certification": len(certifying),
            "seed": run.recipe.seed,
            "calibration_digest": _digest([rows.ids[row] for row in calibrating.tolist()]),
            "certification_digest": certificate_of,
        },
        "certificate": None,
        "threshold": None,
        "reason": "",
        "advice": "",
        "holds_for": HOLDS_FOR,
        "prices": asdict(prices),
        "steps": [told_of(one, prices) for one in steps],
        "groups": [],
        "calibration": None,
    }
    scores = {"ids": [rows.ids[row] for row in certifying.tolist()], "sureness": rows.sureness[certifying].tolist()}
    if calibration is not None:
        told["calibration"] = {"sureness": calibration.sureness, "confidence": calibration.confidence}
    if taken is None or calibration is None:
        told["reason"], told["advice"] = _why(steps, n=len(certifying), epsilon=epsilon, delta=delta)
        return told, scores
    shown = deferral.Certificate(
        epsilon, delta, taken.n, taken.answered, taken.wrong, taken.bound, taken.selective_bound,
        rows=certificate_of, student=run.bundle.digest, teacher=run.teacher.digest, runner=described["default"],
    )  # fmt: skip
    told |= {"certificate": asdict(shown), "threshold": taken.threshold}
    told["groups"] = _groups(run, rows, certifying, calibration, taken)
    return told, scores


def parts(rows: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows calibrate and which certify, drawn by chance."""
    order = seeds.generator(seed, "cascade/parts").permutation(rows)
    count = round(CALIBRATES * rows)
    return np.sort(order[:count]), np.sort(order[count:])


def _digest(ids: Sequence[str]) -> str:
    return artifact.sha256(artifact.canonical(sorted(ids)))


def _why(steps: Sequence[Step], *, n: int, epsilon: float, delta: float) -> tuple[str, str]:
    """Why nothing was certified, and what would help."""
    needed = certificate.needed(epsilon, delta)
    if n < needed:
        more = int(np.ceil((needed - n) / (1 - CALIBRATES)))
        reason = f"{n:,} rows to certify on; {needed:,} are needed for {epsilon:.2%} even if none goes wrong"
        return reason, f"Add {more:,} test rows at least, or ask for less."
    passed = [one for one in steps if one.passed]
    if passed:
        reason = "where it could be let to answer, the student is sure of none of the rows"
        return reason, "Its sureness says too little: train it longer, or choose another."
    first = steps[0]
    reason = (
        f"of {first.n:,} rows the student answers the {first.answered:,} that it is surest of, {first.wrong:,} of them "
        f"otherwise than its teacher: up to {first.bound:.2%} of all texts, and {epsilon:.2%} were asked"
    )
    more_rows = certificate.further(first, epsilon=epsilon, delta=delta)
    if more_rows is None:
        return reason, "No number of rows would help, should that stay so: it is wrong where it is sure."
    count = int(np.ceil(more_rows / (1 - CALIBRATES)))
    return reason, f"About {count:,} test rows more would do, should that share stay."


def told_of(one: Step, prices: Prices) -> dict[str, Any]:
    """A threshold as a program reads it, with what is escalated there and what that costs."""
    escalated = intervals.clopper_pearson(one.n - one.answered, one.n, 0.95)
    return {
        "threshold": one.threshold,
        "answered": one.answered,
        "wrong": one.wrong,
        "error": intervals.plain(one.wrong / one.n),
        "bound": one.bound,
        "selective_bound": one.selective_bound,
        "escalated": escalated.as_dict(),
        "paid": paid(escalated, prices).as_dict(),
        "passed": one.passed,
    }


def paid(escalated: Interval, prices: Prices) -> Interval:
    """What is paid of the price of asking the teacher everything: the student always, the teacher where it is asked."""
    teacher, student = prices.teacher, prices.student
    if not teacher or student is None or escalated.value is None:
        return not_measurable(escalated.n, _NO_PRICE)
    own = student / teacher
    value, low, high = (None if one is None else one + own
                        for one in (escalated.value, escalated.low, escalated.high))  # fmt: skip
    return Interval(value, low, high, escalated.n)


def _groups(
    run: Finished, rows: Answered, certifying: NDArray[np.int64], calibration: Calibration, taken: Step
) -> list[dict[str, Any]]:
    """How much of each slice of the rows that certify is escalated, and how much of it goes wrong."""
    place = {rows.ids[row]: row for row in certifying.tolist()}
    asked = calibration.of(rows.sureness) < taken.threshold
    wrong = ~asked & ~rows.right
    ids, found = run.groups()
    fewest, groups = run.recipe.evaluate.min_slice_rows, []
    for one in found:
        members = np.array([place[ids[row]] for row in one.rows.tolist() if ids[row] in place], dtype=np.int64)
        few = not_measurable(
            len(members), intervals.too_few(len(members), fewest, which=f" of {one.family} “{one.name}”")
        )
        shares = {name: few if len(members) < fewest else
                  intervals.clopper_pearson(int(which[members].sum()), len(members), 0.95)
                  for name, which in (("escalated", asked), ("wrong", wrong))}  # fmt: skip
        told = {name: share.as_dict() for name, share in shares.items()}
        groups.append({"family": one.family, "name": one.name, "n": len(members), **told})
    return groups


def _carrying(run: Finished, found: Artifact, told: Mapping[str, Any]) -> Artifact:
    """The run's bundle with threshold and certificate, written where it is not there yet."""
    sureness, confidence = (tuple(told["calibration"][name]) for name in ("sureness", "confidence"))
    cascade = deferral.Cascade(told["threshold"], deferral.Certificate(**told["certificate"]), sureness, confidence,
                               Prices(**told["prices"]))  # fmt: skip

    def make(draft: Draft) -> None:
        for name in run.bundle.manifest["files"]:
            target = draft.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.bundle.folder / name, target)
        artifact.write_json(draft.folder / deferral.FILE, cascade.as_dict())
        draft.facts |= {**run.bundle.manifest["facts"], "cascade": found.digest}
        draft.circumstances |= {"checks": run.bundle.circumstances.get("checks", {})}

    inputs = {"bundle": run.bundle.digest, "cascade": found.digest}
    return run.store.obtain(export.STAGE, settings={"carries": STAGE}, inputs=inputs, make=make)
