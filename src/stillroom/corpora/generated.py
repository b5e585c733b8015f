"""Texts that a language model on this machine writes when it is asked to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

from pydantic import Field

from stillroom.core import artifact, seeds
from stillroom.core.errors import InputError, MissingExtra, Problem, missing_extra
from stillroom.core.progress import Meter, Report
from stillroom.corpora import cache_folder
from stillroom.corpora._made import Made
from stillroom.tasks import Task
from stillroom.teachers import _pretrained

_WHERE = "corpus.model"
_PATIENCE = 4  # so many times the texts wanted are sampled at most
_COUNTED = ("sampled", "empty", "short", "unreadable", "repeated", "kept")
_LABEL, _TOPIC = "{label}", "{topic}"


@final
class Generated(Made):
    """Texts sampled from a causal language model: prompts in turn, nucleus sampling (Holtzman et al. 1904.09751).

    What it writes has no label, whatever it was asked for: the teacher says. Batches are kept in the user's cache by
    model and settings, so that a killed run goes on where it stopped. Empty, short, unreadable and repeated texts are
    dropped and counted, and others written in their place.
    """

    kind: Literal["generated"] = "generated"
    model: str
    """A folder, a hub name, or `package:<import name>/<folder>`: weights in safetensors, never code of its own."""
    revision: str | None = None
    """The revision, for a hub name."""
    gguf_file: str | None = None
    """The name of a GGUF file in that folder to read instead (it needs the package `gguf`)."""
    prompts: tuple[str, ...] = Field(('A short text that is "{label}":\n',), min_length=1)
    """What it goes on from. `{label}` stands for each label of the task in turn, `{topic}` for each of `topics`."""
    topics: tuple[str, ...] = ()
    """What `{topic}` stands for."""
    chat: bool | None = None
    """Whether prompts go into the model's chat template; none: where it has one."""
    keep_prompt: bool = False
    """Whether a text begins with its prompt, or with what was written after it."""
    stop: tuple[str, ...] = ("\n",)
    """Where a text ends, besides the model's own end and `max_tokens`."""
    count: int = Field(5_000, ge=1)
    """Texts wanted; four times as many are sampled at most."""
    temperature: float = Field(1.0, gt=0)
    """Below 1 the probable words become more so."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Words are drawn from the most probable ones that have this share together."""
    max_tokens: int = Field(64, ge=1)
    """What is written at most after a prompt."""
    min_words: int = Field(3, ge=1)
    """A text of fewer is dropped."""
    batch_size: int = Field(32, ge=1)
    """Texts that are written at a time, all after one prompt: what a killed run loses at most."""
    near_twins: Literal["keep", "drop"] = "drop"
    """Whether a text that is nearly one before it in its split stays; both are counted."""

    def made_with(self) -> dict[str, str]:
        """The digest of the model's folder or file."""
        folder = self.folder()
        if self.gguf_file is not None:
            return {"model": artifact.file_sha256(folder / self.gguf_file)}
        return {"model": _pretrained.folder_digest(folder)}

    def prepare(self, task: Task, *, report: Report) -> None:
        """Write the texts, batch by batch."""
        meter = Meter(report, stage="texts", total=self.count, unit="texts")
        counts: Counter[str] = Counter()
        for batch in self._batches(task, counts):
            meter.advance(len(batch), sampled=f"{counts['sampled']:,}")
        if counts["kept"] < self.count:
            meter.note(f"{counts['kept']:,} of {self.count:,} texts: the others were dropped, see the corpus's report")

    def account(self, task: Task) -> dict[str, Any]:
        """How many were sampled, what was dropped and why, and how many were kept."""
        counts: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
        for _ in self._batches(task, counts):
            pass
        return {"wanted": self.count, **counts}

    def texts(self, task: Task) -> Iterator[tuple[str, str]]:
        """What was kept, in the order in which it was written."""
        for batch in self._batches(task, Counter()):
            yield from batch

    def _batches(self, task: Task, counts: Counter[str]) -> Iterator[list[tuple[str, str]]]:
        """What is kept of each batch, with its places, until it is enough; `counts` tells of all that was sampled."""
        seen: set[str] = set()
        prompts = self._filled(task)
        writer = _Writer(self, prompts)
        for number in range(-(-self.count * _PATIENCE // self.batch_size)):
            kept = []
            for text in writer.batch(number)[: self.count * _PATIENCE - counts["sampled"]]:
                if counts["kept"] == self.count:
                    break
                counts["sampled"] += 1
                fault = self._fault(text) or ("repeated" if text in seen else "")
                counts[fault or "kept"] += 1
                if not fault:
                    seen.add(text)
                    kept.append((text, f"text {counts['sampled']} after prompt {number % len(prompts) + 1}"))
            yield kept
            if counts["kept"] == self.count:
                return

    def _fault(self, text: str) -> str:
        if not text:
            return "empty"
        if "\0" in text or "\ufffd" in text:
            return "unreadable"
        return "short" if len(text.split()) < self.min_words else ""

    def _filled(self, task: Task) -> list[str]:
        """The prompts, each as often as there are labels and topics that it asks for."""
        filled = []
        for prompt in self.prompts:
            labels = task.outputs if _LABEL in prompt else ("",)
            topics = self.topics if _TOPIC in prompt else ("",)
            if not topics:
                found, todo = f"`{_TOPIC}` in a prompt, and no topics", "Add `topics = [...]`, or take it out."
                raise InputError(Problem("corpus.prompts", found, "topics to put there", todo))
            filled += [prompt.replace(_LABEL, label).replace(_TOPIC, topic) for label in labels for topic in topics]
        return filled

    def folder(self) -> Path:
        """Where the model is."""
        holds = self.gguf_file or "config.json"
        return _pretrained.locate(self.model, revision=self.revision, where=_WHERE, holds=holds)

    def cut(self, written: str, *, prompt: str) -> str:
        """The text in what was written after a prompt."""
        text = written.strip()
        for end in self.stop:
            text = text.partition(end)[0]
        text = f"{prompt}{text}" if self.keep_prompt else text
        return text.strip().removesuffix("\ufffd")  # the half of a character that `max_tokens` cut through


@final
class _Writer:
    """Writes batches, each by chance of its own, or reads them where they were written before."""

    def __init__(self, settings: Generated, prompts: Sequence[str]) -> None:
        self._settings, self._prompts = settings, prompts
        named = ("chat", "keep_prompt", "stop", "temperature", "top_p", "max_tokens", "batch_size", "seed")
        told = {name: getattr(settings, name) for name in named}
        key = artifact.key_of("generated", {**told, "prompts": list(prompts)}, settings.made_with())
        self._kept_in = cache_folder() / "generated" / key

    def batch(self, number: int) -> list[str]:
        """The texts of a batch."""
        path = self._kept_in / f"{number:05d}.json"
        try:
            found: list[str] = json.loads(path.read_text(encoding="utf-8"))["texts"]
        except (OSError, ValueError, KeyError, TypeError):
            found = self._write(number)
            artifact.write_json(path, {"texts": found})
        return found

    def _write(self, number: int) -> list[str]:
        import torch

        settings, prompt = self._settings, self._prompts[number % len(self._prompts)]
        network, tokenizer = self._model
        ids = self._read(prompt)
        longest = getattr(network.config, "max_position_embeddings", None)
        if longest is not None and len(ids) + settings.max_tokens > longest:
            found_ = f"a prompt of {len(ids)} tokens and {settings.max_tokens} behind it"
            todo = "Shorten the prompt, or lower `max_tokens`."
            raise InputError(Problem("corpus.prompts", found_, f"{longest} tokens at most, as the model has", todo))
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seeds.derive(settings.seed, f"corpora/generated/{number}"))
            together = torch.tensor([ids] * settings.batch_size)
            written = network.generate(input_ids=together, attention_mask=torch.ones_like(together))
        ends = set(network.generation_config.eos_token_id or [])
        found = []
        for row in written[:, len(ids) :].tolist():
            end = next((place for place, token in enumerate(row) if token in ends), len(row))
            text = tokenizer.decode(row[:end], skip_special_tokens=True)
            found.append(settings.cut(text, prompt=prompt))
        return found

    def _read(self, prompt: str) -> list[int]:
        """The tokens of a prompt: in the chat template, or as they are; where there are none, the one that begins."""
        network, tokenizer = self._model
        if self._settings.chat or (self._settings.chat is None and tokenizer.chat_template is not None):
            asked = [{"role": "user", "content": prompt}]
            prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
            return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
        begins = tokenizer.bos_token_id
        ends = network.generation_config.eos_token_id or [0]
        return list(tokenizer(prompt)["input_ids"]) or [ends[0] if begins is None else begins]

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        """The network and its tokenizer, loaded when the first batch has to be written."""
        return _load(self._settings)


def _load(settings: Generated) -> tuple[Any, Any]:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
        from transformers.utils import logging
    except ImportError as error:
        raise missing_extra("train", package="transformers", needed_by=_WHERE) from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = settings.folder()
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    quantized: dict[str, Any] = {"gguf_file": settings.gguf_file} if settings.gguf_file else {}
    form = quantized or {"use_safetensors": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **here, **quantized)
        read: Any = AutoModelForCausalLM.from_pretrained
        network, found = read(folder, dtype=torch.float32, output_loading_info=True, **here, **form)
    except ImportError as error:
        told = f"no package that reads it ({' '.join(str(error).split())[:200]})"
        todo = "Install it: pip install gguf" if quantized else "Install what is named there."
        raise MissingExtra(Problem(_WHERE, told, "all that this model is read with", todo)) from error
    except Exception as error:  # a damaged file raises whatever its reader stumbles on
        told, todo = " ".join(str(error).split())[:200], "Save it again as safetensors, without code of its own."
        raise InputError(Problem(_WHERE, told, "a causal language model without code of its own", todo)) from error
    if found["missing_keys"]:
        told = f"no weights for {', '.join(sorted(found['missing_keys'])[:3])}"
        todo = "Take a checkpoint that still has its language head."
        raise InputError(Problem(_WHERE, told, "every weight that its config asks for", todo))
    ends = network.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
    # A configuration of its own: whatever else the checkpoint's asks for would change what is drawn unsaid.
    network.generation_config = GenerationConfig(
        do_sample=True, temperature=settings.temperature, top_p=settings.top_p, top_k=0,
        max_new_tokens=settings.max_tokens, use_cache=True,
        eos_token_id=ends or None, pad_token_id=ends[0] if ends else 0,
    )  # fmt: skip
    return network.eval(), tokenizer
