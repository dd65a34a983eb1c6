"""Metrics of events, tags, posteriors, confidences and respiratory cycles; docs/evaluation.md says what they mean.

All of it is numpy alone, except :func:`psds` and :func:`sed_scores_eval_input`, which need ``sed_scores_eval`` (extra
``train``).
"""

from __future__ import annotations

from streamsed._metrics.bootstrap import Interval, bootstrap_interval
from streamsed._metrics.calibration import Calibration, ClassCalibration, calibration, class_calibration
from streamsed._metrics.cycle_segmentation import (
    CycleCounts,
    CycleIntervals,
    CycleScores,
    CycleTimes,
    cycle_counts,
    cycle_scores,
    match_cycles,
)
from streamsed._metrics.delay import Alarms, DetectionDelay, detection_delay, frame_alarms
from streamsed._metrics.emotion import (
    EmotionIntervals,
    EmotionMoments,
    EmotionScores,
    concordance,
    emotion_moments,
)
from streamsed._metrics.events import (
    EmptyOutput,
    EventLists,
    EventTuple,
    F1Intervals,
    RecordingCounts,
    Report,
    Scores,
    event_counts,
    event_hits,
    event_metrics,
    segment_counts,
    segment_metrics,
)
from streamsed._metrics.psds import psds, sed_scores_eval_input
from streamsed._metrics.ranking import (
    Novelty,
    PrecisionRecall,
    RocCurve,
    auroc,
    fpr_at_tpr,
    novelty,
    precision_recall,
    roc_curve,
)
from streamsed._metrics.respiration import (
    BINARY_LABELS,
    IcbhiIntervals,
    IcbhiScore,
    LabelCounts,
    LabelledCycles,
    detected_label_counts,
    icbhi_score,
    label_counts,
)
from streamsed._metrics.score_files import FrameScores, ScoreFileWriter, read_score_files, write_score_file
from streamsed._metrics.selective import RiskCoverage, risk_coverage
from streamsed._metrics.tagging import (
    ClipRanking,
    clip_counts,
    clip_metrics,
    clip_ranking,
    clip_ranking_interval,
)

__all__ = [
    "BINARY_LABELS",
    "Alarms",
    "Calibration",
    "ClassCalibration",
    "ClipRanking",
    "CycleCounts",
    "CycleIntervals",
    "CycleScores",
    "CycleTimes",
    "DetectionDelay",
    "EmotionIntervals",
    "EmotionMoments",
    "EmotionScores",
    "EmptyOutput",
    "EventLists",
    "EventTuple",
    "F1Intervals",
    "FrameScores",
    "IcbhiIntervals",
    "IcbhiScore",
    "Interval",
    "LabelCounts",
    "LabelledCycles",
    "Novelty",
    "PrecisionRecall",
    "RecordingCounts",
    "Report",
    "RiskCoverage",
    "RocCurve",
    "ScoreFileWriter",
    "Scores",
    "auroc",
    "bootstrap_interval",
    "calibration",
    "class_calibration",
    "clip_counts",
    "clip_metrics",
    "clip_ranking",
    "clip_ranking_interval",
    "concordance",
    "cycle_counts",
    "cycle_scores",
    "detected_label_counts",
    "detection_delay",
    "emotion_moments",
    "event_counts",
    "event_hits",
    "event_metrics",
    "fpr_at_tpr",
    "frame_alarms",
    "icbhi_score",
    "label_counts",
    "match_cycles",
    "novelty",
    "precision_recall",
    "psds",
    "read_score_files",
    "risk_coverage",
    "roc_curve",
    "sed_scores_eval_input",
    "segment_counts",
    "segment_metrics",
    "write_score_file",
]
