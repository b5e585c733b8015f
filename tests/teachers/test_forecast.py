"""What is forecast of a bill: the same as a plain simulation of one request after the other."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom.teachers._forecast import Forecast, shown

MONEY = st.decimals(0, 9, places=3)


def forecast(each: Decimal, spent: Decimal, more: Decimal, cap: Decimal, due: int) -> Forecast:
    return Forecast("lab/tiny", paid=9, due=due, each=each, spent=min(spent, cap), reserve=each + more, cap=cap)


@given(each=MONEY, spent=MONEY, more=MONEY, cap=MONEY, due=st.integers(0, 40))
def test_as_many_are_paid_for_as_find_room_for_their_worst_case(
    each: Decimal, spent: Decimal, more: Decimal, cap: Decimal, due: int
) -> None:
    one = forecast(each, spent, more, cap, due)
    paid, left = 0, one.spent
    while paid < due and left + one.reserve <= cap:
        paid, left = paid + 1, left + each
    assert one.pays_for == paid
    assert bool(one.warning) == (paid < due)
    enough = forecast(each, one.spent, more, max(one.needed, one.spent), due)
    assert enough.pays_for == due
    assert not enough.warning


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0", "0"),
        ("0.00444", "0.0045"),
        ("0.005", "0.0050"),
        ("1.231", "1.24"),
        ("1234.001", "1,234.01"),
        ("0.96", "0.96"),
    ],
)
def test_an_amount_is_shown_rounded_up(amount: str, expected: str) -> None:
    assert shown(Decimal(amount)) == expected
