"""What several workers measure is told as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from stillroom.runtime.deferral import Prices
from stillroom.serve.meters import SHARED, Bill, Meters

PRICES = Prices(teacher=2e6, student=1e6, currency="EUR")

WORKER = """
import json, sys
from dataclasses import asdict
from stillroom.runtime.deferral import Prices
from stillroom.serve.meters import Meters

meters = Meters()
meters.asked("toy", 3, prices=Prices(teacher=2e6, student=1e6, currency="EUR"))
meters.paid("toy", 1, 2.0, currency="EUR")
meters.asked("other", 7, prices=Prices())
print(json.dumps([asdict(meters.bill("toy")), meters.read().decode()]))
"""


def _worker(folder: Path) -> tuple[Bill, str]:
    environment = {**os.environ, SHARED: str(folder)}
    told = subprocess.run([sys.executable, "-c", WORKER], env=environment, capture_output=True, text=True, check=True)
    bill, read = json.loads(told.stdout)
    return Bill(**bill), read


def test_the_bill_is_that_of_all_workers_also_of_those_that_died(tmp_path: Path) -> None:
    assert _worker(tmp_path)[0] == Bill(texts=3, escalated=1, spent=5.0, whole=6.0)
    bill, read = _worker(tmp_path)
    assert bill == Bill(texts=6, escalated=2, spent=10.0, whole=12.0)
    assert 'stillroom_spent_total{currency="EUR",model="toy",whom="teacher"} 4.0' in read
    assert 'stillroom_teacher_for_everything_total{currency="EUR",model="toy"} 12.0' in read


def test_a_bill_is_of_one_student_and_knows_no_price_that_nobody_knows() -> None:
    meters = Meters()
    meters.asked("toy", 3, prices=PRICES)
    meters.asked("other", 7, prices=Prices())
    assert meters.bill("toy") == Bill(texts=3, escalated=0, spent=3.0, whole=6.0)
    assert meters.bill("other") == Bill(texts=7, escalated=0, spent=0.0, whole=0.0)
    assert meters.bill("nobody") == Bill(0, 0, 0.0, 0.0)
