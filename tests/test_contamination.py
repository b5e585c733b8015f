"""Rows of the test that were seen before: found where they were planted, told by side, and judged by the gate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stillroom import contamination, corpus, fitness, gates, overlap, pipeline, sides
from stillroom.core import plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import CorpusError, InputError, RecipeError
from stillroom.corpus import Corpus
from stillroom.journey import Run
from stillroom.transfer_set import TransferSet
from tests.conftest import sentences as toy_sentences
from tests.conftest import write_csv
from tests.corpora.examples import sentences

GATE = recipe.Gate(measure="contamination.test_rows_shared", at_most=0)
PLANTED = 30
Pairs = list[tuple[str, str]]


def passage(row: int) -> str:
    return " ".join(f"q{row}w{place}" for place in range(14))


def labelled(texts: Sequence[str]) -> Pairs:
    """Texts that the toy's labels can be told of by a word at their beginning."""
    label = [one for _, one in toy_sentences()]
    names = sorted(set(label))
    return [(f"{names[row % 2]} {text}", names[row % 2]) for row, text in enumerate(texts)]


@dataclass(frozen=True)
class Journey:
    """A run until its evaluation, and what was planted in it."""

    built: dict[str, Any]
    work: Path
    run: Run

    @property
    def told(self) -> dict[str, Any]:
        return dict(self.run.artifacts["evaluate"].read_json("evaluation.json")["contamination"])

    @property
    def parts(self) -> tuple[Corpus, TransferSet]:
        task = recipe.parse(self.built).task
        rows = corpus.load(recipe.parse(self.built).corpus, task=task, store=Store(self.work))
        return rows, TransferSet(self.run.artifacts["transfer"])

    def again(self, name: str, **changes: Any) -> Journey:
        built = {**self.built, "name": name, **changes}
        return replace(self, built=built, run=pipeline.run(recipe.parse(built), work=self.work, until="evaluate"))

    def search(self, **changes: Any) -> Artifact:
        """The search by itself, with other parts than the run's."""
        parsed = recipe.parse(self.built)
        rows, said = self.parts
        asked = {"corpus": rows, "said": said, "teacher": parsed.teacher, "task": parsed.task,
                 "settings": parsed.evaluate, "store": Store(self.work), **changes}  # fmt: skip
        return contamination.search(**asked)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path) -> Journey:
    """A run whose first test rows have a passage in common with training rows, which the corpus does not look for."""
    folder = tmp_path_factory.mktemp("planted")
    texts = sentences(400, seed=21)
    kinds = {"train": texts[:200], "dev": texts[200:260], "test": texts[260:]}
    for name in ("train", "test"):
        kinds[name] = [f"{text} {passage(row)}" if row < PLANTED else text for row, text in enumerate(kinds[name])]
    files = {name: str(write_csv(folder / f"{name}.csv", labelled(own))) for name, own in kinds.items()}
    built = {
        "name": "planted",
        "task": {"kind": "classification", "labels": sorted({label for _, label in toy_sentences()})},
        "corpus": {"kind": "table", **files},
        "teacher": {"kind": "huggingface", "model": str(classifier_folder)},
        "student": {"kind": "bag", "epochs": 1, "features": {"bits": 10}},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
    }
    run = pipeline.run(recipe.parse(built), work=folder / "work", until="evaluate")
    return Journey(built, folder / "work", run)


def test_exactly_what_was_planted_is_found(planted: Journey) -> None:
    rows, _ = planted.parts
    expected = {one for one, text in zip(rows.test.ids(), rows.test.texts(), strict=True) if "w13" in text}
    told = planted.told
    assert len(expected) == PLANTED
    assert {one["id"] for one in told["flagged"]} == expected
    assert {(one["with"], one["method"]) for one in told["flagged"]} == {("train", "grams")}
    assert told["test_rows_shared"] == {"value": PLANTED, "n": 140}
    assert told["dev_rows_shared"] == {"value": 0, "n": 60}
    partner = {text.partition("q")[2]: one for one, text in zip(rows.train.ids(), rows.train.texts(), strict=True)}
    own = {one: text.partition("q")[2] for one, text in zip(rows.test.ids(), rows.test.texts(), strict=True)}
    assert all(one["other"] == partner[own[one["id"]]] for one in told["flagged"])


def test_cases_that_were_learned_from_are_found(planted: Journey) -> None:
    """Texts that a probe brings along: two stand among the training rows, one in other capitals."""
    rows, _ = planted.parts
    known = list(rows.train.texts())[50:52]
    found = planted.search(brought=[known[0], known[1].upper(), "a text that nobody had before", known[0]])
    counts = found.read_json("contamination.json")
    assert counts["sides"]["suites"]["rows"] == 3
    (pair,) = [one for one in counts["pairs"] if (one["of"], one["with"]) == ("suites", "train")]
    assert (pair["exact"], pair["any"]) == (2, 2)
    assert planted.told["suites_rows_shared"]["value"] is None


def test_the_gate_stops_it(planted: Journey) -> None:
    (verdict,) = gates.judge([GATE], {"contamination": planted.told})
    assert (verdict.state, verdict.value) == ("fail", PLANTED)


def test_pairs_tell_each_method_apart(planted: Journey) -> None:
    pair = next(one for one in planted.told["pairs"] if (one["of"], one["with"]) == ("test", "train"))
    assert pair == {"of": "test", "with": "train", "rows": 140, "others": 200, "exact": 0, "grams": PLANTED, "near": 0,
                    "any": PLANTED}  # fmt: skip
    assert {(one["of"], one["with"]) for one in planted.told["pairs"]} == {("dev", "train"), ("test", "train"),
                                                                           ("test", "dev")}  # fmt: skip
    short = {one["side"]: one["short"] for one in planted.told["sides"]}
    rows, _ = planted.parts
    assert short["test"] == sum(len(text.split()) < 13 for text in rows.test.texts())


def test_scores_are_told_of_both_parts(planted: Journey) -> None:
    scores = planted.told["scores"]
    evaluation = planted.run.artifacts["evaluate"].read_json("evaluation.json")
    assert scores["metric"] == next(iter(evaluation["retention"]))
    assert scores["all"]["student"] == evaluation["systems"]["student"]["scores"][scores["metric"]]
    table = pq.read_table(planted.run.artifacts["evaluate"].folder / "table.parquet").to_pylist()
    flagged = {one["id"] for one in planted.told["flagged"]}
    for part, inside in (("clean", False), ("contaminated", True)):
        rows = [one for one in table if (one["id"] in flagged) == inside]
        figure = scores[part]["teacher"]
        names = json.loads(pq.read_schema(planted.run.artifacts["evaluate"].folder / "table.parquet")
                           .metadata[b"labels"])  # fmt: skip
        right = sum(one["gold"] == names[max(range(2), key=one["probabilities.teacher"].__getitem__)] for one in rows)
        assert (figure["n"], figure["value"]) == (len(rows), pytest.approx(right / len(rows)))
        assert figure["low"] < figure["value"] < figure["high"]


def test_too_few_contaminated_rows_are_no_figure(planted: Journey) -> None:
    strict = planted.again("strict", evaluate={"resamples": 200, "min_slice_rows": 50})
    scores = strict.told["scores"]
    assert scores["contaminated"]["student"]["value"] is None
    assert "20 more of test rows “contaminated”" in scores["contaminated"]["student"]["reason"]
    assert scores["clean"]["student"]["n"] == 140 - PLANTED
    assert strict.told["test_rows_shared"]["value"] == PLANTED, "what is found does not hang on how it is scored"


def test_a_teacher_made_elsewhere_is_not_called_clean(planted: Journey) -> None:
    seen = planted.told["teacher_rows_shared"]
    assert seen["value"] is None
    assert "not known" in seen["reason"]
    assert "evaluate.teacher_saw" in planted.told["sentences"][1]
    asked = recipe.Gate(measure="contamination.teacher_rows_shared", at_most=0)
    (verdict,) = gates.judge([asked], {"contamination": planted.told})
    assert (verdict.state, verdict.reason) == ("not measurable", seen["reason"])


def test_a_part_that_was_made_elsewhere_makes_the_whole_unknown(planted: Journey) -> None:
    fitted, found = {"kind": "finetuned", "base": "one"}, planted.built["teacher"]
    for members, known in (([fitted, fitted], True), ([fitted, found], False)):
        teacher = plugins.build("teachers", {"kind": "ensemble", "members": members})
        assert (teacher.needs_gold, teacher.fitted_here) == (True, known)
        told = contamination.tell(planted.search(teacher=teacher), {"retention": {}}, table=None,
                                  settings=recipe.Evaluate(), seed=1)  # fmt: skip
        assert told["teacher_rows_shared"]["value"] == (PLANTED if known else None)


def test_named_files_of_what_the_teacher_saw_settle_it(planted: Journey, tmp_path: Path) -> None:
    rows, _ = planted.parts
    leaked = [(one, text) for one, text in zip(rows.test.ids(), rows.test.texts(), strict=True) if "w13" not in text][
        :7
    ]
    lines = [{"text": f"  {text.upper()}\n"} for _, text in leaked] + [
        {"text": text} for text in sentences(50, seed=33)
    ]
    path = tmp_path / "saw.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    evaluate = {**planted.built["evaluate"], "teacher_saw": [str(path)]}
    told = planted.again("saw", evaluate=evaluate).told
    assert told["teacher_rows_shared"] == {"value": 7, "n": 140}
    assert told["test_rows_shared"]["value"] == PLANTED + 7
    assert {one["id"] for one in told["flagged"] if one["with"] == "teacher"} == {one for one, _ in leaked}
    assert "57 texts" in told["sentences"][1]
    assert "7 of 140 test rows are among them" in told["sentences"][1]


def test_a_file_that_is_not_there_is_told_before_anything_begins(planted: Journey, tmp_path: Path) -> None:
    built = {**planted.built, "evaluate": {"teacher_saw": [str(tmp_path / "none.csv")]}, "corpus": {
        "kind": "table", "labelled": str(write_csv(tmp_path / "rows.csv", toy_sentences()))}}  # fmt: skip
    with pytest.raises(InputError, match=r"none\.csv"):
        fitness.equipped(recipe.parse(built), stages=pipeline.STAGES)
    fitness.equipped(recipe.parse(built), stages=pipeline.STAGES[:5])
    with pytest.raises(RecipeError):
        recipe.parse({**built, "evaluate": {"teacher_saw": 7}})


def test_a_file_without_texts_is_refused(planted: Journey, tmp_path: Path) -> None:
    path = tmp_path / "saw.csv"
    path.write_text("words,label\na,b\n", encoding="utf-8")
    settings = recipe.Evaluate(teacher_saw=(str(path),))
    with pytest.raises(CorpusError, match="text"):
        planted.search(settings=settings)


def test_a_test_of_training_rows_is_found_whole(planted: Journey) -> None:
    rows, _ = planted.parts
    leaky = replace(rows, test=replace(rows.train, role="test"))
    found = planted.search(corpus=leaky)
    told = contamination.tell(found, {"retention": {}}, table=None, settings=recipe.Evaluate(), seed=1)
    assert told["test_rows_shared"] == {"value": 200, "n": 200}
    (pair,) = [one for one in told["pairs"] if (one["of"], one["with"]) == ("test", "train")]
    assert (pair["exact"], pair["near"]) == (200, 200)
    assert pair["grams"] == 200 - next(one["short"] for one in told["sides"] if one["side"] == "test")
    assert gates.judge([GATE], {"contamination": told})[0].state == "fail"
    assert len(pq.read_table(found.folder / contamination.FLAGS)) > len(told["flagged"]) == 50


def test_rows_that_only_the_transfer_set_holds_are_found_there(planted: Journey, tmp_path: Path) -> None:
    rows, _ = planted.parts
    none = pq.read_table(rows.train.path).slice(0, 0)
    pq.write_table(none, tmp_path / "train.parquet")
    without = replace(rows.train, path=tmp_path / "train.parquet", digest="0" * 64, count=0)
    leaky = replace(rows, train=without, test=replace(rows.train, role="test"))
    found = planted.search(corpus=leaky)
    flags = pq.read_table(found.folder / contamination.FLAGS).to_pylist()
    assert {one["id"] for one in flags if one["with"] == "transfer"} == set(rows.train.ids())
    assert {one["with"] for one in flags if one["of"] == "test"} == {"transfer"}


def test_what_is_shared_by_test_and_outside_alone_is_told_and_not_counted(planted: Journey) -> None:
    rows, _ = planted.parts
    doubled = replace(rows, outside=replace(rows.test, role="outside"), train=replace(rows.train, count=200))
    told = contamination.tell(planted.search(corpus=doubled), {"retention": {}}, table=None,
                              settings=recipe.Evaluate(), seed=1)  # fmt: skip
    (pair,) = [one for one in told["pairs"] if (one["of"], one["with"]) == ("outside", "test")]
    assert pair["exact"] == 140
    assert told["outside_rows_shared"] == {"value": PLANTED, "n": 140}


def test_what_was_learned_from_is_held_against_what_else_was(planted: Journey, tmp_path: Path) -> None:
    """Files of the teacher's training against the training rows, and unlabelled rows against both."""
    rows, _ = planted.parts
    train = list(rows.train.texts())
    path = tmp_path / "saw.jsonl"
    lines = [*train[:40], *(f"{passage(900 + row)} {text}" for row, text in enumerate(sentences(5, seed=34)))]
    path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in lines), encoding="utf-8")
    settings = recipe.Evaluate(teacher_saw=(str(path),))
    doubled = replace(rows, unlabelled=replace(rows.train, role="unlabelled"))
    found = planted.search(settings=settings, corpus=doubled).read_json("contamination.json")
    told = {(one["of"], one["with"]): one for one in found["pairs"]}
    assert (told["train", "teacher"]["exact"], told["train", "teacher"]["any"]) == (40, 40)
    assert told["train", "teacher"]["near"] == 40
    assert (told["train", "teacher"]["rows"], told["train", "teacher"]["others"]) == (200, 45)
    assert told["unlabelled", "train"]["exact"] == told["unlabelled", "train"]["any"] == 200
    assert told["unlabelled", "teacher"]["exact"] == 40
    assert found["by_design"] == []


def test_every_pair_of_sides_is_held_against_each_other_or_alike_by_design(planted: Journey) -> None:
    order = (*sides.LEARNED, *sides.JUDGED)
    every = {(of, other) for place, of in enumerate(order) for other in order[:place]}
    judged = {(of, other) for of, other in every if of in sides.JUDGED}
    assert judged | set(sides.COUNTED) | set(sides.BY_DESIGN) == every
    assert not set(sides.COUNTED) & set(sides.BY_DESIGN)
    rows, _ = planted.parts
    fitted = plugins.build("teachers", {"kind": "finetuned", "base": "one"})
    found = planted.search(teacher=fitted).read_json("contamination.json")
    assert [(one["of"], one["with"]) for one in found["by_design"]] == [("train", "teacher"), ("dev", "teacher")]
    elsewhere = replace(rows, unlabelled=replace(rows.train, digest="1" * 64, role="unlabelled"),
                        train=replace(rows.train, digest="0" * 64))  # fmt: skip
    design = planted.search(corpus=elsewhere).read_json("contamination.json")
    assert {(one["of"], one["with"]) for one in design["by_design"]} == {
        ("transfer", "train"),
        ("transfer", "unlabelled"),
    }
    assert ("transfer", "train") not in {(one["of"], one["with"]) for one in design["pairs"]}


def test_a_search_is_done_once_for_all_students(planted: Journey) -> None:
    before = set((planted.work / contamination.STAGE).iterdir())
    planted.again("other", student={"kind": "bag", "epochs": 1, "features": {"bits": 8}})
    assert set((planted.work / contamination.STAGE).iterdir()) == before
    found = planted.search()
    assert sorted(found.manifest["files"]) == [contamination.FILE, contamination.FLAGS], "no text is left behind"
    assert found.manifest["settings"]["search"] == overlap.SETTINGS


def test_figures_are_what_gates_may_name(planted: Journey) -> None:
    measures = gates.measures({"contamination": planted.told})
    assert {f"contamination.{one}" for one in contamination.FIGURES} == set(measures)
    assert set(measures) <= set(gates.vocabulary(plugins.build("tasks", planted.built["task"]).metrics))


def test_without_a_row_to_test_on_nothing_is_measurable(planted: Journey, tmp_path: Path) -> None:
    rows, _ = planted.parts
    pq.write_table(pq.read_table(rows.test.path).slice(0, 0), tmp_path / "test.parquet")
    bare = replace(rows, test=replace(rows.test, path=tmp_path / "test.parquet", digest="0" * 64, count=0))
    told = contamination.tell(planted.search(corpus=bare), {"retention": {"accuracy": {}}}, table=None,
                              settings=recipe.Evaluate(), seed=1)  # fmt: skip
    assert told["test_rows_shared"]["value"] is None
    assert told["scores"]["clean"]["student"]["reason"] == "no row to test on"
    assert "not measurable" in told["sentences"][0]
