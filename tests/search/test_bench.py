"""The jury: no row of the test, and any teacher that can be followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillroom import corpus as corpora
from stillroom import cost
from stillroom.core import recipe
from stillroom.search.bench import Bench, Jury
from stillroom.search.ladder import climb
from tests.conftest import sentences
from tests.search.scenes import Searched


@pytest.mark.slow
def test_the_jury_and_the_bench_refuse_rows_of_the_test(searched: Searched) -> None:
    bench = Bench(recipe.parse(searched.toy), work=searched.work, report=lambda _: None)
    candidates, _ = climb(bench.recipe, teacher_layers=3)
    bench.ask(candidates)
    peek: Any = corpora.load(bench.recipe.corpus, task=bench.recipe.task, store=bench.store).test
    with pytest.raises(TypeError, match="evaluation only"):
        Jury.call(peek, bench.said, task=bench.recipe.task)
    with pytest.raises(TypeError, match="evaluation only"):
        cost.lightly(bench.recipe.teacher, bench.teacher, bench.teacher, [peek], task=bench.recipe.task, beside=False)


def test_a_teacher_that_only_names_labels_can_be_followed(toy: dict[str, Any], tmp_path: Path) -> None:
    """Its label has all of its probability."""
    lines = [json.dumps({"text": text, "label": label}) for text, label in sentences()]
    (tmp_path / "said.jsonl").write_text("\n".join(lines), encoding="utf-8")
    toy["teacher"] = {"kind": "recorded", "outputs": str(tmp_path / "said.jsonl")}
    toy["search"] = {"families": ["bag"], "rungs": 1}
    asked = recipe.parse(toy)
    bench = Bench(asked, work=tmp_path / "work", report=lambda event: None)
    bench.ask(climb(asked, teacher_layers=0)[0])
    assert bench.said.names_labels_only
    gold = bench.corpus.dev.table(["label"])["label"].to_pylist()
    assert bench.jury.gold.tolist() == gold, "it is always right"
    assert bench.jury.teacher.tolist() == gold
    assert bench.jury.score(bench.jury.statistics(None)) == 1.0
    assert bench.jury.score(bench.jury.statistics(1 - bench.jury.teacher)) == 0.0
