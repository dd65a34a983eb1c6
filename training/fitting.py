"""What every training is made of beside its data and its network: seeds, going on, Lightning's trainer, provenance."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader, Sampler

from streamsed.config import require
from training.checkpoint import check_shapes, read_weights
from training.ensemble import LAST
from training.logs import make_loggers
from training.memory import named_out_of_memory
from training.recipe import AnyRecipe, TrainSettings
from training.schedule import Schedule, factor

PROVENANCE = "provenance.json"


class Fitting:
    """One training of a recipe of any task, begun or gone on with.

    Parameters
    ----------
    recipe : AnyRecipe
    run : Path
        Folder for checkpoints and logs; made if it is not there.
    resume : bool
        Go on from the checkpoint there, if there is one.

    Attributes
    ----------
    last : Path
        Checkpoint that is gone on with.

    Raises
    ------
    ConfigError
        If that checkpoint is of another recipe.
    """

    def __init__(self, recipe: AnyRecipe, run: Path, resume: bool) -> None:
        settings = recipe.train
        torch.set_num_threads(settings.threads)
        lightning.seed_everything(settings.seed, workers=True, verbose=False)
        run.mkdir(parents=True, exist_ok=True)
        self.last = run / LAST
        self._recipe, self._run = recipe, run
        self._resumes = resume and self.last.exists()
        # Read before any data are prepared, so that a wrong one is named at once.
        self._weights = read_weights(self.last, recipe) if self._resumes else None

    def goes_on(self, module: lightning.LightningModule) -> bool:
        """Return whether there is a checkpoint to go on with; its tensors are to be those of the module."""
        if self._weights is None:
            return False
        check_shapes(self.last, self._weights, module.state_dict())
        return True

    def fit(
        self,
        module: lightning.LightningModule,
        training: DataLoader[Any],
        validation: DataLoader[Any] | None,
        facts: Mapping[str, Any],
        *,
        validates: bool,
    ) -> Path:
        """Train and return the path of the last checkpoint.

        Parameters
        ----------
        module : LightningModule
        training, validation : DataLoader
            None: nothing is validated.
        facts : mapping
            For the provenance, beside the recipe's name and the commit.
        validates : bool
            Whether the recipe holds something out.

        Raises
        ------
        ConfigError
            If the settings ask for a validation that there is not.
        StreamsedError
            If the memory of the machine does not suffice.
        """
        settings = self._recipe.train
        known = {"recipe": self._recipe.name, "commit": current_commit(), **facts}
        (self._run / PROVENANCE).write_text(json.dumps(known, indent=2) + "\n")
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            accelerator="auto",
            devices="auto",
            precision=settings.precision,  # type: ignore[arg-type]
            gradient_clip_val=settings.clip_norm or None,
            logger=make_loggers(settings.logger, self._run, self._resumes),
            callbacks=callbacks_of(settings, validates, self._run),
            log_every_n_steps=20,
            enable_model_summary=False,
        )
        with named_out_of_memory(settings.batch_size, self.last):
            trainer.fit(module, training, validation, ckpt_path=str(self.last) if self._resumes else None)
        return self.last


def scheduled(
    optimiser: torch.optim.Optimizer, settings: TrainSettings, trainer: lightning.Trainer
) -> dict[str, Any]:
    """Return what ``configure_optimizers`` is to: the optimiser, and its rate changed at every step."""
    total = max(1, int(trainer.estimated_stepping_batches))
    schedule, warm_up = Schedule(settings.schedule), settings.warm_up(total)

    def rate(step: int) -> float:
        return factor(schedule, step, total, warm_up, settings.cycles)

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class EpochSampler(Sampler[int]):
    """All of ``size`` items, in an order that depends on seed and epoch alone: a resumed run sees the same."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning when an epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._size

    def generator(self) -> torch.Generator:
        """Return the generator of this epoch."""
        return torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(self._size, generator=self.generator()).tolist()


class Snapshots(Callback):
    """Keeps the weights at the end of every cycle of the learning rate: an ensemble for the price of one training."""

    def __init__(self, run: Path, epochs_per_cycle: int) -> None:
        self._run = run
        self._epochs_per_cycle = epochs_per_cycle

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Called by Lightning."""
        cycle, rest = divmod(trainer.current_epoch + 1, self._epochs_per_cycle)
        if rest == 0:
            trainer.save_checkpoint(self._run / f"snapshot{cycle}.ckpt")


class EarlyStoppingOnceSettled(EarlyStopping):
    """Counts its patience from the end of the warm-up: before it, the rate decides how good the loss can be."""

    def __init__(self, settings: TrainSettings) -> None:
        super().__init__("val/loss", patience=settings.patience, check_on_train_epoch_end=False)
        self._settings = settings

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Called by Lightning."""
        if _has_settled(trainer, self._settings):
            super().on_validation_end(trainer, pl_module)


class BestOnceSettled(ModelCheckpoint):
    """Keeps the weights with the lowest validation loss among those that patience looks at, as ``best.ckpt``."""

    def __init__(self, run: Path, settings: TrainSettings) -> None:
        super().__init__(
            run,
            filename="best",
            monitor="val/loss",
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )
        self._settings = settings

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Called by Lightning."""
        if _has_settled(trainer, self._settings):
            super().on_validation_end(trainer, pl_module)


def _has_settled(trainer: lightning.Trainer, settings: TrainSettings) -> bool:
    return trainer.global_step >= settings.settled(int(trainer.estimated_stepping_batches))


def callbacks_of(settings: TrainSettings, validates: bool, run: Path) -> list[Callback]:
    """Return what averages the weights, stops early and writes the checkpoints, as the settings ask for.

    Parameters
    ----------
    settings : TrainSettings
    validates : bool
        Whether there is something to validate on.
    run : Path
        Folder of the checkpoints.

    Raises
    ------
    ConfigError
        If they ask for a validation that there is not.
    """
    callbacks: list[Callback] = []
    if settings.ema_decay > 0:
        callbacks.append(EMAWeightAveraging(decay=settings.ema_decay))
    if settings.patience > 0:
        require(validates, "patience", "0 without a holdout to validate on", settings.patience)
        callbacks.append(EarlyStoppingOnceSettled(settings))
    if settings.keep == "best":
        require(validates, "keep", "last without a holdout to validate on", settings.keep)
        callbacks.append(BestOnceSettled(run, settings))
    if Schedule(settings.schedule) is Schedule.CYCLIC_COSINE:
        callbacks.append(Snapshots(run, settings.epochs // settings.cycles))
    checkpoint = ModelCheckpoint(
        run,
        filename="epoch{epoch:03d}",
        save_last=True,
        auto_insert_metric_name=False,
        # A training that begins anew replaces last.ckpt instead of calling its own last-v1.ckpt.
        enable_version_counter=False,
    )
    return [*callbacks, checkpoint]


def current_commit() -> str:
    """Return the commit of the code that trains, for the provenance of what it makes."""
    folder = Path(__file__).parent
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
