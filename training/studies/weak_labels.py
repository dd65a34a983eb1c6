"""Labels of clips against labels of frames, poolings, and the mean teacher of paper 002, on mixed scenes.

``python -m training.studies.weak_labels --set data.root=clips`` trains what is not trained yet and writes
``results.json`` and ``tables.md`` to the run.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from streamsed.config import require
from training.features import Split, prepare
from training.labelled import WEAK
from training.recipe import Recipe
from training.studies.clip_segment_event import counted, differences, scored, tables
from training.studies.command import Options, Study, main
from training.studies.material import material
from training.studies.members import member_outputs
from training.weak.config import POOLINGS

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
    known = told(recipe)
    results = {
        "scenes": known,
        "rows": scored(counts, options.resamples),
        "differences": differences(counts, DIFFERENCES, options.resamples),
        "options": options,
    }
    heading = f"{known['weak']} of {known['all']} training scenes have labels; {len(options.seeds)} seeds."
    return results, tables(heading, "training", results["rows"], results["differences"])


def _folder_name(row: str) -> str:
    return row.replace(", ", "-").replace(" + ", "+").replace(" ", "_")


def told(recipe: Recipe) -> dict[str, int]:
    """Return how many training scenes have labels of the clip, and how many there are."""
    supervision = prepare(recipe, Split.TRAIN).labels.supervision
    return {"weak": int((supervision == WEAK).sum()), "all": len(supervision)}


if __name__ == "__main__":
    sys.exit(main(Study("weak_labels_scenes", (0, 1), 0, run_study)))
