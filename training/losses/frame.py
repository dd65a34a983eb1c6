"""Losses of sound event detection: one binary decision per frame and class.

Equation numbers are those of Akiyama et al., "Sound event detection using duration robust loss function". The paper
sums over everything; the default here is the mean over batch, time and class, so that neither the batch size nor the
length of a clip changes the learning rate that fits.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from streamsed.config import require

Reduction = Literal["mean", "sum"]


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, valid: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Binary cross-entropy, eq. (2).

    Parameters
    ----------
    logits : Tensor, shape (B, T, K)
    targets : Tensor, shape (B, T, K)
        In [0, 1]: hard, smoothed or mixed.
    valid : Tensor, shape (B, T), bool, optional
        Frames that count; by default all.
    reduction : {"mean", "sum"}
        Over batch, time and class; 0 where no frame counts.

    Raises
    ------
    ConfigError
        If the shapes differ.
    """
    _check(logits, targets)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _reduced(losses, valid, reduction)


def inverse_frequency(
    logits: Tensor,
    targets: Tensor,
    valid: Tensor | None = None,
    *,
    constant: float = 500.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross-entropy with class m of each clip weighted by C / (N_m + C), eq. (3).

    Parameters
    ----------
    logits, targets, valid : Tensor
        As in :func:`binary_cross_entropy`; each row of the batch is one clip.
    constant : float
        C. The paper's 500 is the number of 20 ms frames in one of its clips; N_m is counted in posterior frames.
    reduction : {"mean", "sum"}
        Over batch, time and class.

    Raises
    ------
    ConfigError
        If the shapes differ.
    """
    _check(logits, targets)
    counted = targets if valid is None else targets * valid[..., None]
    weights = constant / (counted.sum(dim=1, keepdim=True) + constant)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return _reduced(weights * losses, valid, reduction)


def duration_robust(
    logits: Tensor,
    targets: Tensor,
    valid: Tensor | None = None,
    *,
    gamma: float = 1.0,
    rescaled: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross-entropy weighted by (1 - p)^gamma on positives and p^gamma on negatives, eq. (4).

    Parameters
    ----------
    logits, targets, valid : Tensor
        As in :func:`binary_cross_entropy`.
    gamma : float
        Above 0; towards 0 the loss becomes the binary cross-entropy.
    rescaled : bool
        Multiply by 2^gamma, so that the value of a network that knows nothing (p = 0.5) is that of the binary
        cross-entropy: gamma shrinks the gradient, and with it what a learning rate means.
    reduction : {"mean", "sum"}
        Over batch, time and class.

    Raises
    ------
    ConfigError
        If the shapes differ.
    """
    _check(logits, targets)
    scale = 2.0**gamma if rescaled else 1.0
    return scale * _reduced(_modulated(logits, targets, gamma, 1.0, 1.0), valid, reduction)


def focal(
    logits: Tensor,
    targets: Tensor,
    valid: Tensor | None = None,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Focal loss (Lin et al. 2017, eq. 5): :func:`duration_robust` with a weight between positives and negatives.

    Parameters
    ----------
    logits, targets, valid : Tensor
        As in :func:`binary_cross_entropy`.
    gamma : float
        Not below 0.
    alpha : float, optional
        Weight of positives, in (0, 1); negatives weigh 1 - alpha. None: both weigh 1.
    reduction : {"mean", "sum"}
        Over batch, time and class.

    Raises
    ------
    ConfigError
        If the shapes differ.
    """
    _check(logits, targets)
    positive, negative = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    return _reduced(_modulated(logits, targets, gamma, positive, negative), valid, reduction)


def _modulated(logits: Tensor, targets: Tensor, gamma: float, positive: float, negative: float) -> Tensor:
    # Powers of p as exponentials of its logarithm: a power of a p that was rounded to 0 has no finite gradient.
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    return -(
        positive * targets * torch.exp(gamma * log_q) * log_p
        + negative * (1.0 - targets) * torch.exp(gamma * log_p) * log_q
    )


def _reduced(losses: Tensor, valid: Tensor | None, reduction: Reduction) -> Tensor:
    if valid is not None:
        losses = losses[valid]
    # The mean of nothing is no number.
    return losses.mean() if reduction == "mean" and losses.numel() else losses.sum()


def _check(logits: Tensor, targets: Tensor) -> None:
    # Broadcasting would accept targets of one frame for all frames, and learn nonsense.
    usable = logits.ndim == 3 and targets.shape == logits.shape
    expected = f"the shape (B, T, K) of the logits, {tuple(logits.shape)}"
    require(usable, "targets", expected, tuple(targets.shape))
