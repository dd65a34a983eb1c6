"""The segmenters that are compared, on whole recordings, and what tuning chose for them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from streamsed.config import CycleDecoderConfig, FrameClock, from_mapping
from streamsed.segmentation import CycleDecoder, EnvelopeConfig, EnvelopeSegmenter, GridSegmenter, Segmenter
from training.segmentation.material import Breathing, Frames
from training.segmentation.module import SegmenterModule
from training.segmentation.recipe import LABELS, SegmentationRecipe

DECODER_FILE = "decoder.json"
BASELINES_FILE = "baselines.json"
# A rest of a recording that is shorter is no cycle, whoever found it.
_SHORTEST_REST = 0.2

Cycles = list[tuple[float, float]]


def tuned(recipe: SegmentationRecipe) -> SegmentationRecipe:
    """Return the recipe with the settings that ``tune`` wrote into its folder, where it has."""
    decoder, baselines = recipe.folder / DECODER_FILE, recipe.folder / BASELINES_FILE
    if decoder.exists():
        values = json.loads(decoder.read_text())
        recipe = dataclasses.replace(
            recipe, decoder=from_mapping(CycleDecoderConfig, values["decoder"], DECODER_FILE)
        )
    if baselines.exists():
        values = json.loads(baselines.read_text())
        recipe = dataclasses.replace(
            recipe,
            envelope=from_mapping(EnvelopeConfig, values["envelope"], BASELINES_FILE),
            grid_seconds=float(values["grid_seconds"]),
        )
    return recipe


def write_tuned(recipe: SegmentationRecipe) -> None:
    """Write what :func:`tuned` reads; the decoder as assembling a bundle takes it."""
    decoder = {"decoder": dataclasses.asdict(recipe.decoder)}
    baselines = {"envelope": dataclasses.asdict(recipe.envelope), "grid_seconds": recipe.grid_seconds}
    for name, values in ((DECODER_FILE, decoder), (BASELINES_FILE, baselines)):
        (recipe.folder / name).write_text(json.dumps(values, indent=2) + "\n")


def posteriors_of(module: SegmenterModule, log_mel: Frames) -> Frames:
    """Return posteriors (T', K), each at the time that it is about; those of the last look-ahead are missing."""
    frames = len(log_mel) // module.net_stride * module.net_stride
    with torch.inference_mode():
        logits = module(torch.from_numpy(log_mel[None, :frames]))[0]
    return torch.sigmoid(logits[module.recipe.delay :]).numpy()


def network_cycles(
    recipe: SegmentationRecipe, posteriors: Mapping[str, Frames], lungs: Iterable[Breathing]
) -> dict[str, Cycles]:
    """Decode the posteriors of recordings."""
    seconds = recipe.clock.frame_seconds
    return {
        item.recording.name: cycles_of(
            CycleDecoder(recipe.decoder, seconds),
            posteriors[item.recording.name][:, LABELS.index("boundary")],
            recipe.clock,
            item.boundaries,
        )
        for item in lungs
    }


def envelope_cycles(recipe: SegmentationRecipe, lungs: Iterable[Breathing]) -> dict[str, Cycles]:
    """Segment recordings by their envelope."""
    clock = _log_mel_clock(recipe)
    n_mels = recipe.front_end.n_mels
    return _baseline(lambda: EnvelopeSegmenter(recipe.envelope, n_mels, clock.frame_seconds), clock, lungs)


def grid_cycles(recipe: SegmentationRecipe, lungs: Iterable[Breathing]) -> dict[str, Cycles]:
    """Cut recordings into fixed windows."""
    clock = _log_mel_clock(recipe)
    return _baseline(lambda: GridSegmenter(recipe.grid_seconds, clock.frame_seconds), clock, lungs)


def true_cycles(lungs: Iterable[Breathing]) -> dict[str, Cycles]:
    """Return the annotated cycles of recordings."""
    return {
        item.recording.name: [(cycle.onset, cycle.offset) for cycle in item.recording.cycles]
        for item in lungs
    }


def patients(lungs: Iterable[Breathing]) -> dict[str, str]:
    """Return the patient of each recording."""
    return {item.recording.name: item.recording.patient for item in lungs}


def cycles_of(
    segmenter: Segmenter,
    frames: npt.NDArray[Any],
    clock: FrameClock,
    annotated: npt.NDArray[np.float64],
) -> Cycles:
    """Run a segmenter over a whole recording; the first and last of the annotated boundaries are given to it."""
    found = segmenter.process(frames) + segmenter.flush()
    begin, end = float(annotated[0]), float(annotated[-1])
    times = [clock.seconds(boundary.frame) for boundary in found]
    inside = [time for time in times if begin < time < end]
    edges = [begin, *(time for time in inside if min(time - begin, end - time) > _SHORTEST_REST), end]
    return list(itertools.pairwise(edges))


def _baseline(
    make: Callable[[], Segmenter], clock: FrameClock, lungs: Iterable[Breathing]
) -> dict[str, Cycles]:
    return {
        item.recording.name: cycles_of(make(), np.asarray(item.log_mel), clock, item.boundaries)
        for item in lungs
    }


def _log_mel_clock(recipe: SegmentationRecipe) -> FrameClock:
    return dataclasses.replace(recipe.clock, time_stride=1)
