"""The student that writes, in torch: a Marian transformer with tokens of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

from stillroom.core import seeds
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Ids
from stillroom.students._writers import TextNetwork

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.students.seq2seq import Seq2seq

END, UNKNOWN, PADDING = "</s>", "<unk>", "<pad>"
_TEXTS = 200_000  # texts that tokens are made of, at most
_SEVERAL = 2  # how often a piece has to stand there


@final
class SourceAndTarget(nn.Module):
    """A Marian transformer that is handed a source and, behind it, the target that it is to write."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    @property
    def size(self) -> int:
        """How many tokens there are: ids from there on are of the target, and are so much less in its own count."""
        return int(self.inner.config.vocab_size)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch written vocabulary"]:
        """Logits of each token of the target, given those before it."""
        return self.both(ids, mask)[0]

    def both(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch written vocabulary"], Int[Tensor, "batch written"]]:
        """Those logits, and the target, −1 past its end."""
        source, reads, target, writes = self.split(ids, mask)
        start = torch.full_like(target[:, :1], self.inner.config.decoder_start_token_id)
        before = torch.cat([start, target[:, :-1]], dim=1).masked_fill(
            torch.cat([~torch.ones_like(writes[:, :1]), ~writes[:, :-1]], dim=1), self.inner.config.pad_token_id
        )
        logits: Tensor = self.inner(input_ids=source, attention_mask=reads.long(), decoder_input_ids=before).logits
        # Padding is never written; where it is the last of all tokens, nothing moves its vector from zero.
        padding = self.inner.config.pad_token_id
        if padding == self.size - 1:
            return logits[..., :-1], target.masked_fill(~writes, -1)
        never = torch.arange(self.size, device=logits.device) == padding
        return logits.masked_fill(never, -torch.inf), target.masked_fill(~writes, -1)

    def split(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Source and target, each with its mask."""
        written = mask & (ids >= self.size)
        read = mask & ~written
        longest = max(1, int(read.sum(dim=1).max()))
        source = ids[:, :longest].masked_fill(~read[:, :longest], self.inner.config.pad_token_id)
        lengths = written.sum(dim=1)
        steps = torch.arange(max(1, int(lengths.max())), device=ids.device)
        writes = steps < lengths[:, None]
        places = (read.sum(dim=1)[:, None] + steps).clamp(max=ids.shape[1] - 1)
        target = (ids.gather(1, places) - self.size).clamp(min=0)
        return source, read[:, :longest], target, writes


@final
class Seq2seqNetwork(TextNetwork):
    """A student that writes, with its tokenizer."""

    def __init__(self, inner: Any, tokenizer: str, *, longest: int) -> None:
        self.module = SourceAndTarget(inner)
        self.tokenizer, self.longest = tokenizer, longest
        self._end = int(inner.config.eos_token_id)
        self.encoder = Tokens(special=True, max_tokens=longest, unknown=self._end)
        self._encode = self.encoder.read(tokenizer)
        self._decoder = Tokenizer.from_str(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, its end among them, cut at the longest input."""
        return self._encode(texts)

    def encode_target(self, texts: Sequence[str], *, read: Sequence[Ids]) -> list[Ids]:
        """The ids of what is to be written, each behind the vocabulary, so that they are told from what is read."""
        return [(one + self.module.size).astype(np.int32) for one in self._encode(texts)]

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Logits of the tokens of the target, and the target."""
        logits, written = self.module.both(ids, mask)
        return {"sequence": logits, "written": written}

    def generate(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], *, texts: Sequence[str] = ()
    ) -> list[str]:
        """What it writes, the most probable token at each step; of a text without a token nothing."""
        source, reads, _, _ = self.module.split(ids, mask)
        empty = (reads.sum(dim=1) == 1) & (source[:, 0] == self._end)
        with torch.inference_mode():
            found = self.module.inner.generate(
                input_ids=source, attention_mask=reads.long(), num_beams=1, do_sample=False,
                max_new_tokens=self.longest,
            )  # fmt: skip
        return [
            "" if nothing else self._decoder.decode(one.tolist(), skip_special_tokens=True)
            for one, nothing in zip(found, empty.tolist(), strict=True)
        ]

    def strata(self) -> list[list[nn.Parameter]]:
        """The decoder, the encoder, the tokens' vectors."""
        body = self.module.inner.model
        shared = list(body.shared.parameters())
        held = {id(one) for one in shared}
        parts = ([one for one in part.parameters() if id(one) not in held] for part in (body.decoder, body.encoder))
        return [*parts, shared]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """AdamW over what is trained."""
        trained = [weight for weight in self.module.parameters() if weight.requires_grad]
        return [torch.optim.AdamW(trained, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)]

    def flops(self, ids: Ids) -> float:
        """Two a weight and token that is read or written, as many being written as are read; attention left out."""
        config = self.module.inner.config
        square, forward = config.d_model**2, 2 * config.d_model * config.encoder_ffn_dim
        reading = config.encoder_layers * (4 * square + forward)
        writing = config.decoder_layers * (8 * square + forward) + config.d_model * config.vocab_size
        tokens = int(np.count_nonzero(ids < self.module.size))
        return float(2 * tokens * (reading + writing))

    def save(self, folder: Path) -> None:
        """Write a folder that `transformers` loads too, and the tokenizer."""
        self.module.inner.save_pretrained(folder, safe_serialization=True)
        (folder / TOKENIZER).write_text(self.tokenizer, encoding="utf-8")


def fresh(settings: Seq2seq, tokenizer: Tokenizer, *, seed: int) -> Seq2seqNetwork:
    """A student before its first step, with tokens of which the last one is none."""
    from transformers import MarianConfig, MarianMTModel

    size = tokenizer.get_vocab_size()
    config = MarianConfig(
        vocab_size=size,
        d_model=settings.width,
        encoder_layers=settings.encoder_layers,
        decoder_layers=settings.decoder_layers,
        encoder_attention_heads=settings.heads,
        decoder_attention_heads=settings.heads,
        encoder_ffn_dim=settings.feed_forward,
        decoder_ffn_dim=settings.feed_forward,
        dropout=settings.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=max(512, 2 * settings.longest + 32),
        pad_token_id=size - 1,
        eos_token_id=tokenizer.encode("").ids[-1],
        bos_token_id=None,
        decoder_start_token_id=size - 1,
        forced_eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "students/seq2seq/weights"))
        inner = MarianMTModel(config)
        # A vector is scaled by the root of its width before it is read, see `scale_embedding`.
        nn.init.normal_(inner.model.shared.weight, std=settings.width**-0.5)
    with torch.no_grad():
        inner.model.shared.weight[size - 1] = 0.0
    inner.generation_config.bad_words_ids = [[size - 1]]
    return Seq2seqNetwork(inner, str(tokenizer.to_str()), longest=settings.longest)


def made(texts: Iterator[str], *, size: int) -> Tokenizer:
    """Tokens made of texts: pairs merged by how often they stand together, on top of every byte."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(replacement="▁", prepend_scheme="first")]
    )
    bytes_ = [f"<0x{one:02X}>" for one in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        special_tokens=[END, UNKNOWN, *bytes_],
        min_frequency=_SEVERAL,
        limit_alphabet=max(16, size // 8),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(texts, _TEXTS), trainer)
    told = json.loads(tokenizer.to_str())
    # The trainer takes them in as special tokens, which are left out where a text is put together again.
    told["added_tokens"] = [one for one in told["added_tokens"] if one["content"] not in bytes_]
    tokenizer = Tokenizer.from_str(json.dumps(told))
    plain = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([PADDING])
    if tokenizer.token_to_id(PADDING) != plain:
        raise AssertionError("what is no token stands last, where it can be left out")
    return _ended(tokenizer, END)


def taken(written: str) -> Tokenizer:
    """A teacher's tokens, each by its own id; what is no token stands last, behind them where they had none there.

    Of what its teacher reads around a text only the end is left: who writes it needs no more.
    """
    tokenizer = Tokenizer.from_str(written)
    end, size = tokenizer.encode("").tokens[-1], tokenizer.get_vocab_size()
    if tokenizer.id_to_token(size - 1) != PADDING:
        name = PADDING if tokenizer.token_to_id(PADDING) is None else f"{PADDING}{PADDING}"
        tokenizer.add_special_tokens([name])
    return _ended(tokenizer, end)


def _ended(tokenizer: Tokenizer, end: str) -> Tokenizer:
    """With this token behind each text, and no other around it."""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
    )
    return tokenizer


def reopen(folder: Path) -> Seq2seqNetwork:
    """The student in a folder."""
    from transformers import MarianMTModel

    inner = MarianMTModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    longest = (int(inner.config.max_position_embeddings) - 32) // 2
    return Seq2seqNetwork(inner.eval(), (folder / TOKENIZER).read_text(encoding="utf-8"), longest=longest)
