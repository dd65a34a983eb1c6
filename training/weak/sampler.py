"""Batches with as many weakly labelled, unlabelled and strongly labelled clips as the recipe says."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamsed.config import require
from training.fitting import EpochSampler
from training.labelled import SUPERVISIONS
from training.weak.config import WeakConfig


class BalancedSampler(EpochSampler):
    """Numbers of clips, batch after batch, that depend on seed and epoch alone: a resumed run sees the same.

    Every kind is gone through in an order of its own, again and again; a kind that lasts longer than the epoch is not
    gone through to its end.

    Parameters
    ----------
    config : WeakConfig
    supervision : ndarray, shape (N,)
        Of each clip, as its place in :data:`training.labelled.SUPERVISIONS`.
    seed : int

    Raises
    ------
    ConfigError
        If there are none of a kind that the batches are to have.
    """

    def __init__(self, config: WeakConfig, supervision: npt.NDArray[np.int8], seed: int) -> None:
        self._kinds: list[tuple[Tensor, int]] = []
        for code, name in enumerate(SUPERVISIONS):
            count, rows = getattr(config, name), np.flatnonzero(supervision == code)
            if count:
                expected = f"0, or at least one clip that is {name} among the {len(supervision)} of training"
                require(len(rows) > 0, f"weak.{name}", expected, f"{count} and {len(rows)} such clips")
                self._kinds.append((torch.from_numpy(rows), count))
        self._batches = config.batches or max(math.ceil(len(rows) / count) for rows, count in self._kinds)
        super().__init__(self._batches * config.batch_size, seed)

    def __iter__(self) -> Iterator[int]:
        generator = self.generator()
        streams = [(_endless(rows, generator), count) for rows, count in self._kinds]
        for _ in range(self._batches):
            for stream, count in streams:
                for _ in range(count):
                    yield next(stream)


def _endless(rows: Tensor, generator: torch.Generator) -> Iterator[int]:
    while True:
        yield from rows[torch.randperm(len(rows), generator=generator)].tolist()
