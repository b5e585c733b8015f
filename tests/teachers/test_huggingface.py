"""A checkpoint as `transformers` saves it: it answers as there, and its labels are held by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from stillroom.core.errors import MismatchError
from tests.conftest import LABELS, sentences
from tests.teachers.conftest import configure, opened, prepared, refusal

TEXTS = [text for text, _ in sentences()[::17]] + ["warm", "a much longer sentence " * 40]


def test_answers_what_transformers_answers(classifier_folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    said, tokens = opened(classifier_folder).ask(TEXTS, precision="fp32", tokens_per_batch=200)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(classifier_folder / "tokenizer.json"))
    network = AutoModelForSequenceClassification.from_pretrained(classifier_folder).eval()
    expected, read = [], 0
    with torch.inference_mode():
        for text in TEXTS:
            ids = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")["input_ids"]
            read += ids.shape[1]
            expected.append(network(input_ids=ids).logits[0].numpy())
    np.testing.assert_allclose(said["logits"], np.stack(expected), atol=1e-5)
    assert tokens == read


def test_a_batch_changes_no_answer(classifier_folder: Path) -> None:
    loaded = opened(classifier_folder)
    together = loaded.ask(TEXTS, precision="fp32", tokens_per_batch=4096)[0]["logits"]
    alone = loaded.ask(TEXTS, precision="fp32", tokens_per_batch=1)[0]["logits"]
    np.testing.assert_allclose(together, alone, atol=1e-5)


# --- labels, by name ----------------------------------------------------------------------------------------------


def test_labels_in_another_order_are_refused_by_name(copy: Path, tmp_path: Path) -> None:
    configure(copy, id2label={"0": "positive", "1": "negative"}, label2id={"positive": 0, "negative": 1})
    said = refusal(MismatchError, lambda: prepared(copy, tmp_path))
    assert "another order: positive, negative" in said
    assert not list((tmp_path / "draft").iterdir())


def test_other_labels_are_refused(copy: Path, tmp_path: Path) -> None:
    configure(copy, id2label={"0": "bad", "1": "good"}, label2id={"bad": 0, "good": 1})
    assert "bad, good" in refusal(MismatchError, lambda: prepared(copy, tmp_path))


def test_outputs_without_names_get_those_of_the_recipe_and_only_then(copy: Path, tmp_path: Path) -> None:
    configure(copy, id2label={"0": "LABEL_0", "1": "LABEL_1"}, label2id={"LABEL_0": 0, "LABEL_1": 1})
    assert "`labels = [...]`" in refusal(MismatchError, lambda: prepared(copy, tmp_path))
    assert opened(copy, labels=LABELS).identify().labels == LABELS
    assert "another order" in refusal(MismatchError, lambda: prepared(copy, tmp_path, labels=LABELS[::-1]))
    assert "three" in refusal(MismatchError, lambda: prepared(copy, tmp_path, labels=(*LABELS, "three")))


def test_stated_labels_may_not_contradict_the_checkpoint(classifier_folder: Path, tmp_path: Path) -> None:
    said = refusal(MismatchError, lambda: prepared(classifier_folder, tmp_path, labels=LABELS[::-1]))
    assert "teacher.labels" in said


# --- how long a text may be ---------------------------------------------------------------------------------------


def test_positions_that_begin_behind_the_padding_are_not_counted(classifier_folder: Path, tmp_path: Path) -> None:
    """RoBERTa with n positions reads n − 2 tokens; a longer text would leave its table."""
    import torch
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=34,
        id2label=dict(enumerate(LABELS)),
        label2id={name: place for place, name in enumerate(LABELS)},
    )
    torch.manual_seed(0)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path / "roberta")
    shutil.copyfile(classifier_folder / "tokenizer.json", tmp_path / "roberta" / "tokenizer.json")
    loaded = opened(tmp_path / "roberta")
    said, tokens = loaded.ask(["great " * 100, "great"], precision="fp32", tokens_per_batch=4096)
    assert tokens > 32
    assert np.isfinite(said["logits"]).all()
    np.testing.assert_allclose(
        said["logits"][1:], loaded.ask(["great"], precision="fp32", tokens_per_batch=64)[0]["logits"], atol=1e-5
    )
