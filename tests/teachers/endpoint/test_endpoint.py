"""Settings, and the journey of a teacher that bills."""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import re
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import plugins, recipe
from stillroom.core.errors import InputError, MissingExtra, OutsideError, RecipeError
from stillroom.core.progress import Event, silent
from tests.conftest import sentences
from tests.teachers.endpoint.scenes import GOOD, KEY, WAYS, ask, endpoint, journey, opened, unlabelled
from tests.teachers.endpoint.servers import PRICES, Server, serving

SPANS = WAYS["spans"][0]


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"api_key_env": KEY}, "never the key itself"),
            ({"base_url": f"https://user:{KEY}@host/v1"}, "without user, password or query"),
            ({"base_url": f"https://host/v1?key={KEY}"}, "without user, password or query"),
            ({"prompt": "{labels}"}, "`{text}` once"),
            ({"max_spend": math.inf}, "finite"),
            ({"price_per_million_input_tokens": -1.0}, "greater than or equal to 0"),
        ],
    )
    def test_what_can_not_be_is_refused_and_no_key_is_shown(self, settings: dict[str, Any], told: str) -> None:
        with pytest.raises(RecipeError, match=told) as caught:
            endpoint("http://host/v1", **settings)
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize("missing", [*PRICES, "max_spend"])
    def test_nobody_spends_for_want_of_a_setting(self, missing: str) -> None:
        chosen = {"kind": "endpoint", "base_url": "http://host/v1", "model": "m", "max_spend": 1.0, **PRICES}
        del chosen[missing]
        with pytest.raises(RecipeError, match=missing):
            plugins.build("teachers", chosen)

    @pytest.mark.parametrize("key", [None, "", "two words", "schlüssel-0123"])
    def test_a_key_is_asked_for_when_it_is_needed(
        self, tmp_path: Path, key: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SOME_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("SOME_KEY", key)
        with serving() as server, pytest.raises(InputError, match="SOME_KEY") as caught:
            ask(opened(endpoint(server, api_key_env="SOME_KEY"), tmp_path), [GOOD])
        assert server.bodies == []
        assert not key or key not in "".join(traceback.format_exception(caught.value))

    def test_the_extra_is_missed_before_anything_starts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        there = importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "httpx" else there(name))
        with pytest.raises(MissingExtra, match=r"stillroom\[api\]"):
            pipeline.run(recipe.parse(journey(tmp_path, endpoint("http://host/v1"))), work=tmp_path / "work")
        assert not (tmp_path / "work").exists()


def _told_when(events: list[tuple[str, int]], server: Server, event: Event) -> None:
    """Remember what was told, and how much was asked by then."""
    if event.note:
        events.append((event.note, len(server.bodies)))


class TestTheJourney:
    def test_texts_without_an_answer_are_left_out_and_counted(self, tmp_path: Path) -> None:
        events: list[Event] = []
        with serving(lambda number: {7: "refusal", 11: "empty", 13: "refusal"}.get(number, "")) as server:
            made = recipe.parse(journey(tmp_path, endpoint(server)))
            run = pipeline.run(made, work=tmp_path / "work", until="transfer", report=events.append)
        manifest = run.artifacts["transfer"].manifest
        facts, ledger = manifest["facts"], manifest["circumstances"]["ledger"]
        assert facts["unanswered"] == {"empty": 1, "refusal": 2}
        assert facts["texts"] + 3 == ledger["texts"] == len(server.bodies)
        assert ledger["spend"] == pytest.approx(float(server.billed))
        assert ledger["tokens"] > 0
        voice = run.artifacts["teacher"].manifest["facts"]["voice"]
        assert (voice["model"], voice["prompt_version"], voice["sampling"]["temperature"]) == ("lab/tiny", "1", 0.0)
        notes = " ".join(event.note for event in events)
        assert "no answer for 3 of" in notes
        said = re.search(r"a text costs (\S+), by the first 14: all 21 about (\S+)", notes)
        assert said
        assert [float(one) for one in said.groups()] == [
            pytest.approx(float(server.billed) / share, rel=0.05) for share in (21, 1)
        ]
        assert "Warning" not in notes
        assert ledger["forecasts"][0]["needed"] < ledger["forecasts"][0]["cap"]
        assert not any(text in notes for text, _ in sentences())

    def test_a_higher_cap_goes_on_where_the_lower_one_stopped(self, tmp_path: Path) -> None:
        with serving() as server:
            low, high = (endpoint(server, max_spend=cap) for cap in (0.0015, 1.0))
            with pytest.raises(OutsideError, match="max_spend"):
                pipeline.run(recipe.parse(journey(tmp_path, low)), work=tmp_path / "work", until="transfer")
            assert 0 < server.billed <= Decimal("0.0015")
            stopped = len(server.bodies)
            made = recipe.parse(journey(tmp_path, high))
            said = pipeline.run(made, work=tmp_path / "work", until="transfer").artifacts["transfer"]
            assert len({json.dumps(body) for body in server.bodies}) == len(server.bodies), "nobody was asked twice"
            assert stopped < len(server.bodies) == said.manifest["facts"]["texts"]
            made = recipe.parse(journey(tmp_path, high, transfer={"shard_rows": 5}))
            pipeline.run(made, work=tmp_path / "work", until="transfer")
            assert len(server.bodies) == said.manifest["facts"]["texts"], "nor for other shards"

    def test_a_cap_that_is_too_low_is_told_by_the_first_requests(self, tmp_path: Path) -> None:
        """With how many rows it will pay for, and what all need: under that cap the run ends well."""
        caps, counts, needed = [0.0015], list[int](), ""
        with serving() as server:
            while caps:
                cap, events = caps.pop(), list[tuple[str, int]]()
                made = recipe.parse(journey(tmp_path, endpoint(server, max_spend=cap, concurrency=1)))
                report = functools.partial(_told_when, events, server)
                if needed:
                    run = pipeline.run(made, work=tmp_path / "work", until="transfer", report=report)
                    assert not any("Warning" in note for note, _ in events)
                    break
                with pytest.raises(OutsideError, match="max_spend") as caught:
                    pipeline.run(made, work=tmp_path / "work", until="transfer", report=report)
                (warning,) = [one for one in events if "Warning" in one[0]]
                found = re.search(
                    r"0\.0015 pays for about (\d+) of the (\d+) others; all need about (\S+)\.", warning[0]
                )
                assert found
                counts, needed = [warning[1], int(found[1]), int(found[2])], found[3]
                assert len(server.bodies) == counts[0] + counts[1]
                assert f"to about {needed}" in str(caught.value)
                caps.append(float(needed))
        assert run.artifacts["transfer"].manifest["facts"]["texts"] == counts[0] + counts[2] == 21 == len(server.bodies)

    @pytest.mark.parametrize("cap", ["0.001", "0.0006"])
    def test_a_cap_that_does_not_pay_for_the_first_requests_is_told_too(self, tmp_path: Path, cap: str) -> None:
        events: list[Event] = []
        with serving() as server:
            teacher = endpoint(server, max_spend=float(cap), concurrency=1)
            made = recipe.parse(journey(tmp_path, teacher))
            with pytest.raises(OutsideError, match="max_spend"):
                pipeline.run(made, work=tmp_path / "work", until="transfer", report=events.append)
        assert 0 < len(server.bodies) < 14
        assert any(f"left of {cap} pays for about 0 of the" in event.note for event in events)

    def test_parts_in_doubt_are_counted_in_the_manifest(self, tmp_path: Path, encoder_folder: Path) -> None:
        events: list[Event] = []
        faults = {5: "misquoted", 9: "refusal", **dict.fromkeys(range(10, 25), "repeated")}
        with serving(lambda number: faults.get(number, "")) as server:
            teacher = endpoint(server, answers="spans", concurrency=1)
            student = {"kind": "cnn", "start": str(encoder_folder), "dimensions": 8, "channels": 4}
            made = recipe.parse(
                unlabelled(
                    tmp_path, teacher, count=50, task=SPANS.model_dump(), student=student, export={"formats": ["onnx"]}
                )
            )
            run = pipeline.run(made, work=tmp_path / "work", until="transfer", report=events.append)
        facts = run.artifacts["transfer"].manifest["facts"]
        assert facts["unanswered"] == {"misquoted": 1, "refusal": 1}
        assert facts["tally"]["misquoted"] == 1
        assert facts["tally"]["ambiguous"] == 2
        assert 0 < facts["tally"]["repeated"] < facts["tally"]["quoted"] / 2
        told = next(event.note for event in events if "parts of answers" in event.note)
        assert "misquoted 1" in told
        assert "ambiguous 2" in told

    @pytest.mark.slow
    @pytest.mark.parametrize("way", ["spans", "text"])
    def test_a_student_learns_what_it_found_or_wrote(self, tmp_path: Path, encoder_folder: Path, way: str) -> None:
        students = {
            "spans": {"kind": "cnn", "start": str(encoder_folder), "dimensions": 16, "channels": 8, "epochs": 20,
                      "batch_size": 8, "learning_rate": 1e-2},
            "text": {"kind": "seq2seq", "width": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1,
                     "vocabulary": 300, "longest": 24, "epochs": 2},
        }  # fmt: skip
        more = {"evaluate": {"resamples": 200, "min_slice_rows": 20}, "cost": {"texts": 16, "repeats": 3},
                "export": {"formats": ["onnx" if way == "spans" else "ctranslate2"]}}  # fmt: skip
        task, own = WAYS[way]
        with serving(lambda number: "refusal" if number in (3, 31) else "") as server:
            teacher = endpoint(server, answers=way, **{**own, "max_tokens": 64})
            made = recipe.parse(unlabelled(tmp_path, teacher, task=task.model_dump(), student=students[way], **more))
            run = pipeline.run(made, work=tmp_path / "work", report=silent)
        assert any("refusal" in note for note in run.summary["notes"])
        if way == "spans":
            assert any("quoted" in note for note in run.summary["notes"])
            assert run.summary["student"]["scores"]["span_f1"]["value"] > 0.9
            found = stillroom.load(run.artifacts["export"].folder).predict(["the plot is warm from start to end"])
            assert [(one.text, one.label) for one in found[0].spans] == [("warm", "positive")]

    @pytest.mark.slow
    def test_what_was_paid_reaches_the_costs(self, tmp_path: Path) -> None:
        more = {"evaluate": {"resamples": 200, "min_slice_rows": 20}, "cost": {"texts": 16, "repeats": 3}}
        faults = dict.fromkeys(range(14), "no usage") | {3: "refusal", 31: "refusal"}
        with serving(lambda number: faults.get(number, "")) as server:
            teacher = endpoint(server, concurrency=1, max_spend=0.011)  # enough, though the dear ones come first
            made = recipe.parse(journey(tmp_path, teacher, **more))
            run = pipeline.run(made, work=tmp_path / "work", report=silent)
        ledger = run.artifacts["transfer"].circumstances["ledger"]
        price = run.summary["teacher"]["cost"]["price_per_million_texts"]
        assert price == pytest.approx(ledger["spend"] / ledger["texts"] * 1e6)
        assert run.artifacts["evaluate"].manifest["facts"]["unanswered"] == 1
        assert any("refusal 1; of those to test on 1" in note for note in run.summary["notes"])
        told = next(note for note in run.summary["notes"] if "were thought to need" in note)
        assert f"{ledger['forecasts'][0]['needed']:.4g}, where `teacher.max_spend` was 0.011" in told
