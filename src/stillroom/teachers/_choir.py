"""Teachers that are asked together, and what they say as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, objects, signals
from stillroom.core.errors import MismatchError, Problem
from stillroom.core.probabilities import log_softmax
from stillroom.core.words import Words
from stillroom.teachers import Identity, LoadedTeacher, Precision
from stillroom.teachers._forecast import Bills, Forecast

if TYPE_CHECKING:
    from stillroom.shapes import Shape

_SPOKEN = frozenset({"logits", "label", signals.WORDS, signals.COUNTS})
_HARDLY = 1e-6  # the share of a tag that a member who only names tags did not name

Select = Literal["average", "confidence", "gold"]
Floats = NDArray[np.float64]


@final
class Choir:
    """Members that are asked together."""

    def __init__(
        self,
        members: Sequence[LoadedTeacher],
        *,
        weights: Floats,
        select: Select,
        lead: int | None,
        form: Shape,
        outputs: int,
        gold: Path | None = None,
        licence: str = "",
    ) -> None:
        self._licence, self._form, self._outputs = licence, form, outputs
        self._members, self._weights, self._select, self._lead, self._path = members, weights, select, lead, gold

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those of any member: one that has no other is asked in fp32."""
        quick = any("bf16" in one.precisions for one in self._members)
        return ("fp32", "bf16") if quick else ("fp32",)

    @property
    def layers(self) -> int:
        """The lead's."""
        return 0 if self._lead is None else self._members[self._lead].layers

    def identify(self) -> Identity:
        """Who they are together: a digest over all of them, the sum of their prices, every licence.

        Where one licence is not stated, that of the whole is not either.
        """
        known = [one.identify() for one in self._members]
        licences = list(dict.fromkeys(one.licence for one in known))
        prices = [one.price_per_million_texts for one in known]
        told = {"members": [one.as_dict() for one in known], "weights": self._weights.tolist(), "select": self._select}
        told["gold"] = artifact.file_sha256(self._path) if self._path else None
        return Identity(
            name=f"ensemble ({self._select}) of {', '.join(one.name for one in known)}",
            weights=artifact.sha256(artifact.canonical(told)),
            tokenizer=None if self._lead is None else known[self._lead].tokenizer,
            labels=known[0].labels,
            licence=self._licence or (" AND ".join(licences) if all(licences) else ""),
            price_per_million_texts=None if None in prices else sum(one for one in prices if one),
        )

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What they say together; what looks inside comes from the lead alone.

        Where one has no answer there is none, for the mixture of the others would be another teacher.
        """
        further: dict[str, NDArray[Any]] = {}
        sides: list[Floats] = []
        tokens, bills = 0, list[Floats | None]()
        words: Words | None = None
        unanswered: NDArray[Any] = np.full(len(texts), "", dtype=object)
        tallies = [Counter[str]() for _ in texts]
        for place, one in enumerate(self._members):
            own = precision if precision in one.precisions else "fp32"
            asked = wanted | signals.LOGITS if place == self._lead else signals.LOGITS
            said, read = one.ask(texts, precision=own, tokens_per_batch=tokens_per_batch, wanted=asked)
            words = words if place else _words(said)
            sides.append(self._side(said, words))
            further |= {name: signal for name, signal in said.items() if name not in _SPOKEN | signals.BESIDE}
            tokens += read
            if signals.UNANSWERED in said:
                unanswered = np.where(unanswered == "", said[signals.UNANSWERED], unanswered)
            for total, own_parts in zip(tallies, said.get(signals.TALLY, ()), strict=False):
                total.update(own_parts)
            bills.append(said.get(signals.PRICE))
        logits = self._together(np.stack(sides), [artifact.text_id(text) for text in texts]).astype(np.float32)
        beside = {signals.UNANSWERED: unanswered} if (unanswered != "").any() else {}
        if any(tallies):
            beside[signals.TALLY] = objects.array([dict(one) for one in tallies])
        if any(one is not None for one in bills):
            beside[signals.PRICE] = self._price(bills, len(texts))
        return {**self._form.said(self._form.spread(logits, words)), **further, **beside}, tokens

    def forecasts(self, texts: Iterable[str], *, further: int) -> Sequence[Forecast]:
        """Those of the members that bill for each request."""
        paid = [one for one in self._members if isinstance(one, Bills)]
        known = list(texts) if len(paid) > 1 else texts
        return [made for one in paid for made in one.forecasts(known, further=further)]

    def network(self) -> Any:
        """The lead's.

        Raises:
            MismatchError: no member shows one.
        """
        return self._leader().network()

    def tokenizer_json(self) -> str:
        """The lead's.

        Raises:
            MismatchError: no member shows one.
        """
        return self._leader().tokenizer_json()

    def _side(self, said: Mapping[str, NDArray[Any]], words: Words | None) -> Floats:
        """Log-probabilities of what a member said of each text, or each of these words; NaN where it said nothing."""
        values = self._form.aligned(self._form.heard(said), words)
        if values.ndim > 1:
            return log_softmax(values)
        shares = np.full((len(values), self._outputs), _HARDLY)
        shares[np.arange(len(values)), np.maximum(values, 0)] = 1.0
        return np.where(values[:, None] < 0, np.nan, log_softmax(np.log(shares)))

    def _together(self, sides: Floats, ids: Sequence[str]) -> Floats:
        """One answer a text, `[texts, classes]`, from log-probabilities `[members, texts, classes]`."""
        if self._select == "confidence":
            surest = sides.max(axis=2).argmax(axis=0)
            return np.asarray(np.take_along_axis(sides, surest[None, :, None], axis=0)[0])
        counts = np.isfinite(sides[..., 0])  # who said nothing of a word has no say in it
        sides = np.where(counts[..., None], sides, -np.log(sides.shape[-1]))
        counts = np.where(counts.any(axis=0), counts, True)
        if self._select == "gold":
            gold = np.array([self._gold.get(one, -1) for one in ids], dtype=np.int64)
            agrees = sides.argmax(axis=2) == gold
            counts = np.where(agrees.any(axis=0), agrees, True)
        weights = self._weights[:, None] * counts
        heard = np.log(np.where(counts, weights / weights.sum(axis=0), 1.0))
        return np.asarray(np.logaddexp.reduce(np.where(counts[..., None], sides + heard[..., None], -np.inf), axis=0))

    @cached_property
    def _gold(self) -> dict[str, int]:
        import pyarrow.parquet as pq

        table = pq.read_table(self._path)
        return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))

    def _price(self, bills: Sequence[Floats | None], texts: int) -> Floats:
        """What each answer cost: what was billed for it, and the stated price of those that do not bill for each."""
        total = np.zeros(texts)
        for one, bill in zip(self._members, bills, strict=True):
            total += (one.identify().price_per_million_texts or 0.0) / 1e6 if bill is None else bill
        return total

    def _leader(self) -> LoadedTeacher:
        if self._lead is None:
            found, todo = "an ensemble of teachers that show no network", "Choose the student `bag`, or add a member."
            raise MismatchError(Problem("student", found, "a member whose network can be seen", todo))
        return self._members[self._lead]


def _words(said: Mapping[str, NDArray[Any]]) -> Words | None:
    """The words that a member spoke of; None: it spoke of whole texts."""
    if signals.WORDS not in said:
        return None
    places, counts = said[signals.WORDS], said[signals.COUNTS]
    return Words(np.zeros(len(places), dtype=np.int64), places, counts)
