"""Each fault is planted and found, and nothing else is; a run that is well is left in peace."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from stillroom import cost, doctor, journey, pipeline, table
from stillroom.core import artifact, recipe, two_samples
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import ArtifactError
from stillroom.symptoms import ANSWER, FOLDERS, Case, Seen, Unseen, _chance, label_order
from stillroom.symptoms.far_texts import FarTexts
from stillroom.symptoms.leak import Leak
from tests.conftest import LABELS, Travelled, sentences, write_csv

ROWS = {"train": 200, "dev": 80, "test": 160}
FILLERS = [f"{a}{b}" for a in ("ba", "co", "du", "fe", "gi", "lu", "mo", "ne") for b in "bcdfghklmnprstvz"]
TELLING = ([f"gut{one}" for one in "abcdefgh"], [f"bös{one}" for one in "abcdefgh"])
GREEK = ("αυτή", "ήταν", "μια", "πολύ", "ταινία", "καλή", "κακή", "χθες", "βράδυ", "όλοι", "είπαν", "τίποτα")


def symptoms(found: doctor.Examination) -> set[str]:
    """What was found, without what a finding before explains."""
    return {one.symptom for one in found.findings if one.follows_from is None}


#: The kinds that a test of this file plants and finds.
PLANTED: set[str] = set()


def plants(*kinds: str) -> Callable[[Callable[..., doctor.Examination]], Callable[..., None]]:
    """Holds a test, which gives its examination, to finding what it says that it plants."""
    PLANTED.update(kinds)

    def held(test: Callable[..., doctor.Examination]) -> Callable[..., None]:
        @functools.wraps(test)
        def finds(**fixtures: Any) -> None:
            found = test(**fixtures)
            assert set(kinds) <= symptoms(found)
            assert all(one.told and one.cause and one.change for one in found.findings)

        return finds

    return held


class Pair:
    """A synthetic corpus with a teacher whose confidence is true: gold is drawn from what it says."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.logits, self.gold, self.texts = {}, {}, {}
        for role, count in ROWS.items():
            odds = rng.normal(0, 3, size=count)
            gold = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(np.int64)
            self.logits[role] = np.stack([-odds / 2, odds / 2], axis=1)
            self.gold[role] = gold
            self.texts[role] = [self.text(rng, one) for one in gold.tolist()]
        noise = rng.normal(0, 1.0, size=(3, ROWS["test"], 2))
        test = self.logits["test"]
        self.others = {"student": test + noise[0], "undistilled": 0.8 * test + noise[1], "baseline": noise[2]}
        self.taught = {"train": "train"}

    @staticmethod
    def text(rng: np.random.Generator, label: int) -> str:
        return " ".join([*rng.choice(FILLERS, 7), *rng.choice(TELLING[label], 2)])

    def write(self, work: Path) -> Path:
        """The artifacts of a run that was not trained here: corpus, teacher, transfer and evaluation."""
        ids = {role: [artifact.text_id(one) for one in texts] for role, texts in self.texts.items()}
        keys = {
            "corpus": made(work, "corpus", lambda draft: self._corpus(draft, ids)),
            "teacher": made(work, "teacher", lambda draft: draft.facts.update({"kind": "recorded"})),
            "transfer": made(work, "transfer", lambda draft: self._transfer(draft, ids)),
            "evaluate": made(work, "evaluation", lambda draft: self._evaluation(draft, ids)),
        }
        folder = work / "runs" / "pair"
        stages = {stage: {"key": one.key, "digest": one.digest} for stage, one in keys.items()}
        artifact.write_json(folder / "run.json", {"name": "pair", "stages": stages})
        artifact.write_json(folder / "recipe.resolved.json", plain("pair", "rows.csv", "said.jsonl"))
        return folder

    def _corpus(self, draft: Draft, ids: Mapping[str, list[str]]) -> None:
        for role in ROWS:
            columns = {"id": ids[role], "text": self.texts[role], "label": self.gold[role]}
            pq.write_table(pa.table(columns), draft.folder / f"{role}.parquet")

    def _transfer(self, draft: Draft, ids: Mapping[str, list[str]]) -> None:
        draft.facts["signals"] = {"logits": {}}
        for number, (role, part) in enumerate({**self.taught, "dev": "dev"}.items()):
            flat = pa.array(self.logits[role].astype(np.float16).ravel())
            columns = {"id": ids[role], "text": self.texts[role], "part": [part] * len(ids[role])}
            told = pa.table({**columns, "logits": pa.FixedSizeListArray.from_arrays(flat, 2)})
            pq.write_table(told, draft.folder / f"shard-{number}.parquet")

    def _evaluation(self, draft: Draft, ids: Mapping[str, list[str]]) -> None:
        rows, count = ids["test"], ROWS["test"]
        said = {"teacher": self.logits["test"], **self.others}
        told = table.Table(
            tuple(rows),
            self.gold["test"],
            ("",) * count,
            np.zeros(count, dtype=np.bool_),
            np.ones(count, dtype=np.int64),
            {name: one.astype(np.float32) for name, one in said.items()},
            LABELS,
            {},
        )
        table.write_table(told, draft.folder / "table.parquet")
        above = {"value": 0.1, "low": 0.05, "high": 0.15, "n": count, "reason": ""}
        pairs = {f"student_minus_{other}": {"accuracy": above} for other in ("undistilled", "baseline")}
        artifact.write_json(draft.folder / "evaluation.json", {"difference": pairs})


def made(work: Path, stage: str, make: Callable[[Draft], None]) -> Artifact:
    return Store(work).obtain(stage, settings={}, inputs={}, make=make)


def plain(name: str, rows: str, said: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "task": {"kind": "classification", "labels": list(LABELS)},
        "corpus": {"kind": "table", "labelled": rows, "dev_share": 0.3, "test_share": 0.3},
        "teacher": {"kind": "recorded", "outputs": said},
        "student": {"kind": "bag", "features": {"bits": 12}, "learning_rate": 0.2, "epochs": 8, "dropout": 0.0},
        "evaluate": {"resamples": 200},
        "cost": {"texts": 16, "repeats": 3},
        **changes,
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_pair_that_is_well_is_left_in_peace(tmp_path: Path, seed: int) -> None:
    found = doctor.examine(Pair(seed).write(tmp_path))
    assert found.findings == ()
    assert found.tests >= 3


def _swapped(pair: Pair) -> None:
    pair.logits = {role: one[:, ::-1] for role, one in pair.logits.items()}


def _sharpened(pair: Pair) -> None:
    pair.logits = {role: 50 * one for role, one in pair.logits.items()}


def _leaked(pair: Pair) -> None:
    pair.texts["train"][:5] = pair.texts["test"][:5]


def _twinned(pair: Pair) -> None:
    pair.texts["train"][:5] = [f"{one}!" for one in pair.texts["test"][:5]]


def _few(pair: Pair) -> None:
    for part in (pair.texts, pair.gold, pair.logits):
        part["train"] = part["train"][:20]


def _far(pair: Pair) -> None:
    rng = np.random.default_rng(0)
    pair.texts["test"] = [" ".join(rng.choice(GREEK, 9)) for _ in pair.texts["test"]]


def _ignorant(pair: Pair) -> None:
    rng = np.random.default_rng(0)
    pair.others = {**pair.others, "baseline": pair.logits["test"]}
    pair.logits = {role: rng.normal(0, 0.1, size=one.shape) for role, one in pair.logits.items()}


FAULTS: list[tuple[Callable[[Pair], None], set[str], str]]
FAULTS = [
    (_swapped, {"label_order"}, "task.labels"),
    (_sharpened, {"sure_teacher"}, "objective.temperature"),
    (_leaked, {"leak"}, "corpus.unlabelled"),
    (_twinned, {"leak"}, "corpus.unlabelled"),
    (_few, {"few_rows"}, "corpus.unlabelled"),
    (_far, {"far_texts"}, "corpus.unlabelled"),
    (_ignorant, {"weak_teacher"}, "teacher"),
]
PLANTED.update(*(expected for _, expected, _ in FAULTS))


@pytest.mark.parametrize(("fault", "expected", "key"), FAULTS)
def test_a_planted_fault_is_found_and_no_other(
    tmp_path: Path, fault: Callable[[Pair], None], expected: set[str], key: str
) -> None:
    pair = Pair(1)
    fault(pair)
    found = doctor.examine(pair.write(tmp_path))
    assert symptoms(found) == expected
    assert key in found.findings[0].keys
    assert all((tmp_path / fact.artifact / "manifest.json").is_file() for fact in found.findings[0].evidence)


def test_texts_of_another_kind_beside_texts_like_the_test_do_no_harm(tmp_path: Path) -> None:
    pair, rng = Pair(1), np.random.default_rng(0)
    pair.texts["more"] = [" ".join(rng.choice(GREEK, 9)) for _ in pair.texts["train"]]
    pair.logits["more"] = pair.logits["train"]
    pair.taught = {"train": "train", "more": "unlabelled"}
    assert "far_texts" not in symptoms(doctor.examine(pair.write(tmp_path)))
    pair.taught = {"more": "unlabelled"}
    assert "far_texts" in symptoms(doctor.examine(pair.write(tmp_path / "alone")))


def _more(pair: Pair, part: str, texts: list[str]) -> None:
    """Another part of the texts that were learned from."""
    pair.texts["more"], pair.logits["more"] = texts, pair.logits["train"][: len(texts)]
    pair.taught = {**pair.taught, "more": part}


@pytest.mark.parametrize("alike", ["{}", "{}!"])
def test_texts_that_were_made_are_searched_for_the_test(tmp_path: Path, alike: str) -> None:
    """They stand in the transfer set under the name of the rule that made them."""
    pair = Pair(1)
    _more(pair, "masking", [alike.format(text) for text in pair.texts["test"][:5]])
    assert symptoms(doctor.examine(pair.write(tmp_path))) == {"leak"}


def test_texts_that_nobody_learns_from_are_no_leak(tmp_path: Path) -> None:
    pair = Pair(1)
    _more(pair, "outside", pair.texts["test"][:5])
    assert symptoms(doctor.examine(pair.write(tmp_path))) == set()


def test_all_parts_are_far_only_where_each_of_them_is_shown_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest part may be the larger one: its p-value says nothing of the small one."""
    pair = Pair(1)
    _more(pair, "unlabelled", [f"{text}!" for text in pair.texts["train"][:40]])
    hits = {160: (70, 100), 40: (15, 20)}  # by texts of a side
    monkeypatch.setattr(two_samples, "told_apart", lambda one, other, *, needed_by: hits[len(one)])
    seen = list(FarTexts().look(doctor._open(pair.write(tmp_path))))
    assert [one.p for one in seen if not isinstance(one, Unseen)] == [pytest.approx(_binomial_tail(15, 20, 0.5))]


def test_a_sample_is_the_same_whatever_the_shards(tmp_path: Path) -> None:
    pair = Pair(1)
    _more(pair, "unlabelled", [f"{text} more" for text in pair.texts["train"][:40]])
    case = doctor._open(pair.write(tmp_path))
    whole = sorted(artifact.text_id(text) for role in ("train", "more") for text in pair.texts[role])
    assert case.some(60, columns=["text"])["id"].to_pylist() == whole[:60]
    assert case.some(1000, columns=["text", ANSWER])["id"].to_pylist() == whole
    assert case.parts == {"train": 200, "unlabelled": 40}


def test_a_symptom_that_fails_is_one_that_was_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(self: Leak, case: Case) -> Iterator[Seen]:
        yield self.unseen("a beginning")
        raise KeyError("logits")

    monkeypatch.setattr(Leak, "look", look)
    pair = Pair(1)
    _swapped(pair)
    found = doctor.examine(pair.write(tmp_path))
    assert symptoms(found) == {"label_order"}
    assert {one.symptom: one.reason for one in found.unseen}["leak"] == "looking for it failed: KeyError: 'logits'"


# Real runs, small enough to be made for one fault each.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy rows, and what a good teacher said of them."""
    folder = tmp_path_factory.mktemp("doctor")
    write_csv(folder / "rows.csv", sentences())
    rng = np.random.default_rng(0)
    sure = np.abs(rng.normal(3, 1, size=len(sentences())))
    record(folder / "said.jsonl", [one if label == LABELS[1] else -one
                                   for one, (_, label) in zip(sure.tolist(), sentences(), strict=True)])  # fmt: skip
    return folder


def record(path: Path, odds: list[float], *, header: list[str] | None = None) -> None:
    """What a teacher said, under a header that may lie."""
    lines: list[dict[str, Any]] = [{"labels": header}] if header else []
    for one, (text, _) in zip(odds, sentences(), strict=True):
        lines.append({"text": text, "logits": [-one / 2, one / 2]})
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")


def run(
    recorded: Path, tmp_path: Path, *, until: str = "train", said: str = "said.jsonl", **changes: Any
) -> journey.Run:
    told = plain("ill", str(recorded / "rows.csv"), str(recorded / said), **changes)
    return pipeline.run(recipe.parse(told), work=tmp_path / "work", until=until)


def test_a_small_run_that_is_well(recorded: Path, tmp_path: Path) -> None:
    found = doctor.examine(run(recorded, tmp_path, until="evaluate").folder)
    assert found.findings == ()
    assert {one.symptom for one in found.unseen} == set()


def test_a_header_that_lies_is_found_at_the_end_of_the_run(
    recorded: Path, tmp_path: Path, travelled: Travelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """End to end: the labels are swapped, the student ends under its floor, and the run itself says why."""
    # Costs are not what is looked at, and timing them takes longer than all the rest: those of the toy run will do.
    monkeypatch.setattr(cost, "measure", lambda **asked: travelled.run.artifacts["cost"])
    told = [json.loads(line) for line in (recorded / "said.jsonl").read_text(encoding="utf-8").splitlines()]
    swapped = [one["logits"][0] - one["logits"][1] for one in told]
    record(tmp_path / "swapped.jsonl", swapped, header=list(LABELS))
    ended = run(tmp_path, tmp_path, until="dossier", said="swapped.jsonl", corpus={
        "kind": "table", "labelled": str(recorded / "rows.csv"), "dev_share": 0.3, "test_share": 0.3})  # fmt: skip
    assert ended.summary["findings"][0]["symptom"] == "label_order"
    assert {one["symptom"] for one in ended.summary["findings"] if one["follows_from"] is None} == {"label_order"}
    kept = json.loads((ended.folder / "summary.json").read_text(encoding="utf-8"))
    assert kept["findings"] == ended.summary["findings"]
    for document in ("report.html", "model_card.md"):
        assert "in another order" in (ended.folder / "dossier" / document).read_text(encoding="utf-8")
    assert not doctor.examine(ended.folder).well


def test_a_teacher_that_only_names_labels_ends_no_run(
    recorded: Path, tmp_path: Path, travelled: Travelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the wrong ones, so that the student ends under its floor: the run says why, and what it can't tell."""
    monkeypatch.setattr(cost, "measure", lambda **asked: travelled.run.artifacts["cost"])
    told = [{"text": text, "label": LABELS[label == LABELS[0]]} for text, label in sentences()]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
    ended = run(tmp_path, tmp_path, until="dossier", corpus={
        "kind": "table", "labelled": str(recorded / "rows.csv"), "dev_share": 0.3, "test_share": 0.3})  # fmt: skip
    assert {one["symptom"] for one in ended.summary["findings"] if one["follows_from"] is None} == {"label_order"}
    blind = {one["symptom"]: one["reason"] for one in ended.summary["unseen"]}
    assert set(blind) == {"sure_teacher"}
    assert "how sure" in blind["sure_teacher"]


@pytest.mark.parametrize(("rate", "words"), [(2.0, "never came below"), (0.01, "second half"), (0.001, "hardly moved")])
@plants("learning_rate")
def test_a_rate_out_of_range_is_found(recorded: Path, tmp_path: Path, rate: float, words: str) -> doctor.Examination:
    found = doctor.examine(run(recorded, tmp_path, train={"learning_rate": rate}).folder)
    assert symptoms(found) == {"learning_rate"}
    assert words in found.findings[0].told
    return found


@plants("idle_term")
def test_a_term_that_is_cut_off_is_found(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> doctor.Examination:
    """Its value moves in the log, because the other term moves the student: only the gradient tells."""
    from stillroom.objectives.forward_kl import ForwardKL

    whole = ForwardKL.loss
    monkeypatch.setattr(ForwardKL, "loss", lambda *told, **more: whole(*told, **more).detach())
    ended = run(recorded, tmp_path)
    found = doctor.examine(ended.folder)
    assert symptoms(found) == {"idle_term"}
    finding = found.findings[0]
    assert finding.keys == ("objective[0]",)
    values = [line["terms"]["forward_kl"] for line in lines(ended)]
    assert max(values) > 1.1 * min(values)
    return found


@plants("idle_term")
def test_a_term_without_weight_is_found(recorded: Path, tmp_path: Path) -> doctor.Examination:
    mixture = [{"kind": "forward_kl"}, {"kind": "logit_mse", "weight": 0.0}]
    found = doctor.examine(run(recorded, tmp_path, objective=mixture).folder)
    assert [(one.symptom, one.keys[0]) for one in found.findings] == [("idle_term", "objective[1].weight")]
    return found


def test_stages_of_one_kind_are_told_apart(recorded: Path, tmp_path: Path) -> None:
    """The second stage counts when the first one does no more, and each has a line of its own in the log."""
    mixture = [{"kind": "forward_kl", "ends": 0.5}, {"kind": "forward_kl", "starts": 0.5, "temperature": 1.0}]
    ended = run(recorded, tmp_path, objective=mixture, train={"patience": 8})
    assert [list(line["terms"]) for line in lines(ended)] == [["forward_kl"]] * 4 + [["forward_kl 2"]] * 4
    assert [list(line["gradients"]) for line in lines(ended)] == [["forward_kl"]] * 4 + [["forward_kl 2"]] * 4
    assert doctor.examine(ended.folder).findings == ()


def test_a_stage_that_never_comes_is_found_under_its_place(recorded: Path, tmp_path: Path) -> None:
    mixture = [{"kind": "forward_kl"}, {"kind": "forward_kl", "weight": 0.0, "temperature": 1.0}]
    found = doctor.examine(run(recorded, tmp_path, objective=mixture).folder)
    assert [(one.symptom, one.keys[0]) for one in found.findings] == [("idle_term", "objective[1].weight")]
    assert "`forward_kl 2`" in found.findings[0].told


def lines(ended: journey.Run) -> list[dict[str, Any]]:
    """The log of a run's student."""
    told = (ended.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in told.splitlines()]


def test_texts_that_are_learned_by_heart_are_found(tmp_path: Path) -> None:
    """Labels drawn by lot: there is nothing to learn but the texts themselves."""
    rng = np.random.default_rng(5)
    rows = [(" ".join(rng.choice(FILLERS, 9)), LABELS[int(rng.integers(2))]) for _ in range(900)]
    write_csv(tmp_path / "rows.csv", rows)
    told = [{"text": text, "probabilities": {one: 0.9 if one == label else 0.1 for one in LABELS}}
            for text, label in rows]  # fmt: skip
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
    student = {"kind": "bag", "features": {"bits": 16}, "learning_rate": 0.2, "epochs": 3, "batch_size": 8}
    found = doctor.examine(run(tmp_path, tmp_path, student=student).folder)
    assert symptoms(found) - {"learning_rate"} == {"few_rows"}
    assert "by heart" in next(one for one in found.findings if one.symptom == "few_rows").cause


# Faults of a network, planted into what a run that is well left behind.


@pytest.fixture
def copy(travelled: Travelled, tmp_path: Path) -> Path:
    """The folder of that run in a work folder of its own."""
    work = tmp_path / "work"
    told = json.loads((travelled.run.folder / "run.json").read_text(encoding="utf-8"))
    for stage, where in FOLDERS.items():
        place = Path(where) / told["stages"][stage]["key"]
        shutil.copytree(travelled.work / place, work / place)
    shutil.copytree(travelled.run.folder, work / "runs" / "toy")
    return work / "runs" / "toy"


def part(folder: Path, stage: str) -> Path:
    """The folder of a stage's artifact."""
    told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return folder.parent.parent / FOLDERS[stage] / str(told["stages"][stage]["key"])


def sealed(folder: Path) -> None:
    """A manifest that fits the files as they are now."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"] = {name: artifact.file_sha256(folder / name) for name in manifest["files"]}
    body = {name: manifest[name] for name in ("files", "facts", "stage")}
    manifest["digest"] = artifact.sha256(artifact.canonical(body))
    artifact.write_json(folder / "manifest.json", manifest)


def test_the_toy_run_is_well(travelled: Travelled) -> None:
    found = doctor.examine(travelled.run.folder)
    assert found.findings == ()
    assert found.unseen == ()
    assert "findings" not in travelled.run.summary


@plants("padding")
def test_a_network_that_counts_padding_is_found(copy: Path, monkeypatch: pytest.MonkeyPatch) -> doctor.Examination:
    from stillroom.students.static.network import Folded

    masked = Folded.forward
    monkeypatch.setattr(Folded, "forward", lambda self, ids, mask: masked(self, ids, mask | True))
    found = doctor.examine(copy)
    assert "padding" in symptoms(found)
    assert found.findings[0].severity == "error"
    return found


@plants("export_loss")
def test_an_export_that_lost_is_found(copy: Path) -> doctor.Examination:
    from safetensors.numpy import load_file, save_file

    bundle = part(copy, "export")
    weights = load_file(bundle / "static.safetensors")
    save_file({**weights, "head": -weights["head"]}, bundle / "static.safetensors")
    sealed(bundle)
    found = doctor.examine(copy)
    assert symptoms(found) == {"export_loss"}
    return found


@plants("unknown_tokens", "far_texts")
def test_another_language_in_the_test_is_found(copy: Path) -> doctor.Examination:
    corpus = part(copy, "corpus")
    rows = pq.read_table(corpus / "test.parquet")
    rng = np.random.default_rng(0)
    other = pa.array([" ".join(rng.choice(GREEK, 9)) for _ in range(rows.num_rows)])
    pq.write_table(rows.set_column(rows.column_names.index("text"), "text", other), corpus / "test.parquet")
    sealed(corpus)
    found = doctor.examine(copy)
    assert symptoms(found) == {"unknown_tokens", "far_texts"}
    assert found.findings[0].symptom == "unknown_tokens"
    return found


@plants("leak")
def test_rows_of_the_test_in_the_transfer_set_are_found(copy: Path) -> doctor.Examination:
    """As if they had come as texts without labels."""
    corpus, said = part(copy, "corpus"), part(copy, "transfer")
    rows = pq.read_table(corpus / "test.parquet").slice(0, 10)
    path = min(said.glob("shard-train-*.parquet"))
    shard = pq.read_table(path)
    leaked = shard.slice(0, 10).set_column(0, "id", rows["id"]).set_column(1, "text", rows["text"])
    pq.write_table(pa.concat_tables([shard, leaked]), path)
    sealed(said)
    found = doctor.examine(copy)
    assert symptoms(found) == {"leak"}
    assert "10 of" in found.findings[0].told
    return found


def test_a_warning_of_the_teacher_is_passed_on(copy: Path) -> None:
    teacher = part(copy, "teacher")
    manifest = json.loads((teacher / "manifest.json").read_text(encoding="utf-8"))
    manifest["facts"] |= {"warning": "it is weak", "dev_accuracy": 0.6, "floor_dev_accuracy": 0.9}
    artifact.write_json(teacher / "manifest.json", manifest)
    sealed(teacher)
    assert symptoms(doctor.examine(copy)) == {"weak_teacher"}


@plants("cold_start", "under_floor")
def test_a_student_that_took_nothing_of_its_teacher_is_found(travelled: Travelled) -> doctor.Examination:
    student = {"kind": "bag", "features": {"bits": 10}, "epochs": 1, "learning_rate": 1e-4}
    cold = recipe.parse({**travelled.recipe, "name": "cold", "student": student, "gate": []})
    ended = pipeline.run(cold, work=travelled.work, until="evaluate")
    found = doctor.examine(ended.folder)
    assert symptoms(found) == {"cold_start", "under_floor"}
    assert {one.symptom for one in found.unseen} == {"learning_rate"}
    return found


def course(losses: list[float], dev: list[float], scores: list[float], *, before: float) -> list[dict[str, Any]]:
    """A log with such a course, under a rate that falls in a straight line."""
    steps = len(losses)
    lines: list[dict[str, Any]] = [
        {"loss": one, "dev": {"loss": two, "accuracy": three}, "learning_rate": (steps - place) / steps - 0.98 / steps}
        for place, (one, two, three) in enumerate(zip(losses, dev, scores, strict=True))
    ]
    lines[0]["before"] = {"loss": before, "accuracy": 0.5, "rows": 100.0}
    return lines


@pytest.mark.parametrize(
    ("losses", "dev", "scores", "words"),
    [
        ([0.7, 0.9, 0.6, 0.8], [0.6, 0.6, 0.6, 0.6], [0.6, 0.7, 0.7, 0.7], "rose in 2 of 3 epochs"),
        ([0.5, 0.4, 0.3, 0.2], [0.5, 0.6, 0.7, 0.8], [0.8, 0.7, 0.7, 0.7], "first epoch was the best"),
        ([0.5, 0.2, 0.1, 0.05], [0.4, 0.2, 0.15, 0.149], [0.8, 0.9, 0.9, 0.9], ""),
        ([0.5, 0.01, 0.02, 0.01, 0.02], [0.4, 0.2, 0.2, 0.2, 0.2], [0.8, 0.9, 0.9, 0.9, 0.9], ""),
    ],
)
def test_the_course_of_a_loss_is_read(copy: Path, losses: Any, dev: Any, scores: Any, words: str) -> None:
    train = part(copy, "train")
    lines = course(losses, dev, scores, before=0.7)
    terms = {"terms": {"forward_kl": 0.1, "hard_label": 0.1}}
    told = [{**line, "terms": {name: one / (place + 1) for name, one in terms["terms"].items()}}
            for place, line in enumerate(lines)]  # fmt: skip
    artifact.write_text(train / "log.jsonl", "".join(json.dumps(one) + "\n" for one in told))
    sealed(train)
    found = doctor.examine(copy)
    assert symptoms(found) == ({"learning_rate"} if words else set())
    assert all(words in one.told for one in found.findings)


# What is there is examined, and what is not is said.


def test_a_run_that_broke_off(copy: Path) -> None:
    told = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    told["stages"] = {stage: one for stage, one in told["stages"].items() if stage in ("corpus", "teacher", "transfer")}
    artifact.write_json(copy / "run.json", told)
    found = doctor.examine(copy)
    assert found.findings == ()
    blind = {one.symptom: one.reason for one in found.unseen}
    assert blind["padding"] == "the run has no train"
    assert {"under_floor", "export_loss", "cold_start", "learning_rate"} <= set(blind)


def test_a_folder_that_is_no_run_and_an_artifact_that_is_damaged(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no JSON"):
        doctor.examine(tmp_path)
    (part(copy, "train") / "log.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"log\.jsonl"):
        doctor.examine(copy)


# The mathematics, on its own.


def _binomial_tail(hits: int, n: int, share: float) -> float:
    from math import comb

    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(hits, n + 1))


@pytest.mark.parametrize(("hits", "n", "share"), [(8, 10, 0.5), (30, 100, 0.2), (5, 5, 0.5)])
def test_tails_are_those_of_the_binomial(hits: int, n: int, share: float) -> None:
    assert _chance.at_least(hits, n, share) == pytest.approx(_binomial_tail(hits, n, share))
    one, other = np.arange(n) < hits, np.arange(n) >= hits
    assert _chance.more_often(one, other) == pytest.approx(_binomial_tail(hits, n, 0.5))


def test_shares_are_compared_as_fisher_does() -> None:
    from scipy.stats import fisher_exact

    for first in range(0, 13, 3):
        expected = fisher_exact([[first, 12 - first], [5, 15]], alternative="greater").pvalue
        assert _chance.larger_share(first, 12, 5, 20) == pytest.approx(expected)


def _weak(rng: np.random.Generator, gold: NDArray[np.int64], kind: int) -> NDArray[np.int64]:
    """Teachers that know nothing, that always say the rarer label, or that are right a little more often than not."""
    guessed = rng.integers(0, 3, len(gold))
    rarest = np.full(len(gold), int(np.bincount(gold, minlength=3).argmin()))
    return (guessed, rarest, np.where(rng.random(len(gold)) < 0.2, gold, guessed))[kind]


@pytest.mark.parametrize("kind", range(3))
def test_a_merely_weak_teacher_is_not_accused_of_swapped_labels(kind: int) -> None:
    accused, low = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        gold = rng.choice(3, size=200, p=[0.5, 0.3, 0.2])
        ids = [f"{seed}/{row}" for row in range(len(gold))]
        _, p, _ = label_order.accuse(ids, gold, _weak(rng, gold, kind), classes=3)
        accused += p <= doctor.LEVEL
        low += p <= 0.05
    assert accused == 0
    assert low <= 20  # of 200, 10 are expected at most; 20 or fewer in 998 of 1000 such trials


def test_three_labels_in_a_circle_are_told_apart_from_the_order_as_it_is() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 90)
    order, p, shares = label_order.accuse([str(row) for row in range(90)], gold, (gold + 1) % 3, classes=3)
    assert order == [2, 0, 1]
    assert p < doctor.LEVEL
    assert shares == (0.0, 1.0)


def test_near_twins_are_those_of_the_corpus() -> None:
    texts = [f"{text}, said everybody who had seen it twice" for text, _ in sentences()[:40]]
    others = [f"{texts[3]}!", "nothing of the kind", texts[7].upper()]
    found: Mapping[int, int] = doctor.twins(texts, others)
    assert found[3] == 0
    assert found[7] == 2
    assert 1 not in found.values()
    assert doctor.twins([], others) == doctor.twins(texts, []) == {}


def test_what_could_not_be_seen_is_plain_data() -> None:
    assert Unseen("padding", "why").as_dict() == {"symptom": "padding", "reason": "why"}
