"""Labels of clips against labels of frames, poolings, and the mean teacher of paper 002, on mixed scenes.

``python -m training.studies.weak_labels --set data.root=clips`` trains what is not trained yet and writes
``results.json`` and ``tables.md`` to the run.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamsed.config import require
from streamsed.metrics import clip_counts, event_counts, segment_counts
from training.features import Split, clock_of, prepare
from training.recipe import Recipe
from training.studies.command import Options, Study, main
from training.studies.material import Material, material
from training.studies.members import Outputs, member_outputs
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
from training.weak.config import POOLINGS

# As published; the posteriors of the recipe are about as long as those of the paper.
MEDIAN_FRAMES = 7
THRESHOLD = 0.5
METRICS: dict[str, tuple[str, Average]] = {
    "clip F1 micro": ("clip", micro_f1),
    "segment F1 micro": ("segment", micro_f1),
    "event F1 macro": ("event", macro_f1),
}
_SPOKEN = {"linear_softmax": "linear softmax"}
BASE, TEACHER = "weak, linear softmax", "weak + mean teacher, linear softmax"
STRONG, ALL = "strong, the same scenes", "strong, all scenes"
DIFFERENCES = ((TEACHER, BASE), (STRONG, BASE), (ALL, STRONG))


def variants(recipe: Recipe) -> dict[str, Recipe]:
    """Return the rows: recipes that differ by what is told of the training scenes, the pooling, and the teacher.

    Every row has batches with as many labelled scenes, and as many of them.
    """
    config = recipe.weak
    require(config is not None, "weak", "a section of the recipe", config)
    alone = dataclasses.replace(config, unlabelled=0, mean_teacher=False)
    frames = dataclasses.replace(alone, weak=0, strong=config.weak)
    share = recipe.data.supervision.weak

    def row(batches: Any, **shares: float) -> Recipe:
        told = dataclasses.replace(recipe.data.supervision, **shares)
        data = dataclasses.replace(recipe.data, supervision=told)
        return dataclasses.replace(recipe, weak=batches, data=data)

    poolings = {
        f"weak, {_SPOKEN.get(pooling, pooling)}": row(dataclasses.replace(alone, pooling=pooling))
        for pooling in POOLINGS
    }
    return {
        BASE: poolings[BASE],
        TEACHER: row(config),
        STRONG: row(frames, strong=share, weak=0.0),
        **poolings,
        ALL: row(frames, strong=1.0, weak=0.0),
    }


def run_study(recipe: Recipe, run: Path, options: Options) -> tuple[dict[str, Any], str]:
    """Train, score and return the results and their tables."""
    test = {"test": material(recipe)}
    rows = variants(recipe)
    # Seed by seed: what an interruption leaves is a study of fewer seeds.
    found = {
        (seed, name): member_outputs(item, run, _folder_name(name), seed, test)["test"]
        for seed in options.seeds
        for name, item in rows.items()
    }
    counts = {
        name: [counted(recipe, test["test"], found[seed, name]) for seed in options.seeds] for name in rows
    }
    results = {
        "scenes": told(recipe),
        "rows": {name: scored(members, options.resamples) for name, members in counts.items()},
        "differences": {
            f"{first} - {second}": {
                metric: mean_f1_difference(
                    _of(counts[first], kind), _of(counts[second], kind), average, options.resamples
                )
                for metric, (kind, average) in METRICS.items()
            }
            for first, second in DIFFERENCES
        },
        "options": options,
    }
    return results, tables(results)


def _folder_name(row: str) -> str:
    return row.replace(", ", "-").replace(" + ", "+").replace(" ", "_")


def told(recipe: Recipe) -> dict[str, int]:
    """Return how many training scenes have labels of the clip, and how many there are."""
    supervision = prepare(recipe, Split.TRAIN).labels.supervision
    return {"weak": int((supervision == 1).sum()), "all": len(supervision)}


def counted(recipe: Recipe, scenes: Material, outputs: Outputs) -> dict[str, Counts]:
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


def scored(members: Sequence[Mapping[str, Counts]], resamples: int) -> dict[str, Any]:
    """Return each metric with its interval by scene and its spread over seeds; precision and recall of segments."""
    found: dict[str, Any] = {}
    for metric, (kind, average) in METRICS.items():
        counts = _of(members, kind)
        found[metric] = {
            "interval": mean_f1(counts, average, resamples),
            "seeds": mean_std([average(item.sum(axis=0)) for item in counts]),
        }
    matched, expected, produced = np.sum([item.sum(axis=(0, 2)) for item in _of(members, "segment")], axis=0)
    found["segment precision"] = float(matched / produced) if produced else 0.0
    found["segment recall"] = float(matched / expected)
    return found


def _of(members: Sequence[Mapping[str, Counts]], kind: str) -> list[Counts]:
    return [item[kind] for item in members]


def tables(results: Mapping[str, Any]) -> str:
    """Markdown: the rows with intervals by scene, their spread over seeds, and differences."""
    scenes, rows = results["scenes"], results["rows"]
    head = ["training", *(f"{metric} %" for metric in METRICS), "segment precision, recall %"]
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
    differences = [
        [name, *(with_interval(row[metric], 100) for metric in METRICS)]
        for name, row in results["differences"].items()
    ]
    return (
        "\n\n".join(
            [
                f"{scenes['weak']} of {scenes['all']} training scenes have labels.",
                "Mean over seeds, 95 % interval by test scene:",
                markdown(head, body),
                "Standard deviation over seeds:",
                markdown(head[:-1], spread),
                "Differences in points, 95 % interval by test scene:",
                markdown(["first - second", *METRICS], differences),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main(Study("weak_labels_scenes", (0, 1, 2), 0, run_study)))
