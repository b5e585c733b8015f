"""A language model in one GGUF file, as many small ones are handed around, read as weights of torch."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from stillroom.core import artifact
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MissingExtra, Problem, missing_extra
from stillroom.core.progress import Report
from stillroom.tasks import Task
from stillroom.teachers import Desk, LoadedTeacher, Teacher, _pretrained, _speaking
from stillroom.teachers._fitting import Fit

if TYPE_CHECKING:
    from stillroom.corpus import Learnable

_WHERE = "teacher.model"


@final
class Gguf(Teacher):
    """A language model in a GGUF file, its rounded weights read as numbers of torch.

    A server that runs such a file is quicker, and tells of few tokens how probable they are; this one tells of all.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"causal"})

    kind: Literal["gguf"] = "gguf"
    model: str
    """The file's folder: a path, a hub name, or `package:<import name>/<folder>`; of a package itself, no folder."""
    file: str
    """The file's name."""
    revision: str | None = None
    """The revision, for a hub name."""
    start: str = ""
    """The token that texts begin with; none: what the file names for it."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    price_per_million_texts: float = 0.0
    """What asking it costs, where somebody bills for that; otherwise it is measured."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What reads the file."""
        return ("gguf",)

    @property
    def signals(self) -> frozenset[str]:
        """How probable tokens are."""
        return frozenset({"token_logprobs"})

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of the file."""
        return {"model": artifact.file_sha256(self._folder() / self.file)}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Note where it is and what it is; its weights stay where they are."""
        told = {"model": self.model, "file": self.file, "digest": artifact.file_sha256(self._folder() / self.file)}
        artifact.write_json(draft.folder / "teacher.json", told)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The model."""
        where = self._folder()
        network, tokenizer = load(where, self.file)
        tokenizer = _speaking.begun(tokenizer, network, start=self.start, where="teacher")
        return _speaking.LanguageModel(
            network, tokenizer, name=self.file, weights=artifact.file_sha256(where / self.file), licence=self.licence,
            price=self.price_per_million_texts, task=task,
        )  # fmt: skip

    def _folder(self) -> Path:
        return _pretrained.locate(self.model, revision=self.revision, where=_WHERE, holds=self.file)


def load(folder: Path, file: str) -> tuple[Any, str]:
    """The network in such a file in fp32, and the tokenizer as the `tokenizers` library writes it.

    Raises:
        InputError: it can't be read, or weights are missing.
        MissingExtra: nothing here reads it.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise missing_extra("train", package="transformers", needed_by=_WHERE) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    here: dict[str, Any] = {"gguf_file": file, "local_files_only": True, "trust_remote_code": False}
    try:
        read: Any = AutoModelForCausalLM.from_pretrained
        # How far it has read a file the library tells whether it is asked or not.
        with contextlib.redirect_stderr(io.StringIO()), _parsed_once():
            tokenizer = AutoTokenizer.from_pretrained(folder, **here)
            network, found = read(folder, dtype=torch.float32, output_loading_info=True, **here)
    except ImportError as error:
        told = f"no package that reads it ({' '.join(str(error).split())[:200]})"
        raise MissingExtra(Problem(_WHERE, told, "the package `gguf`", "Install it: pip install gguf")) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file raises whatever its reader stumbles on
        told = " ".join(str(error).split())[:200]
        todo = "Check the file, or take the model in safetensors with the teacher `huggingface`."
        raise InputError(Problem(_WHERE, told, "a language model in GGUF", todo)) from error
    if found["missing_keys"]:
        told = f"no weights for {', '.join(sorted(found['missing_keys'])[:3])}"
        raise InputError(Problem(_WHERE, told, "every weight that its config asks for", "Take another file."))
    # Its weights are plain numbers now, and can be saved as such: the library thinks of them as rounded still.
    network.hf_quantizer = None
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    return network.eval(), str(tokenizer.backend_tokenizer.to_str())


@contextlib.contextmanager
def _parsed_once() -> Iterator[None]:
    """Meanwhile a file is parsed once, and not for its tokenizer, config and weights each, and names are mapped once.

    Both take seconds, and `transformers.modeling_gguf_pytorch_utils` does the latter for each module of a network.
    """
    try:
        import gguf
    except ImportError:  # which the library says in its own words
        yield
        return
    slow = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    vars(gguf).update({name: functools.cache(one) for name, one in slow.items()})
    try:
        yield
    finally:
        vars(gguf).update(slow)
