"""The certificate of a finished run: what it says is recounted, its bundle is whole, and what can't be, is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stillroom
from stillroom import cascade, pipeline, runtime
from stillroom.cascade import page
from stillroom.core import artifact, recipe
from stillroom.core.errors import ArtifactError, InputError, MismatchError, StillroomError
from stillroom.runtime import deferral
from stillroom.tasks.classification import Classification
from tests.cascade.scenes import EPSILON, copied, edited
from tests.conftest import Travelled, sentences
from tests.runtime.test_runtime import sealed

TEXTS = [text for text, _ in sentences()[::7]]


@pytest.fixture
def run(travelled: Travelled, tmp_path: Path) -> Path:
    return copied(travelled, tmp_path)


@pytest.fixture
def certified(run: Path) -> cascade.Certified:
    return cascade.certify(run, epsilon=EPSILON)


class TestCertified:
    def test_its_counts_are_those_of_the_evaluation(self, run: Path, certified: cascade.Certified) -> None:
        """Counted another way: from what the evaluation wrote down."""
        told, predictor = certified.told, stillroom.load(run)
        stages = json.loads((run / "run.json").read_text(encoding="utf-8"))["stages"]
        table = pq.read_table(run.parents[1] / "evaluation" / stages["evaluate"]["key"] / "table.parquet")
        ids = table["id"].to_pylist()
        scores = certified.artifact.read_json(cascade.ROWS)
        rows = [ids.index(one) for one in scores["ids"]]
        student, teacher = (np.array(table[f"probabilities.{who}"].to_pylist())[rows] for who in ("student", "teacher"))
        np.testing.assert_allclose(student.max(axis=1), scores["sureness"], atol=1e-6)
        wrong = student.argmax(axis=1) != teacher.argmax(axis=1)
        shown = predictor.cascade
        assert shown is not None
        sure = shown.sure(shown.calibrated(np.array(scores["sureness"])))
        assert told["certificate"] | {"n": 0} == vars(shown.certificate) | {"n": 0}
        assert shown.certificate.n == len(rows) == told["rows"]["certification"]
        assert shown.certificate.answered == sure.sum()
        assert shown.certificate.wrong == (sure & wrong).sum()
        assert shown.certificate.bound <= EPSILON
        assert told["rows"]["calibration"] + len(rows) == told["rows"]["held_out"] == len(ids)
        step = [one for one in told["steps"] if one["passed"]][-1]
        assert step["escalated"]["value"] == pytest.approx(1 - sure.mean())

    def test_no_row_of_it_was_learned_from_or_chosen_by(self, run: Path, certified: cascade.Certified) -> None:
        opened = cascade.finished.reopen(run)
        met = {*opened.said.learned(), *opened.corpus.dev.ids()}
        assert not met & set(certified.artifact.read_json(cascade.ROWS)["ids"])

    def test_the_price_is_the_student_s_always_and_the_teacher_s_where_it_is_asked(
        self, certified: cascade.Certified
    ) -> None:
        prices = certified.told["prices"]
        for one in certified.told["steps"]:
            expected = prices["student"] / prices["teacher"] + one["escalated"]["value"]
            assert one["paid"]["value"] == pytest.approx(expected, rel=1e-5)

    def test_again_it_is_found(self, run: Path, certified: cascade.Certified) -> None:
        again = cascade.certify(run, epsilon=EPSILON)
        assert again.artifact.digest == certified.artifact.digest
        assert again.bundle is not None
        assert certified.bundle is not None
        assert again.bundle.digest == certified.bundle.digest
        carried = stillroom.load(run).cascade
        assert carried is not None
        assert vars(carried.prices) == certified.told["prices"]

    def test_the_page_tells_it(self, certified: cascade.Certified) -> None:
        told = certified.page.read_text(encoding="utf-8")
        assert "Certified with 95% confidence" in told
        assert "exchangeable" in told
        assert "http" not in told.replace("http://www.w3.org", "")


class TestBundle:
    def test_it_holds_the_old_one_and_the_cascade(self, run: Path, certified: cascade.Certified) -> None:
        stages = json.loads((run / "run.json").read_text(encoding="utf-8"))["stages"]
        old = artifact.load(run.parents[1] / "bundle" / stages["export"]["key"])
        assert certified.bundle is not None
        assert certified.bundle.manifest["files"].items() >= old.manifest["files"].items()
        assert set(certified.bundle.manifest["files"]) - set(old.manifest["files"]) == {deferral.FILE}
        assert stillroom.load(old.folder).cascade is None
        assert stillroom.load(certified.bundle.folder, verify=True).cascade is not None
        assert stillroom.load(run).digest == certified.bundle.digest

    def test_decisions_are_predictions_with_a_threshold(self, run: Path, certified: cascade.Certified) -> None:
        predictor = stillroom.load(run)
        assert predictor.cascade is not None
        decided = predictor.decide(TEXTS)
        assert [one.prediction for one in decided] == predictor.predict(TEXTS)
        scores = np.array([one.score for one in predictor.predict(TEXTS)])
        expected = np.interp(scores, predictor.cascade.sureness, predictor.cascade.confidence)
        np.testing.assert_allclose([one.confidence for one in decided], expected)
        assert [one.sure for one in decided] == [one.confidence >= predictor.cascade.threshold for one in decided]
        assert predictor.decide([]) == []

    def test_a_run_that_is_made_again_keeps_it_and_another_recipe_does_not(
        self, travelled: Travelled, run: Path, certified: cascade.Certified
    ) -> None:
        pipeline.run(recipe.parse(travelled.recipe), work=run.parents[1])
        assert stillroom.load(run).cascade is not None
        edited(run / "run.json", "stages", "export", "digest", value="of another")
        assert stillroom.load(run).cascade is None

    def test_without_a_certificate_nothing_is_decided(self, travelled: Travelled) -> None:
        predictor = stillroom.load(travelled.run.artifacts["export"].folder)
        assert predictor.cascade is None
        with pytest.raises(InputError, match="no certificate"):
            predictor.decide(TEXTS)

    def test_what_serves_otherwise_is_not_certified(self, certified: cascade.Certified) -> None:
        assert certified.bundle is not None
        edited(certified.bundle.folder / deferral.FILE, "certificate", "runner", value="another")
        predictor = stillroom.load(sealed(certified.bundle.folder))
        assert predictor.cascade is None
        with pytest.raises(InputError, match="no certificate"):
            predictor.decide(TEXTS)

    def test_it_is_served_without_torch_and_scikit_learn(self, run: Path, certified: cascade.Certified) -> None:
        code = (f"import sys, stillroom; stillroom.load({str(run)!r}).decide(['a fine film']);"
                "print({'torch', 'sklearn', 'scipy'} & set(sys.modules))")  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"


class TestRefused:
    def test_too_few_rows_and_how_many_more(self, run: Path) -> None:
        found = cascade.certify(run, epsilon=0.01)
        assert not found.passed
        assert found.told["certificate"] is None
        assert "299 are needed" in found.told["reason"]
        missing = 299 - found.told["rows"]["certification"]
        assert f"{int(np.ceil(missing * 3 / 2)):,} test rows" in found.told["advice"]
        assert not (run / runtime.CASCADE).exists()
        assert stillroom.load(run).cascade is None
        assert page.sentences(found.told)[1].startswith("Cannot certify")

    def test_one_that_fails_leaves_the_one_before(self, run: Path, certified: cascade.Certified) -> None:
        assert not cascade.certify(run, epsilon=0.01).passed
        assert certified.bundle is not None
        assert stillroom.load(run).digest == certified.bundle.digest

    def test_a_student_that_is_wrong_where_it_is_sure(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The fault is planted in what it says of how sure it is."""
        real = Classification.sureness
        held_out = cascade.finished.Finished.held_out

        def turned(self: Any, report: Any) -> Any:
            rows = held_out(self, report)
            rng = np.random.default_rng(0)
            sure = real(Classification(labels=("a", "b")), rng.normal(size=(len(rows.ids), 2)))
            return cascade.Answered(rows.ids, sure, sure < np.quantile(sure, 0.5))

        monkeypatch.setattr(cascade.finished.Finished, "held_out", turned)
        found = cascade.certify(run, epsilon=EPSILON)
        assert not found.passed
        assert "wrong where it is sure" in found.told["advice"]

    def test_a_task_that_does_not_say_how_sure_it_is(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Classification, "unsure", "it keeps that to itself")
        with pytest.raises(MismatchError, match="it keeps that to itself"):
            cascade.certify(run)

    @pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.05), (1.0, 0.05), (0.05, 0.0), (0.05, 0.5), (-1, 0.05)])
    def test_numbers_that_promise_nothing(self, run: Path, epsilon: float, delta: float) -> None:
        with pytest.raises(InputError):
            cascade.certify(run, epsilon=epsilon, delta=delta)

    def test_a_folder_that_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError):
            cascade.certify(tmp_path)

    @pytest.mark.parametrize("stage", ["export", "evaluate"])
    def test_a_run_that_broke_off(self, run: Path, stage: str) -> None:
        edited(run / "run.json", "stages", stage, value=None)
        with pytest.raises(InputError, match=stage):
            cascade.certify(run)

    def test_a_run_whose_cost_was_not_measured_has_no_price(self, run: Path) -> None:
        edited(run / "run.json", "stages", "cost", value=None)
        told = cascade.certify(run, epsilon=EPSILON).told
        assert all(one["paid"]["value"] is None and one["paid"]["reason"] for one in told["steps"])

    @pytest.mark.parametrize("what", ["corpus/*/test.parquet", "bundle/*/static.safetensors", "transfer/*/*.parquet"])
    def test_a_damaged_part(self, run: Path, what: str) -> None:
        for path in run.parents[1].glob(what):
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        with pytest.raises(ArtifactError):
            cascade.certify(run)

    def test_a_damaged_certificate(self, run: Path, certified: cascade.Certified) -> None:
        assert certified.bundle is not None
        edited(certified.bundle.folder / deferral.FILE, "threshold", value=0.0)
        with pytest.raises(ArtifactError, match=r"cascade\.json"):
            stillroom.load(run)

    @pytest.mark.parametrize("told", ["", "[]", "{}", '{"of": 1}'])
    def test_a_record_that_can_t_be_read(self, run: Path, told: str) -> None:
        (run / runtime.CASCADE).write_text(told, encoding="utf-8")
        with pytest.raises(ArtifactError, match=r"cascade\.json"):
            stillroom.load(run)

    @settings(max_examples=30)
    @given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
                        lambda one: st.lists(one, max_size=3) | st.dictionaries(
                            st.sampled_from(["threshold", "certificate", "sureness", "confidence"]), one)))  # fmt: skip
    def test_whatever_stands_in_the_file_is_refused_in_our_words(
        self, tmp_path_factory: pytest.TempPathFactory, told: Any
    ) -> None:
        path = tmp_path_factory.mktemp("any") / deferral.FILE
        path.write_text(json.dumps(told), encoding="utf-8")
        with pytest.raises(ArtifactError):
            deferral.read(path)


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from stillroom import cascade
real, seen = shutil.copyfile, []
def killing(source, target):
    seen.append(source)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(source, target)
shutil.copyfile = killing
cascade.certify(Path(sys.argv[1]), epsilon=float(sys.argv[2]))
"""


def test_killed_while_the_bundle_is_written_nothing_is_half_there(run: Path) -> None:
    before = stillroom.load(run).digest
    bundles = {path.name for path in (run.parents[1] / "bundle").glob("[!.]*")}
    done = subprocess.run([sys.executable, "-c", KILLED, str(run), str(EPSILON)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert {path.name for path in (run.parents[1] / "bundle").glob("[!.]*")} == bundles
    assert stillroom.load(run).digest == before
    assert stillroom.load(run).cascade is None
    assert cascade.certify(run, epsilon=EPSILON).passed
    assert stillroom.load(run).cascade is not None


def test_an_error_while_the_bundle_is_written_leaves_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StillroomError):
        cascade.certify(run, epsilon=EPSILON)
    assert stillroom.load(run).cascade is None
    assert not list((run.parents[1] / "bundle").glob(".draft-*"))
