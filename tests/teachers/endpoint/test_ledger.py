"""The account: torn, spoilt, shared, stopped, killed."""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stillroom.core import signals
from stillroom.core.errors import ArtifactError, OutsideError
from stillroom.core.progress import Event
from stillroom.teachers.endpoint.ledger import Ledger
from tests.teachers.endpoint.scenes import TASK, ask, asking, endpoint, lines, opened, spent, texts
from tests.teachers.endpoint.servers import serving


class TestTheBook:
    def held(self, path: Path, cap: str = "1") -> Ledger:
        return Ledger(path / "book.jsonl", cap=Decimal(cap))

    def test_what_was_never_settled_is_spent(self, tmp_path: Path) -> None:
        first = self.held(tmp_path)
        with first.held():
            assert first.reserve("a", Decimal("0.7"), attempt=1)
        second = self.held(tmp_path)
        with second.held():
            assert (second.spent, second.presumed) == (Decimal("0.7"), Decimal("0.7"))
            assert second.reserve("a", Decimal("0.31"), attempt=1) is None
            assert second.reserve("a", Decimal("0.3"), attempt=1)
            assert second.reserve("b", Decimal("0.000001"), attempt=1) is None

    @pytest.mark.parametrize("cut", [1, 20, -1])
    def test_a_line_that_a_kill_cut_short_goes(self, tmp_path: Path, cut: int) -> None:
        first = self.held(tmp_path)
        with first.held():
            reserve = first.reserve("a", Decimal("0.5"), attempt=1)
            assert reserve
            whole = first.path.read_bytes()
            first.settle(reserve, cost=Decimal("0.1"), status="200", attempt=1, latency_seconds=0.1)
        first.path.write_bytes(whole + first.path.read_bytes()[len(whole) :][:cut])
        second = self.held(tmp_path)
        with second.held():
            assert second.spent == Decimal("0.5")
            assert second.reserve("b", Decimal("0.5"), attempt=1)
        with self.held(tmp_path).held():
            assert len(first.path.read_bytes().splitlines()) == 2

    def test_a_line_that_was_spoilt_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "book.jsonl").write_text('{"event": "reserve"}\n', encoding="utf-8")
        with pytest.raises(ArtifactError, match="byte 0"), self.held(tmp_path).held():
            pass

    def test_a_full_disk_leaves_no_half_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        book, write = self.held(tmp_path), os.write
        with book.held():
            assert book.reserve("a", Decimal("0.1"), attempt=1)
            before = book.path.read_bytes()

            def full(file: int, data: Any) -> int:
                if len(data) > 9:
                    return write(file, data[: len(data) - 9])
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space"):
                book.reserve("b", Decimal("0.1"), attempt=1)
            assert book.path.read_bytes() == before
            assert book.spent == Decimal("0.1")

    def test_two_do_not_write_at_once(self, tmp_path: Path) -> None:
        with (
            self.held(tmp_path).held(),
            pytest.raises(OutsideError, match="another process"),
            self.held(tmp_path).held(),
        ):
            pass

    def test_a_run_that_is_stopped_pays_for_nothing_twice(self, tmp_path: Path) -> None:
        def stop(event: Event) -> None:
            if event.done >= 5:
                raise KeyboardInterrupt

        asked = texts(20)
        with serving() as server:
            teacher = endpoint(server, concurrency=2)
            with pytest.raises(KeyboardInterrupt):
                ask(opened(teacher, tmp_path, stop), asked)
            known = {line["request"] for line in lines(tmp_path) if "answer" in line}
            assert 5 <= len(known) < 20
            first = len(server.bodies)
            said = ask(opened(teacher, tmp_path), asked)
        assert len(server.bodies) - first == 20 - len(known)
        assert (said[signals.UNANSWERED] == "").all()
        assert server.billed <= spent(tmp_path)


@pytest.mark.slow
def test_kill_9_in_the_middle_again_and_again(tmp_path: Path) -> None:
    """Killed twice, stopped by the cap, and then let go: no reply is paid for twice, no cap passed."""
    asked = texts(60)
    with serving(patience=0.02) as server:
        for aim, cap in ((10, "0.0028"), (20, "0.0028"), (None, "0.0028"), (None, "1")):
            teacher = endpoint(server, concurrency=2, max_spend=float(cap), template_tokens=16)
            job = {
                "teacher": teacher.resolved(),
                "task": TASK.model_dump(mode="json"),
                "books": str(tmp_path),
                "texts": asked,
            }
            code = asking(server, job, killed_at=aim)
            assert code in ((-signal.SIGKILL,) if aim else (0,) if cap == "1" else (1,))
            assert server.billed <= spent(tmp_path) <= Decimal(cap)
        found = {line["serial"]: line["event"] for line in lines(tmp_path)}
        lost = sum(event == "reserve" for event in found.values())
        answered = [line["request"] for line in lines(tmp_path) if "answer" in line]
        assert len(answered) == len(set(answered)) == len(asked)
        assert 1 <= lost <= 4, "of those under way, and of no others"
        assert len(asked) <= len(server.bodies) <= len(asked) + lost
