"""The training step of a classifier of respiratory cycles, as a Lightning module."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamsed.cycles import CycleFeatures
from streamsed.metrics import icbhi_score
from training.augment import augment
from training.checkpoint import sign
from training.fitting import scheduled
from training.losses.classification import focal_softmax
from training.lung.recipe import NO_AUGMENTATION, LungRecipe
from training.lung.registry import build


class LungModule(lightning.LightningModule):
    """Focal loss on the chunks of rolled segments; validated by whole cycles.

    Parameters
    ----------
    recipe : LungRecipe
    mean, std : Tensor, shape (n_mels,)
        z-score of the training set.
    """

    def __init__(self, recipe: LungRecipe, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.recipe = recipe
        self.net = build(recipe.net_config).to(memory_format=torch.channels_last)
        self.net.mean.copy_(mean)
        self.net.std.copy_(std)
        self._features = CycleFeatures(recipe.front_end, recipe.preparation)
        self._posteriors: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, chunks: Tensor) -> Tensor:
        """Map raw log-mel chunks (B, T, n_mels) to logits (B, K)."""
        return self.net.classify(self.net.prepared(chunks))

    def logits(self, items: Tensor) -> Tensor:
        """Map chunks (B, T, n_mels), or what :func:`training.lung.train.condensed` made of them, to logits (B, K)."""
        logits = self.net.classify(items) if self.recipe.is_condensed else self(items)
        return logits.float()

    def split(self, segments: Tensor) -> Tensor:
        """Split segments (B, segment_frames, n_mels) into chunks (B * chunks, chunk_frames, n_mels).

        Of condensed ones, (B, chunks, size), into (B * chunks, size).
        """
        return segments.flatten(0, 1) if self.recipe.is_condensed else self.chunks_of(segments)

    def chunks_of(self, segments: Tensor) -> Tensor:
        """Split log-mel segments (B, segment_frames, n_mels) into chunks (B * chunks, chunk_frames, n_mels)."""
        frames = self._features.chunk_frames
        used = segments[:, : frames * self.recipe.preparation.chunks]
        return used.reshape(-1, frames, segments.shape[2])

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _index: int) -> Tensor:
        """Called by Lightning."""
        recipe = self.recipe
        # Everything random about a step comes from its number: a resumed run draws what the uninterrupted one would.
        seed = recipe.train.seed * 1_000_003 + self.global_step
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        segments, targets, _ = batch
        if recipe.copies.roll:
            segments = rolled(segments, generator)
        chunks = self.split(segments)
        one_hot = functional.one_hot(targets, recipe.classes).float()
        one_hot = one_hot.repeat_interleave(recipe.preparation.chunks, dim=0)
        if recipe.augment != NO_AUGMENTATION:
            changed = augment(chunks, one_hot[:, None], recipe.augment, recipe.front_end.floor, generator)
            chunks, one_hot = changed.log_mel, changed.targets[:, 0]
        smooth = recipe.train.label_smoothing
        one_hot = one_hot * (1.0 - smooth) + smooth / recipe.classes
        items = chunks if recipe.is_condensed else self.net.prepared(chunks)
        if recipe.copies.mixup_alpha > 0:
            # torch's own distribution cannot take a generator.
            alpha = torch.full((2, len(items)), recipe.copies.mixup_alpha)
            first, second = torch._standard_gamma(alpha, generator=generator).clamp_min(1e-6)
            share, other = first / (first + second), torch.randperm(len(items), generator=generator)
            items, one_hot = mixed(items, share, other), mixed(one_hot, share, other)
        loss = focal_softmax(self.net.classify(items).float(), one_hot, recipe.gamma)
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Called by Lightning."""
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _index: int) -> None:
        """Called by Lightning."""
        segments, targets, cycles = batch
        logits = self.logits(self.split(segments))
        chunks = self.recipe.preparation.chunks
        one_hot = functional.one_hot(targets.repeat_interleave(chunks), self.recipe.classes).float()
        self.log("val/loss", focal_softmax(logits, one_hot, self.recipe.gamma), prog_bar=True)
        posteriors = logits.softmax(1).reshape(-1, chunks, self.recipe.classes).mean(1)
        self._posteriors.append((posteriors.cpu(), targets.cpu(), cycles.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Called by Lightning."""
        posteriors, targets, cycles = (
            torch.cat(parts).numpy() for parts in zip(*self._posteriors, strict=True)
        )
        self._posteriors.clear()
        _, first, place = np.unique(cycles, return_index=True, return_inverse=True)
        means = np.zeros((len(first), posteriors.shape[1]))
        np.add.at(means, place, posteriors)
        estimate, truth = means.argmax(axis=1), targets[first]
        self.log("val/accuracy", float((estimate == truth).mean()), prog_bar=True)
        classes = 4 if self.recipe.classes == 4 else 2
        if (truth == 0).any() and (truth > 0).any():
            self.log("val/icbhi_score", icbhi_score(truth, estimate, classes=classes).score, prog_bar=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        sign(checkpoint, self.recipe)

    def configure_optimizers(self) -> dict[str, Any]:
        """Called by Lightning."""
        settings = self.recipe.train
        regularised = self.net.regularised()
        chosen = {id(weight) for weight in regularised}
        groups = [
            {"params": regularised, "weight_decay": settings.weight_decay},
            {"params": [item for item in self.parameters() if id(item) not in chosen]},
        ]
        optimiser = torch.optim.Adam(groups, settings.learning_rate)
        return scheduled(optimiser, settings, self.trainer)


def mixed(items: Tensor, share: Tensor, other: Tensor) -> Tensor:
    """Return share * items + (1 - share) * items[other] of (B, ...), with shares (B,)."""
    share = share.to(items.device).reshape(-1, *[1] * (items.ndim - 1))
    return share * items + (1.0 - share) * items[other.to(items.device)]


def rolled(segments: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each of the segments (B, T, n_mels) along time by a random number of frames."""
    batch, frames, _ = segments.shape
    shifts = torch.randint(frames, (batch, 1), generator=generator)
    places = (torch.arange(frames)[None] - shifts) % frames
    return segments[torch.arange(batch)[:, None], places.to(segments.device)]
