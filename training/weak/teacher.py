"""The mean teacher: a running mean of what is trained, which says what it should say of clips without labels.

Tarvainen and Valpola, "Mean teachers are better role models" (2017); section 2.3 of paper 002.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn


class MeanTeacher(nn.Module):
    """Copies of the student's parts, averaged over its steps; a part of the training's checkpoints.

    Like the student it is in training mode when it is asked: its dropout differs from the student's, and that is the
    perturbation.

    Parameters
    ----------
    students : mapping of str to Module
    decay : float
        Of the mean, per step; less in the first 1 / (1 - decay) steps, which would else keep what was drawn at random.
    """

    def __init__(self, students: Mapping[str, nn.Module], decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.parts = nn.ModuleDict({name: copy.deepcopy(part) for name, part in students.items()})
        self.parts.requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, students: Mapping[str, nn.Module]) -> None:
        """Take up a step of the student: its parameters into the mean, its buffers as they are."""
        # As the challenge's baselines do: the mean of all steps until there are enough of them.
        weight = max(1.0 - self.decay, 1.0 / (int(self.steps) + 1))
        for name, student in students.items():
            own = self.parts[name]
            for mean, value in zip(own.parameters(), student.parameters(), strict=True):
                mean.lerp_(value.to(mean.dtype), weight)
            for mean, value in zip(own.buffers(), student.buffers(), strict=True):
                mean.copy_(value)
        self.steps += 1
