"""What is asked, and how a reply is read."""

from __future__ import annotations

import json
import math
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillroom.core import edit_tags
from stillroom.core.artifact import Draft
from stillroom.core.errors import MismatchError, RecipeError
from stillroom.tasks.classification import Classification
from stillroom.tasks.generation import Generation
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextToText
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers.endpoint.wording import Wording
from tests.conftest import LABELS
from tests.teachers.endpoint.scenes import BAD, GOOD, TASK, ask, endpoint, lines, opened
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
        wording = Wording(endpoint("http://host/v1"), LABELS)
        reply = wording.read({"choices": [choice]}, wording.request("a text"))
        if isinstance(expected, str):
            assert (reply.answer, reply.unanswered) == (None, expected)
        else:
            assert isinstance(reply.answer, list)
            np.testing.assert_allclose(np.exp(reply.answer), expected, rtol=1e-6)

    def test_an_answer_that_most_of_the_odds_are_against_is_counted(self) -> None:
        """Among ten letters there is no I, with which a model also says that it is sorry."""
        labels = [f"label {number}" for number in range(10)]
        wording = Wording(endpoint("http://host/v1"), labels)
        asked = json.loads(wording.request("a text").body)["messages"][0]["content"]
        assert "H. label 7\nJ. label 8\nK. label 9" in asked

        def read(**top: float) -> Any:
            told = [{"token": token, "logprob": math.log(share)} for token, share in top.items()]
            choice = {"message": {"content": "I"}, "logprobs": {"content": [{"top_logprobs": told}]}}
            return wording.read({"choices": [choice]}, wording.request("a text"))

        sorry = read(I=0.97, A=0.02, J=0.005)
        assert sorry.answer is not None
        assert dict(sorry.tally) == {"other words": 1}
        assert int(np.argmax(sorry.answer)) == 0
        torn = read(A=0.09, B=0.09, C=0.09, D=0.09, E=0.09)
        assert dict(torn.tally) == {}, "what is not told may be letters too"
        sure = read(I=0.3, J=0.6)
        assert (int(np.argmax(sure.answer)), dict(sure.tally)) == (8, {})
        assert read(I=0.97, Sorry=0.02).unanswered == "unparseable"

    def test_letters_that_stand_for_others_are_another_voice(self) -> None:
        """Of nine labels and more; of fewer what was paid for stays."""
        voices = [Wording(endpoint("http://host/v1"), [str(one) for one in range(many)]).voice() for many in (8, 9)]
        assert [one.get("letters") for one in voices] == [None, "ABCDEFGHJ"]

    def test_an_apology_that_was_translated_is_a_translation(self) -> None:
        choice = {"message": {"content": "Sorry, I can't help you with this."}}
        for task, why in ((TextToText(), ""), (TextToText(goal="summary"), "refusal")):
            wording = Wording.of(endpoint("http://host/v1", answers="text", prompt="{text}"), task)
            found = wording.read({"choices": [choice]}, wording.request("Desculpe, não posso ajudar com isso."))
            assert found.unanswered == why

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
        task = Classification(labels=tuple(f"label {number}" for number in range(26)))
        with pytest.raises(MismatchError, match="26 labels"):
            endpoint("http://host/v1").open(Path(), task=task)
        endpoint("http://host/v1", answers="label").open(Path(), task=task)


SPANS = TokenLabelling(labels=LABELS)


class TestCorrections:
    def read(self, written: str, source: str, *, finish: str = "stop") -> Any:
        wording = Wording(endpoint("http://host/v1", answers="corrections"), ())
        choice = {"message": {"content": written}, "finish_reason": finish}
        return wording.read({"choices": [choice]}, wording.request(source))

    def test_what_was_corrected_becomes_tags_of_words(self, tmp_path: Path) -> None:
        prompt = "Correct it.\n{text}"
        with serving() as server:
            line = opened(endpoint(server, answers="corrections", prompt=prompt), tmp_path, task=Proofreading())
            said = ask(line, ["Many film are dull.", "Nothing here."])
        assert said["counts"].tolist() == [5, 3]
        assert [edit_tags.TAGS[one] for one in said["label"]] == ["keep", "ending:>s", *["keep"] * 6]
        assert said["words"][:2].tolist() == [[0, 4], [5, 9]]
        assert "response_format" not in server.bodies[0]
        assert server.bodies[0]["max_tokens"] == 512

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ('"He goes to school."', "He goes to school."),
            ("Here is the corrected text:\n\nHe goes to school.\n\nI changed a verb.", "He goes to school."),
            ("He go to school.", "He go to school."),
            ("I'm sorry, but I can't help with that.", "rewritten"),
            ("Attending classes is what this young man usually does.", "rewritten"),
            ("He goes to school. " * 9, "too long"),
            ('""', "rewritten"),
            ("  ", "empty"),
        ],
    )
    def test_what_is_no_correction_is_told_from_one(self, written: str, expected: str) -> None:
        reply = self.read(written, "He go to school.")
        assert (reply.answer or reply.unanswered) == expected
        assert (reply.answer is None) == bool(reply.unanswered)

    def test_what_was_cut_is_no_answer(self) -> None:
        assert self.read("He goes to", "He go to school.", finish="length").unanswered == "too long"

    def test_changes_are_counted_and_those_that_no_tag_says_too(self) -> None:
        reply = self.read("Sure!\nHe goes to the big school every day.", "He go to school every day.")
        assert reply.answer == "He goes to the big school every day."
        assert reply.tally == {"changes": 2, "changes beyond tags": 1, "talk beside a correction": 1}
        assert self.read("He go to school.", "He go to school.").tally == {}

    def test_lines_and_quotation_marks_of_the_text_stay(self) -> None:
        for text in ('"It is late."', "It is late.\nIt is dark."):
            assert self.read(text, text).answer == text

    def test_labels_have_no_corrections_and_corrections_no_labels(self, tmp_path: Path) -> None:
        asked = {"corpus": None, "fit": None, "seed": 1, "report": None}
        for answers, task in (("corrections", SPANS), ("spans", Proofreading())):
            teacher: Any = endpoint("http://host/v1", answers=answers)
            with pytest.raises(MismatchError, match="proofreading"):
                teacher.prepare(Draft(tmp_path), task=task, **asked)
        with pytest.raises(RecipeError, match="`prompt` that says"):
            endpoint("http://host/v1", answers="corrections", prompt="Correct it.")


class TestSpans:
    def read(self, said: Any, source: str, *, finish: str = "stop") -> Any:
        wording = Wording(endpoint("http://host/v1", answers="spans"), LABELS)
        content = said if isinstance(said, str) else json.dumps({"spans": said})
        choice = {"message": {"content": content}, "finish_reason": finish}
        return wording.read({"choices": [choice]}, wording.request(source))

    def test_quotations_become_tags_of_words(self, tmp_path: Path) -> None:
        with serving() as server:
            said = ask(
                opened(endpoint(server, answers="spans"), tmp_path, task=SPANS), ["a warm, great film", "a film"]
            )
        assert said["counts"].tolist() == [5, 2]
        assert said["label"].tolist() == [0, 3, 0, 3, 0, 0, 0]
        assert said["words"][:2].tolist() == [[0, 1], [2, 6]]
        schema = server.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]["spans"]["items"]
        assert schema["properties"]["label"]["enum"] == list(LABELS)
        assert server.bodies[0]["max_tokens"] == 512
        assert not [line for line in lines(tmp_path) if "warm" in json.dumps(line)], "no text is in the account"

    def test_what_is_not_there_spoils_the_reply_and_every_part_is_counted(self) -> None:
        told = [{"text": one, "label": LABELS[0]} for one in ("Mira", "Oslo", "Oslo", "saw Oslo", "Lima", "Rome")]
        reply = self.read(told, "Mira saw Oslo and Mira")
        assert (reply.answer, reply.unanswered) == (None, "misquoted")
        assert reply.tally == {"quoted": 6, "misquoted": 2, "overlapping": 1, "repeated": 1, "ambiguous": 1}
        assert self.read(told[1:4], "Mira saw Oslo").unanswered == "overlapping"

    def test_a_repetition_is_passed_over_and_counted(self) -> None:
        reply = self.read([{"text": "Oslo", "label": LABELS[1]}] * 2, "Mira saw Oslo")
        assert (reply.answer, reply.unanswered) == ([[9, 13, 1]], "")
        assert reply.tally == {"quoted": 2, "repeated": 1}

    def test_what_could_stand_elsewhere_is_kept_and_counted(self) -> None:
        reply = self.read([{"text": "Mira", "label": LABELS[1]}], "Mira saw Oslo and Mira")
        assert (reply.answer, reply.unanswered) == ([[0, 4, 1]], "")
        assert reply.tally == {"quoted": 1, "ambiguous": 1}

    @pytest.mark.parametrize(
        ("said", "finish", "why"),
        [
            ("", "stop", "empty"),
            ('{"spans": [{"text": "Mi', "length", "too long"),
            ('{"spans": [{"text": "Mi', "stop", "unparseable"),
            ([{"text": "Mira", "label": "planet"}], "stop", "unparseable"),
            ([{"label": LABELS[0]}], "stop", "unparseable"),
            ("[]", "stop", "unparseable"),
        ],
    )
    def test_what_is_no_answer(self, said: Any, finish: str, why: str) -> None:
        assert self.read(said, "Mira", finish=finish).unanswered == why

    def test_paid_for_once(self, tmp_path: Path) -> None:
        with serving() as server:
            first = ask(opened(endpoint(server, answers="spans"), tmp_path, task=SPANS), ["a warm film"])
            again = ask(opened(endpoint(server, answers="spans"), tmp_path, task=SPANS), ["a warm film"])
            assert len(server.bodies) == 1
        assert first["label"].tolist() == again["label"].tolist() == [0, 3, 0]


class TestText:
    def test_what_it_writes_is_the_answer(self, tmp_path: Path) -> None:
        with serving() as server:
            teacher = endpoint(server, answers="text", prompt="Say it shorter.\n{text}")
            said = ask(opened(teacher, tmp_path, task=TextToText()), ["a warm film", "a {labels} film"])
        assert said["sequence"].tolist() == ["about: a warm film", "about: a {labels} film"]
        assert "response_format" not in server.bodies[0]
        assert "logprobs" not in server.bodies[0]
        assert teacher.answers_in == {"decoder", "causal"}
        assert teacher.signals == {"sequence"}

    def test_of_several_the_one_that_most_agree_with_comes_first(self, tmp_path: Path) -> None:
        with serving() as server:
            teacher = endpoint(server, answers="text", prompt="{text}", candidates=3, temperature=0.8)
            said = ask(opened(teacher, tmp_path, task=TextToText()), ["a warm film"])
            again = ask(opened(teacher, tmp_path, task=TextToText()), ["a warm film"])
        assert server.bodies[0]["n"] == 3
        assert len(server.bodies) == 1, "and is paid for once"
        assert said["sequence"].tolist() == again["sequence"].tolist() == ["about: a warm film"]
        assert [text for text, _ in said["candidates"][0]] == ["about: a warm film", "nonsense"]
        assert said["candidates"][0][0][1] == pytest.approx(0.5)
        assert said["tally"].tolist() == [{}]
        first = lines(tmp_path)[0]
        plain = endpoint(server, answers="text", prompt="{text}")
        most = Wording(teacher, ()).most_output_tokens
        assert most == 3 * Wording(plain, ()).most_output_tokens, "the worst case is of all of them"
        assert Decimal(first["reserve"]) >= teacher.cost(0, most)

    @pytest.mark.parametrize(("fault", "why"), [("empty", "empty"), ("refusal", "refusal"), ("cut", "too long")])
    def test_of_several_none_may_be_an_answer(self, tmp_path: Path, fault: str, why: str) -> None:
        with serving(lambda number: fault) as server:
            teacher = endpoint(server, answers="text", prompt="{text}", candidates=2, temperature=0.8)
            said = ask(opened(teacher, tmp_path, task=TextToText()), ["a warm film"])
        assert said["unanswered"].tolist() == [why]
        assert said["candidates"].tolist() == [()]

    def test_several_that_are_all_the_same_are_not_asked_for(self) -> None:
        for wrong in ({"answers": "text", "prompt": "{text}"}, {"temperature": 0.5}):
            with pytest.raises(RecipeError, match="`temperature` above 0"):
                endpoint("http://host/v1", candidates=2, **wrong)

    def test_it_has_to_be_said_what_is_to_be_written(self) -> None:
        with pytest.raises(RecipeError, match="what is to be written"):
            endpoint("http://host/v1", answers="text")
        with pytest.raises(RecipeError, match="labels"):
            endpoint("http://host/v1", answers="spans", prompt="{text}")


class TestBehindAText:
    """A text that is gone on with."""

    TASK = Generation(learns="written", kept=4, writes=6)

    def asked(self, tmp_path: Path, texts: list[str], *, fault: str = "", **settings: Any) -> dict[str, Any]:
        with serving(lambda number: fault, writes=lambda last: f" behind {last} ") as server:
            teacher = endpoint(server, answers="text", **{"prompt": "{text}", **settings})
            said = ask(opened(teacher, tmp_path, task=self.TASK), texts)
        assert all(one["max_tokens"] == 6 for one in server.bodies), "as many as the task has written"
        return said

    def test_a_message_stands_behind_a_space(self, tmp_path: Path) -> None:
        said = self.asked(tmp_path, ["a ship", "two ships:\n"])
        assert said["sequence"].tolist() == [" behind a ship", "behind two ships:"]
        assert said["ended"].tolist() == [True, True]
        assert said["tally"].tolist() == [{}, {}]

    def test_a_completion_stands_there_to_the_letter(self, tmp_path: Path) -> None:
        said = self.asked(tmp_path, ["a ship"], api="completions")
        assert said["sequence"].tolist() == [" behind a ship "]

    def test_what_is_cut_is_an_answer_without_an_end_and_counted(self, tmp_path: Path) -> None:
        said = self.asked(tmp_path, ["a ship"], fault="cut")
        assert said["sequence"].tolist() == [' {"label": "posi']
        assert said["ended"].tolist() == [False]
        assert said["unanswered"].tolist() == [""]
        assert said["tally"].tolist() == [{"cut": 1}]
        assert lines(tmp_path)[-1]["tally"] == {"cut": 1}, "and so it is when nobody is asked again"

    @pytest.mark.parametrize("fault", ["empty", "refusal"])
    def test_what_is_no_answer_has_no_end_either(self, tmp_path: Path, fault: str) -> None:
        said = self.asked(tmp_path, ["a ship"], fault=fault)
        assert said["unanswered"].tolist() == [fault]
        assert said["ended"].tolist() == [False]

    def test_of_several_those_that_are_cut_are_left_out(self, tmp_path: Path) -> None:
        wording = Wording.of(endpoint("http://h/v1", answers="text", prompt="{text}", candidates=3, temperature=1.0),
                             self.TASK)  # fmt: skip
        choices = [{"message": {"content": text}, "finish_reason": why}
                   for text, why in (("one", "stop"), ("two and", "length"), ("three", "stop"))]  # fmt: skip
        found = wording.read({"choices": choices}, wording.request("a ship"))
        assert found.answer == [" one", " three"]
        assert found.tally == {"not written": 1}
        cut = wording.read({"choices": choices[1:2] * 3}, wording.request("a ship"))
        assert (cut.answer, cut.tally) == (" two and", {"cut": 1}), "where all are, the first"

    def test_an_answer_to_a_text_is_not_what_stands_behind_it(self) -> None:
        """The same settings ask for both: they have an account each."""
        teacher = endpoint("http://h/v1", answers="text", prompt="{text}", max_tokens=6)
        voices = [Wording.of(teacher, task).voice() for task in (self.TASK, TextToText())]
        assert voices[0] == {**voices[1], "goes_on": True}
        requests = [Wording.of(teacher, task).request("a ship") for task in (self.TASK, TextToText())]
        assert requests[0].body == requests[1].body
        assert requests[0].key != requests[1].key


def test_the_wording_of_old_recipes_is_the_voice_that_it_was() -> None:
    """A recipe that names no prompt is answered from the account that it has."""
    plain = Wording(endpoint("http://host/v1"), LABELS).voice()
    assert plain["prompt"].startswith("Which label fits the text best?")
