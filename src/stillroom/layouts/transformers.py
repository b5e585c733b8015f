"""A folder that `transformers.AutoModelForCausalLM.from_pretrained` loads, its tokenizer too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, final

from stillroom.layouts import Layout


@final
class Transformers(Layout):
    """A folder that `transformers` loads as a causal language model: weights in safetensors, and the tokenizer."""

    students: ClassVar[frozenset[str]] = frozenset({"decoder"})
    shapes: ClassVar[frozenset[str]] = frozenset({"causal"})

    kind: Literal["transformers"] = "transformers"

    def write(self, network: Any, folder: Path) -> None:
        """As the student keeps itself."""
        network.save(folder)
