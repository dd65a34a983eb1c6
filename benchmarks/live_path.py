"""The microphone path without a microphone, for measurements of live listening: see cycles_live.py, emotion_live.py."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from pulse import DEVICE, RATE, Pulse  # noqa: E402

import streamsed  # noqa: E402
from streamsed.sources import Resampler, portaudio  # noqa: E402
from streamsed.types import Cycle, Emotion, Record, Start, Status, Summary  # noqa: E402

# Sound before and after the recording: the server needs a moment, and the last record a while.
LEAD_SECONDS, TAIL_SECONDS = 0.5, 1.5


class Listener:
    """Keeps the records of one kind of one recording, and how long after their offset they came."""

    def __init__(self, kind: type[Cycle] | type[Emotion]) -> None:
        self._kind = kind
        self.found: list[tuple[Any, float]] = []
        self.origin: datetime | None = None
        self.listens = False

    def record(self, record: Record) -> None:
        now = datetime.now(UTC)
        if isinstance(record, Start) and record.time_utc is not None:
            self.origin = datetime.fromisoformat(record.time_utc.replace("Z", "+00:00"))
        elif isinstance(record, Status) and record.state == "listening":
            self.listens = True
        elif isinstance(record, self._kind) and self.origin is not None:
            self.found.append((record, (now - self.origin).total_seconds() - record.offset))


def listen(
    pulse: Pulse, models: Sequence[Any], path: Path, kind: type[Cycle] | type[Emotion]
) -> tuple[Listener, Summary]:
    """Play a recording and return what was heard meanwhile."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    resampler = Resampler(rate, RATE)
    mono = samples.mean(axis=1, dtype=np.float32)
    sound = np.concatenate([resampler.process(mono), resampler.flush()])
    listener = Listener(kind)
    session = streamsed.listen(DEVICE, model=models, on_record=listener.record)
    session.start()
    while not listener.listens:
        time.sleep(0.02)
    player = pulse.play(np.concatenate([np.zeros(round(LEAD_SECONDS * RATE), np.float32), sound]))
    player.wait()
    time.sleep(TAIL_SECONDS)
    session.close()
    assert session.summary is not None
    return listener, session.summary


def use(pulse: Pulse) -> None:
    """Let this process talk to that server: PortAudio looks for devices when it is initialised."""
    os.environ.update(pulse.environment)
    portaudio.reinitialise(portaudio.load())
