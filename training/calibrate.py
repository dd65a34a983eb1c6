"""Fits temperatures and fusion weights of an ensemble to its validation scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.optimize
import torch
from torch.utils.data import DataLoader

from streamsed.config import require
from streamsed.metrics import calibration as frame_calibration
from streamsed.postprocess import fuse
from training.ensemble import CALIBRATION_FILE, Calibration
from training.eow.confidence import confidence
from training.features import Split, prepare
from training.nets.registry import has_confidence
from training.recipe import Recipe
from training.scene_batch import valid_frames
from training.train import load_trained

Floats = npt.NDArray[np.float32]

# Neighbouring frames of 20 ms say nearly the same.
_EVERY = 5
_EPS = 1e-6


def calibrate(recipe: Recipe, run: Path) -> Calibration:
    """Write ``calibration.json`` of the recipe, which the next ``export`` takes up.

    Parameters
    ----------
    recipe : Recipe
        ``ensemble.calibration`` and ``ensemble.weights`` say what is fitted.
    run : Path

    Raises
    ------
    ConfigError
        If nothing is validated.
    """
    require(recipe.data.validates, "holdout", "something to validate on", recipe.data.holdout)
    checkpoints = recipe.checkpoints
    found = [_validated(recipe, run, checkpoint) for checkpoint in checkpoints]
    targets = found[0][2]
    ones = (1.0,) * len(found)
    temperatures, weights = ones, ones
    if recipe.ensemble.calibration == "temperature":
        temperatures = tuple(round(temperature(logits, targets), 4) for logits, _, _ in found)
    posteriors = np.stack(
        [_sigmoid(logits / t) for (logits, _, _), t in zip(found, temperatures, strict=True)]
    )
    confidences = None if found[0][1] is None else np.stack([item[1] for item in found])
    if recipe.ensemble.weights == "learned":
        weights = tuple(round(item, 4) for item in fusion_weights(posteriors, confidences, targets))
    for name, values in (("equal", ones), (recipe.ensemble.weights, weights)):
        report = frame_calibration(fuse(posteriors, confidences, values), targets > 0.5)
        print(f"{name} weights: frame ECE {report.expected_error:.4f}, Brier {report.brier:.4f}")
    result = Calibration(temperatures, weights)
    result.write(recipe.folder / CALIBRATION_FILE)
    print(result)
    return result


def temperature(logits: Floats, targets: Floats) -> float:
    """Return the temperature with the lowest binary cross-entropy, in [0.1, 10].

    Guo et al., "On calibration of modern neural networks" (2017), section 4.2, for sigmoids.

    Parameters
    ----------
    logits, targets : ndarray, shape (T, K)
    """

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        return float(np.mean(np.logaddexp(0.0, scaled) - targets * scaled))

    result = scipy.optimize.minimize_scalar(loss, bounds=(-np.log(10), np.log(10)), method="bounded")
    return float(np.exp(result.x))


def fusion_weights(posteriors: Floats, confidences: Floats | None, targets: Floats) -> tuple[float, ...]:
    """Return the w_m of eq. (4) whose fused posteriors have the lowest binary cross-entropy; their sum is 1.

    Parameters
    ----------
    posteriors : ndarray, shape (M, T, K)
    confidences : ndarray, shape (M, T), or None
    targets : ndarray, shape (T, K)
    """
    members = len(posteriors)

    def weights(free: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # Softmax with the first member's share as the unit.
        powers = np.exp(np.concatenate([[0.0], free]))
        return powers / powers.sum()

    def loss(free: npt.NDArray[np.float64]) -> float:
        fused = np.clip(fuse(posteriors, confidences, weights(free)), _EPS, 1.0 - _EPS).astype(np.float64)
        return float(-np.mean(targets * np.log(fused) + (1.0 - targets) * np.log1p(-fused)))

    if members == 1:
        return (1.0,)
    result = scipy.optimize.minimize(
        loss, np.zeros(members - 1), method="Powell", bounds=[(-5.0, 5.0)] * (members - 1)
    )
    return tuple(float(item) for item in weights(result.x))


def _validated(recipe: Recipe, run: Path, checkpoint: str) -> tuple[Floats, Floats | None, Floats]:
    """Logits (T, K), confidence (T,) if any and targets (T, K) of a member on all validation scenes."""
    module = load_trained(recipe, run, checkpoint)
    logits, confidences, targets = [], [], []
    with torch.inference_mode():
        for item in DataLoader(prepare(recipe, Split.VALIDATION), batch_size=16):
            outputs = module.heads(item)
            late, early = module.in_time(outputs.logits, item.targets)
            valid = valid_frames(item, late.shape[1])[:, ::_EVERY]
            logits.append(late[:, ::_EVERY][valid].numpy())
            targets.append(early[:, ::_EVERY][valid].numpy())
            if has_confidence(module.net):
                c = confidence(outputs.sod_logits, recipe.confidence, torch.sigmoid(outputs.logits))
                confidences.append(module.in_time(c, item.targets)[0][:, ::_EVERY][valid].numpy())
    joined = np.concatenate(confidences) if confidences else None
    return np.concatenate(logits), joined, np.concatenate(targets)


def _sigmoid(logits: Floats) -> Floats:
    return (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
