"""Writes the documents' tables from the models themselves, so that no key, member, default or option lacks a line.

    python docs/generate.py            write them
    python docs/generate.py --check    exit with 1 where a file is not what would be written

`recipe.md` and `commands.md` are written whole; in the pages of the families what stands between the markers is.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as bounds
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stillroom.core import plugins, recipe

DOCS = Path(__file__).parent
STAGES = {"transfer": recipe.Transfer, "train": recipe.Train, "evaluate": recipe.Evaluate, "audit": recipe.Audit,
          "cost": recipe.Cost, "export": recipe.Export, "search": recipe.Search, "[gate]": recipe.Gate}  # fmt: skip
FAMILIES = {
    **{table: family for table, family in recipe.FAMILIES.items() if table != "peer"},
    "[transfer.augment]": "augmentations",
    "export.formats": "formats",
    "export.layouts": "layouts",
    "evaluate.aspects": "aspects",
    "audit.probes": "probes",
    "probes.perturbations": "perturbations",
}
START, END = "<!-- generated: docs/generate.py -->", "<!-- end -->"
RECIPE = """# The recipe

*Written by `docs/generate.py`; a test holds it to the code.*

TOML, Python (`stillroom.parse_recipe`) and `--set a.b=c` build the same frozen object. Tables name members by `kind`,
never by import path. Unknown keys are errors with the nearest valid name, and `stillroom check` tells all problems at
once. Paths stand relative to where the command is run. Top level: `name` (a folder's name under `work/runs/`), `seed`
(7), then these tables. A default of *none* is left out in TOML, which has no word for it.
"""
COMMANDS = """# The commands

*Written by `docs/generate.py`; a test holds it to the code.*

Each command calls a function of Python and shows what it returns. Data go to stdout, talk and progress to stderr.
[Exit codes](errors.md): 0 done, 1 a gate does not pass or the doctor finds an error, 2 bad input, 3 a bad artifact,
4 the outside world.
"""
_NAMES: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_LIMITS = {bounds.Ge: ("≥", "ge"), bounds.Gt: (">", "gt"), bounds.Le: ("≤", "le"), bounds.Lt: ("<", "lt"),
           bounds.MinLen: ("at least", "min_length")}  # fmt: skip


def cell(text: Any) -> str:
    """A table cell: one line, with the bar escaped."""
    return " ".join(str(text).split()).replace("|", "\\|")


def spelled(annotation: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return spelled(inner[0])
    if origin is Literal:
        return "one of " + ", ".join(f"`{json.dumps(one)}`" for one in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(spelled(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {spelled(inner[0])}" if inner[0] is not Any else "list of names or tables"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {spelled(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def limits(field: FieldInfo) -> str:
    """The limits of a field in signs."""
    signs = [(word, getattr(one, name)) for one in field.metadata
             for kind, (word, name) in _LIMITS.items() if isinstance(one, kind)]  # fmt: skip
    return "".join(f", {word} {value:g}" for word, value in signs)


def standing(field: FieldInfo) -> str:
    """The default, as TOML writes it."""
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True, validated_data=None)
    return "*none*" if value is None else f"`{toml(value)}`"


def toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool | int | float) else str(value)


def described(model: type[BaseModel], name: str) -> str:
    """What a field is for, in its own class's words or, where those are silent, in those of the class it refines."""
    return next((said[name] for level in model.__mro__ if name in (said := attribute_docstrings(level))), "")


@cache
def attribute_docstrings(level: type[Any]) -> dict[str, str]:
    """The docstrings below the attributes of a class of ours. Read from its source: no run needs them."""
    if not level.__module__.startswith("stillroom."):
        return {}
    definition: Any = ast.parse(textwrap.dedent(inspect.getsource(level))).body[0]
    return {
        one.target.id: inspect.cleandoc(below.value.value)
        for one, below in pairwise(definition.body)
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def purpose(member: type[BaseModel]) -> str:
    """The first paragraph of a member's docstring."""
    return cell((member.__doc__ or "").strip().split("\n\n")[0])


def fields(model: type[BaseModel]) -> Iterator[str]:
    """A table of a model's fields."""
    named = {name: field for name, field in model.model_fields.items() if name != "kind"}
    if not named:
        yield "No settings of its own."
        return
    yield from ("| key | type | default | |", "|---|---|---|---|")
    for name, field in named.items():
        kind = spelled(field.annotation) + limits(field)
        yield f"| `{name}` | {cell(kind)} | {cell(standing(field))} | {cell(described(model, name))} |"


def recipe_page() -> str:
    """Every table of a recipe, with every key of every member."""
    lines = [RECIPE]
    for table, family in FAMILIES.items():
        heading = {"objective": "[[objective]]", "student": "[student]` and `[peer]"}.get(table, f"[{table}]")
        lines += [f"## `{heading}` — {family}", "", f"More on the [family](families/{family}.md).", ""]
        for name in plugins.names(family):
            member = plugins.member(family, name)
            lines += [f"### `{name}`", "", purpose(member), "", *fields(member), ""]
    for table, model in STAGES.items():
        lines += [f"## `[{table}]`", "", purpose(model), "", *fields(model), ""]
    return "\n".join(lines)


def commands_page() -> str:
    """Every command with its arguments and options, as the command line itself has them."""
    import typer

    from stillroom.cli import app

    group: Any = typer.main.get_command(app)
    alike: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        options = []
        for one in command.params:
            shown = ", ".join(one.opts) if one.param_type_name == "option" else (one.metavar or one.name.upper())
            options.append(f"| `{shown}` | {cell(getattr(one, 'help', None) or '')} |")
        said = f"| `stillroom {name}` | {cell(command.help or '')} |"
        alike.setdefault("\n".join(options), []).append(said)
    lines = [COMMANDS]
    for options_alike, commands in alike.items():
        lines += ["| command | |", "|---|---|", *commands, "", "| with | |", "|---|---|", options_alike, ""]
    return "\n".join(lines)


def listed(family: str, columns: Mapping[str, Callable[[Any], Any]]) -> str:
    """A table of a family's members."""
    lines = [f"| {' | '.join(('kind', *columns))} |", "|---" * (len(columns) + 1) + "|"]
    for name in plugins.names(family):
        member = plugins.member(family, name)
        lines.append(f"| `{name}` | {' | '.join(cell(column(member)) for column in columns.values())} |")
    return "\n".join(lines)


def with_fields(family: str) -> str:
    """A table of a family's members, and below it each one's settings."""
    lines = [listed(family, {"": purpose})]
    for name in plugins.names(family):
        lines += ["", f"`{name}`:", "", *fields(plugins.member(family, name))]
    return "\n".join(lines)


def names(found: Sequence[str] | frozenset[str]) -> str:
    """Names in a cell."""
    return ", ".join(f"`{one}`" for one in (sorted(found) if isinstance(found, frozenset) else found))


def of_its_own(member: type[plugins.Member], what: str, told: Callable[[Any], str]) -> str:
    """What a member says of itself whatever its settings are, in a cell."""
    try:
        return told(getattr(member.model_construct(), what))
    except AttributeError:  # it looks at a setting that it can't do without
        return "as it is set"


def yes(found: bool) -> str:
    """A truth in a cell."""
    return "yes" if found else "no"


FAMILY_TABLES: dict[str, Callable[[], str]] = {
    "tasks": lambda: listed("tasks", {"": purpose, "needs of a student": lambda one: names((one.shape,)),
                                      "served by": lambda one: names(one.signals),
                                      "floor": lambda one: names((one.floor,)),
                                      "metrics": lambda one: names(one.judged_by)}),
    "shapes": lambda: listed("shapes", {"": purpose, "a teacher's logits": lambda one: names(one.axes),
                                        "exported, served by": lambda one: names((one.graph_runner,))}),
    "floors": lambda: listed("floors", {"": purpose}),
    "aspects": lambda: listed("aspects", {"": purpose, "slices": lambda one: "none, 1, 2 or more" if one.counts else
                                          "fifths"}),
    "corpora": lambda: listed("corpora", {"": purpose}),
    "teachers": lambda: listed("teachers", {"": purpose, "says": lambda one: of_its_own(one, "signals", names),
                                            "works here": lambda one: of_its_own(one, "computes", yes),
                                            "shows its network": lambda one: of_its_own(one, "shows_network", yes)}),
    "students": lambda: listed("students", {"": purpose, "gives": lambda one: names(one.shapes),
                                            "the teacher's tokenizer": lambda one: yes(one.follows_tokenizer),
                                            "served without an export": lambda one: names(one.serves_itself) or "no"}),
    "objectives": lambda: listed("objectives", {"formula": lambda one: one.formula,
                                                "needs": lambda one: names(one.needs),
                                                "lowest": lambda one: one.lowest,
                                                "source": lambda one: one.source}),
    "metrics": lambda: listed("metrics", {"of": lambda one: one.answers,
                                          "formula": lambda one: one.formula,
                                          "better": lambda one: "higher" if one.higher_is_better else "lower",
                                          "range": lambda one: f"{one.low:g} – {one.high:g}",
                                          "fewest rows": lambda one: one.min_rows,
                                          "against the teacher": lambda one: yes(one.against_teacher),
                                          "held to": lambda one: one.reference}),
    "augmentations": lambda: listed("augmentations", {"": purpose}),
    "formats": lambda: listed("formats", {"": purpose}),
    "layouts": lambda: listed("layouts", {"": purpose, "students": lambda one: names(one.students)}),
    "documents": lambda: listed("documents", {"file": lambda one: names((one.name,)), "": purpose}),
    "perturbations": lambda: listed("perturbations", {"": purpose}),
    "probes": lambda: listed("probes", {"": purpose}),
    "symptoms": lambda: listed("symptoms", {"": purpose, "speaks where": lambda one: one.threshold,
                                            "looks at": lambda one: names(one.needs),
                                            "false alarms": lambda one: one.false_alarms}),
    "detectors": lambda: with_fields("detectors"),
    "runners": lambda: with_fields("runtime.runners"),
    "protocols": lambda: listed("serve.protocols", {"": purpose, "addresses": lambda one: of_its_own(
        one, "paths", lambda paths: names(tuple(dict.fromkeys(path.at for path in paths()))))}),
}  # fmt: skip


def pages() -> dict[Path, str]:
    """Every page that is written here, whole."""
    found = {DOCS / "recipe.md": recipe_page(), DOCS / "commands.md": commands_page()}
    for family, table in FAMILY_TABLES.items():
        path = DOCS / "families" / f"{family}.md"
        before, _, rest = path.read_text(encoding="utf-8").partition(START)
        _, _, after = rest.partition(END)
        found[path] = f"{before}{START}\n\n{table()}\n\n{END}{after}"
    return found


def main() -> int:
    """Write the pages, or check them."""
    stale = {path: text for path, text in pages().items()
             if not path.is_file() or path.read_text(encoding="utf-8") != text}  # fmt: skip
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"{path} is not what the code says: run python docs/generate.py\n")
        return int(bool(stale))
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
