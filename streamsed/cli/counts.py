"""Precision, recall and F1 of recordings, as tables and as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from streamsed.cli.tables import figure, interval_text, table

if TYPE_CHECKING:
    from streamsed.metrics import F1Intervals, RecordingCounts

LEVEL = 0.95


def count_table(title: str, counts: RecordingCounts, resamples: int | None) -> str:
    """Return a row each for micro, macro and every label; with intervals from so many ``resamples``."""
    report = counts.report()
    rows = [("micro", report.micro), ("macro", report.macro), *report.per_class.items()]
    header = ["label", "F1", "precision", "recall", "ER", "reference", "estimated"]
    body = [
        [
            name,
            *(figure(value) for value in (score.f1, score.precision, score.recall, score.error_rate)),
            *(
                (str(score.reference), str(score.estimated))
                if name != "macro" or score.reference
                else ("", "")
            ),
        ]
        for name, score in rows
    ]
    if resamples and counts.recordings:
        header.insert(2, f"F1 {LEVEL:.0%}")
        found = _intervals(counts, resamples)
        for row, interval in zip(body, (found.micro, found.macro, *found.per_class.values()), strict=True):
            row.insert(2, interval_text(interval))
    text = f"{title}\n" + table(header, body)
    unseen = sorted(
        label for label, score in report.per_class.items() if score.reference and not score.estimated
    )
    if unseen:
        values = [0.0 if label in unseen else score.f1 for label, score in report.per_class.items()]
        values = [value for value in values if not math.isnan(value)]
        text += (
            f"\nThe macro average leaves out labels that were never estimated ({', '.join(unseen)}), "
            f"as sed_eval does; F1 counting them as 0: {figure(sum(values) / len(values))}"
        )
    return text


def _intervals(counts: RecordingCounts, resamples: int) -> F1Intervals:
    return counts.f1_intervals(resamples=resamples, level=LEVEL)


def counts_json(counts: RecordingCounts, resamples: int | None) -> dict[str, Any]:
    """Return the same as a JSON object."""
    result = dataclasses.asdict(counts.report())
    if resamples and counts.recordings:
        result["f1_intervals"] = dataclasses.asdict(_intervals(counts, resamples))
    return result
