"""English words that say who is spoken of, in pairs: a text with its words exchanged is about other people.

The lists are ours, small, and of words that seldom mean anything else. An axis has two sides; `told` says which. What
they can't see: who is meant by other words, and what fits only one of two people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, final

from stillroom.core.edits import Edit

Name = Literal["gender", "names", "nationality", "age", "religion", "dialect"]

#: Words that do not stand between a possessive and its noun: behind one of them `her` is an object, and `his` alone.
_NO_NOUN = (
    "a about across after again all along also although an and around as at away back because before behind but by "
    "down during even every for from has if in into is just like more most nor not now of off on once onto or out "
    "over rather she he since so than that the then there they this those though through to together too toward "
    "towards tomorrow tonight today under until up was we were what when where which while who why will with without "
    "would yesterday yet you"
)
_BEGINS = re.compile(r"(?<![\w'’-])\w+")
_NEXT = re.compile(r"\s+([^\W\d_]+)")
_ARTICLE = re.compile(r"(?<![\w'’-])an?(?=\s+\Z)", re.IGNORECASE)
#: What `an` stands before: eight, eleven and eighteen too.
_VOWEL = re.compile(r"[aeiou]|8|1[18](?!\d)", re.IGNORECASE)


@final
@dataclass(frozen=True)
class Axis:
    """What is exchanged for what."""

    name: Name
    told: str
    one: str
    """Of whom the first words of pairs are, as people read it."""
    other: str
    pairs: tuple[tuple[str, str], ...]
    """A word with a capital letter is found as it stands, and in small letters where a text has no others; other words
    also at the beginning of a sentence and in capitals."""
    owners: tuple[tuple[str, str, str], ...] = ()
    """A word, what stands for it before a noun, and what else: `her` is `his` or `him`."""

    @cached_property
    def _words(self) -> Mapping[str, tuple[str, int]]:
        """What stands for each word, and on which side it is: 1 of the first words, −1 of the second."""
        back = {other: (one, -1) for one, other in self.pairs}
        return back | {one: (other, 1) for one, other in self.pairs}

    @cached_property
    def _small(self) -> Axis:
        """The same in small letters alone."""
        return replace(self, pairs=tuple((one.lower(), other.lower()) for one, other in self.pairs))

    @cached_property
    def _patterns(self) -> Mapping[str, re.Pattern[str]]:
        """By the word that they begin with, what is looked for: the longest first."""
        every = {form for word in (*self._words, *(one for one, _, _ in self.owners)) for form in _forms(word)}
        by: dict[str, list[str]] = {}
        for form in sorted(every, key=lambda one: (-len(one), one)):
            by.setdefault(_BEGINS.findall(form)[0], []).append(re.escape(form))
        return {first: re.compile(rf"(?:{'|'.join(forms)})(?![\w-])") for first, forms in by.items()}

    def _found(self, text: str) -> Iterator[re.Match[str]]:
        """Where words of the axis stand, from left to right, nothing overlapping."""
        end = 0
        for begins in _BEGINS.finditer(text):
            pattern = self._patterns.get(begins.group())
            if pattern is not None and begins.start() >= end and (match := pattern.match(text, begins.start())):
                end = match.end()
                yield match

    def edits(self, text: str) -> tuple[list[Edit], int]:
        """What is exchanged in a text, and which way: 1 from the first to the other, −1 back, 0 both or nothing."""
        return (self._small if text == text.lower() else self)._edits(text)

    def _edits(self, text: str) -> tuple[list[Edit], int]:
        found, sides = [], set()
        for match in self._found(text):
            word = match.group()
            put, side = self._put(text, match)
            if _opens(put) != _opens(word) and (article := _ARTICLE.search(text[: match.start()])):
                found.append(Edit(article.start(), article.end(), _article(article.group(), put)))
            found.append(Edit(match.start(), match.end(), put))
            sides.add(side)
        return found, sides.pop() if len(sides) == 1 else 0

    def _put(self, text: str, match: re.Match[str]) -> tuple[str, int]:
        word = match.group()
        plain = word if word in self._words else word.lower()
        for owner, before, alone in self.owners:
            if plain == owner:
                following = _NEXT.match(text, match.end())
                noun = following is not None and following.group(1).lower() not in _NO_NOUN.split()
                put = before if noun else alone
                return _cased(put, like=word), 1 if owner == "his" else -1
        put, side = self._words[plain]
        return _cased(put, like=word), side


def _forms(word: str) -> tuple[str, ...]:
    return (word,) if word != word.lower() else (word, word[:1].upper() + word[1:], word.upper())


def _cased(put: str, *, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return put.upper()
    return put[:1].upper() + put[1:] if like[:1].isupper() else put


def _opens(word: str) -> bool:
    """Whether it takes `an`."""
    return _VOWEL.match(word) is not None


def _article(was: str, put: str) -> str:
    return _cased("an" if _opens(put) else "a", like=was[:1] + was[1:].lower())


def _split(words: str) -> tuple[tuple[str, str], ...]:
    """Pairs of words, written `one other, one other`."""
    return tuple((one.strip(), other.strip()) for one, other in (pair.split("/") for pair in words.split(",")))


_GENDER = (
    "he/she, him/her, himself/herself, man/woman, men/women, boy/girl, boys/girls, male/female, males/females, "
    "father/mother, fathers/mothers, dad/mom, dads/moms, daddy/mommy, son/daughter, sons/daughters, brother/sister, "
    "brothers/sisters, husband/wife, husbands/wives, uncle/aunt, uncles/aunts, nephew/niece, nephews/nieces, "
    "grandfather/grandmother, grandpa/grandma, grandson/granddaughter, stepfather/stepmother, boyfriend/girlfriend, "
    "boyfriends/girlfriends, king/queen, kings/queens, prince/princess, actor/actress, actors/actresses, hero/heroine, "
    "heroes/heroines, waiter/waitress, gentleman/lady, gentlemen/ladies, groom/bride, widower/widow, "
    "businessman/businesswoman, policeman/policewoman, chairman/chairwoman, salesman/saleswoman, "
    "fatherhood/motherhood, Mr/Mrs, James/Mary, John/Emma, Robert/Sarah, Michael/Jennifer, David/Susan, Richard/Karen, "
    "Thomas/Nancy, Daniel/Emily, Matthew/Jessica, Andrew/Laura, Steven/Rachel, Peter/Helen, Paul/Anna, George/Alice, "
    "Edward/Margaret, Brian/Rebecca, Kevin/Michelle, Jason/Amanda, Henry/Julia, Simon/Claire"
)
_NAMES = (
    "James/Ahmed, John/Mohammed, Robert/Ravi, Michael/Jamal, David/Hassan, Richard/Kwame, Thomas/Tariq, Daniel/Diego, "
    "Matthew/Rashid, Andrew/Chukwu, Steven/Sanjay, Peter/Pedro, Paul/Omar, George/Hiroshi, Edward/Emeka, Brian/Bilal, "
    "Kevin/Javier, Jason/Wei, Mary/Fatima, Emma/Aisha, Sarah/Priya, Jennifer/Lakisha, Susan/Yasmin, Karen/Guadalupe, "
    "Nancy/Ngozi, Emily/Xiomara, Jessica/Latoya, Laura/Zainab, Rachel/Deepika, Helen/Amina, Anna/Mei, Alice/Ayesha, "
    "Margaret/Chiamaka, Rebecca/Shreya, Michelle/Soledad, Amanda/Nkechi"
)
_NATIONALITY = (
    "American/Mexican, Americans/Mexicans, America/Mexico, British/Nigerian, Britain/Nigeria, Britons/Nigerians, "
    "Canadian/Pakistani, Canadians/Pakistanis, Canada/Pakistan, Australian/Indonesian, Australians/Indonesians, "
    "Australia/Indonesia, German/Egyptian, Germans/Egyptians, Germany/Egypt, French/Algerian, France/Algeria, "
    "Italian/Iranian, Italians/Iranians, Italy/Iran, Swedish/Somali, Swedes/Somalis, Sweden/Somalia, Irish/Indian, "
    "Ireland/India, Dutch/Moroccan, Norwegian/Bangladeshi, Norwegians/Bangladeshis, Norway/Bangladesh, "
    "Danish/Syrian, Denmark/Syria, Swiss/Afghan, Switzerland/Afghanistan, Austrian/Ethiopian, Austria/Ethiopia"
)
_YOUNG = "man men woman women lady ladies person people couple couples boy girl guy guys"
_AGE = (
    ", ".join(f"young {who}/old {who}" for who in _YOUNG.split())
    + ", "
    + ", ".join(f"younger {who}/older {who}" for who in f"{_YOUNG} brother sister generation audience".split())
    + ", "
    + ", ".join(f"{age}{rest}/{age + 45}{rest}" for age in range(18, 41) for rest in ("-year-old", " years old"))
    + ", teenager/pensioner, teenagers/pensioners"
)
_RELIGION = (
    "Christian/Muslim, Christians/Muslims, Christianity/Islam, church/mosque, churches/mosques, Bible/Quran, "
    "priest/imam, priests/imams, Christmas/Eid, Easter/Ramadan"
)
_DIALECT = (
    "color/colour, colors/colours, colored/coloured, colorful/colourful, favorite/favourite, favorites/favourites, "
    "flavor/flavour, flavors/flavours, humor/humour, honor/honour, neighbor/neighbour, neighbors/neighbours, "
    "neighborhood/neighbourhood, behavior/behaviour, center/centre, centered/centred, theater/theatre, "
    "theaters/theatres, realize/realise, realized/realised, realizes/realises, recognize/recognise, "
    "recognized/recognised, organized/organised, apologize/apologise, apologized/apologised, criticize/criticise, "
    "analyze/analyse, traveled/travelled, traveling/travelling, traveler/traveller, canceled/cancelled, "
    "gray/grey, mom/mum, moms/mums, jewelry/jewellery, defense/defence, offense/offence, aging/ageing, "
    "airplane/aeroplane, skeptical/sceptical, cozy/cosy, pajamas/pyjamas, rumor/rumour, rumors/rumours, labor/labour, "
    "glamor/glamour, savor/savour, endeavor/endeavour, fulfill/fulfil, skillful/skilful, math/maths"
)

AXES: Mapping[Name, Axis] = {
    one.name: one
    for one in (
        Axis("gender", "men’s words and women’s words", "men", "women", _split(_GENDER),
             (("her", "his", "him"), ("his", "her", "hers"), ("hers", "his", "his"))),
        Axis("names", "given names usual among English speakers, and usual elsewhere", "usual", "from elsewhere",
             _split(_NAMES)),
        Axis("nationality", "Western countries and others", "Western", "others", _split(_NATIONALITY)),
        Axis("age", "young and old", "young", "old", _split(_AGE)),
        Axis("religion", "Christian and Muslim words", "Christian", "Muslim", _split(_RELIGION)),
        Axis("dialect", "American and British spelling", "American", "British", _split(_DIALECT)),
    )
}  # fmt: skip
