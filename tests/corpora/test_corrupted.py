"""Mistakes put into clean text: of the kinds that people make, the same each time, and never across splits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus
from stillroom.core import edit_tags, edits, proofs, spelling
from stillroom.core.artifact import Store
from stillroom.core.english import Topic
from stillroom.core.errors import CorpusError, InputError
from stillroom.corpora import Row, _mistakes
from stillroom.corpora.corrupted import Corrupted
from stillroom.corpora.table import Table
from stillroom.tasks.proofreading import Proofreading

TASK = Proofreading()
CLEAN = [
    "The old man has gone to the school, where his children are waiting for him.",
    "In many countries, people believe that a good education is the key to success.",
    "I think that young people enjoy life more than older people do.",
    "She has been working at a well-known company for three years; everyone likes her.",
]


def clean(folder: Path, **settings: Any) -> Corrupted:
    rows = [one.replace("many", f"{number} or more") for number in range(30) for one in CLEAN]
    path = folder / "clean.jsonl"
    path.write_text("\n".join(json.dumps({"text": one}) for one in dict.fromkeys(rows)), encoding="utf-8")
    source = Table(labelled=str(path), label="", dev_share=0.3, test_share=0.3, near_twins="keep")
    return Corrupted(clean=source, near_twins="keep", **settings)


def made(only: Topic | None = None) -> Counter[str]:
    """How many tags of each kind undo what was done to the sentences, many times; of all mistakes, or of one kind."""
    rates = _mistakes.RATES if only is None else {topic: float(topic == only) for topic in _mistakes.RATES}
    mistakes = _mistakes.Mistakes(rates, {}, clean=0.0)
    words, rng = spelling.dictionary(), np.random.default_rng(0)
    found: Counter[str] = Counter()
    for text in CLEAN * 40:
        wrong = mistakes.into(text, rng=rng)
        found.update(
            mark.tag.partition(":")[0] for mark in proofs.reference(wrong, text, is_word=words.__contains__).marks
        )
    return found


def test_there_are_mistakes_of_every_kind_and_tags_that_undo_nearly_all() -> None:
    found = made()
    assert {"spell", "ending", "word", "before", "after", "delete", "capital", "lower"} <= set(found)
    assert found[edit_tags.OTHER] < 0.05 * found.total()


@pytest.mark.parametrize(
    ("topic", "tags"),
    [
        ("spelling", {"spell"}),
        ("capitals", {"capital", "lower"}),
        ("extra word", {"delete"}),
        ("word order", {"exchange"}),
    ],
)
def test_a_rate_is_of_its_kind_alone(topic: Topic, tags: set[str]) -> None:
    found = made(topic)
    assert sum(found[one] for one in tags) > 0.8 * found.total() > 0


def test_what_is_undone_is_the_clean_text() -> None:
    """Over many mistakes: tags alone lead back in most cases, for each chunk has room for one tag."""
    mistakes = _mistakes.Mistakes(_mistakes.RATES, {}, clean=0.0)
    words, rng = spelling.dictionary(), np.random.default_rng(1)
    back = 0
    for text in CLEAN * 25:
        wrong = mistakes.into(text, rng=rng)
        assert wrong != text
        marks = proofs.reference(wrong, text, is_word=words.__contains__).marks
        found = proofs.made(wrong, [(one, 1.0) for one in marks if one.tag != edit_tags.OTHER], spell=words.meant)
        back += edits.applied(wrong, [one.edit for one in found]) == text
    assert back > 50


def test_known_misspellings_are_used(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    path.write_text(json.dumps({"people": ["peeple"]}), encoding="utf-8")
    rows = [row.text for stream in clean(tmp_path, misspellings=str(path), untouched=0.0).streams(TASK)
            for row in stream.rows if isinstance(row, Row)]  # fmt: skip
    assert any("peeple" in one for one in rows)


@pytest.mark.parametrize("written", ["", "[]", '{"people": "peeple"}', None])
def test_a_file_of_something_else_is_refused(written: str | None, tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    if written is not None:
        path.write_text(written, encoding="utf-8")
    with pytest.raises(InputError, match=r"corpus\.misspellings"):
        clean(tmp_path, misspellings=str(path)).digests()


def test_what_is_made_of_a_text_depends_on_it_and_the_seed_alone(tmp_path: Path) -> None:
    def all_of(seed: int) -> dict[str, str]:
        streams = clean(tmp_path, seed=seed).streams(TASK)
        return {row.label: row.text for stream in streams for row in stream.rows if isinstance(row, Row)}

    assert all_of(1) == all_of(1)
    assert all_of(1) != all_of(2)


def test_a_clean_text_belongs_to_one_split_whatever_is_made_of_it(tmp_path: Path) -> None:
    """The hash of the clean text decides: a text and what was made of it can't end on both sides."""
    found = corpus.load(clean(tmp_path), task=TASK, store=Store(tmp_path / "work"))
    golds = [{str(one[0]["text"]) for one in part.table(["label"])["label"].to_pylist()}
             for part in (found.train, found.dev, found.test)]  # fmt: skip
    assert all(golds)
    assert not golds[0] & golds[1]
    assert not golds[0] & golds[2]
    assert not golds[1] & golds[2]


def test_some_stay_as_they_are(tmp_path: Path) -> None:
    rows = [row for stream in clean(tmp_path, untouched=0.5).streams(TASK) for row in stream.rows]
    same = np.mean([row.text == row.label for row in rows if isinstance(row, Row)])
    assert same == pytest.approx(0.5, abs=0.1)


def test_a_text_that_differs_in_signs_alone_is_no_other_text(tmp_path: Path) -> None:
    """Mistakes would hide such twins from the search for them."""
    rows = [f"{one[:-1]}{sign}" for number in range(60) for one in (CLEAN[0].replace("three", str(number)),
            f"Number {number} of the ships came home in May.") for sign in ".!"]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in dict.fromkeys(rows)))
    source = Table(labelled=str(tmp_path / "rows.jsonl"), label="", near_twins="keep")
    found = corpus.load(Corrupted(clean=source, dev_share=0.3, test_share=0.3, near_twins="keep"), task=TASK,
                        store=Store(tmp_path / "work"))  # fmt: skip
    golds = [{str(one[0]["text"])[:-1] for one in part.table(["label"])["label"].to_pylist()}
             for part in (found.train, found.dev, found.test)]  # fmt: skip
    assert all(golds)
    assert not golds[0] & (golds[1] | golds[2])
    assert not golds[1] & golds[2]


def test_what_people_made_of_a_real_text_is_not_learned_from(tmp_path: Path) -> None:
    (tmp_path / "real.jsonl").write_text(
        "\n".join(json.dumps({"text": f"Wrong {one[:9]}", "label": [one.upper()]}) for one in CLEAN[1:]),
        encoding="utf-8",
    )
    source = clean(tmp_path, real=Table(test=str(tmp_path / "real.jsonl")))
    learned = [row.label for stream in source.streams(TASK) if stream.split != "test" for row in stream.rows
               if isinstance(row, Row)]  # fmt: skip
    assert not set(CLEAN[2:]) & set(learned)
    assert len(learned) > 30, "what would have been tested on is learned from instead"


def corrected(folder: Path, pairs: list[tuple[str, list[str]]], **settings: Any) -> Table:
    """A table of what people corrected."""
    path = folder / "corrected.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": some}) for text, some in pairs), encoding="utf-8")
    return Table(label="label", near_twins="keep", **(settings or {"labelled": str(path)}))


def learned(source: Corrupted, folder: Path) -> dict[str, dict[str, list[str]]]:
    """Texts and what they should be, split by split, as the stage has them."""
    found = corpus.load(source, task=TASK, store=Store(folder / "work"))
    return {part.role: {row["text"]: [one["text"] for one in row["label"]] for row in part.table().to_pylist()}
            for part in (found.train, found.dev, found.test)}  # fmt: skip


def test_what_people_corrected_is_learned_from_beside_what_is_made_and_never_tested_on(tmp_path: Path) -> None:
    """One table, parted by the hash of its texts: its test is the test, its train stands beside the made rows."""
    words, rng = " ".join(CLEAN).split(), np.random.default_rng(3)
    ends = [" ".join(rng.choice(words, 8)) for _ in range(120)]
    pairs = [(f"I has {one} .", [f"I have {one} ."]) for one in ends]
    real = corrected(tmp_path, pairs)
    without = learned(clean(tmp_path, real=real, corrections=real), tmp_path)
    parts = learned(clean(tmp_path, real=real, corrections=real, learn_corrections=True), tmp_path)
    assert parts["test"] == without["test"]
    texts = {role: set(rows) & {text for text, _ in pairs} for role, rows in parts.items()}
    assert sum(map(len, texts.values())) == len(pairs)
    assert len(texts["train"]) > 60
    assert texts["dev"]
    assert texts["test"] == set(parts["test"])
    assert set(parts["train"]) - texts["train"] == set(without["train"]), "made rows are as they were"
    for text, some in pairs:
        (role,) = [role for role, rows in texts.items() if text in rows]
        assert parts[role][text] == some


def test_a_correction_of_a_text_that_is_held_out_is_not_learned_from(tmp_path: Path) -> None:
    made = learned(clean(tmp_path, dev_share=0.3, test_share=0.3), tmp_path)
    held = {role: [some[0] for some in made[role].values()] for role in ("test", "dev")}
    pairs = [(f"Oh {text}", [text]) for texts in held.values() for text in texts]
    pairs += [(text, [f"Oh {text}"]) for texts in held.values() for text in texts]
    pairs.append(("I has an apple .", ["I have an apple ."]))
    path = corrected(tmp_path, pairs).labelled
    table = Table(labelled=path, dev_share=0.001, test_share=0.001)
    source = clean(tmp_path, dev_share=0.3, test_share=0.3, corrections=table, learn_corrections=True)
    rows = [(stream.split, row.text) for stream in source.streams(TASK) for row in stream.rows if isinstance(row, Row)]
    assert {text for role, text in rows if role == "train"} & {text for text, _ in pairs} == {"I has an apple ."}


def test_there_has_to_be_something_to_learn_from() -> None:
    with pytest.raises(ValueError, match="`corrections`"):
        Corrupted(clean=Table(labelled="rows.jsonl", label=""), learn_corrections=True)


def test_a_row_that_can_not_be_read_is_told_once(tmp_path: Path) -> None:
    source = clean(tmp_path)
    with (tmp_path / "clean.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"txt": "no text"}\n')
    problems = [row for stream in source.streams(TASK) for row in stream.rows if not isinstance(row, Row)]
    assert len(problems) == 1


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("split", ["labelled", "dev"])
def test_corrections_that_can_not_be_read_are_told_once(split: str, learn: bool, tmp_path: Path) -> None:
    """In a file of its own or in the one that is parted, whether they are learned from or only measured by."""
    good = [(f"I has {number} apples .", [f"I have {number} apples ."]) for number in range(20)]
    corrected(tmp_path, good)
    paths = {"labelled": str(tmp_path / "corrected.jsonl"), "dev": str(tmp_path / "dev.jsonl")}
    bad = [{"txt": "I has it .", "label": "I have it ."}, {"text": "I has none .", "label": None},
           {"text": "I has no text .", "label": []}]  # fmt: skip
    (tmp_path / "dev.jsonl").write_text(json.dumps({"text": "I has it .", "label": "I have it ."}), encoding="utf-8")
    with Path(paths[split]).open("a", encoding="utf-8") as file:
        file.write("".join(f"\n{json.dumps(one)}" for one in bad))
    source = clean(tmp_path, corrections=Table(label="label", test_share=1e-9, **paths), learn_corrections=learn)
    with pytest.raises(CorpusError) as caught:
        learned(source, tmp_path)
    told = sorted((one.where, one.found) for one in caught.value.problems)
    assert len(told) == len(set(told)) == 3
    assert all(Path(paths[split]).name in where for where, _ in told)
    assert "no label" in [found for _, found in told]


@pytest.mark.parametrize("learn", [True, False])
def test_an_empty_file_of_corrections_is_told(learn: bool, tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text("", encoding="utf-8")
    path = corrected(tmp_path, [("I has an apple .", ["I have an apple ."])]).labelled
    for share, refusal in ((1e-9, CorpusError), (0.49, InputError)):
        table = Table(labelled=path, dev=str(tmp_path / "dev.jsonl"), test_share=share)
        with pytest.raises(refusal, match=r"dev\.jsonl"):
            learned(clean(tmp_path, corrections=table, learn_corrections=learn), tmp_path)


def test_a_rate_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Corrupted(clean=Table(labelled="rows.jsonl", label=""), rates={"spelling": -1})
