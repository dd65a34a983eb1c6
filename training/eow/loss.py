"""The loss of EOW-Softmax, and what says whether it works.

Chen and Yin, "Ensemble confidence calibration for sound event detection in open-environment", eq. (3), after Wang et
al., "Energy-based open-world uncertainty modeling for confidence calibration" (2021).
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamsed.config import require
from training.eow.config import EowConfig
from training.eow.places import NORMS, Tail, untouched
from training.eow.sampler import FeatureSampler
from training.losses.occurrence import sod_cross_entropy


class EowWarning(UserWarning):
    """The head is as uncertain on data as on samples: its confidence says nothing."""


@dataclass(frozen=True)
class EowReport:
    """Means over the training steps since the last report; nan where there were no samples.

    Parameters
    ----------
    log_u_data, log_u_samples : float
        Log of the open-world uncertainty on the frames of the batches and on the samples.
    max_abs_sample : float
        Largest absolute value in a sample.
    seconds_per_step : float
        Wall time of observing, sampling and the second term, without its backward pass. On a GPU, whose work goes
        on meanwhile, of what the CPU did.
    sampled_steps : int
        Training steps with the second term.
    met : bool
        Whether log u on samples exceeds log u on data by less than ``margin``.
    """

    log_u_data: float
    log_u_samples: float
    max_abs_sample: float
    seconds_per_step: float
    sampled_steps: int
    met: bool


class EowSoftmax(nn.Module):
    """L_OPEN of eq. (3): cross-entropy of the SOD head, plus uncertainty asked for where none would be by itself.

    Parameters
    ----------
    features : int
        Width of what passes the place of the samples: of what the SOD head gets, by default.
    config : EowConfig
    """

    def __init__(self, features: int, config: EowConfig) -> None:
        super().__init__()
        self.config = config
        self.sampler = FeatureSampler(features, config)
        # Of the steps since the last report: sums, kept on the device, where reading them would wait for it.
        self.register_buffer("_log_u_data", torch.zeros(()), persistent=False)
        self.register_buffer("_log_u_samples", torch.zeros(()), persistent=False)
        self.register_buffer("_max_abs_sample", torch.zeros(()), persistent=False)
        self._forget()

    def forward(
        self, head: nn.Module | Tail, features: Tensor, logits: Tensor, labels: Tensor, progress: float
    ) -> Tensor:
        """Return CE(logits, labels) + lambda * CE(head(samples), P + 1), not yet multiplied by tau.

        Parameters
        ----------
        head : nn.Module or Tail
            The SOD head, or the network from the place of the samples to it: (..., D) to logits (..., P + 1).
        features : Tensor, shape (B, T, D)
            What passed the place, before dropout; only their values are used.
        logits : Tensor, shape (..., P + 1), or (..., P) with ``weight`` 0
            What the head made of the frames that count.
        labels : Tensor, shape (..., P)
            One-hot or mixed, see :func:`training.losses.sod_labels`.
        progress : float
            Share of the training that is over, in [0, 1].

        Raises
        ------
        ConfigError
            If shapes do not fit, or the head lacks the output that the second term is about.
        """
        loss = sod_cross_entropy(logits, labels)
        has_u = logits.shape[-1] == labels.shape[-1] + 1
        if has_u:
            self._log_u_data += (
                functional.log_softmax(logits.detach().float(), dim=-1)[..., -1].mean().double()
            )
            self._steps += 1
        if self.config.weight == 0 or progress < self.config.begin:
            return loss
        expected = f"P + 1 = {labels.shape[-1] + 1} outputs with weight > 0"
        require(has_u, "logits", expected, tuple(logits.shape))
        started = time.perf_counter()
        self.sampler.observe(features)
        samples = self.sampler.draw(head)
        with untouched(head, NORMS):
            log_u = _log_u(head(samples)).mean()
        self._log_u_samples += log_u.detach()
        self._max_abs_sample.copy_(torch.maximum(self._max_abs_sample, samples.abs().amax()))
        self._sampled_steps += 1
        self._seconds += time.perf_counter() - started
        return loss - self.config.weight * log_u

    def report(self) -> EowReport:
        """Return the means since the last report and begin anew; once an epoch.

        Warns
        -----
        EowWarning
            If log u on samples and on data have met.
        """
        log_u_data = float(self._log_u_data) / self._steps if self._steps else math.nan
        sampled = self._sampled_steps
        log_u_samples = float(self._log_u_samples) / sampled if sampled else math.nan
        # nan compares false: nothing was sampled, nothing has met.
        met = log_u_samples - log_u_data < self.config.margin
        report = EowReport(
            log_u_data=log_u_data,
            log_u_samples=log_u_samples,
            max_abs_sample=float(self._max_abs_sample) if sampled else math.nan,
            seconds_per_step=self._seconds / sampled if sampled else 0.0,
            sampled_steps=sampled,
            met=met,
        )
        self._forget()
        if met:
            warnings.warn(
                f"EOW-Softmax: log u is {log_u_samples:.3f} on samples and {log_u_data:.3f} on data, less than "
                f"margin = {self.config.margin} apart: the uncertainty says nothing (clamp the chains, begin later, "
                "or give the SOD head a hidden layer)",
                EowWarning,
                stacklevel=2,
            )
        return report

    def _forget(self) -> None:
        for total in (self._log_u_data, self._log_u_samples, self._max_abs_sample):
            total.zero_()
        self._seconds = 0.0
        self._steps = 0
        self._sampled_steps = 0


def _log_u(logits: Tensor) -> Tensor:
    return functional.log_softmax(logits.float(), dim=-1)[..., -1]
