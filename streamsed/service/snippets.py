"""Saves the sound of each event or cycle, with what came just before it, in one WAV file each."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed.errors import ConfigError
from streamsed.types import Cycle, Event, Onset, Record, Retract

# Events come to be known a while after they began: so long after their onset, at most, sound is still kept.
_HINDSIGHT_SECONDS = 20.0


class SnippetWriter:
    """Keeps the newest sound and writes that of events; memory stays bounded however long an event is.

    An onset opens a file with the sound since ``pre_roll`` seconds before it, which then grows until the
    event ends (and is cut there) or is retracted (and is deleted). Lost sound is written as silence, so
    that times hold.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    sample_rate, channels : int
        Of the sound.
    pre_roll : float
        Seconds before the onset.
    """

    def __init__(self, folder: Path, sample_rate: int, channels: int, pre_roll: float) -> None:
        import soundfile

        self._soundfile = soundfile
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"save_audio: {folder} cannot be made: {error}") from None
        self._folder = folder
        self._rate = sample_rate
        self._channels = channels
        self._pre_roll = pre_roll
        self._kept: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._keep = round((pre_roll + _HINDSIGHT_SECONDS) * sample_rate)
        self._open: dict[str, tuple[Any, int, Path]] = {}
        self.saved: list[Path] = []

    def add(self, position: int, samples: NDArray[np.float32]) -> None:
        """Take sound, shape (n, channels); what is missing since the last call is silence."""
        end = self._kept[-1][0] + len(self._kept[-1][1]) if self._kept else position
        if position > end:
            # A hole longer than what is kept needs no more zeros than that.
            zeros = np.zeros((min(position - end, self._keep), self._channels), np.float32)
            self._append(position - len(zeros), zeros, lost=position - end)
        self._append(position, samples, lost=len(samples))

    def _append(self, position: int, samples: NDArray[np.float32], lost: int) -> None:
        self._kept.append((position, samples))
        for file, _, _ in self._open.values():
            for _ in range((lost - len(samples)) // self._rate):
                file.write(np.zeros((self._rate, self._channels), np.float32))
            rest = (lost - len(samples)) % self._rate
            file.write(np.concatenate([np.zeros((rest, self._channels), np.float32), samples]))
        newest = position + len(samples)
        while self._kept[0][0] + len(self._kept[0][1]) < newest - self._keep:
            self._kept.popleft()

    def record(self, record: Record) -> None:
        """Open, finish or delete the file of the record's event."""
        if isinstance(record, Onset):
            self._begin(record.event_id, record.label, record.onset)
        elif isinstance(record, Retract) and record.event_id in self._open:
            file, _, path = self._open.pop(record.event_id)
            file.close()
            path.unlink(missing_ok=True)
        elif isinstance(record, Event):
            self._save(record.event_id, record.label, record.onset, record.offset)
        elif isinstance(record, Cycle):
            # Its label is known only now; no cycle is longer than the sound that is kept.
            self._save(record.cycle_id, record.label, record.onset, record.offset)

    def _save(self, event_id: str, label: str, onset: float, offset: float) -> None:
        if event_id not in self._open:
            self._begin(event_id, label, onset)
        if event_id in self._open:
            self._finish(event_id, offset)

    def _begin(self, event_id: str, label: str, onset: float) -> None:
        if not self._kept:
            return
        begin = max(round((onset - self._pre_roll) * self._rate), self._kept[0][0])
        stem = re.sub(r"[^\w.-]+", "_", f"{event_id}_{label}")
        path = self._new_file(stem)
        file = self._soundfile.SoundFile(path, "w", self._rate, self._channels, "PCM_16")
        for position, samples in self._kept:
            file.write(samples[max(0, begin - position) :])
        self._open[event_id] = (file, begin, path)

    def _new_file(self, stem: str) -> Path:
        """Make an empty file under the first name that nobody has, not even a writer of another source just now."""
        path, number = self._folder / f"{stem}.wav", 1
        while True:
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                return path
            number += 1
            path = self._folder / f"{stem}_{number}.wav"

    def _finish(self, event_id: str, offset: float) -> None:
        file, begin, path = self._open.pop(event_id)
        frames = max(1, round(offset * self._rate) - begin)
        if frames < file.frames:
            file.truncate(frames)
        file.close()
        self.saved.append(path)

    def close(self) -> None:
        """Close what is open still; the sound so far stays."""
        for file, _, path in self._open.values():
            file.close()
            self.saved.append(path)
        self._open.clear()
