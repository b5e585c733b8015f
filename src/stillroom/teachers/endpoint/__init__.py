"""A teacher behind an API: any server that speaks as OpenAI's does, asked under a cap on what it may cost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from stillroom.core import artifact, objects, signals, tagging
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, Problem
from stillroom.core.progress import Report
from stillroom.core.tagging import Span
from stillroom.tasks import Task
from stillroom.teachers import Closed, Desk, Identity, LoadedTeacher, Precision, Teacher, _candidates, _proofreaders
from stillroom.teachers._fitting import Fit
from stillroom.teachers._forecast import Forecast
from stillroom.teachers.endpoint import client
from stillroom.teachers.endpoint.ledger import Ledger
from stillroom.teachers.endpoint.wording import CUT, Wording

if TYPE_CHECKING:
    from stillroom.corpus import Learnable

_LABEL = """\
Which label fits the text best?

Labels:
{labels}

Text:
{text}

Answer with {answer}.
Answer:"""
_SPANS = """\
Which parts of the text are one of these?

{labels}

Text:
{text}

Answer with {answer}.
Answer:"""
_CORRECTIONS = """\
Correct the spelling, the grammar and the punctuation of this text. Change nothing else. Write only {answer}.

{text}"""
_MILLION = 10**6
_WORDINGS = {"spans": _SPANS, "text": "", "corrections": _CORRECTIONS}
_SAID = {"logprobs": "logits", "label": "label", "spans": "label", "text": "sequence", "corrections": "label"}
_SHAPES = {"spans": ("tokens",), "text": ("decoder", "causal"), "corrections": ("tokens",)}
_WITHOUT_LABELS = ("text", "corrections")


@final
class Endpoint(Teacher):
    """A model behind an API that speaks as OpenAI's does; what it may cost has a cap, and no text is paid for twice.

    With `answers = "logprobs"` the labels stand in the prompt as letters, and the probabilities of the first token of
    the reply become logits: a letter gets the share of all top tokens that are this letter but for spaces around it.
    What the top tokens leave is spread evenly over the letters that are not among them, none of which gets more than
    the least of the top. What other words got is nobody's; where they have more than half, `other words` counts it.
    With `answers = "label"` the reply is held to a JSON schema
    that lists the labels, and the teacher names labels and no more. With `answers = "spans"` the reply is held to a
    JSON schema of quotations, each with a label, which are laid on the text as `quotations` says. One that is not
    there, or overlaps another, makes the whole reply no answer; one that could stand elsewhere too is taken to stand
    at the first place; a repetition is passed over. All of them are counted. With `answers = "text"` the reply is what
    it writes. With `answers = "corrections"` that is the text as it should be, and what it corrects is found by
    alignment, as `corrections` says: tags of words, and how sure it is of none. A reply that changes more than half of
    a text, or is far longer, is no answer; a change that no tag says is passed over. All of them are counted.

    Where a text is to be gone on with (`generation`), what is written stands behind it: of `/completions` to the
    letter, of a chat behind a space, unless the text ends in white space. How probable its tokens are it does not say.

    A refusal, or an empty, cut or unreadable reply is no answer: such a text is left out of the transfer set, and
    counted. What goes on with a text may be cut: a student does not learn to end there, and that is counted too. Each
    request is in an account on disk, by its hash, before it is sent and before its reply is used.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "decoder", "causal"})

    kind: Literal["endpoint"] = "endpoint"
    base_url: str = Field(repr=False)
    """Where the API is, as in `http://localhost:8000/v1`."""
    model: str = Field(min_length=1)
    """The model's name, as the server knows it."""
    price_per_million_input_tokens: float = Field(ge=0, allow_inf_nan=False)
    """In the recipe's currency; 0 for a server of your own."""
    price_per_million_output_tokens: float = Field(ge=0, allow_inf_nan=False)
    """The same, for what it writes."""
    max_spend: float = Field(ge=0, allow_inf_nan=False)
    """The cap, in the recipe's currency: all that asking this model in this way may cost in one work folder."""
    api_key_env: str | None = Field(None, repr=False)
    """The environment variable that holds the key; none: the server wants none."""
    api: Literal["chat", "completions"] = "chat"
    """Which of the two it is asked by: `/chat/completions` or `/completions`."""
    answers: Literal["logprobs", "label", "spans", "text", "corrections"] = "logprobs"
    """How it answers: by the probabilities of the labels' letters, by a label's name under a JSON schema, by spans of
    the text under one, by what it writes, or by the text as it should be."""
    prompt: str = ""
    """What it is asked, with `{text}` once, `{labels}`, and `{answer}` where it says in which form to answer; "": our
    own wording. For `text` and `corrections` there are no labels, and for `text` you have to say what is to be
    written."""
    prompt_version: str = "1"
    """Your name for this wording; it stands in the manifest beside the wording itself."""
    temperature: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How much chance is in a reply."""
    sampling_seed: int = Field(0, ge=-1)
    """The seed that is sent; -1: none is, for servers that know no `seed`."""
    max_tokens: int | None = Field(None, ge=1)
    """The most that a reply may hold; none: 1 for `logprobs`, 64 for `label`, 512 for the others, or as many as are
    written behind a text (`task.writes`) where it is gone on with."""
    candidates: int = Field(1, ge=1, le=16)
    """How many texts it is asked to write for each (`n`), with a `temperature` that makes them differ: the one that has
    most in common with the others, of those that the task does not sift out, is learned from."""
    top_logprobs: int = Field(20, ge=1, le=20)
    """How many of the most probable first tokens are asked for."""
    template_tokens: int = Field(256, ge=0)
    """The most tokens that the server may put around a prompt, for the worst case that is reserved."""
    concurrency: int = Field(8, ge=1)
    """Requests under way at once."""
    timeout_seconds: float = Field(60.0, gt=0)
    """After which a request counts as lost, and its worst case as spent."""
    attempts: int = Field(8, ge=1)
    """How often a request is sent before its text stops the run."""
    licence: str = ""
    """The licence of the model, or the terms of what it says."""

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError("an address such as https://host/v1, without user, password or query")
        return value.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _name_of_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
            raise ValueError("the name of an environment variable, in capitals, and never the key itself")
        return value

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.answers == "text" and not self.prompt:
            raise ValueError("a `prompt` that says what is to be written, with `{text}` once")
        if self.answers in _WITHOUT_LABELS and self.asked.count("{text}") != 1:
            raise ValueError("a `prompt` that says what is to be written, with `{text}` once")
        if self.answers not in _WITHOUT_LABELS and (self.asked.count("{text}") != 1 or "{labels}" not in self.asked):
            raise ValueError("a `prompt` with `{text}` once, and with `{labels}`")
        if self.candidates > 1 and (self.answers != "text" or not self.temperature):
            raise ValueError('`candidates = 1`, or `answers = "text"` with a `temperature` above 0')
        return self

    @property
    def asked(self) -> str:
        """The wording: the recipe's, or our own."""
        return self.prompt or _WORDINGS.get(self.answers, _LABEL)

    @property
    def answers_in(self) -> frozenset[str]:
        """A label a text, tags of its words, or a text."""
        return frozenset(_SHAPES.get(self.answers, ("pooled",)))

    @property
    def packages(self) -> tuple[str, ...]:
        """What speaks HTTP."""
        return ("httpx",)

    @property
    def computes(self) -> bool:
        """Not here."""
        return False

    @property
    def scores_answers(self) -> bool:
        """Where it is asked for several texts."""
        return self.candidates > 1

    @property
    def signals(self) -> frozenset[str]:
        """Logits, labels alone, or a text."""
        return frozenset({_SAID[self.answers]})

    @property
    def shows_network(self) -> bool:
        """There is none here."""
        return False

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """What so many tokens cost, to the last digit."""
        prices = (self.price_per_million_input_tokens, self.price_per_million_output_tokens)
        inward, outward = (Decimal(str(one)) for one in prices)
        return (inward * input_tokens + outward * output_tokens) / _MILLION

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """Nothing: whom it asks, and how, is in its settings."""
        return {}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Write down whom it asks and how: what this digest rests on. Prices, cap and haste are not in it.

        Raises:
            MismatchError: it would be asked for corrections where labels are needed, or the other way round.
        """
        if self.answers == "corrections":
            _proofreaders.refuse_other_tags(task, whose='endpoint (`answers = "corrections"`)')
        if self.answers == "spans" and not task.names:
            found = f'`answers = "spans"` for the task {task.kind}, which has no labels'
            todo = 'For `proofreading` set `answers = "corrections"`.'
            raise MismatchError(Problem("teacher.answers", found, "a task whose spans have labels", todo))
        draft.facts["voice"] = Wording.of(self, task).voice()

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The line to the server, which is first used when there is something to ask."""
        return Line(self, task=task, desk=desk)


@final
class Line(Closed):
    """A server that is asked about what its account does not know yet."""

    whose: ClassVar[str] = "an API"

    def __init__(self, settings: Endpoint, *, task: Task, desk: Desk | None) -> None:
        self._settings, self._task, self._desk = settings, task, desk
        self._wording = Wording.of(settings, task)
        self._voice = artifact.sha256(artifact.canonical(self._wording.voice()))
        self._ledger: Ledger | None = None
        self._needed: Decimal | None = None

    def identify(self) -> Identity:
        """The model's name; no weights can be seen, so the digest is of whom is asked and how."""
        one = self._settings
        name, said = one.model.rpartition("/")[2], _SAID[one.answers]
        return Identity(name, self._voice, None, self._task.outputs, one.licence, None, said)

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What it said of each text, and what that cost; only what is not in the account yet is sent.

        Raises:
            InputError: no key where one is needed.
            OutsideError: the cap, the server or the network says no.
        """
        if self._desk is None:
            raise TypeError("a teacher that is paid, without a desk to keep its books at")
        requests = [self._wording.request(text) for text in texts]
        if self._ledger is None:
            path = self._desk.books / f"{self._voice[:24]}.jsonl"
            self._ledger = Ledger(path, cap=Decimal(str(self._settings.max_spend)))
        ledger = self._ledger
        with ledger.held():
            new = {one.key: one for one in requests if ledger.reply(one.key) is None}
            if new:
                client.send(list(new.values()), settings=self._settings, key=self._key(), wording=self._wording,
                            ledger=ledger, needed=self._needed, report=self._desk.report)  # fmt: skip
        replies = [ledger.reply(one.key) for one in requests]
        said: dict[str, NDArray[Any]] = {
            signals.PRICE: np.array([float(ledger.requests[one.key]) for one in requests], dtype=np.float64),
            signals.UNANSWERED: np.array([one.unanswered if one else "" for one in replies], dtype=object),
            signals.TALLY: np.array([dict(one.tally) if one else {} for one in replies], dtype=object),
        }
        answers = [one.answer if one else None for one in replies]
        said |= self._told(texts, answers)
        if self._wording.goes_on:
            ended = [one is not None and bool(one.answer) and CUT not in one.tally for one in replies]
            said[signals.ENDED] = np.array(ended, dtype=np.bool_)
        return said, sum(one.tokens for one in replies if one)

    def forecasts(self, texts: Iterable[str], *, further: int) -> Sequence[Forecast]:
        """What these texts, and so many others, will cost, by all that was answered so far."""
        ledger = self._ledger
        if ledger is None or not ledger.paid:
            return ()
        due, most = further, 0
        for request in map(self._wording.request, texts):
            if ledger.reply(request.key) is None:
                due, most = due + 1, max(most, request.most_input_tokens)
        one = self._settings
        reserve = one.cost(most, self._wording.most_output_tokens)
        made = Forecast(one.model, len(ledger.paid), due, sum(ledger.paid, Decimal(0)) / len(ledger.paid),
                        ledger.spent, reserve, ledger.cap)  # fmt: skip
        self._needed = made.needed
        return (made,)

    def _told(self, texts: Sequence[str], answers: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """Answers as signals; where there is none, something that means nothing."""
        how = self._settings.answers
        if how == "label":
            return {"label": np.array([0 if one is None else one for one in answers], dtype=np.int64)}
        if how == "text":
            asked = self._settings.candidates
            some = [_candidates.agreeing([one] if isinstance(one, str) else one or (), asked=asked) for one in answers]
            told = {"sequence": objects.array([one[0][0] if one else "" for one in some])}
            return told | ({signals.CANDIDATES: objects.array(some)} if asked > 1 else {})
        if how == "corrections":
            return _proofreaders.tagged(
                texts, [text if one is None else one for text, one in zip(texts, answers, strict=True)]
            )
        if how == "spans":
            spans = [[Span(start, end, self._task.names[label]) for start, end, label in one or ()] for one in answers]
            places, counts = tagging.places_of(texts)
            tags = tagging.on_words(spans, places, counts, self._task.names)
            return {"label": tags, signals.WORDS: places, signals.COUNTS: counts}
        nothing = [0.0] * len(self._task.outputs)
        rows = [nothing if one is None else one for one in answers]
        return {"logits": np.array(rows, dtype=np.float32).reshape(-1, len(nothing))}

    def _key(self) -> str:
        name = self._settings.api_key_env
        if name is None:
            return ""
        key = os.environ.get(name, "").strip()
        if not key.isascii() or not key.isprintable() or not key or " " in key:
            found = "one with characters that no key has" if key else "no such variable, or an empty one"
            todo = f"Put the key into it: export {name}=…"
            raise InputError(Problem(f"environment variable {name}", found, "the key of the API", todo))
        return key
