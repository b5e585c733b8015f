"""The journey of a student that tells what comes next, of a teacher behind an API that does no more than write."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import stillroom
from stillroom import compare, doctor, fitness, pipeline
from stillroom.core import plugins, recipe
from stillroom.core.errors import MismatchError
from stillroom.journey import Run
from tests.teachers.endpoint.scenes import endpoint
from tests.teachers.endpoint.servers import Server, serving

ENDINGS = {"sings": "there", "sinks": "here", "shines": "in the rain", "returns": "again"}
SILENT = "the teacher does not say how probable tokens are"


def ends(prompt: str) -> str:
    """What the teacher writes behind a prompt: its last word decides."""
    return ENDINGS[prompt.split()[-1]]


def prompts() -> list[str]:
    every = [f"{one} {what} {does}" for one in ("the", "a", "one", "our") for what in ("ship", "star", "song", "sheep")
             for does in ENDINGS]  # fmt: skip
    return [every[place] for place in np.random.default_rng(5).permutation(len(every)).tolist()]


def write(folder: Path) -> dict[str, Any]:
    """Prompts, of which those to judge by have a reference."""
    rows = prompts()
    for name, own in {"train": rows[:24], "dev": rows[24:32], "test": rows[32:]}.items():
        lines = [json.dumps({"text": one} | ({"after": ends(one)} if name != "train" else {})) for one in own]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    paths = {name: str(folder / f"{name}.jsonl") for name in ("dev", "test")}
    return {"kind": "table", "label": "after", "near_twins": "keep", "unlabelled": str(folder / "train.jsonl"), **paths}


def asked(server: Server | str, corpus: dict[str, Any], start: Path) -> dict[str, Any]:
    teacher = endpoint(server, answers="text", prompt="{text}", concurrency=1)
    return {
        "name": "written-elsewhere",
        "seed": 3,
        "task": {"kind": "generation", "learns": "written", "kept": 8, "writes": 12},
        "corpus": corpus,
        "teacher": teacher.resolved(),
        "student": {"kind": "decoder", "start": str(start), "layers": 2, "epochs": 16, "batch_size": 4,
                    "learning_rate": 1e-2},
        "export": {"formats": ["onnx_causal"]},
        "train": {"patience": 50},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
        "cost": {"texts": 16, "repeats": 3},
        "gate": [{"measure": "retention.chrf", "at_least": 0.5},
                 {"measure": "retention.byte_probability", "at_least": 0.1}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def server() -> Any:
    """One prompt is refused; another is answered as far as there is room."""
    with serving(lambda number: {4: "refusal", 9: "cut"}.get(number, ""), writes=ends) as found:
        yield found


@pytest.fixture(scope="module")
def made(server: Server, folder: Path, speaker_folder: Path) -> dict[str, Any]:
    return asked(server, write(folder), speaker_folder)


@pytest.fixture(scope="module")
def trained(made: dict[str, Any], folder: Path) -> Run:
    return pipeline.run(recipe.parse(made), work=folder / "work", until="train")


def test_it_learns_what_its_teacher_wrote(trained: Run, made: dict[str, Any]) -> None:
    task: Any = plugins.build("tasks", made["task"])
    network: Any = plugins.build("students", made["student"]).reopen(trained.artifacts["train"].folder, task=task)
    network.module.eval()
    test = prompts()[32:]
    written = network.go_on(test, most=12, temperature=0.0, seed=0)
    assert np.mean([more == f" {ends(one)}" for one, more in zip(test, written, strict=True)]) > 0.8


def test_the_transfer_set_holds_texts_and_what_they_cost(trained: Run, server: Server) -> None:
    found = trained.artifacts["transfer"]
    facts, ledger = found.manifest["facts"], found.circumstances["ledger"]
    assert facts["teacher"]["answers"] == "sequence"
    assert facts["teacher"]["tokenizer"] is None
    assert facts["signals"] == {"sequence": {"dtype": "string", "axes": ["row"], "storage": "parquet"}}
    assert facts["unanswered"] == {"refusal": 1}
    assert facts["tally"] == {"cut": 1}
    assert ledger["texts"] == facts["texts"] + 1 == 32
    assert ledger["spend"] == pytest.approx(sum(float(one) for one in costs(server)[:32]))
    possible = found.circumstances["objectives"]
    assert possible["sequence"] == "possible"
    assert possible["forward_kl"] == "not possible: it needs logits"
    table = pq.read_table(next(found.folder.glob("shard-unlabelled-*.parquet")))
    told = dict(zip(table["text"].to_pylist(), zip(*(table[name].to_pylist() for name in ("sequence", "ended")),
                                                   strict=True), strict=True))  # fmt: skip
    assert all(told[one] == (f" {ends(one)}", True) for one in told if told[one][1])
    assert [one for one, whole in told.values() if not whole] == [' {"label": "posi']


def costs(server: Server) -> list[Decimal]:
    """What each request cost, by the server's prices."""
    return [Decimal(len(one["messages"][0]["content"].split()) + 9 + 10 * 7) / 10**6 for one in server.bodies]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"objective": [{"kind": "forward_kl", "temperature": 1.0}]}, "`forward_kl`, which needs logits"),
        ({"objective": [{"kind": "cross_tokenizer"}]}, "`cross_tokenizer`, which needs logits, spans"),
        ({"objective": [{"kind": "on_policy"}]}, "`on_policy`, which needs logits, token_logprobs"),
        ({"task": {"kind": "generation", "learns": "text"}}, "writes and does not say how probable tokens are"),
        ({"student": {"kind": "decoder"}}, "whose network can't be seen"),
        ({"train": {"curriculum": 0.3}}, "does not say how sure it is"),
    ],
)
def test_what_such_a_teacher_can_not_teach_is_told_before(made: dict[str, Any], wrong: Any, told: str) -> None:
    fitness.check(recipe.parse(made))
    with pytest.raises(MismatchError, match=told):
        fitness.check(recipe.parse({**made, **wrong}))


def test_without_a_mixture_it_gets_the_only_one_there_is(made: dict[str, Any]) -> None:
    assert [one.kind for one in fitness.objectives(recipe.parse(made))] == ["sequence"]


@pytest.fixture(scope="module")
def run(trained: Run, made: dict[str, Any], folder: Path) -> Run:
    return pipeline.run(recipe.parse(made), work=folder / "work")


@pytest.mark.slow
class TestToItsEnd:
    """Everything behind the fit: what can be measured is, and what can't says why."""

    def test_what_was_kept_is_what_is_written(self, run: Run) -> None:
        teacher, student = (run.summary[one]["scores"] for one in ("teacher", "student"))
        assert teacher["exact_match"]["value"] == 1.0, "each prompt has its own text"
        assert student["exact_match"]["value"] > 0.8
        assert next(iter(run.summary["retention"])) == "chrf"
        for name in ("chrf", "rouge_l", "exact_match"):
            kept = run.summary["retention"][name]
            assert kept["value"] == pytest.approx(student[name]["value"] / teacher[name]["value"])
            assert kept["n"] == 32
        assert student["byte_probability"]["value"] == pytest.approx(2 ** -student["bits_per_byte"]["value"], rel=1e-5)

    def test_what_nobody_said_is_no_number(self, run: Run) -> None:
        teacher, student = (run.summary[one]["scores"] for one in ("teacher", "student"))
        unknown = [teacher[name] for name in ("byte_probability", "bits_per_byte", "perplexity")]
        unknown += [student[name] for name in ("perplexity", "kl_mean", "kl_p50", "kl_p95", "next_token")]
        unknown += [run.summary["retention"]["byte_probability"]]
        unknown += [run.summary["difference"]["student_minus_teacher"]["bits_per_byte"]]
        assert all(one["value"] is None and one["reason"] == SILENT for one in unknown), unknown
        assert run.summary["agreement"]["value"] is None
        assert run.summary["divergence"]["churn"]["value"] is None
        assert run.summary["forgotten"]["rate"]["value"] is None
        assert run.summary["forgotten"]["learned"]["value"] is None, "no token of a lesson is known to be another's"
        assert "kl_mean" not in teacher
        assert run.summary["baseline"] is None, "bytes of prompts are nothing that it learned"
        assert run.summary["verdict"]["floor"] == "not measured"

    def test_gates_costs_and_documents_tell_of_it(self, run: Run) -> None:
        assert [one.state for one in run.verdicts] == ["pass", "not measurable"]
        assert run.summary["teacher"]["cost"]["price_per_million_texts"] > 0
        assert run.summary["speedup"] is None
        notes = " ".join(run.summary["notes"])
        assert "refusal 1" in notes
        assert "cut 1" in notes
        card = (run.folder / "dossier" / "model_card.md").read_text(encoding="utf-8")
        assert "of its teacher’s chrf" in card
        assert SILENT in card
        assert (run.folder / "dossier" / "report.html").is_file()

    def test_its_bundle_writes(self, run: Run) -> None:
        predictor = stillroom.load(run.folder, verify=True)
        assert predictor.predict(["the star shines"])[0].text == " in the rain"

    def test_doctor_and_compare_read_it(self, run: Run) -> None:
        found = doctor.examine(run.folder)
        assert not [one.symptom for one in found.findings if one.severity == "error"]
        told = compare.compare(run.folder, run.folder)
        assert told["metrics"]["chrf"]["state"] == "unchanged"
        assert next(iter(told["metrics"])) == "chrf", "slices are of what is kept"
        assert compare.passed(told)

    def test_nobody_is_paid_twice(self, run: Run, made: dict[str, Any], folder: Path, server: Server) -> None:
        before = len(server.bodies)
        other = {**made, "name": "again", "seed": 4, "transfer": {"shard_rows": 5}}
        pipeline.run(recipe.parse(other), work=folder / "work", until="transfer")
        assert len(server.bodies) == before == 64
