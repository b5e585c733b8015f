"""What networks share that write a text for each text."""

from __future__ import annotations


class TextNetwork:
    """A network that answers with a text and tells nothing of its insides."""

    @property
    def shape(self) -> str:
        """A text a text."""
        return "decoder"

    @property
    def layers(self) -> int:
        """None that it tells of."""
        return 0

    @property
    def heads(self) -> tuple[str, ...]:
        """One."""
        return ("sequence",)
