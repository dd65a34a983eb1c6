"""The recipe's section ``[weak]``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from streamsed.config import require

Pooling = Literal["linear_softmax", "max", "mean", "attention"]

POOLINGS: tuple[Pooling, ...] = ("linear_softmax", "max", "mean", "attention")


@dataclass(frozen=True)
class WeakConfig:
    """How clips without strong labels train a detector; the defaults are published.

    Boes and Van hamme, "Audiovisual transfer learning for audio tagging and sound event detection", section 2.3 and
    4.3.1 (paper 002).

    Parameters
    ----------
    weak, unlabelled, strong : int
        Clips of each kind in a batch.
    batches : int
        Of an epoch; 0: as many as it takes until every clip was there once, also of the kind that takes longest.
    pooling : {"linear_softmax", "max", "mean", "attention"}
        From posteriors of frames to those of the clip, see :class:`training.weak.pooling.ClipPooling`.
    clip_weight, frame_weight : float
        Of the binary cross-entropy of weak clips, and of the recipe's loss on the frames of strong ones.
    mean_teacher : bool
        Ask for what a running mean of the network says (Tarvainen and Valpola 2017), of every clip.
    decay : float
        Of that mean, per step.
    consistency_weight : float
        Of the sum of both mean squared errors between student and teacher: of clip and of frame posteriors.
    consistency_ramp : int
        Steps over which that weight grows as exp(-5 (1 - step / ramp)^2); 0: it is there from the first step.
    teacher_snr_db : float, optional
        Signal-to-noise ratio of Gaussian noise on the log-mels that the teacher hears, of their standard deviation in
        the clip to its own; none: dropout alone makes the two differ, as published.
    """

    weak: int = 24
    unlabelled: int = 24
    strong: int = 0
    batches: int = 250
    pooling: Pooling = "linear_softmax"
    clip_weight: float = 1.0
    frame_weight: float = 1.0
    mean_teacher: bool = True
    decay: float = 0.999
    consistency_weight: float = 2.0
    consistency_ramp: int = 0
    teacher_snr_db: float | None = None

    def __post_init__(self) -> None:
        """Check every field, also that no kind of clip is drawn that nothing learns from."""
        for name in ("weak", "unlabelled", "strong", "batches", "consistency_ramp"):
            require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        require(self.weak + self.strong > 0, "weak, strong", "clips with labels in a batch", (0, 0))
        require(self.pooling in POOLINGS, "pooling", f"one of {list(POOLINGS)}", self.pooling)
        for name in ("clip_weight", "frame_weight", "consistency_weight"):
            value = getattr(self, name)
            require(0 <= value < math.inf, name, "finite and 0 or more", value)
        require(0 <= self.decay < 1, "decay", "in [0, 1)", self.decay)
        taught = self.mean_teacher or self.unlabelled == 0
        require(
            taught, "unlabelled", "0 without a mean teacher: nothing else learns from them", self.unlabelled
        )
        noise = self.teacher_snr_db
        if noise is not None:
            require(self.mean_teacher, "teacher_snr_db", "none without a mean teacher", noise)
            require(-math.inf < noise < math.inf, "teacher_snr_db", "finite", noise)

    @property
    def batch_size(self) -> int:
        """Clips in a batch."""
        return self.weak + self.unlabelled + self.strong
