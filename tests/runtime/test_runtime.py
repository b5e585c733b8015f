"""What a bundle answers once it has left home: found by its folder or its run's, checked, and asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillroom
from stillroom.core import artifact
from stillroom.core.errors import ArtifactError, InputError, StillroomError
from stillroom.runtime import Predictor
from tests.conftest import LABELS, Travelled, sentences

TEXTS = [text for text, _ in sentences()[::13]]


@pytest.fixture
def bundle(travelled: Travelled) -> Path:
    return travelled.run.artifacts["export"].folder


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


@pytest.fixture
def predictor(bundle: Path) -> Predictor:
    return stillroom.load(bundle)


def sealed(folder: Path) -> Path:
    """The folder with a manifest made to fit what it holds now, as someone who means ill would leave it."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = {name: artifact.file_sha256(folder / name) for name in manifest["files"]}
    body = {part: manifest[part] for part in ("files", "facts", "stage")}
    manifest["digest"] = artifact.sha256(artifact.canonical(body))
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def golden(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "golden.jsonl").read_text(encoding="utf-8").splitlines()]


def write_golden(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class TestFound:
    def test_by_its_own_folder_and_by_its_run_s(self, travelled: Travelled, bundle: Path) -> None:
        by_run, by_bundle = stillroom.load(travelled.run.folder), stillroom.load(str(bundle))
        assert by_run.folder.resolve() == by_bundle.folder.resolve() == bundle.resolve()
        assert by_run.digest == by_bundle.digest == travelled.run.artifacts["export"].digest
        np.testing.assert_array_equal(by_run.outputs(TEXTS), by_bundle.outputs(TEXTS))

    @pytest.mark.parametrize(
        ("where", "name"), [("runs", "toy"), ("runs/toy", "."), ("", "runs/toy"), ("runs/toy/dossier", "..")]
    )
    def test_from_wherever_one_stands(
        self, travelled: Travelled, monkeypatch: pytest.MonkeyPatch, where: str, name: str
    ) -> None:
        monkeypatch.chdir(travelled.work / where)
        assert stillroom.load(name).digest == travelled.run.artifacts["export"].digest

    def test_by_a_link_to_its_run(self, travelled: Travelled, tmp_path: Path) -> None:
        (tmp_path / "latest").symlink_to(travelled.run.folder.resolve())
        assert stillroom.load(tmp_path / "latest").digest == travelled.run.artifacts["export"].digest

    def test_wherever_it_was_carried_to(self, copy: Path, predictor: Predictor) -> None:
        np.testing.assert_array_equal(stillroom.load(copy, verify=True).outputs(TEXTS), predictor.outputs(TEXTS))


class TestRefused:
    def refused(self, folder: Path, *words: str, **options: Any) -> StillroomError:
        with pytest.raises(StillroomError) as found:
            stillroom.load(folder, **options)
        for word in words:
            assert word in str(found.value)
        return found.value

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert isinstance(self.refused(tmp_path / "nowhere", "nowhere"), ArtifactError)

    def test_an_artifact_of_another_stage(self, travelled: Travelled) -> None:
        for stage in ("corpus", "train", "cost"):
            found = travelled.run.artifacts[stage]
            error = self.refused(found.folder, f"the stage `{found.manifest['stage']}`", "a bundle")
            assert isinstance(error, ArtifactError)

    def test_a_run_that_did_not_come_so_far(self, travelled: Travelled, tmp_path: Path) -> None:
        record = json.loads((travelled.run.folder / "run.json").read_text(encoding="utf-8"))
        del record["stages"]["export"]
        (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
        assert isinstance(self.refused(tmp_path, "a run without a bundle"), ArtifactError)

    @pytest.mark.parametrize("record", ["", "{", "[]", '"text"', '{"stages": []}', '{"stages": {"export": 1}}'])
    def test_a_record_of_a_run_that_is_none(self, tmp_path: Path, record: str) -> None:
        (tmp_path / "run.json").write_text(record, encoding="utf-8")
        assert isinstance(self.refused(tmp_path, str(tmp_path)), ArtifactError)

    def test_a_runner_that_it_does_not_have(self, bundle: Path) -> None:
        assert isinstance(self.refused(bundle, "no runner `onnx`", "static", runner="onnx"), InputError)

    @pytest.mark.parametrize("name", ["static.safetensors", "tokenizer.json", "bundle.json", "golden.jsonl"])
    def test_any_file_that_is_damaged_or_gone(self, copy: Path, name: str) -> None:
        held = (copy / name).read_bytes()
        (copy / name).write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
        assert isinstance(self.refused(copy, name), ArtifactError)
        (copy / name).unlink()
        assert isinstance(self.refused(copy, name, "no such file"), ArtifactError)

    def test_facts_that_were_written_over(self, copy: Path) -> None:
        manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
        manifest["facts"]["variants"] = []
        (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        assert isinstance(self.refused(copy, "manifest.json", "digest"), ArtifactError)


class TestVerified:
    """The manifest is made to fit each time: only the golden answers can tell."""

    def test_a_sound_bundle_stands_by_its_answers(self, copy: Path) -> None:
        stillroom.load(sealed(copy), verify=True)

    @pytest.mark.parametrize("place", [0, -1])
    def test_one_answer_that_is_another(self, copy: Path, place: int) -> None:
        rows = golden(copy)
        rows[place]["logits"][1] += 0.01
        write_golden(copy, rows)
        stillroom.load(sealed(copy))
        with pytest.raises(ArtifactError, match=r"golden\.jsonl.*differ by 0\.01"):
            stillroom.load(copy, verify=True)

    def test_an_answer_within_the_parity_is_no_damage(self, copy: Path) -> None:
        rows = golden(copy)
        rows[0]["logits"][0] += 5e-4
        write_golden(copy, rows)
        stillroom.load(sealed(copy), verify=True)

    def test_an_answer_that_is_no_number(self, copy: Path) -> None:
        rows = golden(copy)
        rows[0]["logits"][0] = float("nan")
        write_golden(copy, rows)
        with pytest.raises(ArtifactError, match="golden"):
            stillroom.load(sealed(copy), verify=True)

    @pytest.mark.parametrize(
        "lines",
        ["", "nonsense\n", "{}\n", '{"text": "great", "logits": [1.0]}\n', '{"text": 3, "logits": [1.0, 2.0]}\n'],
        ids=["none", "no JSON", "no answer", "an output too few", "no text"],
    )
    def test_answers_that_are_none(self, copy: Path, lines: str) -> None:
        (copy / "golden.jsonl").write_text(lines, encoding="utf-8")
        with pytest.raises(ArtifactError, match="golden"):
            stillroom.load(sealed(copy), verify=True)

    def test_weights_that_do_not_answer_so(self, copy: Path) -> None:
        from safetensors.numpy import load_file, save_file

        weights = load_file(copy / "static.safetensors")
        save_file({**weights, "head_bias": weights["head_bias"] + np.float16(0.05)}, copy / "static.safetensors")
        stillroom.load(sealed(copy))
        with pytest.raises(ArtifactError, match=r"runner `static`.*export it again"):
            stillroom.load(copy, verify=True)


class TestAsked:
    def test_a_prediction_is_the_task_s_word_on_the_logits(self, predictor: Predictor) -> None:
        logits = predictor.outputs(TEXTS)
        assert logits.shape == (len(TEXTS), len(LABELS))
        assert predictor.predict(TEXTS) == predictor.task.decode(logits)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = odds / odds.sum(axis=1, keepdims=True)
        for one, share in zip(predictor.predict(TEXTS), shares, strict=True):
            assert one.label == LABELS[int(share.argmax())]
            assert list(one.scores.values()) == pytest.approx(share.tolist(), abs=1e-6)

    def test_it_knows_what_it_was_taught(self, predictor: Predictor) -> None:
        found = predictor.predict([text for text, _ in sentences()])
        right = [one.label == label for one, (_, label) in zip(found, sentences(), strict=True)]
        assert np.mean(right) > 0.9

    def test_no_texts(self, predictor: Predictor) -> None:
        assert predictor.predict([]) == []
        assert predictor.outputs([]).shape == (0, len(LABELS))

    def test_any_sequence_of_strings(self, predictor: Predictor) -> None:
        assert predictor.predict(tuple(TEXTS)) == predictor.predict(TEXTS)
        assert predictor.predict([np.str_(text) for text in TEXTS]) == predictor.predict(TEXTS)

    @pytest.mark.parametrize(
        ("texts", "where", "found"),
        [
            ("a text", "texts", "a str"),
            (b"a text", "texts", "a bytes"),
            (None, "texts", "a NoneType"),
            (7, "texts", "a int"),
            ({"a text"}, "texts", "a set"),
            (iter(["a text"]), "texts", "a list_iterator"),
            (np.array(["a text"]), "texts", "a ndarray"),
            (["fine", None], "texts[1]", "a NoneType"),
            (["fine", "fine", 3.5], "texts[2]", "a float"),
            (["fine", b"bytes"], "texts[1]", "a bytes"),
            ([["nested"]], "texts[0]", "a list"),
            (["fine", "half \ud83d of it"], "texts[1]", "half a surrogate pair at character 5"),
            (["\udc80"], "texts[0]", "half a surrogate pair at character 0"),
        ],
        ids=lambda value: ascii(value)[:24],
    )
    def test_what_is_no_list_of_texts(self, predictor: Predictor, texts: Any, where: str, found: str) -> None:
        asked: Callable[[Any], Any]
        for asked in (predictor.predict, predictor.outputs):
            with pytest.raises(InputError) as refused:
                asked(texts)
            (problem,) = refused.value.problems
            assert (problem.where, problem.found) == (where, found)
            assert problem.todo

    def test_an_error_shows_no_text(self, predictor: Predictor) -> None:
        with pytest.raises(InputError) as refused:
            predictor.predict(["a private word \ud800"])
        assert "private" not in str(refused.value)


def test_load_and_predict_need_no_torch(travelled: Travelled, predictor: Predictor) -> None:
    """In an interpreter of its own, that would fail where torch, or anything else of the extra, is imported."""
    code = (
        "import json, sys\n"
        "for name in ('torch', 'transformers', 'scipy', 'sklearn', 'onnx', 'datasketch'): sys.modules[name] = None\n"
        "import stillroom\n"
        "found = stillroom.load(sys.argv[1], verify=True).predict(json.load(sys.stdin))\n"
        "print(json.dumps([one.as_dict() for one in found]))"
    )
    command = [sys.executable, "-c", code, str(travelled.run.folder)]
    done = subprocess.run(command, input=json.dumps(TEXTS), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [one.as_dict() for one in predictor.predict(TEXTS)]
    assert done.stderr == ""
