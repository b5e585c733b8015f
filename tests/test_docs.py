"""The documents say what the code does: generated pages, links, snippets, commands and the errors that they show."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillroom import corpus, fitness, journey, pipeline
from stillroom.core import artifact, errors, plugins, recipe
from stillroom.core.artifact import Store
from stillroom.tasks.classification import Classification
from stillroom.teachers import Desk
from tests.conftest import LABELS, sentences, write_csv

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FAMILIES = (
    *dict.fromkeys(recipe.FAMILIES.values()),
    "augmentations",
    "detectors",
    "formats",
    "metrics",
    "documents",
    "perturbations",
    "probes",
    "symptoms",
    "runtime.runners",
    "runtime.encoders",
    "serve.protocols",
)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def snippets(language: str) -> list[Any]:
    """Every fenced block of a language, with the page it stands on."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text(page), flags=re.S))
    ]


def free_names(snippet: str) -> set[str]:
    """Names that a snippet uses and does not bring: such a snippet is a part of something larger."""
    tree = ast.parse(snippet)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    brought = {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return used - stored - defined - brought - arguments - set(vars(builtins))


def test_generated_pages_are_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_setting_says_what_it_is_for() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*)\|$", text(ROOT / "docs" / "recipe.md"), flags=re.MULTILINE)
    assert len(rows) > 200
    assert [name for name, said in rows if not said.strip()] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_is_in_the_docs(family: str) -> None:
    pages = "".join(text(page) for page in (ROOT / "docs").rglob("*.md"))
    assert [name for name in plugins.names(family) if f"`{name}`" not in pages] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text(page), flags=re.DOTALL)  # what looks so in code is none
    for target in re.findall(r"\]\(([^)#]+)\)", prose):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_index_names_every_page() -> None:
    index = text(ROOT / "docs" / "README.md")
    pages = [page.relative_to(ROOT / "docs") for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [str(page) for page in pages if page.name != "README.md" and f"({page.as_posix()})" not in index] == []


def test_the_readme_is_short() -> None:
    assert len(text(ROOT / "README.md").splitlines()) < 150


@pytest.mark.parametrize("snippet", snippets("toml"))
def test_toml_is_toml(snippet: str) -> None:
    assert tomllib.loads(snippet)


@pytest.mark.parametrize("snippet", snippets("python"))
def test_python_imports_what_is_there(snippet: str) -> None:
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                assert hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)


@pytest.mark.parametrize("snippet", [one for one in snippets("python") if not free_names(one.values[0])])
def test_python_that_stands_alone_runs(snippet: str, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    exec(compile(snippet, "a page", "exec"), {"__name__": "snippet"})  # noqa: S102  our own page


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, classifier_folder: Path) -> Path:
    """A folder in which a run called `reviews` has come as far as its bundle."""
    folder = tmp_path_factory.mktemp("finished")
    data = {
        "name": "reviews",
        "task": {"kind": "classification", "labels": list(LABELS)},
        "corpus": {"kind": "table", "labelled": str(write_csv(folder / "rows.csv", sentences())), "dev_share": 0.2},
        "teacher": {"kind": "huggingface", "model": str(classifier_folder)},
        "student": {"kind": "bag", "epochs": 1, "features": {"bits": 8}},
    }
    pipeline.run(recipe.parse(data), work=folder / "work", until="export")
    return folder


def test_commands_in_the_docs_are_there() -> None:
    import typer

    from stillroom.cli import app

    known = set(vars(typer.main.get_command(app))["commands"])
    for page in PAGES:
        for block in re.findall(r"```(?:sh)?\n(.*?)```", text(page), flags=re.S):
            for command in re.findall(r"^(?:\$ )?stillroom ([a-z]+)", block, flags=re.M):
                assert command in known, f"{page}: stillroom {command}"


def test_the_extension_in_the_docs_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = text(ROOT / "docs" / "extending.md")
    told = tomllib.loads(re.findall(r"```toml\n(.*?)```", page, flags=re.S)[0])
    ((group, points),) = told["project"]["entry-points"].items()
    ((name, target),) = points.items()
    module = tmp_path.joinpath(*target.split(":")[0].split(".")).with_suffix(".py")
    module.parent.mkdir(parents=True)
    module.write_text(re.findall(r"```python\n(.*?)```", page, flags=re.S)[0], encoding="utf-8")
    known = tmp_path / "stranger-1.0.dist-info"
    known.mkdir()
    known.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n", encoding="utf-8")
    known.joinpath("entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    family = group.removeprefix("stillroom.")
    _forget()
    try:
        assert name in plugins.names(family)
        assert plugins.build(family, name).kind == name
    finally:
        _forget()


def _forget() -> None:
    for remembered in (plugins.names, plugins.member):
        remembered.cache_clear()


def test_every_error_is_in_the_docs() -> None:
    page = text(ROOT / "docs" / "errors.md")
    names = [
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.StillroomError)
    ]
    assert [name for name in names if f"`{name}`" not in page and f".{name}`" not in page] == []


def _toy(**changes: Any) -> dict[str, Any]:
    parts = {
        "name": "mine",
        "task": {"kind": "classification", "labels": list(LABELS)},
        "corpus": {"kind": "table", "labelled": "rows.csv"},
        "teacher": {"kind": "recorded", "outputs": "said.jsonl"},
        "student": {"kind": "static"},
    }
    return {**parts, **changes}


def _slips(folder: Path) -> None:
    recipe.parse(_toy(student={"kind": "static", "dimension": 3}, teacher={"kind": "hugging_face"}), where="mine.toml")


def _misfits(folder: Path) -> None:
    fitness.check(recipe.parse(_toy(gate=[{"measure": "retention.acuracy", "at_least": 0.9}])))


def _rows(folder: Path) -> None:
    (folder / "rows.csv").write_text("text,label\nfine,positive\n,negative\ngood,positiv\n", encoding="utf-8")
    made = recipe.parse(_toy())
    corpus.load(made.corpus, task=made.task, store=Store(folder / "work"))


def _family(folder: Path) -> None:
    journey.listing("stdents", work=folder)


def _full(folder: Path) -> None:
    with errors.translating_full_disk(Path("work/corpus/.draft-9ce3a9a4493fcb41084baf96")):
        raise OSError(28, "No space left on device")


def _extra(folder: Path) -> None:
    raise errors.missing_extra("train", package="transformers", needed_by="teacher")


def _cap(folder: Path) -> None:
    prices = {"price_per_million_input_tokens": 0.5, "price_per_million_output_tokens": 1.5}
    settings = {"kind": "endpoint", "base_url": "http://localhost:1/v1", "model": "any", "max_spend": 0.0001, **prices}
    line = plugins.build("teachers", settings).open(folder, task=Classification(labels=LABELS), desk=Desk(folder))
    line.ask(["a fine film"], precision="fp32", tokens_per_batch=1)


@pytest.mark.parametrize("slip", [_slips, _misfits, _rows, _family, _full, _cap, _extra])
def test_errors_are_told_as_the_docs_show(
    slip: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.StillroomError) as caught:
        slip(tmp_path)
    page = text(ROOT / "docs" / "errors.md")
    for one in caught.value.problems:
        shown = f"✗ {one.where}\n  found     {one.found}\n  expected  {one.expected}\n  to do     {one.todo}\n"
        assert shown in page, shown
    assert f"(`{type(caught.value).__name__}`, {caught.value.exit_code})" in page


def test_a_damaged_artifact_is_told_as_the_docs_show(tmp_path: Path) -> None:
    made = Store(tmp_path).obtain("corpus", settings={}, inputs={}, make=lambda draft: _write(draft.folder, "whole"))
    _write(made.folder, "torn")
    with pytest.raises(errors.ArtifactError) as caught:
        artifact.load(made.folder)
    shown = re.escape(str(caught.value.problems[0].todo)).replace(
        re.escape(str(made.folder)), "work/bundle/[0-9a-f]{24}"
    )
    assert re.search(rf"to do     {shown}", text(ROOT / "docs" / "errors.md"))


def _write(folder: Path, content: str) -> None:
    (folder / "rows.txt").write_text(content, encoding="utf-8")
