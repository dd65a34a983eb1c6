"""The training step of a segmenter, as a Lightning module."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional

from training.augment import augment
from training.checkpoint import sign
from training.fitting import scheduled
from training.nets.registry import build, set_statistics, time_stride
from training.segmentation.recipe import SegmentationRecipe


class SegmenterModule(lightning.LightningModule):
    """Binary cross-entropy of the boundary, and with less weight of what sounds.

    Parameters
    ----------
    recipe : SegmentationRecipe
    mean, std : Tensor, shape (n_mels,)
        Fixed normalisation of the network's input.
    """

    def __init__(self, recipe: SegmentationRecipe, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.recipe = recipe
        self.net = build(recipe.net_config).to(memory_format=torch.channels_last)
        set_statistics(self.net, mean, std)
        self.net_stride = time_stride(recipe.net_config)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map whole examples (B, T, n_mels) to logits (B, T', K)."""
        return self.net(log_mel, *self.net.initial_state(log_mel.shape[0]))[0]

    def losses(self, log_mel: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the boundary, and that of the other labels, each heard ``look_ahead_frames`` later."""
        delay = self.recipe.delay
        logits = self(log_mel)[:, delay:].float()
        targets = targets[:, : targets.shape[1] - delay]
        loss = functional.binary_cross_entropy_with_logits
        return loss(logits[..., 0], targets[..., 0]), loss(logits[..., 1:], targets[..., 1:])

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        """Called by Lightning."""
        # Everything random about a step comes from its number: a resumed run draws what the uninterrupted one would.
        seed = self.recipe.train.seed * 1_000_003 + self.global_step
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        log_mel, targets = batch
        # It counts active labels, which bells have none of.
        active = (targets > 0.5).float()
        changed = augment(log_mel, active, self.recipe.augment, self.recipe.front_end.floor, generator)
        # Of digital silence there is nothing left to say.
        kept = (changed.targets == active).flatten(1).all(dim=1)
        boundary, sounds = self.losses(changed.log_mel, targets * kept[:, None, None])
        self.log("train/boundary_loss", boundary, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/sound_loss", sounds, on_step=False, on_epoch=True)
        return boundary + self.recipe.excerpts.sound_weight * sounds

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        """Called by Lightning."""
        boundary, sounds = self.losses(*batch)
        self.log("val/loss", boundary, prog_bar=True)
        self.log("val/sound_loss", sounds)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called by Lightning."""
        sign(checkpoint, self.recipe)

    def configure_optimizers(self) -> dict[str, Any]:
        """Called by Lightning."""
        settings = self.recipe.train
        optimiser = torch.optim.AdamW(
            self.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        return scheduled(optimiser, settings, self.trainer)
