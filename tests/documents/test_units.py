"""Figures with their units, as people write them."""

from __future__ import annotations

import pytest

from stillroom.documents import Figure, _units


@pytest.mark.parametrize(
    ("unit", "figure", "expected"),
    [
        (_units.PERCENT, Figure(0.931, 0.918, 0.944), "93.1 % (91.8–94.4)"),
        (_units.PERCENT, Figure(0.931), "93.1 %"),
        (_units.PERCENT, Figure(reason="12 rows; 30 are needed"), "not measured: 12 rows; 30 are needed"),
        (_units.PERCENT, Figure(), "not measured"),
        (_units.POINTS, Figure(-0.031, -0.044, -0.018), "−3.1 points (−4.4 to −1.8)"),
        (_units.POINTS, Figure(0.00001, -0.01, 0.01), "0.0 points (−1.0 to +1.0)"),
        (_units.TIMES, Figure(412.4, 398.0, 420.0), "412× (398–420)"),
        (_units.TIMES, Figure(9.444), "9.44×"),
        (_units.LATENCY, Figure(0.0412), "41.2 µs"),
        (_units.LATENCY, Figure(12.34), "12.3 ms"),
        (_units.MEGABYTES, Figure(5.94), "5.9 MB"),
        (_units.MEGABYTES, Figure(2470.0), "2.47 GB"),
        (_units.MEGABYTES, Figure(0.0078), "7.8 kB"),
        (_units.SECONDS, Figure(0.018), "18 ms"),
        (_units.Unit(_units.significant), Figure(3.04e-8), "3.04e−8"),
        (_units.Unit(_units.significant), Figure(0.00000734), "0.00000734"),
        (_units.SCALED, Figure(22_713_984), "22.7 M"),
        (_units.SCALED, Figure(999_960), "1,000 k"),
        (_units.RATE, Figure(36_900.4), "36,900 texts/s"),
        (_units.SECONDS, Figure(131.0), "2 min 11 s"),
        (_units.SECONDS, Figure(59.7), "60 s"),
        (_units.SECONDS, Figure(7322.0), "2 h 2 min"),
        (_units.of_metric("nll"), Figure(0.42, 0.391, 0.451), "0.420 (0.391–0.451)"),
        (_units.of_measure("retention.accuracy"), Figure(0.95), "95.0 %"),
        (_units.of_measure("student.cost.latency_ms.p95"), Figure(1.5), "1.50 ms"),
        (_units.of_measure("difference.student_minus_teacher.nll"), Figure(0.05), "+0.050"),
        (_units.of_measure("student.scores.ece"), Figure(0.05), "5.0 %"),
    ],
)
def test_figures_read_as_people_write_them(unit: _units.Unit, figure: Figure, expected: str) -> None:
    assert unit.told(figure) == expected
