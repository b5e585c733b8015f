"""Settings to try next: a study for each kind of student, by the tree-structured Parzen estimator of `optuna`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from stillroom.core import seeds
from stillroom.core.errors import missing_extra
from stillroom.students import Span

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

_AT_RANDOM = 4  # proposals before the first that learns from others


@final
class Proposals:
    """Proposes values within spans, and learns from the scores that it is told. Same seed and scores, same values."""

    def __init__(self, spans: Mapping[str, Span], *, seed: int, name: str, higher_is_better: bool) -> None:
        try:
            import optuna
        except ImportError as error:
            raise missing_extra("train", package="optuna", needed_by="proposals of settings") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spans = {key: _distribution(span) for key, span in spans.items()}
        sampler = optuna.samplers.TPESampler(
            seed=seeds.derive(seed, f"search/proposals/{name}") % 2**32, n_startup_trials=_AT_RANDOM
        )
        self._study: Study = optuna.create_study(
            sampler=sampler, direction="maximize" if higher_is_better else "minimize"
        )
        self._asked: Trial | None = None

    def next(self) -> dict[str, Any]:
        """Values to try."""
        self._asked = self._study.ask(self._spans)
        return {key: float(f"{value:.4g}") if isinstance(value, float) else value
                for key, value in self._asked.params.items()}  # fmt: skip

    def tell(self, score: float | None) -> None:
        """What came of the values that were proposed last; None where they could not be tried."""
        from optuna.trial import TrialState

        if self._asked is not None:
            state = TrialState.FAIL if score is None else TrialState.COMPLETE
            self._study.tell(self._asked, score, state=state)
        self._asked = None


def _distribution(span: Span) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    if span.whole:
        return IntDistribution(round(span.low), round(span.high), log=span.log)
    return FloatDistribution(span.low, span.high, log=span.log)
