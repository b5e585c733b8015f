"""Texts out of a language model: seeded, counted, kept batch by batch, and never from code or pickle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stillroom import corpus
from stillroom.core import progress
from stillroom.core.artifact import Store
from stillroom.core.errors import InputError
from stillroom.corpora import generated
from stillroom.corpora.generated import Generated
from tests.corpora.examples import TASK


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STILLROOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "generated"


def source(folder: Path, **settings: Any) -> Generated:
    small: dict[str, Any] = {"count": 40, "max_tokens": 10, "batch_size": 8}
    return Generated(model=str(folder), **{**small, **settings})


def texts(one: Generated) -> list[str]:
    return [text for text, _ in one.texts(TASK)]


def test_the_same_seed_writes_the_same_texts(generator_folder: Path, cache: Path) -> None:
    one = texts(source(generator_folder))
    assert len(one) == len(set(one)) == 40
    assert all(len(text.split()) >= 3 for text in one)
    shutil.rmtree(cache)
    assert texts(source(generator_folder)) == one
    assert texts(source(generator_folder, seed=8)) != one


def test_chance_outside_is_left_as_it_was(generator_folder: Path) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    texts(source(generator_folder, count=5))
    assert torch.equal(torch.rand(3), expected)


def test_a_killed_run_goes_on_where_it_stopped(
    generator_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = texts(source(generator_folder))
    shutil.rmtree(cache)
    write, written = generated._Writer._write, []

    def dies(self: Any, number: int) -> list[str]:
        if number == 3:
            raise KeyboardInterrupt
        written.append(number)
        return write(self, number)

    monkeypatch.setattr(generated._Writer, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        texts(source(generator_folder))
    assert written == [0, 1, 2]

    def goes_on(self: Any, number: int) -> list[str]:
        written.append(number)
        return write(self, number)

    monkeypatch.setattr(generated._Writer, "_write", goes_on)
    assert texts(source(generator_folder)) == whole
    assert len(written) == len(set(written)), "a batch was written twice"
    damaged = min(cache.glob("*/*.json"))
    damaged.write_text("{", encoding="utf-8")
    assert texts(source(generator_folder)) == whole
    assert written[-1] == 0


def test_more_texts_go_on_from_those_there_are(generator_folder: Path, cache: Path) -> None:
    few = texts(source(generator_folder, count=20))
    before = {path: path.stat().st_mtime_ns for path in cache.glob("*/*.json")}
    assert texts(source(generator_folder, count=40))[:20] == few
    assert before.items() <= {path: path.stat().st_mtime_ns for path in cache.glob("*/*.json")}.items()


def test_what_is_dropped_is_counted(generator_folder: Path, cache: Path) -> None:
    one = source(generator_folder, count=6, batch_size=6, near_twins="keep")
    writer = generated._Writer(one, one._filled(TASK))
    planted = ["", "two words", "one whole text", "one whole text", "a text with\0", "yet another text"]
    folder = writer._kept_in
    folder.mkdir(parents=True)
    for number, batch in enumerate((planted, [f"text number {word}" for word in ("one", "two", "six", "ten")])):
        (folder / f"{number:05d}.json").write_text(json.dumps({"texts": batch}), encoding="utf-8")
    assert one.account(TASK) == {"wanted": 6, "sampled": 10, "empty": 1, "short": 1, "repeated": 1, "unreadable": 1,
                                 "kept": 6}  # fmt: skip
    assert texts(one)[:3] == ["one whole text", "yet another text", "text number one"]


def test_near_twins_are_dropped_and_counted_by_the_corpus(generator_folder: Path, tmp_path: Path) -> None:
    one = source(generator_folder, count=6, batch_size=6, dev_share=0.4)
    writer = generated._Writer(one, one._filled(TASK))
    writer._kept_in.mkdir(parents=True)
    alike = [f"a rather long sentence that is said again and again with another end {end}" for end in "ab"]
    others = [f"{word} stands here alone and for itself {word * 3}" for word in ("apple", "bread", "cider", "dough")]
    planted = json.dumps({"texts": [*alike, *others]})
    (writer._kept_in / "00000.json").write_text(planted, encoding="utf-8")
    found = {}
    for what in ("keep", "drop"):
        changed = one.model_copy(update={"near_twins": what, "dev_share": 0.25})
        made = corpus.load(changed, task=TASK, store=Store(tmp_path / what))
        found[what] = [*made.dev.texts(), *made.unlabelled.texts()]
        duplicates = made.report["duplicates"]
        near = sum(duplicates["near_inside"].values()) + sum(
            sum(duplicates["dropped"][role]["near"].values()) for role in ("dev", "unlabelled")
        )
        assert near == 1
    assert len([text for text in found["drop"] if text in alike]) == 1


def test_giving_up_is_told(generator_folder: Path) -> None:
    events: list[progress.Event] = []
    one = source(generator_folder, count=8, min_words=50)
    one.prepare(TASK, report=events.append)
    assert one.account(TASK) == {"wanted": 8, "sampled": 32, "empty": 0, "short": 32, "unreadable": 0, "repeated": 0,
                                 "kept": 0}  # fmt: skip
    assert "0 of 8 texts" in events[-1].note


def test_progress_is_in_texts(generator_folder: Path, tmp_path: Path) -> None:
    events: list[progress.Event] = []
    corpus.load(
        source(generator_folder, dev_share=0.2), task=TASK, store=Store(tmp_path / "work"), report=events.append
    )
    told = [event for event in events if event.stage == "texts"]
    assert told[0].total == 40
    assert {event.unit for event in told} == {"texts"}
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert told[-1].done == 40
    assert len(told) < 20, "once a batch"


def test_prompts_are_filled_with_labels_and_topics(generator_folder: Path) -> None:
    one = source(generator_folder, prompts=["{label} on {topic}", "the film"], topics=["food", "art"], keep_prompt=True,
                 batch_size=2, count=20, min_words=1)  # fmt: skip
    assert one._filled(TASK) == ["negative on food", "negative on art", "positive on food", "positive on art",
                                 "the film"]  # fmt: skip
    found = texts(one)
    assert any(text.startswith("the film") for text in found)
    assert any(text.startswith("positive on art") for text in found)
    with pytest.raises(InputError, match="no topics"):
        texts(source(generator_folder, prompts=["on {topic}"]))


def test_without_a_prompt_it_begins_with_the_token_that_begins(generator_folder: Path) -> None:
    assert len(texts(source(generator_folder, prompts=[""], count=4))) == 4


@pytest.mark.parametrize(
    ("written", "expected"),
    [(" one\ntwo ", "one"), ("\n\n one", "one"), ("half a \ufffd", "half a "), ("", ""), ("a. b", "a. b")],
)
def test_a_text_ends_at_the_first_stop(written: str, expected: str) -> None:
    assert Generated(model="x").cut(written, prompt="p") == expected


def test_more_than_the_model_can_hold_is_refused(generator_folder: Path) -> None:
    with pytest.raises(InputError, match="64 tokens at most"):
        texts(source(generator_folder, prompts=["the film was"], max_tokens=62))


@pytest.mark.slow
def test_temperature_narrows_what_is_drawn(generator_folder: Path) -> None:
    cold = source(generator_folder, temperature=0.001, prompts=["the film was"], keep_prompt=True)
    assert cold.account(TASK)["kept"] == 1, "the most probable words, again and again"
    narrow = source(generator_folder, top_p=1e-6, prompts=["the film was"], keep_prompt=True)
    assert texts(narrow) == texts(cold)


def test_another_model_or_setting_shares_nothing(generator_folder: Path, cache: Path, tmp_path: Path) -> None:
    texts(source(generator_folder, count=4))
    texts(source(generator_folder, count=4, temperature=0.9))
    assert len(list(cache.iterdir())) == 2
    other = tmp_path / "other"
    shutil.copytree(generator_folder, other)
    (other / "added.txt").write_text("other", encoding="utf-8")
    texts(source(other, count=4))
    assert len(list(cache.iterdir())) == 3


def test_pickle_and_code_are_never_read(generator_folder: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(generator_folder, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="without code of its own"):
        texts(source(folder))
    shutil.copyfile(generator_folder / "model.safetensors", folder / "model.safetensors")
    told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told |= {"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "mine.Mine", "AutoConfig": "mine.Config"}}
    (folder / "config.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "mine.py").write_text("raise SystemExit('code was run')", encoding="utf-8")
    with pytest.raises(InputError, match="without code of its own"):
        texts(source(folder))


def test_a_gguf_file_is_looked_for_by_its_name(generator_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no small\.gguf in"):
        source(generator_folder, gguf_file="small.gguf").digests()
    folder = tmp_path / "gguf"
    folder.mkdir()
    (folder / "small.gguf").write_bytes(b"GGUF")
    one = source(folder, gguf_file="small.gguf")
    assert set(one.digests()) == {"model"}
    with pytest.raises(InputError, match=r"corpus\.model"):
        texts(one)
