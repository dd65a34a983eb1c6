"""Losses of one decision among K classes, from logits."""

from __future__ import annotations

import torch
from torch import Tensor

from streamsed.config import require


def focal_softmax(logits: Tensor, targets: Tensor, gamma: float = 1.0) -> Tensor:
    """Focal loss of a softmax: -Σ_j (1 - p_j)^γ y_j log p_j, the mean over the batch.

    Parameters
    ----------
    logits : Tensor, shape (B, K)
    targets : Tensor, shape (B, K)
        Shares of the classes, one-hot or mixed.
    gamma : float
        0 or more; 0 is cross-entropy.

    Raises
    ------
    ConfigError
        If the shapes differ or gamma is below 0.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", 2017; eq. (2) of Nguyen and Pernkopf, EMBC 2020.
    """
    usable = logits.ndim == 2 and targets.shape == logits.shape
    require(usable, "targets", f"the shape (B, K) of the logits, {tuple(logits.shape)}", tuple(targets.shape))
    require(gamma >= 0, "gamma", "0 or more", gamma)
    log_p = logits.log_softmax(dim=1)
    if gamma == 0:
        return -(targets * log_p).sum(dim=1).mean()
    # The power of a 1 - p that was rounded to 0 has no finite gradient where gamma is below 1.
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(logits.dtype).tiny)
    return -(rest.pow(gamma) * targets * log_p).sum(dim=1).mean()
