"""Log-mels of scenes: computed once, by the project's own front-end.

The cache is keyed by everything that they depend on.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from streamsed.config import FrameClock
from streamsed.frontend import LogMel
from training.nets.registry import time_stride
from training.recipe import Recipe
from training.source import Source, longest_scene, scene_source
from training.targets import frame_targets

# Of a log-mel band, in nats; those of recordings have 1 to 4.
LEAST_DEVIATION = np.float32(0.1)


class Split(enum.Enum):
    """Which scenes; clips, background seconds and seeds of the three never meet."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class SceneFeatures(Dataset[tuple[Tensor, Tensor]]):
    """Log-mels and frame targets of N scenes, read from disk as they are needed.

    Parameters
    ----------
    log_mels : ndarray, shape (N, T, n_mels), float16
    targets : ndarray, shape (N, T', K), bool
    """

    def __init__(self, log_mels: npt.NDArray[np.float16], targets: npt.NDArray[np.bool_]) -> None:
        self._log_mels = log_mels
        self._targets = targets

    def __len__(self) -> int:
        return len(self._log_mels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        log_mel = torch.from_numpy(self._log_mels[index].astype(np.float32))
        return log_mel, torch.from_numpy(self._targets[index].astype(np.float32))

    def statistics(self, scenes: int = 400) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every band over the first scenes, shapes (n_mels,).

        Bands in which there is nothing, as above half the rate that recordings were made at, have a deviation of
        ``LEAST_DEVIATION``: they are divided by it.
        """
        some = self._log_mels[:scenes].astype(np.float32).reshape(-1, self._log_mels.shape[2])
        deviation = np.maximum(some.std(0), LEAST_DEVIATION)
        return torch.from_numpy(some.mean(0)), torch.from_numpy(deviation)


def clock_of(recipe: Recipe) -> FrameClock:
    """Clock of the recipe's posteriors."""
    front_end = recipe.front_end
    stride = time_stride(recipe.net_config)
    return FrameClock(front_end.sample_rate, front_end.hop_length, front_end.window_length, stride)


def scene_frames(recipe: Recipe) -> int:
    """Log-mel frames of the longest scene that fill posteriors."""
    stride = time_stride(recipe.net_config)
    return LogMel(recipe.front_end).frame_count(longest_scene(recipe)) // stride * stride


def prepare(recipe: Recipe, split: Split) -> SceneFeatures:
    """Make the scenes of a split and compute their features, or open those made with the same settings.

    Digital silence follows on a scene that is shorter than the others.
    """
    source = scene_source(recipe, split.value)
    folder = Path(recipe.data.cache) / f"{recipe.name}-{split.value}-{_key(recipe, source)}-{len(source)}"
    mel_path, target_path = folder / "log_mels.npy", folder / "targets.npy"
    if not target_path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compute(recipe, source, mel_path, target_path)
    return SceneFeatures(np.load(mel_path, mmap_mode="r"), np.load(target_path, mmap_mode="r"))


def _key(recipe: Recipe, source: Source) -> str:
    facts = {
        "front_end": dataclasses.asdict(recipe.front_end),
        "labels": recipe.labels,
        "time_stride": time_stride(recipe.net_config),
        "scenes": source.fingerprint(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _compute(recipe: Recipe, source: Source, mel_path: Path, target_path: Path) -> None:
    count, n_frames = len(source), scene_frames(recipe)
    log_mels = np.lib.format.open_memmap(
        mel_path, "w+", dtype=np.float16, shape=(count, n_frames, recipe.front_end.n_mels)
    )
    stride = time_stride(recipe.net_config)
    targets = np.zeros((count, n_frames // stride, len(recipe.labels)), np.bool_)
    for index, (log_mel, target) in enumerate(_results(recipe, source, n_frames)):
        log_mels[index] = log_mel
        targets[index] = target
    log_mels.flush()
    # Written last: its presence says that the other file is complete.
    np.save(target_path, targets)


def _results(
    recipe: Recipe, source: Source, n_frames: int
) -> Iterator[tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]]:
    if recipe.data.workers == 1:
        worker = _Worker(recipe, source, n_frames)
        yield from map(worker, range(len(source)))
        return
    with ProcessPoolExecutor(
        recipe.data.workers, get_context("spawn"), initializer=_start, initargs=(recipe, source, n_frames)
    ) as pool:
        yield from pool.map(_run, range(len(source)), chunksize=8)


class _Worker:
    def __init__(self, recipe: Recipe, source: Source, n_frames: int) -> None:
        self._recipe = recipe
        self._source = source
        self._n_frames = n_frames
        self._log_mel = LogMel(recipe.front_end)
        self._clock = clock_of(recipe)
        self._n_samples = longest_scene(recipe)
        self._n_posteriors = n_frames // time_stride(recipe.net_config)

    def __call__(self, index: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
        samples, events = self._source.make(index)
        samples = np.pad(samples, (0, max(0, self._n_samples - len(samples))))
        log_mel = self._log_mel(samples)[: self._n_frames]
        target = frame_targets(events, self._recipe.labels, self._n_posteriors, self._clock)
        return log_mel.astype(np.float16), target > 0.5


_worker: _Worker | None = None


def _start(recipe: Recipe, source: Source, n_frames: int) -> None:
    global _worker
    _worker = _Worker(recipe, source, n_frames)


def _run(index: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
    assert _worker is not None
    return _worker(index)
