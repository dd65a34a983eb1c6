"""Posteriors of a clip from those of the frames that it fills, to be trained through.

Wang, Li and Metzger, "A comparison of five multiple instance learning pooling functions for sound event detection with
weak labeling" (2019); eq. (1) of paper 002.
"""

from __future__ import annotations

from torch import Tensor, nn

from streamsed.config import require
from training.nets.baseline_crnn import AttentionPooling
from training.weak.config import POOLINGS, Pooling

_EPS = 1e-7


def linear_softmax(posteriors: Tensor, valid: Tensor) -> Tensor:
    """Return sum p^2 / sum p of each class over the valid frames, eq. (1) of paper 002; 0 where all are 0.

    Parameters
    ----------
    posteriors : Tensor, shape (B, T, K)
    valid : Tensor, shape (B, T), bool

    Returns
    -------
    Tensor, shape (B, K)
    """
    kept = posteriors * valid[..., None]
    return kept.square().sum(dim=1) / kept.sum(dim=1).clamp_min(_EPS)


def highest(posteriors: Tensor, valid: Tensor) -> Tensor:
    """Return the highest posterior of each class over the valid frames; shapes as in :func:`linear_softmax`."""
    return (posteriors * valid[..., None]).amax(dim=1)


def mean(posteriors: Tensor, valid: Tensor) -> Tensor:
    """Return the mean posterior of each class over the valid frames; shapes as in :func:`linear_softmax`."""
    return (posteriors * valid[..., None]).sum(dim=1) / valid.sum(dim=1).clamp_min(1)[:, None]


_FUNCTIONS = {"linear_softmax": linear_softmax, "max": highest, "mean": mean}


class ClipPooling(nn.Module):
    """Pooling over time.

    Parameters
    ----------
    kind : {"linear_softmax", "max", "mean", "attention"}
        "attention" has weights of its own, see :class:`training.nets.baseline_crnn.AttentionPooling`; they belong to
        the training, and no stream has them.
    features, n_classes : int
        Of what the heads of the network get, and of what they give.
    dropout : float
        Of the attention's input.
    """

    def __init__(self, kind: Pooling, features: int, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        require(kind in POOLINGS, "pooling", f"one of {list(POOLINGS)}", kind)
        self.kind = kind
        self.attention = AttentionPooling(features, n_classes, dropout) if kind == "attention" else None

    def forward(self, posteriors: Tensor, valid: Tensor, features: Tensor) -> Tensor:
        """Map posteriors (B, T, K), valid (B, T) and features (B, T, C) to clip posteriors (B, K)."""
        if self.attention is not None:
            return self.attention(features, posteriors, valid)
        return _FUNCTIONS[self.kind](posteriors, valid)
