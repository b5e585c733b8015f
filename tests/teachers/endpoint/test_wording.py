"""What is asked, and how a reply is read."""

from __future__ import annotations

import json
import math
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillroom.core.errors import MismatchError
from stillroom.tasks.classification import Classification
from stillroom.teachers.endpoint.wording import Wording
from tests.conftest import LABELS
from tests.teachers.endpoint.scenes import BAD, GOOD, TASK, ask, endpoint, opened
from tests.teachers.endpoint.servers import serving


class TestWhatIsAsked:
    @pytest.mark.parametrize("api", ["chat", "completions"])
    def test_the_letters_of_the_first_token_become_logits(self, tmp_path: Path, api: str) -> None:
        with serving() as server:
            said = ask(opened(endpoint(server, api=api), tmp_path), [GOOD, BAD])
        expected = [math.exp(-4.0), math.exp(-0.5)]
        np.testing.assert_allclose(np.exp(said["logits"]), [expected, expected[::-1]], rtol=1e-5)
        body = next(one for one in server.bodies if GOOD in json.dumps(one))
        assert (body["temperature"], body["max_tokens"], body["seed"], body["model"]) == (0.0, 1, 0, "lab/tiny")
        asked = body["messages"][0]["content"] if api == "chat" else body["prompt"]
        assert "A. negative\nB. positive" in asked
        assert (body["logprobs"], body.get("top_logprobs")) == ((True, 20) if api == "chat" else (20, None))

    @pytest.mark.parametrize("api", ["chat", "completions"])
    def test_a_schema_holds_the_answer_to_a_label(self, tmp_path: Path, api: str) -> None:
        with serving() as server:
            said = ask(opened(endpoint(server, api=api, answers="label"), tmp_path), [GOOD, BAD])
        assert said["label"].tolist() == [1, 0]
        assert "logits" not in said
        schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["label"]["enum"] == list(LABELS)

    @pytest.mark.parametrize(
        ("top", "expected"),
        [
            ([("A", 0.6), ("B", 0.3), ("x", 0.1)], [0.6, 0.3]),
            ([("A", 0.5), (" A", 0.2), ("▁B", 0.1), ("\nB", 0.1)], [0.7, 0.2]),
            ([("A", 0.9), ("x", 0.06)], [0.9, 0.04]),  # what is left is all B's
            ([("A", 0.4), ("x", 0.2)], [0.4, 0.2]),  # and never more than the least that is told
            ([("A", 1.0)], [1.0, 1e-6]),
            ([("a", 0.9), ("Apple", 0.1)], "unparseable"),
            ([], "no logprobs"),
        ],
    )
    def test_what_the_top_leaves_goes_to_the_unseen(self, top: list[tuple[str, float]], expected: Any) -> None:
        told = [{"token": token, "logprob": math.log(share)} for token, share in top]
        choice = {"message": {"content": "A"}, "logprobs": {"content": [{"top_logprobs": told}] if told else None}}
        reply = Wording(endpoint("http://host/v1"), LABELS).read({"choices": [choice]})
        if isinstance(expected, str):
            assert (reply.answer, reply.unanswered) == (None, expected)
        else:
            assert isinstance(reply.answer, list)
            np.testing.assert_allclose(np.exp(reply.answer), expected, rtol=1e-6)

    def test_a_text_can_not_open_the_prompt(self) -> None:
        request = Wording(endpoint("http://host/v1", prompt="{labels} | {text} | {answer}"), LABELS).request("{labels}")
        assert " | {labels} | " in json.loads(request.body)["messages"][0]["content"]

    @settings(max_examples=50)
    @example("\ufdfa" * 30)  # one letter of three bytes, and eighteen letters to some tokenizers
    @given(st.text(min_size=1, max_size=60))
    def test_a_prompt_is_never_longer_than_its_bound(self, text: str) -> None:
        text = text.encode("utf-8", "replace").decode()
        request = Wording(endpoint("http://host/v1", template_tokens=0), LABELS).request(text)
        asked = json.loads(request.body)["messages"][0]["content"]
        forms = (unicodedata.normalize("NFC", asked), unicodedata.normalize("NFD", asked),
                 unicodedata.normalize("NFKC", asked), unicodedata.normalize("NFKD", asked))  # fmt: skip
        assert max(len(form.encode()) for form in forms) <= request.most_input_tokens

    def test_whatever_decides_an_answer_makes_another_teacher_and_nothing_else_does(self) -> None:
        def voice(**changes: Any) -> str:
            line = endpoint("http://host/v1", **changes).open(Path(), task=TASK)
            return line.identify().weights

        same = {"max_spend": 2.0, "concurrency": 1, "attempts": 2, "timeout_seconds": 1.0, "licence": "MIT",
                "price_per_million_input_tokens": 9.0, "api_key_env": "KEY", "template_tokens": 9}  # fmt: skip
        assert {voice(**{name: one}) for name, one in same.items()} == {voice()}
        other = {"model": "b", "base_url": "http://other/v1", "api": "completions", "answers": "label", "max_tokens": 5,
                 "prompt": "{labels}{text}", "prompt_version": "2", "temperature": 0.5, "sampling_seed": 3,
                 "top_logprobs": 9}  # fmt: skip
        assert len({voice(), *(voice(**{name: one}) for name, one in other.items())}) == len(other) + 1

    def test_more_labels_than_letters(self) -> None:
        task = Classification(labels=tuple(f"label {number}" for number in range(27)))
        with pytest.raises(MismatchError, match="27 labels"):
            endpoint("http://host/v1").open(Path(), task=task)
        endpoint("http://host/v1", answers="label").open(Path(), task=task)
