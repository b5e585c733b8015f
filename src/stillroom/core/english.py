"""What is taken for what in English: words that are confused, forms of irregular words, endings that come and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Topic = Literal[
    "article", "preposition", "pronoun", "determiner", "agreement", "verb form", "number", "confused words",
    "word form", "spelling", "capitals", "spacing", "punctuation", "word order", "missing word", "extra word",
]  # fmt: skip

#: Words of which one is often written for another, by what that is a matter of. A word may stand in several.
CONFUSED: Mapping[Topic, tuple[str, ...]] = {
    "article": ("a an the",),
    "preposition": ("in on at", "of off", "to for", "to in at", "from of", "with by", "about of for", "into in",
                    "during in", "since for", "between among", "than that", "over above", "through by"),
    "determiner": ("this these", "that those", "much many", "few little", "some any", "another other others",
                   "every all each", "both all", "fewer less", "lot lots"),
    "pronoun": ("he him his himself", "she her hers herself", "they them their themselves", "i me my mine myself",
                "we us our ours ourselves", "you your yours yourself", "it its itself", "who whom which that",
                "everyone everybody anyone", "something anything nothing"),
    "agreement": ("is are", "was were", "has have", "does do", "am is"),
    "verb form": ("be being been is", "have had having", "do did done doing", "can could", "will would",
                  "shall should", "may might", "must should"),
    "confused words": (
        "their there they're", "your you're", "its it's", "whose who's", "then than", "to too two", "affect effect",
        "loose lose", "accept except", "advice advise", "weather whether", "quite quiet", "were where we're",
        "principal principle", "passed past", "brake break", "peace piece", "hear here", "know no now", "new knew",
        "buy by", "right write", "desert dessert", "breath breathe", "later latter", "lead led", "live life leave",
        "though through thought", "think thing", "see sea", "wear where", "would wood", "weak week", "wait weight",
        "hole whole", "allowed aloud", "bear bare", "complement compliment", "form from", "as has", "an and",
        "of have", "so such", "also too", "because of", "like as", "good well", "bad badly", "more most",
        "better best", "worse worst", "say tell", "make do", "easy easily", "real really", "quick quickly",
        "economic economical", "historic historical", "everyday every", "may maybe", "beside besides",
        "especially specially", "lay lie", "rise raise", "sit set", "till until", "cloth clothes", "human humans",
        "hope wish", "job work", "travel trip", "fun funny", "dead death", "belief believe", "choice choose",
        "success succeed", "different difference", "important importance", "difficult difficulty",
        "convenient convenience", "responsible responsibility", "true truth", "happy happiness", "safe safety",
        "health healthy", "possible possibility", "able ability", "and or", "if when", "persons people",
        "the they then them", "most almost", "hard hardly", "someone somebody", "every everything everyone", "is it",
        "of or",
    ),
}  # fmt: skip

#: Forms of verbs that go their own way: the base, third person, past, participle, `-ing`.
VERBS: tuple[tuple[str, str, str, str, str], ...] = tuple(
    (base, third, past, participle, ing)
    for base, third, past, participle, ing in (
        line.split()
        for line in """
    go goes went gone going|come comes came come coming|take takes took taken taking|make makes made made making
    get gets got got getting|give gives gave given giving|know knows knew known knowing|see sees saw seen seeing
    think thinks thought thought thinking|say says said said saying|tell tells told told telling
    find finds found found finding|become becomes became become becoming|leave leaves left left leaving
    feel feels felt felt feeling|bring brings brought brought bringing|begin begins began begun beginning
    keep keeps kept kept keeping|hold holds held held holding|write writes wrote written writing
    stand stands stood stood standing|hear hears heard heard hearing|mean means meant meant meaning
    meet meets met met meeting|run runs ran run running|pay pays paid paid paying|sit sits sat sat sitting
    speak speaks spoke spoken speaking|lead leads led led leading|grow grows grew grown growing
    lose loses lost lost losing|fall falls fell fallen falling|send sends sent sent sending
    build builds built built building|understand understands understood understood understanding
    draw draws drew drawn drawing|break breaks broke broken breaking|spend spends spent spent spending
    rise rises rose risen rising|drive drives drove driven driving|buy buys bought bought buying
    wear wears wore worn wearing|choose chooses chose chosen choosing|eat eats ate eaten eating
    drink drinks drank drunk drinking|sing sings sang sung singing|swim swims swam swum swimming
    teach teaches taught taught teaching|learn learns learnt learned learning|sell sells sold sold selling
    fight fights fought fought fighting|catch catches caught caught catching|throw throws threw thrown throwing
    show shows showed shown showing|fly flies flew flown flying|forget forgets forgot forgotten forgetting
    sleep sleeps slept slept sleeping|win wins won won winning|sink sinks sank sunk sinking
    shake shakes shook shaken shaking|steal steals stole stolen stealing|hide hides hid hidden hiding
    ride rides rode ridden riding|bite bites bit bitten biting|blow blows blew blown blowing
    freeze freezes froze frozen freezing|wake wakes woke woken waking|lie lies lay lain lying
    seek seeks sought sought seeking|deal deals dealt dealt dealing|bend bends bent bent bending
    lend lends lent lent lending|shoot shoots shot shot shooting|stick sticks stuck stuck sticking
    strike strikes struck struck striking|swear swears swore sworn swearing|tear tears tore torn tearing
    bear bears bore born bearing|beat beats beat beaten beating|bind binds bound bound binding
    feed feeds fed fed feeding|ring rings rang rung ringing|spread spreads spread spread spreading
    cut cuts cut cut cutting|put puts put put putting|let lets let let letting|set sets set set setting
    hit hits hit hit hitting|hurt hurts hurt hurt hurting|cost costs cost cost costing|read reads read read reading
    have has had had having|do does did done doing
    """.replace("|", "\n")
        .strip()
        .splitlines()
        if line.strip()
    )
)
FORMS = ("base", "third", "past", "participle", "ing")

#: One of something, and several.
NOUNS: Mapping[str, str] = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet", "tooth": "teeth",
    "mouse": "mice", "life": "lives", "wife": "wives", "knife": "knives", "leaf": "leaves", "half": "halves",
    "self": "selves", "thief": "thieves", "shelf": "shelves", "wolf": "wolves", "phenomenon": "phenomena",
    "criterion": "criteria", "analysis": "analyses", "crisis": "crises", "basis": "bases",
}  # fmt: skip

#: Endings: what stands there, what should. The first pair that fits is taken.
ENDINGS: tuple[tuple[str, str], ...] = (
    ("", "s"), ("s", ""), ("", "es"), ("es", ""), ("y", "ies"), ("ies", "y"), ("y", "ied"), ("ied", "y"),
    ("", "d"), ("d", ""), ("", "ed"), ("ed", ""), ("", "ing"), ("ing", ""), ("e", "ing"), ("ing", "e"),
    ("s", "d"), ("d", "s"), ("s", "ed"), ("ed", "s"), ("ed", "ing"), ("ing", "ed"), ("s", "ing"), ("ing", "s"),
    ("es", "ing"), ("ing", "es"), ("", "ly"), ("ly", ""), ("y", "ily"), ("ily", "y"), ("le", "ly"), ("ly", "le"),
    ("", "r"), ("", "er"), ("er", ""), ("", "est"), ("est", "er"), ("er", "est"), ("ful", "fully"),
    ("", "al"), ("al", ""), ("", "ally"), ("e", "ion"), ("ion", "e"), ("", "ion"), ("ion", ""), ("e", "ation"),
    ("ation", "e"), ("", "ment"), ("ment", ""), ("", "ness"), ("ness", ""), ("ce", "t"), ("t", "ce"), ("", "'s"),
    ("'s", ""), ("s", "'s"), ("'s", "s"), ("s", "s'"), ("", "n"), ("", "y"), ("y", ""), ("", "ity"), ("ity", ""),
    ("ing", "ed"), ("ied", "ies"), ("ies", "ied"), ("ying", "ies"), ("ies", "ying"), ("ive", "ion"), ("ion", "ive"),
)  # fmt: skip

#: Words that are left out, and what of.
LEFT_OUT: Mapping[Topic, str] = {
    "article": "the a an",
    "preposition": "to of in for on with at from by about as into",
    "missing word": "is are was were be have has had do will would can not that and or but so because it they he she "
    "we you i there who which their his her my our its this these those some more very much all also any other one "
    "if when just been always really then your them being what no only even",
}
#: Signs that are left out, behind a word.
SIGNS = (",", ".", "?", ":", ";", "!")
#: What is put in too much, beside articles and commas: the oftener a word stands here, the oftener it is.
TOO_MUCH = (
    "to to to to and and that that of of is in it as have for will they be so on also more he about not do most are "
    "could always very any being some with been at"
)
