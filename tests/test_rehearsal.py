"""Rounds in which a student learns from what it wrote itself: what counts, in which share, and nothing twice."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from stillroom import corpus, examples, pipeline, rehearsal, teach, train, transfer
from stillroom.core import artifact, batches, plugins, processes, recipe, seeds
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import MismatchError
from stillroom.core.progress import Event
from stillroom.learner import Beginner, Learner
from stillroom.objectives import Target, Writing
from stillroom.students import GoesOn, Student
from stillroom.tasks import Task
from stillroom.teachers import Desk, _speaking
from stillroom.transfer_set import OWN_WORDS, OwnWords, TransferSet
from tests.conftest import phrases

WRITES = 12


def set_out(folder: Path, speaker: Path, **objective: Any) -> dict[str, Any]:
    """A recipe for a student of the tiny speaker, which learns from 24 phrases and what it writes itself."""
    order = np.random.default_rng(0).permutation(len(phrases())).tolist()
    paths = {}
    for name, rows in {"dev": order[:8], "test": order[8:24], "unlabelled": order[24:48]}.items():
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(f'{{"text": "{phrases()[row]}"}}' for row in rows), encoding="utf-8")
        paths[name] = str(path)
    return {
        "name": "own-words",
        "seed": 3,
        "task": {"kind": "generation", "kept": 8, "writes": 4},
        "corpus": {"kind": "table", "label": "", "near_twins": "keep", **paths},
        "teacher": {"kind": "huggingface", "model": str(speaker)},
        "student": {"kind": "decoder", "layers": 2, "epochs": 2, "batch_size": 8, "learning_rate": 5e-3},
        "objective": [{"kind": "on_policy", "writes": WRITES, **objective}],
        "export": {"formats": ["onnx_causal"]},
        "transfer": {"precision": "fp32"},
        "train": {"patience": 50, "checkpoint_seconds": 0.0},
    }


def fitted(recipe_: dict[str, Any], work: Path, **options: Any) -> Artifact:
    return pipeline.run(recipe.parse(recipe_), work=work, until="train", **options).artifacts["train"]


class Ground:
    """A corpus, what the teacher said of it, and a student after its first fit, beside all that a round takes."""

    def __init__(self, folder: Path, speaker: Path) -> None:
        self.recipe = recipe.parse(set_out(folder, speaker, share=0.5))
        self.store, self.task = Store(folder / "work"), cast("Task", self.recipe.task)
        self.rows = corpus.load(self.recipe.corpus, task=self.task, store=self.store)
        self.teacher = self.store.obtain("teacher", settings={}, inputs={}, make=lambda draft: None)
        self.loaded = teach.Opened(self.recipe.teacher, self.teacher, task=self.task, desk=Desk(folder / "books"))
        self.student = cast("Student", self.recipe.student)
        self.objectives = self.recipe.objective
        self.said = self.ask((self.rows.unlabelled, self.rows.dev))
        self.studied = teach.study(self.student, self.loaded, teacher=self.teacher, store=self.store)
        self.first = train.fit(self.student, task=self.task, corpus=self.rows.learnable, said=self.said,
                               objectives=self.objectives, settings=self.recipe.train, studied=self.studied, seed=3,
                               store=self.store)  # fmt: skip

    def ask(self, parts: Any) -> TransferSet:
        return transfer.collect(self.loaded, teacher=self.teacher, parts=parts, task=self.task,
                                settings=self.recipe.transfer, seed=3, store=self.store)  # fmt: skip

    def written(self, store: Store | None = None, **changes: Any) -> Artifact:
        settings = {"rounds": 1, "share": 0.5, "tokens": WRITES, "temperature": 1.0, **changes}
        return rehearsal.write(self.student, self.first, Writing(**settings), task=self.task,
                               corpus=self.rows.learnable,
                               said=self.said, heard=[self.said], seed=7, store=store or self.store)  # fmt: skip

    def own(self) -> OwnWords:
        written = self.written()
        asked = corpus.Rows[corpus.Train](written.folder / "asked.parquet", written.file_digest("asked.parquet"),
                                          "written", int(written.manifest["facts"]["asked"]))  # fmt: skip
        return OwnWords(written, [self.said, self.ask((asked,))])

    def network(self) -> Any:
        return self.student.reopen(self.first.folder, task=self.task)

    def examples(self, own: OwnWords | None) -> Any:
        return examples.of(self.network(), self.rows.learnable, self.said, self.objectives, task=self.task, own=own)


@pytest.fixture(scope="module")
def ground(speaker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("rehearsal"), speaker_folder)


def table(written: Artifact) -> list[dict[str, Any]]:
    return list(pq.read_table(written.folder / OWN_WORDS).to_pylist())


def test_what_is_written_goes_on_with_texts_that_are_learned_from(ground: Ground) -> None:
    rows = table(ground.written())
    assert len(rows) > 6
    known = dict(zip(ground.rows.unlabelled.ids(), ground.rows.unlabelled.texts(), strict=True))
    for row in rows:
        first = row["text"].encode()[: row["begins"]].decode()
        assert known[row["of"]].startswith(first)
        assert len(row["text"]) > len(first) > 0
        assert row["id"] == artifact.text_id(row["text"])
    assert len({row["of"] for row in rows}) == len(rows) == len({row["id"] for row in rows})


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_texts_is_written_anew(ground: Ground, share: float) -> None:
    facts = ground.written(share=share).manifest["facts"]
    assert facts["drawn"] == round(ground.rows.unlabelled.count * share)
    assert facts["texts"] + sum(facts["left_out"].values()) == facts["drawn"]


def test_each_setting_of_writing_changes_what_is_written(ground: Ground) -> None:
    before = ground.written()
    for changed in ({"share": 0.75}, {"tokens": 3}, {"temperature": 0.0}):
        assert ground.written(**changed).digest != before.digest
    tables = [table(ground.written(tokens=tokens)) for tokens in (3, 12)]
    few, more = (np.mean([len(row["text"]) - row["begins"] for row in one]) for one in tables)
    assert 0 < few < 0.5 * more


def test_nothing_that_judges_is_learned_from(ground: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A student that writes phrases of dev and of the test word for word is not taught them."""
    judged = [*ground.rows.dev.texts(), *ground.rows.test.texts()]

    def recite(self: Any, texts: Any, **_: Any) -> list[str]:
        return [
            next((one[len(text) :] for one in judged if one.startswith(text)), " again and again") for text in texts
        ]

    monkeypatch.setattr(type(ground.network()), "go_on", recite)
    written = ground.written(Store(tmp_path), share=1.0)
    assert written.manifest["facts"]["left_out"]["held out"] > 6
    assert not {row["text"] for row in table(written)} & set(judged)


def test_only_what_the_student_wrote_counts(ground: Ground) -> None:
    """Of its own texts the tokens behind the beginning, of the others all; and of none what stands behind it."""
    own = ground.own()
    begins = {row["text"]: row["begins"] for row in table(own.written)}
    network = ground.network()
    rows, _ = ground.examples(own)
    spell = {tuple(one.tolist()): text for text, one in zip(begins, network.encode(list(begins)), strict=True)}
    counted = rows.batch(np.arange(len(rows.ids)), length=max(map(len, rows.ids)))["mask"]
    assert len(rows.ids) == ground.rows.unlabelled.count
    assert sum(tuple(one.tolist()) in spell for one in rows.ids) == len(begins)
    for mask, one in zip(counted, rows.ids, strict=True):
        text = spell.get(tuple(one.tolist()))
        places = network.read([text])[1].places if text else None
        first = 0 if text is None else int((places[:, 0] < begins[text]).sum())
        assert mask.tolist() == [first <= place < len(one) - 1 for place in range(len(mask))]


def gradients(ground: Ground, rows: Any, objective: Any) -> tuple[Any, float]:
    """The slope of the loss of some rows in the student's logits, and the loss."""
    network = ground.network()
    beginner = Beginner(network, rows, rows, 1e-3, bf16=False)
    learner = Learner(beginner, [objective], task=ground.task, accelerator=processes.accelerator())
    learner.turn(training=False)
    places = np.arange(len(rows.ids))
    said = learner.say(places)
    logits = said[learner.answer].detach().requires_grad_(True)
    said = {**said, learner.answer: logits}
    loss = torch.stack(list(learner.terms(said, learner.target(rows, places, said), share=0.0).values())).sum()
    return torch.autograd.grad(loss, logits)[0], float(loss.detach())


def test_the_share_is_that_of_the_loss_however_long_texts_are(ground: Ground) -> None:
    """Texts of the student's own have fewer tokens that count; each text weighs one in the number of texts."""
    own = ground.own()
    rows, _ = ground.examples(own)
    texts = set(
        map(tuple, (one.tolist() for one in ground.network().encode([row["text"] for row in table(own.written)])))
    )
    is_own = np.array([tuple(one.tolist()) in texts for one in rows.ids])
    whole = gradients(ground, rows, ground.objectives[0])[1]
    parts = [gradients(ground, rows.some(np.flatnonzero(some)), ground.objectives[0])[1] for some in (is_own, ~is_own)]
    share = is_own.mean()
    assert 0.3 < share <= 12 / 23
    assert whole == pytest.approx(share * parts[0] + (1 - share) * parts[1], rel=1e-4)
    assert abs(parts[0] - parts[1]) > 1e-3


def test_beginnings_and_padding_have_no_slope(ground: Ground) -> None:
    own = ground.own()
    rows, _ = ground.examples(own)
    counted = rows.batch(np.arange(len(rows.ids)), length=max(map(len, rows.ids)))["mask"]
    slopes = gradients(ground, rows, ground.objectives[0])[0].abs().sum(dim=-1).numpy()
    assert not slopes[~counted].any()
    assert (slopes[counted] > 0).all()
    longer = gradients(ground, rows.some(np.array([0])), ground.objectives[0])[1]
    both = rows.some(np.array([0, int(np.argmax([len(one) for one in rows.ids]))]))
    alone = gradients(ground, both.some(np.array([1])), ground.objectives[0])[1]
    assert gradients(ground, both, ground.objectives[0])[1] == pytest.approx((longer + alone) / 2, rel=1e-5)


def test_a_student_that_says_what_its_teacher_says_learns_nothing(ground: Ground, tmp_path: Path) -> None:
    """All of the teacher's layers: as far as half precision goes."""
    same = plugins.build("students", {"kind": "decoder", "layers": 4})
    network = cast("Any", same.begin(task=ground.task, studied=ground.studied.folder, texts=iter(()), seed=1))
    own = ground.own()
    rows, _ = examples.of(network, ground.rows.learnable, ground.said, ground.objectives, task=ground.task, own=own)
    for divergence in ("forward_kl", "reverse_kl", "jensen_shannon"):
        objective = plugins.build("objectives", {"kind": "on_policy", "divergence": divergence})
        padded, mask = (torch.from_numpy(one) for one in batches.pad(rows.ids))
        said = network.tell(padded, mask, frozenset({"logits"}))
        found = rows.batch(np.arange(len(rows.ids)), length=padded.shape[1])
        told = {ground.task.form.answer: torch.from_numpy(found[ground.task.form.answer])}
        mine, its = ground.task.form.opposed(said, told)
        target = Target(its, torch.from_numpy(found["gold"]), torch.from_numpy(found["mask"]))
        assert abs(float(objective.loss(mine, target).detach())) < 1e-4, divergence


def test_writing_goes_on_where_it_was_killed(ground: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rehearsal, "_PIECE", 4)
    calm = ground.written(Store(tmp_path / "calm"))
    kind, calls = type(ground.network()), itertools.count()
    plain = kind.go_on

    def killed(self: Any, texts: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return plain(self, texts, **options)

    monkeypatch.setattr(kind, "go_on", killed)
    with pytest.raises(KeyboardInterrupt):
        ground.written(Store(tmp_path / "killed"))
    again = ground.written(Store(tmp_path / "killed"))
    assert again.digest == calm.digest
    assert next(calls) == 1 + 1 + 2, "three pieces, of which one was kept"


@pytest.mark.slow
def test_killed_anywhere_it_ends_with_the_same_bytes(speaker_folder: Path, tmp_path: Path) -> None:
    wanted = set_out(tmp_path, speaker_folder)
    calm = fitted(wanted, tmp_path / "calm")
    for number, (stage, times) in enumerate({"transfer": 4, "student": 12}.items()):
        seen = itertools.count(1)

        def kill(event: Event, stage: str = stage, times: int = times, seen: Any = seen) -> None:
            if event.stage == stage and next(seen) == times:
                raise KeyboardInterrupt

        work = tmp_path / f"killed-{number}"
        with pytest.raises(KeyboardInterrupt):
            fitted(wanted, work, report=kill)
        assert fitted(wanted, work).digest == calm.digest, stage


@pytest.mark.slow
def test_the_teacher_is_asked_nothing_twice_and_more_rounds_go_on(
    speaker_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    plain = _speaking.LanguageModel.ask

    def ask(self: Any, texts: Any, **options: Any) -> Any:
        asked.extend(texts)
        return plain(self, texts, **options)

    monkeypatch.setattr(_speaking.LanguageModel, "ask", ask)
    work = tmp_path / "work"
    # A student that is sure of itself writes what was asked about before.
    once, twice = (set_out(tmp_path, speaker_folder, rounds=rounds, share=1.0, temperature=0.0) for rounds in (1, 2))
    for one in (once, twice):
        one["student"] |= {"epochs": 6, "learning_rate": 1e-2}
    first = fitted(once, work)
    before = len(asked)
    assert fitted(twice, work).manifest["inputs"]["trained"] == first.digest, "the second round goes on from the first"
    assert before <= len(asked) == len(set(asked))
    ids = [one for path in sorted((work / "transfer").glob("*/shard-*.parquet"))
           for one in pq.read_table(path, columns=["id"])["id"].to_pylist()]  # fmt: skip
    assert len(ids) == len(set(ids)) == len(asked)
    facts = [artifact.load(one).manifest["facts"] for one in (work / "written").glob("[!.]*")]
    assert sum(one["asked"] for one in facts) < sum(one["texts"] for one in facts)
    fitted(twice, work)
    assert len(ids) == len(asked), "a rerun asks nothing"


@pytest.mark.slow
def test_a_round_begins_where_the_one_before_was_best_on_dev(speaker_folder: Path, tmp_path: Path) -> None:
    last = fitted(set_out(tmp_path, speaker_folder, rounds=2), tmp_path / "work")
    logs = {}
    for folder in (tmp_path / "work" / "student").glob("[!.]*"):
        lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        logs[artifact.load(folder).digest] = [json.loads(line) for line in lines]
    before = logs[last.manifest["inputs"]["trained"]]
    best = max(line["dev"]["byte_probability"] for line in before)
    assert logs[last.digest][0]["before"]["byte_probability"] == pytest.approx(best, rel=1e-6)


def test_a_teacher_that_writes_is_asked_otherwise(ground: Ground) -> None:
    assert ground.loaded.scoring is ground.loaded
    task = ground.task.model_copy(update={"learns": "written"})
    writing = teach.Opened(ground.recipe.teacher, ground.teacher, task=task, desk=None)
    assert writing.scoring is not writing
    said, _ = writing.scoring.ask(["the ship sings"], precision="fp32", tokens_per_batch=64)
    assert said["wrote"].tolist() == [0]
    rng = seeds.generator(0, "beginning")
    assert task.beginning("the ship sings", rng=rng) == "the ship sings"
    begun = {ground.task.beginning("the ship  sings", rng=rng) for _ in range(20)}
    assert begun == {"the", "the ship"}
    assert ground.task.beginning("ship", rng=rng) == "ship"


def test_go_on_is_seeded_and_keeps_within_its_room(ground: Ground) -> None:
    network = cast("GoesOn", ground.network())
    texts = ["the ship", "a star sings"]
    told = [network.go_on(texts, most=6, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]
    assert network.go_on(["the ship " * 200], most=6, temperature=0.0, seed=1)[0] is not None


def test_what_does_not_fit_is_told_before_anything_starts(speaker_folder: Path, tmp_path: Path) -> None:
    plain = set_out(tmp_path, speaker_folder)
    twice = [*plain["objective"], {"kind": "on_policy", "rounds": 3}]
    with pytest.raises(MismatchError, match="a second objective for which the student writes"):
        fitted({**plain, "objective": twice}, tmp_path / "work")
    with pytest.raises(MismatchError, match="`on_policy` for text_to_text"):
        fitted({**plain, "task": {"kind": "text_to_text"}, "student": {"kind": "seq2seq"}}, tmp_path / "work")
    with pytest.raises(MismatchError, match="where a student is the next teacher"):
        fitted({**plain, "train": {"rounds": 2}}, tmp_path / "work")
    assert recipe.parse({**plain, "objective": [{"kind": "on_policy", "temperature": 0.7}]}).objective
    pipeline.fitness.check(recipe.parse({**plain, "objective": [{"kind": "on_policy", "temperature": 0.7}]}))
