"""Segment-based and event-based F1 and error rate on numpy alone.

The numbers are those of ``sed_eval`` 0.2.1 (Mesaros, Heittola, Virtanen: "Metrics for polyphonic sound event
detection", Applied Sciences 6(6), 2016) for the same settings, including its convention for empty
denominators; ``tests/test_metrics.py`` compares the two. Nothing here needs ``sed_eval`` to be installed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamsed._metrics.bootstrap import Interval, percentile_interval, times_drawn
from streamsed.config import require

EventTuple: TypeAlias = tuple[float, float, str]
EventLists: TypeAlias = Mapping[str, Sequence[EventTuple]]
EmptyOutput = Literal["nan", "zero"]

# sed_eval adds this to the denominator of rates, so that a label without reference gets a huge rate and not
# an error.
_EPSILON = float(np.spacing(1))


@dataclass(frozen=True)
class Scores:
    """Scores of one label, or averaged over labels.

    Attributes
    ----------
    f1, precision, recall : float
        In [0, 1]; NaN where the denominator is empty (see ``empty_output`` of the functions below).
    error_rate, substitution_rate, deletion_rate, insertion_rate : float
        Errors per reference segment or event. Substitutions exist for the micro average alone and are 0
        elsewhere.
    reference, estimated, true_positives : float
        Counts, of active segments or of events; 0 in a macro average.
    """

    f1: float
    precision: float
    recall: float
    error_rate: float
    substitution_rate: float
    deletion_rate: float
    insertion_rate: float
    reference: int = 0
    estimated: int = 0
    true_positives: int = 0


@dataclass(frozen=True)
class Report:
    """What one way of counting says: all instances together, the mean over labels, and every label."""

    micro: Scores
    macro: Scores
    per_class: dict[str, Scores]
    files: int
    settings: dict[str, float | bool | str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Counts:
    reference: int
    estimated: int
    true_positives: int
    substitutions: int = 0

    def scores(self, empty_output: EmptyOutput) -> Scores:
        """Turn counts into scores by sed_eval's formulas."""
        empty_precision = 0.0 if empty_output == "zero" else math.nan
        precision = self.true_positives / self.estimated if self.estimated else empty_precision
        recall = self.true_positives / self.reference if self.reference else math.nan
        f1 = 0.0 if precision == recall == 0 else 2 * precision * recall / (precision + recall)
        substitution, deletion, insertion = (
            count / (self.reference + _EPSILON)
            for count in (
                self.substitutions,
                self.reference - self.true_positives - self.substitutions,
                self.estimated - self.true_positives - self.substitutions,
            )
        )
        return Scores(
            f1=f1,
            precision=precision,
            recall=recall,
            error_rate=substitution + deletion + insertion,
            substitution_rate=substitution,
            deletion_rate=deletion,
            insertion_rate=insertion,
            reference=self.reference,
            estimated=self.estimated,
            true_positives=self.true_positives,
        )


@dataclass(frozen=True)
class RecordingCounts:
    """What was counted in each recording: sums of it give every score, of all recordings or of drawn ones.

    Attributes
    ----------
    recordings, labels : tuple of str
        The F recordings and the K labels.
    true_positives, reference, estimated : ndarray, shape (F, K), int64
        Active segments or events of each label.
    substitutions : ndarray, shape (F,), int64
        Missed ones that an invented one of another label stands in for, in sed_eval's sense.
    settings : dict
        How it was counted.
    """

    recordings: tuple[str, ...]
    labels: tuple[str, ...]
    true_positives: NDArray[np.int64]
    reference: NDArray[np.int64]
    estimated: NDArray[np.int64]
    substitutions: NDArray[np.int64]
    settings: dict[str, float | bool | str] = field(default_factory=dict)

    def report(self, empty_output: EmptyOutput = "nan") -> Report:
        """Return the scores of all recordings together; ``empty_output`` as in :func:`segment_metrics`."""
        _check_empty_output(empty_output)
        matched, expected, produced = (
            [int(count) for count in array.sum(axis=0)]
            for array in (self.true_positives, self.reference, self.estimated)
        )
        swapped = int(self.substitutions.sum())
        total = _Counts(sum(expected), sum(produced), sum(matched), swapped)
        per_class = {
            label: _Counts(expected[k], produced[k], matched[k]).scores(empty_output)
            for k, label in enumerate(self.labels)
        }
        return Report(
            total.scores(empty_output),
            _macro(list(per_class.values())),
            per_class,
            len(self.recordings),
            {**self.settings, "empty_output": empty_output},
        )

    def f1_intervals(
        self,
        *,
        empty_output: EmptyOutput = "nan",
        resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> F1Intervals:
        """Return bootstrap intervals of F1 by recording, see :func:`bootstrap_interval`.

        Raises
        ------
        ConfigError
            If there is no recording or a parameter is out of range.
        """
        report = self.report(empty_output)
        drawn = times_drawn(len(self.recordings), resamples, seed)
        matched, expected, produced = (
            drawn @ array for array in (self.true_positives, self.reference, self.estimated)
        )
        per_class = _f1(matched, expected, produced, empty_output)
        defined = ~np.isnan(per_class)
        with np.errstate(invalid="ignore"):
            macro = np.where(defined, per_class, 0.0).sum(axis=1) / defined.sum(axis=1)
        micro = _f1(matched.sum(axis=1), expected.sum(axis=1), produced.sum(axis=1), empty_output)
        return F1Intervals(
            percentile_interval(report.micro.f1, micro, level),
            percentile_interval(report.macro.f1, macro, level),
            {
                label: percentile_interval(report.per_class[label].f1, per_class[:, k], level)
                for k, label in enumerate(self.labels)
            },
        )


@dataclass(frozen=True)
class F1Intervals:
    """Intervals of F1: all instances together, the mean over labels, and every label."""

    micro: Interval
    macro: Interval
    per_class: dict[str, Interval]


def segment_metrics(
    reference: EventLists,
    estimated: EventLists,
    *,
    segment_length: float = 1.0,
    labels: Sequence[str] | None = None,
    durations: Mapping[str, float] | None = None,
    empty_output: EmptyOutput = "nan",
) -> Report:
    """Compare activity segment by segment: a label is active in every segment that one of its events touches.

    Parameters
    ----------
    reference, estimated : mapping of str to sequence of (onset, offset, label)
        Events of each recording, in seconds. A recording that only one of the two has counts as empty in the
        other.
    segment_length : float
        In seconds, > 0.
    labels : sequence of str, optional
        Labels to report, by default all that occur, sorted. A label outside of them is an error.
    durations : mapping of str to float, optional
        Length to evaluate of each recording in seconds; by default up to its last offset.
    empty_output : {"nan", "zero"}
        Precision of a label that was never estimated: NaN leaves it out of the macro average, as sed_eval
        does; 0 counts it as missed.

    Returns
    -------
    Report

    Raises
    ------
    ConfigError
        If a parameter or an event cannot be used.
    """
    _check_empty_output(empty_output)
    counts = segment_counts(
        reference, estimated, segment_length=segment_length, labels=labels, durations=durations
    )
    return counts.report(empty_output)


def segment_counts(
    reference: EventLists,
    estimated: EventLists,
    *,
    segment_length: float = 1.0,
    labels: Sequence[str] | None = None,
    durations: Mapping[str, float] | None = None,
) -> RecordingCounts:
    """Count what :func:`segment_metrics` reports, recording by recording; the parameters are the same."""
    _require_seconds("segment_length", segment_length)
    names = _label_names(reference, estimated, labels)
    column = {label: index for index, label in enumerate(names)}
    files = _file_names(reference, estimated)
    matched, expected, produced = (np.zeros((len(files), len(names)), np.int64) for _ in range(3))
    swapped = np.zeros(len(files), np.int64)
    for row, file in enumerate(files):
        truth, guess = reference.get(file, ()), estimated.get(file, ())
        if durations is not None and file in durations:
            seconds = durations[file]
            _require_seconds(f"durations[{file!r}]", seconds)
        else:
            seconds = max((event[1] for event in (*truth, *guess)), default=0.0)
        n_segments = math.ceil(seconds / segment_length)
        active = _activity(truth, column, segment_length, n_segments)
        found = _activity(guess, column, segment_length, n_segments)
        matched[row] = (active & found).sum(axis=0)
        expected[row] = active.sum(axis=0)
        produced[row] = found.sum(axis=0)
        misses, extras = (active & ~found).sum(axis=1), (found & ~active).sum(axis=1)
        swapped[row] = np.minimum(misses, extras).sum()
    settings: dict[str, float | bool | str] = {"segment_length": segment_length}
    return RecordingCounts(tuple(files), tuple(names), matched, expected, produced, swapped, settings)


def event_metrics(
    reference: EventLists,
    estimated: EventLists,
    *,
    collar: float = 0.2,
    offset_fraction: float = 0.2,
    evaluate_onset: bool = True,
    evaluate_offset: bool = True,
    labels: Sequence[str] | None = None,
    empty_output: EmptyOutput = "nan",
) -> Report:
    """Compare event by event: a hit has the label, the onset and the offset within their tolerance.

    Events are paired by maximum matching (sed_eval's default, ``event_matching_type="optimal"``).

    Parameters
    ----------
    reference, estimated : mapping of str to sequence of (onset, offset, label)
        Events of each recording, in seconds. A recording that only one of the two has counts as empty in the
        other.
    collar : float
        Tolerance of the onset in seconds, > 0.
    offset_fraction : float
        The offset may be off by max(collar, offset_fraction · length of the reference event); in [0, 1]. The
        DCASE challenges use 0.2, sed_eval's own default is 0.5.
    evaluate_onset, evaluate_offset : bool
        Which of the two must fit; at least one.
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
        If a parameter or an event cannot be used.
    """
    _check_empty_output(empty_output)
    counts = event_counts(
        reference,
        estimated,
        collar=collar,
        offset_fraction=offset_fraction,
        evaluate_onset=evaluate_onset,
        evaluate_offset=evaluate_offset,
        labels=labels,
    )
    return counts.report(empty_output)


def event_counts(
    reference: EventLists,
    estimated: EventLists,
    *,
    collar: float = 0.2,
    offset_fraction: float = 0.2,
    evaluate_onset: bool = True,
    evaluate_offset: bool = True,
    labels: Sequence[str] | None = None,
) -> RecordingCounts:
    """Count what :func:`event_metrics` reports, recording by recording; the parameters are the same."""
    tolerance = _Tolerance(collar, offset_fraction, evaluate_onset, evaluate_offset)
    names = _label_names(reference, estimated, labels)
    column = {label: index for index, label in enumerate(names)}
    files = _file_names(reference, estimated)
    matched, expected, produced = (np.zeros((len(files), len(names)), np.int64) for _ in range(3))
    swapped = np.zeros(len(files), np.int64)
    for row, file in enumerate(files):
        truth, guess = reference.get(file, ()), estimated.get(file, ())
        pairs, swapped[row] = _match_events(truth, guess, tolerance)
        for event in truth:
            expected[row, column[event[2]]] += 1
        for event in guess:
            produced[row, column[event[2]]] += 1
        for hit in pairs:
            matched[row, column[truth[hit][2]]] += 1
    settings: dict[str, float | bool | str] = {
        "collar": collar,
        "offset_fraction": offset_fraction,
        "evaluate_onset": evaluate_onset,
        "evaluate_offset": evaluate_offset,
    }
    return RecordingCounts(tuple(files), tuple(names), matched, expected, produced, swapped, settings)


def event_hits(
    reference: EventLists,
    estimated: EventLists,
    *,
    collar: float = 0.2,
    offset_fraction: float = 0.2,
    evaluate_onset: bool = True,
    evaluate_offset: bool = True,
) -> dict[str, NDArray[np.bool_]]:
    """Return which events of ``estimated`` are hits in the sense of :func:`event_metrics`, file by file."""
    tolerance = _Tolerance(collar, offset_fraction, evaluate_onset, evaluate_offset)
    _label_names(reference, estimated, None)
    hits = {}
    for file, guess in estimated.items():
        pairs, _ = _match_events(reference.get(file, ()), guess, tolerance)
        hits[file] = np.zeros(len(guess), bool)
        hits[file][list(pairs.values())] = True
    return hits


class _Tolerance:
    """What makes two events the same in time."""

    def __init__(self, collar: float, offset_fraction: float, onset: bool, offset: bool) -> None:
        _require_seconds("collar", collar)
        require(0 <= offset_fraction <= 1, "offset_fraction", "in [0, 1]", offset_fraction)
        require(onset or offset, "evaluate_onset, evaluate_offset", "at least one True", (onset, offset))
        self.collar = collar
        self.offset_fraction = offset_fraction
        self.onset = onset
        self.offset = offset

    def fits(
        self, event: EventTuple, onsets: NDArray[np.float64], offsets: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Say which of the estimated times are those of reference ``event``."""
        fits = np.ones(onsets.shape, bool)
        if self.onset:
            fits &= np.abs(event[0] - onsets) <= self.collar
        if self.offset:
            allowed = max(self.collar, self.offset_fraction * (event[1] - event[0]))
            fits &= np.abs(event[1] - offsets) <= allowed
        return fits


def _match_events(
    truth: Sequence[EventTuple], guess: Sequence[EventTuple], tolerance: _Tolerance
) -> tuple[dict[int, int], int]:
    """Pair the events of one recording: {reference number: estimated number}, count of substitutions."""
    onsets = np.array([event[0] for event in guess], np.float64)
    offsets = np.array([event[1] for event in guess], np.float64)
    # Comparing numbers is ten times as fast as comparing strings.
    code = {label: number for number, label in enumerate({event[2] for event in guess})}
    labels = np.array([code[event[2]] for event in guess], np.int64)
    candidates: dict[int, list[int]] = {}
    for row, event in enumerate(truth):
        for hit in np.flatnonzero(
            tolerance.fits(event, onsets, offsets) & (labels == code.get(event[2], -1))
        ):
            candidates.setdefault(int(hit), []).append(row)
    pairs = _maximum_matching(candidates)
    free = np.ones(len(guess), bool)
    free[list(pairs.values())] = False
    substitutions = 0
    for row, event in enumerate(truth):
        if row in pairs:
            continue
        usable = np.flatnonzero(free & tolerance.fits(event, onsets, offsets))
        if usable.size:
            free[usable[0]] = False
            substitutions += 1
    return pairs, substitutions


def _maximum_matching(neighbours: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Match as many left nodes (keys) with right nodes (values) as possible; returns right -> left.

    Hopcroft and Karp, "An n^5/2 algorithm for maximum matchings in bipartite graphs", 1973. Nodes are
    visited in the order of sed_eval (that of mir_eval), because the choice among equally large matchings
    decides which events are left over and thereby the count of substitutions.
    """
    matching: dict[int, int] = {}
    for left, rights in neighbours.items():
        for right in rights:
            if right not in matching:
                matching[right] = left
                break
    while True:
        taken = set(matching.values())
        came_from: dict[int, int | None] = {left: None for left in neighbours if left not in taken}
        reached_by: dict[int, list[int]] = {}
        layer = list(came_from)
        free: list[int] = []
        while layer and not free:
            frontier: dict[int, list[int]] = {}
            for left in layer:
                for right in neighbours[left]:
                    if right not in reached_by:
                        frontier.setdefault(right, []).append(left)
            reached_by.update(frontier)
            layer = []
            for right in frontier:
                if right in matching:
                    layer.append(matching[right])
                    came_from[matching[right]] = right
                else:
                    free.append(right)
        if not free:
            return matching
        for right in free:
            _augment(right, matching, reached_by, came_from)


def _augment(
    right: int, matching: dict[int, int], reached_by: dict[int, list[int]], came_from: dict[int, int | None]
) -> bool:
    """Follow the layers back from a free right node and flip the path if it ends at a free left node."""
    for left in reached_by.pop(right, ()):
        if left in came_from:
            previous = came_from.pop(left)
            if previous is None or _augment(previous, matching, reached_by, came_from):
                matching[right] = left
                return True
    return False


def _activity(
    events: Iterable[EventTuple], column: Mapping[str, int], segment_length: float, n_segments: int
) -> NDArray[np.bool_]:
    roll = np.zeros((n_segments, len(column)), bool)
    for onset, offset, label in ((event[0], event[1], event[2]) for event in events):
        roll[math.floor(onset / segment_length) : math.ceil(offset / segment_length), column[label]] = True
    return roll


def _macro(scores: Sequence[Scores]) -> Scores:
    return Scores(
        f1=_mean(score.f1 for score in scores),
        precision=_mean(score.precision for score in scores),
        recall=_mean(score.recall for score in scores),
        error_rate=_mean(score.error_rate for score in scores),
        substitution_rate=0.0,
        deletion_rate=_mean(score.deletion_rate for score in scores),
        insertion_rate=_mean(score.insertion_rate for score in scores),
    )


def _f1(
    matched: NDArray[np.int64],
    expected: NDArray[np.int64],
    produced: NDArray[np.int64],
    empty_output: EmptyOutput,
) -> NDArray[np.float64]:
    """Return the F1 of :meth:`_Counts.scores` for arrays of counts."""
    undefined = expected == 0
    if empty_output == "nan":
        undefined = undefined | (produced == 0)
    return np.where(undefined, np.nan, 2 * matched / np.maximum(expected + produced, 1))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _file_names(reference: EventLists, estimated: EventLists) -> list[str]:
    return sorted(set(reference) | set(estimated))


def _label_names(reference: EventLists, estimated: EventLists, labels: Sequence[str] | None) -> list[str]:
    """Check every event and return the labels to report."""
    found: set[str] = set()
    for what, lists in (("reference", reference), ("estimated", estimated)):
        for file, events in lists.items():
            for number, event in enumerate(events):
                onset, offset, label = event[0], event[1], event[2]
                usable = math.isfinite(offset) and 0 <= onset <= offset
                require(
                    usable, f"{what}[{file!r}][{number}]", "finite times with 0 <= onset <= offset", event
                )
                found.add(label)
    return chosen_labels(found, labels)


def chosen_labels(found: set[str], labels: Sequence[str] | None) -> list[str]:
    """Return the labels to report: ``labels`` if they hold all that were found, or those, sorted."""
    if labels is None:
        return sorted(found)
    extra = sorted(found - set(labels))
    require(not extra, "labels", "every label that occurs", f"{list(labels)} without {extra}")
    require(len(set(labels)) == len(labels), "labels", "each label once", list(labels))
    return list(labels)


def _require_seconds(parameter: str, value: float) -> None:
    require(value > 0 and math.isfinite(value), parameter, "seconds > 0", value)


def _check_empty_output(empty_output: str) -> None:
    require(empty_output in ("nan", "zero"), "empty_output", "'nan' or 'zero'", empty_output)
