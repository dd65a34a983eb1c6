"""Chooses the post-processing of every label on validation scenes."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamsed.config import ClassPost, PostConfig
from streamsed.detector import Detector, load
from streamsed.metrics import event_metrics, segment_metrics
from streamsed.postprocess import PostChain
from training.export import POST_FILE
from training.recipe import Recipe
from training.source import scene_source

Events = list[tuple[float, float, str]]

# Thresholds in the order of preference when two settings do equally well.
THRESHOLDS_ON = (0.5, 0.4, 0.6, 0.3, 0.7, 0.8)
OFF_RATIOS = (0.6, 1.0, 0.4, 0.25)
MEDIANS = (0.14, 0.06, 0.3)
MIN_GAPS = (0.1, 0.3)
MIN_DURATIONS = (0.06, 0.2)
# A label has a handful of validation clips: what a setting does for all labels says something about it, too.
SHARED_WEIGHT = 0.3


def candidates() -> Iterator[ClassPost]:
    """Every setting that is tried."""
    for on, ratio, median, gap, shortest in itertools.product(
        THRESHOLDS_ON, OFF_RATIOS, MEDIANS, MIN_GAPS, MIN_DURATIONS
    ):
        yield ClassPost(on, round(on * ratio, 4), median, shortest, gap)


def decode(detector: Detector, posteriors: npt.NDArray[np.float32], post: ClassPost) -> Events:
    """Events of a whole clip under one setting for all labels."""
    chain = PostChain(detector.labels, detector.bundle.clock, PostConfig(post))
    decisions = [*chain.process(posteriors), *chain.flush()]
    return [(item.onset, item.offset, item.label) for item in decisions if item.offset is not None]


def tune(recipe: Recipe, bundle: Path) -> PostConfig:
    """Write the best setting of every label to the recipe's ``post_processing.json``.

    The score of a label is the mean of its segment F1 (1 s) and event F1 (200 ms, 20 %) on the validation scenes;
    best is the setting with the highest mixture of the label's own score and, with ``SHARED_WEIGHT``, the mean over
    all labels.
    """
    detector = load(bundle)
    source = scene_source(recipe, "validation")
    reference: dict[str, Events] = {}
    posteriors: dict[str, npt.NDArray[np.float32]] = {}
    durations: dict[str, float] = {}
    for index in range(len(source)):
        samples, events = source.make(index)
        reference[str(index)] = list(events)
        posteriors[str(index)] = detector.posteriors(samples, recipe.front_end.sample_rate)
        durations[str(index)] = len(samples) / recipe.front_end.sample_rate

    settings = list(candidates())
    scores = np.zeros((len(settings), len(recipe.labels)))
    for i, post in enumerate(settings):
        estimated = {name: decode(detector, values, post) for name, values in posteriors.items()}
        segments = segment_metrics(
            reference, estimated, labels=recipe.labels, durations=durations, empty_output="zero"
        )
        matched = event_metrics(reference, estimated, labels=recipe.labels, empty_output="zero")
        scores[i] = [
            0.5 * (segments.per_class[label].f1 + matched.per_class[label].f1) for label in recipe.labels
        ]
    scores = np.nan_to_num(scores)
    mixed = (1.0 - SHARED_WEIGHT) * scores + SHARED_WEIGHT * scores.mean(axis=1, keepdims=True)
    best = {}
    for k, label in enumerate(recipe.labels):
        chosen = int(mixed[:, k].argmax())
        best[label] = settings[chosen]
        print(f"{label:16} {scores[chosen, k]:.3f} {settings[chosen]}")
    post = PostConfig(ClassPost(0.5, 0.3, 0.14, 0.06, 0.1), best)
    text = json.dumps(
        {
            "default": dataclasses.asdict(post.default),
            "labels": {label: dataclasses.asdict(item) for label, item in post.labels.items()},
        },
        indent=2,
    )
    (recipe.folder / POST_FILE).write_text(text + "\n")
    return post
