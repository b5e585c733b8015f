"""A folder that `model2vec.StaticModel.from_pretrained` loads, and sentence-transformers too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, final

from safetensors.numpy import save_file

from stillroom.core import artifact
from stillroom.layouts import Layout, Tabled

_MODULES = ["StaticEmbedding", "Normalize"]


@final
class Model2Vec(Layout):
    """A folder that `model2vec.StaticModel.from_pretrained` loads: a row a token, averaged, at length one.

    Model2vec reads the first 512 tokens of a text unless it is told otherwise (`max_length=None`); the student reads
    all of them.
    """

    students: ClassVar[frozenset[str]] = frozenset({"static"})
    shapes: ClassVar[frozenset[str]] = frozenset({"vectors"})

    kind: Literal["model2vec"] = "model2vec"

    def write(self, network: Any, folder: Path) -> None:
        """Rows in single precision, the tokenizer, and what says that vectors are brought to length one."""
        if not isinstance(network, Tabled):
            raise TypeError("a student without a row a token")
        rows = network.rows()
        save_file({"embeddings": rows}, folder / "model.safetensors")
        artifact.write_text(folder / "tokenizer.json", network.tokenizer)
        about = {"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": True,
                 "hidden_dim": rows.shape[1], "embedding_dtype": "float32"}  # fmt: skip
        artifact.write_json(folder / "config.json", about)
        chain = [
            {"idx": place, "name": str(place), "path": "." if place == 0 else f"{place}_{name}",
             "type": f"sentence_transformers.models.{name}"}
            for place, name in enumerate(_MODULES)
        ]  # fmt: skip
        artifact.write_json(folder / "modules.json", chain)
