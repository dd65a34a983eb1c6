"""Pretrained features of sound and picture: the substitute for Table 3 of Boes and Van hamme (paper 002).

``python -m training.studies.audiovisual --set data.root=films`` trains what is not trained yet, on rendered films whose
embeddings were extracted, and writes ``results.json`` and ``tables.md`` to the run.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from streamsed.config import require
from streamsed.metrics import Interval, event_counts
from training.features import SceneFeatures, SceneItem, Split, clock_of, prepare
from training.fusion.settings import FusionSettings, SideSettings
from training.module import SoundEventModule
from training.recipe import Recipe
from training.recordings import RecordingSource
from training.source import scene_source
from training.studies.clip_segment_event import (
    MEDIAN_FRAMES,
    THRESHOLD,
    counted,
    differences,
    scored,
    tables,
)
from training.studies.command import Options, Study, main
from training.studies.material import Event
from training.studies.members import Outputs, member_folder, seeded
from training.studies.report import markdown, with_interval
from training.studies.scoring import Counts, events_of, macro_f1, mean_f1, stacked
from training.train import load_trained, train

# In the order of Table 3.
ROWS: Mapping[str, tuple[str, ...]] = {
    "spectral": ("spectral",),
    "spectral + visual": ("spectral", "visual"),
    "spectral + auditory": ("spectral", "auditory"),
    "spectral + auditory + visual": ("spectral", "auditory", "visual"),
    "visual": ("visual",),
    "auditory": ("auditory",),
    "auditory + visual": ("auditory", "visual"),
}
BASE, ALL = "spectral", "spectral + auditory + visual"
# Trained with pictures missing from a share of the clips, and for a time.
DROPOUT = f"{ALL}, modality dropout"
MISSING_SHARE = 0.3
WITHOUT = "no pictures"
# How far onsets and offsets may be off, beside the published 200 ms: where does what is coarse begin to help?
COLLARS = (0.2, 0.5, 1.0)
DIFFERENCES = (
    ("spectral + visual", BASE),
    ("spectral + auditory", BASE),
    (ALL, BASE),
    (ALL, "spectral + auditory"),
    (f"{DROPOUT}; {WITHOUT}", "spectral + auditory"),
    (f"{DROPOUT}; {WITHOUT}", f"{ALL}; {WITHOUT}"),
)


@dataclasses.dataclass(frozen=True)
class Truth:
    """Labels of N test films."""

    events: list[list[Event]]
    seconds: float

    def reference(self) -> dict[str, list[Event]]:
        """Events by the film's number."""
        return {str(number): found for number, found in enumerate(self.events)}

    def durations(self) -> dict[str, float]:
        """Length of each film."""
        return {str(number): self.seconds for number in range(len(self.events))}


def variants(recipe: Recipe) -> dict[str, Recipe]:
    """Return the rows: recipes that differ in their inputs, and one in modality dropout."""
    fusion = recipe.fusion
    there = fusion.auditory is not None and fusion.visual is not None
    require(there, "fusion", "sections auditory and visual", fusion.inputs)
    rows = {
        name: dataclasses.replace(recipe, fusion=dataclasses.replace(fusion, inputs=inputs))
        for name, inputs in ROWS.items()
    }
    rows[DROPOUT] = dataclasses.replace(rows[ALL], fusion=_with_dropout(rows[ALL].fusion))
    return rows


def _with_dropout(fusion: FusionSettings) -> FusionSettings:
    assert isinstance(fusion.visual, SideSettings)
    visual = dataclasses.replace(fusion.visual, missing_clips=MISSING_SHARE, missing_spans=MISSING_SHARE)
    return dataclasses.replace(fusion, visual=visual)


def run_study(recipe: Recipe, run: Path, options: Options) -> tuple[dict[str, Any], str]:
    """Train, score and return the results and their tables."""
    rows, truth = variants(recipe), truth_of(recipe)
    counts: dict[str, list[dict[str, Counts]]] = {}
    finer: dict[str, list[dict[float, Counts]]] = {}
    # Seed by seed: what an interruption leaves is a study of fewer seeds.
    for seed in options.seeds:
        for name, item in rows.items():
            for condition, outputs in member_outputs(item, run, name, seed).items():
                row = f"{name}; {condition}" if condition else name
                counts.setdefault(row, []).append(counted(recipe, truth, outputs))
                finer.setdefault(row, []).append(counted_by_collar(recipe, truth, outputs))
    results = {
        "films": len(truth.events),
        "rows": scored(counts, options.resamples),
        "differences": differences(counts, DIFFERENCES, options.resamples),
        "event_f1_by_collar": {
            name: {
                f"{collar:g} s": mean_f1([item[collar] for item in members], macro_f1, options.resamples)
                for collar in COLLARS
            }
            for name, members in finer.items()
        },
        "options": options,
    }
    heading = f"{results['films']} test films, {len(options.seeds)} seeds."
    text = tables(heading, "inputs", results["rows"], results["differences"], "film")
    return results, f"{text}\n{collar_table(results['event_f1_by_collar'])}\n"


def counted_by_collar(recipe: Recipe, truth: Truth, outputs: Outputs) -> dict[float, Counts]:
    """Return true positives, reference and estimated events of each film, by the tolerance of their edges."""
    events = events_of(
        outputs.posteriors, recipe.labels, clock_of(recipe), median_frames=MEDIAN_FRAMES, threshold=THRESHOLD
    )
    reference = truth.reference()
    return {
        collar: stacked(event_counts(reference, events, labels=recipe.labels, collar=collar))
        for collar in COLLARS
    }


def collar_table(rows: Mapping[str, Mapping[str, Interval]]) -> str:
    """Markdown: event F1 of each row by the tolerance of onsets and offsets."""
    body = [[name, *(with_interval(item, 100) for item in row.values())] for name, row in rows.items()]
    head = ["inputs", *(f"{collar:g} s" for collar in COLLARS)]
    return f"Event F1 macro % by the tolerance of onset and offset:\n\n{markdown(head, body)}"


def truth_of(recipe: Recipe) -> Truth:
    """Return the labels of the test films."""
    settings = recipe.data.recordings
    require(settings is not None, "data.recordings", "the films", None)
    source = scene_source(recipe, "test")
    assert settings is not None
    assert isinstance(source, RecordingSource)
    events = [
        [(event.onset, event.offset, event.label) for event in source.excerpt(index).annotations]
        for index in range(len(source))
    ]
    return Truth(events, settings.seconds)


def member_outputs(recipe: Recipe, run: Path, name: str, seed: int) -> dict[str, Outputs]:
    """Train a member unless it is there, and return what it says of the test films.

    Returns
    -------
    dict
        Of the films as they are under "", and, of a network that has all inputs, without their pictures.
    """
    settings = seeded(recipe, seed)
    folder = member_folder(settings, run, name.replace(", ", "-").replace(" ", ""), seed)
    conditions = ["", WITHOUT] if len(recipe.fusion.inputs) == len(ROWS[ALL]) else [""]
    found: dict[str, Outputs] = {}
    module = None
    for condition in conditions:
        path = folder / f"test{condition.replace(' ', '_')}.npz"
        if not path.exists():
            if module is None:
                train(settings, folder)
                module = load_trained(settings, folder)
            outputs = listen(module, prepare(settings, Split.TEST), pictures=not condition)
            unfinished = path.with_suffix(".part.npz")
            np.savez(unfinished, posteriors=outputs.posteriors, clip=outputs.clip)
            unfinished.replace(path)
        with np.load(path) as arrays:
            found[condition] = Outputs(**arrays)
    return found


@torch.inference_mode()
def listen(
    module: SoundEventModule, films: SceneFeatures, *, pictures: bool = True, batch: int = 50
) -> Outputs:
    """Run a network over whole films, with or without their pictures.

    Parameters
    ----------
    module : SoundEventModule
        In evaluation mode, trained with ``[weak]``.
    films : SceneFeatures
    pictures : bool
    batch : int
        Films at a time.
    """
    require(module.weak is not None, "weak", "a section of the recipe", None)
    posteriors, clips = [], []
    for item in DataLoader(films, batch_size=batch):
        heard = module.weak.listen(module.net, item if pictures else _without_pictures(module, item))
        posteriors.append(heard.posteriors.numpy())
        clips.append(heard.clip.numpy())
    return Outputs(np.concatenate(posteriors), clip=np.concatenate(clips))


def _without_pictures(module: SoundEventModule, item: SceneItem) -> SceneItem:
    sides = [
        side._replace(features=torch.zeros_like(side.features), present=torch.zeros_like(side.present))
        if name == "visual"
        else side
        for name, side in zip(module.recipe.fusion.sides, item.sides, strict=True)
    ]
    return item._replace(sides=tuple(sides))


if __name__ == "__main__":
    sys.exit(main(Study("audiovisual_films", (0, 1), 1, run_study)))
