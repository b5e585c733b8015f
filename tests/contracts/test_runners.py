"""What every runner promises, held over every member that is found: the same answer, whoever else is asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillroom.core import plugins
from stillroom.core.errors import RecipeError
from stillroom.runtime.lexicon import Lexicon, Readings
from stillroom.runtime.runners import Runner, Serve, exits
from stillroom.runtime.runners.exits import Exits
from stillroom.shapes import Outputs
from stillroom.tasks import Task
from stillroom.tasks.classification import Classification
from stillroom.tasks.embeddings import Embeddings
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers.huggingface import Checkpoint
from stillroom.teachers.sentence_transformer import Embedder
from tests.conftest import LABELS, sentences, write_embedder

TASK = Classification(labels=LABELS)
#: Another task for runners whose students answer otherwise, by kind; the others are of `TASK`.
TASKS: dict[str, Task] = {
    "onnx_words": TokenLabelling(labels=("PER", "LOC")),
    "static_vectors": Embeddings(dimensions=32),
}
#: Runners of students that write are held to the same in `tests/students`, by the texts that they write.
WRITING = {"ctranslate2", "extractive", "onnx_causal"}
#: Runners of students that answer with numbers.
NAMES = [name for name in plugins.names("runtime.runners") if name not in WRITING]
STATIC = {"kind": "static", "dimensions": 16, "hidden": 8}
#: Students that the members serve, the member's name first; a new one adds its line.
CASES: dict[str, dict[str, Any]] = {
    "bag": {"kind": "bag", "features": {"kind": "ngrams", "bits": 12}},
    "bag, words alone": {"kind": "bag", "features": {"kind": "ngrams", "bits": 12, "word_pairs": False}},
    "static": {**STATIC, "features": {"bits": 10}},
    "static, no pairs": STATIC,
    "static, whole texts": {**STATIC, "features": {"bits": 10}},
    "static_vectors": STATIC,
    "static_vectors, whole texts": STATIC,
    "cnn": {"kind": "cnn", "dimensions": 16, "channels": 6},
    "cnn, whole texts": {"kind": "cnn", "dimensions": 16, "channels": 6},
    "onnx": {**STATIC, "features": {"bits": 10}},
    "onnx_words": {"kind": "cnn", "dimensions": 16, "channels": 6},
    "exits": {"kind": "transformer", "layers": 2, "exits": [1]},
}
#: Which format writes for a runner that serves no student's own weights.
FORMATS = {"onnx": "onnx", "onnx_words": "onnx", "exits": "onnx_exits"}
ODD = [
    "",
    " ",
    "\n\t\r ",
    "great",
    "  great\t\tfilm\n",
    "great\x00film",
    "great\x0b\x1c\x85film",
    "great\u2028film\u00a0today",
    "\x07\x1b[31m",
    "\u0301",
    "great \ufe0f film",
    "naïve café",
    "中文的电影",
    "👍🏽 👩‍👩‍👧",
    "الفيلم رائع",
    "İstanbul ﬁlm Straße",
    "\ufeffgreat",
    "zero\u200bwidth",
    "x" * 20_000,
    "a film that goes on " * 2_000,
]
TEXTS = [*ODD, *(text for text, _ in sentences()[::30])]
#: How much of what a runner has read it may keep where it is to be forgetful.
KEPT = 300
#: Words that the tokenizer knows one by one.
WORDS = ["".join(one) for one in product("bdfgklmnprstvz", "aeiou", "bdfgklmnprstvz", "aio")]


@dataclass(frozen=True)
class Case:
    """A student's folder, the runner that serves it, and its answers to the texts."""

    folder: Path
    runner: Runner
    serve: Serve
    task: Task
    answers: Outputs

    def agree(self, found: Outputs, expected: Outputs) -> None:
        """Both are the same, of the same texts."""
        form = self.task.form
        assert len(found) == len(expected)
        assert form.gap(found, expected) < 1e-3
        np.testing.assert_allclose(form.values(found), form.values(expected), atol=1e-4, rtol=5e-4)

    def join(self, parts: list[Outputs]) -> Outputs:
        return self.task.form.join(parts, outputs=len(self.task.outputs))


@pytest.fixture(scope="module")
def wordy(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier with a vocabulary of thousands, as real ones have: each of the words has an id of its own."""
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("wordy")
    network = AutoModelForSequenceClassification.from_pretrained(classifier_folder)
    told = json.loads((classifier_folder / "tokenizer.json").read_text(encoding="utf-8"))
    known = told["model"]["vocab"]
    known |= {word: len(known) + place for place, word in enumerate(WORDS)}
    assert len(set(known.values())) == len(known), "an id for each word"
    (folder / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
    torch.manual_seed(2)
    network.resize_token_embeddings(len(known), mean_resizing=False)
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def make(wordy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    made: dict[str, Case] = {}
    teacher = Checkpoint(wordy, name="tiny", task=TASK)

    def case(name: str) -> Case:
        if name not in made:
            made[name] = _case(name, teacher, tmp_path_factory)
        return made[name]

    return case


def _case(name: str, teacher: Checkpoint, folders: pytest.TempPathFactory) -> Case:
    kind, _, variant = name.partition(", ")
    task = TASKS.get(kind, TASK)
    studied, folder = folders.mktemp("studied"), folders.mktemp("served")
    student = plugins.build("students", CASES[name])
    student.study(answering(teacher, folders) if kind == "static_vectors" else teacher, studied)
    network = student.begin(task=task, studied=studied, texts=iter(TEXTS), seed=4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    network.save(folder)
    if kind in FORMATS:
        runner, _ = plugins.build("formats", FORMATS[kind]).write(student.reopen(folder, task=task), folder)
    else:
        runner = student.runner(folder, texts=[text for text, _ in sentences()])
    if kind == "exits":
        runner = _leaving_everywhere(runner, folder)
    if variant == "whole texts":
        runner = plugins.build("runtime.runners", {**runner.model_dump(mode="json"), "by_chunks": False})
    elif kind in ("static", "static_vectors", "cnn"):
        assert runner.by_chunks, "the quick way is the one that is held to its promises"
    assert runner.kind == kind
    serve = runner.open(folder, threads=1)
    return Case(folder, runner, serve, task, serve(TEXTS))


def answering(teacher: Checkpoint, folders: pytest.TempPathFactory) -> Embedder:
    """One that answers with vectors, with that teacher's words."""
    folder = folders.mktemp("answering")
    teacher.network().base_model.save_pretrained(folder / "encoder")
    (folder / "encoder" / "tokenizer.json").write_text(teacher.tokenizer_json(), encoding="utf-8")
    return Embedder(write_embedder(folder / "model", folder / "encoder"), name="tiny")


def _leaving_everywhere(runner: Exits, folder: Path) -> Exits:
    """With a threshold at which some texts leave at each head."""
    heads = runner.heads(folder, TEXTS)
    sure = np.sort(exits.sureness(heads[0]))
    runner = runner.model_copy(update={"threshold": float(sure[len(sure) // 3 : len(sure) // 3 + 2].mean())})
    assert set(exits.leaving(heads, threshold=runner.threshold)) == {0, 1}
    return runner


@pytest.fixture(
    params=[
        # Pieces of a transformer take long to trace.
        *(pytest.param(name, marks=[pytest.mark.slow] if name == "exits" else []) for name in CASES),
        *(set(NAMES) - {name.partition(",")[0] for name in CASES}),
    ]
)
def case(request: pytest.FixtureRequest, make: Callable[[str], Case]) -> Case:
    assert request.param in CASES, f"CASES has no student that `{request.param}` serves"
    return make(request.param)


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after a few microseconds, so that they meet in the middle of things."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_there_are_members() -> None:
    assert {"bag", "static", "onnx"} <= set(NAMES)


def test_is_its_own_settings(case: Case) -> None:
    assert type(case.runner).__doc__
    said = case.runner.model_dump(mode="json", serialize_as_any=True)
    assert plugins.build("runtime.runners", said) == case.runner
    with pytest.raises(RecipeError, match="a key that nothing reads"):
        plugins.build("runtime.runners", {**said, "nonsense": 1})


def test_answers_every_text_with_numbers(case: Case) -> None:
    form, outputs = case.task.form, len(case.task.outputs)
    assert form.unfit(case.answers, texts=len(TEXTS), outputs=outputs) is None
    values = form.values(case.answers)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert len(np.unique(values.round(5), axis=0)) > len(TEXTS) / 2, "and not with the same ones"
    assert form.unfit(case.serve([]), texts=0, outputs=outputs) is None


def test_keeps_the_order(case: Case) -> None:
    order = np.random.default_rng(1).permutation(len(TEXTS))
    case.agree(case.serve([TEXTS[place] for place in order]), case.task.form.take(case.answers, order))


def test_one_by_one_is_as_together(case: Case) -> None:
    case.agree(case.join([case.serve([text]) for text in TEXTS]), case.answers)


def test_many_copies_are_answered_alike(case: Case) -> None:
    """More texts than are taken at a time, whatever that number is."""
    texts = [text for text, _ in sentences()] * 2
    found, half = case.serve(texts), np.arange(len(texts) // 2)
    case.agree(case.task.form.take(found, half + len(half)), case.task.form.take(found, half))


def test_white_space_around_and_between_words_says_nothing(case: Case) -> None:
    values = case.task.form.values
    plain = values(case.serve(["a great film"]))
    for spaced in (" a great film", "a great film\n", "a  great \t film", "a\ngreat\r\nfilm"):
        np.testing.assert_allclose(values(case.serve([spaced])), plain, atol=1e-4, rtol=5e-4)


def test_is_the_same_after_all_that_it_has_read(case: Case) -> None:
    case.serve([f"a word{number} that nobody knows{number * 7}" for number in range(3000)])
    case.agree(case.serve(TEXTS), case.answers)


def test_more_threads_change_nothing(case: Case) -> None:
    case.agree(case.runner.open(case.folder, threads=2)(TEXTS), case.answers)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a runner keeps of what it has read is full after a few texts, so that it starts anew again and again."""
    for name in ("bag.Lexicon", "_adder.Lexicon", "cnn.Readings"):
        kept = Readings if name.endswith("Readings") else Lexicon
        monkeypatch.setattr(f"stillroom.runtime.runners.{name}", partial(kept, capacity=KEPT))
    monkeypatch.setattr("stillroom.runtime.runners.cnn._NUMBERS", KEPT * 6 * sum(range(1, 6)))


def test_may_be_asked_from_several_threads_at_once(case: Case, hasty_threads: None, forgetful: None) -> None:
    """As a server asks: words that are new to it, from a fresh start, learned and let go of in many threads at once."""
    rng = np.random.default_rng(2)
    asked = [[" ".join(rng.choice(WORDS, 12)) for _ in range(60)] for _ in range(8)]
    expected = [case.serve(texts) for texts in asked]
    serve = case.runner.open(case.folder, threads=1)

    def ask(texts: list[str]) -> Outputs:
        return case.join([serve(texts[start : start + 2]) for start in range(0, len(texts), 2)])

    with ThreadPoolExecutor(8) as pool:
        for found, wanted in zip(pool.map(ask, asked), expected, strict=True):
            case.agree(found, wanted)
    case.agree(serve(TEXTS), case.answers)


@pytest.mark.parametrize(
    "names", [[name for name in CASES if name != "exits"], pytest.param(["exits"], marks=pytest.mark.slow)]
)
def test_none_needs_torch(make: Callable[[str], Case], names: list[str]) -> None:
    """All of them in one fresh interpreter, which answers as this one does."""
    cases = [make(name) for name in names]
    jobs = [{"settings": one.runner.model_dump(mode="json", serialize_as_any=True), "folder": str(one.folder)}
            for one in cases]  # fmt: skip
    code = (
        "import json, sys; from pathlib import Path; from stillroom.core import plugins\n"
        "job = json.load(sys.stdin)\n"
        "said = [plugins.build('runtime.runners', one['settings']).open(Path(one['folder']), threads=1)(job['texts'])"
        " for one in job['jobs']]\n"
        "heavy = sorted({'torch', 'transformers', 'scipy', 'sklearn', 'onnx'} & set(sys.modules))\n"
        "values = [getattr(one, 'values', one) for one in said]\n"
        "print(json.dumps({'heavy': heavy, 'said': [one.tolist() for one in values]}))"
    )
    told = json.dumps({"jobs": jobs, "texts": TEXTS})
    done = subprocess.run([sys.executable, "-c", code], input=told, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    for one, said in zip(cases, found["said"], strict=True):
        expected = one.task.form.values(one.answers)
        np.testing.assert_allclose(np.array(said, dtype=np.float32), expected, atol=1e-4, rtol=5e-4)
