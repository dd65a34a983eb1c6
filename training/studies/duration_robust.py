"""Losses for classes of unequal duration: the substitute for Table 4 and Figs 4-5 of Akiyama et al. (paper 001).

``python -m training.studies.duration_robust --set data.root=clips`` trains what is not trained yet and writes
``results.json``, ``tables.md`` and ``f1_by_duration.png`` to the run.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamsed.config import FrameClock
from streamsed.metrics import Report, segment_counts
from training.features import clock_of
from training.labelled import Events
from training.losses import LossConfig
from training.recipe import Recipe
from training.studies.command import Options, Study, main
from training.studies.material import Material, material
from training.studies.members import Start, member_outputs
from training.studies.report import markdown, with_std
from training.studies.scoring import events_of, mean_std

GAMMAS = (0.25, 0.5, 1.0, 2.0, 4.0)


def losses(constant: float) -> dict[str, LossConfig]:
    """Return the rows of the study: name and loss; ``constant`` is C of inverse frequency."""
    robust = {f"γ = {gamma:g}": LossConfig(kind="duration_robust", gamma=gamma) for gamma in GAMMAS}
    return {
        "BCE": LossConfig(),
        "inverse frequency": LossConfig(kind="inverse_frequency", constant=constant),
        **robust,
    }


def run_study(recipe: Recipe, run: Path, options: Options) -> tuple[dict[str, Any], str]:
    """Train, score and return the results and their tables; the spread is that of the seeds, nothing is resampled."""
    test = {"test": material(recipe)}
    compared = losses(recipe.loss.constant)
    seeds, start = (
        options.seeds,
        Start(dataclasses.replace(recipe, loss=compared["BCE"]), options.start_epochs),
    )
    # Seed by seed: what an interruption leaves is a study of fewer seeds.
    found = {
        (seed, name): member_outputs(
            dataclasses.replace(recipe, loss=loss), run, _folder_name(loss), seed, test, start
        )["test"]
        for seed in seeds
        for name, loss in compared.items()
    }
    clock = clock_of(recipe)
    rows = {}
    for name in compared:
        estimated = [events_of(found[seed, name].posteriors, recipe.labels, clock) for seed in seeds]
        rows[name] = score(test["test"], estimated, recipe.labels, clock)
    results = {"durations": durations(test["test"], recipe.labels), "rows": rows, "options": options}
    plot(results, run / "f1_by_duration.png")
    return results, tables(results)


def _folder_name(loss: LossConfig) -> str:
    return f"{loss.kind}-{loss.gamma:g}" if loss.kind == "duration_robust" else loss.kind


def score(
    scenes: Material,
    estimated: Sequence[Mapping[str, Events]],
    labels: Sequence[str],
    clock: FrameClock,
) -> dict[str, Any]:
    """Return mean and standard deviation over seeds of F1 and error rate, by segment length and label.

    A label that is never found has F1 0. The macro error rate is the mean over the labels.
    """
    found: dict[str, Any] = {}
    for name, seconds in (("frame", clock.frame_seconds), ("1 s", 1.0)):
        reports: list[Report] = [
            segment_counts(
                scenes.reference(),
                events,
                labels=labels,
                segment_length=seconds,
                durations=scenes.durations(),
            ).report("zero")
            for events in estimated
        ]
        found[name] = {
            "micro_f1": mean_std([item.micro.f1 for item in reports]),
            "macro_f1": mean_std([item.macro.f1 for item in reports]),
            "micro_er": mean_std([item.micro.error_rate for item in reports]),
            "macro_er": mean_std([item.macro.error_rate for item in reports]),
            "per_class": {
                label: {
                    "f1": mean_std([item.per_class[label].f1 for item in reports]),
                    "er": mean_std([item.per_class[label].error_rate for item in reports]),
                }
                for label in labels
            },
        }
    return found


def durations(scenes: Material, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return how often, how long at the median (s) and for what share of the time each label sounds, shortest first."""
    by_label: dict[str, list[float]] = {label: [] for label in labels}
    for events in scenes.events:
        for onset, offset, label in events:
            by_label[label].append(offset - onset)
    total = scenes.seconds * len(scenes.events)
    rows = {
        label: {
            "events": len(lengths),
            "median_seconds": float(np.median(lengths)),
            "share": sum(lengths) / total,
        }
        for label, lengths in by_label.items()
        if lengths
    }
    return dict(sorted(rows.items(), key=lambda item: item[1]["median_seconds"]))


def tables(results: Mapping[str, Any]) -> str:
    """Markdown: the averages by loss, then F1 and error rate of each label."""
    rows, lengths = results["rows"], results["durations"]
    parts = []
    for name in ("frame", "1 s"):
        keys = ("macro_f1", "micro_f1", "macro_er", "micro_er")
        body = [
            [loss, *(with_std(row[name][key], 100 if "f1" in key else 1) for key in keys)]
            for loss, row in rows.items()
        ]
        parts.append(f"Segments of one {name}:" if name == "frame" else f"Segments of {name}:")
        parts.append(markdown(["loss", "F1 macro %", "F1 micro %", "ER macro", "ER micro"], body))
    for key, title, factor in (("f1", "F1 (%) of each label", 100), ("er", "Error rate of each label", 1)):
        head = ["label", "median s", "% of time", *rows]
        body = [
            [
                label,
                f"{lengths[label]['median_seconds']:.2f}",
                f"{100 * lengths[label]['share']:.1f}",
                *(with_std(row["frame"]["per_class"][label][key], factor) for row in rows.values()),
            ]
            for label in lengths
        ]
        parts += [f"{title}, frames, shortest first:", markdown(head, body)]
    return "\n\n".join(parts) + "\n"


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw F1 of each label, shortest first, a line for each loss (Figs 4-5)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    lengths = results["durations"]
    places = range(len(lengths))
    for name, row in results["rows"].items():
        values = [100 * row["frame"]["per_class"][label]["f1"][0] for label in lengths]
        axes.plot(places, values, marker="o", markersize=4, linewidth=1, label=name)
    ticks = [f"{label} {item['median_seconds']:.1f} s" for label, item in lengths.items()]
    axes.set_xticks(places, ticks, rotation=45, ha="right")
    axes.set_xlabel("label and median duration of its events")
    axes.set_ylabel("F1 of frames (%)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main(Study("duration_robust_scenes", (0, 1, 2), 24, run_study)))
