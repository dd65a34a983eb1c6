"""Trains a recipe: scenes, features, Lightning; resumable at any epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from streamsed.config import require
from training.checkpoint import WHAT_IS_HEARD, read_weights, restored
from training.ensemble import LAST
from training.features import Split, prepare
from training.fitting import EpochSampler, Fitting
from training.module import SoundEventModule
from training.recipe import Recipe
from training.weak.sampler import BalancedSampler


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
    settings = recipe.train
    fitting = Fitting(recipe, run, resume)
    training = prepare(recipe, Split.TRAIN)
    validation = prepare(recipe, Split.VALIDATION) if recipe.data.validates else None
    module = SoundEventModule(recipe, *training.statistics())
    if not fitting.goes_on(module) and settings.warm_start:
        start_from(module, Path(settings.warm_start))
    batch_size, sampler = settings.batch_size, EpochSampler(len(training), settings.seed)
    if recipe.weak is not None:
        batch_size = recipe.weak.batch_size
        sampler = BalancedSampler(recipe.weak, training.labels.supervision, settings.seed)
    loader = DataLoader(
        training, batch_size=batch_size, sampler=sampler, drop_last=len(sampler) >= batch_size
    )
    held_out = None if validation is None else DataLoader(validation, batch_size=settings.batch_size)
    recordings = recipe.data.recordings
    facts = {
        "train_folds": list(recipe.data.train_folds) if recordings is None else [],
        "recordings": None if recordings is None else dataclasses.asdict(recordings),
    }
    return fitting.fit(module, loader, held_out, facts, validates=recipe.data.validates)


def load_trained(recipe: Recipe, run: Path, checkpoint: str = LAST) -> SoundEventModule:
    """Return the module of ``run`` with the averaged weights of one of its checkpoints, in evaluation mode.

    Raises
    ------
    ConfigError
        If there is no such checkpoint, or it is of another recipe.
    """
    n_mels = recipe.front_end.n_mels
    module = SoundEventModule(recipe, torch.zeros(n_mels), torch.ones(n_mels))
    return restored(module, run / checkpoint, recipe)


# What a training may have that its warm start had not: the SOD head, the way back through a window, a teacher.
_ADDED_PARTS = ("eow.", "weak.", "net.sod_head.", "net.backward_gru.", "net.backward_head.")


def start_from(module: SoundEventModule, checkpoint: Path) -> None:
    """Give a module the averaged weights of another training; parts that were not there yet stay random.

    Raises
    ------
    ConfigError
        If the checkpoint is of another network.
    """
    state = read_weights(checkpoint, module.recipe, WHAT_IS_HEARD)
    own = module.state_dict()
    # Chains and what they know of the features belong to one training, and so does a teacher.
    state = {name: value for name, value in state.items() if not name.startswith(("eow.", "weak."))}
    absent = [name for name in own if name not in state and not name.startswith(_ADDED_PARTS)]
    foreign = [name for name, value in state.items() if name not in own or own[name].shape != value.shape]
    fits = not absent and not foreign
    require(
        fits, "warm_start", "a checkpoint of the same network", f"{checkpoint} ({[*absent, *foreign][:3]})"
    )
    module.load_state_dict(state, strict=False)
