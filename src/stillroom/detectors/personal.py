"""Personal data by its looks: addresses and numbers, with their check digits where they have any."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal, final

from stillroom.detectors import Detector, Finding, Look, Place

Kind = Literal["e-mail", "phone", "iban", "card", "ip", "social security", "street"]
KINDS: tuple[Kind, ...] = ("e-mail", "iban", "card", "social security", "ip", "phone", "street")

# Each begins where nothing of its own stands before it, and every repetition has an end: no text takes long.
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}")
_IBAN = re.compile(r"(?<![^\W_])(?=([A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}))", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.])(?=(\d(?:[ -]?\d){12,18}))")
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}(?![\w-])")
_NINO = re.compile(r"(?<!\w)(?![DFIQUV]|[A-Z][DFIQUVO]|BG|GB|KN|NK|NT|TN|ZZ)[A-Z]{2} ?(?:\d\d ?){3}[A-D](?!\w)")
_NIR = re.compile(r"(?<!\w)[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d(?!\w)")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-F]{0,4}:)[0-9A-F:]{3,39}(?:(?:\d{1,3}\.){3}\d{1,3})?(?![\w:])", re.IGNORECASE)
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?<!\d )(\+?\(?\d[\d ().\-/]{5,22}\d)(?: ?(?:x|ext\.?) ?\d{1,6})?(?!\w|[.,]\d)", re.IGNORECASE
)
_NATIONAL = re.compile(r"(?:1[ .-]?)?(?:\(\d{3}\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}")
_CALLED = re.compile(r"\b(?:phone|tel|telefon|téléphone|call|mobile|cell|fax|whatsapp|ring|dial)\b", re.IGNORECASE)
_BEFORE = 30  # characters in front of a number, in which it may be called one to call
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
_ROADS = (
    r"(?i:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|square|sq|way|place|pl|terrace|highway|hwy"
    r"|parkway|pkwy)"
)
_ENGLISH = (
    r"(?<![\w.,-])\d{1,5}[A-Za-z]? (?:(?:[NSEW]\.?|[A-Z][\w'’.-]{0,24}|\d{1,3}(?:st|nd|rd|th)) ){1,4}" + _ROADS + r"\b"
)
_GERMAN = r"(?<!\w)[A-ZÄÖÜ][\w-]{1,30}(?:straße|strasse|str\.|weg|allee|gasse|platz) \d{1,4}[a-z]?(?!\w)"
_FRENCH = (
    r"(?<!\w)\d{1,4}(?: bis| ter)?,? (?:rue|avenue|boulevard|place|chemin|impasse|quai) (?:d[eu]s? |de la |l['’])?"
    r"[A-ZÀ-Ý][\w'’-]{1,30}(?: [A-ZÀ-Ý][\w'’-]{1,30}){0,3}"
)
_STREET = re.compile("|".join((_ENGLISH, _GERMAN, _FRENCH)))

#: Characters of an IBAN by country, as the registry of SWIFT has them.
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
#: The first digits of payment cards by network, and how many digits those have.
_CARDS = (
    ((4, 4), (13, 16, 19)), ((51, 55), (16,)), ((2221, 2720), (16,)), ((34, 34), (15,)), ((37, 37), (15,)),
    ((6011, 6011), (16, 19)), ((644, 649), (16, 19)), ((65, 65), (16, 19)), ((3528, 3589), (16, 19)),
    ((300, 305), (14,)), ((36, 36), (14,)), ((38, 39), (14,)), ((62, 62), (16, 17, 18, 19)), ((50, 50), (16,)),
    ((56, 58), (16,)),
)  # fmt: skip


@final
class Personal(Detector):
    """E-mail addresses, phone numbers, IBANs, payment cards, IP addresses, social-security numbers, streets.

    An IBAN has its country's length and a remainder of 1 by 97, a card its network's digits and Luhn's sum: numbers
    that only look like them are none. A replacement is the name in brackets. Names of people are not looked for: they
    have no looks; a student of `token_labelling` finds them.
    """

    kind: Literal["personal"] = "personal"
    find: tuple[Kind, ...] = KINDS
    """What to look for."""

    def open(self) -> Look:
        """Nothing to load."""

        def look(text: str, *, asked: str = "") -> Finding:
            return Finding("personal", tuple(sorted(_found(text, self.find))))

        return look


def _found(text: str, wanted: tuple[Kind, ...]) -> Iterator[Place]:
    """What is found, the surest first: what is part of one thing is not told of as another."""
    taken = bytearray(len(text))
    for kind in KINDS:
        if kind in wanted:
            for start, end in _SEARCHES[kind](text):
                if taken.find(1, start, end) < 0:
                    taken[start:end] = b"\1" * (end - start)
                    yield Place(start, end, kind, f"[{kind}]")


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from (one.span() for one in _EMAIL.finditer(text))


def _first(text: str, start: int, *, count: int) -> int | None:
    """Where so many letters and digits end; None: within a longer number or word."""
    end = start
    while count:
        count -= text[end].isalnum()
        end += 1
    return None if text[end : end + 1].isalnum() else end


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    """Of what looks like one, as many characters as its country has: words may stand behind it."""
    for one in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(one[1][:2].upper())
        if length is not None and length <= sum(map(str.isalnum, one[1])):
            end = _first(text, one.start(), count=length)
            if end is not None and iban(text[one.start() : end]):
                yield one.start(), end


def iban(number: str) -> bool:
    """Whether a number is an IBAN: by its country's length and its remainder by 97 (ISO 13616, ISO 7064)."""
    plain = number.replace(" ", "").replace("-", "").upper()
    if not plain.isascii() or not plain.isalnum() or len(plain) != _IBAN_LENGTHS.get(plain[:2]):
        return False
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """Of what looks like one, as many digits as its network has: another number may stand behind it."""
    for one in _CARD.finditer(text):
        digits = one[1].replace(" ", "").replace("-", "")
        for (low, high), lengths in _CARDS:
            for length in lengths if low <= int(digits[: len(str(low))]) <= high else ():
                end = _first(text, one.start(), count=length) if length <= len(digits) else None
                if end is not None and luhn(digits[:length]):
                    yield one.start(), end


def luhn(digits: str) -> bool:
    """Whether the sum of digits, every second one from the right doubled and its own digits added, ends in 0."""
    doubled = (int(one) * 2 if place % 2 else int(one) for place, one in enumerate(reversed(digits)))
    return sum(one - 9 if one > 9 else one for one in doubled) % 10 == 0


def _social(text: str) -> Iterator[tuple[int, int]]:
    """Of the United States, of the United Kingdom, and of France with its remainder."""
    for pattern in (_SSN, _NINO):
        yield from (one.span() for one in pattern.finditer(text))
    for one in _NIR.finditer(text):
        plain = one[0].replace(" ", "").replace("2A", "19").replace("2B", "18")
        if plain.isdecimal() and int(plain[13:]) == 97 - int(plain[:13]) % 97:
            yield one.span()


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_IPV4, _IPV6):
        for one in pattern.finditer(text):
            end = one.end() - (one[0].endswith(":") and not one[0].endswith("::"))
            try:
                known = ipaddress.ip_address(text[one.start() : end])
            except ValueError:
                continue
            told = known.version == 4 or any(len(one) > 2 for one in known.compressed.split(":"))  # no C++
            if told and not (known.is_loopback or known.is_unspecified):
                yield one.start(), end


def _phones(text: str) -> Iterator[tuple[int, int]]:
    """With + or 00; of one country, those that begin with 0, are written as in North America, or are called phones."""
    for one in _PHONE.finditer(text):
        said = one[1]
        digits = sum(map(str.isdecimal, said))
        if said.count("(") != said.count(")") or _DATE.fullmatch(said) or "  " in said:
            continue
        abroad = said.startswith(("+", "00")) and 8 <= digits <= 15
        at_home = said.lstrip("(").startswith("0") and 9 <= digits <= 12 and not re.match(r"\d+\.\d+$", said)
        called = 7 <= digits <= 13 and _CALLED.search(text, max(0, one.start() - _BEFORE), one.start())
        if abroad or at_home or called or _NATIONAL.fullmatch(said):
            yield one.span()


def _streets(text: str) -> Iterator[tuple[int, int]]:
    yield from (one.span() for one in _STREET.finditer(text))


_SEARCHES = {"e-mail": _emails, "iban": _ibans, "card": _cards, "social security": _social, "ip": _addresses,
             "phone": _phones, "street": _streets}  # fmt: skip
