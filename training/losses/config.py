"""Choice of the loss in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from streamsed.config import require
from training.losses.frame import binary_cross_entropy, duration_robust, focal, inverse_frequency

FrameLoss = Callable[..., Tensor]
_KINDS = ("bce", "inverse_frequency", "duration_robust", "focal")


@dataclass(frozen=True)
class LossConfig:
    """Which loss is minimised on the frames, see :mod:`training.losses.frame`.

    Parameters
    ----------
    kind : {"bce", "inverse_frequency", "duration_robust", "focal"}
    gamma : float
        Of "duration_robust" (above 0; the paper's 1 and 4) and "focal" (0 or more).
    rescaled : bool
        Of "duration_robust": multiply by 2^gamma.
    constant : float
        C of "inverse_frequency", above 0, in posterior frames.
    alpha : float or None
        Weight of positives of "focal", in (0, 1).
    reduction : {"mean", "sum"}
        Over batch, time and class; the paper sums.
    """

    kind: Literal["bce", "inverse_frequency", "duration_robust", "focal"] = "bce"
    gamma: float = 1.0
    rescaled: bool = False
    constant: float = 500.0
    alpha: float | None = None
    reduction: Literal["mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        """Check every field, also that none is given to a loss that has no use for it."""
        require(self.kind in _KINDS, "kind", f"one of {list(_KINDS)}", self.kind)
        least = "above 0" if self.kind == "duration_robust" else "0 or more"
        usable = self.gamma > 0 or (self.gamma == 0 and self.kind != "duration_robust")
        require(usable and self.gamma < float("inf"), "gamma", f"finite and {least}", self.gamma)
        only_robust = not self.rescaled or self.kind == "duration_robust"
        require(only_robust, "rescaled", f"false for kind {self.kind!r}", self.rescaled)
        require(0 < self.constant < float("inf"), "constant", "finite and above 0", self.constant)
        if self.alpha is not None:
            require(self.kind == "focal", "alpha", f"none for kind {self.kind!r}", self.alpha)
            require(0 < self.alpha < 1, "alpha", "in (0, 1)", self.alpha)
        require(self.reduction in ("mean", "sum"), "reduction", "one of ['mean', 'sum']", self.reduction)


def frame_loss(config: LossConfig) -> FrameLoss:
    """Return the function that ``config`` describes: (logits, targets, frames that count or None) -> scalar.

    Shapes are (B, T, K), (B, T, K) and (B, T).
    """
    reduction = config.reduction
    return {
        "bce": partial(binary_cross_entropy, reduction=reduction),
        "inverse_frequency": partial(inverse_frequency, constant=config.constant, reduction=reduction),
        "duration_robust": partial(
            duration_robust, gamma=config.gamma, rescaled=config.rescaled, reduction=reduction
        ),
        "focal": partial(focal, gamma=config.gamma, alpha=config.alpha, reduction=reduction),
    }[config.kind]
