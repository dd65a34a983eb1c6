"""What every source of sound offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from streamsed.errors import StateError
from streamsed.types import GapCause

Self = TypeVar("Self", bound="SourceBase")


class Block(NamedTuple):
    """A piece of sound.

    ``samples`` is float32 with shape (n, channels), full scale 1; ``start_position`` the number of its first
    sample since the source began, lost ones counted; ``missing_frames_before`` how many were lost just
    before, and ``missing_cause`` why.
    """

    samples: npt.NDArray[np.float32]
    start_position: int
    missing_frames_before: int = 0
    missing_cause: GapCause = "overflow"


class Source(Protocol):
    """One stream of sound. ``sample_rate`` and ``channels`` are valid once it is open."""

    name: str
    live: bool
    sample_rate: int
    channels: int

    def open(self) -> None:
        """Get ready to be read."""

    def read(self, max_frames: int) -> Block | None:
        """Return the next 1 to ``max_frames`` frames, waiting for them, or None at the end."""

    def close(self) -> None:
        """Let go of file or device; may be called twice, and from another thread."""


class SourceBase(ABC):
    """Context manager, position and state check of the sources here."""

    name: str
    live = False
    sample_rate = 0
    channels = 0
    _position = 0
    _is_open = False

    @abstractmethod
    def open(self) -> None:
        """Get ready to be read."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what was opened."""

    def __enter__(self: Self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _block(self, samples: npt.NDArray[np.float32]) -> Block:
        block = Block(samples, self._position)
        self._position += len(samples)
        return block

    def _check_open(self) -> None:
        if not self._is_open:
            raise StateError(f"source {self.name}: expected it to be open; call open() first")
