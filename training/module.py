"""The training step, as a Lightning module."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional

from training.augment import augment
from training.checkpoint import sign
from training.eow.loss import EowSoftmax
from training.eow.places import Tail, width_of
from training.fitting import scheduled
from training.losses import frame_loss
from training.nets.registry import build, has_confidence, set_statistics, time_stride
from training.recipe import Recipe


class SoundEventModule(lightning.LightningModule):
    """The recipe's loss on frames of augmented scenes; validated by binary cross-entropy, whatever is trained.

    Parameters
    ----------
    recipe : Recipe
    mean, std : Tensor, shape (n_mels,)
        Fixed normalisation of the network's input.
    """

    def __init__(self, recipe: Recipe, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.recipe = recipe
        config = recipe.net_config
        self.net = build(config).to(memory_format=torch.channels_last)
        set_statistics(self.net, mean, std)
        self._delay = recipe.net.look_ahead_frames // time_stride(config)
        self._loss = frame_loss(recipe.loss)
        self.eow = None
        if has_confidence(self.net):
            # The members of an ensemble, which differ by their seed, are not to share their samples.
            settings = dataclasses.replace(recipe.eow, seed=recipe.eow.seed + recipe.train.seed)
            self._tail = None if settings.place == "head_input" else Tail(self.net, settings.place)
            width = width_of(self.net, self._tail, self.net.features, recipe.front_end.n_mels)
            self.eow = EowSoftmax(width, settings)
        self._counts: list[Tensor] = []

    def in_time(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Pair each output with the target that it is about, ``look_ahead_frames`` earlier."""
        return outputs[:, self._delay :].float(), targets[:, : targets.shape[1] - self._delay]

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map whole scenes (B, T, n_mels) to logits (B, T', K)."""
        return self.net(log_mel, *self.net.initial_state(log_mel.shape[0]))[0]

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        settings = self.recipe.train
        # Everything random about a step comes from its number, dropout (the global generator) too: a resumed
        # run draws what the uninterrupted one would have.
        step_seed = settings.seed * 1_000_003 + self.global_step
        torch.manual_seed(step_seed)
        generator = torch.Generator().manual_seed(step_seed)
        changed = augment(*batch, self.recipe.augment, self.recipe.front_end.floor, generator)
        smooth = settings.label_smoothing
        if self.eow is None:
            outputs, loss = self(changed.log_mel), 0.0
        else:
            with nullcontext([]) if self._tail is None else self._tail.listening() as heard:
                features, _ = self.net.encode(changed.log_mel, *self.net.initial_state(len(changed.log_mel)))
            outputs, sod_logits, _ = self.net.heads(features)
            observed = heard[0] if heard else self.in_time(features, changed.occurrences)[0]
            loss = self._occurrence_loss(observed, sod_logits, changed.occurrences)
        logits, targets = self.in_time(outputs, changed.targets)
        loss = loss + self._loss(logits, targets * (1.0 - 2.0 * smooth) + smooth)
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def _occurrence_loss(self, observed: Tensor, sod_logits: Tensor, occurrences: Tensor) -> Tensor:
        """Return tau * L_OPEN of eq. (1) and (3) of EOW-Softmax; ``observed`` passed the place of the samples."""
        sod_logits, occurrences = self.in_time(sod_logits, occurrences)
        progress = self.global_step / max(1, int(self.trainer.estimated_stepping_batches))
        head = self.net.sod_head if self._tail is None else self._tail
        loss = self.eow(head, observed, sod_logits, occurrences, progress)
        self.log("train/occurrence_loss", loss, on_step=False, on_epoch=True)
        return self.recipe.eow.task_weight * loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        sign(checkpoint, self.recipe)

    def on_train_epoch_end(self) -> None:
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])
        if self.eow is None:
            return
        report = self.eow.report()
        for name in ("log_u_data", "log_u_samples", "max_abs_sample", "seconds_per_step"):
            self.log(f"eow/{name}", getattr(report, name))

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        log_mel, targets = batch
        logits, targets = self.in_time(self(log_mel), targets)
        self.log("val/loss", functional.binary_cross_entropy_with_logits(logits, targets), prog_bar=True)
        active = (logits > 0).float()
        self._counts.append(
            torch.stack([(active * targets).sum((0, 1)), active.sum((0, 1)), targets.sum((0, 1))])
        )

    def on_validation_epoch_end(self) -> None:
        true_positives, estimated, reference = torch.stack(self._counts).sum(0)
        self._counts.clear()
        micro = 2 * true_positives.sum() / (estimated.sum() + reference.sum()).clamp_min(1)
        macro = (2 * true_positives / (estimated + reference).clamp_min(1)).mean()
        self.log("val/frame_f1_micro", micro, prog_bar=True)
        self.log("val/frame_f1_macro", macro)

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self.recipe.train
        optimiser = torch.optim.AdamW(
            self.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        return scheduled(optimiser, settings, self.trainer)
