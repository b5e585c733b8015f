"""The page's scripts say what Python says: of odd texts, with weights and answers by chance. Run by Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

import stillroom.web
from stillroom.core import edit_tags, plugins, sentences, tagging
from stillroom.core.errors import MismatchError
from stillroom.core.scripted import Scripted
from stillroom.core.tagging import Tagged
from stillroom.runtime.encoders import Encoder, WordEncoder
from stillroom.runtime.encoders.cased import Cased
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.runners import Runner
from stillroom.tasks import Task
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.token_labelling import TokenLabelling
from tests.web import scenes

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no Node.js here")
TOKENS = {"kind": "tokens", "special": False}
ENCODERS: dict[str, dict[str, Any]] = {
    "tokens": TOKENS,
    "tokens, cut": {"kind": "tokens", "special": True, "max_tokens": 7},
    "cased": {"kind": "cased", "tokens": TOKENS, "size": 9000},
    "ngrams": {"kind": "ngrams", "bits": 18},
    "ngrams, no pairs": {"kind": "ngrams", "bits": 10, "word_pairs": False, "shortest": 2, "longest": 2},
    "tokens_and_ngrams": {"kind": "tokens_and_ngrams", "tokens": TOKENS, "ngrams": {"bits": 10}, "first": 9000},
}
TEXTS = scenes.nasty(150)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts, in a folder that says what they are."""
    folder = tmp_path_factory.mktemp("scripts") / "page"
    shutil.copytree(Path(stillroom.web.__file__).parent / "page", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def ask(page: Path, folder: Path, jobs: Sequence[dict[str, Any]]) -> list[Any]:
    """What scripts answer, with the files of a folder."""
    given = json.dumps({"page": str(page), "folder": str(folder), "jobs": list(jobs)})
    done = subprocess.run([str(NODE), str(Path(__file__).with_name("ask.mjs"))], input=given, capture_output=True,
                          text=True, encoding="utf-8", check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[Any] = json.loads(done.stdout)
    return found


def told(scripted: Scripted, folder: Path) -> dict[str, Any]:
    """What a script is told, with the files that it reads written beside those of the bundle."""
    for name, text in scripted.made.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    return dict(scripted.told)


@needs_node
class TestReading:
    @pytest.mark.parametrize("settings", ENCODERS.values(), ids=ENCODERS)
    def test_gives_the_same_ids_and_words(self, page: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
        self._same(page, tmp_path, plugins.build("runtime.encoders", settings), scenes.tokenizer())

    @pytest.mark.parametrize(("lowercase", "strip"), [(False, None), (False, True), (True, False)])
    def test_with_another_normaliser(self, page: Path, tmp_path: Path, lowercase: bool, strip: bool | None) -> None:
        told = scenes.tokenizer(lowercase=lowercase, strip_accents=strip)
        self._same(page, tmp_path, Cased(tokens=Tokens(special=False), size=9000), told)

    def _same(self, page: Path, folder: Path, encoder: Encoder, tokenizer: Tokenizer) -> None:
        tokenizer.save(str(folder / "tokenizer.json"))
        job = {"what": "encoder", "told": told(encoder.in_browser(folder), folder), "texts": TEXTS}
        found = ask(page, folder, [job])[0]
        for text, ids, one in zip(TEXTS, encoder.open(folder)(TEXTS), found, strict=True):
            assert sorted(one["ids"]) == sorted(ids.tolist()), text
        if isinstance(encoder, WordEncoder):
            ids, words = encoder.open_words(folder)(TEXTS)
            for row, (text, one) in enumerate(zip(TEXTS, found, strict=True)):
                own = words.take(np.array([row]))
                assert one["ids"] == ids[row].tolist(), text
                assert one["words"] == np.column_stack([own.tokens, own.places]).tolist(), text

    def test_says_from_where_on_a_text_was_not_read(self, page: Path, tmp_path: Path) -> None:
        scenes.tokenizer().save(str(tmp_path / "tokenizer.json"))
        encoder = plugins.build("runtime.encoders", ENCODERS["tokens, cut"])
        texts = ["the film was great today", "the film was great 中 today, he"]
        job = {"what": "encoder", "told": told(encoder.in_browser(tmp_path), tmp_path), "texts": texts}
        assert [one["cut"] for one in ask(page, tmp_path, [job])[0]] == [None, texts[1].index("today")]


@needs_node
@pytest.mark.parametrize("name", scenes.TABLES)
def test_tables_give_the_same_numbers(page: Path, tmp_path: Path, name: str) -> None:
    runner = plugins.build("runtime.runners", scenes.write(tmp_path, name))
    job = {"what": "runner", "told": told(runner.in_browser(tmp_path), tmp_path), "texts": TEXTS}
    expected = runner.open(tmp_path, threads=1)(TEXTS)
    np.testing.assert_allclose(np.array(ask(page, tmp_path, [job])[0]), expected, atol=2e-5, rtol=1e-4)


@needs_node
def test_a_planted_fault_is_seen(page: Path, tmp_path: Path) -> None:
    """What holds scripts to Python fails where a hash differs by one bit of its salt."""
    script = page.parent / "faulty" / "encoders" / "ngrams.js"
    shutil.copytree(page, page.parent / "faulty")
    script.write_text(script.read_text().replace("0xc4a2", "0xc4a3"))
    encoder = plugins.build("runtime.encoders", ENCODERS["ngrams"])
    job = {"what": "encoder", "told": told(encoder.in_browser(tmp_path), tmp_path), "texts": ["great"]}
    assert sorted(ask(page.parent / "faulty", tmp_path, [job])[0][0]["ids"]) != sorted(
        encoder.open(tmp_path)(["great"])[0]
    )


def _words(texts: Sequence[str], outputs: int, *, seed: int) -> Tagged:
    """Answers by chance to the words of texts."""
    places, counts = tagging.places_of(texts)
    return Tagged(3 * scenes.numbers(len(places), outputs, seed=seed), places, counts)


def _said(texts: Sequence[str], said: Tagged) -> list[dict[str, Any]]:
    """The same as a script takes it."""
    parts = zip(texts, np.split(said.values, said.starts[1:-1]), np.split(said.words, said.starts[1:-1]), strict=True)
    return [
        {"text": text, "values": values.reshape(-1).tolist(), "words": words.tolist()} for text, values, words in parts
    ]


@needs_node
class TestPredictions:
    def test_of_labels(self, page: Path, tmp_path: Path) -> None:
        task = plugins.build("tasks", {"kind": "classification", "labels": scenes.LABELS})
        logits = 5 * scenes.numbers(20, 3)
        said = [{"text": "", "values": row.tolist()} for row in logits]
        found = ask(page, tmp_path, [{"what": "task", "told": dict(task.in_browser().told), "said": said}])[0]
        for one, expected in zip(found, task.decode(logits), strict=True):
            assert one["label"] == expected.label
            assert dict(one["scores"]) == pytest.approx(dict(expected.scores), abs=1e-6)

    def test_of_spans(self, page: Path, tmp_path: Path) -> None:
        """Tags by chance make no sense together: the best that do are found by the same search."""
        task = TokenLabelling(labels=("PER", "ORG"))
        texts = [text for text in TEXTS if len(text) < 500]
        said = _words(texts, len(task.outputs), seed=1)
        job = {"what": "task", "told": dict(task.in_browser().told), "said": _said(texts, said)}
        spans = 0
        for one, expected in zip(ask(page, tmp_path, [job])[0], task.decode(said, texts), strict=True):
            keys = ("start", "end", "text", "label")
            assert [[span[key] for key in keys] for span in one["spans"]] == [
                [getattr(span, key) for key in keys] for span in expected.spans
            ]
            assert [span["score"] for span in one["spans"]] == pytest.approx([span.score for span in expected.spans])
            spans += len(expected.spans)
        assert spans > 300

    def test_of_corrections(self, page: Path, tmp_path: Path) -> None:
        """Every tag on words of many kinds makes the same edit, and the dictionary finds the same word."""
        task = Proofreading(least_sure=0.2)
        texts = [
            "He recieved teh hat , and was gone.", "The the Man don’t goes to school. it was fine", "I is a childs",
            "their over there ; she have alot of informations!", "DONT STOP becuase of thier mistake", "A apple",
            *(text for text in TEXTS[::12] if len(text) < 200),
        ]  # fmt: skip
        jobs, expected = [], []
        for seed in range(2):
            said = _words(texts, len(task.outputs), seed=seed)
            plain = np.random.default_rng(seed).integers(0, len(edit_tags.TAGS), len(said.values))
            plain[::2] = edit_tags.TAGS.index("spell")  # where most of the work is
            said.values[np.arange(len(plain)), plain] += 6.0
            jobs.append({"what": "task", "said": _said(texts, said)})
            expected += [one.as_dict() for one in task.decode(said, texts)]
        own = told(task.in_browser(), tmp_path)
        found = [one for part in ask(page, tmp_path, [{**job, "told": own} for job in jobs]) for one in part]
        assert sum(len(one["corrections"]) for one in expected) > 60
        for one, its in zip(found, expected, strict=True):
            assert one["corrected"] == its["corrected"]
            assert [{**edit, "score": 0} for edit in one["corrections"]] == [
                {**edit, "score": 0} for edit in its["corrections"]
            ]
            assert [edit["score"] for edit in one["corrections"]] == pytest.approx(
                [edit["score"] for edit in its["corrections"]]
            )


@needs_node
def test_sentences_are_the_same(page: Path, tmp_path: Path) -> None:
    texts = [
        'One. Two! three? "Four." (Five.) e.g. six. Mr. Bell came. 七。八',
        "a\n\nb. C\r\nd",
        "  ",
        *(one for one in TEXTS if len(one) < 500),
    ]
    assert ask(page, tmp_path, [{"what": "sentences", "texts": texts}])[0] == [
        [list(place) for place in sentences.spans(text)] for text in texts
    ]


@pytest.mark.parametrize(
    ("family", "folder"), [("runtime.runners", "runners"), ("runtime.encoders", "encoders"), ("tasks", "tasks")]
)
def test_who_says_that_a_script_does_it_has_one(family: str, folder: str) -> None:
    """And the other way round: a script that no member speaks for is never run."""
    base = {"runtime.runners": Runner, "runtime.encoders": Encoder, "tasks": Task}[family].in_browser  # type: ignore[attr-defined]
    found = {name for name in plugins.names(family) if plugins.member(family, name).in_browser is not base}  # type: ignore[attr-defined]
    scripts = {path.stem for path in (Path(stillroom.web.__file__).parent / "page" / folder).glob("*.js")}
    assert found == scripts - {"open", "edits", "spelling"}


class TestRefusals:
    """Who can't run in a browser says why."""

    def test_tokenizers_by_other_rules(self, tmp_path: Path) -> None:
        from tokenizers import models, pre_tokenizers

        other = Tokenizer(models.BPE({"a": 0}, []))
        other.pre_tokenizer = pre_tokenizers.ByteLevel()
        other.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(MismatchError, match="a tokenizer whose model is BPE"):
            Tokens(special=False).in_browser(tmp_path)

    def test_tokens_that_take_spaces_with_them(self, tmp_path: Path) -> None:
        from tokenizers import AddedToken

        odd = scenes.tokenizer()
        odd.add_tokens([AddedToken("<x>", lstrip=True, normalized=False)])
        odd.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(MismatchError, match="rules of their own, such as `<x>`"):
            Tokens(special=False).in_browser(tmp_path)

    def test_a_second_opinion(self) -> None:
        with pytest.raises(MismatchError, match=r"`task.seconded` = 0.4: the rules of Harper"):
            Proofreading(seconded=0.4).in_browser()

    @pytest.mark.parametrize("kind", ["text_to_text", "generation"])
    def test_tasks_without_a_view(self, kind: str) -> None:
        settings = {"text_to_text": {"kind": kind}, "generation": {"kind": kind}}[kind]
        task: Any = plugins.member("tasks", kind).model_construct(**settings)
        with pytest.raises(MismatchError, match=f"the task `{kind}`"):
            task.in_browser()
