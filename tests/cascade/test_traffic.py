"""A run's certificate, put to other texts: it holds where they are like its own, and is refused where they are not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import stillroom
from stillroom import cascade
from stillroom.cascade import traffic
from stillroom.core.errors import CorpusError, InputError
from tests.cascade.scenes import EPSILON, copied, edited
from tests.conftest import LABELS, Travelled, sentences


@pytest.fixture
def run(travelled: Travelled, tmp_path: Path) -> Path:
    found = copied(travelled, tmp_path)
    assert cascade.certify(found, epsilon=EPSILON).passed
    return found


@pytest.fixture
def new() -> list[str]:
    """Texts like those of the run, none of which it has: the tokenizer reads them as it reads the run's own."""
    return [text.upper() for text, _ in sentences()[::4]]


def write(path: Path, **columns: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def test_texts_like_its_own_are_certified_by_what_the_teacher_says(run: Path, new: list[str], tmp_path: Path) -> None:
    found = traffic.judge(run, write(tmp_path / "new.csv", text=new))
    assert traffic.passed(found)
    assert found["n"] == found["rows"] == len(new)
    predictor = stillroom.load(run)
    decided = predictor.decide(new)
    assert found["answered"] == sum(one.sure for one in decided)
    assert found["bound"] == pytest.approx(stats.beta.ppf(0.95, found["wrong"] + 1, len(new) - found["wrong"]))
    assert found["steps"][-1]["threshold"] == found["threshold"]
    assert traffic.judge(run, tmp_path / "new.csv") == found, "and the teacher is asked nothing twice"


def test_a_teacher_that_says_otherwise_is_a_shift_that_is_not_certified(
    run: Path, new: list[str], tmp_path: Path
) -> None:
    said = [one.label for one in stillroom.load(run).predict(new)]
    other = [LABELS[1 - LABELS.index(one)] for one in said]
    path = write(tmp_path / "new.csv", text=new, same=said, other=other)
    well, ill = (traffic.judge(run, path, teacher=column) for column in ("same", "other"))
    assert (well["state"], well["wrong"]) == ("certified", 0)
    assert (ill["state"], ill["wrong"]) == ("cannot certify", ill["answered"])
    assert "were promised" in ill["reason"]
    assert traffic.sentences(ill)[1].startswith("Cannot certify")
    assert ill["shift"] == well["shift"], "what the teacher says is no part of the hint"


def test_other_texts_are_not_certified_though_hardly_anything_goes_wrong(run: Path, tmp_path: Path) -> None:
    """The teacher, as a column has it, says the same of all of them; only how sure the student is has changed."""
    strange = [f"zq{number} vx{number % 7} kj" for number in range(60)]
    said = [one.label for one in stillroom.load(run).predict(strange)]
    found = traffic.judge(run, write(tmp_path / "strange.csv", text=strange, said=said), teacher="said")
    assert found["wrong"] == 0
    assert found["bound"] <= EPSILON
    assert found["state"] == "cannot certify"
    assert "other traffic" in found["reason"]


def test_too_few_rows_are_not_certified(run: Path, new: list[str], tmp_path: Path) -> None:
    found = traffic.judge(run, write(tmp_path / "few.csv", text=new[:5]))
    assert found["state"] == "cannot certify"
    assert "9 are needed" in found["reason"]


def test_rows_that_are_not_new_are_left_out_and_counted(run: Path, new: list[str], tmp_path: Path) -> None:
    old = [text for text, _ in sentences()]
    found = traffic.judge(run, write(tmp_path / "both.csv", text=[*old, *new]))
    assert found["rows"] == len(new)
    assert sum(found["left_out"].values()) == len(old)
    assert set(found["left_out"]) == {"learned from", "chosen by", "certified on"}
    with pytest.raises(InputError, match="new to the student"):
        traffic.judge(run, write(tmp_path / "old.csv", text=old))


def test_where_the_teacher_is_not_asked_there_is_a_hint_alone(run: Path, new: list[str], tmp_path: Path) -> None:
    edited(run / "recipe.resolved.json", "audit", "ask_teacher", value=False)
    found = traffic.judge(run, write(tmp_path / "new.csv", text=new))
    assert found["state"] == "cannot certify"
    assert "not asked" in found["reason"]
    assert found["shift"]["now"] == len(new)
    assert 0 <= found["shift"]["p"] <= 1


def test_the_hint_tells_texts_apart_of_which_the_student_is_less_sure(
    run: Path, new: list[str], tmp_path: Path
) -> None:
    edited(run / "recipe.resolved.json", "audit", "ask_teacher", value=False)
    # Words that it has never met, and none that gives a label away.
    strange = [f"zq{number} vx{number % 7} kj" for number in range(60)]
    alike, other = (traffic.judge(run, write(tmp_path / f"{name}.csv", text=texts))["shift"]
                    for name, texts in (("alike", new), ("strange", strange)))  # fmt: skip
    assert other["p"] < 1e-6 < alike["p"]
    before = cascade.certify(run, epsilon=EPSILON).artifact.read_json(cascade.ROWS)["sureness"]
    predictor = stillroom.load(run)
    sure = predictor.task.sureness(predictor.calibrated(strange))
    assert other["largest_gap"] == pytest.approx(_gap(np.array(before), sure))


def _gap(one: np.ndarray, other: np.ndarray) -> float:
    """The largest gap of two distribution functions, by the definition."""
    places = np.concatenate([one, other])
    return float(max(abs((one <= at).mean() - (other <= at).mean()) for at in places))


def test_a_run_without_a_certificate_is_refused(travelled: Travelled, new: list[str], tmp_path: Path) -> None:
    bare = copied(travelled, tmp_path)
    with pytest.raises(InputError, match="without a certificate"):
        traffic.judge(bare, write(tmp_path / "new.csv", text=new))


def test_rows_that_can_t_be_read_are_refused(run: Path, new: list[str], tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        traffic.judge(run, tmp_path / "nothing.csv")
    with pytest.raises(CorpusError, match="text"):
        traffic.judge(run, write(tmp_path / "other.csv", body=new))
    strange = write(tmp_path / "strange.csv", text=new, teacher=["a label nobody gave"] * len(new))
    with pytest.raises(CorpusError, match="a label nobody gave"):
        traffic.judge(run, strange, teacher="teacher")
