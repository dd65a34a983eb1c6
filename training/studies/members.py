"""Trained members of a study and what they say of the test scenes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from training.module import SoundEventModule
from training.nets.registry import time_stride
from training.recipe import Recipe
from training.studies.material import Material, digest
from training.train import LAST, load_trained, train

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outputs:
    """What one member says of N scenes.

    Attributes
    ----------
    posteriors : ndarray, shape (N, T', K), float32
        On the time of what was heard: the look-ahead is taken off.
    sod_logits : ndarray, shape (N, T', P or P + 1), float32, or None
        None without a SOD head.
    clip : ndarray, shape (N, K), float32, or None
        Clip posteriors, by the pooling that was trained; None without ``[weak]``.
    """

    posteriors: Floats
    sod_logits: Floats | None = None
    clip: Floats | None = None


@dataclass(frozen=True)
class Start:
    """Where all members of one seed begin: a training of its own, so that what is compared needs few epochs more.

    Parameters
    ----------
    recipe : Recipe
        The network as it is trained without what is compared.
    epochs : int
    """

    recipe: Recipe
    epochs: int


def member_outputs(
    recipe: Recipe,
    run: Path,
    name: str,
    seed: int,
    scenes: Mapping[str, Material],
    start: Start | None = None,
) -> dict[str, Outputs]:
    """Train a member unless it is there, and return what it says of the scenes of each condition.

    Without ``start`` it begins with random weights. The folder below ``run`` is named after all settings: with others
    another member is trained. An interrupted training goes on.
    """
    begins = None if start is None else [_settings(start.recipe), start.epochs]
    folder = member_folder(recipe, run, name, seed, begins)
    found = {}
    module = None
    for condition, item in scenes.items():
        path = folder / f"{condition}-{digest([item.events, item.interference])}.npz"
        if not path.exists():
            if module is None:
                warm_start = "" if start is None else str(_started(start, run, seed))
                settings = seeded(recipe, seed, warm_start=warm_start)
                train(settings, folder)
                module = load_trained(settings, folder)
            outputs = listen(module, item.log_mels)
            arrays = {key: value for key, value in vars(outputs).items() if value is not None}
            unfinished = path.with_suffix(".part.npz")
            np.savez(unfinished, **arrays)
            unfinished.replace(path)
        with np.load(path) as arrays:
            found[condition] = Outputs(**arrays)
    return found


def _started(start: Start, run: Path, seed: int) -> Path:
    """Train what the members of a seed begin with, unless it is there, and return its checkpoint."""
    folder = member_folder(start.recipe, run, "start", seed, start.epochs)
    finished = folder / "finished"
    if not finished.exists():
        train(seeded(start.recipe, seed, epochs=start.epochs), folder)
        finished.touch()
    return folder / LAST


def member_folder(recipe: Recipe, run: Path, name: str, seed: int, more: Any = None) -> Path:
    """Return the folder of a member below ``run``, named after all settings; ``more`` is what else it depends on."""
    return run / f"{name}-seed{seed}-{digest([_settings(recipe), more])}"


def _settings(recipe: Recipe) -> Recipe:
    """What a training depends on: not where the clips lie or who mixes them."""
    where = {"root": "", "cache": "", "workers": 1}
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **where))


def seeded(recipe: Recipe, seed: int, **more: Any) -> Recipe:
    """Return a recipe with this seed of the training, and other settings of it."""
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=seed, **more))


@torch.inference_mode()
def listen(module: SoundEventModule, log_mels: npt.NDArray[np.float16], batch: int = 32) -> Outputs:
    """Run a network over whole scenes, each followed by digital silence while the look-ahead lasts.

    Parameters
    ----------
    module : SoundEventModule
        In evaluation mode.
    log_mels : ndarray, shape (N, T, n_mels), float16
    batch : int
        Scenes at a time.
    """
    recipe = module.recipe
    delay = recipe.net.look_ahead_frames
    drop = delay // time_stride(recipe.net_config)
    silence = float(np.log(recipe.front_end.floor))
    posteriors, sod_logits, clip = [], [], []
    for first in range(0, len(log_mels), batch):
        scenes = torch.from_numpy(np.asarray(log_mels[first : first + batch], np.float32))
        scenes = torch.nn.functional.pad(scenes, (0, 0, 0, delay), value=silence)
        features, _ = module.net.encode(scenes, *module.net.initial_state(len(scenes)))
        heads = module.net.heads(features)
        said = heads.logits[:, drop:].sigmoid()
        posteriors.append(said.numpy())
        if module.weak is not None:
            every = torch.ones(said.shape[:2], dtype=torch.bool)
            clip.append(module.weak.pooling(said, every, features[:, drop:]).numpy())
        if heads.sod_logits is not None:
            sod_logits.append(heads.sod_logits[:, drop:].numpy())
    sods, clips = (np.concatenate(found) if found else None for found in (sod_logits, clip))
    return Outputs(np.concatenate(posteriors), sods, clips)
