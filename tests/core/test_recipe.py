from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from stillroom.core import recipe
from stillroom.core.errors import MismatchError, RecipeError
from tests.conftest import write_toml


def problems(data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        recipe.parse(data)
    assert caught.value.exit_code == 2
    return {
        problem.where.removeprefix("recipe: "): f"{problem.found} | {problem.todo}" for problem in caught.value.problems
    }


def test_toml_python_and_overrides_build_the_same_object(toml: Path, toy: dict[str, Any]) -> None:
    toy["student"]["dimensions"] = 8
    overridden = recipe.load(toml, ["student.dimensions=8"])
    assert overridden == recipe.parse(toy)
    assert overridden.digest == recipe.parse(toy).digest
    assert overridden.digest != recipe.load(toml).digest


def test_resolved_recipe_is_a_recipe_again(toy: dict[str, Any]) -> None:
    built = recipe.parse(toy)
    assert recipe.parse(built.resolved()) == built


def test_a_recipe_as_toml_is_the_same_recipe(toy: dict[str, Any]) -> None:
    toy["corpus"] |= {"source": 'a "quoted"\tname \\ with \x7f, é and 𝒳', "outside": {"else where": ["a.csv", "b.csv"]}}
    toy["objective"] = [{"kind": "forward_kl", "weight": 1e-5}, {"kind": "hard_label"}]
    toy["transfer"]["augment"] = [{"kind": "masking", "share": 0.5}]
    built = recipe.parse(toy)
    again = recipe.parse(tomllib.loads(built.as_toml()))
    assert again == built
    assert again.digest == built.digest


def test_a_recipe_as_it_was_written(toml: Path) -> None:
    own = toml.read_text(encoding="utf-8")
    assert recipe.as_written(toml) == own
    laid = recipe.as_written(toml, ["student.dimensions=8", 'corpus.source="""a\nb"""'])
    head = '# Laid over what follows:\n#   --set student.dimensions=8\n#   --set corpus.source="""a\n#     b"""\n\n'
    assert laid == head + own
    assert tomllib.loads(laid) == tomllib.loads(own)


def test_every_problem_is_told_at_once_with_the_nearest_name(toy: dict[str, Any]) -> None:
    toy["student"]["dimensionz"] = 8
    toy["teacher"]["kind"] = "finetunedd"
    toy["transfer"]["shard_row"] = 8
    toy["evaluate"]["confidence"] = 2
    toy["gate"] = [{"measure": "agreement"}]
    found = problems(toy)
    assert "Did you mean `dimensions`?" in found["student.dimensionz"]
    assert "Did you mean `finetuned`?" in found["teacher.kind"]
    assert "Did you mean `shard_rows`?" in found["transfer.shard_row"]
    assert "2" in found["evaluate.confidence"]
    assert any(where.startswith("gate") for where in found)


def test_missing_tables_are_told(toy: dict[str, Any]) -> None:
    del toy["student"]
    toy["corpus"] = {"labelled": "x.csv"}
    found = problems(toy)
    assert "student" in found
    assert "Add `kind`" in found["corpus"]


def test_overrides_reach_lists_and_refuse_nonsense(toml: Path, toy: dict[str, Any]) -> None:
    toy["objective"] = [{"kind": "forward_kl", "temperature": 2.0}, {"kind": "hard_label"}]
    write_toml(toml, toy)
    assert vars(recipe.load(toml, ["objective.0.temperature=4"]).objective[0])["temperature"] == 4
    for wrong in ("objective.7.temperature=4", "seed", "seed.deep=1", "=3"):
        with pytest.raises(RecipeError):
            recipe.load(toml, [wrong])


def test_a_recipe_that_is_no_toml_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('name = "x"\nseed = = 3\n', encoding="utf-8")
    with pytest.raises(RecipeError, match="line 2"):
        recipe.load(path)
    path.write_bytes(b'name = "caf\xe9"')
    with pytest.raises(RecipeError, match="byte 11"):
        recipe.load(path)
    with pytest.raises(RecipeError, match="Check the path"):
        recipe.load(tmp_path / "absent.toml")


def test_names_become_folders_and_nothing_else(toy: dict[str, Any]) -> None:
    for name in ("../up", "", "a/b", ".hidden"):
        assert "name" in problems({**toy, "name": name})


def test_parts_that_do_not_fit_are_refused_before_any_work(toy: dict[str, Any], tmp_path: Path) -> None:
    from stillroom import pipeline

    toy["teacher"] = {"kind": "recorded", "outputs": str(tmp_path / "none.jsonl")}
    toy["gate"] = [{"measure": "retention.acuracy", "at_least": 0.9}]
    toy["objective"] = [{"kind": "forward_kl", "weight": 0.0}]
    with pytest.raises(MismatchError) as caught:
        pipeline.run(recipe.parse(toy), work=tmp_path / "work")
    told = {problem.where: problem for problem in caught.value.problems}
    assert "network can't be seen" in told["student"].found
    assert "Did you mean `retention.accuracy`?" in told["gate[0].measure"].todo
    assert "zero" in told["objective"].found
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("path", sorted(Path("recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_well(path: Path) -> None:
    from stillroom import fitness

    loaded = recipe.load(path)
    fitness.check(loaded)
    assert recipe.parse(tomllib.loads(loaded.as_toml())).digest == loaded.digest
