"""What every shape of outputs promises, held over every member: what goes in comes out, and texts stay apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillroom.core import objects, plugins
from stillroom.core.errors import RecipeError
from stillroom.core.scored import Scored
from stillroom.core.words import Traced, Words
from stillroom.shapes import Shape
from stillroom.teachers._fitting import Examples
from tests.contracts.test_tasks import spoken, words

NAMES = plugins.names("shapes")
OUTPUTS = 5
TEXTS = ["one two three", "four", "five six", "seven eight nine ten"]


@pytest.fixture(params=NAMES)
def form(request: pytest.FixtureRequest) -> Shape:
    found: Shape = plugins.build("shapes", request.param)
    return found


def there(form: Shape) -> Words | None:
    """The words of the texts, where the shape is about words."""
    return None if form.axes[0] == "row" else words(TEXTS)


def answers(form: Shape) -> int:
    found = there(form)
    return len(TEXTS) if found is None else len(found.tokens)


def test_what_stands_behind_a_beginning_is_told_apart_or_refused(form: Shape) -> None:
    """Who answers for single tokens leaves out those that begin before, and still says which ones they are."""
    before = said(form)
    starts = np.array([5, 0, 99, 3])
    if form.answer != "token_logprobs":
        with pytest.raises(TypeError, match="about whole texts"):
            form.behind(before, starts)
        return
    after = form.behind(before, starts)
    counted = np.isfinite(form.aligned(after, None)[:, 0])
    assert counted.tolist() == (before.places[:, 0] >= starts[before.owners]).tolist()
    assert 0 < counted.sum() < len(counted)
    np.testing.assert_array_equal(after.tokens, before.tokens)
    np.testing.assert_array_equal(form.values(after)[counted], form.values(before)[counted])


def names(form: Shape) -> list[bool]:
    """Whether a teacher may only name something."""
    return [False, True] if "label" in form.answering else [False]


def said(form: Shape, *, seed: int = 0) -> Any:
    if form.answer == "sequence":
        return objects.array([f"{text}, {seed} times" for text in TEXTS])
    if form.answer == "token_logprobs":
        whole = spoken(TEXTS, seed=seed, scale=1, kept=(OUTPUTS - 3) // 2)
        values = whole.values.copy()
        values[:, :-2] = values[:, :-2].astype(np.float16)
        return replace(whole, values=values)
    values = np.random.default_rng(seed).normal(size=(answers(form), OUTPUTS)).astype(np.float32)
    return form.spread(values.astype(np.float16).astype(np.float32), there(form))


def same(form: Shape, one: Any, other: Any) -> bool:
    return len(one) == len(other) and form.gap(one, other) == 0.0


def test_there_are_members() -> None:
    assert {"pooled", "tokens", "vectors", "decoder", "causal"} <= set(NAMES)


def test_is_its_own_settings(form: Shape) -> None:
    assert type(form).__doc__
    assert plugins.build("shapes", form.model_dump(mode="json")) == form
    with pytest.raises(RecipeError, match="a key that nothing reads"):
        plugins.build("shapes", {**form.model_dump(mode="json"), "nonsense": 1})
    assert form.graph_runner in plugins.names("runtime.runners")


def test_taken_apart_and_joined_it_is_the_same(form: Shape) -> None:
    whole = said(form)
    assert len(whole) == len(TEXTS)
    parts = [form.take(whole, np.array(rows, dtype=np.int64)) for rows in ([0], [1, 2], [3])]
    assert same(form, form.join(parts, outputs=OUTPUTS), whole)
    assert len(form.join([], outputs=OUTPUTS)) == 0
    order = np.array([2, 0, 3, 1, 2])
    alone = [form.take(whole, np.array([row])) for row in order]
    assert same(form, form.take(whole, order), form.join(alone, outputs=OUTPUTS))


def test_other_sizes_are_told(form: Shape) -> None:
    whole = said(form)
    assert form.unfit(whole, texts=len(TEXTS), outputs=OUTPUTS) is None
    others = [] if form.answer == "sequence" else [{"texts": len(TEXTS), "outputs": 2}]
    for sizes in ({"texts": 3, "outputs": OUTPUTS}, *others):
        told = form.unfit(whole, **sizes)
        assert told is not None
        assert all(told)


def test_a_number_that_is_none_is_of_its_text_alone(form: Shape) -> None:
    values = np.array(form.values(said(form)))
    if form.answer == "sequence":
        values[-1] = None
        assert form.finite(values).tolist() == [True, True, True, False]
        assert form.gap(values, said(form)) == 0.25
        return
    values[-1, 2] = np.nan
    odd = form.with_values(said(form), values)
    assert form.finite(odd).tolist() == [True, True, True, False]
    assert np.isnan(form.gap(odd, said(form)))
    values[-1, 2] = form.values(said(form))[-1, 2] + 0.5
    assert form.gap(form.with_values(said(form), values), said(form)) == pytest.approx(0.5)


def test_it_can_be_written_as_lines(form: Shape) -> None:
    lines = [json.loads(json.dumps(line)) for line in form.lines(said(form))]
    again = form.of_lines(lines)
    assert len(again) == len(TEXTS)
    assert form.gap(again, said(form)) < 1e-6
    with pytest.raises((ValueError, KeyError, TypeError)):
        form.of_lines([{form.answer: 7 if form.answer == "sequence" else "none"}])


@pytest.mark.parametrize("named", [False, True], ids=["numbers", "names"])
def test_a_shard_keeps_it(form: Shape, named: bool, tmp_path: Path) -> None:
    """Of a teacher that says how sure it is, and of one that only names; whole, and without some of the texts."""
    if named not in names(form):
        pytest.skip("nothing in this shape can be named")
    told = form.said(said(form))
    if named:
        told["label"] = told.pop(form.answer).argmax(axis=1)
    told = form.kept(told)
    assert set(told) <= form.answering
    keep = np.array([True, False, True, True])
    for given, rows in ((told, np.arange(4)), (form.keep(told, keep), np.flatnonzero(keep))):
        pq.write_table(pa.table(form.columns(given)), tmp_path / "shard.parquet")
        read = form.answers(pq.read_table(tmp_path / "shard.parquet"))
        assert same(form, read, form.take(form.heard(told), rows))
        assert form.values(read).ndim == (1 if named or form.answer == "sequence" else 2)


def test_a_sheet_takes_batches_in_any_order(form: Shape) -> None:
    """Whoever answers pads; padding is written nowhere."""
    found = there(form)
    sheet = form.sheet(len(TEXTS), outputs=OUTPUTS, words=found)
    whole, values = said(form), form.values(said(form))
    for rows in (np.array([3, 0]), np.array([2, 1])):
        if found is None:
            sheet.put(rows, values[rows])
            continue
        table = np.full((len(rows), 9, OUTPUTS), 99.0, dtype=np.float32)
        numbers, owners, tokens = found.of(rows)
        table[owners, tokens] = values[numbers]
        sheet.put(rows, table)
    assert same(form, sheet.outputs, whole)


def test_what_was_said_is_the_same_to_who_reads_the_same(form: Shape) -> None:
    np.testing.assert_array_equal(form.aligned(said(form), there(form)), form.values(said(form)))


def test_whoever_says_the_same_is_alike_in_every_text(form: Shape) -> None:
    one, other = (unit(form, said(form, seed=seed)) for seed in (0, 1))
    np.testing.assert_allclose(form.alike(one, one), np.ones(len(TEXTS)), atol=1e-6)
    apart = form.alike(one, other)
    assert apart.shape == (len(TEXTS),)
    assert apart.max() <= 1
    assert apart.mean() < 0.9
    rows = np.array([2, 0])
    np.testing.assert_allclose(form.alike(form.take(one, rows), form.take(other, rows)), apart[rows])


def test_whoever_says_the_same_of_a_changed_text_is_not_swayed(form: Shape) -> None:
    before = unit(form, said(form))
    nothing = [[] for _ in TEXTS]
    found = form.swayed(before, before, nothing)
    if found is None:
        return
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
    moved = form.swayed(before, unit(form, said(form, seed=1)), nothing)
    assert moved is not None
    assert np.abs(moved).min() > 0
    none = form.take(before, np.zeros(0, dtype=np.int64))
    told = form.swayed(none, none, [])  # nobody has to be asked to find out whether it can be told
    assert told is not None
    assert len(told) == 0


def test_what_is_explained_is_some_of_its_numbers_or_it_says_why_nothing_is(form: Shape) -> None:
    """Of a text, at the tokens that are read; of shapes that hang on nothing else, whatever else is there."""
    one = words(TEXTS[3:])
    places = np.concatenate([[[0, 0]], one.places]).astype(np.int32)
    read = Traced(np.arange(5, dtype=np.int32), places, replace(one, tokens=np.arange(4)))
    own = form.take(said(form), np.array([3]))
    if form.unexplained:
        with pytest.raises(TypeError, match=form.unexplained[:20]):
            form.aim(own, read)
        return
    aim = form.aim(own, read)
    assert len(aim.at) == (1 if form.axes[0] == "row" else 2)
    assert 0 < len(aim.weights) == len(aim.at[-1])
    assert all(at.min() >= 0 and at.max() < OUTPUTS for at in aim.at)
    assert np.abs(aim.weights).sum() > 0.9


def unit(form: Shape, found: Any) -> Any:
    """With lines of length one, where a line is a vector."""
    if form.answer != "embedding":
        return found
    return form.with_values(found, found / np.linalg.norm(found, axis=1, keepdims=True))


class TestWords:
    FORM: Shape = plugins.build("shapes", "tokens")

    def test_names_are_laid_on_other_words_too(self) -> None:
        whole = self.FORM.spread(np.array([1, 2, 0]), words(["Anna-Maria Lind came"]))
        pieces = Words(np.arange(5), np.array([[0, 4], [4, 10], [11, 15], [16, 20], [21, 24]], dtype=np.int32),
                       np.array([5]))  # fmt: skip
        assert self.FORM.aligned(whole, pieces).tolist() == [1, 2, 2, 0, -1]

    def test_of_what_nobody_spoke_there_is_no_number(self) -> None:
        whole = self.FORM.spread(np.zeros((1, OUTPUTS), np.float32), words(["Oslo"]))
        found = self.FORM.aligned(whole, words(["Oslo again"]))
        assert np.isfinite(found[0]).all()
        assert np.isnan(found[1]).all()

    @pytest.mark.parametrize(("goes_on", "expected"), [(True, [0, 1, 2]), (False, [0])])
    def test_of_a_word_in_pieces_each_is_explained_that_goes_on_with_its_tag(
        self, goes_on: bool, expected: list[int]
    ) -> None:
        """Of whoever has cut words otherwise, at the first tokens of its own words; a word without a tag is left."""
        form = plugins.build("shapes", {"kind": "tokens", "goes_on": goes_on})
        whole = form.spread(np.eye(5, dtype=np.float32)[[1, 0]] * 9, words(["Anna-Maria came"]))
        pieces = Words(np.array([1, 2, 3, 5]), np.array([[0, 4], [4, 5], [5, 10], [11, 15]], dtype=np.int32),
                       np.array([4]))  # fmt: skip
        aim = form.aim(whole, Traced(np.arange(6, dtype=np.int32), np.zeros((6, 2), np.int32), pieces))
        assert aim.at[0].tolist() == pieces.tokens[expected].tolist()
        assert aim.at[1].tolist() == [1, 2, 2][: len(expected)]
        np.testing.assert_allclose(aim.weights, 1 / len(expected))

    def test_other_words_are_another_answer(self) -> None:
        one, other = (self.FORM.spread(np.zeros((2, OUTPUTS), np.float32), words([text])) for text in ("a b", "aa b"))
        assert self.FORM.gap(one, other) == np.inf
        with pytest.raises(TypeError, match="other words"):
            self.FORM.alike(one, other)


def test_some_examples_are_those_rows(form: Shape) -> None:
    """Ids, gold, answers and words of some texts, in another order."""
    found, count = there(form), answers(form)
    ids = [np.full(9, row, dtype=np.int32) for row in range(len(TEXTS))]
    logits = np.arange(count * OUTPUTS, dtype=np.float32).reshape(count, OUTPUTS)
    if form.answer == "sequence":
        logits = said(form)
    whole = Examples(ids, np.arange(count), logits, words=found, form=form)
    rows = np.array([2, 0])
    some = whole.some(rows)
    assert [one[0] for one in some.ids] == [2, 0]
    expected, told = (one.batch(at, length=9) for one, at in ((whole, rows), (some, np.arange(2))))
    assert same(form, form.spread(some.logits, some.words), form.take(form.spread(logits, found), rows))
    for name in ("gold", "mask", *({form.answer} & set(told))):
        np.testing.assert_array_equal(told[name], expected[name])


class TestTextsOfWhichNobodyTellsTokens:
    """What a teacher wrote that says no more: the text, and whether it came to its end."""

    FORM: Shape = plugins.build("shapes", {"kind": "causal", "likeliest": 3})
    TOLD: ClassVar = {"sequence": objects.array([" five", " six", " sev"]), "ended": np.array([True, True, False])}

    def test_there_is_no_line(self) -> None:
        found = self.FORM.heard(self.TOLD)
        assert self.FORM.unfit(found, texts=3, outputs=9) is None
        assert self.FORM.values(found).shape == (0, 9)
        assert self.FORM.finite(found).all()
        assert self.FORM.written(found) == [" five", " six", " sev"]
        assert not found.read.any()

    def test_a_shard_keeps_it(self, tmp_path: Path) -> None:
        kept = self.FORM.kept(self.FORM.keep(self.TOLD, np.array([False, True, True])))
        assert set(kept) == set(self.FORM.columns_of("sequence")) < self.FORM.answering
        pq.write_table(pa.table(self.FORM.columns(kept)), tmp_path / "shard")
        read = self.FORM.answers(pq.read_table(tmp_path / "shard", columns=list(self.FORM.columns_of("sequence"))))
        assert read.texts.tolist() == [" six", " sev"]
        assert read.ended.tolist() == [True, False]

    def test_taken_apart_and_joined_it_is_the_same(self) -> None:
        whole = self.FORM.heard(self.TOLD)
        parts = [self.FORM.take(whole, np.array(rows)) for rows in ([2], [0, 1])]
        joined = self.FORM.join(parts, outputs=9)
        assert joined.texts.tolist() == [" sev", " five", " six"]
        assert joined.ended.tolist() == [False, True, True]
        assert self.FORM.join([], outputs=9).ended is None, "of who speaks of tokens they tell"


class TestTokensThatAreTold:
    FORM: Shape = plugins.build("shapes", {"kind": "causal", "likeliest": 3})

    def said(self) -> Scored:
        """Of texts without a token, with some that were read, and with some that were written behind."""
        whole = spoken(["one two three", "", "four five"], kept=3)
        return replace(whole, wrote=np.array([0, 0, 1]), texts=objects.array(["", "", " five"]))

    def test_what_was_written_is_kept_too(self, tmp_path: Path) -> None:
        pq.write_table(pa.table(self.FORM.columns(self.FORM.kept(self.FORM.said(self.said())))), tmp_path / "shard")
        read = self.FORM.answers(pq.read_table(tmp_path / "shard"))
        assert self.FORM.gap(read, self.said()) < 5e-3
        assert read.counts.tolist() == [3, 0, 2]
        assert read.wrote.tolist() == [0, 0, 1]
        assert read.texts.tolist() == ["", "", " five"]
        assert read.tokens.tolist() == self.said().tokens.tolist(), "half precision would not hold them"
        again = self.FORM.of_lines(json.loads(json.dumps(self.FORM.lines(self.said()))))
        assert self.FORM.gap(again, self.said()) < 1e-5
        assert again.texts.tolist() == read.texts.tolist()

    def test_what_was_read_is_told_from_what_was_written(self) -> None:
        said = self.said()
        assert said.read.tolist() == [True, True, True, True, False]
        assert said.only(said.read).counts.tolist() == [3, 0, 1]
        assert said.take(np.array([2, 1])).read.tolist() == [True, False]
        learned = self.FORM.aligned(said, None)
        assert np.isfinite(learned[:, 0]).tolist() == [True, True, True, False, True]

    def test_other_tokens_are_another_answer(self) -> None:
        assert self.FORM.gap(self.said(), self.said().take(np.array([2, 1, 0]))) == np.inf

    def test_what_is_written_is_no_difference(self) -> None:
        other = replace(self.said(), texts=objects.array(["a", "b", "c"]))
        assert self.FORM.gap(other, self.said()) == 0

    def test_how_sure_somebody_is(self) -> None:
        said = self.said()
        np.testing.assert_allclose(self.FORM.sureness(said.values), np.exp(said.likeliest[:, 0]), rtol=1e-6)
        assert self.FORM.drift(said, said) == 0
