"""The rules of a grammar checker, asked by several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from stillroom.core import rules


@pytest.mark.slow
def test_several_threads_may_ask_at_once() -> None:
    text = "I has it and she go to school. " * 40
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: rules.corrected(text, needed_by="a test"), range(12)))
    assert found == {"I have it and she goes to school. " * 40}
