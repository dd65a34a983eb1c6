"""Trains a segmenter: Lightning, resumable at any epoch."""

from __future__ import annotations

import json
from pathlib import Path

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader

from training.checkpoint import check_shapes, read_weights
from training.ensemble import LAST
from training.features import LEAST_DEVIATION
from training.logs import make_loggers
from training.memory import named_out_of_memory
from training.segmentation.examples import EpochNumbers, Excerpts, WholeRecordings
from training.segmentation.material import breathing, negatives, sides
from training.segmentation.module import SegmenterModule
from training.segmentation.recipe import SegmentationRecipe
from training.train import callbacks_of, current_commit


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
    torch.set_num_threads(settings.threads)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    run.mkdir(parents=True, exist_ok=True)
    last = run / LAST
    resumes = resume and last.exists()
    weights = read_weights(last, recipe) if resumes else None
    parts = sides(recipe)
    lungs = breathing(parts.train, recipe)
    frames = np.concatenate([item.log_mel for item in lungs])
    deviation = np.maximum(frames.std(0), LEAST_DEVIATION)
    module = SegmenterModule(recipe, torch.from_numpy(frames.mean(0)), torch.from_numpy(deviation))
    if weights is not None:
        check_shapes(last, weights, module.state_dict())
    elif settings.warm_start:
        start = Path(settings.warm_start)
        begun = read_weights(start, recipe)
        check_shapes(start, begun, module.state_dict())
        module.load_state_dict(begun)
    excerpts = Excerpts(recipe, lungs, negatives(recipe, held_out=False))
    loader = DataLoader(excerpts, settings.batch_size, sampler=EpochNumbers(len(excerpts)), drop_last=True)
    validation = None
    if parts.validation:
        validation = DataLoader(WholeRecordings(recipe, breathing(parts.validation, recipe)))
    trainer = lightning.Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices="auto",
        precision=settings.precision,  # type: ignore[arg-type]
        gradient_clip_val=settings.clip_norm,
        logger=make_loggers(settings.logger, run, resumes),
        callbacks=callbacks_of(recipe.train, recipe.data.validates, run),
        log_every_n_steps=20,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    facts = {
        "recipe": recipe.name,
        "commit": current_commit(),
        "train": sorted(item.recording.name for item in lungs),
        "left_out": list(parts.left_out),
    }
    (run / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n")
    with named_out_of_memory(settings.batch_size, last):
        trainer.fit(module, loader, validation, ckpt_path=str(last) if resumes else None)
    return last


def load_segmenter(recipe: SegmentationRecipe, run: Path, checkpoint: str = LAST) -> SegmenterModule:
    """Return the module of ``run`` with the averaged weights of a checkpoint, in evaluation mode.

    Raises
    ------
    ConfigError
        If there is no such checkpoint, or it is of another recipe.
    """
    n_mels = recipe.front_end.n_mels
    module = SegmenterModule(recipe, torch.zeros(n_mels), torch.ones(n_mels))
    weights = read_weights(run / checkpoint, recipe)
    check_shapes(run / checkpoint, weights, module.state_dict())
    module.load_state_dict(weights)
    return module.eval()
