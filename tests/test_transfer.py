"""The teacher is asked once: every unique text, nothing twice, whatever happens in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom import corpus, transfer, transfer_set
from stillroom.augmentations.ngram_sampling import NgramSampling
from stillroom.core import artifact, recipe, signals
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import MismatchError, OutsideError
from stillroom.core.progress import Event
from stillroom.corpora.table import Table
from stillroom.tasks.classification import Classification
from stillroom.teachers import Identity, Precision
from stillroom.teachers._forecast import Forecast
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, sentences, write_csv

TASK = Classification(labels=LABELS)
PHRASES = NgramSampling(per_row=3)
ONE = Decimal(1)


class Counting:
    """A teacher that remembers what it was asked, and may fall silent."""

    def __init__(self, inner: Checkpoint, *, stop_after: int | None = None) -> None:
        self.inner, self.stop_after = inner, stop_after
        self.asked: list[str] = []
        self.precisions = inner.precisions
        self.precision: set[str] = set()

    def identify(self) -> Identity:
        return self.inner.identify()

    @property
    def layers(self) -> int:
        return self.inner.layers

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += texts
        self.precision.add(precision)
        return self.inner.ask(texts, precision=precision, tokens_per_batch=tokens_per_batch, wanted=wanted)

    def network(self) -> Any:
        return self.inner.network()

    def tokenizer_json(self) -> str:
        return self.inner.tokenizer_json()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("transfer"))


@pytest.fixture(scope="module")
def rows(store: Store, tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    path = write_csv(tmp_path_factory.mktemp("rows") / "toy.csv", sentences())
    return corpus.load(Table(labelled=str(path), dev_share=0.2, test_share=0.2), task=TASK, store=store)


@pytest.fixture(scope="module")
def checkpoint(classifier_folder: Path) -> Checkpoint:
    return Checkpoint(classifier_folder, name="tiny", task=TASK)


@pytest.fixture(scope="module")
def teacher(store: Store) -> Artifact:
    return store.obtain("teacher", settings={}, inputs={}, make=lambda draft: None)


def collect(
    loaded: Any, rows: corpus.Corpus, teacher: Artifact, store: Store, report: Any = lambda event: None, **settings: Any
) -> transfer_set.TransferSet:
    chosen = recipe.Transfer(**{"shard_rows": 50, "precision": "fp32", **settings})
    return transfer.collect(loaded, teacher=teacher, parts=(rows.train, rows.unlabelled, rows.dev), task=TASK,
                            settings=chosen, seed=1, store=store, held_out=(rows.test,), report=report)  # fmt: skip


def said_by_id(said: transfer_set.TransferSet) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for shard in said.shards():
        flat = shard["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        found |= dict(zip(shard["id"].to_pylist(), flat.reshape(-1, len(LABELS)), strict=True))
    return found


def test_each_text_is_asked_once_and_answered_as_a_plain_loop_would(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, store: Store
) -> None:
    counting = Counting(checkpoint)
    said = collect(counting, rows, teacher, store)
    expected = [*rows.train.texts(), *rows.dev.texts()]
    assert sorted(counting.asked) == sorted(expected)
    assert len(set(counting.asked)) == len(counting.asked) == said.rows
    found = said_by_id(said)
    for text in expected[:20]:
        alone = checkpoint.ask([text], precision="fp32", tokens_per_batch=64)[0]["logits"][0]
        np.testing.assert_allclose(found[artifact.text_id(text)], alone, atol=2e-3)
    collect(counting, rows, teacher, store)
    assert len(counting.asked) == len(expected)


def test_a_rerun_asks_only_for_what_is_missing(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, store: Store, tmp_path: Path
) -> None:
    first, second = Counting(checkpoint, stop_after=100), Counting(checkpoint)
    elsewhere = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        collect(first, rows, teacher, elsewhere)
    again = collect(second, rows, teacher, elsewhere)
    assert not set(first.asked) & set(second.asked)
    assert len(first.asked) + len(second.asked) == again.rows
    assert again.artifact.digest == collect(checkpoint, rows, teacher, store).artifact.digest


def test_bf16_only_where_it_agrees(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, store: Store, tmp_path: Path
) -> None:
    counting = Counting(checkpoint)
    counting.precisions = ("fp32", "bf16")
    said = collect(counting, rows, teacher, Store(tmp_path), precision="auto", bound=1e-9)
    probe = said.artifact.manifest["facts"]["precision"]
    assert probe["precision"] == "fp32"
    assert probe["largest_difference"] > probe["bound"]
    loose = collect(counting, rows, teacher, Store(tmp_path / "loose"), precision="auto", bound=0.5)
    assert loose.artifact.manifest["facts"]["precision"]["precision"] == "bf16"


def test_no_text_of_the_corpus_is_told_on_the_way(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    events: list[Event] = []
    collect(checkpoint, rows, teacher, Store(tmp_path), report=events.append, precision="auto")
    assert events
    words = " ".join(f"{event.note} {event.facts} {event.unit}" for event in events)
    assert not any(text in words for text in rows.train.texts())


def test_what_is_left_to_ask_and_what_it_costs_is_told_on_the_way(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With made texts the total begins as a bound, and comes down to what there was to ask."""
    events: list[Event] = []
    priced = replace(checkpoint.identify(), price_per_million_texts=2e4)
    monkeypatch.setattr(Counting, "identify", lambda self: priced)
    counting = Counting(checkpoint)
    said = collect(counting, rows, teacher, Store(tmp_path), report=events.append, augment=(PHRASES,))
    told = [event for event in events if not event.note]
    totals = [event.total for event in told if event.total is not None]
    assert len(totals) == len(told)
    assert totals[0] == rows.train.count * (1 + PHRASES.per_row) + rows.dev.count
    assert totals == sorted(totals, reverse=True)
    assert all(event.done < event.total for event in told[:-1])
    assert told[-1].done == totals[-1] == len(counting.asked) < totals[0]
    assert [event.facts["spend"] for event in told[1:]] == [f"{event.done * 0.02:.2f}" for event in told[1:]]
    assert said.artifact.circumstances["ledger"]["spend"] == pytest.approx(len(counting.asked) * 0.02)


class Choosy(Counting):
    """A teacher that bills for each answer, and has none for some rows, nor for some texts that are cut out of rows."""

    @staticmethod
    def why(text: str) -> str:
        return "refusal" if "dull" in text else "empty" if text.startswith("film") else ""

    def identify(self) -> Identity:
        return replace(self.inner.identify(), price_per_million_texts=None)

    def ask(self, texts: Sequence[str], **how: Any) -> tuple[Mapping[str, NDArray[Any]], int]:
        said, tokens = super().ask(texts, **how)
        why = np.array([self.why(text) for text in texts], dtype=object)
        beside = {signals.UNANSWERED: why, signals.PRICE: np.full(len(texts), 0.5)}
        return {**said, **beside}, tokens


def left_of(said: transfer_set.TransferSet, part: str) -> int:
    return sum(shard.num_rows for shard in said.shards() if transfer_set.part_of(shard) == part)


@pytest.mark.parametrize("rules", [(), (PHRASES,)], ids=["rows", "phrases"])
def test_texts_without_an_answer_are_left_out_counted_and_paid_for(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path, rules: tuple[NgramSampling, ...]
) -> None:
    events: list[Event] = []
    counting = Choosy(checkpoint)
    said = collect(counting, rows, teacher, Store(tmp_path / "calm"), report=events.append, augment=rules)
    asked = counting.asked[32:]  # the first 32 are asked about twice, to say what all will cost: these have a memory
    silent = Counter(why for text in asked if (why := Choosy.why(text)))
    assert set(silent) == ({"refusal", "empty"} if rules else {"refusal"})
    left = [text for shard in said.shards() for text in shard["text"].to_pylist()]
    assert not any(Choosy.why(text) for text in left)
    facts, ledger = said.artifact.manifest["facts"], said.artifact.circumstances["ledger"]
    assert facts["unanswered"] == silent
    assert facts["texts"] == said.rows == len(left)
    for rule in facts.get("augment", ()):
        assert sum(rule["kept"].values()) == left_of(said, rule["kind"]) > 0, (
            "counted by the rows that they were made of"
        )
    assert ledger["texts"] == len(asked) == len(set(asked))
    assert ledger["spend"] == pytest.approx(0.5 * len(asked))
    notes = [event.note for event in events]
    assert any(f"no answer for {silent.total():,} of" in note for note in notes)
    total = events[1].total
    assert total
    assert any(f"all {total:,} about {total * 0.5:.2f}" in note for note in notes)
    with pytest.raises(KeyboardInterrupt):
        collect(Choosy(checkpoint, stop_after=150), rows, teacher, Store(tmp_path / "broken"), augment=rules)
    again = collect(Choosy(checkpoint), rows, teacher, Store(tmp_path / "broken"), augment=rules)
    assert again.artifact.digest == said.artifact.digest
    assert again.artifact.circumstances["ledger"]["spend"] == ledger["spend"]


def test_phrases_are_cut_from_training_rows_and_asked_once(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    counting = Counting(checkpoint)
    said = collect(counting, rows, teacher, Store(tmp_path), augment=(PHRASES,), precision="fp32")
    parts = {part for shard in said.shards() for part in shard["part"].to_pylist()}
    assert parts == {"train", "dev", "ngram_sampling"}
    assert len(counting.asked) == len(set(counting.asked)) == said.rows
    held = {*rows.test.texts(), *rows.dev.texts(), *rows.train.texts()}
    phrases = [
        text
        for shard in said.shards()
        for text, part in zip(shard["text"].to_pylist(), shard["part"].to_pylist(), strict=True)
        if part == "ngram_sampling"
    ]
    assert phrases
    assert not held & set(phrases)
    joined = "\n".join(rows.train.texts())
    assert all(phrase in joined for phrase in phrases)


def test_a_teacher_with_other_labels_is_never_asked(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(checkpoint)
    swapped = replace(checkpoint.identify(), labels=tuple(reversed(LABELS)))
    monkeypatch.setattr(Counting, "identify", lambda self: swapped)
    with pytest.raises(MismatchError, match="another order"):
        collect(counting, rows, teacher, Store(tmp_path))
    assert counting.asked == []


def test_a_student_of_another_teacher_is_refused(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, store: Store
) -> None:
    said = collect(checkpoint, rows, teacher, store)
    transfer_set.refuse_other_teacher(said, tokenizer=checkpoint.identify().tokenizer, task=TASK)
    with pytest.raises(MismatchError, match="tokenizer"):
        transfer_set.refuse_other_teacher(said, tokenizer="0" * 64, task=TASK)
    with pytest.raises(MismatchError, match="another order"):
        transfer_set.refuse_other_teacher(said, tokenizer=None, task=Classification(labels=tuple(reversed(LABELS))))


def test_a_phrase_that_is_a_test_row_is_not_asked_about(
    checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    """Planted: every phrase of two words that can be cut from the training rows is a test row too."""
    train = write_csv(tmp_path / "train.csv", [(f"fine film number {n} of many", "positive") for n in range(60)])
    dev = write_csv(tmp_path / "dev.csv", [("dull from start to end", "negative"), ("a joy", "positive")])
    words = ["fine", "film", "number", "of", "many", *map(str, range(60))]
    test = write_csv(tmp_path / "test.csv", [(word, "negative") for word in words])
    source = Table(train=str(train), dev=str(dev), test=str(test))
    planted = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
    counting = Counting(checkpoint)
    collect(counting, planted, teacher, Store(tmp_path / "work"), augment=(PHRASES.model_copy(update={"per_row": 6}),))
    assert len(counting.asked) > planted.train.count + planted.dev.count
    assert not set(words) & set(counting.asked)


INSIDE = frozenset({"logits", "embedding", "hidden.0", "hidden.3", "relations.2", "attention.1", "attention.3"})


def collect_inside(loaded: Any, rows: corpus.Corpus, teacher: Artifact, store: Store) -> transfer_set.TransferSet:
    chosen = recipe.Transfer(shard_rows=50, precision="fp32", tokens_per_batch=256)
    return transfer.collect(loaded, teacher=teacher, parts=(rows.train, rows.dev), task=TASK, settings=chosen, seed=1,
                            store=store, held_out=(rows.test,), wanted=INSIDE)  # fmt: skip


def test_what_is_recorded_inside_is_what_each_text_alone_says(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    """Texts of several lengths share a batch when they are asked about, and stand end to end on disk."""
    import torch

    from stillroom.teachers import _listening

    said = collect_inside(checkpoint, rows, teacher, Store(tmp_path))
    assert said.recorded == INSIDE
    _stored_as_the_manifest_says(said)
    texts: list[str] = []
    places: list[signals.Place] = []
    for shard in said.shards():
        texts += shard["text"].to_pylist()
        places += said.further(shard)
    assert len(places) > 2
    recorded = {name: signals.Recorded(name, places) for name in INSIDE - {"logits"}}
    chosen = np.random.default_rng(0).choice(len(texts), 12, replace=False)
    batch = {name: one.batch(chosen) for name, one in recorded.items()}
    encoder = checkpoint._tokenizer
    assert len({int(recorded["hidden.3"].tokens[row]) for row in chosen}) > 1
    for place, row in enumerate(chosen):
        ids = torch.tensor([encoder.encode(texts[row]).ids])
        with torch.inference_mode():
            alone = _listening.listen(checkpoint.network(), ids, torch.ones_like(ids, dtype=torch.bool), INSIDE)
        for name, one in batch.items():
            inside = (slice(ids.shape[1]),) * signals.token_axes(name)
            assert recorded[name].tokens[row] in (1, ids.shape[1])
            np.testing.assert_allclose(one[place][inside], alone[name][0].numpy(), atol=4e-3, err_msg=name)


def _stored_as_the_manifest_says(said: transfer_set.TransferSet) -> None:
    told = said.artifact.manifest["facts"]["signals"]
    assert set(told) == INSIDE
    for name, one in told.items():
        path = next(said.artifact.folder.glob(f"shard-*.{one['storage']}"))
        if one["storage"] == "parquet":
            dtypes = {str(pq.read_schema(path).field(name).type.value_type)}
        else:
            dtypes = {str(load_file(path)[name].dtype)}
        assert {one["dtype"]} == {str(np.dtype(dtype.replace("halffloat", "float16"))) for dtype in dtypes}


def test_the_licences_of_teacher_and_texts_are_in_the_manifest_and_outside_the_digest(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, store: Store, tmp_path: Path
) -> None:
    def licences(loaded: Any, where: Store, **rights: Any) -> tuple[Artifact, Any]:
        chosen = recipe.Transfer(shard_rows=50, precision="fp32")
        said = transfer.collect(loaded, teacher=teacher, parts=(rows.train, rows.unlabelled, rows.dev), task=TASK,
                                settings=chosen, seed=1, store=where, held_out=(rows.test,), rights=rights)  # fmt: skip
        return said.artifact, said.artifact.circumstances["licences"]

    counting = Counting(checkpoint)
    real = {"source": "others", "licence": "MIT"}
    found, told = licences(counting, Store(tmp_path), source="us", licence="CC0-1.0", real=real, inputs={"a": "b"})
    assert told == {"teacher": None, "texts": "CC0-1.0", "real": "MIT"}
    asked = len(counting.asked)
    assert licences(counting, Store(tmp_path), licence="CC-BY-4.0")[0].key == found.key
    assert len(counting.asked) == asked, "a licence that is put right has nobody asked again"
    plain = collect(checkpoint, rows, teacher, store).artifact
    assert plain.digest == found.digest
    assert plain.circumstances["licences"] == {"teacher": None, "texts": None}


def test_a_run_killed_while_it_records_insides_ends_the_same(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    calm = collect_inside(checkpoint, rows, teacher, Store(tmp_path / "calm"))
    first, second = Counting(checkpoint, stop_after=100), Counting(checkpoint)
    with pytest.raises(KeyboardInterrupt):
        collect_inside(first, rows, teacher, Store(tmp_path / "broken"))
    again = collect_inside(second, rows, teacher, Store(tmp_path / "broken"))
    assert first.asked
    assert not set(first.asked) & set(second.asked)
    assert again.artifact.digest == calm.artifact.digest


class Billing(Choosy):
    """One that fails at the first request, and counts the texts that it makes a forecast of."""

    def __init__(self, inner: Checkpoint, *, error: BaseException) -> None:
        super().__init__(inner)
        self.error, self.looked_at = error, 0

    def ask(self, *_: Any, **how: Any) -> tuple[Mapping[str, NDArray[Any]], int]:
        raise self.error

    def forecasts(self, texts: Iterable[str], *, further: int) -> Sequence[Forecast]:
        self.looked_at += len(list(texts))
        return (Forecast("tiny", 1, due=self.looked_at, each=ONE, spent=ONE, reserve=ONE, cap=ONE),)


@pytest.mark.parametrize("error", [OutsideError(), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_what_all_would_cost_is_told_where_the_first_are_refused_not_where_somebody_interrupts(
    error: BaseException, rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    billing, events = Billing(checkpoint, error=error), list[Event]()
    with pytest.raises(type(error)):
        collect(billing, rows, teacher, Store(tmp_path), report=events.append)
    told = any("Warning" in event.note for event in events)
    assert (billing.looked_at > 0) == told == isinstance(error, OutsideError)
