"""Modality dropout: a network that has learnt without pictures can do without them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.fusion.settings import FusionSettings
from training.fusion.side import Side


def with_missing(
    sides: Sequence[Side], settings: FusionSettings, frame_seconds: float, generator: torch.Generator
) -> tuple[Side, ...]:
    """Take side inputs away from a batch, from whole clips and for a time.

    Parameters
    ----------
    sides : sequence of Side
        (B, T', D) and (B, T'), in the order of ``settings.sides``.
    settings : FusionSettings
    frame_seconds : float
        Of a posterior frame.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    tuple of Side
        With ``present`` 0, and embeddings of zeros, where something was taken away.
    """
    changed = []
    for side, chosen in zip(sides, settings.sides.values(), strict=True):
        batch, frames = side.present.shape
        shortest, longest = (seconds / frame_seconds for seconds in settings.missing_seconds)
        whole = torch.rand(batch, 1, generator=generator) < chosen.missing_clips
        part = torch.rand(batch, 1, generator=generator) < chosen.missing_spans
        length = shortest + (longest - shortest) * torch.rand(batch, 1, generator=generator)
        # A span may begin before the clip and end behind it: each frame is as likely to be missing.
        begin = (frames + length) * torch.rand(batch, 1, generator=generator) - length
        at = torch.arange(frames)
        missing = whole | (part & (at >= begin) & (at < begin + length))
        kept = (~missing).to(side.present.device, side.present.dtype)
        changed.append(Side(side.features * kept.unsqueeze(2), side.present * kept))
    return tuple(changed)
