"""A causal language model that is asked about texts: how probable their tokens are, and how it would go on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, batches, objects, seeds, signals, token_bytes
from stillroom.core.errors import InputError, Problem
from stillroom.core.words import Words
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Inside
from stillroom.teachers import Identity, Precision, _pretrained

if TYPE_CHECKING:
    from torch import Tensor

    from stillroom.shapes.causal import Causal
    from stillroom.students import Ids
    from stillroom.tasks import Task

# How many more tokens are gone on with together than are read: a step in writing is as dear for many as for few. 24
# abstracts on one thread, in CPU-seconds: 1,024 tokens 27.9, 4,096 19.6, 8,192 24.0 (the longest holds up the others).
_MORE_WRITTEN = 4


@final
class LanguageModel:
    """A causal language model in torch, in fp32 and, where the CPU computes in it, in bf16."""

    def __init__(
        self, network: Any, tokenizer: str, *, name: str, weights: str, licence: str, price: float, task: Task
    ) -> None:
        from tokenizers import Tokenizer
        from transformers import GenerationConfig

        # What its makers like in a chat would fill in whatever is not asked for: odds are to be the model's own.
        network.generation_config = GenerationConfig()
        self._form, self._outputs, self._tokenizer = cast("Causal", task.form), len(task.outputs), tokenizer
        self._identity = Identity(
            name=name,
            weights=weights,
            tokenizer=artifact.sha256(tokenizer.encode()),
            labels=task.outputs,
            licence=licence,
            price_per_million_texts=price,
            answers=self._form.answer,
        )
        self._networks: dict[Precision, Any] = {"fp32": network}
        # It writes only where that is learned from, and then keeps room for it.
        self._writes = self._form.further if self._form.learns == "written" else 0
        room = int(network.config.max_position_embeddings) - self._writes
        self._encoder = Tokens(special=True, max_tokens=max(2, room))
        self._read = self._encoder.read_each(tokenizer)
        self._spell = Tokenizer.from_str(tokenizer)
        self._sizes = _sizes(tokenizer, outputs=len(network.get_input_embeddings().weight))

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Fp32, and bf16 where the CPU has instructions for it."""
        return ("fp32", "bf16") if _pretrained.cpu_computes_in_bf16() else ("fp32",)

    @property
    def layers(self) -> int:
        """Its layers, of which a student may keep some; what goes on inside them it does not tell."""
        return int(self.network().config.num_hidden_layers)

    def identify(self) -> Identity:
        """Who it is."""
        return self._identity

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """How probable each token is, also of what it writes itself, and how many tokens it read."""
        import torch

        network = self._in(precision)
        ids, words = self._read(texts)
        written = [np.zeros(0, dtype=np.int32)] * len(ids)
        with torch.inference_mode():
            if self._writes:
                written = go_on(network, ids, ends=ends_of(network, self._spell), most=self._writes,
                                temperature=self._form.temperature,
                                tokens_per_batch=_MORE_WRITTEN * tokens_per_batch)  # fmt: skip
                ids = [np.concatenate(both) for both in zip(ids, written, strict=True)]
                words = _longer(words, written, self._sizes)
            sheet = self._form.sheet(len(ids), outputs=self._outputs, words=words)
            for rows in batches.by_tokens([len(one) for one in ids], budget=tokens_per_batch):
                padded, mask = (torch.from_numpy(one) for one in batches.pad([ids[row] for row in rows]))
                logits = network(input_ids=padded, attention_mask=None if bool(mask.all()) else mask.long()).logits
                sheet.put(rows, self._form.table(logits, padded, mask))
        wrote = np.array([len(one) for one in written], dtype=np.int64)
        told = objects.array([self._spell.decode(one.tolist(), skip_special_tokens=True) for one in written])
        return self._form.said(replace(sheet.outputs, wrote=wrote, texts=told)), sum(len(one) for one in ids)

    def network(self) -> Any:
        """The model in fp32."""
        return self._networks["fp32"]

    def inside(self) -> Inside:
        """The model, to be looked into."""
        return inside(self.network(), self._tokenizer, self._encoder)

    def tokenizer_json(self) -> str:
        """Its tokenizer, with the token that each text begins with."""
        return self._tokenizer

    def _in(self, precision: Precision) -> Any:
        if precision not in self._networks:
            import torch

            self._networks[precision] = copy.deepcopy(self.network()).to(torch.bfloat16)
        return self._networks[precision]


def inside(network: Any, tokenizer: str, encoder: Tokens) -> Inside:
    """A model, to be looked into: logarithms of probabilities, which say the same whatever is added to its logits.

    The token that says nothing is the one that every text begins with.
    """
    import torch

    begins = encoder.trace(tokenizer)("").ids[0]
    table = network.get_input_embeddings()

    def answer(ids: Tensor, mask: Tensor) -> Tensor:
        logits = network(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
        return torch.log_softmax(logits, dim=-1)

    with torch.no_grad():
        blank = table(torch.tensor(begins))
    return Inside(answer, table, encoder.trace_each(tokenizer), blank)


def go_on(
    network: Any,
    ids: Sequence[Ids],
    *,
    ends: Sequence[int],
    most: int,
    temperature: float,
    tokens_per_batch: int,
    seed: int = 0,
) -> list[Ids]:
    """What a model writes behind each text, so many tokens at most, its end among them.

    Chance is seeded by the texts that are gone on with together: the same ones have the same written behind them.
    """
    import torch
    from transformers import GenerationConfig

    chance = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    asked = GenerationConfig(max_new_tokens=most, eos_token_id=list(ends), pad_token_id=ends[0], **chance)
    network.generation_config = GenerationConfig()  # or its makers' own would fill in what is not asked for
    found: list[Ids] = [np.zeros(0, dtype=np.int32)] * len(ids)
    for rows in batches.by_tokens([len(one) + most for one in ids], budget=tokens_per_batch):
        padded, mask = batches.pad([ids[row][::-1] for row in rows])
        with torch.random.fork_rng(devices=[]):
            told = artifact.sha256(b" ".join(ids[row].tobytes() for row in rows))
            torch.manual_seed(seeds.derive(seed, f"teachers/written/{told}"))
            # Padded on the left, so that all go on from the same place.
            both = [torch.from_numpy(one[:, ::-1].copy()) for one in (padded, mask)]
            written = network.generate(input_ids=both[0], attention_mask=both[1].long(), generation_config=asked)
        for row, line in zip(rows, written[:, padded.shape[1] :].tolist(), strict=True):
            end = next((place + 1 for place, token in enumerate(line) if token in ends), len(line))
            found[row] = np.array(line[:end], dtype=np.int32)
    return found


def begun(tokenizer: str, network: Any, *, start: str, where: str) -> str:
    """A tokenizer that begins each text with one token: `start`, or what the model's config names for it.

    Raises:
        InputError: it has no such token.
    """
    from tokenizers import Tokenizer, processors

    found = Tokenizer.from_str(tokenizer)
    found.no_padding()
    found.no_truncation()
    named = next((one for one in (network.config.bos_token_id, network.config.eos_token_id) if one is not None), None)
    start = start or ("" if named is None else str(found.id_to_token(named)))
    at = found.token_to_id(start)
    if at is None:
        told = f"no token `{start}`" if start else "a model that names no token for the beginning of a text"
        raise InputError(Problem(f"{where}.start", told, "a token that each text begins with", "Name one of its own."))
    found.post_processor = processors.TemplateProcessing(single=f"{start} $A", special_tokens=[(start, at)])
    return str(found.to_str())


def ends_of(network: Any, tokenizer: Any) -> list[int]:
    """The tokens that a text ends with: those that its config names, and the one that another would begin with."""
    named = network.config.eos_token_id
    own = [] if named is None else [named] if isinstance(named, int) else list(named)
    return list(dict.fromkeys([*own, *tokenizer.encode("").ids]))


def _sizes(tokenizer: str, *, outputs: int) -> NDArray[np.int64]:
    """How many bytes each token of a model adds to what it writes."""
    silent = token_bytes.silent(tokenizer)
    spelled = token_bytes.spelled(tokenizer)
    found = np.zeros(max(outputs, len(spelled)), dtype=np.int64)
    found[: len(spelled)] = [0 if one is None or place in silent else len(one) for place, one in enumerate(spelled)]
    return found


def _longer(words: Words, written: Sequence[Ids], sizes: NDArray[np.int64]) -> Words:
    """Tokens with those that were written behind them, and the bytes where they would stand."""
    tokens, places = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.int32)]
    for row, more in enumerate(written):
        own = words.take(np.array([row]))
        end = own.places[-1, 1] if len(own.places) else 0
        tokens.append(np.arange(len(own.tokens) + len(more)))
        ends = end + np.cumsum([0, *sizes[more]])
        places += [own.places, np.stack([ends[:-1], ends[1:]], axis=1).astype(np.int32)]
    counts = words.counts + np.array([len(one) for one in written], dtype=np.int64)
    return Words(np.concatenate(tokens), np.concatenate(places), counts)
