"""Test scenes of a study, as log-mels with the events that sound in them; mixed once and kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed.frontend import LogMel
from training.data.soundscapes import SceneEvent
from training.features import clock_of, scene_frames
from training.recipe import Recipe
from training.scenes import scene_maker
from training.targets import frame_targets

Event = tuple[float, float, str]


@dataclass(frozen=True)
class Material:
    """N test scenes of one condition.

    Attributes
    ----------
    log_mels : ndarray, shape (N, T, n_mels), float16
    events, interference : list of N lists of (onset, offset, label)
        In seconds: of the recipe's labels, and of the sounds that are none.
    seconds : float
        Length of each scene.
    """

    log_mels: npt.NDArray[np.float16]
    events: list[list[Event]]
    interference: list[list[Event]]
    seconds: float

    def reference(self) -> dict[str, list[Event]]:
        """Events of the recipe's labels by scene."""
        return {str(number): found for number, found in enumerate(self.events)}

    def durations(self) -> dict[str, float]:
        """Length of each scene."""
        return {str(number): self.seconds for number in range(len(self.events))}


def material(recipe: Recipe, condition: str | None = None) -> Material:
    """Mix ``data.test_scenes`` scenes, or open those made with the same settings.

    Parameters
    ----------
    recipe : Recipe
    condition : str, optional
        See :func:`training.scenes.scene_maker`.
    """
    maker = scene_maker(recipe, "test", condition)
    count = recipe.data.test_scenes
    key = digest({"front_end": recipe.front_end, "scenes": maker.fingerprint(), "count": count})
    folder = Path(recipe.data.cache) / f"{recipe.name}-study-{condition or 'test'}-{key}"
    mels, table = folder / "log_mels.npy", folder / "scenes.json"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        log_mel = LogMel(recipe.front_end)
        scenes = []
        arrays = np.zeros((count, scene_frames(recipe), recipe.front_end.n_mels), np.float16)
        for index in range(count):
            scene = maker.scene(index)
            arrays[index] = log_mel(scene.samples)[: arrays.shape[1]]
            scenes.append([_plain(scene.events), _plain(scene.interference)])
        np.save(mels, arrays)
        # Written last: its presence says that the other file is complete.
        seconds = len(scene.samples) / recipe.front_end.sample_rate
        table.write_text(json.dumps({"seconds": seconds, "scenes": scenes}))
    stored = json.loads(table.read_text())
    events, interference = zip(*stored["scenes"], strict=True)
    return Material(
        np.load(mels),
        [[(onset, offset, label) for onset, offset, label in found] for found in events],
        [[(onset, offset, label) for onset, offset, label in found] for found in interference],
        stored["seconds"],
    )


def activity(
    scenes: Iterable[Sequence[Event]], labels: Sequence[str], n_frames: int, recipe: Recipe
) -> npt.NDArray[np.bool_]:
    """Return which of ``labels`` sound in which posterior frame, shape (N, T', K); events of others count for none."""
    clock = clock_of(recipe)
    known = set(labels)
    return np.stack(
        [
            frame_targets([event for event in found if event[2] in known], labels, n_frames, clock) > 0.5
            for found in scenes
        ]
    )


def digest(facts: Any) -> str:
    """Twelve hexadecimal digits that say the same for the same settings."""
    text = json.dumps(facts, sort_keys=True, default=_jsonable)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _jsonable(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else str(value)


def _plain(events: Iterable[SceneEvent]) -> list[Event]:
    return [(event.onset, event.offset, event.label) for event in events]
