"""Log-mels of scenes and what is known of them: computed once, by the project's own front-end.

The cache is keyed by everything that they depend on.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from streamsed.config import FrameClock
from streamsed.frontend import LogMel
from training.fusion.side import Side
from training.fusion.sides import SceneSides
from training.jobs import run_jobs
from training.labelled import STRONG, SUPERVISIONS, UNLABELLED, SupervisionShares
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


class SceneItem(NamedTuple):
    """A scene, or with a leading axis B a batch of them.

    Attributes
    ----------
    log_mel : Tensor, shape (T, n_mels), float32
        Digital silence follows on a scene that is shorter than the others.
    targets : Tensor, shape (T', K), float32
        0 or 1; zeros unless the labels are strong.
    tags : Tensor, shape (K,), float32
        Labels somewhere in the scene, 0 or 1; zeros if it is unlabelled.
    supervision : Tensor, shape (), int8
        Place in :data:`training.labelled.SUPERVISIONS`.
    frames : Tensor, shape (), int64
        Posterior frames that the scene fills, at least 1; those after it count for nothing.
    sides : tuple of Side
        Of a recipe with ``fusion.sides``, in their order.
    """

    log_mel: Tensor
    targets: Tensor
    tags: Tensor
    supervision: Tensor
    frames: Tensor
    sides: tuple[Side, ...] = ()


class Labels(NamedTuple):
    """What is known of N scenes, as :class:`SceneItem` has it.

    Attributes
    ----------
    targets : ndarray, shape (N, T', K), bool
    tags : ndarray, shape (N, K), bool
    supervision : ndarray, shape (N,), int8
    frames : ndarray, shape (N,), int64
    """

    targets: npt.NDArray[np.bool_]
    tags: npt.NDArray[np.bool_]
    supervision: npt.NDArray[np.int8]
    frames: npt.NDArray[np.int64]

    def told(self, shares: SupervisionShares) -> Labels:
        """Return what of it is told with these shares, as :meth:`training.labelled.LabelledScene.known_as` does."""
        codes = [SUPERVISIONS.index(shares.of(index)) for index in range(len(self.frames))]
        supervision = np.maximum(self.supervision, np.array(codes, np.int8))
        targets = self.targets & (supervision == STRONG)[:, None, None]
        tags = self.tags & (supervision != UNLABELLED)[:, None]
        return self._replace(targets=targets, tags=tags, supervision=supervision)


class SceneFeatures(Dataset[SceneItem]):
    """Log-mels and labels of N scenes, read from disk as they are needed.

    Parameters
    ----------
    log_mels : ndarray, shape (N, T, n_mels), float16
    labels : Labels
    sides : callable, optional
        Number of a scene to what it has beside its log-mels; by default nothing.
    """

    def __init__(
        self,
        log_mels: npt.NDArray[np.float16],
        labels: Labels,
        sides: Callable[[int], tuple[Side, ...]] | None = None,
    ) -> None:
        self._log_mels = log_mels
        self.labels = labels
        self._sides = sides

    def __len__(self) -> int:
        return len(self._log_mels)

    def __getitem__(self, index: int) -> SceneItem:
        labels = self.labels
        return SceneItem(
            torch.from_numpy(self._log_mels[index].astype(np.float32)),
            torch.from_numpy(labels.targets[index].astype(np.float32)),
            torch.from_numpy(labels.tags[index].astype(np.float32)),
            torch.tensor(labels.supervision[index]),
            torch.tensor(labels.frames[index]),
            () if self._sides is None else self._sides(index),
        )

    def told(self, shares: SupervisionShares) -> SceneFeatures:
        """Return the same scenes, of which less is known."""
        return SceneFeatures(self._log_mels, self.labels.told(shares), self._sides)

    def statistics(self, scenes: int = 400) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every band over the first scenes, shapes (n_mels,).

        What follows on a scene that is shorter than the others does not count. Bands in which there is nothing, as
        above half the rate that recordings were made at, have a deviation of ``LEAST_DEVIATION``: they are divided by
        it.
        """
        n_frames = self._log_mels.shape[1]
        filled = self.labels.frames[:scenes, None] * (n_frames // self.labels.targets.shape[1])
        some = self._log_mels[:scenes][np.arange(n_frames) < filled].astype(np.float32)
        deviation = np.maximum(some.std(0), LEAST_DEVIATION)
        return torch.from_numpy(some.mean(0)), torch.from_numpy(deviation)


def clock_of(recipe: Recipe) -> FrameClock:
    """Clock of the recipe's posteriors."""
    front_end = recipe.front_end
    stride = time_stride(recipe.net_config)
    # Centred frames speak for the hop around their middle, t hop: as frames without length would.
    window = 0 if front_end.center else front_end.window_length
    return FrameClock(front_end.sample_rate, front_end.hop_length, window, stride)


def scene_frames(recipe: Recipe) -> int:
    """Log-mel frames of the longest scene that fill posteriors."""
    stride = time_stride(recipe.net_config)
    return LogMel(recipe.front_end).frame_count(longest_scene(recipe)) // stride * stride


def prepare(recipe: Recipe, split: Split) -> SceneFeatures:
    """Make the scenes of a split and compute their features, or open those made with the same settings.

    Digital silence follows on a scene that is shorter than the others.
    """
    source, shares = scene_source(recipe, split.value), recipe.data.supervision
    if split is Split.TRAIN and not shares.all_strong:
        # What is told of mixed scenes changes no log-mel: they are mixed once.
        told = dataclasses.replace(shares, strong=1.0, weak=0.0)
        everything = dataclasses.replace(recipe.data, supervision=told)
        return prepare(dataclasses.replace(recipe, data=everything), split).told(shares)
    sides = None
    if recipe.fusion.sides:
        clock = clock_of(recipe)
        sides = SceneSides.of(recipe, source, clock, scene_frames(recipe) // clock.time_stride)
    folder = Path(recipe.data.cache) / f"{recipe.name}-{split.value}-{_key(recipe, source)}-{len(source)}"
    mel_path, label_path = folder / "log_mels.npy", folder / "labels.npz"
    if not label_path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _compute(recipe, source, mel_path, label_path)
    with np.load(label_path) as arrays:
        labels = Labels(**arrays)
    return SceneFeatures(np.load(mel_path, mmap_mode="r"), labels, sides)


def _key(recipe: Recipe, source: Source) -> str:
    facts = {
        "front_end": dataclasses.asdict(recipe.front_end),
        "labels": recipe.labels,
        "time_stride": time_stride(recipe.net_config),
        "scenes": source.fingerprint(),
        "labels_of": Labels._fields,
        **({"peak_normalise": True} if recipe.data.peak_normalise else {}),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _compute(recipe: Recipe, source: Source, mel_path: Path, label_path: Path) -> None:
    count, n_frames = len(source), scene_frames(recipe)
    log_mels = np.lib.format.open_memmap(
        mel_path, "w+", dtype=np.float16, shape=(count, n_frames, recipe.front_end.n_mels)
    )
    start = functools.partial(_Worker, recipe, source, n_frames)
    found = []
    for index, (log_mel, labels) in enumerate(
        run_jobs(range(count), start, recipe.data.workers, chunk_size=8)
    ):
        log_mels[index] = log_mel
        found.append(labels)
    log_mels.flush()
    arrays = Labels(*(np.stack(column) for column in zip(*found, strict=True)))
    # Written last: its presence says that the other file is complete.
    unfinished = label_path.with_suffix(".part.npz")
    np.savez_compressed(unfinished, **arrays._asdict())
    unfinished.replace(label_path)


class _Worker:
    def __init__(self, recipe: Recipe, source: Source, n_frames: int) -> None:
        self._recipe = recipe
        self._source = source
        self._n_frames = n_frames
        self._log_mel = LogMel(recipe.front_end)
        self._clock = clock_of(recipe)
        self._n_samples = longest_scene(recipe)
        self._n_posteriors = n_frames // time_stride(recipe.net_config)

    def __call__(self, index: int) -> tuple[npt.NDArray[np.float16], Labels]:
        scene, labels = self._source.make(index), self._recipe.labels
        filled = self._log_mel.frame_count(len(scene.samples)) // self._clock.time_stride
        samples = peak_normalised(scene.samples) if self._recipe.data.peak_normalise else scene.samples
        samples = np.pad(samples, (0, max(0, self._n_samples - len(samples))))
        log_mel = self._log_mel(samples)[: self._n_frames]
        known = Labels(
            frame_targets(scene.events, labels, self._n_posteriors, self._clock) > 0.5,
            np.array([label in scene.tags for label in labels]),
            np.array(SUPERVISIONS.index(scene.supervision), np.int8),
            np.array(min(max(filled, 1), self._n_posteriors), np.int64),
        )
        return log_mel.astype(np.float16), known


def peak_normalised(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale samples (n,) so that the largest one is 1 or -1; digital silence stays what it is."""
    peak = np.abs(samples).max(initial=0.0)
    return samples / peak if peak > 0 else samples
