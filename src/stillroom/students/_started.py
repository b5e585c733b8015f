"""Students that start from a network: that of their teacher, or another one where the teacher shows none."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, ClassVar, Protocol

from stillroom.students import Student
from stillroom.teachers import _pretrained

if TYPE_CHECKING:
    from typing import Any

    from stillroom.teachers import LoadedTeacher, Precision

_WHERE = "student.start"


class Origin(Protocol):
    """A network to start from; a teacher that shows its own is one."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions worth running it in."""

    def network(self) -> Any:
        """The network, as `transformers` has it."""

    def tokenizer_json(self) -> str:
        """Its tokenizer, as the `tokenizers` library writes it."""


class Started(Student, ABC):
    """A student of a network's tokenizer and weights."""

    follows_tokenizer: ClassVar[bool] = True

    start: str = ""
    """Where it starts from: a model's folder, a hub name, or `package:<import name>/<folder>`; none: its teacher."""

    @property
    def follows(self) -> bool:
        """Where it has no start of its own."""
        return not self.start

    def sources(self) -> dict[str, str]:
        """The digest of the start that is its own."""
        if not self.start:
            return {}
        return {"start": _pretrained.folder_digest(_pretrained.locate(self.start, where=_WHERE))}

    def origin(self, teacher: LoadedTeacher) -> Origin:
        """What it starts from.

        Raises:
            InputError: its own start is not there, or no encoder.
            MismatchError: a teacher that shows no network.
        """
        return _pretrained.Encoder(_pretrained.locate(self.start, where=_WHERE)) if self.start else teacher
