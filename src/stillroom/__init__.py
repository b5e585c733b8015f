"""Distil an expensive NLP teacher into a small, quick student, and prove what was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillroom.core.recipe import Recipe
    from stillroom.core.recipe import load as load_recipe
    from stillroom.core.recipe import parse as parse_recipe
    from stillroom.fitness import check
    from stillroom.pipeline import run
    from stillroom.runtime import Predictor, load

__version__ = "0.1.0"
__all__ = ["Predictor", "Recipe", "__version__", "check", "load", "load_recipe", "parse_recipe", "run"]

# Heavy parts load when they are used: `import stillroom` itself imports none of them.
_HOMES = {
    "Recipe": ("stillroom.core.recipe", "Recipe"),
    "load_recipe": ("stillroom.core.recipe", "load"),
    "parse_recipe": ("stillroom.core.recipe", "parse"),
    "check": ("stillroom.fitness", "check"),
    "run": ("stillroom.pipeline", "run"),
    "Predictor": ("stillroom.runtime", "Predictor"),
    "load": ("stillroom.runtime", "load"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stillroom' has no attribute {name!r}")
    import importlib

    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
