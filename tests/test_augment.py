"""Texts that are made: refused near held-out rows, sifted by what the teacher says, counted, and made again alike."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stillroom import augment, corpus, fitness, minhash, pipeline, sketches, transfer
from stillroom.augmentations import Original
from stillroom.augmentations.masking import Masking
from stillroom.augmentations.ngram_sampling import NgramSampling
from stillroom.core import artifact, recipe, seeds, signals
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import InputError, MismatchError, MissingExtra, RecipeError
from stillroom.corpora.table import Table
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, TAGGER, sentences, write_csv
from tests.test_transfer import Counting

TASK = Classification(labels=LABELS)
NOTHING: Any = None


def own_rng(seed: int, text: str) -> np.random.Generator:
    """The generator that a row of the first rule gets."""
    return seeds.generator(seed, f"transfer/masking/0/{artifact.text_id(text)}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("augment"))


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
    loaded: Any, rows: corpus.Corpus, teacher: Artifact, store: Store, *rules: Any, wanted: Any = frozenset({"logits"})
) -> transfer_set.TransferSet:
    chosen = recipe.Transfer(shard_rows=50, precision="fp32", augment=rules)
    return transfer.collect(loaded, teacher=teacher, parts=(rows.train, rows.unlabelled, rows.dev), task=TASK,
                            settings=chosen, seed=1, store=store, held_out=(rows.test, rows.outside),
                            wanted=wanted)  # fmt: skip


def made(said: transfer_set.TransferSet) -> dict[str, np.ndarray[Any, Any]]:
    return {
        text: answer
        for shard in said.shards()
        for text, part, answer in zip(
            shard["text"].to_pylist(), shard["part"].to_pylist(), signals.answers(shard), strict=True
        )
        if part not in ("train", "dev", "unlabelled")
    }


def probabilities(logits: Any) -> Any:
    odds = np.exp(np.stack(logits).astype(np.float64))
    return odds / odds.sum(axis=1, keepdims=True)


def test_a_text_near_a_held_out_row_is_refused_and_counted(
    checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    """Planted: a training row is far enough from a test row, and no longer when either of two words is dropped."""
    seen = "this is a rather long sentence about a film which goes on for quite some time and then ends all of a sudden"
    row = seen.replace("about", "preposterously about").replace("ends", "ends unexpectedly")

    def likeness(text: str) -> float:
        return minhash.jaccard(*(minhash.shingles(minhash.normalised(one)) for one in (text, seen)))

    leaks = [row.replace("preposterously ", ""), row.replace("unexpectedly ", "")]
    assert likeness(row) < 0.8 < min(map(likeness, leaks))
    train = write_csv(tmp_path / "train.csv", [(row, "positive"), *((f"{one} word", "negative") for one in "abcde")])
    dev = write_csv(tmp_path / "dev.csv", [("something else", "negative"), ("a joy", "positive")])
    test = write_csv(tmp_path / "test.csv", [(f" {seen.upper()}", "positive")])
    source = Table(train=str(train), dev=str(dev), test=str(test))
    planted = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
    assert row in set(planted.train.texts())
    counting = Counting(checkpoint)
    said = collect(counting, planted, teacher, Store(tmp_path / "work"), Masking(per_row=80, share=0.01, token=""))
    (told,) = said.artifact.manifest["facts"]["augment"]
    drawn = list(Masking(per_row=80, share=0.01, token="").open(NOTHING)(Original(row), own_rng(1, row)))
    assert set(leaks) <= set(drawn)
    assert sum(told["dropped"]["held out"].values()) >= sum(one in leaks for one in drawn)
    made_ = set(counting.asked) - set(planted.train.texts())
    assert any(len(text) > 50 for text in made_)
    assert max(map(likeness, made_)) < 0.8


def test_what_is_made_is_no_more_and_no_less_than_what_is_told(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    counting = Counting(checkpoint)
    said = collect(counting, rows, teacher, Store(tmp_path), Masking(per_row=2), NgramSampling(per_row=3))
    told = said.artifact.manifest["facts"]["augment"]
    assert [one["kind"] for one in told] == ["masking", "ngram_sampling"]
    assert all(set(one["kept"]) <= set(LABELS) for one in told)
    kept = sum(sum(one["kept"].values()) for one in told)
    assert kept == len(made(said)) == said.rows - rows.train.count - rows.dev.count
    every = sum(told[0]["kept"].values()) + sum(sum(one.values()) for one in told[0]["dropped"].values())
    assert every == 2 * rows.train.count
    assert len(counting.asked) == len(set(counting.asked)) == said.rows


def test_filters_drop_what_they_say_and_nothing_else(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    plain = made(collect(checkpoint, rows, teacher, Store(tmp_path / "a"), Masking(per_row=3, share=0.4)))
    bound = float(np.median(probabilities(list(plain.values())).max(axis=1)))
    rule = Masking(per_row=3, share=0.4, min_confidence=bound, agreement=True)
    counting = Counting(checkpoint)
    said = collect(counting, rows, teacher, Store(tmp_path / "b"), rule)
    sifted = made(said)
    assert set(sifted) < set(plain)
    assert (probabilities(list(sifted.values())).max(axis=1) > bound - 2e-3).all()
    unsure = sum(said.artifact.manifest["facts"]["augment"][0]["dropped"]["unsure"].values())
    assert unsure == pytest.approx(len(plain) / 2, rel=0.1)
    ledger = said.artifact.circumstances["ledger"]
    assert ledger["texts"] == len(counting.asked) > said.rows, "what was dropped was asked and is paid for"


def test_agreement_is_with_the_row_it_was_made_of() -> None:
    sides = np.array([[3.0, 0.0], [0.0, 3.0]])
    answers = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.1, 0.0]])
    parts = augment.Made(
        Masking(agreement=True, min_confidence=0.6), 0, {}, [0, 0, 1, 0], {"repeated": [1], "held out": []}
    )
    keep, counts = parts.keep(answers, sources=sides.argmax(axis=1))
    assert keep.tolist() == [True, False, False, False]
    assert counts["kept"] == {"0": 1}
    assert counts["dropped"] == {
        "repeated": {"1": 1},
        "held out": {},
        "unsure": {"0": 1},
        "disagrees": {"0": 1, "1": 1},
    }
    by_label, _ = augment.Made(Masking(agreement=True), 0, {}, [0, 1], {}).keep(
        np.array([1, 1]), sources=np.array([0, 1])
    )
    assert by_label.tolist() == [False, True]


@pytest.mark.slow
def test_a_killed_run_ends_where_an_unbroken_one_does(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    rules = (Masking(per_row=2, agreement=True), NgramSampling(per_row=2))
    whole = collect(checkpoint, rows, teacher, Store(tmp_path / "a"), *rules)
    for stop in (120, 260):
        with pytest.raises(KeyboardInterrupt):
            collect(Counting(checkpoint, stop_after=stop), rows, teacher, Store(tmp_path / "b"), *rules)
    again = collect(checkpoint, rows, teacher, Store(tmp_path / "b"), *rules)
    assert again.artifact.digest == whole.artifact.digest
    assert not [path for path in again.artifact.folder.rglob("*") if "sketch" in path.name or "bands" in path.name]


def test_insides_are_sifted_with_the_texts(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    wanted = frozenset({"logits", "embedding", "hidden.1"})
    plain = collect(checkpoint, rows, teacher, Store(tmp_path / "a"), Masking(share=0.4), wanted=wanted)
    bound = float(np.median(probabilities(list(made(plain).values())).max(axis=1)))
    sifted = collect(
        checkpoint, rows, teacher, Store(tmp_path / "b"), Masking(share=0.4, min_confidence=bound), wanted=wanted
    )

    def insides(said: transfer_set.TransferSet) -> dict[str, Any]:
        from safetensors.numpy import load_file

        found = {}
        for path in sorted(said.artifact.folder.glob("shard-train-*-made-*.parquet")):
            tensors = load_file(path.with_suffix(".safetensors"))
            ends = np.cumsum(tensors["tokens"])
            for place, text in enumerate(pq.read_table(path)["text"].to_pylist()):
                hidden = tensors["hidden.1"][ends[place] - tensors["tokens"][place] : ends[place]]
                found[text] = (tensors["embedding"][place], hidden)
        return found

    every, left = insides(plain), insides(sifted)
    assert 0 < len(left) < len(every)
    for text, pair in left.items():
        for one, other in zip(pair, every[text], strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3)


def test_where_there_are_no_training_rows_the_unlabelled_ones_are_used(
    checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    rows = sentences()
    more = write_csv(tmp_path / "more.csv", [(text, "") for text, _ in rows[:60]])
    dev, test = (write_csv(tmp_path / f"{n}.csv", rows[at : at + 20]) for n, at in (("dev", 100), ("test", 300)))
    source = Table(unlabelled=str(more), dev=str(dev), test=str(test))
    found = corpus.load(source, task=TASK, store=Store(tmp_path))
    assert made(collect(checkpoint, found, teacher, Store(tmp_path), NgramSampling()))


def test_another_rule_is_another_transfer_set_but_test_rows_are_asked_once(
    rows: corpus.Corpus, checkpoint: Checkpoint, teacher: Artifact, tmp_path: Path
) -> None:
    def held(*rules: Any) -> str:
        chosen = recipe.Transfer(shard_rows=50, precision="fp32", augment=rules)
        said = transfer.collect(checkpoint, teacher=teacher, parts=(rows.test,), task=TASK, settings=chosen, seed=1,
                                store=Store(tmp_path))  # fmt: skip
        return said.artifact.key

    assert held() == held(Masking())
    keys = {collect(checkpoint, rows, teacher, Store(tmp_path), *rule).artifact.key
            for rule in ((), (Masking(),), (Masking(share=0.2),))}  # fmt: skip
    assert len(keys) == 3


def test_sketches_agree_with_true_sets(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    held = ["".join(rng.choice(list("abcdefgh "), size=120)) for _ in range(300)]
    found = sketches.Sketches(tmp_path, [held[:100], held[100:]], rows=300)
    assert found.near(held).all()
    assert found.near([f" {one.upper()} " for one in held[:5]]).all()
    assert not found.near(["".join(rng.choice(list("abcdefgh "), size=120)) for _ in range(300)]).any()
    for replaced, expected in ((4, True), (40, False)):  # characters of 120, at the end
        others = [one[: 120 - replaced] + "z" * replaced for one in held]
        true = [minhash.jaccard(*(minhash.shingles(minhash.normalised(t)) for t in pair))
                for pair in zip(held, others, strict=True)]  # fmt: skip
        assert (min(true) > 0.85) if expected else (max(true) < 0.7)
        assert (found.near(others) == expected).mean() > 0.99
    assert not sketches.Sketches(tmp_path / "none", [], rows=0).near(["x"]).any()


def ids(count: int, *, seed: int) -> list[str]:
    return [artifact.text_id(f"{seed} {number}") for number in range(count)]


def test_a_known_id_is_never_taken_for_a_new_one() -> None:
    known, some = augment.Known(5000), ids(5000, seed=0)
    assert sum(known.is_new(one) for one in some) > 4990
    assert not any(known.is_new(one) for one in some)


@pytest.mark.parametrize("count", [1, 300, 20_000])
def test_a_new_id_is_taken_for_known_once_in_a_thousand_however_many_there_are(count: int) -> None:
    """When all that were expected have come; each stranger is asked of a filter that has seen no other."""
    known = augment.Known(count)
    for one in ids(count, seed=1):
        known.is_new(one)
    full, wrong = bytes(known._seen), 0
    for one in ids(20_000, seed=2):
        wrong += not known.is_new(one)
        known._seen[:] = full
    assert 0 <= wrong / 20_000 < 0.002
    assert len(full) <= 2 * count + 8
    assert count == 1 or wrong > 0, "else it would be larger than it has to be"


def test_what_is_known_has_room_for_every_row_and_every_text(rows: corpus.Corpus, tmp_path: Path) -> None:
    """A filter that is too small takes new texts for known, and they are counted as repeated."""
    made = {}
    for per_row in (1, 500):
        rule = Masking(per_row=per_row)
        shop = augment.Workshop((rule,), loaded=NOTHING, parts=(rows.train, rows.dev), held_out=(rows.test,), seed=1,
                                folder=tmp_path / str(per_row))  # fmt: skip
        made[per_row] = 8 * len(shop._known._seen)
    held = rows.train.count + rows.dev.count + rows.test.count
    assert made[1] == pytest.approx(14.4 * (held + rows.train.count), abs=9)
    assert made[500] == pytest.approx(14.4 * (held + 500 * rows.train.count), abs=9)


def test_more_rows_than_can_be_sketched_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="16,777,217 rows"):
        sketches.Sketches(tmp_path, [], rows=(1 << 24) + 1)
    assert not list(tmp_path.iterdir())


def test_every_problem_of_every_rule_is_told_by_key(toy: dict[str, Any]) -> None:
    toy["transfer"]["augment"] = [
        {"kind": "masking", "shar": 0.1},
        {"kind": "maskin"},
        {"kind": "masking", "per_row": 0},
    ]
    toy["transfer"]["shard_row"] = 3
    with pytest.raises(RecipeError) as caught:
        recipe.parse(toy)
    where = sorted(problem.where.removeprefix("recipe: ") for problem in caught.value.problems)
    assert where == ["transfer.augment[0].shar", "transfer.augment[1].kind", "transfer.augment[2].per_row",
                     "transfer.shard_row"]  # fmt: skip


def test_what_can_not_be_made_or_sifted_is_refused_up_front(toy: dict[str, Any], tmp_path: Path) -> None:
    said = tmp_path / "said.jsonl"
    said.write_text(json.dumps({"text": "x", "label": "positive"}), encoding="utf-8")
    toy["teacher"] = {"kind": "recorded", "outputs": str(said)}
    toy["student"] = {"kind": "bag"}
    toy["transfer"]["augment"] = [{"kind": "back_off", "min_confidence": 0.5}]
    with pytest.raises(MismatchError) as caught:
        fitness.check(recipe.parse(toy))
    assert [one.where for one in caught.value.problems] == [
        "transfer.augment[0]", "transfer.augment[0]", "transfer.augment[0].min_confidence"
    ]  # fmt: skip


def test_what_a_rule_needs_to_be_installed_is_told_before_anything_starts(
    toy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy["transfer"]["augment"] = [{"kind": "masking"}, {"kind": "same_pos_swap", "tagger": TAGGER}]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "spacy" else found(name, *rest)
    )
    with pytest.raises(MissingExtra, match=r"transfer.augment\[1\]: .*`spacy`.*stillroom\[spacy\]"):
        fitness.equipped(recipe.parse(toy), stages=pipeline.STAGES)


def test_files_that_are_not_there_are_told_before_a_teacher_is_fitted(toy: dict[str, Any], tmp_path: Path) -> None:
    toy["transfer"]["augment"] = [
        {"kind": "back_off", "vectors": str(tmp_path / "absent.txt")},
        {"kind": "same_pos_swap", "tagger": "nowhere"},
    ]
    with pytest.raises(InputError) as caught:
        pipeline.run(recipe.parse(toy), work=tmp_path / "work")
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_the_journey_with_made_texts(toy: dict[str, Any], masked_folder: Path, tmp_path: Path) -> None:
    toy["transfer"]["augment"] = [
        {"kind": "same_pos_swap", "tagger": TAGGER, "agreement": True},
        {"kind": "back_off"},
        {"kind": "masked_lm", "model": str(masked_folder)},
    ]
    toy["teacher"]["epochs"] = toy["student"]["epochs"] = 1
    built = recipe.parse(toy)
    assert recipe.parse(built.resolved()) == built
    run = pipeline.run(built, work=tmp_path / "work", until="train")
    facts = run.artifacts["transfer"].manifest["facts"]
    assert all(sum(one["kept"].values()) > 0 for one in facts["augment"])
    assert run.artifacts["train"].manifest["facts"]["rows"] > facts["parts"]["train"]
