"""Bundles with weights by chance, made without a fit: what a browser says of texts is held against what Python says."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from stillroom import runtime
from stillroom.core import artifact, plugins
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.tasks import Task

WORDS = (
    "the",
    "film",
    "was",
    "great",
    "dull",
    "he",
    "she",
    "recieved",
    "a",
    "red",
    "hat",
    "met",
    "mira",
    "in",
    "oslo",
    "today",
)
LABELS = ("negative", "positive", "neither")
#: Characters that something is done about: by a normaliser, a splitter, a browser, or a file.
_POOLS = (
    "abcdefghij ABCDEFG",
    "éèüßñÅÇ İıſςΣΟΔΟΣ",
    "中文的电影日本語한국어",
    "👍🏽👩\u200d👩\u200d👧🏳\ufe0f\u200d🌈",
    "\u0301\u200b\u200d\ufeff\xad\x00\x07\x1b\x85\u2028\xa0",
    ".,;:!?¿¡«»„“”‘’…—–-_()[]{}<>@#$%^&*+=|\\/~`",
    "الفيلم רחוב हिन्दी ไทย",
    "０１２３ＡＢ①②Ⅷ½",
    "\U0001d400\U0001d401\U00020000\ud7a3가각",
)
ODD = (
    "", " ", "\n\t\r ", "[SEP] great [CLS]", "[MASK]x[UNK]", "ΟΔΟΣ ΣΑΣ", "x" * 150, "great\x00film", "\u0301", "##ing",
    "great\x0b\x1c\x85film", "great\u2028film\u00a0today", "naïve café", "İstanbul ﬁlm Straße ŞIİ", "\ufeffgreat",
    "zero\u200bwidth", "iPhone McDonald LLC U.S.A. ǅ don’t re-use it's", "the film was great " * 5_500,
)  # fmt: skip


def nasty(count: int, *, seed: int = 0) -> list[str]:
    """Odd texts, and more of them by chance."""
    rng = random.Random(seed)
    letters = ["".join(rng.choice(rng.choice(_POOLS)) for _ in range(rng.randint(1, 40))) for _ in range(count)]
    mixed = [" ".join(rng.choice((*WORDS, *letters)) for _ in range(rng.randint(1, 9))) for _ in range(count)]
    return [*ODD, *letters, *mixed]


def tokenizer(*, lowercase: bool = True, strip_accents: bool | None = None) -> Tokenizer:
    """Word pieces of letters and some words, by BERT's rules."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = "abcdefghijklmnopqrstuvwxyzσςο中電$.,'’!"
    pieces = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *WORDS, "##ing"])
    found = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(pieces)}, unk_token="[UNK]"))  # noqa: S106  a token of text
    found.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found.add_special_tokens(special)
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return found


SIZE = tokenizer().get_vocab_size()
_TOKENS = {"special": False}
_GRAMS = {"kind": "ngrams", "bits": 10}


def numbers(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Some by chance."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _half(*shape: int) -> np.ndarray[Any, np.dtype[np.float16]]:
    return numbers(*shape).astype(np.float16)


#: Runners that a browser needs no graph for: their settings, and their weights.
TABLES: dict[str, tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]] = {
    "bag": ({"encoder": _GRAMS}, {"table": _half(1024, 3), "bias": numbers(3)}),
    "static": (
        {"encoder": _TOKENS, "by_chunks": False},
        {"rows": _half(SIZE, 8), "bias": numbers(8), "head": numbers(3, 8), "head_bias": numbers(3)},
    ),
    "static, features": (
        {"encoder": _TOKENS, "features": _GRAMS, "by_chunks": True},
        {"rows": _half(SIZE, 8), "bias": numbers(8), "head": numbers(3, 8), "head_bias": numbers(3),
         "features": _half(1024, 3)},
    ),
    "static_vectors": ({"encoder": _TOKENS, "by_chunks": True}, {"rows": _half(SIZE, 16)}),
    "cnn": (
        {"encoder": _TOKENS, "windows": [1, 3], "by_chunks": True},
        {"rows": _half(SIZE, 8), "body.weight": numbers(4 * 5, 8), "body.bias": numbers(10),
         "head.weight": numbers(3, 10), "head.bias": numbers(3)},
    ),
}  # fmt: skip


def graph(path: Path, *, classes: int, words: bool, planted: Mapping[str, int] | None = None) -> None:
    """An ONNX graph as exports are: the logits of a token are a row of a table, those of a text their sum.

    The table goes through a product that changes nothing, so that there is something to quantize.

    `planted` are tokens with the output that is by far the highest of theirs.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    table = 0.3 * numbers(SIZE, classes)
    for token, output in (planted or {}).items():
        table[tokenizer().token_to_id(token), output] = 12.0
    node, value = helper.make_node, helper.make_tensor_value_info
    gathered = [
        node("Gather", ["table", "ids"], ["rows"]),
        node("MatMul", ["rows", "same"], ["logits" if words else "each"]),
    ]
    summed = [
        node("Cast", ["mask"], ["some"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["some", "last"], ["wide"]),
        node("Mul", ["each", "wide"], ["kept"]),
        node("ReduceSum", ["kept", "first"], ["logits"], keepdims=0),
    ]
    nodes = [*gathered, *([node("Identity", ["mask"], ["unused"])] if words else summed)]
    given = [value("ids", TensorProto.INT64, ["batch", "length"]), value("mask", TensorProto.BOOL, ["batch", "length"])]
    told = value("logits", TensorProto.FLOAT, ["batch", "length", classes] if words else ["batch", classes])
    constants = {
        "table": table,
        "same": np.eye(classes, dtype=np.float32),
        "last": np.array([2]),
        "first": np.array([1]),
    }
    held = [numpy_helper.from_array(one, name) for name, one in constants.items()]
    made = helper.make_graph(nodes, "student", given, [told], held)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def write(folder: Path, name: str) -> dict[str, Any]:
    """The files of one of `TABLES`, and the runner's settings."""
    settings, weights = TABLES[name]
    kind = name.partition(",")[0]
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / f"{kind}.safetensors")
    tokenizer().save(str(folder / "tokenizer.json"))
    return {"kind": kind, **settings}


def bundle(
    work: Path,
    *,
    task: Mapping[str, Any],
    runners: Mapping[str, Mapping[str, Any]],
    files: Path,
    parity: float = 1e-3,
    texts: Sequence[str] = ("the film was great", "a dull film today, he met Mira in Oslo"),
) -> Artifact:
    """A bundle of these runners, the first one its default, with that one's golden answers."""
    built: Task = plugins.build("tasks", dict(task))
    names, first = sorted(path.name for path in files.iterdir()), next(iter(runners.values()))

    def make(draft: Draft) -> None:
        for name in names:
            (draft.folder / name).write_bytes((files / name).read_bytes())
        told = {
            "task": built.model_dump(mode="json"),
            "student": "by chance",
            "default": next(iter(runners)),
            "temperature": 1.5 if built.learns_gold else 1.0,
            # They are by chance, so that others than the default say something else.
            "runners": {
                name: {"settings": dict(one), "files": names, "parity": parity if one == first else 1e3}
                for name, one in runners.items()
            },
        }
        artifact.write_json(draft.folder / runtime.BUNDLE, told)
        member = plugins.build("runtime.runners", dict(first))
        lines = built.form.lines(member.open(draft.folder, threads=1)(list(texts)))
        golden = "".join(json.dumps({"text": text, **line}) + "\n" for text, line in zip(texts, lines, strict=True))
        artifact.write_text(draft.folder / runtime.GOLDEN, golden)

    return Store(work).obtain("bundle", settings={"task": dict(task), "runners": dict(runners)}, inputs={}, make=make)
