"""A teacher that writes, fitted here to pairs of texts: what it learns, its candidates, and its floor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillroom import corpus, loop, teach, transfer
from stillroom.core import batches, plugins, recipe
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import MismatchError
from stillroom.corpora.table import Table
from stillroom.tasks.text_to_text import TextToText
from stillroom.teachers import _writing
from stillroom.teachers.finetuned import FineTuned
from tests.conftest import sentences

TASK = TextToText(goal="summary", shortest_ratio=0)
SMALL: dict[str, Any] = {"batch_size": 16, "learning_rates": (3e-3,), "patience": 9, "freeze_embeddings": False}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    """A sentence, and its last three words: a label's word is one of those that are left out."""
    return wanted(tmp_path_factory.mktemp("writing"), slice(-3, None))


def wanted(folder: Path, words: slice) -> corpus.Corpus:
    """Sentences of which people want some words."""
    told = [{"text": text, "label": [" ".join(text.split()[words]), "or something else"]} for text, _ in sentences()]
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(one) for one in told), encoding="utf-8")
    source = Table(labelled=str(folder / "rows.jsonl"), dev_share=0.1, test_share=0.1)
    return corpus.load(source, task=TASK, store=Store(folder / "work"))


def fitted(encoder: Path, rows: corpus.Corpus, work: Path, **settings: Any) -> tuple[FineTuned, Artifact]:
    teacher = FineTuned(base=str(encoder), **{**SMALL, **settings})
    found = teach.prepare(teacher, task=TASK, corpus=rows.learnable, fit=loop.fit, seed=3, store=Store(work))
    return teacher, found


@pytest.fixture(scope="module")
def learned(
    encoder_folder: Path, rows: corpus.Corpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FineTuned, Artifact]:
    return fitted(encoder_folder, rows, tmp_path_factory.mktemp("learned"), epochs=14)


@pytest.mark.slow
def test_it_learns_to_write_what_people_wrote(
    learned: tuple[FineTuned, Artifact], rows: corpus.Corpus, encoder_folder: Path
) -> None:
    teacher, found = learned
    facts = found.manifest["facts"]
    assert facts["dev_rouge1"] > 75 > facts["floor_dev_rouge1"]
    assert "warning" not in facts
    loaded = teacher.open(found.folder, task=TASK)
    texts = rows.test.table(["text"])["text"].to_pylist()
    said, tokens = loaded.ask(texts, precision="fp32", tokens_per_batch=256)
    assert (
        np.mean([one == " ".join(text.split()[-3:]) for one, text in zip(said["sequence"], texts, strict=True)]) > 0.3
    )
    assert tokens == sum(len(one) for one in loaded._network.encode(texts))
    assert loaded.identify().answers == "sequence"
    with pytest.raises(MismatchError, match="shows no network"):
        loaded.network()


@pytest.mark.slow
def test_what_is_fitted_writes_as_much_as_people_did(
    learned: tuple[FineTuned, Artifact], rows: corpus.Corpus, encoder_folder: Path
) -> None:
    told = json.loads((learned[1].folder / "generation_config.json").read_text(encoding="utf-8"))
    assert told["max_new_tokens"] == 4, "three words, and the end"


@pytest.mark.slow
def test_another_number_of_texts_is_the_same_network_asked_otherwise(
    encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path
) -> None:
    """Nothing is fitted anew for it, and what was asked of one is never taken for what the other would say."""
    said = []
    for count in (1, 2):
        teacher, found = fitted(encoder_folder, rows, tmp_path, epochs=1, candidates=count)
        loaded = teach.Opened(teacher, found, task=TASK)
        asked = transfer.collect(loaded, teacher=found, parts=(rows.dev,), task=TASK, settings=recipe.Transfer(),
                                 seed=3, store=Store(tmp_path), asking=teacher.asking)  # fmt: skip
        said.append((found, asked.artifact, loaded.identify().weights))
    one, two = said
    assert one[0].folder == two[0].folder
    assert one[1].key != two[1].key
    assert one[2] != two[2]


@pytest.mark.slow
def test_what_is_learned_of_it_is_not_what_it_is(encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path) -> None:
    stricter = TASK.model_copy(update={"most_copied": 0.5, "least_score": -1.0})
    teacher, found = fitted(encoder_folder, rows, tmp_path, epochs=1)
    asked = {"corpus": rows.learnable, "fit": loop.fit, "store": Store(tmp_path)}
    assert teach.prepare(teacher, task=stricter, seed=3, **asked).folder == found.folder
    other = TASK.model_copy(update={"goal": "translation"})
    assert teach.prepare(teacher, task=other, seed=3, **asked).folder != found.folder


def test_several_texts_of_who_writes_none_are_refused(
    encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path
) -> None:
    teacher: Any = FineTuned(base=str(encoder_folder), candidates=2)
    task: Any = plugins.build("tasks", {"kind": "classification", "labels": ("no", "yes")})
    asked = {"corpus": rows.learnable, "fit": loop.fit, "seed": 1, "report": print}
    with pytest.raises(MismatchError, match=r"teacher\.candidates"):
        teacher.prepare(Draft(tmp_path), task=task, **asked)


@pytest.mark.slow
def test_a_beam_gives_several_the_best_first(learned: tuple[FineTuned, Artifact], rows: corpus.Corpus) -> None:
    teacher, found = learned
    several = teacher.model_copy(update={"candidates": 3}).open(found.folder, task=TASK)
    texts = rows.test.table(["text"])["text"].to_pylist()[:6]
    said, _ = several.ask(texts, precision="fp32", tokens_per_batch=64)
    for best, some in zip(said["sequence"], said["candidates"], strict=True):
        scores = [score for _, score in some]
        assert 1 < len(some) <= 3
        assert len({text for text, _ in some}) == len(some)
        assert best == some[0][0]
        assert scores == sorted(scores, reverse=True)
        assert all(score <= 0 for score in scores), "means of log-probabilities"
    assert several.identify().weights != teacher.open(found.folder, task=TASK).identify().weights
    alone, _ = several.ask(texts[:1], precision="fp32", tokens_per_batch=64)
    assert alone["sequence"][0] == said["sequence"][0], "whoever stands beside it"


@pytest.mark.slow
def test_one_that_learned_nothing_says_so(encoder_folder: Path, tmp_path: Path) -> None:
    """Where people want the beginning, to have learned nothing is to be worse than that."""
    known = wanted(tmp_path, slice(None, 3))
    facts = fitted(encoder_folder, known, tmp_path, epochs=1, learning_rates=(1e-7,))[1].manifest["facts"]
    assert "does not beat the beginning of the source" in facts["warning"]


class TestNetwork:
    def network(self, base: Path) -> _writing.WritingNetwork:
        found = _writing.fresh(base, task=TASK, seed=3, max_tokens=32, longest=5)
        found.module.eval()
        return found

    def test_the_decoder_knows_the_tokens_of_its_base(self, encoder_folder: Path) -> None:
        network = self.network(encoder_folder)
        tables = [one.get_input_embeddings().weight for one in (network.module.inner.get_encoder(),
                                                                network.module.inner.decoder)]  # fmt: skip
        torch.testing.assert_close(*tables)
        again = self.network(encoder_folder)
        for one, other in zip(network.module.parameters(), again.module.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)

    def test_what_is_written_ends_and_does_not_hold_its_start(self, encoder_folder: Path) -> None:
        network = self.network(encoder_folder)
        (read,) = network.encode(["the film was great"])
        (target,) = network.encode_target(["the film was great"], read=[read])
        assert (target - network.module.size).tolist() == read[1:].tolist()

    def test_it_writes_no_more_than_the_longest_that_it_learned_from(
        self, encoder_folder: Path, tmp_path: Path
    ) -> None:
        network = self.network(encoder_folder)
        read = network.encode(["the film was great"] * 2)
        taught = TASK.form.taught(network, ["the film was great"] * 2, ["great", "we found it dull"])[0]
        assert network.longest_of(taught) == 5, "its end among them"
        padded = [torch.from_numpy(one) for one in batches.pad(read[:1])]
        (said,) = network.generate(*padded)
        assert len(network.encode([said])[0]) - 2 <= 5
        network.save(tmp_path)
        told = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
        assert told["max_new_tokens"] == 5

    def test_how_a_base_is_used_to_write_does_not_count(self, encoder_folder: Path, tmp_path: Path) -> None:
        """Summarizers come with a taste for length and against repetition; scores would be no probabilities."""
        plain, other = self.network(encoder_folder), self.network(encoder_folder)
        other.module.inner.generation_config.update(num_beams=3, length_penalty=2.0, no_repeat_ngram_size=1)
        other.save(tmp_path)
        again = self.network(tmp_path)
        padded = [torch.from_numpy(one) for one in batches.pad(plain.encode(["the film was great"]))]
        assert again.candidates(*padded, count=3) == plain.candidates(*padded, count=3)
        assert other.candidates(*padded, count=3) != plain.candidates(*padded, count=3)

    def test_padding_is_never_written_and_neighbours_do_not_count(self, encoder_folder: Path) -> None:
        network = self.network(encoder_folder)
        network.module.eval()
        texts, targets = ["the film was great", "we found it dull in every scene"], ["great", "dull scene today"]
        ids = TASK.form.taught(network, texts, targets)[0]
        with torch.inference_mode():
            both, alone = (network.tell(*(torch.from_numpy(one) for one in batches.pad(some)), frozenset())
                           for some in (ids, ids[:1]))  # fmt: skip
        assert torch.isinf(both["sequence"][..., 0]).all()
        assert not torch.isinf(both["sequence"][..., 1:]).any()
        steps = alone["written"].shape[1]
        torch.testing.assert_close(both["sequence"][:1, :steps], alone["sequence"], atol=1e-5, rtol=1e-5)
        assert both["written"][0, steps:].eq(-1).all()

    def test_strata_hold_every_weight_once(self, encoder_folder: Path) -> None:
        network = self.network(encoder_folder)
        held = [id(weight) for stratum in network.strata() for weight in stratum]
        assert len(held) == len(set(held))
        assert set(held) == {id(weight) for weight in network.module.parameters()}
        assert len(network.strata()) == 3 + 2, "three layers, what is above them and what is below"

    def test_the_tables_of_both_sides_can_be_left_as_they_are(self, encoder_folder: Path) -> None:
        network = self.network(encoder_folder)
        inner = network.module.inner
        tables = {id(one) for one in network.token_tables()}
        assert tables == {id(one.get_input_embeddings().weight) for one in (inner.get_encoder(), inner.decoder)}
        assert id(inner.decoder.get_output_embeddings().weight) in tables

    def test_a_base_that_writes_already_is_taken_as_it_is(self, tmp_path: Path) -> None:
        student = plugins.build("students", {"kind": "seq2seq", "width": 16, "heads": 2, "feed_forward": 32,
                                             "vocabulary": 400})  # fmt: skip
        texts = [row.text for row in TASK.toy()]
        student.begin(task=TASK, studied=Path(), texts=iter(texts), seed=1).save(tmp_path)
        network = self.network(tmp_path)
        assert network.module.inner.config.model_type == "marian"
        assert len(network.generate(*(torch.from_numpy(one) for one in batches.pad(network.encode(texts[:2]))))) == 2
        (target,) = network.encode_target([texts[0]], read=network.encode([texts[0]]))
        assert (target - network.module.size).tolist() == network.encode([texts[0]])[0].tolist()
