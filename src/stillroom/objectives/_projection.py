"""A matrix learned beside the student, from the width of its vectors to that of the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stillroom.core import seeds

if TYPE_CHECKING:
    from torch import nn


def projection(student: int, teacher: int, *, name: str) -> nn.Linear:
    """The identity where the widths are equal, so that nothing stands between equal sides; else orthogonal, by name."""
    import torch
    from torch import nn

    made: nn.Linear = nn.utils.skip_init(nn.Linear, student, teacher, bias=False)
    with torch.no_grad():
        if student == teacher:
            nn.init.eye_(made.weight)
        else:
            nn.init.orthogonal_(made.weight, generator=seeds.torch_generator(0, f"objectives/{name}"))
    return made
