"""Chooses the post-processing of every label, and the thresholds of tags, on validation scenes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamsed.config import ClassPost, PostConfig, TaggingConfig
from streamsed.detector import Detector, load
from streamsed.metrics import event_metrics, segment_metrics
from streamsed.postprocess import PostChain
from streamsed.tagging import pooled
from training.choice import choose
from training.decoding import decode
from training.export import POST_FILE
from training.fusion.pictures import scene_pictures
from training.labelled import Events
from training.recipe import Recipe
from training.source import scene_source
from training.tag_thresholds import clip_pooling, tune_tags

# Thresholds in the order of preference when two settings do equally well.
THRESHOLDS_ON = (0.5, 0.4, 0.6, 0.3, 0.7, 0.8)
OFF_RATIOS = (0.6, 1.0, 0.4, 0.25)
MEDIANS = (0.14, 0.06, 0.3)
MIN_GAPS = (0.1, 0.3)
MIN_DURATIONS = (0.06, 0.2)
# Of segments: their means are lower than what an event reaches.
MEAN_THRESHOLDS = (0.4, 0.5, 0.3, 0.6, 0.2, 0.7)
STEPS = (0.48, 0.72, 0.32)
MERGE_ABSOLUTE = (0.1, 0.05, 0.2)
MERGE_RELATIVE = (3.0, 2.0, 5.0)
# What segments do over lost audio, as the scenes have none.
MAX_LOSS = 0.1


def candidates(method: str = "hysteresis") -> list[ClassPost]:
    """Return every setting that is tried with ``method``: "hysteresis", "change" or "both"."""
    return [
        *(_hysteresis() if method in ("hysteresis", "both") else ()),
        *(_changes() if method in ("change", "both") else ()),
    ]


def _hysteresis() -> Iterator[ClassPost]:
    for on, ratio, median, gap, shortest in itertools.product(
        THRESHOLDS_ON, OFF_RATIOS, MEDIANS, MIN_GAPS, MIN_DURATIONS
    ):
        yield ClassPost(on, round(on * ratio, 4), median, shortest, gap)


def _changes() -> Iterator[ClassPost]:
    for mean, step, absolute, relative, shortest in itertools.product(
        MEAN_THRESHOLDS, STEPS, MERGE_ABSOLUTE, MERGE_RELATIVE, MIN_DURATIONS
    ):
        yield ClassPost(mean, None, 0.0, shortest, MAX_LOSS, "change", step, absolute, relative)


def f1_of(
    detector: Detector,
    settings: Sequence[ClassPost],
    posteriors: Mapping[str, npt.NDArray[np.float32]],
    reference: Mapping[str, Events],
    durations: Mapping[str, float],
) -> npt.NDArray[np.float64]:
    """Segment F1 (1 s) and event F1 (200 ms, 20 %) of every setting for every label, shape (settings, K, 2).

    A label that a setting says nothing about has 0.
    """
    scores = np.zeros((len(settings), len(detector.labels), 2))
    for i, post in enumerate(settings):
        chain = PostChain(detector.labels, detector.bundle.clock, PostConfig(post))
        estimated = {name: decode(chain, values) for name, values in posteriors.items()}
        segments = segment_metrics(
            reference, estimated, labels=detector.labels, durations=durations, empty_output="zero"
        )
        matched = event_metrics(reference, estimated, labels=detector.labels, empty_output="zero")
        scores[i] = [(segments.per_class[label].f1, matched.per_class[label].f1) for label in detector.labels]
    return np.nan_to_num(scores)


@dataclass(frozen=True)
class Validation:
    """The validation scenes by their numbers: events, posterior frames of a bundle, and durations in seconds."""

    reference: dict[str, Events]
    posteriors: dict[str, npt.NDArray[np.float32]]
    durations: dict[str, float]


def validation(recipe: Recipe, detector: Detector) -> Validation:
    """Return what a bundle says of the validation scenes."""
    source = scene_source(recipe, "validation")
    seen = scene_pictures(recipe, source, detector)
    heard = Validation({}, {}, {})
    rate = recipe.front_end.sample_rate
    for index in range(len(source)):
        scene = source.make(index)
        heard.reference[str(index)] = list(scene.events)
        heard.posteriors[str(index)] = detector.posteriors(scene.samples, rate, pictures=seen(index))
        heard.durations[str(index)] = len(scene.samples) / rate
    return heard


def tune(recipe: Recipe, bundle: Path) -> PostConfig:
    """Choose post-processing and thresholds of tags on the validation scenes; write them into the recipe's folder."""
    detector = load(bundle)
    heard = validation(recipe, detector)
    post = tune_events(recipe, detector, heard)
    _tune_tags(recipe, heard)
    return post


def tune_only_tags(recipe: Recipe, bundle: Path) -> TaggingConfig:
    """Choose the thresholds of tags alone, for a recipe whose post-processing is to stay as it is."""
    return _tune_tags(recipe, validation(recipe, load(bundle)))


def _tune_tags(recipe: Recipe, heard: Validation) -> TaggingConfig:
    pooling = clip_pooling(recipe)
    posteriors = {name: pooled(frames, pooling=pooling) for name, frames in heard.posteriors.items()}
    reference = {name: {event[2] for event in events} for name, events in heard.reference.items()}
    return tune_tags(recipe, posteriors, reference)


def tune_events(recipe: Recipe, detector: Detector, heard: Validation) -> PostConfig:
    """Write the best setting of every label to the recipe's ``post_processing.json``.

    The score of a label is the mean of its segment F1 (1 s) and event F1 (200 ms, 20 %) on the validation scenes; see
    :func:`choose`. ``[tune]`` of the recipe says which settings are tried, and how much labels share.
    """
    settings = candidates(recipe.tune.method)
    scores = f1_of(detector, settings, heard.posteriors, heard.reference, heard.durations).mean(axis=2)
    best = {}
    for k, (label, chosen) in enumerate(
        zip(recipe.labels, choose(scores, recipe.tune.shared_weight), strict=True)
    ):
        best[label] = settings[chosen]
        print(f"{label:16} {scores[chosen, k]:.3f} {settings[chosen]}")
    post = PostConfig(ClassPost(0.5, 0.3, 0.14, 0.06, 0.1), best)
    (recipe.folder / POST_FILE).write_text(json.dumps(post.to_mapping(), indent=2) + "\n")
    return post
