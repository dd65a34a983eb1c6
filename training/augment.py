"""Augmentation of log-mel scenes on their linear power, where sounds add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.losses import mixed_sod_labels, sod_labels


@dataclass(frozen=True)
class AugmentConfig:
    """What may happen to a batch; probabilities are per scene.

    Parameters
    ----------
    overlay_probability : float
        A second scene of the batch is added, its labels with it: mixup whose labels are the union, as both sound.
    overlay_db : tuple of float
        Range of the second scene's gain.
    mixup_probability, mixup_alpha : float
        Soft mixup (Zhang et al. 2018) with a second scene: power and labels are λ and 1 - λ of both, λ ~
        Beta(α, α). Other than the overlay it asks for posteriors of λ, not of 1.
    gain_db : tuple of float
        Range of the scene's gain.
    equaliser_probability, equaliser_db : float
        A piecewise linear gain curve over the bands, of up to ± this many dB.
    band_limit_probability : float
        Bands above a random edge vanish.
    shift_probability : float
        All bands move up or down by one.
    noise_floor_db : tuple of float
        Range of an added flat noise, in dB of mel power; the microphone's own noise.
    mask_probability, mask_bands : float, int
        SpecAugment in frequency (Park et al. 2019): two masks of up to that many bands.
    digital_silence_probability : float
        The whole scene becomes zeros without labels.
    """

    overlay_probability: float = 0.3
    overlay_db: tuple[float, float] = (-10.0, 3.0)
    mixup_probability: float = 0.0
    mixup_alpha: float = 0.2
    gain_db: tuple[float, float] = (-30.0, 6.0)
    equaliser_probability: float = 0.5
    equaliser_db: float = 8.0
    band_limit_probability: float = 0.1
    shift_probability: float = 0.2
    noise_floor_db: tuple[float, float] = (-90.0, -55.0)
    mask_probability: float = 0.5
    mask_bands: int = 8
    digital_silence_probability: float = 0.01


class Augmented(NamedTuple):
    """A changed batch.

    Attributes
    ----------
    log_mel : Tensor, shape (B, T, n_mels)
    targets : Tensor, shape (B, T', K)
    occurrences : Tensor, shape (B, T', 3)
        How many classes are active, none, one or several, one-hot or mixed: see :func:`training.losses.sod_labels`.
    frames : Tensor, shape (B,)
        Posterior frames that are filled: of two scenes together, those of the longer one.
    """

    log_mel: Tensor
    targets: Tensor
    occurrences: Tensor
    frames: Tensor


def augment(
    log_mel: Tensor,
    targets: Tensor,
    config: AugmentConfig,
    floor: float,
    generator: torch.Generator,
    *,
    frames: Tensor | None = None,
    groups: Tensor | None = None,
) -> Augmented:
    """Return an augmented batch.

    Parameters
    ----------
    log_mel : Tensor, shape (B, T, n_mels)
        Natural log of mel power with the front-end's ``floor``.
    targets : Tensor, shape (B, T', K)
        0 or 1.
    generator : torch.Generator
        On the CPU; the draws are small.
    frames : Tensor, shape (B,), optional
        Posterior frames that each scene fills; by default all.
    groups : Tensor, shape (B,), optional
        A scene is put together with one of the same number alone; by default with any.
    """
    batch, _, n_mels = log_mel.shape
    device = log_mel.device
    if frames is None:
        frames = torch.full((batch,), targets.shape[1], device=device)
    members = [torch.arange(batch)]
    if groups is not None:
        members = [(groups == number).nonzero()[:, 0].cpu() for number in groups.unique()]

    def partners() -> Tensor:
        drawn = torch.arange(batch)
        for rows in members:
            drawn[rows] = rows[torch.randperm(len(rows), generator=generator)]
        return drawn.to(device)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * torch.rand(shape, generator=generator)).to(device)

    def happens(probability: float) -> Tensor:
        return uniform(0.0, 1.0, batch) < probability

    def decibels(low: float, high: float) -> Tensor:
        return torch.pow(10.0, uniform(low, high, batch) / 10.0)

    power = log_mel.exp()
    # What the floor hides is nothing, or gains below 0 dB would leave a pedestal that no recording has.
    power = torch.where(power <= 1.01 * floor, torch.zeros_like(power), power)

    other = partners()
    overlay = decibels(*config.overlay_db) * happens(config.overlay_probability)
    power = power + overlay[:, None, None] * power[other]
    targets = torch.maximum(targets, targets[other] * (overlay > 0)[:, None, None])
    frames = torch.where(overlay > 0, torch.maximum(frames, frames[other]), frames)
    silent = happens(config.digital_silence_probability)
    targets = targets * (~silent)[:, None, None]
    power = power * (~silent)[:, None, None]
    occurrences = sod_labels(targets)

    if config.mixup_probability > 0:
        other = partners()
        share = _beta(config.mixup_alpha, batch, generator).to(device)
        share = torch.where(happens(config.mixup_probability), share, torch.ones_like(share))
        frames = torch.where(share < 1, torch.maximum(frames, frames[other]), frames)
        occurrences = mixed_sod_labels(targets, targets[other], share)
        share = share[:, None, None]
        power = share * power + (1.0 - share) * power[other]
        targets = share * targets + (1.0 - share) * targets[other]
        # Both were silent, or there is sound again.
        silent = silent & (silent[other] | (share[:, 0, 0] == 1))

    knots = (
        uniform(-config.equaliser_db, config.equaliser_db, batch, 1, 5)
        * happens(config.equaliser_probability)[:, None, None]
    )
    curve = torch.nn.functional.interpolate(knots, n_mels, mode="linear", align_corners=True)
    power = power * torch.pow(10.0, curve / 10.0)

    edge = uniform(0.3 * n_mels, 0.95 * n_mels, batch)
    edge = torch.where(happens(config.band_limit_probability), edge, torch.full_like(edge, n_mels))
    kept = torch.arange(n_mels, device=device)[None] < edge[:, None]
    power = power * torch.where(kept, 1.0, 1e-4)[:, None, :]

    shifts = torch.where(happens(config.shift_probability), torch.where(happens(0.5), 1, -1), 0)
    source = (torch.arange(n_mels, device=device)[None] - shifts[:, None]).clamp(0, n_mels - 1)
    power = torch.gather(power, 2, source[:, None, :].expand_as(power))

    power = power * decibels(*config.gain_db)[:, None, None]

    # Noise power of one bin is exponential; of a mel band, which sums several, narrower: a gamma of shape 4.
    gamma = -torch.rand((4, *power.shape), generator=generator).clamp_min(1e-12).log().mean(0).to(device)
    noise = decibels(*config.noise_floor_db) * (~silent)
    power = power + noise[:, None, None] * gamma

    out = power.clamp_min(floor).log()
    bands = torch.arange(n_mels, device=device)[None]
    for _ in range(2):
        width = uniform(1, config.mask_bands + 1, batch) * happens(config.mask_probability)
        start = uniform(0, n_mels, batch)
        masked = (bands >= start[:, None]) & (bands < (start + width)[:, None])
        out = torch.where(masked[:, None, :], out.mean(dim=2, keepdim=True), out)
    return Augmented(out, targets, occurrences, frames)


def _beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw from Beta(α, α), the share of one of two equal gamma variables; torch's own cannot take a generator."""
    first, second = torch._standard_gamma(torch.full((2, count), alpha), generator=generator)
    return first / (first + second).clamp_min(torch.finfo(torch.float32).tiny)
