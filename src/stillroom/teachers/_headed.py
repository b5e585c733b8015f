"""A teacher that labels texts or words and is fitted here: an encoder under a fresh head."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import batches, seeds
from stillroom.core.progress import Meter
from stillroom.students import Network
from stillroom.tasks import Task
from stillroom.teachers import LoadedTeacher, _pretrained, huggingface
from stillroom.teachers._bases import Base, Course, Floor
from stillroom.teachers._fitting import Examples

_FLOOR_TOKENS = 3072
_FLOOR_SHARE = 1e-6  # of what the floor has never seen
_FLOOR_ROWS = 4096  # enough to tell an under-fitted teacher; more would cost more than they tell


@final
class Headed(Base):
    """An encoder under a head by chance, held against logistic regression on the vectors of the encoder as it was."""

    def begun(self, folder: Path, *, seed: int, longest: int = 0) -> Network:
        """The encoder, and a head for the task's outputs."""
        import torch

        from stillroom.students.transformer import network

        settings, task, base = self.settings, self.task, self.settings.folder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, "teachers/finetuned/head"))
            names = dict(enumerate(task.outputs))
            inner = _pretrained.load_network(
                base,
                form=task.form,
                fresh_head=True,
                num_labels=len(names),
                id2label=names,
                label2id={name: place for place, name in names.items()},
            )
        inner.get_input_embeddings().weight.requires_grad_(not settings.freeze_embeddings)
        shutil.copyfile(_pretrained.tokenizer_file(base), folder / "tokenizer.json")
        made = network.TransformerNetwork(inner, folder, shape=task.shape, max_tokens=settings.max_tokens)
        return self.settled(made)

    def floor(self, course: Course) -> Floor:
        """Logistic regression on a text's mean vector, or on those of its words."""
        some = _some(course.train, seed=course.seed)
        score = _floor(self.settings.folder, some, course, task=self.task)
        return Floor(score, "logistic regression on the frozen encoder", len(some.ids))

    def open(self, folder: Path, *, name: str) -> LoadedTeacher:
        """The fitted checkpoint."""
        return huggingface.Checkpoint(folder, name=name, task=self.task, licence=self.settings.licence)


def _some(examples: Examples, *, seed: int) -> Examples:
    """At most so many texts as the floor is fitted on, drawn by chance."""
    rng = seeds.generator(seed, "teachers/finetuned/floor")
    return examples.some(np.sort(rng.permutation(len(examples.ids))[:_FLOOR_ROWS]))


def _floor(base: Path, train: Examples, course: Course, *, task: Task) -> float:
    """The dev metric of logistic regression on the frozen encoder's vectors."""
    from sklearn.linear_model import LogisticRegression

    dev, seed = course.dev, course.seed
    outputs = len(task.outputs)
    seen = np.unique(train.gold)
    shares = np.full((len(dev.gold), outputs), _FLOOR_SHARE)
    if len(seen) == 1:  # nothing to tell apart: logistic regression would refuse
        shares[:, seen] = 1.0
    else:
        encoder = _pretrained.load_network(base, form=task.form, fresh_head=True).base_model
        meter = Meter(course.report, stage="teacher's floor", total=len(train.ids) + len(dev.ids), unit="texts")
        vectors = [_vectors(encoder, part, bf16=course.bf16, meter=meter) for part in (train, dev)]
        some = np.sort(seeds.generator(seed, "floor/words").permutation(len(train.gold))[: 4 * _FLOOR_ROWS])
        model = LogisticRegression(max_iter=500, C=10.0, random_state=seeds.derive(seed, "floor") % 2**32)
        model.fit(vectors[0][some], train.gold[some])
        shares[:, model.classes_] = np.maximum(model.predict_proba(vectors[1]), _FLOOR_SHARE)
    said = task.form.spread(np.log(shares).astype(np.float32), dev.words)
    return dev.score(course.metric, said, task=task)[0]


def _vectors(encoder: Any, examples: Examples, *, bf16: bool, meter: Meter) -> NDArray[np.float32]:
    import torch

    words = examples.words
    found = np.empty((len(examples.gold), int(encoder.config.hidden_size)), dtype=np.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for rows in batches.by_tokens([len(one) for one in examples.ids], budget=_FLOOR_TOKENS):
            padded, mask = batches.pad([examples.ids[row] for row in rows])
            masked = torch.from_numpy(mask)
            hidden = encoder(input_ids=torch.from_numpy(padded), attention_mask=masked.long()).last_hidden_state.float()
            if words is None:
                mean = (hidden * masked.unsqueeze(-1)).sum(dim=1) / masked.sum(dim=1, keepdim=True)
                found[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
            else:
                numbers, owners, tokens = words.of(rows)
                found[numbers] = torch.nn.functional.normalize(hidden, dim=2).numpy()[owners, tokens]
            meter.advance(len(rows))
    return found
