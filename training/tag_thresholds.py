"""Chooses the thresholds of clip posteriors on validation scenes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from streamsed.config import POOLINGS, Pooling, TaggingConfig, from_mapping
from streamsed.metrics import clip_metrics
from streamsed.tagging import tags_of
from training.choice import choose
from training.recipe import Recipe

TAGGING_FILE = "tagging.json"

# In the order of preference when two do equally well.
THRESHOLDS = tuple(sorted((round(0.05 * step, 2) for step in range(1, 20)), key=lambda t: abs(t - 0.5)))


def f1_of_thresholds(
    labels: Sequence[str],
    posteriors: Mapping[str, npt.NDArray[np.float32]],
    reference: Mapping[str, Collection[str]],
) -> npt.NDArray[np.float64]:
    """Clip F1 of every one of :data:`THRESHOLDS` for every label, shape (thresholds, K).

    Parameters
    ----------
    labels : sequence of str
        The K labels.
    posteriors : mapping of str to ndarray, shape (K,)
        Clip posteriors by name of the clip.
    reference : mapping of str to collection of str
        Labels of each clip.

    Notes
    -----
    A label that a threshold finds nowhere has 0, and so has one that no clip has.
    """
    scores = np.zeros((len(THRESHOLDS), len(labels)))
    for i, threshold in enumerate(THRESHOLDS):
        config = TaggingConfig(default_threshold=threshold)
        tagged = {name: tags_of(labels, values, config) for name, values in posteriors.items()}
        report = clip_metrics(reference, tagged, labels=labels, empty_output="zero")
        scores[i] = [report.per_class[label].f1 for label in labels]
    return np.nan_to_num(scores)


def tune_tags(
    recipe: Recipe,
    posteriors: Mapping[str, npt.NDArray[np.float32]],
    reference: Mapping[str, Collection[str]],
) -> TaggingConfig:
    """Write the best threshold of every label to the recipe's ``tagging.json``, which ``export`` takes up.

    The score of a label is its clip F1, and ``tune.shared_weight`` of the recipe is how much labels share (with 1, they
    all have the threshold with the best macro average).

    Parameters
    ----------
    recipe : Recipe
    posteriors, reference
        See :func:`f1_of_thresholds`.
    """
    scores = f1_of_thresholds(recipe.labels, posteriors, reference)
    chosen = choose(scores, recipe.tune.shared_weight)
    own = dict(zip(recipe.labels, (THRESHOLDS[number] for number in chosen), strict=True))
    for k, (label, threshold) in enumerate(own.items()):
        print(f"{label:16} {scores[chosen[k], k]:.3f} clip threshold {threshold:g}")
    most_common = max(own.values(), key=list(own.values()).count)
    others = {label: value for label, value in own.items() if value != most_common}
    config = dataclasses.replace(untuned(recipe), default_threshold=most_common, thresholds=others)
    (recipe.folder / TAGGING_FILE).write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    return config


def read_tagging(recipe: Recipe) -> TaggingConfig:
    """Read what :func:`tune_tags` wrote; where nothing was tuned yet, thresholds are 0.5."""
    path = recipe.folder / TAGGING_FILE
    if not path.exists():
        return untuned(recipe)
    return from_mapping(TaggingConfig, json.loads(path.read_text()), TAGGING_FILE)


def untuned(recipe: Recipe) -> TaggingConfig:
    """Pool as the network was trained, where the runtime can; linear softmax otherwise."""
    return TaggingConfig(pooling=clip_pooling(recipe))


def clip_pooling(recipe: Recipe) -> Pooling:
    """Return the pooling of the recipe's clips: that of ``[weak]`` unless it has weights of its own (attention)."""
    trained = "linear_softmax" if recipe.weak is None else recipe.weak.pooling
    return next((pooling for pooling in POOLINGS if pooling == trained), "linear_softmax")
