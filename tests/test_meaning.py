"""The nearest row of each side, against all pairs compared at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stillroom import meaning
from stillroom.core.errors import InputError
from tests.conftest import Travelled

SIZES = {"teacher": 0, "train": 70, "made": 12, "dev": 9, "test": 31, "outside": 5}
JUDGED = ("dev", "test", "outside")


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Two numbers a text, which say where on a circle it lies."""
    angles = np.array([float(text) for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def reader(texts: Sequence[str], size: int) -> meaning.Read:
    def read() -> Iterator[Sequence[str]]:
        for start in range(0, len(texts), size):
            yield texts[start : start + size]

    return read


@pytest.mark.parametrize("least", [0.5, 0.999, 0.99999])
def test_the_nearest_row_of_each_side_is_that_of_all_pairs(
    least: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meaning, "_BLOCK", 7)
    monkeypatch.setattr(meaning, "_AT_ONCE", 5)
    rng = np.random.default_rng(3)
    texts = {side: [str(angle) for angle in rng.uniform(0, 6.28, size)] for side, size in SIZES.items()}
    found = meaning.find({side: reader(own, 11) for side, own in texts.items()}, SIZES, embed=embed, least=least,
                         folder=tmp_path, judged=JUDGED)  # fmt: skip
    order, hits = list(SIZES), 0
    for other in order:
        expected = {}
        for of in JUDGED:
            if SIZES[other] and order.index(other) < order.index(of):
                near = embed(texts[of]) @ embed(texts[other]).T
                expected |= {(of, row): int(near[row].argmax()) for row in range(SIZES[of]) if near[row].max() >= least}
        assert found[other] == expected
        hits += len(expected)
    assert hits > 0


def test_nothing_to_judge_is_nothing_found(tmp_path: Path) -> None:
    sides = {"train": reader(["1"], 1), "dev": reader([], 1)}
    found = meaning.find(sides, {"train": 1, "dev": 0}, embed=embed, least=0.5, folder=tmp_path, judged=("dev",))
    assert found == {"train": {}, "dev": {}}


def test_a_student_that_gives_no_vectors_is_refused(travelled: Travelled) -> None:
    with pytest.raises(InputError, match="one that gives vectors"):
        meaning.embedder(str(travelled.run.folder))
