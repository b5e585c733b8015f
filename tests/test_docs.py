"""The documents say what the code does: generated pages, links and snippets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stillroom.core import plugins, recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_recipe_page_is_what_the_models_say() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], check=False)
    assert done.returncode == 0, "run: python docs/generate.py"


def test_every_setting_says_what_it_is_for() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    silent = [line for line in page.splitlines() if re.match(r"\| `.*\|\s*\|$", line)]
    assert silent == []
    for family in recipe.FAMILIES.values():
        for name in plugins.names(family):
            assert f"### `{name}`" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_the_extension_in_the_docs_works() -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    snippets = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert snippets
    for snippet in snippets:
        exec(compile(snippet, "docs/extending.md", "exec"), {"__name__": "snippet"})  # noqa: S102  our own page


def test_every_error_is_in_the_docs() -> None:
    from stillroom.core import errors

    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    names = [
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.StillroomError)
    ]
    assert [name for name in names if f"`{name}`" not in page and f".{name}`" not in page] == []
