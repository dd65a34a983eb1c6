"""Labels of respiratory cycles: sensitivity, specificity and score as the ICBHI challenge counts them.

Rocha et al., "An open access database for the evaluation of respiratory sound classification algorithms",
Physiological Measurement 40 (3), 2019; in the words of Nguyen and Pernkopf, "Lung Sound Classification Using
Snapshot Ensemble of Convolutional Neural Networks", EMBC 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamsed._metrics.bootstrap import Interval, percentile_interval, times_drawn_by_group
from streamsed._metrics.cycle_segmentation import match_cycles
from streamsed.config import require
from streamsed.types import CYCLE_LABELS

LabelledCycles: TypeAlias = Sequence[tuple[float, float, str]]
Matching = Literal["iou", "overlap"]

BINARY_LABELS = ("normal", "abnormal")


@dataclass(frozen=True)
class IcbhiScore:
    """Scores of labels, in [0, 1]; NaN where no cycle is there to divide by.

    Attributes
    ----------
    sensitivity : float
        Share of the abnormal cycles (crackle, wheeze, both) that have their own label. Of two classes: that are
        called abnormal.
    specificity : float
        Share of the normal cycles that are called normal: the same for two classes and four.
    score : float
        Mean of the two.
    labels : tuple of str
        Names of the K classes.
    confusion : ndarray, shape (K, K), int64
        True label by row, estimated label by column.
    missed, extra : ndarray, shape (K,), int64
        True cycles without an estimated one, by their true label: they count as wrong. Estimated cycles without
        a true one, by their estimated label: no score counts them. Zeros unless cycles were detected.
    """

    sensitivity: float
    specificity: float
    score: float
    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    missed: NDArray[np.int64]
    extra: NDArray[np.int64]


@dataclass(frozen=True)
class IcbhiIntervals:
    """Bootstrap intervals of :class:`IcbhiScore`."""

    sensitivity: Interval
    specificity: Interval
    score: Interval


@dataclass(frozen=True)
class LabelCounts:
    """Confusion matrices of G groups of cycles; sums of them give every score.

    Attributes
    ----------
    groups : tuple of str
        What the bootstrap draws as a whole: patients.
    labels : tuple of str
        The K classes, the first of them normal.
    confusion : ndarray, shape (G, K, K), int64
    missed, extra : ndarray, shape (G, K), int64
        As in :class:`IcbhiScore`.
    """

    groups: tuple[str, ...]
    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    missed: NDArray[np.int64]
    extra: NDArray[np.int64]

    def merged(self) -> LabelCounts:
        """Return the counts of normal against abnormal: the two-class view of a model of four classes."""
        rows = np.concatenate(
            [self.confusion[:, :1], self.confusion[:, 1:].sum(axis=1, keepdims=True)], axis=1
        )
        both = np.concatenate([rows[..., :1], rows[..., 1:].sum(axis=-1, keepdims=True)], axis=-1)
        missed, extra = (
            np.concatenate([counts[:, :1], counts[:, 1:].sum(axis=1, keepdims=True)], axis=1)
            for counts in (self.missed, self.extra)
        )
        return LabelCounts(self.groups, BINARY_LABELS, both, missed, extra)

    def score(self) -> IcbhiScore:
        """Return the scores of all groups together."""
        sensitivity, specificity, score = (float(value) for value in _rates(self._sums().sum(axis=0)))
        totals = (counts.sum(axis=0) for counts in (self.confusion, self.missed, self.extra))
        return IcbhiScore(sensitivity, specificity, score, self.labels, *totals)

    def intervals(self, *, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> IcbhiIntervals:
        """Return bootstrap intervals by group, see :func:`bootstrap_interval`.

        Raises
        ------
        ConfigError
            If there is no group or a parameter is out of range.
        """
        sums = self._sums()
        drawn = times_drawn_by_group(self.groups, resamples, seed) @ sums
        found = (
            percentile_interval(float(value), resampled, level)
            for value, resampled in zip(_rates(sums.sum(axis=0)), _rates(drawn), strict=True)
        )
        return IcbhiIntervals(*found)

    def _sums(self) -> NDArray[np.int64]:
        """Return right and all abnormal cycles, right and all normal ones, shape (G, 4)."""
        right = np.diagonal(self.confusion, axis1=1, axis2=2)
        total = self.confusion.sum(axis=2) + self.missed
        columns = (right[:, 1:].sum(axis=1), total[:, 1:].sum(axis=1), right[:, 0], total[:, 0])
        return np.stack(columns, axis=-1)


def icbhi_score(truth: ArrayLike, estimate: ArrayLike, *, classes: Literal[2, 4] = 4) -> IcbhiScore:
    """Score the labels of cycles.

    Of four classes, sensitivity is (C_crackle + C_wheeze + C_both) / (N_crackle + N_wheeze + N_both), where C counts
    the cycles whose estimate is their own label. Of two, it is the share of abnormal cycles that are called abnormal,
    whichever adventitious sound was heard. Specificity is C_normal / N_normal in both, and the score their mean.

    Parameters
    ----------
    truth, estimate : array_like, shape (n,)
        Labels by name or number: normal, crackle, wheeze, both; or normal, abnormal by name, for two classes.
    classes : {2, 4}
        2 merges crackle, wheeze and both to abnormal. The two-class rows of the paper are its four-class model
        scored so; the labels of a model that was trained with two classes are scored by the same call.

    Raises
    ------
    ConfigError
        If a label is unknown, or the two differ in length, or there is none.
    """
    return label_counts(truth, estimate, classes=classes).score()


def label_counts(
    truth: ArrayLike,
    estimate: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    classes: Literal[2, 4] = 4,
) -> LabelCounts:
    """Count the labels of cycles by group, for intervals.

    Parameters
    ----------
    truth, estimate, classes
        As in :func:`icbhi_score`.
    groups : sequence of n str, optional
        Patient of each cycle. By default each cycle is drawn by itself, which is too narrow: cycles of a patient
        are alike.

    Raises
    ------
    ConfigError
        As :func:`icbhi_score`.
    """
    require(classes in (2, 4), "classes", "2 or 4", classes)
    labels = CYCLE_LABELS if classes == 4 else BINARY_LABELS
    true, found = _numbers("truth", truth, classes), _numbers("estimate", estimate, classes)
    require(len(true) == len(found), "estimate", f"{len(true)} labels, one per cycle", len(found))
    require(len(true) > 0, "truth", "at least one cycle", 0)
    if groups is None:
        groups = [str(number) for number in range(len(true))]
    require(len(groups) == len(true), "groups", f"{len(true)} names, one per cycle", len(groups))
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    confusion = np.zeros((len(names), len(labels), len(labels)), np.int64)
    np.add.at(confusion, (group, true, found), 1)
    none = np.zeros(confusion.shape[:2], np.int64)
    return LabelCounts(tuple(names.tolist()), labels, confusion, none, none)


def detected_label_counts(
    reference: Mapping[str, LabelledCycles],
    estimated: Mapping[str, LabelledCycles],
    *,
    matching: Matching = "iou",
    iou: float = 0.5,
    groups: Mapping[str, str] | None = None,
) -> LabelCounts:
    """Count the labels of detected cycles against true ones: the whole chain.

    Parameters
    ----------
    reference, estimated : mapping of str to sequence of (onset, offset, label)
        As in :func:`cycle_counts`, with a label of four classes.
    matching : {"iou", "overlap"}
        ``"iou"``: cycles are matched one to one where their intersection over union is ``iou`` or more, see
        :func:`match_cycles`; a true cycle without a match is missed, which counts as wrong, and an estimated one is
        extra, which no score counts. ``"overlap"``: a true cycle has the label that the largest part of its time
        has, whatever the estimated boundaries; one that no estimated cycle overlaps is missed. The difference of the
        two is what wrong boundaries cost.
    iou : float
        Least intersection over union of a match, in (0, 1].
    groups : mapping of str to str, optional
        Patient of each recording; by default each recording is drawn by itself.

    Raises
    ------
    ConfigError
        If a label is unknown or cycles are wrong, as :func:`cycle_counts`; or if there is no recording.
    """
    require(matching in ("iou", "overlap"), "matching", "iou or overlap", matching)
    names = sorted({*reference, *estimated})
    require(bool(names), "reference", "at least one recording", 0)
    size = len(CYCLE_LABELS)
    counts = LabelCounts(
        tuple(name if groups is None else groups.get(name, name) for name in names),
        CYCLE_LABELS,
        np.zeros((len(names), size, size), np.int64),
        np.zeros((len(names), size), np.int64),
        np.zeros((len(names), size), np.int64),
    )
    for number, name in enumerate(names):
        true, found = reference.get(name, ()), estimated.get(name, ())
        true_labels = _numbers(f"reference[{name!r}]", [cycle[2] for cycle in true], 4)
        found_labels = _numbers(f"estimated[{name!r}]", [cycle[2] for cycle in found], 4)
        pairs = match_cycles([cycle[:2] for cycle in true], [cycle[:2] for cycle in found], iou)
        extra = set(range(len(found))) - {j for _, j in pairs}
        labels = {i: int(found_labels[j]) for i, j in pairs}
        if matching == "overlap":
            labels, extra = _labels_by_overlap(true, found, found_labels)
        for i, label in enumerate(true_labels):
            if i in labels:
                counts.confusion[number, label, labels[i]] += 1
            else:
                counts.missed[number, label] += 1
        for j in extra:
            counts.extra[number, found_labels[j]] += 1
    return counts


def _labels_by_overlap(
    true: LabelledCycles, found: LabelledCycles, found_labels: NDArray[np.int64]
) -> tuple[dict[int, int], set[int]]:
    """Return the label of each true cycle that is overlapped, and the estimated cycles that overlap none."""
    labels: dict[int, int] = {}
    extra = set(range(len(found)))
    if not true or not found:
        return labels, extra
    times = np.array([cycle[:2] for cycle in found], np.float64)
    for i, (onset, offset, _) in enumerate(true):
        overlap = np.minimum(times[:, 1], offset) - np.maximum(times[:, 0], onset)
        inside = np.flatnonzero(overlap > 0)
        if inside.size:
            seconds = np.bincount(found_labels[inside], overlap[inside])
            labels[i] = int(seconds.argmax())
            extra -= set(inside.tolist())
    return labels, extra


def _numbers(parameter: str, values: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return labels, by name or number, as numbers of two classes or four."""
    given = np.asarray(values).ravel()
    if not given.size:
        return np.empty(0, np.int64)
    if given.dtype.kind in "iu":
        wrong = (given < 0) | (given >= len(CYCLE_LABELS))
        require(not wrong.any(), parameter, f"numbers below {len(CYCLE_LABELS)}", given[wrong][:3].tolist())
        numbers = given.astype(np.int64)
    else:
        known = dict(zip(CYCLE_LABELS, range(len(CYCLE_LABELS)), strict=True))
        if classes == 2:
            known["abnormal"] = 1
        unknown = sorted({str(label) for label in given} - set(known))
        require(not unknown, parameter, f"labels among {list(known)}", unknown[:5])
        numbers = np.array([known[str(label)] for label in given], np.int64)
    return np.minimum(numbers, 1) if classes == 2 else numbers


def _rates(sums: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    """Return sensitivity, specificity and score of sums (..., 4)."""
    found, abnormal, kept, normal = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = found / abnormal, kept / normal
    return sensitivity, specificity, (sensitivity + specificity) / 2
