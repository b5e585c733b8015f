"""Family: folders that other libraries load, written into a bundle for those who use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from stillroom.core.plugins import Member

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "layouts"
"""Where in a bundle they stand, each by its name."""


@runtime_checkable
class Modular(Protocol):
    """A network that is a chain of modules of sentence-transformers."""

    def modules(self) -> list[Any]:
        """The modules, in their order."""


@runtime_checkable
class Tabled(Protocol):
    """A network that is a row a token, summed."""

    @property
    def tokenizer(self) -> str:
        """How it reads texts, as the `tokenizers` library writes it."""

    def rows(self) -> NDArray[np.float32]:
        """A row a token, `[tokens, width]`."""


class Layout(Member, ABC):
    """A folder as another library has it."""

    students: ClassVar[frozenset[str]]
    """Which students it can hold."""
    shapes: ClassVar[frozenset[str]]
    """The shapes of what they answer."""

    @abstractmethod
    def write(self, network: Any, folder: Path) -> None:
        """Write the student into an empty folder.

        Raises:
            MissingExtra: what it is written with is not installed.
        """
