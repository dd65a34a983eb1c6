"""The training step, as a Lightning module."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamsed.config import require
from training.checkpoint import sign
from training.eow.loss import EowSoftmax
from training.eow.places import Tail, width_of
from training.features import SceneItem, clock_of
from training.fitting import scheduled
from training.fusion.missing import with_missing
from training.losses import frame_loss
from training.nets import registry
from training.nets.frame_net import HeadOutputs
from training.nets.registry import build, has_confidence, set_statistics, time_stride
from training.recipe import Recipe
from training.scene_batch import augmented, strong_frames, valid_frames
from training.weak.task import WeakTask


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
        self._frame_seconds = clock_of(recipe).frame_seconds
        self._loss = frame_loss(recipe.loss)
        self.weak = None
        if recipe.weak is not None:
            strong = not has_confidence(self.net)
            require(strong, "weak", "none with a SOD head, whose labels are strong", recipe.weak)
            self.weak = WeakTask(recipe.weak, self.net, len(recipe.labels), encode, self._loss, self._delay)
        self.eow = None
        if has_confidence(self.net):
            # The members of an ensemble, which differ by their seed, are not to share their samples.
            settings = dataclasses.replace(recipe.eow, seed=recipe.eow.seed + recipe.train.seed)
            self._tail = None if settings.place == "head_input" else Tail(self.net, settings.place)
            width = width_of(self.net, self._tail, self.net.features, recipe.front_end.n_mels)
            self.eow = EowSoftmax(width, settings)
        self._counts: list[Tensor] = []
        self._clip_counts: list[Tensor] = []

    def in_time(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Pair each output with the target that it is about, ``look_ahead_frames`` earlier."""
        return outputs[:, self._delay :].float(), targets[:, : targets.shape[1] - self._delay]

    def heads(self, item: SceneItem) -> HeadOutputs:
        """Return what the network says of a batch of whole scenes, not yet :meth:`in_time`."""
        return self.net.heads(encode(self.net, item))

    def training_step(self, batch: SceneItem, _index: int) -> Tensor:
        settings = self.recipe.train
        # Everything random about a step comes from its number, dropout (the global generator) too: a resumed
        # run draws what the uninterrupted one would have.
        step_seed = settings.seed * 1_000_003 + self.global_step
        torch.manual_seed(step_seed)
        generator = torch.Generator().manual_seed(step_seed)
        item, occurrences = augmented(batch, self.recipe.augment, self.recipe.front_end.floor, generator)
        if item.sides:
            # Once for student and teacher: they differ in dropout, not in what there is to hear and see.
            sides = with_missing(item.sides, self.recipe.fusion, self._frame_seconds, generator)
            item = item._replace(sides=sides)
        smooth = settings.label_smoothing
        if self.weak is not None:
            terms = self.weak.losses(self.net, item, self.global_step, smooth, generator)
            for name, term in terms.items():
                self.log(f"train/{name}_loss", term, on_step=False, on_epoch=True)
            loss = torch.stack(list(terms.values())).sum()
        else:
            loss = self._strong_loss(item, occurrences, smooth)
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Called by Lightning, after the optimiser's step."""
        if self.weak is not None:
            self.weak.after_step(self.net)

    def _strong_loss(self, item: SceneItem, occurrences: Tensor, smooth: float) -> Tensor:
        if self.eow is None:
            outputs, loss = self.heads(item).logits, 0.0
        else:
            with nullcontext([]) if self._tail is None else self._tail.listening() as heard:
                features = encode(self.net, item)
            outputs, sod_logits, _ = self.net.heads(features)
            observed = heard[0] if heard else self.in_time(features, occurrences)[0]
            loss = self._occurrence_loss(observed, sod_logits, occurrences, item)
        logits, targets = self.in_time(outputs, item.targets)
        valid = strong_frames(item, logits.shape[1])
        return loss + self._loss(logits, targets * (1.0 - 2.0 * smooth) + smooth, valid)

    def _occurrence_loss(
        self, observed: Tensor, sod_logits: Tensor, occurrences: Tensor, item: SceneItem
    ) -> Tensor:
        """Return tau * L_OPEN of eq. (1) and (3) of EOW-Softmax; ``observed`` passed the place of the samples."""
        sod_logits, occurrences = self.in_time(sod_logits, occurrences)
        valid = strong_frames(item, sod_logits.shape[1])
        progress = self.global_step / max(1, int(self.trainer.estimated_stepping_batches))
        head = self.net.sod_head if self._tail is None else self._tail
        loss = self.eow(head, observed, sod_logits[valid], occurrences[valid], progress)
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

    def validation_step(self, batch: SceneItem, _index: int) -> None:
        if self.weak is None:
            outputs = self.heads(batch).logits
            logits, targets = self.in_time(outputs, batch.targets)
            valid = valid_frames(batch, logits.shape[1])
        else:
            heard = self.weak.listen(self.net, batch)
            logits, valid = heard.logits, heard.valid
            targets = batch.targets[:, : logits.shape[1]]
            self._clip_counts.append(_counts(heard.clip > 0.5, batch.tags))
        logits, targets = logits[valid], targets[valid]
        self.log(
            "val/loss",
            functional.binary_cross_entropy_with_logits(logits, targets),
            prog_bar=True,
            batch_size=len(batch.frames),
        )
        self._counts.append(_counts(logits > 0, targets))

    def on_validation_epoch_end(self) -> None:
        micro, macro = _f1(self._counts)
        self.log("val/frame_f1_micro", micro, prog_bar=True)
        self.log("val/frame_f1_macro", macro)
        if self._clip_counts:
            self.log("val/clip_f1_micro", _f1(self._clip_counts)[0], prog_bar=True)

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self.recipe.train
        # The teacher is not trained.
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(trained, settings.learning_rate, weight_decay=settings.weight_decay)
        return scheduled(optimiser, settings, self.trainer)


def encode(net: nn.Module, item: SceneItem) -> Tensor:
    """Return the features (B, T', C) that a network makes of a batch of whole scenes."""
    return registry.encode(net, item.log_mel, item.sides)


def _counts(active: Tensor, targets: Tensor) -> Tensor:
    """True positives, estimated and reference of (N, K), shape (3, K)."""
    said = active.float()
    return torch.stack([(said * targets).sum(0), said.sum(0), targets.sum(0)])


def _f1(counts: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return micro and macro F1 of a list of counts, which is emptied."""
    true_positives, estimated, reference = torch.stack(counts).sum(0)
    counts.clear()
    micro = 2 * true_positives.sum() / (estimated.sum() + reference.sum()).clamp_min(1)
    return micro, (2 * true_positives / (estimated + reference).clamp_min(1)).mean()
