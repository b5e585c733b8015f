"""Teachers that correct: rules, a tagger, and both as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom.core import edit_tags, edits, plugins, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import MismatchError, RecipeError
from stillroom.core.tagging import Tagged
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers import Desk
from stillroom.teachers.ensemble import Ensemble
from stillroom.teachers.harper import Harper
from stillroom.teachers.quire import Quire
from tests.teachers.endpoint.scenes import endpoint
from tests.teachers.endpoint.servers import serving

TASK = Proofreading(least_sure=0.4)
TEXTS = ["He have went to there house becuase it's late.", "Nothing is wrong with this sentence.", ""]


def corrected(teacher: Any, texts: list[str] = TEXTS) -> list[str]:
    loaded = teacher.open(Path(), task=TASK)
    said, _ = loaded.ask(texts, precision="fp32", tokens_per_batch=4096)
    return [one.corrected for one in TASK.decode(TASK.form.heard(said), texts)]


def test_rules_are_followed_as_far_as_tags_say_them() -> None:
    assert corrected(Harper()) == ["He has gone to their house because it's late.", *TEXTS[1:]]
    assert corrected(Harper(without=("Spelling",)))[0] == "He has gone to their house becuase it's late."


def test_the_tagger_leaves_spelling_alone_and_says_how_sure_it_is() -> None:
    assert corrected(Quire()) == ["He has gone to their house becuase it's late.", *TEXTS[1:]]
    said, tokens = Quire().open(Path(), task=TASK).ask(TEXTS, precision="fp32", tokens_per_batch=64)
    np.testing.assert_allclose(np.exp(said["logits"]).sum(axis=1), 1, atol=1e-3)
    assert said[signals.COUNTS].tolist() == [10, 7, 0]
    assert tokens > 17


def test_words_beyond_its_tokens_are_left_as_they_are() -> None:
    long = "It is late. " * 60 + "He have gone."
    assert corrected(Quire(), [long]) == [long]


def test_together_they_find_what_either_finds_and_say_how_far_they_agree() -> None:
    """Half of the weight is all that a thing has which one of them alone finds."""
    both = Ensemble(members=(Quire(), Harper()))
    assert both.answers_in == {"tokens"}
    assert both.signals == {"logits"}
    (one, nothing, empty) = TASK.decode(_heard(both), TEXTS)
    assert one.corrected == "He has gone to their house because it's late."
    scores = {part.replacement: part.score for part in one.corrections}
    assert scores["because"] == pytest.approx(0.5, abs=0.01)
    assert scores["has"] > 0.95
    assert not nothing.corrections
    assert not empty.corrections


def test_a_model_that_writes_has_its_say_beside_rules(tmp_path: Path) -> None:
    """What one of them corrects has its share; what the model does not answer nobody does, and is counted."""
    texts = ["Many film are dull becuase of it.", "A film is a film is a film.", "It is late."]
    with serving(lambda number: "rewritten" if number == 2 else "") as server:
        model = endpoint(server, answers="corrections", prompt="Correct it.\n{text}", concurrency=1)
        both = Ensemble(members=(Harper(), model), weights=(0.45, 0.55))
        said, _ = both.open(Path(), task=TASK, desk=Desk(tmp_path)).ask(texts, precision="fp32", tokens_per_batch=64)
    assert said[signals.UNANSWERED].tolist() == ["", "", "rewritten"]
    assert [one.get("changes", 0) for one in said[signals.TALLY]] == [1, 3, 0]
    (first, *_) = TASK.decode(TASK.form.heard(said), texts)
    assert {one.replacement: round(one.score, 2) for one in first.corrections} == {"films": 0.55, "because": 0.45}


def _heard(teacher: Any) -> Any:
    said, _ = teacher.open(Path(), task=TASK).ask(TEXTS, precision="fp32", tokens_per_batch=4096)
    return TASK.form.heard(said)


def test_a_second_opinion_counts_where_both_say_the_same() -> None:
    """Rules alone correct nothing, the student alone by more than half; what both find needs little of it."""
    text = "I recieved teh old letter of him."
    words = [chunk for chunk in edits.chunks(text) if chunk.text.isalpha()]
    places = np.array([(one.start, one.end) for one in words], dtype=np.int32)

    def corrected(**shares: float) -> str:
        sheet = np.full((len(words), len(edit_tags.TAGS)), 1e-9)
        for number, one in enumerate(words):
            share = shares.get(one.text, 0.0)
            tag = "delete" if one.text == "old" else "spell"
            sheet[number, [0, edit_tags.TAGS.index(tag)]] = 1 - share, max(share, 1e-9)
        said = Tagged(np.log(sheet), places, np.array([len(words)]))
        return Proofreading(seconded=0.4, least_sure=0.42).decode(said, [text])[0].corrected

    assert corrected() == text
    assert corrected(recieved=0.05) == text.replace("recieved", "received")
    assert corrected(old=0.6) == text
    assert corrected(old=0.8) == text.replace("old ", "")


def test_what_words_can_not_be_chosen_by_is_refused() -> None:
    members = [{"kind": "quire"}, {"kind": "harper"}]
    with pytest.raises(RecipeError, match="average"):
        plugins.build("teachers", {"kind": "ensemble", "members": members, "select": "confidence"})


@pytest.mark.parametrize("teacher", [Harper(), Quire()])
def test_another_task_of_words_is_refused(teacher: Any, tmp_path: Path) -> None:
    asked = {"corpus": None, "fit": None, "seed": 1, "report": None}
    with pytest.raises(MismatchError, match="proofreading"):
        teacher.prepare(Draft(tmp_path), task=TokenLabelling(labels=("PER",)), **asked)


def test_who_says_nothing_of_a_word_has_no_say_in_it() -> None:
    """Beyond the tagger's 128 tokens the rules are heard alone, and here leave all as it is."""
    long = "It is late. " * 60
    both = Ensemble(members=(Harper(), Quire()), weights=(0.2, 0.8))
    said, _ = both.open(Path(), task=TASK).ask([long], precision="fp32", tokens_per_batch=4096)
    assert np.exp(said["logits"][:, 0]).min() > 0.9
