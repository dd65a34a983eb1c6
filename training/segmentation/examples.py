"""Training examples, drawn anew in every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from training.nets.registry import time_stride
from training.segmentation.material import Breathing, Frames, Negative
from training.segmentation.recipe import LABELS, SegmentationRecipe

# A shorter rest of an example is filled with the next piece all the same.
_SHORTEST_PIECE = 10
_LUNG, _SPEECH, _CONTACT = (LABELS.index(label) for label in ("lung_sound", "speech", "contact_noise"))
_COLUMN = {"speech": _SPEECH, "contact_noise": _CONTACT}


@dataclass
class _Piece:
    """Mel power (T, n_mels), boundaries in frames, and the other labels as (T, K) with an empty first column."""

    power: Frames
    boundaries: npt.NDArray[np.float64]
    labels: Frames


class Excerpts(Dataset[tuple[Tensor, Tensor]]):
    """Examples of ``excerpts.seconds``; that of a number is always the same.

    Parameters
    ----------
    recipe : SegmentationRecipe
    lungs : sequence of Breathing
    negatives : sequence of Negative
    """

    def __init__(
        self, recipe: SegmentationRecipe, lungs: Sequence[Breathing], negatives: Sequence[Negative]
    ) -> None:
        self._settings = recipe.excerpts
        self._clock = recipe.clock
        self._stride = time_stride(recipe.net_config)
        front_end = recipe.front_end
        self._hop_seconds = front_end.hop_length / front_end.sample_rate
        self._floor = front_end.floor
        frames = round(recipe.excerpts.seconds / self._hop_seconds)
        self._frames = frames // self._stride * self._stride
        self._seed = recipe.train.seed
        self._lungs = list(lungs)
        self._negatives = {
            kind: [item.log_mel for item in negatives if item.kind == kind]
            for kind in ("speech", "contact_noise", "other")
        }
        # Negatives come as loud as lung sounds do: the level is not to give them away.
        self._levels = np.array([np.log(np.exp(item.log_mel).mean()) for item in lungs])

    def __len__(self) -> int:
        return self._settings.examples

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return log-mel (T, n_mels) and targets (T', K) of example ``number``, which may be any natural one."""
        rng = np.random.default_rng((self._seed, number))
        pieces: list[_Piece] = []
        length = 0
        while length < self._frames:
            piece = self._piece(rng, self._frames - length)
            if len(piece.power) >= min(_SHORTEST_PIECE, self._frames - length):
                pieces.append(_Piece(piece.power, piece.boundaries + length, piece.labels))
                length += len(piece.power)
        power = np.concatenate([piece.power for piece in pieces])
        labels = np.concatenate([piece.labels for piece in pieces])
        boundaries = np.concatenate([piece.boundaries for piece in pieces])
        targets = labels.reshape(-1, self._stride, len(LABELS)).mean(1)
        targets[:, 0] = bells(
            boundaries / self._stride,
            len(targets),
            self._settings.boundary_seconds / self._clock.frame_seconds,
        )
        log_mel = np.log(np.maximum(power, self._floor)).astype(np.float32)
        return torch.from_numpy(log_mel), torch.from_numpy(targets)

    def _piece(self, rng: np.random.Generator, most: int) -> _Piece:
        if rng.random() < self._settings.negative_probability:
            return self._negative(rng, most)
        return self._breathing(rng, most)

    def _breathing(self, rng: np.random.Generator, most: int) -> _Piece:
        settings = self._settings
        item = self._lungs[rng.integers(len(self._lungs))]
        tempo = float(np.exp(rng.uniform(-settings.tempo, settings.tempo)))
        needed = int(most * tempo) + 2
        start = int(rng.integers(0, max(1, len(item.log_mel) - needed)))
        power = np.exp(_stretched(item.log_mel[start:], tempo, most))
        jittered = item.boundaries + rng.normal(0, settings.jitter_seconds, len(item.boundaries))
        # Log-mel frame t speaks for the hop in its middle, as FrameClock says.
        frames = ((jittered - self._clock.shift_seconds) / self._hop_seconds - start) / tempo
        labels = np.zeros((len(power), len(LABELS)), np.float32)
        labels[:, _LUNG] = 1
        if rng.random() < settings.overlay_probability:
            self._overlay(rng, power, labels)
        return _Piece(power, frames[(frames > 0) & (frames < len(power))], labels)

    def _overlay(self, rng: np.random.Generator, power: Frames, labels: Frames) -> None:
        kind = "contact_noise" if rng.random() < 0.6 else "speech"
        if not self._negatives[kind]:
            return
        other = self._draw(rng, kind)
        length = min(len(other), len(power), 1 + int(rng.uniform(0.3, 5) / self._hop_seconds))
        begin = int(rng.integers(0, len(other) - length + 1))
        at = int(rng.integers(0, len(power) - length + 1))
        added = np.exp(other[begin : begin + length])
        gain = 10 ** (rng.uniform(*self._settings.overlay_db) / 10) * power.mean() / added.mean()
        power[at : at + length] += gain * added
        labels[at : at + length, _COLUMN[kind]] = 1

    def _negative(self, rng: np.random.Generator, most: int) -> _Piece:
        kinds = [kind for kind, items in self._negatives.items() if items]
        kind = kinds[rng.integers(len(kinds))]
        length = min(most, 1 + int(rng.uniform(*self._settings.negative_seconds) / self._hop_seconds))
        parts = [self._draw(rng, kind)]
        while sum(map(len, parts)) < length:
            # Sentences and bumps follow on others; a steady sound goes on.
            parts.append(parts[0] if kind == "other" else self._draw(rng, kind))
        power = np.exp(np.concatenate(parts)[:length])
        level = np.exp(self._levels[rng.integers(len(self._levels))]) * 10 ** rng.uniform(-1, 1)
        power *= level / max(float(power.mean()), self._floor)
        labels = np.zeros((length, len(LABELS)), np.float32)
        if kind in _COLUMN:
            labels[:, _COLUMN[kind]] = 1
        return _Piece(power.astype(np.float32), np.zeros(0), labels)

    def _draw(self, rng: np.random.Generator, kind: str) -> Frames:
        items = self._negatives[kind]
        return items[rng.integers(len(items))]


class EpochNumbers(Sampler[int]):
    """Numbers of the examples of an epoch; those of the next one go on from there, also in a resumed training."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning when an epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        yield from range(self._epoch * self._size, (self._epoch + 1) * self._size)


class WholeRecordings(Dataset[tuple[Tensor, Tensor]]):
    """Recordings as they are, for validation."""

    def __init__(self, recipe: SegmentationRecipe, lungs: Sequence[Breathing]) -> None:
        self._stride = time_stride(recipe.net_config)
        self._clock = recipe.clock
        self._width = recipe.excerpts.boundary_seconds / self._clock.frame_seconds
        self._lungs = list(lungs)

    def __len__(self) -> int:
        return len(self._lungs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return log-mel (T, n_mels) and targets (T', K)."""
        item = self._lungs[index]
        count = len(item.log_mel) // self._stride
        targets = np.zeros((count, len(LABELS)), np.float32)
        inner = (item.boundaries[1:-1] - self._clock.shift_seconds) / self._clock.frame_seconds
        targets[:, 0] = bells(inner, count, self._width)
        targets[:, _LUNG] = 1
        return torch.from_numpy(item.log_mel[: count * self._stride]), torch.from_numpy(targets)


def bells(centres: npt.NDArray[np.float64], count: int, width: float) -> npt.NDArray[np.float32]:
    """Return the highest of the bells exp(-((i - centre) / width)² / 2) at i = 0, 1, ..., count - 1; 0 without any."""
    if not len(centres):
        return np.zeros(count, np.float32)
    distance = np.abs(np.arange(count)[:, None] - centres[None]).min(axis=1)
    return np.exp(-0.5 * (distance / width) ** 2).astype(np.float32)


def _stretched(log_mel: Frames, tempo: float, most: int) -> Frames:
    """Play faster by the factor ``tempo``: interpolated frames, at most so many."""
    at = np.arange(most) * tempo
    at = at[at < len(log_mel) - 1]
    below = at.astype(np.int64)
    share = (at - below)[:, None].astype(np.float32)
    return log_mel[below] * (1 - share) + log_mel[below + 1] * share
