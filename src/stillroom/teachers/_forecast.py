"""What a teacher that bills for each request will cost in all, beside its cap: known from the first requests on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Protocol, final, runtime_checkable


@final
@dataclass(frozen=True)
class Forecast:
    """What the texts that are not paid for yet will cost, by the mean of those that are."""

    model: str
    paid: int
    """How many texts have a reply."""
    due: int
    """How many have none, or are yet to be made, at most."""
    each: Decimal
    """The mean of what a reply cost, with all that went wrong before it."""
    spent: Decimal
    reserve: Decimal
    """The most that is put aside for one request: without room for it nothing is sent."""
    cap: Decimal

    @property
    def needed(self) -> Decimal:
        """The cap under which all would be asked."""
        return self.spent + (self.each * (self.due - 1) + self.reserve if self.due else Decimal(0))

    @property
    def pays_for(self) -> int:
        """How many of the texts due the cap pays for."""
        if self.needed <= self.cap:
            return self.due
        room = self.cap - self.spent - self.reserve
        return 0 if room < 0 else min(self.due, int(room / self.each) + 1) if self.each else self.due

    @property
    def warning(self) -> str:
        """What there is to say where the cap is too low; "": it is not."""
        if self.needed <= self.cap:
            return ""
        return (
            f"`teacher.max_spend` will end this run: by the {self.paid:,} texts paid for so far ({shown(self.each)} "
            f"each) what is left of {self.cap.normalize():f} pays for about {self.pays_for:,} of the {self.due:,} "
            "others; all need "
            f"about {shown(self.needed)}. What is paid for is kept"
        )

    def as_dict(self) -> dict[str, Any]:
        """The forecast as plain data, in the recipe's currency."""
        money = {name: float(getattr(self, name)) for name in ("each", "spent", "needed", "cap")}
        return {"model": self.model, "paid": self.paid, "due": self.due, "pays_for": self.pays_for, **money}


@runtime_checkable
class Bills(Protocol):
    """Who bills for each request."""

    def forecasts(self, texts: Iterable[str], *, further: int) -> Sequence[Forecast]:
        """What these texts, and so many others, will cost, an account each; none where nothing is answered yet."""


def shown(amount: Decimal) -> str:
    """An amount with two digits that count, never below what it is: a cap that is set by it is high enough."""
    if not amount:
        return "0"
    digits = min(amount.adjusted() - 1, -2) if amount >= 1 else amount.adjusted() - 1
    return f"{amount.quantize(Decimal(1).scaleb(digits), ROUND_CEILING):,f}"
