"""Trains a recipe: scenes, features, Lightning; resumable at any epoch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader, Sampler

from streamsed.config import require
from training.checkpoint import WHAT_IS_HEARD, check_shapes, read_weights
from training.ensemble import LAST
from training.features import Split, prepare
from training.logs import make_loggers
from training.memory import named_out_of_memory
from training.module import SoundEventModule
from training.recipe import Recipe, TrainSettings
from training.schedule import Schedule


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


def train(recipe: Recipe, run: Path, resume: bool = True) -> Path:
    """Train and return the path of the last checkpoint, whose weights are the averaged ones.

    Parameters
    ----------
    recipe : Recipe
    run : Path
        Folder for checkpoints and logs. With ``resume`` a checkpoint found there is continued.

    Raises
    ------
    ConfigError
        If that checkpoint is of another recipe.
    StreamsedError
        If the memory of the machine does not suffice.
    """
    torch.set_num_threads(recipe.train.threads)
    lightning.seed_everything(recipe.train.seed, workers=True, verbose=False)
    run.mkdir(parents=True, exist_ok=True)
    last = run / LAST
    resumes = resume and last.exists()
    weights = read_weights(last, recipe) if resumes else None
    training = prepare(recipe, Split.TRAIN)
    validation = prepare(recipe, Split.VALIDATION) if recipe.data.validates else None
    mean, std = training.statistics()
    module = SoundEventModule(recipe, mean, std)
    if weights is not None:
        check_shapes(last, weights, module.state_dict())
    elif recipe.train.warm_start:
        start_from(module, Path(recipe.train.warm_start))
    _write_provenance(recipe, run)
    trainer = lightning.Trainer(
        max_epochs=recipe.train.epochs,
        accelerator="auto",
        devices="auto",
        precision=recipe.train.precision,  # type: ignore[arg-type]
        gradient_clip_val=recipe.train.clip_norm,
        logger=make_loggers(recipe.train.logger, run, resumes),
        callbacks=callbacks_of(recipe.train, recipe.data.validates, run),
        log_every_n_steps=20,
        enable_model_summary=False,
    )
    loaders = [
        DataLoader(
            features,
            batch_size=recipe.train.batch_size,
            sampler=EpochSampler(len(features), recipe.train.seed) if features is training else None,
            drop_last=features is training and len(features) >= recipe.train.batch_size,
        )
        for features in (training, validation)
        if features is not None
    ]
    with named_out_of_memory(recipe.train.batch_size, last):
        trainer.fit(
            module,
            loaders[0],
            loaders[1] if validation is not None else None,
            ckpt_path=str(last) if resumes else None,
        )
    return last


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


def load_trained(recipe: Recipe, run: Path, checkpoint: str = LAST) -> SoundEventModule:
    """Return the module of ``run`` with the averaged weights of one of its checkpoints, in evaluation mode.

    Raises
    ------
    ConfigError
        If there is no such checkpoint, or it is of another recipe.
    """
    n_mels = recipe.front_end.n_mels
    module = SoundEventModule(recipe, torch.zeros(n_mels), torch.ones(n_mels))
    weights = read_weights(run / checkpoint, recipe)
    check_shapes(run / checkpoint, weights, module.state_dict())
    module.load_state_dict(weights)
    return module.eval()


# What a training may have that its warm start had not: the SOD head, the way back through a window.
_ADDED_PARTS = ("eow.", "net.sod_head.", "net.backward_gru.", "net.backward_head.")


def start_from(module: SoundEventModule, checkpoint: Path) -> None:
    """Give a module the averaged weights of another training; parts that were not there yet stay random.

    Raises
    ------
    ConfigError
        If the checkpoint is of another network.
    """
    state = read_weights(checkpoint, module.recipe, WHAT_IS_HEARD)
    own = module.state_dict()
    # Chains and what they know of the features belong to one training.
    state = {name: value for name, value in state.items() if not name.startswith("eow.")}
    absent = [name for name in own if name not in state and not name.startswith(_ADDED_PARTS)]
    foreign = [name for name, value in state.items() if name not in own or own[name].shape != value.shape]
    fits = not absent and not foreign
    require(
        fits, "warm_start", "a checkpoint of the same network", f"{checkpoint} ({[*absent, *foreign][:3]})"
    )
    module.load_state_dict(state, strict=False)


def current_commit() -> str:
    """Return the commit of the code that trains, for the provenance of what it makes."""
    folder = Path(__file__).parent
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _write_provenance(recipe: Recipe, run: Path) -> None:
    recordings = recipe.data.recordings
    facts = {
        "recipe": recipe.name,
        "commit": current_commit(),
        "train_folds": list(recipe.data.train_folds) if recordings is None else [],
        "recordings": None if recordings is None else dataclasses.asdict(recordings),
    }
    (run / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n")
