"""Every way of making texts, found by itself: a row's texts depend on the row and the seed, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillroom import corpus, loop, teach
from stillroom.augmentations import Augmentation, Ground, Make, Original
from stillroom.core import plugins, seeds
from stillroom.core.artifact import Store
from stillroom.core.errors import RecipeError
from stillroom.corpora.table import Table
from stillroom.tasks.classification import Classification
from tests.conftest import LABELS, TAGGER, sentences, write_csv

TASK = Classification(labels=LABELS)
NAMES = plugins.names("augmentations")
#: Settings for each member, made from a masked language model's folder; a new one adds its line.
MAKERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "back_off": lambda folder: {"share": 0.3},
    "masked_lm": lambda folder: {"model": str(folder), "share": 0.3},
    "masking": lambda folder: {"share": 0.3},
    "mention_swap": lambda folder: {},
    "ngram_sampling": lambda folder: {},
    "same_pos_swap": lambda folder: {"tagger": TAGGER, "share": 0.3},
}
TEXTS = [text for text, _ in sentences()[::40]]


def original(text: str) -> Original:
    """A text whose first word is somebody and whose last is something, for those that look at marks."""
    first, last = text.find(" "), text.rfind(" ") + 1
    ends = [(0, first, "who"), (last, len(text), "what")] if first > 0 and last < len(text) else []
    return Original(text, [{"start": start, "end": end, "label": label} for start, end, label in ends])


@pytest.fixture(scope="module")
def ground(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("ground")
    source = Table(labelled=str(write_csv(folder / "toy.csv", sentences())))
    rows = corpus.load(source, task=TASK, store=Store(folder / "work"))
    teacher = plugins.build("teachers", {"kind": "huggingface", "model": str(classifier_folder)})
    found = teach.prepare(teacher, task=TASK, corpus=rows.learnable, fit=loop.fit, seed=1, store=Store(folder / "work"))
    words = {"dull": 9, "great": 7, "fine": 5, "film": 4, "scene": 3, "friends": 3, "moving": 2, "boring": 2}
    originals = [original(text) for text, _ in sentences()]
    return Ground(words=lambda: words, rows=lambda: originals, teacher=teacher.open(found.folder, task=TASK))


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, ground: Ground, masked_folder: Path) -> tuple[Augmentation, Make]:
    assert request.param in MAKERS, f"MAKERS has no line for `{request.param}`"
    settings = {"kind": request.param, "per_row": 4, **MAKERS[request.param](masked_folder)}
    member: Augmentation = plugins.build("augmentations", settings)
    return member, member.open(ground)


def drawn(make: Make, text: str, *, seed: int = 5) -> list[str]:
    return list(make(original(text), seeds.generator(seed, f"test/{text}")))


def test_is_its_own_settings(made: tuple[Augmentation, Make]) -> None:
    member, _ = made
    assert type(member).__doc__
    assert plugins.build("augmentations", member.model_dump(mode="json")) == member
    assert all(len(digest) == 64 for digest in member.digests().values())
    with pytest.raises(RecipeError, match="Did you mean `per_row`"):
        plugins.build("augmentations", {**member.model_dump(), "per_rows": 2})


def test_makes_as_many_as_asked_or_fewer_and_other_texts(made: tuple[Augmentation, Make]) -> None:
    _, make = made
    found = [drawn(make, text) for text in TEXTS]
    assert all(len(one) <= 4 for one in found)
    assert sum(len(one) for one in found) > len(TEXTS)
    changed = [one != text for texts, text in zip(found, TEXTS, strict=True) for one in texts]
    assert sum(changed) > 0.8 * len(changed)


def test_a_row_alone_decides(made: tuple[Augmentation, Make], ground: Ground) -> None:
    member, make = made
    forwards = [drawn(make, text) for text in TEXTS]
    anew = member.open(ground)
    assert [drawn(anew, text) for text in reversed(TEXTS)][::-1] == forwards
    assert [drawn(make, text, seed=6) for text in TEXTS] != forwards


@pytest.mark.parametrize("text", ["x", "…", "12", "a b", "Ünïcode — wörds 中文字 🙂 here", "word " * 300, "[MASK]"])
def test_no_text_is_too_odd(made: tuple[Augmentation, Make], text: str) -> None:
    assert all(isinstance(one, str) for one in drawn(made[1], text))
