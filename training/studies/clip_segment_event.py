"""Clip, segment and event F1 of the rows of a study, as Boes and Van hamme report them (paper 002, section 4.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from streamsed.metrics import Interval, clip_counts, event_counts, segment_counts
from training.features import clock_of
from training.recipe import Recipe
from training.studies.members import Outputs
from training.studies.report import markdown, with_interval, with_std
from training.studies.scoring import (
    Average,
    Counts,
    events_of,
    macro_f1,
    mean_f1,
    mean_f1_difference,
    mean_std,
    micro_f1,
    stacked,
)

# As published: decisions at 0.5, filtered by a median of so many posteriors.
MEDIAN_FRAMES = 7
THRESHOLD = 0.5
METRICS: dict[str, tuple[str, Average]] = {
    "clip F1 micro": ("clip", micro_f1),
    "segment F1 micro": ("segment", micro_f1),
    "event F1 macro": ("event", macro_f1),
}

# By row of the study: what each seed counted.
Members = Mapping[str, Sequence[Mapping[str, Counts]]]


class Labelled(Protocol):
    """Events and lengths of N test scenes, by the scene's number."""

    def reference(self) -> dict[str, list[tuple[float, float, str]]]:
        """Events in seconds."""

    def durations(self) -> dict[str, float]:
        """Lengths in seconds."""


def counted(recipe: Recipe, scenes: Labelled, outputs: Outputs) -> dict[str, Counts]:
    """Return true positives, reference and estimated of each scene: of clips, segments of 1 s, and events."""
    labels, reference = recipe.labels, scenes.reference()
    clock = clock_of(recipe)
    events = events_of(outputs.posteriors, labels, clock, median_frames=MEDIAN_FRAMES, threshold=THRESHOLD)
    assert outputs.clip is not None
    tags = {
        str(number): [labels[k] for k in np.flatnonzero(row > THRESHOLD)]
        for number, row in enumerate(outputs.clip)
    }
    truth = {name: {label for *_, label in found} for name, found in reference.items()}
    return {
        "clip": stacked(clip_counts(truth, tags, labels=labels)),
        "segment": stacked(segment_counts(reference, events, labels=labels, durations=scenes.durations())),
        "event": stacked(event_counts(reference, events, labels=labels)),
    }


def scored(rows: Members, resamples: int) -> dict[str, dict[str, Any]]:
    """Return each metric of each row with its interval by scene and its spread over seeds.

    Also precision and recall of segments, of all seeds together.
    """
    return {name: _scored(members, resamples) for name, members in rows.items()}


def _scored(members: Sequence[Mapping[str, Counts]], resamples: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for metric, (kind, average) in METRICS.items():
        counts = [item[kind] for item in members]
        found[metric] = {
            "interval": mean_f1(counts, average, resamples),
            "seeds": mean_std([average(item.sum(axis=0)) for item in counts]),
        }
    segments = np.sum([item["segment"].sum(axis=(0, 2)) for item in members], axis=0)
    matched, expected, produced = segments
    found["segment precision"] = float(matched / produced) if produced else 0.0
    found["segment recall"] = float(matched / expected)
    return found


def differences(
    rows: Members, pairs: Iterable[tuple[str, str]], resamples: int
) -> dict[str, dict[str, Interval]]:
    """Return what the first row of each pair has more than the second, with intervals by scene."""
    return {
        f"{first} − {second}": {
            metric: mean_f1_difference(
                [item[kind] for item in rows[first]],
                [item[kind] for item in rows[second]],
                average,
                resamples,
            )
            for metric, (kind, average) in METRICS.items()
        }
        for first, second in pairs
    }


def tables(
    heading: str,
    column: str,
    rows: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Interval]],
    unit: str = "scene",
) -> str:
    """Markdown: the rows with intervals, their spread over seeds, and differences.

    Parameters
    ----------
    heading : str
        First line.
    column : str
        What the names of the rows are.
    rows, found : mapping
        From :func:`scored` and :func:`differences`.
    unit : str
        What was resampled.
    """
    head = [column, *(f"{metric} %" for metric in METRICS)]
    body = [
        [
            name,
            *(with_interval(row[metric]["interval"], 100) for metric in METRICS),
            f"{100 * row['segment precision']:.0f}, {100 * row['segment recall']:.0f}",
        ]
        for name, row in rows.items()
    ]
    spread = [
        [name, *(with_std(row[metric]["seeds"], 100) for metric in METRICS)] for name, row in rows.items()
    ]
    compared = [
        [name, *(with_interval(row[metric], 100) for metric in METRICS)] for name, row in found.items()
    ]
    parts = [
        f"{heading} Mean over seeds, 95 % interval by {unit}:",
        markdown([*head, "segment precision, recall %"], body),
        "Mean and standard deviation over seeds:",
        markdown(head, spread),
        f"Differences in points, 95 % interval by {unit}:",
        markdown(["first − second", *METRICS], compared),
    ]
    return "\n\n".join(parts) + "\n"
