"""Every objective a second time, in numpy, a row or a token at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jensenshannon
from scipy.special import kl_div
from torch import Tensor

from stillroom.core import plugins
from stillroom.objectives import PEER
from tests.objectives.scenes import CLASSES, HEADS, ROWS, Scene, reordered


def softmax(x: Any) -> Any:
    odds = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def sides(found: Scene, *, temperature: float = 1.0, told: str = "logits") -> tuple[Any, Any]:
    """The teacher's and the student's probabilities."""
    one, other = found.target.signals[told].numpy(), found.said["logits"].detach().numpy()
    return softmax(one / temperature), softmax(other / temperature)


def settings_of(found: Scene) -> Any:
    return found.objective


def by_forward_kl(found: Scene, *, told: str = "logits") -> float:
    t = settings_of(found).temperature
    p, q = sides(found, temperature=t, told=told)
    return float(t**2 * np.mean([kl_div(*pair).sum() for pair in zip(p, q, strict=True)]))


def by_reverse_kl(found: Scene) -> float:
    t = settings_of(found).temperature
    p, q = sides(found, temperature=t)
    return float(t**2 * np.mean([kl_div(*pair).sum() for pair in zip(q, p, strict=True)]))


def by_jensen_shannon(found: Scene) -> float:
    t, beta = settings_of(found).temperature, settings_of(found).beta
    p, q = sides(found, temperature=t)
    if beta == 0.5:
        return float(t**2 * np.mean([jensenshannon(*pair) ** 2 for pair in zip(p, q, strict=True)]))
    if beta in (0.0, 1.0):
        first, second = (p, q) if beta == 0.0 else (q, p)
        return float(t**2 * kl_div(first, second).sum(axis=1).mean())
    m = beta * p + (1 - beta) * q
    return float(t**2 * (beta * kl_div(p, m) + (1 - beta) * kl_div(q, m)).sum(axis=1).mean())


def by_hard_label(found: Scene, *, named: Tensor | None = None) -> float:
    right = found.target.gold if named is None else named
    known = right >= 0
    return float(torch.nn.functional.cross_entropy(found.said["logits"][known], right[known]))


def by_logit_mse(found: Scene) -> float:
    z, v = found.target.logits.numpy(), found.said["logits"].detach().numpy()
    return float(np.mean([np.var(one - other) for one, other in zip(z, v, strict=True)]))


def by_decoupled_kl(found: Scene) -> float:
    own = settings_of(found)
    p, q = sides(found, temperature=own.temperature)
    total = 0.0
    for row, gold in enumerate(found.target.gold.tolist()):
        y = gold if gold >= 0 else int(np.argmax(found.target.logits[row].numpy()))
        binary = kl_div([p[row, y], 1 - p[row, y]], [q[row, y], 1 - q[row, y]]).sum()
        rest = kl_div(np.delete(p[row], y) / (1 - p[row, y]), np.delete(q[row], y) / (1 - q[row, y])).sum()
        total += own.alpha * binary + own.beta * rest
    return float(own.temperature**2 * total / ROWS)


def by_rank(found: Scene) -> float:
    own = settings_of(found)
    p, q = sides(found, temperature=own.temperature)
    inter = np.mean([1 - np.corrcoef(p[row], q[row])[0, 1] for row in range(ROWS)])
    intra = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(CLASSES)])
    return float(own.temperature**2 * (own.inter * inter + own.intra * intra))


def projected(found: Scene, vectors: Any) -> Any:
    module = found.learned
    if module is None:
        return np.asarray(vectors)
    module = getattr(module, "project", module)
    return np.asarray(vectors) @ module.weight.detach().numpy().T if module is not None else np.asarray(vectors)


def pooled(found: Scene) -> tuple[Any, Any]:
    return found.said["embedding"].detach().numpy(), found.target.signals["embedding"].numpy()


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def by_cosine(found: Scene) -> float:
    own, told = pooled(found)
    own = projected(found, own)
    parts = [own.shape[-1], *settings_of(found).prefixes]
    return float(np.mean([1 - (unit(own[:, :n]) * unit(told[:, :n])).sum(axis=-1) for n in parts]))


def by_contrastive(found: Scene) -> float:
    own, told = pooled(found)
    s, t = unit(projected(found, own)), unit(told)
    if found.learned is not None and len(found.learned.queue):
        queue = found.learned.queue.numpy()
        t = np.concatenate([t, unit(queue[queue.any(axis=1)])])
    scores = s @ t.T / settings_of(found).temperature
    return float(np.mean([np.log(np.exp(scores[i]).sum()) - scores[i, i] for i in range(ROWS)]))


def by_similarity_kl(found: Scene) -> float:
    total = 0.0
    own, told = pooled(found)
    s, t = unit(projected(found, own)), unit(told)
    known = [s, t]
    if found.learned is not None:
        queue = found.learned.queue.numpy()
        known = [np.concatenate([t, unit(queue[queue.any(axis=1)])])] * 2
    tables = [one @ other.T / settings_of(found).temperature for one, other in zip((s, t), known, strict=True)]
    for row in range(ROWS):
        others = [place for place in range(len(known[1])) if place != row]
        q, p = (np.exp(one[row, others]) / np.exp(one[row, others]).sum() for one in tables)
        total += float((p * np.log(p / q)).sum())
    return total / ROWS


def by_sequence(found: Scene) -> float:
    logits, written = found.said["sequence"].detach().numpy(), found.target.signals["sequence"].numpy()
    share = settings_of(found).smoothing
    log_q = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    right = log_q[np.arange(ROWS), written]
    return float(-np.mean((1 - share) * right + share * log_q.mean(axis=1)))


def by_cross_tokenizer(found: Scene) -> float:
    own, told = found.said["spans"].detach().numpy(), found.target.signals["spans"].numpy()
    if settings_of(found).by == "rank":
        return float(np.mean([np.abs(np.exp(a[1:]) - np.exp(b[1:])).sum() for a, b in zip(own, told, strict=True)]))
    p, q = sides(found)
    total = 0.0
    for row in range(ROWS):
        came = [np.array([math.exp(one[row, 0]), 1 - math.exp(one[row, 0])]) for one in (told, own)]
        total += kl_div(p[row], q[row]).sum() + kl_div(*came).sum()
    return float(total / ROWS)


def tokens(found: Scene) -> Tensor:
    assert found.target.tokens is not None
    return found.target.tokens


def tokens_of(found: Scene) -> list[tuple[int, int]]:
    return [(row, place) for row, place in tokens(found).nonzero().tolist() if found.target.mask[row]]


def by_hidden(found: Scene) -> float:
    own = settings_of(found)

    def apart(m: int, n: int) -> float:
        total = 0.0
        for row, place in tokens_of(found):
            s = projected(found, found.said[f"hidden.{m}"][row, place].detach().numpy())
            t = found.target.signals[f"hidden.{n}"][row, place].numpy()
            total += ((unit(s) - unit(t)) ** 2).sum() if own.normalise else ((s - t) ** 2).mean()
        return total / len(tokens_of(found))

    if own.layers == "even":
        return (apart(1, 2) + apart(2, 4)) / 2
    if own.layers == "last":
        return apart(2, 4)
    # Two layers against four of half the weight: each of the student's stands twice, and each pair takes a quarter.
    costs = np.array([[apart(m, n) for n in (1, 2, 3, 4)] for m in (1, 1, 2, 2)])
    return float(costs[linear_sum_assignment(costs)].mean())


def by_attention(found: Scene) -> float:
    pairs = [(1, 2), (2, 4)] if settings_of(found).layers == "even" else [(2, 4)]
    total = 0.0
    for m, n in pairs:
        for row, place in tokens_of(found):
            inside = tokens(found)[row].numpy()
            for head in range(HEADS):
                p = found.target.signals[f"attention.{n}"][row, place, :, head].numpy()[inside]
                q = found.said[f"attention.{m}"][row, place, :, head].detach().numpy()[inside]
                total += kl_div(p, q).sum()
    return float(total / len(pairs) / len(tokens_of(found)) / HEADS)


def by_minilm_relation(found: Scene) -> float:
    own = settings_of(found)
    heads, layer, total = own.relation_heads, own.teacher_layer or 4, 0.0
    student, teacher = found.said["relations.2"].detach().numpy(), found.target.signals[f"relations.{layer}"].numpy()
    for row, place in tokens_of(found):
        inside = tokens(found)[row].numpy()
        for part, head in itertools.product(range(3), range(heads)):
            relations = []
            for side in (teacher, student):
                vectors = np.split(side[row, :, part], heads, axis=-1)[head]
                relations.append(softmax(vectors[inside] @ vectors[place] / math.sqrt(vectors.shape[-1])))
            total += kl_div(*relations).sum()
    return float(total / len(tokens_of(found)) / 3 / heads)


def huber(one: float, other: float) -> float:
    gap = abs(one - other)
    return 0.5 * gap**2 if gap < 1 else gap - 0.5


def by_relational(found: Scene) -> float:
    own, (s, t) = settings_of(found), pooled(found)
    pairs = list(itertools.combinations(range(ROWS), 2))
    far = [{pair: np.linalg.norm(side[pair[0]] - side[pair[1]]) for pair in pairs} for side in (s, t)]
    means = [np.mean(list(one.values())) for one in far]
    distance = np.mean([huber(far[0][pair] / means[0], far[1][pair] / means[1]) for pair in pairs])
    angles = []
    for i, j, k in itertools.permutations(range(ROWS), 3):
        angles.append(huber(*(float(unit(side[i] - side[j]) @ unit(side[k] - side[j])) for side in (s, t))))
    likeness = ((unit(s @ s.T) - unit(t @ t.T)) ** 2).sum() / ROWS**2
    return float(own.distance * distance + own.angle * np.mean(angles) + own.similarity * likeness)


def by_on_policy(found: Scene) -> float:
    """Each row is a text of one token."""
    divergence = settings_of(found).divergence
    plain = plugins.build("objectives", {"kind": divergence, "temperature": 1.0})
    alone = [reordered(found, torch.tensor([row])) for row in range(ROWS)]
    return float(np.mean([REFERENCES[divergence](replace(one, objective=plain)) for one in alone]))


REFERENCES: dict[str, Callable[[Scene], float]] = {
    "attention": by_attention,
    "contrastive": by_contrastive,
    "cosine": by_cosine,
    "cross_tokenizer": by_cross_tokenizer,
    "decoupled_kl": by_decoupled_kl,
    "forward_kl": by_forward_kl,
    "hard_label": by_hard_label,
    "pseudo_label": lambda found: by_hard_label(found, named=found.target.signals["label"]),
    "hidden": by_hidden,
    "jensen_shannon": by_jensen_shannon,
    "logit_mse": by_logit_mse,
    "minilm_relation": by_minilm_relation,
    "on_policy": by_on_policy,
    "mutual": lambda found: by_forward_kl(found, told=PEER),
    "rank": by_rank,
    "relational": by_relational,
    "reverse_kl": by_reverse_kl,
    "similarity_kl": by_similarity_kl,
    "sequence": by_sequence,
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "attention": [{}, {"layers": "even"}],
    "contrastive": [{}, {"queue": 3, "temperature": 0.2}],
    "cross_tokenizer": [{}, {"by": "rank"}],
    "decoupled_kl": [{}, {"alpha": 0.0}, {"alpha": 2.0, "beta": 0.5, "temperature": 3.0}],
    "hidden": [{}, {"layers": "last"}, {"layers": "emd"}, {"normalise": True}],
    "jensen_shannon": [{}, {"beta": 0.2}, {"beta": 0.0}, {"beta": 1.0, "temperature": 1.0}],
    "minilm_relation": [{}, {"relation_heads": 1, "teacher_layer": 2}],
    "mutual": [{"temperature": 3.0}],
    "on_policy": [{}, {"divergence": "reverse_kl"}, {"divergence": "jensen_shannon"}],
    "rank": [{}, {"inter": 0.5, "intra": 3.0, "temperature": 2.0}],
    "relational": [{}, {"distance": 0.5}, {"similarity": 0.0}],
    "cosine": [{}, {"prefixes": (2, 5)}],
    "similarity_kl": [{}, {"temperature": 0.2}, {"queue": 3}],
    "sequence": [{}, {"smoothing": 0.2}],
}
