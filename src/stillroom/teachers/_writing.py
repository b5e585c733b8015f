"""Teachers that write and are fitted here: an encoder under a decoder, to pairs of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, batches, objects, scored, seeds, signals
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students._writers import TextNetwork
from stillroom.tasks import Task
from stillroom.teachers import Closed, Identity, Precision, _candidates, _pretrained

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Int
    from torch import Tensor, nn

    from stillroom.shapes.decoder import Decoder
    from stillroom.students import Ids

_DECODER_LAYERS = 2  # of a fresh one: it runs once a token, and pairs are few
_LONGEST_WRITTEN = 128
_SCORED_AT_ONCE = 2048  # tokens, of each that is written logits over a whole vocabulary
_ENDS = ("decoder_start_token_id", "forced_bos_token_id", "bos_token_id", "eos_token_id", "forced_eos_token_id",
         "pad_token_id", "bad_words_ids")  # fmt: skip


@final
class WritingNetwork(TextNetwork):
    """A network that reads a text and writes another, with the tokenizer of its base on both sides."""

    def __init__(self, inner: Any, tokenizer: str, *, longest: int) -> None:
        from tokenizers import Tokenizer

        from stillroom.students.seq2seq.network import SourceAndTarget

        self.module = SourceAndTarget(inner)
        self.tokenizer = tokenizer
        self.encoder = Tokens(special=True, max_tokens=longest, unknown=int(inner.config.eos_token_id))
        self._encode = self.encoder.read(tokenizer)
        self._target = Tokens(special=True, max_tokens=_LONGEST_WRITTEN).read(tokenizer)
        self._whole = Tokens(special=True).read(tokenizer)
        self._decoder = Tokenizer.from_str(tokenizer)

    def longest_of(self, ids: Sequence[Ids]) -> int:
        """How many tokens the longest text has that is to be written behind what is read."""
        return max((int((one >= self.module.size).sum()) for one in ids), default=0)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, as its base reads them."""
        return self._encode(texts)

    def encode_target(self, texts: Sequence[str], *, read: Sequence[Ids]) -> list[Ids]:
        """The ids of what is to be written, without the one that it starts with, each behind the vocabulary."""
        return self._behind(self._target(texts))

    def _behind(self, ids: Sequence[Ids]) -> list[Ids]:
        start = self.module.inner.config.decoder_start_token_id
        own = [one[1:] if one[0] == start else one for one in ids]
        return [(one + self.module.size).astype(np.int32) for one in own]

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Logits of the tokens of the target, and the target."""
        logits, written = self.module.both(ids, mask)
        return {"sequence": logits, "written": written}

    def generate(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], *, texts: Sequence[str] = ()
    ) -> list[str]:
        """What it writes, the most probable token at each step."""
        return [one[0][0] for one in self.candidates(ids, mask, count=1)]

    def candidates(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], *, count: int
    ) -> list[_candidates.Candidates]:
        """What it would write, by a beam of so many, with the mean log-probability of its tokens."""
        import torch

        source, reads, _, _ = self.module.split(ids, mask)
        with torch.inference_mode():
            found = self.module.inner.generate(
                input_ids=source, attention_mask=reads.long(), num_beams=count, num_return_sequences=count,
                do_sample=False, output_scores=count > 1, return_dict_in_generate=True,
            )  # fmt: skip
        texts = self._decoder.decode_batch(found.sequences.tolist(), skip_special_tokens=True)
        scores = found.sequences_scores.tolist() if count > 1 else [0.0] * len(texts)
        return [_candidates.ranked(texts[at : at + count], scores[at : at + count])
                for at in range(0, len(texts), count)]  # fmt: skip

    def lines(self, read: Sequence[Ids], texts: Sequence[str], *, likeliest: int) -> list[NDArray[np.float32]]:
        """What it says of each token of texts, given what is read and the tokens before it (`core.scored`).

        They are the tokens of the text as anybody reads it, its end among them, not those that it came upon in writing.
        """
        import torch

        targets = self._behind(self._whole(texts))
        found: list[NDArray[np.float32]] = [np.zeros((0, 0), np.float32)] * len(texts)
        lengths = [len(own) + len(its) for own, its in zip(read, targets, strict=True)]
        for rows in batches.by_tokens(lengths, budget=_SCORED_AT_ONCE):
            padded, mask = batches.pad([np.concatenate([read[row], targets[row]]) for row in rows])
            with torch.inference_mode():
                logits, written = self.module.both(torch.from_numpy(padded), torch.from_numpy(mask))
            kept = min(likeliest, int(torch.isfinite(logits[0, 0]).sum()))
            for row, own, said in zip(rows.tolist(), written, logits, strict=True):
                there = own >= 0
                found[row] = scored.of_logits(said[there].float().numpy(), own[there].numpy(), kept=kept)
        return found

    def strata(self) -> list[list[nn.Parameter]]:
        """The decoder, the encoder's layers from the last to the first, what stands below them."""
        from torch.nn import ModuleList

        encoder = self.module.inner.get_encoder()
        layers: list[nn.Module] = next((list(one) for one in encoder.modules() if isinstance(one, ModuleList)), [])
        found = [list(layer.parameters()) for layer in reversed(layers)]
        held = {id(weight) for stratum in found for weight in stratum}
        below = [weight for weight in encoder.parameters() if id(weight) not in held]
        held |= {id(weight) for weight in below}
        above = [weight for weight in self.module.parameters() if id(weight) not in held]
        return [above, *found, below]

    def token_tables(self) -> list[nn.Parameter]:
        """The vectors of its tokens, on either side; what writes shares the decoder's."""
        from torch.nn import Embedding

        size = self.module.size
        tables = [one for one in self.module.modules() if isinstance(one, Embedding) and one.num_embeddings == size]
        return [weight for one in tables for weight in one.parameters()]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """AdamW over what is trained."""
        import torch

        trained = [weight for weight in self.module.parameters() if weight.requires_grad]
        return [torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.01, fused=True)]

    def flops(self, ids: Ids) -> float:
        """Two a weight and token that is read."""
        return 2.0 * len(ids) * sum(weight.numel() for weight in self.module.parameters())

    def save(self, folder: Path) -> None:
        """Write a folder that `transformers` loads too, and the tokenizer."""
        self.module.inner.save_pretrained(folder, safe_serialization=True)
        (folder / TOKENIZER).write_text(self.tokenizer, encoding="utf-8")


def fresh(base: Path, *, task: Task, seed: int, max_tokens: int, longest: int) -> WritingNetwork:
    """A base that reads and writes as it is; over one that only reads, a decoder by chance that knows its tokens.

    It writes at most so many tokens as the `longest` text has that it learns from (0: it has learned from none yet).
    Of how its base is used to write nothing stays but which tokens begin and end a text, and which are no part of one.
    """
    import torch
    from transformers import AutoConfig, GenerationConfig

    tokenizer = _plain(base)
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "teachers/finetuned/decoder"))
        if config.is_encoder_decoder:
            inner = _pretrained.load_network(base, form=task.form)
        else:
            inner = _under_a_decoder(_pretrained.Encoder(base).network(), tokenizer)
    ends = {name: getattr(inner.generation_config, name) for name in _ENDS}
    inner.generation_config = GenerationConfig(**ends, max_new_tokens=longest or _LONGEST_WRITTEN)
    return WritingNetwork(inner, tokenizer, longest=max_tokens)


def _under_a_decoder(encoder: Any, tokenizer: str) -> Any:
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertLMHeadModel, EncoderDecoderModel

    own = encoder.config
    around = Tokenizer.from_str(tokenizer).encode("", add_special_tokens=True).ids
    start, end, padding = around[0], around[-1], int(own.pad_token_id or 0)
    config = BertConfig(
        vocab_size=own.vocab_size,
        hidden_size=own.hidden_size,
        num_hidden_layers=_DECODER_LAYERS,
        num_attention_heads=own.num_attention_heads,
        intermediate_size=own.intermediate_size,
        max_position_embeddings=2 * _LONGEST_WRITTEN,
        is_decoder=True,
        add_cross_attention=True,
        pad_token_id=padding,
    )
    writer: Any = BertLMHeadModel(config)
    writer.get_input_embeddings().weight.data.copy_(encoder.get_input_embeddings().weight.data)
    inner = EncoderDecoderModel(encoder=encoder, decoder=writer)
    for told in (inner.config, inner.generation_config):
        told.decoder_start_token_id, told.eos_token_id, told.pad_token_id = start, end, padding
    inner.config.vocab_size = own.vocab_size  # which a config of two has in its parts alone
    return inner


def _plain(folder: Path) -> str:
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(_pretrained.tokenizer_file(folder)))
    found.no_padding()
    found.no_truncation()
    return str(found.to_str())


@final
class Writer(Closed):
    """A network that was fitted to pairs, asked for one text, or for several by a beam of so many."""

    whose: ClassVar[str] = "a teacher that writes"
    # Its network can't be seen, but its tokens can: a student that reads them hears more of it.

    def __init__(self, folder: Path, *, name: str, task: Task, licence: str, candidates: int, max_tokens: int) -> None:
        self._folder, self._name, self._task, self._licence = folder, name, task, licence
        self._form = cast("Decoder", task.form)
        self._count, self._longest = candidates, max_tokens

    @cached_property
    def _network(self) -> WritingNetwork:
        inner = _pretrained.load_network(self._folder, form=self._task.form)
        return WritingNetwork(inner.eval(), _plain(self._folder), longest=self._longest)

    def tokenizer_json(self) -> str:
        """Its tokenizer."""
        return _plain(self._folder)

    def identify(self) -> Identity:
        """Who it is, and how many texts it is asked for."""
        weights = _pretrained.folder_digest(self._folder)
        digest = weights if self._count == 1 else artifact.sha256(f"{weights} {self._count}".encode())
        tokenizer = artifact.sha256(self.tokenizer_json().encode())
        return Identity(self._name, digest, tokenizer, self._task.outputs, self._licence, answers="sequence")

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What it writes for each text, of its tokens how probable they are where that is wanted, and tokens read."""
        import torch

        ids = self._network.encode(texts)
        found: list[_candidates.Candidates] = [()] * len(texts)
        for rows in batches.by_tokens([len(one) for one in ids], budget=tokens_per_batch):
            padded, mask = (torch.from_numpy(one) for one in batches.pad([ids[row] for row in rows]))
            for row, one in zip(rows.tolist(), self._network.candidates(padded, mask, count=self._count), strict=True):
                found[row] = one
        said: dict[str, NDArray[Any]] = {"sequence": objects.array([one[0][0] for one in found])}
        if self._count > 1:
            said[signals.CANDIDATES] = objects.array(found)
        if wanted & self._form.on_request:
            flat = [(own, text) for own, some in zip(ids, found, strict=True) for text, _ in some]
            lines = iter(self._network.lines([own for own, _ in flat], [text for _, text in flat],
                                             likeliest=self._form.likeliest))  # fmt: skip
            said["token_logprobs"] = objects.array([tuple(next(lines) for _ in some) for some in found])
        return said, sum(len(one) for one in ids)
