"""Recorded signals: what a batch is given is what was written, wherever shards end and however long texts are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from stillroom.core import signals

#: A signal with 0, 1 and 2 axes over tokens, and the shape of what stands at one place.
SHAPES = {"embedding": (3,), "hidden.2": (3,), "relations.1": (3, 4), "attention.1": (2,)}
SHARDS = ([3, 1, 4], [2], [5, 2])


def written(folder: Path, name: str, *, dtype: type = np.float16) -> tuple[signals.Recorded, list[NDArray[np.float32]]]:
    """A signal of six texts in three shards, and what was said of each text, unpadded."""
    rng = np.random.default_rng(0)
    axes = signals.token_axes(name)
    places, rows = [], []
    for number, lengths in enumerate(SHARDS):
        said = [rng.normal(size=([length] * axes) + list(SHAPES[name])).astype(dtype) for length in lengths]
        flat = np.concatenate([one.reshape(-1, *SHAPES[name]) for one in said]) if axes else np.stack(said)
        file = folder / f"{number}.safetensors"
        save_file({name: flat}, file)
        places.append(signals.Place(file, np.array(lengths, dtype=np.int64)))
        rows += [one.astype(np.float32) for one in said]
    return signals.Recorded(name, places), rows


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_rows_of_any_shards_in_any_order_are_what_was_written(tmp_path: Path, name: str) -> None:
    recorded, rows = written(tmp_path, name)
    assert len(recorded) == 6
    assert recorded.width == SHAPES[name][-1]
    assert recorded.tokens.tolist() == [3, 1, 4, 2, 5, 2]
    axes = signals.token_axes(name)
    for order in ([0], [5, 0, 3], [4, 1, 1, 2], [1, 2, 3, 4, 5, 0]):
        batch = recorded.batch(np.array(order))
        longest = max(int(recorded.tokens[row]) for row in order)
        assert batch.dtype == np.float32
        assert batch.shape == (len(order), *[longest] * axes, *SHAPES[name])
        for found, row in zip(batch, order, strict=True):
            inside = (slice(int(recorded.tokens[row])),) * axes
            np.testing.assert_array_equal(found[inside], rows[row])
            rest = found.copy()
            rest[inside] = 0
            assert not axes or not rest.any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_whatever_it_is_kept_in_a_batch_is_single(tmp_path: Path, dtype: type) -> None:
    recorded, rows = written(tmp_path, "hidden.2", dtype=dtype)
    batch = recorded.batch(np.array([4]))
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch[0], rows[4])


def test_nothing_recorded_has_no_rows_and_no_width() -> None:
    empty = signals.Recorded("hidden.1", [])
    assert (len(empty), empty.width, len(empty.tokens)) == (0, 0, 0)


def test_rows_before_the_first_or_behind_the_last_are_errors(tmp_path: Path) -> None:
    recorded, _ = written(tmp_path, "hidden.2")
    with pytest.raises(IndexError):
        recorded.batch(np.array([6]))


def test_names_say_kind_and_layer() -> None:
    assert signals.kind("hidden.12") == "hidden"
    assert signals.layer("hidden.12") == 12
    assert signals.of_layer("hidden", 12) == "hidden.12"
    said = dict.fromkeys(["hidden.10", "hidden.2", "logits", "attention.1", "hidden.0"], 0)
    assert signals.layers(said, "hidden") == ["hidden.0", "hidden.2", "hidden.10"]


def test_what_speaks_of_tokens() -> None:
    assert {kind: signals.token_axes(kind) for kind in signals.KINDS} == signals.TOKEN_AXES
    assert not signals.over_tokens(frozenset({"logits", "embedding"}))
    assert signals.over_tokens(frozenset({"logits", "attention.1"}))
    for kind in signals.KINDS - signals.ANSWERS - {"token_logprobs"}:  # which is an answer too
        axes = signals.axes(f"{kind}.1")
        assert axes[0] == {0: "row", 1: "token", 2: "token pair"}[signals.token_axes(kind)]
