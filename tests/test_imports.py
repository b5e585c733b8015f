"""What may import what: torch stays out of the base, and imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stillroom

SOURCE = Path(stillroom.__file__).parent
#: Lower ones may not import higher ones. A family is any package of ours that is not named here.
LEVELS = {"core": 0, "families": 1, "stages": 2, "pipeline": 3, "outside": 4}
FAMILIES = {
    "aspects",
    "augmentations",
    "corpora",
    "detectors",
    "documents",
    "floors",
    "formats",
    "metrics",
    "objectives",
    "perturbations",
    "probes",
    "runtime",
    "shapes",
    "students",
    "symptoms",
    "tasks",
    "teachers",
}
#: What is no family and no stage: the table that everything is judged on, how sure figures are, what makes them so.
BESIDE = {"chance", "intervals", "power", "table"}
OUTSIDE = {"cli", "console", "language_server", "serve", "starter"}


def level(module: str) -> int:
    part = module.split(".")[1] if "." in module else ""
    if part == "core":
        return LEVELS["core"]
    if part in FAMILIES | BESIDE:
        return LEVELS["families"]
    if part in OUTSIDE:
        return LEVELS["outside"]
    return LEVELS["pipeline"] if part in ("pipeline", "journey", "search", "compare") else LEVELS["stages"]


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Our modules that a file imports when it runs, at its top or later; imports for types alone do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "stillroom":
            whole = node.module == "stillroom"
            found |= {f"stillroom.{alias.name}" for alias in node.names} if whole else {node.module}
    return {one for one in found if "__version__" not in one}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = "stillroom." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    if own in ("stillroom.__init__",):
        return
    for other in imported(path):
        assert level(other) <= level(own), f"{own} imports {other}"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'scipy', 'sklearn', 'pydantic', 'numpy', 'pyarrow'} & set(sys.modules)"
    assert run(f"import sys, stillroom; print({heavy})") == "set()"


def test_runtime_and_recipes_load_no_torch() -> None:
    code = (
        "import sys, stillroom.runtime, stillroom.cli, stillroom.core.recipe as r, stillroom.core.plugins as p;"
        "[p.member(f, n) for f in ('tasks', 'teachers', 'students', 'objectives', 'metrics', 'corpora', 'formats',"
        " 'augmentations', 'documents', 'perturbations', 'probes', 'symptoms', 'detectors',"
        " 'runtime.runners', 'runtime.encoders') for n in p.names(f)];"
        "print({'torch', 'transformers', 'scipy', 'sklearn', 'optuna', 'jinja2', 'svg'} & set(sys.modules))"
    )
    assert run(code) == "set()"


def test_public_names_are_there() -> None:
    for name in stillroom.__all__:
        assert getattr(stillroom, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        stillroom.nonsense  # noqa: B018  to look is enough
