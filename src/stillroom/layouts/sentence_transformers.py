"""A folder that `SentenceTransformer` loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, final

from stillroom.core.errors import missing_extra
from stillroom.layouts import Layout, Modular


@final
class SentenceTransformers(Layout):
    """A folder that `sentence_transformers.SentenceTransformer` loads, written by that library."""

    students: ClassVar[frozenset[str]] = frozenset({"static", "transformer"})
    shapes: ClassVar[frozenset[str]] = frozenset({"vectors"})

    kind: Literal["sentence_transformers"] = "sentence_transformers"

    def write(self, network: Any, folder: Path) -> None:
        """The chain of modules that the student is."""
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise missing_extra("train", package="sentence-transformers", needed_by="export.layouts") from error
        if not isinstance(network, Modular):
            raise TypeError("a student that is no chain of modules")
        made = SentenceTransformer(modules=network.modules(), device="cpu")
        made.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
