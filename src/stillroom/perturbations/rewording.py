"""The same said in other words, where a rule knows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation

#: A sentence begins …
_SENTENCE = r"(?:\A|[.!?\n])[\s\"'(]*(?:(?:hi|hello|hey|please|so|also|and|but),? )?"
#: … or a clause.
_CLAUSE = r"(?:\A|[.!?,;:(\n]|\b(?:and|but|because|so|if|that|when|since))[\s\"']*"
#: A verb follows, as far as what does not begin a thing is one, and it tells of no time before.
_VERB = r"(?= (?!(?:the|an?|my|your|his|her|its|our|their|this|that|these|those|have|not|be like)\b)[a-z]+)"
_ASKED = r"(?= (?:please|help|tell|explain|show|send|give|check|provide|confirm|advise|clarify|cancel|update|let me)\b)"
_THING = (
    r"(?= (?!(?:one|longer|such|better|worse|more|less|other|others|good|use|an?|the)\b|\w+ing\b)[a-z]+)"
    r"(?![^.!?]*\b(?:no|nor)\b)"
)
_IS = r"(?:\b(?:am|is|are|was|were|be|been)|\b\w+'(?:m|re)) (?:(?:I|you|he|she|it|we|they) )?"
_PERSON = (
    r"(?=[.,!?;]|\Z|'s\b| (?:is|was|has|had|can|could|will|would|should|ever|else|knows|knew|cares|wants|likes|who|"
    r"here|there|at|in|on|to|and)\b)"
)
_SUBJECT = r"(?= (?:I|it|he|she|we|they|you|there|this|that|these|those|the|an?|my|our|his|her|its|your|their|some)\b)"
_WHETHER = r"(?= (?:if|whether|how|what|when|why|where|who|which)\b)"


@final
@dataclass(frozen=True)
class _Rule:
    """Words that may stand for each other between what stands before them and behind."""

    forms: tuple[str, ...]
    before: str = r"\b"
    behind: str = r"(?= \w)"
    instead: tuple[str, ...] = ()
    """What may be put, where that is other than the forms; the other way round it would not be the same."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds the words, as `form`."""
        words = "|".join(map(re.escape, sorted(self.forms, key=len, reverse=True)))
        return re.compile(rf"{self.before}\b(?P<form>{words})\b{self.behind}", re.IGNORECASE)


def _not_after(words: str) -> str:
    """Any place but behind one of these words."""
    return "".join(rf"(?<!\b{word} )" for word in words.split())


_RULES = (
    _Rule(("I want to", "I would like to", "I'd like to"), _CLAUSE, _VERB, ("I want to", "I would like to")),
    _Rule(("can you", "could you"), _SENTENCE, _ASKED),
    _Rule(("how do I", "how can I", "what is the way to"), _SENTENCE,
          _VERB + r"(?! (?:look|feel|sound|seem|help|even|ever|really|not)\b)"),
    _Rule(("is there a way to", "is there any way to", "is it possible to"), _SENTENCE, _VERB),
    _Rule(("there is no", "there isn't any", "there is not any"), behind=_THING),
    _Rule(("there are no", "there aren't any", "there are not any"), behind=_THING),
    _Rule(("unable to", "not able to"), _IS, _VERB),
    _Rule(("think that", "believe that"), r"\b(?:I|we|they)(?: do not| don't| still| also)? "),
    _Rule(("let me know", "tell me"), rf"(?:{_SENTENCE}|\b(?:please|(?:can|could|would) you(?: please)?) )", _WHETHER),
    _Rule(("thanks for", "thank you for"), _SENTENCE),
    _Rule(("because of",), instead=("due to", "on account of")),
    _Rule(("in order to",), behind=_VERB, instead=("to", "so as to")),
    _Rule(("more than",), _not_after("no not little much far any never often"), r"(?= [$£€]?\d\d)", ("over",)),
    _Rule(("a lot of", "lots of"), _not_after("quite such awful whole not the these those two three all both parking")),
    _Rule(("at the moment",), _not_after("for from until till just as but only by"), r"(?=[.,!?;]|\Z)", ("right now",)),
    _Rule(("for example", "for instance"), _not_after("a an the"), r"(?=[,:]| \w)"),
    _Rule(("although", "even though"), behind=_SUBJECT),
    _Rule(("maybe", "perhaps"), _not_after("a the"), r"(?=[.,!?;]|\Z| \w)"),
    _Rule(("nobody", "no one"), behind=_PERSON),
    _Rule(("everybody", "everyone"), behind=_PERSON),
    _Rule(("somebody", "someone"), behind=_PERSON),
    _Rule(("anybody", "anyone"), behind=_PERSON),
)  # fmt: skip


@final
class Rewording(Perturbation):
    """The same said in other words inside an English sentence, where a rule knows them."""

    told: ClassVar[str] = "“I would like to” for “I want to” and other such words, where there are any"

    kind: Literal["rewording"] = "rewording"

    @property
    def is_english(self) -> bool:
        """It is."""
        return True

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Every place that a rule knows; where it knows several other words, some of them by chance."""
        plain, found, last = text.replace("’", "'"), [], 0
        places = [(one.start("form"), one["form"], rule) for rule in _RULES for one in rule.pattern.finditer(plain)]
        for start, form, rule in sorted(places, key=lambda place: place[:2]):
            # What is written in capitals is a name or a title, and stands as it is.
            if start >= last and form[1:].replace(" I", " i").islower():
                others = [one for one in rule.instead or rule.forms if one.lower() != form.lower()]
                found.append(Edit(start, start + len(form), _like(others[int(rng.integers(len(others)))], form)))
                last = start + len(form)
        return found


def _like(words: str, form: str) -> str:
    """Words with a capital where what they stand for has one, and the small i of who writes so."""
    if re.search(r"\bi\b", form):
        words = re.sub(r"\bI\b", "i", words)
    elif words.startswith("I "):
        return words
    return (words[0].upper() if form[0].isupper() else words[0].lower()) + words[1:]
