"""Measures an exported classifier on the test side of its recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamsed.bundle import read_bundle
from streamsed.config import CycleConfig, CyclePreparation, from_mapping, require
from streamsed.metrics import label_counts
from training.data.icbhi import CycleReference, CycleSplit, leaks
from training.lung.export import METRICS_FILE
from training.lung.material import target_of
from training.lung.posteriors import Doubles, bundle_posteriors
from training.lung.recipe import LungRecipe
from training.lung.sides import read_sides
from training.lung.tune import CYCLES_FILE, TWO_CLASSES_FILE, merged


def evaluate(recipe: LungRecipe, folder: Path, run: Path) -> dict[str, Any]:
    """Print and return the scores of a bundle, and write them as ``<run>/metrics.json``.

    With four classes the two-class score is that of the same labels, crackle, wheeze and both merged, as the paper
    counts them; ``classes_2_rule`` decides between normal and the sum of the others, by ``<run>/two_classes.json``.
    Intervals are 95 %, of a bootstrap by patient. Class weights are those of ``<run>/cycles.json``, of ``tune``;
    without it all are 1.

    Raises
    ------
    BundleError
        If there is no bundle.
    ConfigError
        If the bundle has other labels than the recipe.
    """
    bundle = read_bundle(folder)
    require(tuple(bundle.labels) == recipe.labels, "labels", str(recipe.labels), bundle.labels)
    settings = read_settings(run / CYCLES_FILE, recipe)
    sides = read_sides(recipe.data)
    posteriors = bundle_posteriors(sides.test, bundle, settings.preparation)
    results = {
        "cycles": len(sides.test),
        "class_weights": list(settings.class_weights[: len(recipe.labels)]),
        **scores(posteriors, sides.test, recipe, np.array(settings.class_weights[: len(recipe.labels)])),
    }
    rule = run / TWO_CLASSES_FILE
    if recipe.classes == 4 and rule.exists():
        weight = json.loads(rule.read_text())["abnormal_weight"]
        abnormal = merged(posteriors) @ np.diag([1.0, weight])
        truth = np.array([target_of(item, recipe) for item in sides.test])
        results["classes_2_rule"] = _measured(truth, abnormal.argmax(axis=1), sides.test, recipe, 2)
    shared = leaks(CycleSplit("", (*sides.train, *sides.validation), sides.test))
    results["patients_on_both_sides"] = list(shared.patients)
    (run / METRICS_FILE).write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    return results


def read_settings(path: Path, recipe: LungRecipe) -> CycleConfig:
    """Read what ``tune`` wrote, or return equal weights."""
    if not path.exists():
        return CycleConfig(preparation=recipe.preparation)
    values = json.loads(path.read_text())
    preparation = from_mapping(CyclePreparation, values["preparation"], "preparation")
    expected = f"the recipe's, {recipe.preparation}: tune again"
    require(preparation == recipe.preparation, "preparation", expected, preparation)
    return CycleConfig(preparation=preparation, class_weights=tuple(values["class_weights"]))


def scores(
    posteriors: Doubles, cycles: tuple[CycleReference, ...], recipe: LungRecipe, weights: Doubles
) -> dict[str, Any]:
    """Return sensitivity, specificity and score with intervals, of four classes and of two, and the confusion."""
    truth = np.array([target_of(item, recipe) for item in cycles])
    estimate = (posteriors * weights).argmax(axis=1)
    return {
        f"classes_{classes}": _measured(truth, estimate, cycles, recipe, classes)
        for classes in ((4, 2) if recipe.classes == 4 else (2,))
    }


def _measured(
    truth: npt.NDArray[np.int64],
    estimate: npt.NDArray[np.int64],
    cycles: tuple[CycleReference, ...],
    recipe: LungRecipe,
    classes: Literal[2, 4],
) -> dict[str, Any]:
    patients = [item.recording.patient for item in cycles]
    counts = label_counts(_named(truth, recipe), _named(estimate, recipe), patients, classes=classes)
    score, interval = counts.score(), counts.intervals().score
    return {
        "sensitivity": round(score.sensitivity, 4),
        "specificity": round(score.specificity, 4),
        "score": round(score.score, 4),
        "score_interval": [round(interval.low, 4), round(interval.high, 4)],
        "confusion": score.confusion.tolist(),
    }


def _named(numbers: npt.NDArray[np.int64], recipe: LungRecipe) -> list[str]:
    return [recipe.labels[number] for number in numbers]


def table(results: dict[str, Any]) -> str:
    """Return the scores as a table of Markdown."""
    lines = ["| classes | sensitivity | specificity | score | 95 % |", "|---|---|---|---|---|"]
    names = {
        "classes_4": "4",
        "classes_2": "2, merged" if "classes_4" in results else "2",
        "classes_2_rule": "2, own rule",
    }
    for key, name in names.items():
        row = results.get(key)
        if row is not None:
            low, high = row["score_interval"]
            lines.append(
                f"| {name} | {row['sensitivity']:.3f} | {row['specificity']:.3f} | {row['score']:.3f} | "
                f"{low:.3f}-{high:.3f} |"
            )
    return "\n".join(lines)
