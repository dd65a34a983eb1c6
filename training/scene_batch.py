"""Batches of scenes: which of their frames count, and augmentation of all that they hold."""

from __future__ import annotations

import torch
from torch import Tensor

from training.augment import AugmentConfig, augment
from training.features import SceneItem
from training.labelled import STRONG


def valid_frames(item: SceneItem, count: int) -> Tensor:
    """Return which of the first ``count`` posterior frames of a batch its scenes fill, bool, shape (B, count)."""
    return torch.arange(count, device=item.frames.device) < item.frames[:, None]


def strong_frames(item: SceneItem, count: int) -> Tensor:
    """Return which of them are filled and have strong labels, bool, shape (B, count)."""
    return valid_frames(item, count) & (item.supervision == STRONG)[:, None]


def augmented(
    item: SceneItem, config: AugmentConfig, floor: float, generator: torch.Generator
) -> tuple[SceneItem, Tensor]:
    """Augment a batch; scenes are put together with those that as much is known of, so that it stays known.

    Returns
    -------
    SceneItem
    Tensor, shape (B, T', 3)
        See :class:`training.augment.Augmented`.
    """
    # Tags are changed as the targets of one more frame would be.
    both = torch.cat([item.targets, item.tags[:, None]], dim=1)
    changed = augment(
        item.log_mel, both, config, floor, generator, frames=item.frames, groups=item.supervision
    )
    item = item._replace(
        log_mel=changed.log_mel,
        targets=changed.targets[:, :-1],
        tags=changed.targets[:, -1],
        frames=changed.frames,
    )
    return item, changed.occurrences[:, :-1]
