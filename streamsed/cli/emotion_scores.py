"""``streamsed evaluate`` of dimensional emotion: what is compared, tables and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamsed.cli.tables import figure, interval_text, table
from streamsed.emotion_lists import EmotionList, EmotionSegment, Levels
from streamsed.errors import FormatError
from streamsed.metrics import EmotionMoments, emotion_moments
from streamsed.types import EMOTION_DIMENSIONS

_RESAMPLES = 1000
_LEVEL = 0.95
_NOTICE = "Not for judging people."


@dataclass(frozen=True)
class EmotionReport:
    """Estimated levels against true ones.

    Attributes
    ----------
    moments : EmotionMoments
        By recording.
    compared, uncovered : int
        True segments with and without an estimate anywhere within them; the latter are in no score.
    estimated : int
        Estimated segments.
    resamples : int
    """

    moments: EmotionMoments
    compared: int
    uncovered: int
    estimated: int
    resamples: int


def emotion_report(reference: EmotionList, estimated: EmotionList, resamples: int | None) -> EmotionReport:
    """Compare each true segment with the mean of the estimated ones, weighted by how long they overlap it.

    Raises
    ------
    FormatError
        If no true segment has an estimate.
    """
    truth: list[Levels] = []
    guess: list[Levels] = []
    names: list[str] = []
    uncovered = 0
    for name, segments in sorted(reference.recordings.items()):
        others = estimated.recordings.get(name, [])
        for segment in segments:
            levels = mean_levels(segment, others)
            if levels is None:
                uncovered += 1
                continue
            truth.append(segment.levels)
            guess.append(levels)
            names.append(name)
    if not truth:
        raise FormatError(f"expected an estimate within a true segment, got none for {uncovered} of them")
    moments = emotion_moments(truth, guess, names)
    count = sum(map(len, estimated.recordings.values()))
    return EmotionReport(moments, len(truth), uncovered, count, resamples or _RESAMPLES)


def mean_levels(segment: EmotionSegment, estimated: Sequence[EmotionSegment]) -> Levels | None:
    """Return the levels estimated for a segment, None where there are none."""
    pairs = [
        (min(segment.offset, item.offset) - max(segment.onset, item.onset), item.levels) for item in estimated
    ]
    pairs = [(overlap, levels) for overlap, levels in pairs if overlap > 0]
    if not pairs:
        return None
    # Estimates of whole recordings have no end.
    weights = [overlap if np.isfinite(overlap) else 1.0 for overlap, _ in pairs]
    valence, arousal, dominance = np.average([levels for _, levels in pairs], axis=0, weights=weights)
    return float(valence), float(arousal), float(dominance)


def emotion_tables(report: EmotionReport) -> str:
    """Return the report for people."""
    scores = report.moments.scores()
    intervals = report.moments.intervals(resamples=report.resamples, level=_LEVEL)
    rows = [
        [
            name,
            figure(scores.ccc[name]),
            interval_text(intervals.ccc[name]),
            figure(scores.rmse[name]),
            interval_text(intervals.rmse[name]),
        ]
        for name in (*EMOTION_DIMENSIONS, "mean")
    ]
    recordings = len(report.moments.groups)
    left = f", {report.uncovered} without an estimate are left out" if report.uncovered else ""
    return "\n".join(
        [
            f"{report.compared} segments of {recordings} recordings, {report.estimated} estimated{left}",
            f"{_NOTICE} Intervals: {_LEVEL:.0%}, from drawing recordings {report.resamples} times.",
            "",
            table(["dimension", "CCC", f"{_LEVEL:.0%}", "RMSE", f"{_LEVEL:.0%}"], rows),
        ]
    )


def emotion_json(report: EmotionReport) -> dict[str, Any]:
    """Return the report for JSON; NaN stay in it."""
    intervals = report.moments.intervals(resamples=report.resamples, level=_LEVEL)
    return {
        "task": "dimensional_emotion",
        "notice": _NOTICE,
        "files": len(report.moments.groups),
        "segments": report.compared,
        "without_estimate": report.uncovered,
        **dataclasses.asdict(report.moments.scores()),
        "intervals": dataclasses.asdict(intervals),
    }
