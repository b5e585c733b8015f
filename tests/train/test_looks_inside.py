"""Objectives that look inside: what they record, what they move, and who is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillroom import fitness
from stillroom.core import plugins, recipe
from stillroom.core.artifact import Store
from stillroom.core.errors import MismatchError
from stillroom.core.progress import Event
from tests.train.scenes import INSIDE, MIXTURE, Ground, inside, logged, made


def test_every_objective_that_looks_inside_is_here() -> None:
    kinds = [
        kind
        for kind in plugins.names("objectives")
        if inside(kind).needs - {"logits", "label", "gold", "peer", "sequence", "spans", "token_logprobs"}
    ]
    assert kinds == sorted(INSIDE)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(INSIDE))
def test_a_look_inside_moves_the_student_alone(ground: Ground, tmp_path: Path, kind: str) -> None:
    student, mixture = made("transformer", epochs=3, learning_rate=3e-4), (inside(kind),)
    found = ground.fit(student, Store(tmp_path), said=ground.inside(student, mixture), objectives=mixture)
    losses = [line["terms"][kind] for line in logged(found)]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_relations_are_learned_by_who_has_fewer_heads_than_the_teacher(ground: Ground, tmp_path: Path) -> None:
    """Half of the heads are gone, so queries are half as wide: both sides are split into as many heads anew."""
    student = made("transformer", epochs=3, learning_rate=3e-4, heads=1)
    mixture = (inside("minilm_relation", relation_heads=4),)
    found = ground.fit(student, Store(tmp_path), said=ground.inside(student, mixture), objectives=mixture)
    losses = [line["terms"]["minilm_relation"] for line in logged(found)]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_looks_inside_survive_an_end(ground: Ground, tmp_path: Path) -> None:
    """Broken off in the first epoch, where a queue is half full and projections are on their way, and gone on with."""
    student, mixture = made("transformer"), tuple(inside(kind) for kind in sorted(INSIDE))
    chosen = {"said": ground.inside(student, mixture), "objectives": mixture}
    calm = ground.fit(student, Store(tmp_path / "calm"), **chosen)
    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        seen += event.stage == "student" and event.done > 0
        if seen == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ground.fit(student, Store(tmp_path / "broken"), report=interrupt, **chosen)
    again = ground.fit(student, Store(tmp_path / "broken"), **chosen)
    assert logged(again) == logged(calm)
    assert again.digest == calm.digest


@pytest.mark.slow
def test_layers_may_be_matched_by_transport_beside_what_is_said(ground: Ground, tmp_path: Path) -> None:
    mixture = (inside("hidden", layers="emd", weight=0.5), *MIXTURE)
    student = made("transformer")
    said = ground.inside(student, mixture)
    assert said.recorded == {"logits", "hidden.1", "hidden.2", "hidden.3"}
    lines = logged(ground.fit(student, Store(tmp_path), said=said, objectives=mixture))
    assert lines[-1]["terms"]["hidden"] < lines[0]["terms"]["hidden"]
    assert lines[-1]["terms"]["forward_kl"] < lines[0]["terms"]["forward_kl"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["contrastive", "cosine", "relational"])
def test_a_student_of_another_width_learns_vectors(ground: Ground, tmp_path: Path, kind: str) -> None:
    """Sixteen numbers against the teacher's thirty-two: what lies between is learned, or not needed."""
    mixture = (inside(kind),)
    said = ground.inside(made("static"), mixture)
    losses = [line["terms"][kind] for line in
              logged(ground.fit(made("static"), Store(tmp_path), said=said, objectives=mixture))]  # fmt: skip
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["attention", "hidden", "minilm_relation"])
def test_a_student_that_shows_no_layers_is_refused(ground: Ground, tmp_path: Path, kind: str) -> None:
    mixture = (inside(kind),)
    with pytest.raises(MismatchError, match="shows none"):
        ground.inside(made("static"), mixture)
    said = ground.inside(made("transformer"), mixture)
    with pytest.raises(MismatchError):
        ground.fit(made("static"), Store(tmp_path), said=said, objectives=mixture)


def test_stages_and_slopes_of_a_mixture_are_seen_in_the_log(ground: Ground, tmp_path: Path) -> None:
    """The first half looks at vectors, the second at what is said, ever sharper and with ever more weight."""
    mixture = (
        inside("cosine", ends=0.5),
        inside("jensen_shannon", starts=0.5, weight=0.2, weight_end=1.0, temperature=4.0, temperature_end=1.0),
    )
    student = made("static", epochs=4)
    said = ground.inside(student, mixture)
    terms = [line["terms"] for line in
             logged(ground.fit(student, Store(tmp_path), said=said, objectives=mixture,
                               settings=recipe.Train(patience=4)))]  # fmt: skip
    assert [set(one) for one in terms] == [{"cosine"}, {"cosine"}, {"jensen_shannon"}, {"jensen_shannon"}]


def test_a_recipe_of_tokens_for_a_student_without_any_is_refused_before_anything_is_asked(toy: dict[str, Any]) -> None:
    toy["objective"] = [{"kind": "hidden"}, {"kind": "forward_kl"}]
    with pytest.raises(MismatchError, match="looks at hidden of a static student"):
        fitness.check(recipe.parse(toy))
    toy["objective"][0] = {"kind": "contrastive"}
    fitness.check(recipe.parse(toy))
