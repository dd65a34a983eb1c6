"""``streamsed evaluate`` of respiratory cycles: what is counted, tables and JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from streamsed.annotations import EventList, icbhi_patients
from streamsed.cli.tables import calibration_table, figure, interval_text, table
from streamsed.metrics import (
    Calibration,
    CycleCounts,
    EventLists,
    IcbhiIntervals,
    IcbhiScore,
    Interval,
    LabelCounts,
    calibration,
    cycle_counts,
    detected_label_counts,
    match_cycles,
)

_RESAMPLES = 1000
_LEVEL = 0.95
_HIT = "confidences (a hit: matched, with the right label)"
_NOTICE = "Research software, not a medical device."


@dataclass(frozen=True)
class CycleReport:
    """Everything that is known of estimated cycles against true ones.

    Attributes
    ----------
    reference, estimated : mapping of str to list of (onset, offset, label)
    segmentation : CycleCounts
    matched, overlapped : LabelCounts
        Labels of cycles matched one to one, and of true cycles by the label of most of their time.
    calibration : Calibration or None
        Of the confidences, where all have one: whether the cycle is matched and has the right label.
    patients : int or None
        How many, where the recordings have ICBHI names.
    resamples : int
    """

    reference: EventLists
    estimated: EventLists
    segmentation: CycleCounts
    matched: LabelCounts
    overlapped: LabelCounts
    calibration: Calibration | None
    patients: int | None
    resamples: int


def cycle_report(
    reference: EventList, estimated: EventList, iou: float, resamples: int | None
) -> CycleReport:
    """Compare lists of cycles, paired by :func:`streamsed.annotations.pair_recordings`.

    Raises
    ------
    ConfigError
        If ``iou`` is out of range, or neither list has a recording.
    """
    truth, guess = reference.tuples(), estimated.tuples()
    groups = icbhi_patients({**truth, **guess})
    times = [
        {name: [cycle[:2] for cycle in cycles] for name, cycles in side.items()} for side in (truth, guess)
    ]
    return CycleReport(
        truth,
        guess,
        cycle_counts(*times, iou=iou, groups=groups),
        detected_label_counts(truth, guess, iou=iou, groups=groups),
        detected_label_counts(truth, guess, matching="overlap", groups=groups),
        _calibration(truth, estimated, iou),
        None if groups is None else len(set(groups.values())),
        resamples or _RESAMPLES,
    )


def cycle_tables(report: CycleReport) -> str:
    """Return the report for people."""
    iou = report.segmentation.iou
    scores = report.segmentation.scores()
    files = len(report.segmentation.recordings)
    whom = "recordings" if report.patients is None else f"recordings of {report.patients} patients"
    drawn = "recordings" if report.patients is None else "patients"
    return "\n".join(
        [
            f"{files} {whom}, {scores.reference} true cycles, {scores.estimated} estimated",
            f"{_NOTICE} Intervals: {_LEVEL:.0%}, from drawing {drawn} {report.resamples} times.",
            "",
            f"segmentation, cycles matched at an overlap (IoU) of {iou:g} or more",
            _segmentation_table(report),
            "",
            "labels of matched cycles: the whole chain; a true cycle without a match counts as wrong",
            _label_table(report.matched, report.resamples),
            "",
            "labels by the larger part of a true cycle's time, whatever the estimated boundaries",
            _label_table(report.overlapped, report.resamples),
            "",
            "true labels by row, labels of matched cycles by column",
            _confusion_table(report.matched.score()),
            *(
                []
                if report.calibration is None
                else ["", calibration_table(report.calibration, _HIT, "cycles")]
            ),
        ]
    )


def cycle_json(report: CycleReport) -> dict[str, Any]:
    """Return the report for JSON; NaN stay in it."""
    intervals = report.segmentation.intervals(resamples=report.resamples, level=_LEVEL)
    return {
        "task": "respiratory_cycles",
        "notice": _NOTICE,
        "files": len(report.segmentation.recordings),
        "patients": report.patients,
        "segmentation": {
            "iou": report.segmentation.iou,
            **dataclasses.asdict(report.segmentation.scores()),
            "intervals": dataclasses.asdict(intervals),
        },
        "labels": {
            "iou": _labels_json(report.matched, report.resamples),
            "overlap": _labels_json(report.overlapped, report.resamples),
        },
        "calibration": dataclasses.asdict(report.calibration) if report.calibration else None,
    }


def errors_by_recording(report: CycleReport) -> dict[str, int]:
    """Return how many cycles of each recording are missed, extra, or have a wrong label."""
    counts = report.segmentation
    pairs = _pairs(report.reference, report.estimated, counts.iou)
    right = {
        name: sum(report.reference[name][i][2] == report.estimated[name][j][2] for i, j in found)
        for name, found in pairs.items()
    }
    return {
        name: int(
            counts.reference[number] + counts.estimated[number] - counts.matched[number] - right.get(name, 0)
        )
        for number, name in enumerate(counts.recordings)
    }


def _pairs(truth: EventLists, guess: EventLists, iou: float) -> dict[str, list[tuple[int, int]]]:
    return {
        name: match_cycles([item[:2] for item in truth[name]], [item[:2] for item in guess[name]], iou)
        for name in sorted(truth.keys() & guess.keys())
    }


def _calibration(truth: EventLists, estimated: EventList, iou: float) -> Calibration | None:
    pairs = _pairs(truth, estimated.tuples(), iou)
    confidences, outcomes = [], []
    for name, cycles in estimated.recordings.items():
        true_of = {j: i for i, j in pairs.get(name, ())}
        for number, cycle in enumerate(cycles):
            if cycle.confidence is None:
                return None
            confidences.append(cycle.confidence)
            outcomes.append(number in true_of and truth[name][true_of[number]][2] == cycle.label)
    return calibration(confidences, outcomes) if confidences else None


def _segmentation_table(report: CycleReport) -> str:
    scores = report.segmentation.scores()
    intervals = report.segmentation.intervals(resamples=report.resamples, level=_LEVEL)
    rows: list[tuple[str, float, int, Interval | None]] = [
        ("F1", scores.f1, 3, intervals.f1),
        ("precision", scores.precision, 3, None),
        ("recall", scores.recall, 3, None),
        (
            "over-segmentation (true cycles that hold 2 or more)",
            scores.over_segmentation,
            3,
            intervals.over_segmentation,
        ),
        (
            "under-segmentation (estimated ones that do)",
            scores.under_segmentation,
            3,
            intervals.under_segmentation,
        ),
        ("boundary error, median, ms", 1000 * scores.boundary_median, 0, None),
        (
            "boundary error, mean absolute, ms",
            1000 * scores.boundary_mean,
            0,
            _times_1000(intervals.boundary_mean),
        ),
        ("boundary error, mean signed (+ late), ms", 1000 * scores.boundary_bias, 0, None),
        ("respiratory rate, mean absolute error, 1/min", scores.rate_error, 2, intervals.rate_error),
        ("respiratory rate, mean signed error, 1/min", scores.rate_bias, 2, None),
    ]
    body = [
        [name, figure(value, decimals), "" if interval is None else interval_text(interval, decimals)]
        for name, value, decimals, interval in rows
    ]
    text = table(["", "value", f"{_LEVEL:.0%}"], body)
    if scores.without_rate:
        text += f"\nno rate in {scores.without_rate} recordings, which have no estimated cycle"
    return text


def _label_table(counts: LabelCounts, resamples: int) -> str:
    rows = []
    for chosen in (counts, counts.merged()):
        score = chosen.score()
        intervals = chosen.intervals(resamples=resamples, level=_LEVEL)
        row = [str(len(chosen.labels))]
        for name in _SCORES:
            row += [figure(getattr(score, name)), interval_text(getattr(intervals, name))]
        rows.append(row)
    header = ["classes"]
    for name in _SCORES:
        header += [name, f"{_LEVEL:.0%}"]
    return table(header, rows)


_SCORES = ("sensitivity", "specificity", "score")


def _confusion_table(score: IcbhiScore) -> str:
    rows = [
        [label, *(str(count) for count in score.confusion[row]), str(score.missed[row])]
        for row, label in enumerate(score.labels)
    ]
    rows.append(["(no true cycle)", *(str(count) for count in score.extra), ""])
    return table(["", *score.labels, "(missed)"], rows)


def _labels_json(counts: LabelCounts, resamples: int) -> dict[str, Any]:
    result = {}
    for chosen in (counts, counts.merged()):
        score: IcbhiScore = chosen.score()
        intervals: IcbhiIntervals = chosen.intervals(resamples=resamples, level=_LEVEL)
        result[str(len(chosen.labels))] = {
            **{name: getattr(score, name) for name in _SCORES},
            "labels": score.labels,
            **{name: getattr(score, name).tolist() for name in ("confusion", "missed", "extra")},
            "intervals": dataclasses.asdict(intervals),
        }
    return result


def _times_1000(interval: Interval) -> Interval:
    return dataclasses.replace(interval, low=1000 * interval.low, high=1000 * interval.high)
