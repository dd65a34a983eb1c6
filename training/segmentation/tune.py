"""Chooses the settings of decoder and baselines: random search, none of it on the test part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from streamsed.config import CycleDecoderConfig, require
from streamsed.metrics import cycle_scores
from streamsed.segmentation import EnvelopeConfig
from training.segmentation.material import breathing, sides
from training.segmentation.recipe import SegmentationRecipe
from training.segmentation.segmenters import (
    Cycles,
    envelope_cycles,
    grid_cycles,
    network_cycles,
    posteriors_of,
    true_cycles,
    tuned,
    write_tuned,
)
from training.segmentation.train import load_segmenter

# The score at one overlap jumps with single cycles; that of a few around it says more.
_OVERLAPS = (0.4, 0.5, 0.6)


T = TypeVar("T")


def tune(recipe: SegmentationRecipe, run: Path) -> dict[str, float]:
    """Tune the decoder on the patients that ``run`` has not heard, the baselines on the whole train part.

    It goes on from what an earlier call found.

    Parameters
    ----------
    recipe : SegmentationRecipe
        With the ``data.holdout`` and ``data.seed`` of the training.
    run : Path

    Returns
    -------
    dict of str to float
        Cycle F1 of each segmenter on those patients. The settings are written into the folder of the recipe.

    Raises
    ------
    ConfigError
        If no patients are held out.
    """
    require(recipe.data.validates, "holdout", "above 0, to tune on those patients", recipe.data.holdout)
    torch.set_num_threads(recipe.train.threads)
    recipe = tuned(recipe)
    parts = sides(recipe)
    held_out = breathing(parts.validation, recipe)
    everything = [*breathing(parts.train, recipe), *held_out]
    rng = np.random.default_rng(recipe.train.seed)

    module = load_segmenter(recipe, run)
    posteriors = {item.recording.name: posteriors_of(module, item.log_mel) for item in held_out}
    truth = true_cycles(held_out)

    def with_decoder(config: CycleDecoderConfig) -> float:
        changed = dataclasses.replace(recipe, decoder=config)
        return score(truth, network_cycles(changed, posteriors, held_out))

    decoder = search(
        with_decoder, lambda base: _decoder(rng, base), recipe.decoder, recipe.tune.decoder_trials
    )
    truth_of_all = true_cycles(everything)

    def with_envelope(config: EnvelopeConfig) -> float:
        return score(truth_of_all, envelope_cycles(dataclasses.replace(recipe, envelope=config), everything))

    envelope = search(
        with_envelope, lambda base: _envelope(rng, base), recipe.envelope, recipe.tune.envelope_trials
    )
    grids = {
        float(seconds): score(
            truth_of_all, grid_cycles(dataclasses.replace(recipe, grid_seconds=float(seconds)), everything)
        )
        for seconds in np.arange(1.5, 5.01, 0.1).round(1)
    }
    chosen = dataclasses.replace(
        recipe, decoder=decoder, envelope=envelope, grid_seconds=max(grids, key=lambda key: grids[key])
    )
    found = {
        "crnn": network_cycles(chosen, posteriors, held_out),
        "envelope": envelope_cycles(chosen, held_out),
        "grid": grid_cycles(chosen, held_out),
    }
    metrics = {name: round(cycle_scores(truth, cycles).f1, 4) for name, cycles in found.items()}
    print(f"cycle F1 at IoU 0.5 of the patients held out: {metrics}")
    write_tuned(chosen)
    return metrics


def score(truth: Mapping[str, Cycles], found: Mapping[str, Cycles]) -> float:
    """Return the mean F1 over a few overlaps."""
    return float(np.mean([cycle_scores(truth, found, iou=iou).f1 for iou in _OVERLAPS]))


def search(value: Callable[[T], float], change: Callable[[T], T], start: T, trials: int) -> T:
    """Return the best of so many random changes, each made to the best so far."""
    best, best_value = start, value(start)
    for _ in range(trials):
        candidate = change(best)
        found = value(candidate)
        if found > best_value:
            best, best_value = candidate, found
    return best


def _decoder(rng: np.random.Generator, base: CycleDecoderConfig) -> CycleDecoderConfig:
    # The wait is what the delay allows.
    changes = {
        "threshold": float(np.exp(rng.uniform(np.log(0.05), np.log(0.7)))),
        "prior_weight": float(rng.uniform(0.0, 5.0)),
        "spread": float(rng.uniform(0.2, 0.9)),
        "min_seconds": float(rng.choice([0.4, 0.5, 0.6, 0.8])),
        "history": int(rng.choice([2, 4, 6, 8, 12])),
        "period_seconds": float(rng.uniform(1.8, 3.2)),
    }
    return dataclasses.replace(base, **_some(rng, changes))


def _envelope(rng: np.random.Generator, base: EnvelopeConfig) -> EnvelopeConfig:
    first = int(rng.integers(0, base.last_band))
    changes = {
        "first_band": first,
        "rise_seconds": float(rng.choice([0.2, 0.3, 0.4, 0.5])),
        "memory_seconds": float(rng.choice([8.0, 12.0, 18.0])),
        "shortest_period": float(rng.choice([0.8, 1.0, 1.3, 1.6])),
        "longest_period": float(rng.choice([5.0, 6.0, 7.0])),
        "regularity": float(rng.choice([0.0, 0.05, 0.1])),
        "sharpness": float(rng.choice([1.0, 1.5, 2.0, 3.0, 4.0])),
        "decoder": _decoder(rng, dataclasses.replace(base.decoder, threshold=0.9)),
    }
    return dataclasses.replace(base, **_some(rng, changes))


def _some(rng: np.random.Generator, changes: Mapping[str, Any]) -> dict[str, Any]:
    names = list(changes)
    kept = [name for name in names if rng.random() < 0.35] or [names[rng.integers(len(names))]]
    return {name: changes[name] for name in kept}
