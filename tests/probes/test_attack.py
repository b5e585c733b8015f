"""What an attack finds of sides whose weakness is known, with which words, and what leads the other astray too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from stillroom import pipeline
from stillroom.core import plugins, recipe
from stillroom.core.word_vectors import WordVectors, of_tokens, read
from stillroom.probes import Probe, Sitting
from stillroom.probes.attack import Attack
from stillroom.table import STUDENT, TEACHER
from tests.probes import scenes

#: Nearest to `good`: `fine` and `nice`; to `room`: `chamber`. `bad` is far from all.
VECTORS = {
    "good": (1.0, 0.0, 0.0), "fine": (0.95, 0.1, 0.0), "nice": (0.9, 0.2, 0.0), "room": (0.0, 1.0, 0.0),
    "chamber": (0.0, 0.95, 0.1), "large": (0.0, 0.0, 1.0), "big": (0.05, 0.0, 1.0), "bad": (-1.0, 0.0, 0.0),
    "never": (0.99, 0.05, 0.0), "ungood": (0.99, 0.0, 0.05), "was": (0.0, 0.6, 0.6), "were": (0.0, 0.6, 0.59),
}  # fmt: skip


def vectors(folder: Path) -> Path:
    path = folder / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, one))}\n" for word, one in VECTORS.items()), encoding="utf-8")
    return path


def attack(folder: Path, **settings: Any) -> Probe:
    found: Probe = plugins.build("probes", {"kind": "attack", "vectors": str(vectors(folder)), **settings})
    return found


def knows_one(text: str) -> float:
    """Goes by one word."""
    return 0.9 if "good" in text else 0.2


def knows_all(text: str) -> float:
    """Goes by many."""
    return 0.9 if {"good", "fine", "nice"} & set(text.split()) else 0.2


def rows(rules: Mapping[str, scenes.Rule], count: int = 20) -> Sitting:
    texts = [f"the large room was good on day {number}" for number in range(count)]
    return scenes.sitting(texts=texts, gold=[1] * count, rules=rules)


def test_a_student_that_goes_by_one_word_is_led_astray_and_its_teacher_is_not(tmp_path: Path) -> None:
    rules = {TEACHER: knows_all, STUDENT: knows_one}
    found, _ = scenes.put(attack(tmp_path), rows(rules), rules)
    exact = stats.binomtest(20, 20).proportion_ci(0.95, method="exact")
    assert found["student"] == {"value": 1.0, "low": pytest.approx(exact.low), "high": 1.0, "n": 20}
    assert found["teacher"]["value"] == 0.0
    assert found["vouched"] == found["student"]
    assert found["changed"]["student"]["value"] == pytest.approx(1 / 8)
    assert found["changed"]["teacher"]["value"] is None
    assert found["transfer"]["student_to_teacher"] == {
        "value": 0.0,
        "low": 0.0,
        "high": pytest.approx(1 - exact.low),
        "n": 20,
    }
    assert found["transfer"]["teacher_to_student"]["value"] is None
    assert "divides by zero" in found["relative"]["reason"]


def test_what_leads_both_astray_is_seen_both_ways(tmp_path: Path) -> None:
    rules = {TEACHER: knows_one, STUDENT: knows_one}
    found, _ = scenes.put(attack(tmp_path), rows(rules), rules)
    assert found["relative"]["value"] == 1.0
    assert found["vouched"]["value"] == 0.0
    assert [one["value"] for one in found["transfer"].values()] == [1.0, 1.0]


def test_only_rows_that_both_get_right_are_attacked(tmp_path: Path) -> None:
    rules = {TEACHER: knows_all, STUDENT: knows_one}
    texts = ["the room was good", "the room was fine", "a bad room"]
    here = scenes.sitting(texts=texts, gold=[1, 1, 1], rules=rules)
    found, asked = scenes.put(attack(tmp_path), here, rules)
    assert found["rows"] == found["student"]["n"] == 1
    assert not any("fine room" in text for text in asked[STUDENT])


def test_the_word_that_counts_most_is_tried_first_and_the_nearest_that_does_it_is_taken(tmp_path: Path) -> None:
    rules = {TEACHER: knows_all, STUDENT: knows_one}
    _, asked = scenes.put(attack(tmp_path), rows(rules, count=1), rules)
    whole = "the large room was good on day 0"
    assert asked[STUDENT] == [
        *(whole.replace(one, "") for one in ("large", "room", "good")),
        *(whole.replace("good", one) for one in ("fine", "nice")),
    ]
    # The teacher has tried both and stands; what led the student astray was the nearer one, and is put to it once.
    assert asked[TEACHER] == asked[STUDENT]


def test_words_are_given_up_one_after_another_until_it_gives_in(tmp_path: Path) -> None:
    """Neither of two words alone is enough: the other of the first stays, and then comes the second."""
    rules = {TEACHER: lambda _: 0.9, STUDENT: lambda text: 0.45 + 0.2 * ("good" in text) + 0.2 * ("large" in text)}
    found, asked = scenes.put(attack(tmp_path, share=0.5), rows(rules, count=1), rules)
    assert found["student"]["value"] == 1.0
    assert asked[TEACHER][-1] == "the big room was fine on day 0"
    few, _ = scenes.put(attack(tmp_path, share=0.1), rows(rules, count=1), rules)
    assert few["student"]["value"] == 0.0


def test_of_a_long_text_the_first_words_alone_are_tried(tmp_path: Path) -> None:
    rules = {TEACHER: knows_one, STUDENT: knows_one}
    found, asked = scenes.put(attack(tmp_path, words=2), rows(rules, count=1), rules)
    assert found["student"]["value"] == 0.0
    assert all("good" in text for text in asked[STUDENT])


def test_denial_opposites_and_what_holds_a_sentence_are_left_alone(tmp_path: Path) -> None:
    rules = {TEACHER: knows_one, STUDENT: knows_one}
    _, asked = scenes.put(attack(tmp_path), rows(rules, count=3), rules)
    texts = [text for some in asked.values() for text in some]
    assert any("fine" in text for text in texts)
    assert not any(word in text for text in texts for word in ("never", "ungood"))
    assert all("was" in text and "the" in text for text in texts)


def test_a_text_that_nobody_answers_ends_the_attack_on_its_row_alone(tmp_path: Path) -> None:
    rules = {TEACHER: knows_all, STUDENT: knows_one}
    found, _ = scenes.put(attack(tmp_path), rows(rules), rules, deaf=["the  room was good on day 4"])
    assert found["rows"] == 20
    assert found["student"]["n"] == found["teacher"]["n"] == 19


def test_without_a_teacher_the_student_is_attacked_all_the_same(tmp_path: Path) -> None:
    rules = {TEACHER: knows_all, STUDENT: knows_one}
    found, asked = scenes.put(attack(tmp_path), rows(rules), {STUDENT: knows_one}, unasked="nobody paid")
    assert found["student"]["value"] == 1.0
    assert found["teacher"]["reason"] == found["transfer"]["student_to_teacher"]["reason"] == "nobody paid"
    assert set(asked) == {STUDENT}


def test_a_teacher_that_only_names_labels_hears_what_led_the_student_astray(tmp_path: Path) -> None:
    rules = {TEACHER: knows_one, STUDENT: knows_one}
    texts = [f"the large room was good on day {number}" for number in range(5)]
    here = scenes.sitting(texts=texts, gold=[1] * 5, rules=rules, named=[TEACHER])
    found, asked = scenes.put(attack(tmp_path), here, rules)
    assert "names labels" in found["teacher"]["reason"]
    assert found["transfer"]["student_to_teacher"]["value"] == 1.0
    assert len(asked[TEACHER]) == 5


def test_other_tasks_and_absent_vectors_are_told(tmp_path: Path) -> None:
    labelling = plugins.build("tasks", {"kind": "token_labelling", "labels": ["person"]})
    assert "token_labelling" in attack(tmp_path).misfits(labelling, where="here")[0].found
    for path in (tmp_path / "absent", tmp_path):
        found = Attack(vectors=str(path)).misfits(scenes.TASK, where="here")
        assert [one.where for one in found] == ["audit.probes, `attack`, `vectors`"]
    (tmp_path / "broken.txt").write_text("good 1 2\nbad 1 x\n", encoding="utf-8")
    assert "line 2" in Attack(vectors=str(tmp_path / "broken.txt")).misfits(scenes.TASK, where="here")[0].where


def test_the_tokens_of_a_models_folder_serve(encoder_folder: Path) -> None:
    """The encoder of the tests: its words, with the vectors that `transformers` reads them as."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    found: Any = Attack(vectors=str(encoder_folder))
    assert not found.misfits(scenes.TASK, where="here")
    assert set(found.sources()) == {"tokenizer.json", "model.safetensors"}
    table = AutoModel.from_pretrained(encoder_folder).get_input_embeddings().weight.detach()
    tokenizer = Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))
    near = found._read().nearest("film", 3)
    film = table[tokenizer.token_to_id("film")]
    for word, like in near:
        other = table[tokenizer.token_to_id(word)]
        assert like == pytest.approx(float(torch.nn.functional.cosine_similarity(film, other, dim=0)), abs=1e-5)
    assert near == of_tokens(tokenizer, table.numpy()).nearest("film", 3)


def test_the_nearest_words_are_those_of_the_largest_cosine(tmp_path: Path) -> None:
    found = read(vectors(tmp_path), most=100)
    table = np.array(list(VECTORS.values()))
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    likeness = dict(zip(VECTORS, table @ table[list(VECTORS).index("good")], strict=True))
    near = found.nearest("Good", len(VECTORS) - 1)
    assert {word for word, _ in near} == set(VECTORS) - {"good"}
    assert [like for _, like in near] == pytest.approx(sorted((likeness[word] for word, _ in near), reverse=True))
    assert [like for _, like in near] == pytest.approx([likeness[word] for word, _ in near], abs=1e-6)
    assert "Good" in found
    assert "door" not in found
    assert found.nearest("door", 3) == []
    assert isinstance(found, WordVectors)


@pytest.mark.slow
def test_the_journey_asks_in_rounds_and_nothing_twice(
    toy: dict[str, Any], encoder_folder: Path, tmp_path: Path
) -> None:
    toy["audit"] = {"probes": [{"kind": "attack", "vectors": str(encoder_folder), "likeness": -1.0, "rows": 12}]}
    toy["gate"] = [{"measure": "attack.student", "at_most": 1.0}]
    built = recipe.parse(toy)
    run = pipeline.run(built, work=tmp_path / "work")
    found = run.summary["attack"]
    assert found["rows"] == found["student"]["n"] == found["teacher"]["n"] == 12
    assert found["student"]["value"] > 0.5
    assert found["transfer"]["student_to_teacher"]["n"] == round(found["student"]["value"] * 12)
    lots = sorted((tmp_path / "work" / "questions").glob("*/questions.parquet"))
    assert len(lots) > 3
    report = (run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    assert "lead the other astray too" in report
    again = pipeline.run(built, work=tmp_path / "work")
    assert again.stages["audit"]["reused"]
    assert sorted((tmp_path / "work" / "questions").glob("*/questions.parquet")) == lots
