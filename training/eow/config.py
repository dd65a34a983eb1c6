"""Settings of EOW-Softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from streamsed.config import require

Place = Literal["head_input", "rnn_input", "cnn_mid"]

_SAMPLERS = ("sgld", "gaussian", "uniform")
_PLACES = ("head_input", "rnn_input", "cnn_mid")


@dataclass(frozen=True)
class EowConfig:
    """Settings of :class:`training.eow.loss.EowSoftmax`.

    Those of the authors of EOW-Softmax (Wang et al. 2021), whom the paper follows, are ``steps=100, clamp=False`` and
    otherwise these.

    Parameters
    ----------
    task_weight : float
        tau of eq. (1), 0 or more: weight of the whole SOD loss beside that of sound event detection.
    weight : float
        lambda of eq. (3), 0 or more; 0 is the control: cross-entropy alone, and nothing is sampled.
    begin : float
        Share of the training, in [0, 1], after which the second term of eq. (3) is switched on.
    sampler : {"sgld", "gaussian", "uniform"}
        Where uncertainty is asked for: chains of Langevin dynamics that seek out low uncertainty; independent normal
        distributions fitted to the features (the paper's literal words); uniform over the range of the features.
    place : {"head_input", "rnn_input", "cnn_mid"}
        Where samples live: the features that the SOD head gets, what the recurrence gets, or the middle of the
        convolutions. What follows a place is trained by them.
    frames : int
        L, of a sample at the other two places: a sequence for the recurrence, of as many frames as pass there.
    samples : int
        Vectors, or sequences, for each training step.
    steps : int
        Of each chain; 20 do what 100 do.
    step_size : float
        s of x + s * grad(-log u) + noise * N(0, 1).
    noise : float
        Its standard deviation.
    buffer_size : int
        Chains that are kept between training steps, in every checkpoint too: mind L x D at the earlier places.
    restart_probability : float
        Share of the chains that begin anew, uniformly within ± ``restart_range``.
    restart_range : float
    clamp : bool
        Keep chains within the range of the features seen. On a linear head they have no bound of their own, and run
        away to where the data is not.
    margin : float
        Nats by which log u on samples has to exceed log u on data; below it the two have met, and a warning says so.
    seed : int
    """

    task_weight: float = 0.2
    weight: float = 0.1
    begin: float = 0.5
    sampler: Literal["sgld", "gaussian", "uniform"] = "sgld"
    place: Place = "head_input"
    frames: int = 16
    samples: int = 128
    steps: int = 20
    step_size: float = 1.0
    noise: float = 1e-3
    buffer_size: int = 10_000
    restart_probability: float = 0.05
    restart_range: float = 0.1
    clamp: bool = True
    margin: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("task_weight", "weight", "step_size", "noise", "margin"):
            value = getattr(self, name)
            require(0 <= value < math.inf, name, "finite and 0 or more", value)
        for name in ("begin", "restart_probability"):
            require(0 <= getattr(self, name) <= 1, name, "in [0, 1]", getattr(self, name))
        require(self.sampler in _SAMPLERS, "sampler", f"one of {list(_SAMPLERS)}", self.sampler)
        require(self.place in _PLACES, "place", f"one of {list(_PLACES)}", self.place)
        for name in ("samples", "steps", "frames"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        expected = f"at least samples = {self.samples}"
        require(self.buffer_size >= self.samples, "buffer_size", expected, self.buffer_size)
        require(0 < self.restart_range < math.inf, "restart_range", "finite and above 0", self.restart_range)
