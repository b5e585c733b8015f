"""Every figure that is none is told, with its reason, once."""

from __future__ import annotations

from stillroom.documents import Evidence, report
from stillroom.documents import _findings as findings
from stillroom.documents import _unmeasured as unmeasured

FEW = {"value": None, "low": None, "high": None, "n": 12, "reason": "12 rows; 30 are needed"}
KNOWN = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 100}


def test_figures_of_one_reason_stand_together() -> None:
    names = [f"m{number}" for number in range(7)]
    summary = {
        "retention": dict.fromkeys(names, FEW) | {"known": KNOWN},
        "speedup": {"value": None, "reason": "asked elsewhere"},
        "slices": [{"family": "length", "name": "1 of 5", "retention": FEW, "reason": ""}],
        "silent": {"value": None},
    }
    rows = unmeasured.table(Evidence(summary)).rows
    assert [row[0].text for row in rows] == ["12 rows; 30 are needed", "asked elsewhere"]
    assert rows[0][1].text == "`retention.m0`, `retention.m1`, `retention.m2`, `retention.m3` and 4 more"
    assert rows[1][1].text == "`speedup`"


def test_a_slice_is_named() -> None:
    summary = {"slices": [{"family": "length", "name": "1 of 5", "retention": FEW}]}
    assert unmeasured.table(Evidence(summary)).rows[0][1].text == "`slices length “1 of 5”.retention`"


def test_a_column_that_makes_no_slices_is_told_with_the_reason() -> None:
    nothing = {"value": None, "low": None, "high": None, "n": 600, "reason": "600 values in 600 rows"}
    evidence = Evidence({"uncut": [{"family": "column", "name": "key", "slices": nothing}]})
    (row,) = unmeasured.table(evidence).rows
    assert [cell.text for cell in row] == ["600 values in 600 rows", "`uncut column “key”.slices`"]
    assert "The column “key” makes no slices: 600 values in 600 rows." in findings.limitations(evidence)


def test_where_all_is_known_that_is_said() -> None:
    page = report.Report().render(Evidence({"retention": {"accuracy": KNOWN}}))
    assert "every figure that was asked for is there" in page
