"""Mistakes that types are there to refuse: nothing here is run, and mypy complains of a line that it did not notice."""

from __future__ import annotations

from typing import Any

from stillroom import examples, rehearsal, teach, train
from stillroom.corpus import Corpus, Dev, Learnable, Rows, Test, Train
from stillroom.search.bench import Jury
from stillroom.teachers import Teacher


def fit(train: Rows[Train], dev: Rows[Dev]) -> None:
    """Like all that fits and chooses."""


def judge(test: Rows[Test]) -> None:
    """Like all that judges."""


def rows_have_roles(corpus: Corpus) -> None:
    """A split is taken for no other."""
    fit(corpus.train, corpus.dev)
    fit(corpus.unlabelled, corpus.dev)
    judge(corpus.test)
    judge(corpus.outside)
    fit(corpus.test, corpus.dev)  # type: ignore[arg-type]
    fit(corpus.outside, corpus.dev)  # type: ignore[arg-type]
    fit(corpus.train, corpus.test)  # type: ignore[arg-type]
    fit(corpus.dev, corpus.dev)  # type: ignore[arg-type]
    judge(corpus.train)  # type: ignore[arg-type]
    judge(corpus.dev)  # type: ignore[arg-type]


def what_is_fitted_to_has_no_test(corpus: Corpus) -> None:
    """Neither as it is, nor put together by hand."""
    seen = corpus.learnable
    seen.test  # type: ignore[attr-defined]
    seen.outside  # type: ignore[attr-defined]
    seen.held_out[0].texts  # type: ignore[attr-defined]
    seen.held_out[0].table  # type: ignore[attr-defined]
    Learnable(corpus.test, corpus.unlabelled, corpus.dev)  # type: ignore[arg-type]
    Learnable(corpus.train, corpus.unlabelled, corpus.test)  # type: ignore[arg-type]


def what_fits_takes_no_corpus(corpus: Corpus, teacher: Teacher, rest: Any) -> None:
    """A whole corpus has a test in it."""
    train.fit(rest, corpus=corpus, **rest)  # type: ignore[arg-type]
    train.born_again(rest, rest, corpus=corpus, **rest)  # type: ignore[arg-type]
    rehearsal.rehearse(rest, rest, corpus=corpus, **rest)  # type: ignore[arg-type]
    rehearsal.write(rest, rest, rest, corpus=corpus, **rest)  # type: ignore[arg-type]
    train.undistilled(rest, corpus=corpus, **rest)  # type: ignore[arg-type]
    train.begin(rest, rest, corpus, None, [], **rest)  # type: ignore[arg-type]
    examples.of(rest, corpus, None, [], task=rest)  # type: ignore[arg-type]
    teach.prepare(teacher, corpus=corpus, **rest)  # type: ignore[arg-type]
    teacher.prepare(rest, corpus=corpus, **rest)  # type: ignore[arg-type]
    teacher.inputs(corpus)  # type: ignore[arg-type]
    Jury.call(corpus.test, rest, task=rest)  # type: ignore[arg-type]
