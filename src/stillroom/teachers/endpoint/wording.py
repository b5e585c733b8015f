"""What is sent of a text, and how a reply is read: the prompt, the labels' letters, and the schema of an answer."""

from __future__ import annotations

import json
import math
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, final

from stillroom.core import artifact
from stillroom.core.errors import MismatchError, Problem
from stillroom.teachers.endpoint import corrections, quotations, refusals
from stillroom.teachers.endpoint.ledger import Reply

if TYPE_CHECKING:
    from stillroom.tasks import Task
    from stillroom.teachers.endpoint import Endpoint

LETTERS = string.ascii_uppercase.replace("I", "")  # "I" also begins what a model says that won't answer
REFUSED, EMPTY, UNPARSEABLE, NO_LOGPROBS = "refusal", "empty", "unparseable", "no logprobs"
TOO_LONG = corrections.TOO_LONG
QUOTED = "quoted"
CUT = "cut"  # a text that may stop anywhere, and had to
OTHER_WORDS = "other words"  # than a letter that was asked for, where they have more than half
_MISSING = "not written"  # of several texts that were asked for
_SPOILT = (quotations.MISQUOTED, quotations.OVERLAPPING)  # a reply that has one of these knows less than it says
_MOST = {"logprobs": 1, "label": 64, "spans": 512, "text": 512, "corrections": 512}
_HOW = {
    "logprobs": "the letter of one label, and nothing else",
    "label": 'JSON such as {"label": "…"}, with one label',
    "spans": 'JSON such as {"spans": [{"text": "…", "label": "…"}]}, each part copied to the letter, in the order in '
             "which they stand there, and again for each time that it stands there; an empty list where there is none",
    "text": "the text alone",
    "corrections": "the corrected text",
}  # fmt: skip
_SMALLEST = 1e-6
_SURE = 0.5  # of the first token's probability
_AROUND = " \t\n\r\u2581\u0120\u010a"  # what tokenizers write for the space or line before a word


class NoCompletion(ValueError):
    """A reply that is no completion at all."""


@final
@dataclass(frozen=True)
class Request:
    """One text, ready to be sent."""

    key: str
    """The hash of everything that decides the answer."""
    text_id: str
    body: bytes
    most_input_tokens: int
    text: str


@final
class Wording:
    """How texts are put to one model, and its replies understood."""

    def __init__(
        self, settings: Endpoint, labels: Sequence[str], *, further: int | None = None, rewords: bool = False
    ) -> None:
        self._settings, self._labels, self._further = settings, tuple(labels), further
        # An apology that was translated can't be told from the translator's own.
        self._hears_refusals = settings.api == "chat" and not rewords
        self.path = "/chat/completions" if settings.api == "chat" else "/completions"
        by_letter = settings.answers == "logprobs"
        if by_letter and len(labels) > len(LETTERS):
            todo = 'Set `answers = "label"`, which names a label.'
            raise MismatchError(
                Problem("teacher.answers", f"`logprobs` with {len(labels)} labels", f"at most {len(LETTERS)}", todo)
            )
        listed = [f"{letter}. {label}" for letter, label in zip(LETTERS, labels, strict=False)]
        how = _HOW[settings.answers]
        head, _, tail = settings.asked.partition("{text}")  # first: a text may have braces of its own
        self._head, self._tail = (
            part.replace("{labels}", "\n".join(listed if by_letter else [f"- {one}" for one in labels])).replace(
                "{answer}", how
            )
            for part in (head, tail)
        )

    @classmethod
    def of(cls, settings: Endpoint, task: Task) -> Self:
        """How the texts of a task are put to a model."""
        return cls(settings, task.names, further=task.form.most_written, rewords=task.rewords)

    @property
    def goes_on(self) -> bool:
        """Whether what is written stands behind the text, and may stop anywhere."""
        return self._further is not None

    @property
    def _by_other_letters(self) -> bool:
        """Whether a letter stands for a label that is not the one at its place in the alphabet."""
        labels = len(self._labels) if self._settings.answers == "logprobs" else 0
        return LETTERS[:labels] != string.ascii_uppercase[:labels]

    @property
    def max_tokens(self) -> int:
        """The most that a reply may hold."""
        return self._settings.max_tokens or self._further or _MOST[self._settings.answers]

    @property
    def most_output_tokens(self) -> int:
        """The most that all the texts in a reply may hold together."""
        return self.max_tokens * self._settings.candidates

    def voice(self) -> dict[str, Any]:
        """Everything but the text that decides an answer: it goes into the manifest, and its hash says who answers."""
        one = self._settings
        return {
            "server": one.base_url,
            "model": one.model,
            "api": one.api,
            "answers": one.answers,
            "prompt": one.asked,
            "prompt_version": one.prompt_version,
            "labels": list(self._labels),
            "sampling": self._sampling(),
            **({"letters": LETTERS[: len(self._labels)]} if self._by_other_letters else {}),
            **({"goes_on": True} if self.goes_on else {}),
        }

    def request(self, text: str) -> Request:
        """The request about a text.

        No tokenizer that we know of makes more tokens of a text than it has bytes, once compatibility forms are
        unfolded; so much, and `template_tokens` for what the server puts around it, is the bound.
        """
        words = f"{self._head}{text}{self._tail}"
        said = {"messages": [{"role": "user", "content": words}]} if self._settings.api == "chat" else {"prompt": words}
        body = artifact.canonical({"model": self._settings.model, **said, **self._sampling()})
        unfolded = unicodedata.normalize("NFKD", body.decode()).encode()
        most = max(len(body), len(unfolded)) + self._settings.template_tokens
        one = artifact.text_id(text)
        return Request(artifact.sha256(artifact.canonical({"voice": self.voice(), "text": one})), one, body, most, text)

    def read(self, reply: Any, request: Request) -> Reply:
        """What a reply to a request says.

        Raises:
            NoCompletion: it is none.
        """
        try:
            if self._settings.candidates > 1:
                return self._several(reply["choices"], request.text)
            choice = reply["choices"][0]
            message = choice["message"] if self._settings.api == "chat" else {"content": choice["text"]}
            text = message.get("content") or ""
            if message.get("refusal") or choice.get("finish_reason") == "content_filter":
                return Reply(None, REFUSED)
            if self._settings.answers == "logprobs":
                return self._by_letter(_first_token(choice), text)
            cut = choice.get("finish_reason") == "length"
            if self._settings.answers == "text":
                return self._text(text, request.text, cut=cut)
            if self._settings.answers == "corrections":
                return _corrected(text, request.text, cut=cut)
            if self._settings.answers == "spans":
                return self._by_spans(text, request.text, cut=cut)
            return self._by_name(text, cut=cut)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise NoCompletion(type(error).__name__) from None

    def _sampling(self) -> dict[str, Any]:
        one = self._settings
        found: dict[str, Any] = {"temperature": one.temperature, "max_tokens": self.max_tokens}
        if one.sampling_seed >= 0:
            found["seed"] = one.sampling_seed
        if one.candidates > 1:
            found["n"] = one.candidates
        if one.answers in ("label", "spans"):
            found["response_format"] = _schema(self._labels) if one.answers == "label" else _spans(self._labels)
        elif one.answers in ("text", "corrections"):
            pass
        elif one.api == "chat":
            found |= {"logprobs": True, "top_logprobs": one.top_logprobs}
        else:
            found["logprobs"] = one.top_logprobs
        return found

    def _text(self, said: str, source: str, *, cut: bool) -> Reply:
        """What it wrote of a text, or what it wrote behind one."""
        if self._hears_refusals and refusals.told(said, source):
            return Reply(None, REFUSED)
        found = _written(said, cut=cut and not self.goes_on)
        if found.unanswered or not self.goes_on:
            return found
        # A message stands for itself: a space keeps it apart from what it is an answer to.
        joint = " " if source[-1:].strip() else ""
        return Reply(f"{joint}{found.answer}" if self._settings.api == "chat" else said, tally={CUT: 1} if cut else {})

    def _several(self, choices: Sequence[Mapping[str, Any]], source: str) -> Reply:
        """All that it would write; where that is nothing, why not, by the first. What did not come is counted."""
        found = []
        for one in choices:
            said = one["message"] if self._settings.api == "chat" else {"content": one["text"]}
            if said.get("refusal") or one.get("finish_reason") == "content_filter":
                found.append(Reply(None, REFUSED))
            else:
                cut = one.get("finish_reason") == "length"
                found.append(self._text(said.get("content") or "", source, cut=cut))
        texts = [one.answer for one in found if isinstance(one.answer, str) and CUT not in one.tally]
        missing = self._settings.candidates - len(texts)
        return Reply(texts, tally={_MISSING: missing} if missing else {}) if texts else found[0]

    def _by_letter(self, top: Sequence[tuple[str, float]], text: str) -> Reply:
        """Logits from the first token: see `Endpoint`."""
        if not top:
            return Reply(None, NO_LOGPROBS if text.strip() else EMPTY)
        shares: dict[str, float] = {}
        mass, least = 0.0, 1.0
        for token, logprob in top:
            share = math.exp(min(logprob, 0.0))
            mass, least = mass + share, min(least, share)
            shares[token.strip(_AROUND)] = shares.get(token.strip(_AROUND), 0.0) + share
        letters = LETTERS[: len(self._labels)]
        unseen = sum(letter not in shares for letter in letters)
        if unseen == len(letters) or not math.isfinite(mass):
            return Reply(None, UNPARSEABLE)
        # None of the unseen can be more probable than the least that is told.
        each = min(max(0.0, 1.0 - mass) / unseen, least) if unseen else 0.0
        seen = sum(shares.get(letter, 0.0) for letter in letters)
        logits = [math.log(max(shares.get(letter, each), _SMALLEST)) for letter in letters]
        return Reply(logits, tally={OTHER_WORDS: 1} if mass - seen > _SURE else {})

    def _by_name(self, text: str, *, cut: bool) -> Reply:
        if not text.strip():
            return Reply(None, EMPTY)
        try:
            return Reply(self._labels.index(json.loads(text)["label"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return Reply(None, TOO_LONG if cut else UNPARSEABLE)

    def _by_spans(self, said: str, source: str, *, cut: bool) -> Reply:
        """The quotations as characters of the source, `[start, end, label]`, from left to right."""
        if not said.strip():
            return Reply(None, EMPTY)
        try:
            told = json.loads(said)["spans"]
            if not isinstance(told, list):
                raise TypeError("a list of spans")
            quoted = [(str(one["text"]), self._labels.index(one["label"])) for one in told]
        except (ValueError, KeyError, TypeError, RecursionError):
            return Reply(None, TOO_LONG if cut else UNPARSEABLE)
        found = quotations.laid(quoted, source)
        tally = Counter({QUOTED: len(found)} if found else {}) + Counter(one.why for one in found if one.why)
        spoilt = next((why for why in _SPOILT if why in tally), "")
        if spoilt:
            return Reply(None, spoilt, tally=tally)
        both = zip(found, quoted, strict=True)
        spans = sorted([one.start, one.end, label] for one, (_, label) in both if one.why != quotations.REPEATED)
        return Reply(spans, tally=tally)


def _written(text: str, *, cut: bool) -> Reply:
    return Reply(None, EMPTY) if not text.strip() else Reply(None, TOO_LONG) if cut else Reply(text.strip())


def _corrected(text: str, source: str, *, cut: bool) -> Reply:
    """The corrected text, where it is one."""
    reply = _written(text, cut=cut)
    if reply.unanswered:
        return reply
    found = corrections.read(text, source)
    return Reply(found.text, found.why, tally={name: count for name, count in (found.tally or {}).items() if count})


def _first_token(choice: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The most probable first tokens, in either of the two forms that servers write them in."""
    told = choice.get("logprobs") or {}
    if told.get("content"):
        return [(str(one["token"]), float(one["logprob"])) for one in told["content"][0]["top_logprobs"]]
    if told.get("top_logprobs"):
        return [(str(token), float(logprob)) for token, logprob in told["top_logprobs"][0].items()]
    return []


def _schema(labels: Sequence[str]) -> dict[str, Any]:
    return _answer({"label": {"type": "string", "enum": list(labels)}})


def _spans(labels: Sequence[str]) -> dict[str, Any]:
    one = _object({"text": {"type": "string"}, "label": {"type": "string", "enum": list(labels)}})
    return _answer({"spans": {"type": "array", "items": one}})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties),
            "additionalProperties": False}  # fmt: skip


def _answer(properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"name": "answer", "strict": True, "schema": _object(properties)}
    return {"type": "json_schema", "json_schema": schema}
