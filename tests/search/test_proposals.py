"""Settings to try next."""

from __future__ import annotations

from typing import Any

from stillroom.search.proposals import Proposals
from stillroom.students import Span


def test_proposals_keep_within_their_spans_and_repeat_themselves() -> None:
    spans = {"rate": Span(1e-4, 1e-2, log=True), "width": Span(8, 32, whole=True)}

    def proposed() -> list[dict[str, Any]]:
        study, said = Proposals(spans, seed=5, name="static", higher_is_better=True), []
        for number in range(8):
            said.append(study.next())
            study.tell(None if number == 2 else -abs(said[-1]["width"] - 20.0))
        return said

    first = proposed()
    assert first == proposed()
    assert len({one["rate"] for one in first}) == len(first)
    assert all(1e-4 <= one["rate"] <= 1e-2 and one["width"] in range(8, 33) for one in first)
