"""Trains a segmenter: Lightning, resumable at any epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from training.checkpoint import check_shapes, read_weights, restored
from training.ensemble import LAST
from training.features import LEAST_DEVIATION
from training.fitting import Fitting
from training.segmentation.examples import EpochNumbers, Excerpts, WholeRecordings
from training.segmentation.material import breathing, negatives, sides
from training.segmentation.module import SegmenterModule
from training.segmentation.recipe import SegmentationRecipe


def train(recipe: SegmentationRecipe, run: Path, resume: bool = True) -> Path:
    """Train and return the path of the last checkpoint, whose weights are the averaged ones.

    Parameters
    ----------
    recipe : SegmentationRecipe
    run : Path
        Folder for checkpoints and logs. With ``resume`` a checkpoint found there is continued.

    Raises
    ------
    ConfigError
        If that checkpoint is of another recipe.
    FormatError
        If the data are missing or wrong.
    StreamsedError
        If the memory of the machine does not suffice.
    """
    settings = recipe.train
    fitting = Fitting(recipe, run, resume)
    parts = sides(recipe)
    lungs = breathing(parts.train, recipe)
    frames = np.concatenate([item.log_mel for item in lungs])
    deviation = np.maximum(frames.std(0), LEAST_DEVIATION)
    module = SegmenterModule(recipe, torch.from_numpy(frames.mean(0)), torch.from_numpy(deviation))
    if not fitting.goes_on(module) and settings.warm_start:
        start = Path(settings.warm_start)
        begun = read_weights(start, recipe)
        check_shapes(start, begun, module.state_dict())
        module.load_state_dict(begun)
    excerpts = Excerpts(recipe, lungs, negatives(recipe, held_out=False))
    loader = DataLoader(excerpts, settings.batch_size, sampler=EpochNumbers(len(excerpts)), drop_last=True)
    validation = None
    if parts.validation:
        validation = DataLoader(WholeRecordings(recipe, breathing(parts.validation, recipe)))
    facts = {
        "train": sorted(item.recording.name for item in lungs),
        "left_out": list(parts.left_out),
    }
    return fitting.fit(module, loader, validation, facts, validates=recipe.data.validates)


def load_segmenter(recipe: SegmentationRecipe, run: Path, checkpoint: str = LAST) -> SegmenterModule:
    """Return the module of ``run`` with the averaged weights of a checkpoint, in evaluation mode.

    Raises
    ------
    ConfigError
        If there is no such checkpoint, or it is of another recipe.
    """
    n_mels = recipe.front_end.n_mels
    module = SegmenterModule(recipe, torch.zeros(n_mels), torch.ones(n_mels))
    return restored(module, run / checkpoint, recipe)
