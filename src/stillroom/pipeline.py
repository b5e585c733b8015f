"""The journey, in the order in which the data travels it.

    corpus ─► teacher ─► transfer ─► train ─► export ─► evaluate ─► audit ─► cost ─► gates ─► dossier

Each stage is one module with one main verb, writes one artifact, and is skipped when that artifact is there. The bundle
is made before anything is judged, so that what is judged is what people ship.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from stillroom import (
    audit,
    contamination,
    corpus,
    cost,
    doctor,
    dossier,
    emphasis,
    evaluate,
    export,
    fitness,
    forgotten,
    gates,
    loop,
    rehearsal,
    teach,
    train,
    transfer,
)
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import InputError, Problem, nearest
from stillroom.core.progress import Report, silent
from stillroom.core.recipe import Recipe
from stillroom.journey import Run
from stillroom.teachers import Desk

STAGES = ("corpus", "teacher", "transfer", "train", "export", "evaluate", "audit", "cost", "gates", "dossier")


def run(
    recipe: Recipe,
    *,
    work: Path = Path("work"),
    until: str = STAGES[-1],
    written: str | None = None,
    report: Report = silent,
) -> Run:
    """Travel the journey to a stage, doing what is not done yet.

    `written` is the recipe as somebody wrote it (`core.recipe.as_written`), kept as `recipe.toml` beside the results;
    without it, every setting is.

    Raises:
        StillroomError: bad input, a damaged artifact, or the outside world; what is finished stays finished.
    """
    if until not in STAGES:
        raise InputError(Problem("until", f"`{until}`", "a stage", nearest(until, STAGES)))
    fitness.check(recipe)
    fitness.equipped(recipe, stages=STAGES[: STAGES.index(until) + 1])
    store, task, seed = Store(work), recipe.task, recipe.seed
    here = Run(recipe, work=work, until=until, written=written)
    heeded = emphasis.read(recipe.transfer, own=here.folder)

    rows = corpus.load(recipe.corpus, task=task, store=store, report=report)
    if here.reached("corpus", rows.artifact):
        return here

    made = partial(teach.prepare, recipe.teacher, task=task, corpus=rows.learnable, fit=loop.fit, store=store,
                   report=report)  # fmt: skip
    teacher = made(seed=seed)
    if here.reached("teacher", teacher):
        return here

    opened = partial(teach.Opened, recipe.teacher, task=task, desk=Desk(store.books, report))
    loaded = opened(teacher)
    mixture = fitness.objectives(recipe)
    ask = partial(transfer.collect, parts=(rows.train, rows.unlabelled, rows.dev), held_out=(rows.test, rows.outside),
                  task=task, settings=recipe.transfer, seed=seed, store=store, rights=rows.stated_rights,
                  report=report)  # fmt: skip
    said = ask(loaded, teacher=teacher, wanted=fitness.wanted(recipe, loaded), asking=recipe.teacher.asking)
    if here.reached("transfer", said.artifact):
        return here

    said = said.emphasised(heeded, held_out=(rows.test.ids(), rows.outside.ids()))
    study = partial(teach.study, loaded=loaded, teacher=teacher, store=store, answer=task.form.answer, report=report)
    studied = study(recipe.student)
    peer, bits = None, export.weight_bits(recipe.export)
    if recipe.peer is not None:
        peer = recipe.peer, study(recipe.peer)

    def fitted(chance: int) -> Artifact:
        first = train.fit(recipe.student, task=task, corpus=rows.learnable, said=said, objectives=mixture,
                          settings=recipe.train, studied=studied, seed=chance, store=store, peer=peer,
                          weight_bits=bits, report=report)  # fmt: skip
        later = train.born_again(recipe.student, first, task=task, corpus=rows.learnable, objectives=mixture,
                                 settings=recipe.train, ask=ask, studied=studied, seed=chance, store=store,
                                 weight_bits=bits, emphasis=heeded, report=report)  # fmt: skip
        return rehearsal.rehearse(recipe.student, later, task=task, corpus=rows.learnable, said=said,
                                  objectives=mixture, settings=recipe.train, ask=ask, loaded=loaded, teacher=teacher,
                                  studied=studied, seed=chance, store=store, weight_bits=bits,
                                  report=report)  # fmt: skip

    student = fitted(seed)
    if here.reached("train", student):
        return here

    bundle = export.bundle(recipe.student, student, task=task, dev=rows.dev, settings=recipe.export,
                           said=said, rights=rows.stated_rights, store=store, report=report)  # fmt: skip
    if here.reached("export", bundle):
        return here

    also = partial(transfer.collect, task=task, settings=recipe.transfer, seed=seed, store=store,
                   rights=rows.stated_rights, asking=recipe.teacher.asking, report=report)  # fmt: skip
    held = also(loaded, teacher=teacher, parts=(rows.test, rows.outside))
    beside = [made(seed=chance) for chance in train.seeds_of(seed, recipe.evaluate.teachers)[1:]]
    others = [opened(one) for one in beside]
    peers = [
        also(one, teacher=made_, parts=(rows.test, rows.outside)) for one, made_ in zip(others, beside, strict=True)
    ]
    twin = train.undistilled(recipe.student, task=task, corpus=rows.learnable, settings=recipe.train,
                             studied=studied, seed=seed, store=store, begun_with=said, weight_bits=bits,
                             report=report)  # fmt: skip
    fits = [student, *(fitted(chance) for chance in train.seeds_of(seed, recipe.train.seeds)[1:])]
    lost = None
    if len(fits) > 1:
        lost = forgotten.among_learned(fits, student=recipe.student, said=said, task=task, store=store, report=report)
    here.forgot(lost)
    brought = [text for one in recipe.probes for text in one.brings(task)]
    shared = contamination.search(corpus=rows, said=said, teacher=recipe.teacher, task=task, brought=brought,
                                  settings=recipe.evaluate, store=store, report=report)  # fmt: skip
    judged = evaluate.judge(bundle, undistilled=twin, student=recipe.student, held=held, said=said, corpus=rows,
                            task=task, settings=recipe.evaluate, shared=shared, seed=seed, store=store, fits=fits,
                            lost=lost, peers=peers, report=report)  # fmt: skip
    if here.reached("evaluate", judged):
        return here

    second = None
    if peers:
        second = audit.Second(peers[0], lambda texts: also(others[0], teacher=beside[0], parts=texts), others[0].inside)
    look: audit.Look = {"teacher": loaded.inside, "student": partial(recipe.student.inside, student.folder, task=task)}
    probed = audit.examine(bundle, ask=lambda texts: also(loaded, teacher=teacher, parts=texts), held=held, said=said,
                           corpus=rows, task=task, probes=recipe.probes, settings=recipe.audit,
                           evaluate=recipe.evaluate, teacher=recipe.teacher, look=look, seed=seed, store=store,
                           second=second, report=report)  # fmt: skip
    if here.reached("audit", probed):
        return here

    costs = cost.measure(teacher=recipe.teacher, teacher_artifact=teacher, loaded=loaded, bundle=bundle,
                         student=student, corpus=rows, said=said, task=task, settings=recipe.cost, store=store,
                         report=report)  # fmt: skip
    if here.reached("cost", costs):
        return here

    here.summarise()
    here.examined(doctor.summary)
    here.gated(gates.judge(recipe.gate, here.summary))
    if until != "gates":
        here.documented(dossier.write)
    return here
