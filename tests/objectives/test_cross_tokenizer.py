"""A teacher and a student that cut texts otherwise: what is compared, from texts to a loss and its slopes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp

from stillroom.core import batches, objects, plugins, scored
from stillroom.core.names import Names
from stillroom.core.scored import Scored
from stillroom.objectives import Target
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.teachers._fitting import Examples
from tests.core.test_names import ACROSS, over_bytes

TEACHER, STUDENT = over_bytes(["h e", "Ġ t", "Ġt he"]), over_bytes(["t he", "h e", "Ġ a", "a b"], begin="<start>")
SIZES = {TEACHER: 261, STUDENT: 262}
WANTED = frozenset({"logits", "spans"})
KEPT = 5


@dataclass
class Reads:
    """A network of which only is seen how it reads."""

    tokenizer: str
    names: Names
    longest: int | None = None
    ends: list[int] = field(default_factory=lambda: [1])

    def encode(self, texts: Any) -> Any:
        return self.read(texts)[0]

    def read(self, texts: Any) -> Any:
        return Tokens(special=True, max_tokens=self.longest).read_each(self.tokenizer)(texts)


def reads(tokenizer: str = STUDENT, *, longest: int | None = None) -> Reads:
    return Reads(tokenizer, Names.between(tokenizer, TEACHER, size=len(tokens_of(tokenizer))), longest)


def tokens_of(tokenizer: str) -> Any:
    from stillroom.core import token_bytes

    return token_bytes.spelled(tokenizer)


def form(kept: int = KEPT) -> Any:
    return plugins.build("shapes", {"kind": "causal", "likeliest": kept})


def said(texts: list[str], *, kept: int = KEPT, longest: int | None = None, seed: int = 0) -> Scored:
    """What a teacher says by chance."""
    ids, words = Tokens(special=True, max_tokens=longest).read_each(TEACHER)(texts)
    flat = np.concatenate([one[1:] for one in ids]).astype(np.int64)
    table = np.random.default_rng(seed).normal(size=(len(flat), SIZES[TEACHER])) * 3
    values = scored.of_logits(table, flat, kept=kept)
    nothing = np.zeros(len(texts), dtype=np.int64)
    return Scored(values, words.places, words.counts, nothing, objects.array([""] * len(texts)))


@dataclass
class Batch:
    """A batch of all texts, as a fit makes it."""

    shape: Any
    ids: Any
    told: Any
    mask: Any
    words: Any

    def loss(self, logits: Any, kind: str = "cross_tokenizer", **asked: Any) -> Any:
        own, its = self.shape.opposed({"token_logprobs": logits}, {"token_logprobs": self.told}, wanted=WANTED)
        target = Target(its, torch.full(self.mask.shape, -1), self.mask)
        return plugins.build("objectives", {"kind": kind, **asked}).loss(own, target)


def batch(texts: list[str], network: Any = None, *, kept: int = KEPT, longest: int | None = None) -> Batch:
    shape, network = form(kept), network or reads()
    ids, words, retold = shape.taught(network, texts, said(texts, kept=kept, longest=longest))
    found = Examples(ids, np.full(len(words.tokens), -1), shape.aligned(retold, words), words=words, form=shape)
    rows = np.arange(len(texts))
    told = found.batch(rows, length=max(map(len, ids)))
    values = torch.from_numpy(told["token_logprobs"]).double()
    return Batch(shape, batches.pad(ids)[0], values, torch.from_numpy(told["mask"]), words)


def logits(found: Batch, *, seed: int = 5, size: int = 262) -> Any:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(*found.mask.shape, size)) * 2)


TEXTS = ["a the hat", "the abbé", "a", ""]


def test_of_the_same_tokens_it_is_the_ordinary_objective() -> None:
    plain = batch(TEXTS, Reads(TEACHER, Names.plain(SIZES[TEACHER])))
    own = logits(plain, size=SIZES[TEACHER])
    expected = float(plain.loss(own, "forward_kl", temperature=1.0))
    assert float(plain.loss(own)) == pytest.approx(expected, abs=1e-9)
    assert expected > 1
    assert float(plain.loss(own, by="rank")) > 0.1


def test_it_is_zero_where_student_equals_teacher() -> None:
    texts = TEXTS
    plain = batch(texts, Reads(TEACHER, Names.plain(SIZES[TEACHER])))
    flat = np.concatenate([one[1:] for one in Tokens(special=True).read_each(TEACHER)(texts)[0]])
    own = torch.zeros((*plain.mask.shape, SIZES[TEACHER]), dtype=torch.float64)
    own[plain.mask] = torch.from_numpy(np.random.default_rng(0).normal(size=(len(flat), SIZES[TEACHER])) * 3)
    for by in ("spans", "rank"):
        assert abs(float(plain.loss(own, by=by))) < 1e-6


def test_by_hand() -> None:
    """ "a the": the teacher's `a`, ` the`; the student's `a`, ` `, `the`. Two shared places, and a span of two."""
    found, network = batch(["a the"]), reads()
    own = logits(found)
    named = {one: at for at, one in enumerate(tokens_of(STUDENT))}
    its = said(["a the"])
    assert [tokens_of(STUDENT)[one] for one in found.ids[0][1:]] == [b"a", b" ", b"the"]
    assert [tokens_of(TEACHER)[one] for one in its.tokens] == [b"a", b" the"]
    q = log_softmax(own[0].numpy(), axis=-1)
    total = 0.0
    for place, line in zip((0, 1), its.values, strict=True):
        p, q_here, p_rest = [], [], math.exp(line[1 + KEPT])
        for share, one in zip(line[1 : KEPT + 1], line[KEPT + 3 :].astype(int), strict=True):
            mine = 0 if one == 0 else named.get(tokens_of(TEACHER)[one])
            if mine is None:
                p_rest += math.exp(share)
            else:
                p.append(math.exp(share))
                q_here.append(math.exp(q[place, mine]))
        pairs = [*zip(p, q_here, strict=True), (p_rest, 1 - sum(q_here))]
        total += sum(a * math.log(a / b) for a, b in pairs)
    whole, mine = math.exp(its.values[1, 0]), math.exp(q[1, named[b" "]] + q[2, named[b"the"]])
    total += whole * math.log(whole / mine) + (1 - whole) * math.log((1 - whole) / (1 - mine))
    assert float(found.loss(own)) == pytest.approx(total / 2, rel=1e-5)
    ranked = 0.0
    for place, line in zip((0, 1), its.values, strict=True):
        best = np.sort(q[place])[::-1]
        both = np.append(np.exp(best[:KEPT]), np.exp(logsumexp(best[KEPT:])))
        ranked += np.abs(np.exp(line[1 : KEPT + 2]) - both).sum()
    assert float(found.loss(own, by="rank")) == pytest.approx(ranked / 2, rel=1e-5)
    assert network.names.understood(its.tokens).tolist()[1] == -1


def test_two_of_the_teacher_s_in_one_of_the_student_s() -> None:
    """` a`: two tokens of the teacher's, whose product the one of the student's is held to."""
    found = batch([" a"])
    assert found.mask.sum() == 1
    values = said([" a"]).values
    np.testing.assert_allclose(found.told[0, 0, 0], values[0, 0] + values[1, 0], rtol=1e-6)
    own, its = form().opposed({"token_logprobs": logits(found)}, {"token_logprobs": found.told}, wanted=WANTED)
    q = log_softmax(logits(found)[0, 0].numpy())
    assert float(own["spans"][0, 0, 0]) == pytest.approx(q[found.ids[0][1]])
    assert float(its["spans"][0, 0, 0]) == pytest.approx(values[:, 0].sum())


@pytest.mark.parametrize("by", ["spans", "rank"])
@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_what_stands_behind_a_text_never_counts(by: str, seed: int) -> None:
    found = batch(TEXTS)
    own = logits(found, seed=seed)
    other, told = own.clone(), found.told.clone()
    other[~found.mask], told[~found.mask] = 70.0, 3.0
    told[..., KEPT + 2 :] = torch.where(found.mask[..., None], found.told[..., KEPT + 2 :], 7.0)
    changed = Batch(found.shape, found.ids, told, found.mask, found.words)
    assert float(changed.loss(other, by=by)) == pytest.approx(float(found.loss(own, by=by)), rel=1e-9)


@pytest.mark.parametrize("by", ["spans", "rank"])
def test_slopes_are_those_of_finite_differences(by: str) -> None:
    found = batch(["a the"], kept=3)
    own = logits(found, seed=2).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda one: found.loss(one, by=by), (own,), fast_mode=True)
    (slopes,) = torch.autograd.grad(found.loss(own, by=by), (own,))
    # "a", " ", "the": of the last two the teacher tells a product, to which both of the student's tokens add.
    assert (slopes[0].abs().sum(dim=-1) > 0).tolist() == [True, True, by == "spans", False]


def test_characters_may_be_cut_inside() -> None:
    """ "中文" ends inside a character for a student of pairs of bytes, where a teacher of bytes has boundaries too."""
    student = over_bytes(ACROSS)
    found = batch(["中文"], reads(student))
    assert len(found.ids[0]) == 5
    assert found.mask.sum() == 4
    values = said(["中文"]).values
    expected = [values[:2, 0].sum(), values[2:4, 0].sum(), 0.0, 0.0]
    np.testing.assert_allclose(found.told[0, :4, 0], expected, rtol=1e-6)


def test_a_text_is_learned_as_far_as_both_have_read_it() -> None:
    text = "a the the the hat"
    whole = batch([text])
    its = batch([text], longest=4)  # ` the` twice, and no more
    ends = its.words.places[:, 1]
    assert ends[-1] == len("a the the")
    own = batch([text], reads(longest=5))  # the student stops inside ` the`, and so learns up to ` the` before
    assert own.words.places[-1, 1] == len("a the")
    for short in (its, own):
        size = short.told.shape[1] - 1
        torch.testing.assert_close(short.told[0, :size, : KEPT + 2], whole.told[0, :size, : KEPT + 2])


def test_sequence_counts_every_token_beside_it() -> None:
    found = batch(TEXTS)
    own = logits(found)
    said_, its = form().opposed({"token_logprobs": own}, {"token_logprobs": found.told})
    assert "spans" not in its, "it costs something, and nobody asked"
    target = Target(its, torch.full(found.mask.shape, -1), found.mask)
    loss = plugins.build("objectives", "sequence").loss(said_, target)
    rows, places = np.nonzero(found.mask.numpy())
    q = log_softmax(own.numpy(), axis=-1)
    assert float(loss) == pytest.approx(-q[rows, places, found.ids[rows, places + 1]].mean())
