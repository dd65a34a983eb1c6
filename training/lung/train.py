"""Trains a classifier of respiratory cycles: Lightning, resumable at any epoch."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, TensorDataset

from training.checkpoint import restored
from training.features import LEAST_DEVIATION
from training.fitting import EpochSampler, Fitting
from training.lung.material import Segments, prepare, prepare_training
from training.lung.module import LungModule
from training.lung.recipe import LungRecipe
from training.lung.sides import read_sides

_CONDENSED_AT_A_TIME = 32


class DrawnSampler(EpochSampler):
    """Items in an order that depends on seed and epoch alone, some of them or the rare classes more often.

    Parameters
    ----------
    targets : ndarray, shape (N,), int64
        Classes of the items.
    drawn : int
        Items of an epoch; 0: N.
    balance : float
        Items are drawn, and put back, with probability n_k^-balance; 0: without putting back.
    seed : int
    devices : sequence of N str, optional
        Draw each class of a device as often as if all devices had the same share of it.
    """

    def __init__(
        self,
        targets: npt.NDArray[np.int64],
        drawn: int,
        balance: float,
        seed: int,
        devices: Sequence[str] | None = None,
    ) -> None:
        super().__init__(len(targets), seed)
        self._drawn = drawn or len(targets)
        if balance == 0:
            self._drawn = min(self._drawn, len(targets))
        counts = np.bincount(targets)[targets].astype(np.float64)
        weights = counts**-balance
        if devices is not None:
            _, device = np.unique(np.asarray(devices), return_inverse=True)
            table = np.zeros((device.max() + 1, targets.max() + 1))
            np.add.at(table, (device, targets), 1.0)
            expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / len(targets)
            weights *= expected[device, targets] / table[device, targets]
        self._weights = None if balance == 0 else torch.from_numpy(weights)

    def __len__(self) -> int:
        return self._drawn

    def __iter__(self) -> Iterator[int]:
        if self._weights is None:
            return itertools.islice(super().__iter__(), self._drawn)
        return iter(torch.multinomial(self._weights, self._drawn, True, generator=self.generator()).tolist())


def train(recipe: LungRecipe, run: Path, resume: bool = True) -> Path:
    """Train and return the path of the last checkpoint.

    Parameters
    ----------
    recipe : LungRecipe
    run : Path
        Folder for checkpoints and logs. With ``resume`` a checkpoint found there is continued.

    Raises
    ------
    ConfigError
        If that checkpoint is of another recipe, or the data cannot be divided as the recipe says.
    FormatError
        If the data are missing or wrong.
    StreamsedError
        If the memory of the machine does not suffice.
    """
    settings = recipe.train
    fitting = Fitting(recipe, run, resume)
    sides = read_sides(recipe.data)
    training = prepare_training(sides.train, recipe)
    # The z-score is that of the cycles as they are; copies would weigh the rare classes more.
    originals = training.log_mel[: training.originals]
    mean = originals.mean((0, 1), dtype=np.float64)
    std = np.maximum(originals.std((0, 1), dtype=np.float64), LEAST_DEVIATION)
    module = LungModule(recipe, torch.from_numpy(mean).float(), torch.from_numpy(std).float())
    fitting.goes_on(module)
    per_batch = max(1, settings.batch_size // recipe.preparation.chunks)
    items = _items(condensed(training, module))
    drawing = recipe.copies
    devices = [sides.train[number].recording.device for number in training.cycle.tolist()]
    sampler = DrawnSampler(
        training.target,
        drawing.epoch_segments,
        drawing.balance,
        settings.seed,
        devices if drawing.balance_devices else None,
    )
    loader = DataLoader(items, per_batch, sampler=sampler, drop_last=len(sampler) >= per_batch)
    validation = None
    if sides.validation:
        validation = DataLoader(_items(condensed(prepare(sides.validation, recipe), module)), per_batch)
    facts = {
        "train_patients": sorted({item.recording.patient for item in sides.train}),
        "validation": [[item.recording.name, item.number] for item in sides.validation],
    }
    return fitting.fit(module, loader, validation, facts, validates=recipe.data.validates)


def condensed(segments: Segments, module: LungModule) -> Segments:
    """Replace segments by the statistics of their chunks, (N, chunks, size), if the network takes those."""
    if not module.recipe.is_condensed:
        return segments
    parts = []
    with torch.inference_mode():
        for part in torch.from_numpy(segments.log_mel).split(_CONDENSED_AT_A_TIME):
            chunks = module.chunks_of(part)
            parts.append(module.net.prepared(chunks).reshape(len(part), module.recipe.preparation.chunks, -1))
    return dataclasses.replace(segments, log_mel=torch.cat(parts).numpy())


def _items(segments: Segments) -> TensorDataset:
    return TensorDataset(
        torch.from_numpy(segments.log_mel),
        torch.from_numpy(segments.target),
        torch.from_numpy(segments.cycle),
    )


def load_trained(recipe: LungRecipe, checkpoint: Path) -> LungModule:
    """Return the module of a checkpoint, in evaluation mode.

    Raises
    ------
    ConfigError
        If there is no such checkpoint, or it is of another recipe.
    """
    n_mels = recipe.front_end.n_mels
    module = LungModule(recipe, torch.zeros(n_mels), torch.ones(n_mels))
    return restored(module, checkpoint, recipe)
