"""From the SOD head's softmax to c_m(x), the weight of an ensemble member in eq. (4).

Chen and Yin, "Ensemble confidence calibration for sound event detection in open-environment", section II-C. The paper
says that c_m comes from the SOD branch, and not how: the ways here are options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from streamsed.config import require

_KINDS = ("max", "known", "renormalised", "agreement", "uniform")


@dataclass(frozen=True)
class ConfidenceConfig:
    """How c follows from the softmax q over the SOD classes 1..P and, where the head has it, u = q[P + 1].

    Parameters
    ----------
    kind : {"max", "known", "renormalised", "agreement", "uniform"}
        "max": the largest of q[1..P] as it is, low where the head is undecided or u is high. "known": 1 - u.
        "renormalised": the largest of q[1..P] / (1 - u), which ignores u. "agreement": q of the class that the SED
        posteriors say, by how many of them reach ``threshold``. "uniform": 1, the plain mean of eq. (4).
    n_occurrences : int
        P: none, one, several.
    exponent : float
        beta of c^beta, above 0.
    clip_mean : bool
        The mean over the window instead of a value for each frame.
    threshold : float
        Posterior from which "agreement" counts a class as active, in (0, 1).
    """

    kind: Literal["max", "known", "renormalised", "agreement", "uniform"] = "max"
    n_occurrences: int = 3
    exponent: float = 1.0
    clip_mean: bool = False
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Check every field."""
        require(self.kind in _KINDS, "kind", f"one of {list(_KINDS)}", self.kind)
        require(self.n_occurrences >= 2, "n_occurrences", "at least 2", self.n_occurrences)
        require(0 < self.exponent < float("inf"), "exponent", "finite and above 0", self.exponent)
        require(0 < self.threshold < 1, "threshold", "in (0, 1)", self.threshold)


def confidence(
    sod_logits: Tensor, config: ConfidenceConfig | None = None, posteriors: Tensor | None = None
) -> Tensor:
    """Return the confidence of each frame, the same for all classes.

    Parameters
    ----------
    sod_logits : Tensor, shape (B, T, P) or (B, T, P + 1)
        The last of P + 1 is the open-world uncertainty; "known" and "renormalised" need it.
    config : ConfidenceConfig, optional
        By default the largest of the first P softmax outputs, not renormalised.
    posteriors : Tensor, shape (B, T, K), optional
        Of sound event detection; "agreement" needs them.

    Returns
    -------
    Tensor, shape (B, T)
        In [0, 1].

    Raises
    ------
    ConfigError
        If the logits have another number of outputs, or posteriors are needed and missing.
    """
    config = config or ConfidenceConfig()
    known = config.n_occurrences
    outputs = (known + 1,) if config.kind in ("known", "renormalised") else (known, known + 1)
    expected = f"{' or '.join(map(str, outputs))} outputs for confidence {config.kind!r}"
    require(sod_logits.shape[-1] in outputs, "sod_logits", expected, tuple(sod_logits.shape))
    q = torch.softmax(sod_logits, dim=-1)
    if config.kind == "max":
        c = q[..., :known].amax(dim=-1)
    elif config.kind == "known":
        c = 1.0 - q[..., known]
    elif config.kind == "renormalised":
        # From the logits: q[..., :P] / (1 - u) is 0 / 0 where u rounds to 1.
        c = torch.softmax(sod_logits[..., :known], dim=-1).amax(dim=-1)
    elif config.kind == "agreement":
        require(posteriors is not None, "posteriors", "those of the SED head for 'agreement'", posteriors)
        count = (posteriors >= config.threshold).sum(dim=-1, keepdim=True).clamp_max(known - 1)
        c = q.gather(-1, count).squeeze(-1)
    else:
        c = torch.ones_like(q[..., 0])
    # Every operator costs a stream more than its arithmetic.
    c = c if config.exponent == 1 else c**config.exponent
    return c.mean(dim=-1, keepdim=True).expand_as(c) if config.clip_mean else c
