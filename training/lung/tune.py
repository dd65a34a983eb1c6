"""Which label a cycle has: weights of the classes, chosen on cycles that were held out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.cycles import CycleFeatures
from streamsed.metrics import icbhi_score
from streamsed.types import CYCLE_LABELS
from training.data.icbhi import CycleReference, all_cycles, read_icbhi
from training.fitting import PROVENANCE
from training.lung.material import target_of
from training.lung.posteriors import Doubles, cycle_posteriors, of_checkpoint
from training.lung.recipe import LungRecipe

CYCLES_FILE = "cycles.json"
TWO_CLASSES_FILE = "two_classes.json"
_EXPONENTS = np.linspace(0.0, 1.5, 31)


def tune(recipe: LungRecipe, run: Path) -> Path:
    """Choose the class weights and write them, with the preparation, as ``<run>/cycles.json``.

    Of four classes, also ``<run>/two_classes.json``: how much the sum of the abnormal posteriors weighs against normal
    where that is all that is asked.

    The cycles that each training held out are classified by its own members: with a fold for each training, all cycles
    of the training side count, each judged by networks that never heard its patient.

    Raises
    ------
    ConfigError
        If a checkpoint is missing or of another recipe, or no training held anything out.
    """
    posteriors, targets = held_out_posteriors(recipe, run)
    exponent, score = best_exponent(posteriors, targets)
    weights = class_weights(targets, exponent, recipe.classes)
    facts = {
        "preparation": dataclasses.asdict(recipe.preparation),
        "class_weights": [round(float(weight), 4) for weight in weights],
    }
    path = run / CYCLES_FILE
    path.write_text(json.dumps(facts, indent=2) + "\n")
    print(
        f"{len(targets)} cycles held out: class weights {facts['class_weights']} (prior^-{exponent:.2f}), "
        f"score {score:.3f}; without {score_of(posteriors, targets, np.ones(len(weights))):.3f}"
    )
    if recipe.classes == len(CYCLE_LABELS):
        weight = abnormal_weight(posteriors, targets)
        (run / TWO_CLASSES_FILE).write_text(json.dumps({"abnormal_weight": round(weight, 4)}) + "\n")
        score = score_of(merged(posteriors), np.minimum(targets, 1), np.array([1.0, weight]))
        print(f"normal against abnormal: weight {weight:.3f}, score {score:.3f}")
    return path


def merged(posteriors: Doubles) -> Doubles:
    """Return the posteriors (N, 2) of normal and of everything else."""
    return np.stack([posteriors[:, 0], posteriors[:, 1:].sum(axis=1)], axis=1)


def abnormal_weight(posteriors: Doubles, targets: npt.NDArray[np.int64]) -> float:
    """Return the w with the best two-class score of w (p_2 + p_3 + p_4) > p_1; the one nearest to 1 among equals."""
    pairs, truth = merged(posteriors), np.minimum(targets, 1)
    weights = sorted(np.exp(np.linspace(-2.0, 2.0, 41)), key=lambda value: abs(np.log(value)))
    scores = [score_of(pairs, truth, np.array([1.0, value])) for value in weights]
    return float(weights[int(np.argmax(scores))])


def held_out_posteriors(recipe: LungRecipe, run: Path) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """Return posteriors (N, K) of what the trainings below ``run`` held out, by their own members, and the classes."""
    members: dict[Path, list[Path]] = {}
    for name in recipe.checkpoints:
        checkpoint = run / name
        require(checkpoint.exists(), "checkpoint", "a file", str(checkpoint))
        members.setdefault(checkpoint.parent, []).append(checkpoint)
    data = read_icbhi(Path(recipe.data.root) / recipe.data.recordings, recipe.data.skip_bad)
    known = {(item.recording.name, item.number): item for item in all_cycles(data)}
    features = CycleFeatures(recipe.front_end, recipe.preparation)
    rows, targets = [], []
    for folder, checkpoints in members.items():
        held = json.loads((folder / PROVENANCE).read_text())["validation"]
        cycles: list[CycleReference] = [known[name, number] for name, number in held]
        if cycles:
            rows.append(
                cycle_posteriors(cycles, features, [of_checkpoint(recipe, item) for item in checkpoints])
            )
            targets += [target_of(item, recipe) for item in cycles]
    require(bool(targets), "data", "a training that held cycles out for validation", "none")
    return np.concatenate(rows), np.array(targets)


def class_weights(targets: npt.NDArray[np.int64], exponent: float, classes: int) -> Doubles:
    """Return w_k = (share of class k)^-exponent, 1 for normal.

    One number for all classes: the few dozen cycles of the rare ones would be fitted by weights of their own.
    """
    counts = np.bincount(targets, minlength=classes).astype(np.float64)
    weights: Doubles = (np.maximum(counts, 1.0) / max(counts[0], 1.0)) ** -exponent
    return weights


def best_exponent(posteriors: Doubles, targets: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the exponent with the best score, the smallest among equals, and the score."""
    classes = posteriors.shape[1]
    scores = [score_of(posteriors, targets, class_weights(targets, value, classes)) for value in _EXPONENTS]
    best = int(np.argmax(scores))
    return float(_EXPONENTS[best]), scores[best]


def score_of(posteriors: Doubles, targets: npt.NDArray[np.int64], weights: Doubles) -> float:
    """Return the ICBHI score of the classes with the largest w_k p_k."""
    classes = 4 if posteriors.shape[1] == len(CYCLE_LABELS) else 2
    return icbhi_score(targets, (posteriors * weights).argmax(axis=1), classes=classes).score
