"""Refusals in words: most servers have no other way to say that a model won't, and such a text is no lesson."""

from __future__ import annotations

import re

_SORRY = (
    r"(?:(?:i(?:['’]m| am)|we(?:['’]re| are))? ?(?:(?:very|so|really|truly) )?sorry|(?:i|we) apologi[sz]e"
    r"|my apologies|unfortunately)"
)
_WONT = (
    r"(?:i|we) ?(?:can(?:no|['’])t|can not|won['’]t|will not|could ?n['’]t|(?:must )?decline to"
    r"|(?:am|['’]m|are|['’]re) (?:unable|not able|not allowed|not permitted) to)"
)
_VERB = (
    r"(?:help|provide|offer|write|create|generate|complete|continue|summari[sz]e|translate|correct|answer|process"
    r"|respond to|engage (?:with|in)|do|give)"
)
_DO = (
    rf"(?:be able to )?(?:assist\b|comply\b|fulfil|{_VERB} (?:that|this)(?=\W*$|[.!?,])|{_VERB}\b[^.!?]{{0,60}}?\b"
    r"(?:(?:this|that|your|the) (?:request|text|content|question|information|passage|article|dialogue|conversation)"
    r"|(?:with|on) (?:that|this|it)|you (?:with|any|a)|information|a (?:summary|translation)))"
)
_MODEL = r"as an? (?:ai\b|artificial intelligence|(?:large )?language model)"
#: How a reply opens that is none; in English alone.
_OPENING = re.compile(
    rf"(?:{_SORRY}[^\w]{{1,3}}(?:but )?(?:(?:{_MODEL}[^.!?]{{0,60}}?)?{_WONT} {_DO}|{_MODEL})"
    rf"|(?:{_MODEL}[^.!?]{{0,60}}?)?{_WONT} {_DO}|{_MODEL}[^.!?]{{0,60}}? (?:i|we) (?:can|am|do|don|have|must|won)\b)",
    re.IGNORECASE,
)
_AROUND = " \t\r\n\"'“”‘*#>-"


def told(reply: str, source: str) -> bool:
    """Whether a reply opens as one does that refuses, in words that the text it is about has not got itself."""
    found = _OPENING.match(reply.strip(_AROUND))
    return found is not None and _plain(found.group()) not in _plain(source)


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("’", "'").split())
