"""Writes docs/recipe.md from the models themselves, so that no key, member or default can lack its line.

python docs/generate.py            write it
python docs/generate.py --check    exit with 1 where the file is not what would be written
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from stillroom.core import plugins, recipe

PAGE = Path(__file__).parent / "recipe.md"
STAGES = {"transfer": recipe.Transfer, "train": recipe.Train, "evaluate": recipe.Evaluate, "cost": recipe.Cost,
          "export": recipe.Export, "[gate]": recipe.Gate}  # fmt: skip
FAMILIES = {**recipe.FAMILIES, "export.formats": "formats"}
JUDGES = {"metrics": ("formula", "reference"), "objectives": ("formula", "source", "lowest")}
OPENING = """# The recipe

*Written by `docs/generate.py`; a test holds it to the code.*

TOML, Python (`stillroom.parse_recipe`) and `--set a.b=c` build the same frozen object. Tables name members by `kind`,
never by import path. Unknown keys are errors with the nearest valid name, and `stillroom check` tells all problems at
once. Paths stand relative to where the command is run. Top level: `name` (a folder's name under `work/runs/`), `seed`
(7), then these tables.
"""


def cell(text: Any) -> str:
    """A table cell: one line, with the bar escaped."""
    return " ".join(str(text).split()).replace("|", "\\|")


def fields(model: type[BaseModel], *, without: frozenset[str] = frozenset({"kind"})) -> list[str]:
    """A table of a model's fields."""
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in without:
            continue
        annotation = field.annotation
        kind = (
            annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else annotation
        )
        shown = re.sub(r"\b(?:[a-z_]+\.)+([A-Z])", r"\1", str(kind))
        shown = re.sub(r"Annotated\[(.*?), [A-Z]\w+\(.*\)\]", r"\1", shown)
        missing = f"`{field.default_factory()!r}`" if field.default_factory else "*required*"  # type: ignore[call-arg]
        default = missing if field.default is PydanticUndefined else f"`{field.default!r}`"
        if isinstance(field.default, BaseModel):
            default = f"`{field.default.model_dump(mode='json')}`"
        rows.append(f"| `{name}` | {cell(shown)} | {cell(default)} | {cell(described(model, name))} |")
    return rows if len(rows) > 2 else ["No settings of its own."]


def described(model: type[BaseModel], name: str) -> str:
    """What a field is for, in its own class's words or, where those are silent, in those of the class it refines."""
    for level in model.__mro__:
        found = getattr(level, "model_fields", {}).get(name)
        if found is not None and found.description:
            return str(found.description)
    return ""


def purpose(member: type[BaseModel]) -> str:
    """The first paragraph of a member's docstring."""
    return cell((member.__doc__ or "").strip().split("\n\n")[0])


def page() -> str:
    """The whole page."""
    lines = [OPENING]
    for table, family in FAMILIES.items():
        heading = f"[[{table}]]" if table == "objective" else f"[{table}]"
        lines += [f"## `{heading}` — {family}", ""]
        for name in plugins.names(family):
            member = plugins.member(family, name)
            lines += [f"### `{name}`", "", purpose(member), ""]
            lines += [f"- {key}: {cell(getattr(member, key))}" for key in JUDGES.get(family, ())]
            lines += ["", *fields(member), ""]
    for table, model in STAGES.items():
        lines += [f"## `[{table}]`", "", purpose(model), "", *fields(model, without=frozenset()), ""]
    lines += ["## Metrics", "", "A task says which it is judged by.", ""]
    lines += ["| metric | formula | better | range | held to |", "|---|---|---|---|---|"]
    for name in plugins.names("metrics"):
        metric: Any = plugins.member("metrics", name)
        better = "higher" if metric.higher_is_better else "lower"
        span = f"{metric.low:g} – {metric.high:g}"
        lines.append(f"| `{name}` | {cell(metric.formula)} | {better} | {span} | {cell(metric.reference)} |")
    text = "\n".join(lines) + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
