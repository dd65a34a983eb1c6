"""What a network learns from clips of every kind, and the teacher that it learns from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.features import SceneItem
from training.labelled import WEAK
from training.losses import FrameLoss
from training.scene_batch import strong_frames, valid_frames
from training.weak.config import WeakConfig
from training.weak.pooling import ClipPooling
from training.weak.teacher import MeanTeacher

# (network, batch) to features (B, T', C).
Encode = Callable[[nn.Module, SceneItem], Tensor]


class Heard(NamedTuple):
    """What a network says of a batch, on the time of what was heard.

    Attributes
    ----------
    logits, posteriors : Tensor, shape (B, T', K)
    valid : Tensor, shape (B, T'), bool
        Frames that the clips fill.
    clip : Tensor, shape (B, K)
        Clip posteriors.
    """

    logits: Tensor
    posteriors: Tensor
    valid: Tensor
    clip: Tensor


class WeakTask(nn.Module):
    """Losses of ``[weak]``: labels of clips, labels of frames, and consistency with the mean teacher.

    Parameters
    ----------
    config : WeakConfig
    net : Module
        The student; not kept, but copied for the teacher.
    n_classes : int
    encode : callable
        How a network gets a batch.
    frame_loss : callable
        The recipe's, for strong clips.
    delay : int
        Posterior frames of look-ahead.
    """

    def __init__(
        self,
        config: WeakConfig,
        net: nn.Module,
        n_classes: int,
        encode: Encode,
        frame_loss: FrameLoss,
        delay: int = 0,
    ) -> None:
        super().__init__()
        self.config = config
        self._encode, self._frame_loss, self._delay = encode, frame_loss, delay
        self.pooling = ClipPooling(config.pooling, net.features, n_classes)
        self.teacher = None
        if config.mean_teacher:
            self.teacher = MeanTeacher({"net": net, "pooling": self.pooling}, config.decay)

    def listen(self, net: nn.Module, item: SceneItem, pooling: ClipPooling | None = None) -> Heard:
        """Return what a network says; by default pooled by the student's pooling."""
        features = self._encode(net, item)
        logits = net.heads(features).logits[:, self._delay :].float()
        features = features[:, self._delay :]
        posteriors, valid = logits.sigmoid(), valid_frames(item, logits.shape[1])
        clip = (pooling or self.pooling)(posteriors, valid, features)
        return Heard(logits, posteriors, valid, clip.float())

    def losses(
        self,
        net: nn.Module,
        item: SceneItem,
        step: int,
        smoothing: float,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Return the terms of the loss by name, each with its weight.

        Parameters
        ----------
        net : Module
            The student.
        item : SceneItem
            An augmented batch; student and teacher hear the same.
        step : int
            Optimiser steps done, for the ramp of the consistency.
        smoothing : float
            Targets and tags become y (1 - 2 e) + e.
        generator : torch.Generator
            Of the noise that the teacher hears.
        """
        config, student = self.config, self.listen(net, item)
        terms = {}
        weak = item.supervision == WEAK
        if bool(weak.any()):
            tags = _smoothed(item.tags[weak], smoothing)
            terms["clip"] = config.clip_weight * _cross_entropy(student.clip[weak], tags)
        count = student.logits.shape[1]
        strong = strong_frames(item, count)
        if bool(strong.any()):
            targets = _smoothed(item.targets[:, :count], smoothing)
            terms["frame"] = config.frame_weight * self._frame_loss(student.logits, targets, strong)
        if self.teacher is not None:
            teacher = self._taught(item, generator)
            weight = config.consistency_weight * ramp(step, config.consistency_ramp)
            terms["clip_consistency"] = weight * functional.mse_loss(student.clip, teacher.clip)
            valid = student.valid
            terms["frame_consistency"] = weight * functional.mse_loss(
                student.posteriors[valid], teacher.posteriors[valid]
            )
        return terms

    @torch.no_grad()
    def _taught(self, item: SceneItem, generator: torch.Generator) -> Heard:
        ratio = self.config.teacher_snr_db
        if ratio is not None:
            log_mel = item.log_mel
            level = log_mel.std(dim=(1, 2), keepdim=True) * 10 ** (-ratio / 20)
            noise = torch.randn(log_mel.shape, generator=generator).to(log_mel)
            item = item._replace(log_mel=log_mel + level * noise)
        parts = self.teacher.parts
        return self.listen(parts["net"], item, parts["pooling"])

    def after_step(self, net: nn.Module) -> None:
        """Let the teacher take up an optimiser step of the student."""
        if self.teacher is not None:
            self.teacher.update({"net": net, "pooling": self.pooling})


def ramp(step: int, steps: int) -> float:
    """Return exp(-5 (1 - step / steps)^2), 1 from ``steps`` on (Tarvainen and Valpola 2017)."""
    return math.exp(-5.0 * (1.0 - step / steps) ** 2) if step < steps else 1.0


def _smoothed(targets: Tensor, smoothing: float) -> Tensor:
    return targets * (1.0 - 2.0 * smoothing) + smoothing


def _cross_entropy(posteriors: Tensor, targets: Tensor) -> Tensor:
    # Pooled posteriors have no logits; the bound keeps the gradient of one that is 0 or 1 finite.
    kept = posteriors.clamp(1e-6, 1.0 - 1e-6)
    return -(targets * kept.log() + (1.0 - targets) * torch.log1p(-kept)).mean()
