"""Clip-based F1 and mean average precision: which labels a recording has, whenever they sound."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from streamsed._metrics.bootstrap import Interval, drawn_recordings, percentile_interval
from streamsed._metrics.events import EmptyOutput, RecordingCounts, Report, chosen_labels
from streamsed._metrics.ranking import precision_recall
from streamsed.config import require

ClipTags: TypeAlias = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class ClipRanking:
    """How well clip posteriors rank the recordings that have a label above those that do not.

    Attributes
    ----------
    per_class : dict of str to float
        Average precision of each label, see :func:`precision_recall`; NaN for one that no recording has.
    mean : float
        Mean average precision over the labels that have one (mAP); NaN if none has.
    recordings : int
    """

    per_class: dict[str, float]
    mean: float
    recordings: int


def clip_metrics(
    reference: ClipTags,
    estimated: ClipTags,
    *,
    labels: Sequence[str] | None = None,
    empty_output: EmptyOutput = "nan",
) -> Report:
    """Compare the tags of recordings: F1 of audio tagging, micro, macro and per label.

    A label that both sides give a recording is a true positive: this is :func:`segment_metrics` with segments as
    long as the recordings.

    Parameters
    ----------
    reference, estimated : mapping of str to collection of str
        Labels of each recording; repeated ones count once. A recording that only one of the two has counts as having no
        tags in the other.
    labels : sequence of str, optional
        Labels to report, by default all that occur, sorted. A label outside of them is an error.
    empty_output : {"nan", "zero"}
        Precision of a label that was never estimated, see :func:`segment_metrics`.

    Returns
    -------
    Report

    Raises
    ------
    ConfigError
        If a label is not among ``labels``.
    """
    return clip_counts(reference, estimated, labels=labels).report(empty_output)


def clip_counts(
    reference: ClipTags, estimated: ClipTags, *, labels: Sequence[str] | None = None
) -> RecordingCounts:
    """Count what :func:`clip_metrics` reports, recording by recording; the parameters are the same."""
    files = sorted({*reference, *estimated})
    found = {label for side in (reference, estimated) for tags in side.values() for label in _labels_of(tags)}
    names = chosen_labels(found, labels)
    truth, guess = (
        np.array(
            [[label in _labels_of(side.get(file, ())) for label in names] for file in files], bool
        ).reshape(len(files), len(names))
        for side in (reference, estimated)
    )
    hits = truth & guess
    swapped = np.minimum((truth & ~guess).sum(axis=1), (guess & ~truth).sum(axis=1))
    return RecordingCounts(
        tuple(files),
        tuple(names),
        hits.astype(np.int64),
        truth.astype(np.int64),
        guess.astype(np.int64),
        swapped.astype(np.int64),
    )


def clip_ranking(reference: ClipTags, posteriors: Mapping[str, Mapping[str, float]]) -> ClipRanking:
    """Compute the average precision of clip posteriors, label by label, and its mean over labels (mAP).

    Parameters
    ----------
    reference : mapping of str to collection of str
        Labels of each recording; one that has posteriors only has none.
    posteriors : mapping of str to mapping of str to float
        Recording to label to score, of any range; the same labels for every recording.

    Raises
    ------
    ConfigError
        If a tagged recording has no posteriors, the labels differ between recordings or lack one of the reference, or a
        score is NaN or Inf.
    """
    missing = sorted(name for name, tags in reference.items() if _labels_of(tags) and name not in posteriors)
    require(not missing, "posteriors", "those of every tagged recording", missing[:4])
    names = list(next(iter(posteriors.values()), {}))
    for recording, values in posteriors.items():
        require(
            set(values) == set(names), f"posteriors[{recording!r}]", f"the labels {names}", sorted(values)
        )
    unknown = sorted({label for tags in reference.values() for label in _labels_of(tags)} - set(names))
    require(not unknown, "posteriors", f"the labels of the reference, among {names}", unknown)
    per_class = {}
    for label in names:
        scores = [item[label] for item in posteriors.values()]
        truth = [label in _labels_of(reference.get(name, ())) for name in posteriors]
        per_class[label] = precision_recall(scores, truth).average_precision
    known = [value for value in per_class.values() if not math.isnan(value)]
    return ClipRanking(per_class, math.fsum(known) / len(known) if known else math.nan, len(posteriors))


def clip_ranking_interval(
    reference: ClipTags,
    posteriors: Mapping[str, Mapping[str, float]],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return a bootstrap interval by recording of the mean of :func:`clip_ranking`, see :func:`bootstrap_interval`.

    Raises
    ------
    ConfigError
        As both.
    """
    value = clip_ranking(reference, posteriors).mean
    names = list(next(iter(posteriors.values()), {}))
    scores = np.array([[item[label] for label in names] for item in posteriors.values()], np.float64)
    truth = np.array([[label in reference.get(name, ()) for label in names] for name in posteriors], bool)
    values = np.full((resamples, len(names)), np.nan)
    for row, draw in enumerate(drawn_recordings(len(posteriors), resamples, seed)):
        for k in np.flatnonzero(truth[draw].any(axis=0)):
            values[row, k] = precision_recall(scores[draw, k], truth[draw, k]).average_precision
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means = np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1)
    return percentile_interval(value, means, level)


def _labels_of(tags: Collection[str]) -> Collection[str]:
    """Refuse a text, which would be taken as a collection of letters."""
    require(not isinstance(tags, str), "tags", "a collection of labels", tags)
    return tags
