"""Tags of recordings against a reference, for ``evaluate``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamsed.cli.counts import LEVEL, count_table, counts_json
from streamsed.cli.tables import figure, interval_text, table
from streamsed.metrics import (
    ClipRanking,
    Interval,
    RecordingCounts,
    clip_counts,
    clip_ranking,
    clip_ranking_interval,
)

if TYPE_CHECKING:
    from streamsed.tag_lists import TagList


@dataclass(frozen=True)
class TagReport:
    """What tags say against a reference; ``ranking`` is None where ``no_ranking`` says why."""

    counts: RecordingCounts
    ranking: ClipRanking | None
    interval: Interval | None
    no_ranking: str
    resamples: int | None


def tag_report(reference: TagList, estimated: TagList, resamples: int | None) -> TagReport:
    """Compare tags, paired by :func:`streamsed.annotations.pair_recordings`."""
    truth = reference.labels()
    counts = clip_counts(truth, estimated.labels())
    posteriors = estimated.posteriors()
    if posteriors is None:
        return TagReport(counts, None, None, "needs posteriors of every recording in the estimate", resamples)
    tagged = {name: labels for name, labels in truth.items() if labels}
    missing = sorted(set(tagged) - set(posteriors))
    if missing:
        return TagReport(counts, None, None, f"needs an estimate for {missing[0]}", resamples)
    known = set(next(iter(posteriors.values())))
    unknown = sorted({label for labels in tagged.values() for label in labels} - known)
    if unknown:
        return TagReport(counts, None, None, f"needs posteriors of {', '.join(unknown)}", resamples)
    ranking = clip_ranking(truth, posteriors)
    interval = (
        clip_ranking_interval(truth, posteriors, resamples=resamples, level=LEVEL) if resamples else None
    )
    return TagReport(counts, ranking, interval, "", resamples)


def tag_tables(report: TagReport) -> str:
    """Return what is printed."""
    text = count_table("clip-based, tags of whole recordings", report.counts, report.resamples)
    if report.ranking is None:
        return f"{text}\n\nmAP {report.no_ranking}"
    rows = [[label, figure(value)] for label, value in sorted(report.ranking.per_class.items())]
    spread = f" ({interval_text(report.interval)})" if report.interval else ""
    head = f"mAP {figure(report.ranking.mean)}{spread}, average precision of clip posteriors"
    return f"{text}\n\n{head}\n" + table(["label", "AP"], rows)


def tag_json(report: TagReport) -> dict[str, Any]:
    """Return the same as a JSON object."""
    return {
        "clip_based": counts_json(report.counts, report.resamples),
        "clip_ranking": dataclasses.asdict(report.ranking) if report.ranking else None,
        "clip_ranking_interval": dataclasses.asdict(report.interval) if report.interval else None,
    }
