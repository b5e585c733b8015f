"""Who a text is."""

from __future__ import annotations

import hashlib


def text_id(text: str) -> str:
    """The id of a text: equal texts have equal ids, wherever they come from."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
