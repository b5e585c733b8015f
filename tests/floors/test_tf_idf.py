import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from stillroom.core.errors import InputError
from stillroom.floors.tf_idf import TfIdf
from stillroom.tasks.classification import Classification

GOOD, BAD = "a fine film and a warm one", "a dull film and a weary one"


def train(*pairs: tuple[str, int | None]) -> pa.Table:
    return pa.table({"text": [text for text, _ in pairs], "label": pa.array([label for _, label in pairs], pa.int64())})


def say(rows: pa.Table, texts: list[str], *, classes: int, seed: int) -> NDArray[np.float32]:
    task = Classification(labels=tuple(f"label {number}" for number in range(classes)))
    return TfIdf().say(rows, texts, task=task, seed=seed)


def test_learns_what_words_tell() -> None:
    rows = train(*[(f"{GOOD} {number}", 1) for number in range(8)], *[(f"{BAD} {number}", 0) for number in range(8)])
    said = say(rows, ["fine and warm", "dull and weary"], classes=2, seed=7)
    assert said.shape == (2, 2)
    assert said.dtype == np.float32
    assert said.argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1.0, rtol=1e-5)


def test_the_same_seed_says_the_same() -> None:
    rows = train((GOOD, 1), (BAD, 0), ("warm", 1), ("weary", 0))
    first, second = (say(rows, [GOOD, "new"], classes=2, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_only_gold_rows_count() -> None:
    gold = [(GOOD, 1), (BAD, 0), ("warm", 1), ("weary", 0)]
    with_others = train(*gold, ("fine dull", None), ("weary warm", -1))
    alone = say(train(*gold), [GOOD, BAD], classes=2, seed=7)
    np.testing.assert_array_equal(say(with_others, [GOOD, BAD], classes=2, seed=7), alone)


def test_a_class_without_rows_gets_a_little() -> None:
    rows = train((GOOD, 3), (BAD, 0), ("warm", 3), ("weary", 0))
    said = np.exp(say(rows, [GOOD, BAD], classes=4, seed=7))
    assert said.argmax(axis=1).tolist() == [3, 0]
    assert np.isfinite(said).all()
    assert (said[:, [1, 2]] > 0).all()
    assert (said[:, [1, 2]] < said[:, [0, 3]].min()).all()


def test_one_class_alone_is_always_said() -> None:
    said = say(train((GOOD, 1), (BAD, 1)), ["anything", ""], classes=2, seed=7)
    assert said.argmax(axis=1).tolist() == [1, 1]


def test_without_any_word_only_frequency_is_learned() -> None:
    said = say(train(("!", 1), ("?", 1), ("", 0)), ["…", "word"], classes=2, seed=7)
    np.testing.assert_allclose(np.exp(said), [[1 / 3, 2 / 3]] * 2, rtol=1e-5)


def test_no_text_no_answer() -> None:
    assert say(train((GOOD, 1), (BAD, 0)), [], classes=2, seed=7).shape == (0, 2)


def test_no_gold_row_is_refused() -> None:
    with pytest.raises(InputError, match="no row with a label"):
        say(train((GOOD, None), (BAD, -1)), [GOOD], classes=2, seed=7)
