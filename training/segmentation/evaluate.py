"""Compares the segmenters on the official test part: a table for RESULTS.md and metrics for the model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamsed._metrics.bootstrap import Interval
from streamsed.metrics import CycleScores, cycle_counts
from training.segmentation.material import Breathing, breathing, negatives, sides
from training.segmentation.module import SegmenterModule
from training.segmentation.recipe import LABELS, SegmentationRecipe
from training.segmentation.segmenters import (
    Cycles,
    envelope_cycles,
    grid_cycles,
    network_cycles,
    patients,
    posteriors_of,
    true_cycles,
    tuned,
)
from training.segmentation.train import load_segmenter

_RESAMPLES = 1000


def evaluate(recipe: SegmentationRecipe, run: Path) -> dict[str, Any]:
    """Print the tables and write ``<run>/metrics.json``.

    Measured are the patients held out if ``data.holdout`` is above 0, else the official test part.

    Parameters
    ----------
    recipe : SegmentationRecipe
        Settings that were tuned are read from its folder.
    run : Path

    Returns
    -------
    dict
        What was written.
    """
    recipe = tuned(recipe)
    torch.set_num_threads(recipe.train.threads)
    parts = sides(recipe)
    part = "validation" if recipe.data.validates else "test"
    lungs = breathing(parts.validation if recipe.data.validates else parts.test, recipe)
    module = load_segmenter(recipe, run)
    posteriors = {item.recording.name: posteriors_of(module, item.log_mel) for item in lungs}
    found = {
        "crnn": network_cycles(recipe, posteriors, lungs),
        "envelope": envelope_cycles(recipe, lungs),
        "grid": grid_cycles(recipe, lungs),
    }
    metrics: dict[str, Any] = {"part": part, "recordings": len(lungs), "segmenters": {}}
    devices = sorted({item.recording.device for item in lungs})
    print(f"{part} part of ICBHI-sc, cycles matched at IoU 0.5; 95 % intervals of patients\n")
    print("| segmenter | recordings of | cycle F1 | boundary error | over | under | rate error |")
    print("|---|---|---|---|---|---|---|")
    for name, cycles in found.items():
        rows = {"all": lungs} | {
            device: [item for item in lungs if item.recording.device == device] for device in devices
        }
        metrics["segmenters"][name] = {
            group: _row(name, group, items, cycles) for group, items in rows.items()
        }
    metrics["difference_to_envelope"] = _difference(lungs, found["crnn"], found["envelope"])
    print(f"\ncrnn less envelope, cycle F1: {metrics['difference_to_envelope']}")
    metrics["posteriors_above_half"] = _sounds(module, lungs, posteriors, recipe)
    (run / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def _row(name: str, group: str, lungs: Sequence[Breathing], cycles: Mapping[str, Cycles]) -> dict[str, Any]:
    truth = true_cycles(lungs)
    counts = cycle_counts(truth, {key: cycles[key] for key in truth}, groups=patients(lungs))
    scores, intervals = counts.scores(), counts.intervals(resamples=_RESAMPLES)
    print(
        f"| {name} | {group} ({len(lungs)}) | {_with(scores.f1, intervals.f1)} "
        f"| {_with(scores.boundary_mean, intervals.boundary_mean)} s, median {scores.boundary_median:.3f} s "
        f"| {_with(scores.over_segmentation, intervals.over_segmentation)} "
        f"| {_with(scores.under_segmentation, intervals.under_segmentation)} "
        f"| {_with(scores.rate_error, intervals.rate_error, 1)}/min |"
    )
    return _rounded(scores) | {"f1_interval": [round(intervals.f1.low, 4), round(intervals.f1.high, 4)]}


def _difference(lungs: Sequence[Breathing], first: Mapping[str, Cycles], second: Mapping[str, Cycles]) -> Any:
    """Return the difference of the F1 of two segmenters and its interval, patients drawn for both at once."""
    truth, groups = true_cycles(lungs), patients(lungs)
    sides_of = [cycle_counts(truth, cycles, groups=groups) for cycles in (first, second)]
    names = sides_of[0].recordings
    who = np.array([groups[name] for name in names])
    people = np.unique(who)
    rng = np.random.default_rng(0)

    def f1(weights: np.ndarray) -> np.ndarray:
        values = [
            2 * (weights @ counts.matched) / (weights @ (counts.reference + counts.estimated))
            for counts in sides_of
        ]
        return np.asarray(values[0] - values[1])

    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=_RESAMPLES)
    weights = drawn[:, np.searchsorted(people, who)]
    low, high = np.quantile(f1(weights), [0.025, 0.975])
    return {
        "value": round(float(f1(np.ones(len(names)))), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
    }


def _sounds(
    module: SegmenterModule,
    lungs: Sequence[Breathing],
    posteriors: Mapping[str, np.ndarray],
    recipe: SegmentationRecipe,
) -> dict[str, dict[str, float]]:
    """Return the share of frames whose posterior is above 0.5, by what sounds and by label."""
    groups: dict[str, list[np.ndarray]] = {"lung sounds": [posteriors[item.recording.name] for item in lungs]}
    for item in negatives(recipe, held_out=True):
        generated = item.name.startswith("generated")
        name = f"generated {item.kind}" if generated else item.kind
        groups.setdefault(name, []).append(posteriors_of(module, item.log_mel))
    rate, hop = recipe.front_end.sample_rate, recipe.front_end.hop_length
    silence = np.full((round(20 * rate / hop), recipe.front_end.n_mels), np.log(recipe.front_end.floor))
    groups["digital silence"] = [posteriors_of(module, silence.astype(np.float32))]
    print("\n| frames of | lung_sound > 0.5 | speech > 0.5 | contact_noise > 0.5 |")
    print("|---|---|---|---|")
    shares = {}
    for name, items in groups.items():
        above = (np.concatenate(items) > 0.5).mean(axis=0)
        shares[name] = {label: round(float(value), 4) for label, value in zip(LABELS, above, strict=True)}
        print(f"| {name} | " + " | ".join(f"{shares[name][label]:.3f}" for label in LABELS[1:]) + " |")
    return shares


def _with(value: float, interval: Interval, digits: int = 3) -> str:
    return f"{value:.{digits}f} ({interval.low:.{digits}f}-{interval.high:.{digits}f})"


def _rounded(scores: CycleScores) -> dict[str, float]:
    names = ("f1", "precision", "recall", "over_segmentation", "under_segmentation", "boundary_median")
    names += ("boundary_mean", "boundary_bias", "rate_error")
    return {name: round(float(getattr(scores, name)), 4) for name in names}
