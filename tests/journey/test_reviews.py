"""The demo on real reviews with a real encoder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import recipe


@pytest.fixture(autouse=True)
def every_core() -> Iterator[None]:
    """A real encoder has work for all of them; the tests before it keep to one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    # Its teacher is fitted once for one epoch, a quarter of the demo's own fits, and asked no more than the test.
    shorter = ["audit.probes=[]", "teacher.learning_rates=[1e-4]", "teacher.epochs=1"]
    loaded = recipe.load(Path("recipes/reviews.toml"), shorter)
    run = pipeline.run(loaded, work=tmp_path)
    summary = run.summary
    assert summary["teacher"]["scores"]["accuracy"]["value"] >= 0.83
    assert summary["retention"]["accuracy"]["value"] >= 0.92
    assert summary["rows"]["test"] > 1900
    assert not any(one["state"] == "not measurable" for one in summary["gates"])
    assert (
        stillroom.load(run.folder, verify=True).predict(["A warm, funny film that never lets go."])[0].label
        == "positive"
    )
    again = pipeline.run(loaded, work=tmp_path)
    assert {name: one["digest"] for name, one in again.stages.items()} == {
        name: one["digest"] for name, one in run.stages.items()
    }
    assert all(one["reused"] for name, one in again.stages.items() if name != "gates")
