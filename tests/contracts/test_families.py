"""Every family has a contract test, and the docs name it: a new family is noticed before it has members."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import stillroom
from stillroom.core import plugins
from stillroom.core.plugins import Member

ROOT = Path(__file__).parents[2]


def families() -> list[str]:
    """Every package of ours that says, with an abstract member, what its files have to answer."""
    packages = (found.name for found in pkgutil.walk_packages(stillroom.__path__, "stillroom.") if found.ispkg)
    return [name.removeprefix("stillroom.") for name in packages if _asks(name)]


def _asks(package: str) -> bool:
    found = vars(importlib.import_module(package)).values()
    own = [one for one in found if inspect.isclass(one) and one.__module__ == package]
    return any(issubclass(one, Member) and inspect.isabstract(one) for one in own)


FAMILIES = families()


def test_they_are_found() -> None:
    assert {"tasks", "teachers", "students", "objectives", "metrics", "corpora", "formats", "documents",
            "runtime.runners", "runtime.encoders"} <= set(FAMILIES)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_it_has_members_a_contract_and_a_line_in_the_docs(family: str) -> None:
    name = f"tests/contracts/test_{family.rpartition('.')[2]}.py"
    assert plugins.names(family)
    assert (ROOT / name).is_file(), f"no {name}"
    told = [line for line in (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").splitlines()
            if line.startswith(f"| `{family}` |")]  # fmt: skip
    assert len(told) == 1
    assert name in told[0]


@pytest.mark.parametrize(
    ("family", "kind"), [(family, kind) for family in FAMILIES for kind in plugins.names(family)], ids=str
)
def test_a_member_is_a_class_of_its_family_named_as_its_file(family: str, kind: str) -> None:
    found = plugins.member(family, kind)
    package = importlib.import_module(f"stillroom.{family}")
    asks = [one for one in vars(package).values() if inspect.isclass(one) and one.__module__ == package.__name__
            and issubclass(one, Member) and inspect.isabstract(one)]  # fmt: skip
    assert any(issubclass(found, one) for one in asks)
    assert not inspect.isabstract(found)
    assert found.model_fields["kind"].default == kind
