"""The student that picks sentences, in torch: a vector a sentence, how it stands, and a score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import normalize

from stillroom.core import sentences
from stillroom.runtime import salience
from stillroom.runtime.encoders.sentences import Sentences
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.runners.extractive import FILE
from stillroom.students import Ids, _optimizers
from stillroom.students._readers import Rows, Tables
from stillroom.students._vocabulary import ENCODER
from stillroom.students._writers import TextNetwork

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.students.extractive import Extractive

_START = 10.0  # what closeness counts at first: a cosine is a small number


@final
class Salient(nn.Module):
    """A score for each sentence of a text: what it says, how it stands there, and how near it is to the middle."""

    def __init__(self, tables: Tables | Rows, direction: Tensor, standing: Tensor) -> None:
        super().__init__()
        self.tables = tables
        self.direction, self.standing = nn.Parameter(direction), nn.Parameter(standing)

    @property
    def stop(self) -> int:
        """The id that closes a sentence: the first that is no token's."""
        return self.tables.size

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch sentences"]:
        """Scores, −∞ where a text has no further sentence. What stands behind the source is not looked at."""
        ends = mask & (ids == self.stop)
        counts = ends.sum(dim=1)
        words = mask & (ids < self.stop)
        there = torch.arange(int(counts.max()), device=ids.device) < counts[:, None]
        # The number of the sentence that each token is in, of those of all texts, end to end.
        owners = (ends.flatten().cumsum(0) - ends.flatten().long()).view_as(ids)[words]
        tokens = self.tables(ids[words][None], torch.ones_like(owners, dtype=torch.bool)[None])[0]
        sums = tokens.new_zeros(int(counts.sum()), tokens.shape[1]).index_add(0, owners, tokens)
        vectors = normalize(sums, dim=-1)
        texts = there.nonzero()[:, 0]
        middles = normalize(vectors.new_zeros(len(ids), vectors.shape[1]).index_add(0, texts, vectors), dim=-1)
        closeness = (vectors * middles[texts]).sum(dim=-1, keepdim=True)
        lengths = torch.bincount(owners, minlength=len(sums))
        stands = torch.from_numpy(salience.standing(lengths.cpu().numpy(), counts.cpu().numpy())).to(vectors)
        scores = vectors @ self.direction + torch.cat([stands, closeness], dim=1) @ self.standing
        return scores.new_full(there.shape, -torch.inf).masked_scatter(there, scores)

    def both(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch written sentences"], Int[Tensor, "batch written"]]:
        """Scores for each sentence that is to be picked, −∞ for those picked before; and which it is, −1 past them."""
        scores = self(ids, mask)
        written = mask & (ids > self.stop)
        longest = max(1, int(written.sum(dim=1).max()))
        inside = torch.arange(longest, device=ids.device) < written.sum(dim=1)[:, None]
        target = torch.full_like(inside, -1, dtype=torch.long).masked_scatter(inside, ids[written] - self.stop - 1)
        steps = scores[:, None].expand(-1, longest, -1)
        marks = torch.zeros_like(steps, dtype=torch.bool).scatter(2, target.clamp(min=0)[..., None], inside[..., None])
        before = marks.long().cumsum(dim=1) - marks.long() > 0
        return steps.masked_fill(before, -torch.inf), target


@final
class ExtractiveNetwork(TextNetwork):
    """A student that picks sentences, with its tokenizer."""

    def __init__(self, module: Salient, tokenizer: str, *, settings: Extractive) -> None:
        self.module, self.tokenizer, self._settings = module, tokenizer, settings
        self.encoder = Sentences(tokens=ENCODER, size=module.stop, unit=settings.unit)
        self._encode, self._tokens = self.encoder.read(tokenizer), ENCODER.read(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each sentence, each closed by the id behind the last token's."""
        return self._encode(texts)

    def encode_target(self, texts: Sequence[str], *, read: Sequence[Ids]) -> list[Ids]:
        """The places of the sentences that together are nearest to each text, behind all ids that are read."""
        found = []
        for target, ids in zip(self._tokens(texts), read, strict=True):
            pieces = [one[:-1].tolist() for one in np.split(ids, np.flatnonzero(ids == self.module.stop) + 1)[:-1]]
            places = sentences.picked(pieces, target.tolist(), most=self._settings.sentences)
            found.append(np.array(places, dtype=np.int32) + np.int32(self.module.stop + 1))
        return found

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Scores of the sentences at each pick, and the picks."""
        logits, written = self.module.both(ids, mask)
        return {"sequence": logits, "written": written}

    def generate(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], *, texts: Sequence[str]
    ) -> list[str]:
        """The sentences with the highest scores."""
        with torch.inference_mode():
            scores = self.module(ids, mask).float().cpu().numpy()
        counts = np.isfinite(scores).sum(axis=1)
        picks = salience.best(scores[np.isfinite(scores)], counts, most=self._settings.sentences)
        return [sentences.joined(text, own, unit=self._settings.unit) for text, own in zip(texts, picks, strict=True)]

    def strata(self) -> list[list[nn.Parameter]]:
        """What scores a sentence, the tables."""
        return [[self.module.direction, self.module.standing], list(self.module.tables.parameters())]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Sparse Adam for the tables, AdamW for the rest."""
        return _optimizers.sparse_apart(self.module, learning_rate)

    def flops(self, ids: Ids) -> float:
        """An addition a token and dimension, and of each sentence its length, its middle and its score."""
        kept = ids[ids <= self.module.stop]
        stops = int(np.count_nonzero(kept == self.module.stop))
        return float(len(self.module.direction) * (len(kept) + 6 * stops))

    def save(self, folder: Path) -> None:
        """Write one row a token in half precision, what scores a sentence, and the tokenizer."""
        if not isinstance(self.module.tables, Tables):
            raise AssertionError("only a student in training is saved; one that came back is on disk already")
        rows = self.module.tables.folded().to(torch.float16).contiguous()
        told = {"direction": self.module.direction.detach(), "standing": self.module.standing.detach()}
        save_file({"rows": rows, **told}, folder / FILE)
        (folder / TOKENIZER).write_text(self.tokenizer, encoding="utf-8")


def begun(
    settings: Extractive, vectors: NDArray[np.float32], weights: NDArray[np.float32], *, tokenizer: str
) -> ExtractiveNetwork:
    """A student before its first step: of each text it picks what is nearest to the middle."""
    standing = torch.zeros(salience.STANDING + 1)
    standing[salience.CLOSENESS] = _START
    tables = Tables(vectors, weights, dropout=settings.token_dropout)
    tables.scale.requires_grad_(False)  # of no account: a sentence's vector is brought to length one
    module = Salient(tables, torch.zeros(vectors.shape[1]), standing)
    return ExtractiveNetwork(module, tokenizer, settings=settings)


def reopen(settings: Extractive, folder: Path) -> ExtractiveNetwork:
    """The student in a folder."""
    weights = load_file(folder / FILE)
    module = Salient(Rows(weights["rows"].float()), weights["direction"], weights["standing"])
    return ExtractiveNetwork(module, (folder / TOKENIZER).read_text(encoding="utf-8"), settings=settings)


def encoder_of(settings: Extractive, folder: Path) -> Sentences:
    """How the student in a folder reads."""
    return Sentences(tokens=ENCODER, size=len(load_arrays(folder / FILE)["rows"]), unit=settings.unit)
