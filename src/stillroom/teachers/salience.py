"""A sentence encoder that picks the sentences of a text that say most of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import load_file, save_file

from stillroom import floors
from stillroom.core import artifact, objects, plugins, sentences, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Event, Meter, Report
from stillroom.core.sentences import Unit
from stillroom.metrics import Metric
from stillroom.runtime import salience
from stillroom.tasks import Rows as Judged
from stillroom.tasks import Task
from stillroom.teachers import Desk, Identity, LoadedTeacher, Precision, Teacher
from stillroom.teachers._fitting import Fit
from stillroom.teachers.sentence_transformer import SentenceTransformer

if TYPE_CHECKING:
    from stillroom.corpus import Learnable, Rows

_FILE = "salience.safetensors"
_PENALTIES = (0.003, 0.01, 0.03, 0.1)
_STEPS = 100
_TEXTS = 64  # whose sentences are embedded together
_BUDGET = 4096


@final
class Salience(Teacher):
    """A sentence encoder that picks sentences: those nearest to the middle of their text, or those that people would.

    Unfitted it is centroid salience (Radev et al. 2004) on the vectors of a model in the layout of
    sentence-transformers. `fitted`, a linear model of what a sentence says, where it stands, its length and its
    closeness is fitted to the sentences that together are nearest to the first reference of each training row; the
    log, the manifest and the report say so when on dev that beats neither closeness alone nor the beginning of the
    source.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"decoder"})

    kind: Literal["salience"] = "salience"
    model: str
    """A folder, a hub name, or `package:<import name>/<folder>` for one that ships inside a Python package."""
    revision: str | None = None
    """The revision, for a hub name."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    sentences: int = Field(1, ge=1)
    """How many it picks, at most."""
    unit: Unit = "sentences"
    """What it picks: sentences, or lines, such as the turns of a conversation."""
    fitted: bool = False
    """Whether it is fitted to references of people."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What runs it."""
        return ("sentence-transformers",)

    @property
    def signals(self) -> frozenset[str]:
        """A text."""
        return frozenset({"sequence"})

    @property
    def needs_gold(self) -> bool:
        """Where it is fitted."""
        return self.fitted

    @property
    def _encoder(self) -> SentenceTransformer:
        return SentenceTransformer(model=self.model, revision=self.revision, licence=self.licence)

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The encoder, and, where it is fitted, the rows that it learns from and is chosen on."""
        rows = {"train": corpus.train.digest, "dev": corpus.dev.digest} if self.fitted else {}
        return self._encoder.inputs(corpus) | rows

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Fit it, if it is to be, and hold it against what asks no people and no network."""
        encoder = self._encoder.whole()
        known = encoder.identify()
        weights = _untaught(len(known.labels))
        draft.facts |= {"encoder": known.weights, "sentences": self.sentences, "unit": self.unit}
        if self.fitted:
            weights = self._fitted(encoder, weights, draft, task=task, corpus=corpus, seed=seed, report=report)
        save_file(weights, draft.folder / _FILE)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The encoder with its weights."""
        return Picker(self, self._encoder.whole(), folder / _FILE, task=task)

    def _fitted(
        self,
        encoder: LoadedTeacher,
        untaught: Mapping[str, NDArray[np.float32]],
        draft: Draft,
        *,
        task: Task,
        corpus: Learnable,
        seed: int,
        report: Report,
    ) -> dict[str, NDArray[np.float32]]:
        """The weights that dev finds best, of several penalties."""
        train, dev = (_Described.of(part, encoder, self, task=task, report=report)
                      for part in (corpus.train, corpus.dev))  # fmt: skip
        metric: Metric = plugins.build("metrics", task.metrics[0])
        tried = []
        for penalty in _PENALTIES:
            weights = _learned(train, penalty=penalty, most=self.sentences)
            tried.append((dev.score(dev.written(weights, self), metric, task=task), penalty, weights))
        best, penalty, weights = max(tried, key=lambda one: one[0])
        rows = corpus.train.table(["text", "label"])
        lead = floors.of(task).say(rows, dev.texts, task=task, seed=seed)
        beside = {
            "closeness alone": dev.score(dev.written(untaught, self), metric, task=task),
            floors.of(task).name: dev.score(lead, metric, task=task),
        }
        kind = metric.kind
        draft.facts |= {"penalty": penalty, f"dev_{kind}": best, f"floors_dev_{kind}": beside}
        missed = [f"{name} ({value:.1f})" for name, value in beside.items() if best <= value]
        if missed:
            sentence = f"the fitted teacher ({best:.1f} on dev) does not beat {' and '.join(missed)}"
            draft.facts["warning"] = sentence
            report(Event("teacher", note=f"Warning: {sentence}."))
        return weights


@final
class Picker:
    """The encoder, and what makes a score of a sentence's vector and of how it stands."""

    def __init__(self, settings: Salience, encoder: LoadedTeacher, weights: Path, *, task: Task) -> None:
        self._settings, self._encoder, self._task = settings, encoder, task
        self._file, self._weights = weights, load_file(weights)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The encoder's."""
        return self._encoder.precisions

    @property
    def layers(self) -> int:
        """None that it tells of."""
        return 0

    def identify(self) -> Identity:
        """Who it is: the encoder, and the weights of a sentence's score."""
        own, one = self._encoder.identify(), self._settings
        told = [own.weights, artifact.file_sha256(self._file), one.sentences, one.unit]
        digest = artifact.sha256(artifact.canonical(told))
        how = "fitted to references" if one.fitted else "nearest to the middle"
        return Identity(f"sentences picked by {own.name}, {how}", digest, own.tokenizer, self._task.outputs,
                        own.licence, answers="sequence")  # fmt: skip

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """The sentences that it picks of each text."""
        unit = self._settings.unit
        vectors, described, counts, tokens = _read(
            texts, self._encoder, unit, precision=precision, tokens_per_batch=tokens_per_batch
        )
        picks = salience.best(_scores(vectors, described, self._weights), counts, most=self._settings.sentences)
        written = [sentences.joined(text, own, unit=unit) for text, own in zip(texts, picks, strict=True)]
        return {"sequence": objects.array(written)}, tokens

    def network(self) -> Any:
        """The encoder's."""
        return self._encoder.network()

    def tokenizer_json(self) -> str:
        """The encoder's."""
        return self._encoder.tokenizer_json()


@final
class _Described:
    """Rows with references: their sentences' vectors, how these stand, and which of them the references want."""

    def __init__(
        self,
        texts: Sequence[str],
        gold: NDArray[Any],
        told: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]],
        unit: Unit,
    ) -> None:
        self.texts, self.gold = texts, gold
        self.vectors, self.stands, self.counts = told
        self._unit = unit

    @classmethod
    def of(
        cls, rows: Rows[Any], encoder: LoadedTeacher, settings: Salience, *, task: Task, report: Report
    ) -> _Described:
        """The rows that have references.

        Raises:
            InputError: none has.
        """
        table = rows.table(["text", "label"]).drop_null()
        texts = table["text"].to_pylist()
        if not texts:
            todo = "Give references, or set `teacher.fitted` to false."
            raise InputError(Problem(f"corpus.{rows.role}", "no row with a reference", "references to fit on", todo))
        meter = Meter(report, stage="teacher", total=len(texts), unit="texts")
        found = []
        for start in range(0, len(texts), _TEXTS):
            part = texts[start : start + _TEXTS]
            found.append(
                _read(part, encoder, settings.unit, precision=encoder.precisions[-1], tokens_per_batch=_BUDGET)
            )
            meter.advance(len(part))
        vectors, stands = (np.concatenate([one[place] for one in found]) for place in (0, 1))
        told = (vectors, stands, np.concatenate([one[2] for one in found]))
        return cls(texts, task.gold(table["label"]), told, settings.unit)

    def wanted(self, *, most: int) -> NDArray[np.float32]:
        """The share of each sentence among those that come nearest to the first reference of its text."""
        found = []
        for text, references in zip(self.texts, self.gold, strict=True):
            pieces = [text[start:end].lower().split() for start, end in sentences.spans(text, unit=self._unit)]
            row = np.zeros(max(1, len(pieces)), dtype=np.float32)
            places = sentences.picked(pieces, references[0].lower().split(), most=most)
            row[places] = 1.0 / max(1, len(places))
            found.append(row)
        return np.concatenate(found)

    def written(self, weights: Mapping[str, NDArray[np.float32]], settings: Salience) -> NDArray[np.object_]:
        """What such weights pick."""
        picks = salience.best(_scores(self.vectors, self.stands, weights), self.counts, most=settings.sentences)
        return objects.array(
            [sentences.joined(text, own, unit=self._unit) for text, own in zip(self.texts, picks, strict=True)]
        )

    def score(self, said: NDArray[np.object_], metric: Metric, *, task: Task) -> float:
        """What that is worth beside the references."""
        count = len(self.texts)
        rows = Judged(self.texts, [""] * count, [""] * count, np.zeros(count, dtype=np.bool_))
        return metric.score(task.answered(self.gold, said, said, rows=rows))


def _read(
    texts: Sequence[str], encoder: LoadedTeacher, unit: Unit, *, precision: Precision, tokens_per_batch: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], int]:
    """Vectors of all sentences, how they stand, how many each text has (an empty one has one), and tokens read."""
    pieces = [[text[start:end] for start, end in sentences.spans(text, unit=unit)] or [""] for text in texts]
    flat = [one for some in pieces for one in some]
    counts = np.array([len(some) for some in pieces], dtype=np.int64)
    said, tokens = encoder.ask(flat, precision=precision, tokens_per_batch=tokens_per_batch,
                               wanted=frozenset({"embedding"}))  # fmt: skip
    vectors = said["embedding"]
    lengths = np.array([len(one.split()) for one in flat], dtype=np.int64)
    stands = np.column_stack([salience.standing(lengths, counts), salience.closeness(vectors, counts)])
    return vectors, stands.astype(np.float32), counts, tokens


def _untaught(width: int) -> dict[str, NDArray[np.float32]]:
    standing = np.zeros(salience.STANDING + 1, dtype=np.float32)
    standing[salience.CLOSENESS] = 1.0
    return {"direction": np.zeros(width, dtype=np.float32), "standing": standing}


def _scores(
    vectors: NDArray[np.float32], stands: NDArray[np.float32], weights: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors @ weights["direction"] + stands @ weights["standing"]
    return found


def _learned(rows: _Described, *, penalty: float, most: int) -> dict[str, NDArray[np.float32]]:
    """The minimum of the mean over texts of −Σ wanted · log softmax(scores), and of `penalty` times weights squared.

    Vectors count as if each of their numbers had a variance of about one.
    """
    import torch

    scale = float(np.sqrt(rows.vectors.shape[1]))
    table = torch.from_numpy(np.concatenate([rows.vectors * scale, rows.stands], axis=1))
    wanted, counts = torch.from_numpy(rows.wanted(most=most)), torch.from_numpy(rows.counts)
    owners = torch.repeat_interleave(torch.arange(len(counts)), counts)
    weights = torch.zeros(table.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Any:
        solver.zero_grad()
        scores = table @ weights
        highest = torch.full((len(counts),), -torch.inf).scatter_reduce(0, owners, scores.detach(), "amax")
        total = torch.zeros(len(counts)).index_add(0, owners, (scores - highest[owners]).exp())
        said = scores - highest[owners] - total.log()[owners]
        found = -(wanted * said).sum() / len(counts) + penalty * weights.pow(2).sum()
        found.backward()
        return found

    solver.step(loss)
    found = weights.detach().numpy()
    width = rows.vectors.shape[1]
    return {"direction": (found[:width] * scale).astype(np.float32), "standing": found[width:].astype(np.float32)}
