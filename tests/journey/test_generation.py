"""The journey of a student that tells what comes next: with a tiny language model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillroom
from stillroom import gates, pipeline
from stillroom.core import plugins, recipe
from stillroom.core.errors import MismatchError
from stillroom.journey import Run
from tests.conftest import needs_captum, phrases

#: What is measured only where there are references.
REFERRED = ("exact_match", "rouge_l", "chrf", "rouge1", "rouge2", "length_ratio", "copied", "unfounded")


def write(folder: Path, **parts: list[str]) -> dict[str, Any]:
    """The corpus of texts, none of which has a label."""
    for name, texts in parts.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in texts), encoding="utf-8")
    paths = {name: str(folder / f"{name}.jsonl") for name in ("dev", "test")}
    return {"kind": "table", "label": "", "near_twins": "keep", "unlabelled": str(folder / "train.jsonl"), **paths}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, speaker_folder: Path) -> dict[str, Any]:
    order = np.random.default_rng(0).permutation(len(phrases())).tolist()
    parts = {"dev": order[:16], "test": order[16:56], "train": order[56:]}
    texts = {name: [phrases()[row] for row in rows] for name, rows in parts.items()}
    return {
        "name": "goes-on",
        "seed": 3,
        "task": {"kind": "generation", "kept": 8, "writes": 4},
        "corpus": write(tmp_path_factory.mktemp("texts"), **texts),
        "teacher": {"kind": "huggingface", "model": str(speaker_folder)},
        "student": {"kind": "decoder", "layers": 2, "epochs": 15, "batch_size": 16, "learning_rate": 1e-2},
        "export": {"formats": ["onnx_causal"], "layouts": ["transformers"]},
        "transfer": {"precision": "fp32"},
        "train": {"patience": 50},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
        "cost": {"texts": 16, "repeats": 3},
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def run(toy: dict[str, Any], work: Path) -> Run:
    return pipeline.run(recipe.parse(toy), work=work)


def test_it_comes_near_its_teacher_and_everything_is_measured(run: Run, toy: dict[str, Any]) -> None:
    scores = run.summary["student"]["scores"]
    assert scores["byte_probability"]["n"] == 40
    assert run.summary["retention"]["byte_probability"]["value"] > 0.95
    assert scores["perplexity"]["value"] < 1.1 * run.summary["teacher"]["scores"]["perplexity"]["value"]
    assert scores["next_token"]["value"] > 0.9
    assert scores["kl_p50"]["value"] <= scores["kl_mean"]["value"] <= scores["kl_p95"]["value"] < 1
    assert run.artifacts["transfer"].manifest["settings"]["shard_rows"] == 2048, "it reads, and writes nothing"
    missing = set(gates.vocabulary(recipe.parse(toy).task.metrics)) - set(gates.measures(run.summary))
    assert not {
        one
        for one in missing
        if not one.startswith(
            ("worst_slice", "difference", "undistilled", "gap", "baseline", "teacher", "student.scores.repetition")
        )
        and one.rpartition(".")[2] not in REFERRED
    }
    assert not set(REFERRED) & set(scores), "no row has references"
    assert "bytes told by the five before them" in run.summary["verdict"]["sentence"]
    assert (run.folder / "dossier" / "report.html").is_file()


def test_it_learned_from_half_its_layers_alone(run: Run) -> None:
    log = [json.loads(line) for line in (run.artifacts["train"].folder / "log.jsonl").read_text().splitlines()]
    assert log[0]["before"]["byte_probability"] < 0.7 * log[-1]["dev"]["byte_probability"]
    assert set(log[0]["terms"]) == {"forward_kl", "sequence"}
    assert log[-1]["terms"]["forward_kl"] < 0.2 * log[0]["terms"]["forward_kl"]


@needs_captum
def test_both_networks_are_looked_into_for_what_each_word_helps_to_tell(
    run: Run, toy: dict[str, Any], work: Path
) -> None:
    """Of texts of five words at least."""
    settings = {"evaluate": {**toy["evaluate"], "min_slice_rows": 10}, "audit": {"probes": ["integrated_gradients"]}}
    here = pipeline.run(recipe.parse({**toy, "name": "inside", **settings}), work=work, until="audit")
    found = here.artifacts["audit"].read_json("audit.json")["integrated_gradients"]
    assert found["rows"] == found["named_same"] == 11
    assert found["spearman"]["low"] > found["floor"]["spearman"]["high"]
    assert found["complete"]["teacher"]["value"] == found["complete"]["student"]["value"] == 1.0


def test_the_transfer_set_keeps_what_was_said_of_each_token(run: Run) -> None:
    told = run.artifacts["transfer"].manifest["facts"]
    assert list(told["signals"]) == ["token_logprobs"]
    assert told["signals"]["token_logprobs"]["axes"] == ["token", "likeliest"]
    assert told["teacher"]["answers"] == "token_logprobs"
    assert told["teacher"]["weights"]


def test_other_objectives_ask_nothing_again(run: Run, toy: dict[str, Any], work: Path) -> None:
    for mixture in ([{"kind": "reverse_kl", "temperature": 1.0}], [{"kind": "sequence"}]):
        other = pipeline.run(recipe.parse({**toy, "name": "other", "objective": mixture}), work=work, until="transfer")
        assert other.artifacts["transfer"].digest == run.artifacts["transfer"].digest


def test_its_bundle_writes_without_torch(run: Run) -> None:
    predictor = stillroom.load(run.folder, verify=True)
    found = predictor.predict(["the ship", "a star", ""])
    assert any(one.startswith(f"a star{found[1].text}") for one in phrases())
    assert found[0].as_dict() == {"text": found[0].text, "bits_per_byte": pytest.approx(found[0].bits_per_byte)}
    assert predictor.predict(["the ship sings there"])[0].bits_per_byte < predictor.predict(["xq"])[0].bits_per_byte
    assert predictor.runner == "onnx_causal"
    assert predictor.predict([]) == []
    assert (predictor.folder / "layouts" / "transformers" / "model.safetensors").is_file()


def test_no_torch_is_loaded_for_it(run: Run) -> None:
    code = f"""
import sys, stillroom
said = stillroom.load({str(run.folder)!r}).predict(["the ship"])
sys.exit("torch" in sys.modules or "transformers" in sys.modules or not said[0].as_line())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_again_reuses_everything(run: Run, toy: dict[str, Any], work: Path) -> None:
    again = pipeline.run(recipe.parse(toy), work=work)
    assert {stage: one.digest for stage, one in again.artifacts.items()} == {
        stage: one.digest for stage, one in run.artifacts.items()
    }


@pytest.mark.slow
def test_prompts_are_gone_on_with_and_that_is_learned(toy: dict[str, Any], tmp_path: Path) -> None:
    """A student that sees what its teacher writes behind beginnings, and nothing else, writes as its teacher does."""
    beginnings = list(dict.fromkeys(" ".join(one.split()[:2]) for one in phrases()))
    asked = {
        **toy,
        "task": {"kind": "generation", "kept": 8, "writes": 20, "learns": "written"},
        "corpus": write(tmp_path, train=beginnings[:8], dev=beginnings[8:10], test=beginnings[10:]),
        "student": {**toy["student"], "epochs": 60},
        "objective": [{"kind": "sequence"}],
    }
    found = pipeline.run(recipe.parse(asked), work=tmp_path / "work", until="export")
    assert found.artifacts["transfer"].manifest["settings"]["shard_rows"] == 128, "who writes is slow"
    student = stillroom.load(found.artifacts["export"].folder)
    assert np.mean([f"{one}{student.predict([one])[0].text}" in phrases() for one in beginnings[:8]]) > 0.5


@pytest.mark.slow
def test_prompts_with_references_are_judged_by_them(toy: dict[str, Any], tmp_path: Path) -> None:
    """Also of a student that goes on with prompts in its own words, which its teacher then scores alone."""
    endings: dict[str, list[str]] = {}
    for one in phrases():
        words = one.split()
        endings.setdefault(" ".join(words[:3]), []).append(" ".join(words[3:]))
    prompts = list(endings)
    order = [prompts[row] for row in np.random.default_rng(1).permutation(len(prompts)).tolist()]
    corpus = write(tmp_path, train=order[:10], dev=[], test=[]) | {"label": "after"}
    for name, rows in {"dev": order[10:14], "test": order[14:]}.items():
        lines = [json.dumps({"text": one, "after": endings[one]}) for one in rows]
        Path(corpus[name]).write_text("\n".join(lines), encoding="utf-8")
    asked = {
        **toy,
        "task": {"kind": "generation", "kept": 8, "writes": 20, "learns": "written"},
        "corpus": corpus,
        "student": {**toy["student"], "epochs": 12},
        "objective": [{"kind": "sequence"}, {"kind": "on_policy", "writes": 20, "weight": 0.5}],
    }
    run = pipeline.run(recipe.parse(asked), work=tmp_path / "work", until="evaluate")
    found = run.artifacts["evaluate"].read_json("evaluation.json")
    # Of several references the mean counts for ROUGE: whoever says one of four word for word has a quarter.
    for name, most in zip(REFERRED[:3], (1.0, 25.0, 100.0), strict=True):
        teacher, student = (found["systems"][one]["scores"][name] for one in ("teacher", "student"))
        assert 0.9 * most < teacher["value"] <= most, name
        assert found["retention"][name]["value"] == pytest.approx(student["value"] / teacher["value"])
        assert student["n"] == 34
        assert student["value"] > 0.2 * most
    written = next((tmp_path / "work" / "written").glob("[!.]*"))
    assert json.loads((written / "manifest.json").read_text())["facts"]["texts"] > 0


@pytest.mark.slow
def test_in_its_own_words_it_learns_more(toy: dict[str, Any], tmp_path: Path) -> None:
    """Of as many steps those on what it wrote itself bring it nearer to its teacher where it is let alone."""
    order = np.random.default_rng(0).permutation(len(phrases())).tolist()
    texts = {name: [phrases()[row] for row in rows]
             for name, rows in {"dev": order[:16], "test": order[16:56], "train": order[56:104]}.items()}  # fmt: skip
    student = {**toy["student"], "epochs": 3, "batch_size": 8, "learning_rate": 3e-3}
    asked = {**toy, "corpus": write(tmp_path, **texts), "student": student}
    apart, steps = {}, {}
    for share in (0.0, 0.5):
        mixture = [{"kind": "on_policy", "share": share, "rounds": 3, "writes": 16}]
        found = pipeline.run(recipe.parse({**asked, "objective": mixture}), work=tmp_path / "work", until="train")
        log = (found.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        apart[share], steps[share] = on_its_own(asked, found.artifacts["train"].folder), json.loads(log[-1])["step"]
    assert steps[0.0] == steps[0.5]
    assert apart[0.5] < 0.5 * apart[0.0]


def on_its_own(asked: dict[str, Any], folder: Path) -> float:
    """The divergence of a student from its teacher at each token that it writes itself, over the whole vocabulary."""
    import torch

    task: Any = plugins.build("tasks", asked["task"])
    teacher = plugins.build("teachers", asked["teacher"]).open(Path(), task=task).network()
    network: Any = plugins.build("students", asked["student"]).reopen(folder, task=task)
    network.module.eval()
    begun = sorted({" ".join(one.split()[:count]) for one in phrases() for count in (1, 2)}) * 4
    written = network.go_on(begun, most=16, temperature=1.0, seed=77)
    apart: list[float] = []
    for first, more in zip(begun, written, strict=True):
        ids, words = network.read([first + more])
        own = torch.from_numpy(words.places[:, 0] >= len(first.encode()))
        with torch.inference_mode():
            read = torch.from_numpy(ids[0][None]).long()
            q, p = (one(input_ids=read).logits[0, :-1].log_softmax(-1) for one in (network.module.inner, teacher))
            apart += (p.exp() * (p - q)).sum(dim=-1)[own].tolist()
    return float(np.mean(apart))


def test_what_does_not_fit_is_told_before_anything_starts(toy: dict[str, Any]) -> None:
    with pytest.raises(MismatchError, match='Add `formats = \\["onnx_causal"\\]`'):
        pipeline.run(recipe.parse({**toy, "export": {}}))
    with pytest.raises(MismatchError, match="gives pooled"):
        pipeline.run(recipe.parse({**toy, "student": {"kind": "bag"}}))
    with pytest.raises(MismatchError, match="hidden"):
        pipeline.run(recipe.parse({**toy, "objective": [{"kind": "hidden"}]}))
