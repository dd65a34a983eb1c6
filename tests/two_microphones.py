"""A second microphone beside that of the PulseAudio fixture: an own null sink and its monitor."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pulse import DEVICE, RATE, Pulse
from tiny_models import tone

SECOND_DEVICE = "streamsed_other"
_SOURCE = "othermic"
_SINK = "other"


class SecondMicrophone:
    """The null sink ``other``, whose monitor is the ALSA device ``streamsed_other``."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._clients: list[subprocess.Popen[bytes]] = []
        self._modules: list[str] = []
        self.plug()

    def plug(self) -> None:
        """Load it."""
        self._modules = [
            self._load("module-null-sink", f"sink_name={_SINK}", f"rate={RATE}", "channels=1"),
            self._load("module-remap-source", f"master={_SINK}.monitor", f"source_name={_SOURCE}"),
        ]
        # As for the first one: a null sink that nobody hurries renders two seconds at a time.
        self._client("--record", f"--device={_SINK}.monitor", "--latency-msec=10")

    def _load(self, *module: str) -> str:
        done = subprocess.run(
            ["pactl", "load-module", *module],
            env=dict(self._pulse.child_environment),
            capture_output=True,
            text=True,
            timeout=10.0,
            check=True,
        )
        return done.stdout.strip()

    def _client(self, *arguments: str, samples: np.ndarray | None = None) -> None:
        path = Path(tempfile.mkstemp(suffix=".raw", dir=self._pulse.folder)[1])
        path.write_bytes(b"" if samples is None else np.ascontiguousarray(samples, "<f4").tobytes())
        with path.open("rb") as stream:
            client = subprocess.Popen(
                ["pacat", *arguments],
                stdin=stream,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(self._pulse.child_environment),
            )
        path.unlink()
        self._clients.append(client)

    def play(self, samples: np.ndarray) -> None:
        """Play float samples at 48 kHz into it; returns at once."""
        self._client(
            "--playback",
            f"--device={_SINK}",
            "--format=float32le",
            f"--rate={RATE}",
            "--channels=1",
            "--latency-msec=200",
            samples=samples,
        )

    def remove(self) -> None:
        """Unload it, as if it were unplugged; what is played into it ends, as the server would move it elsewhere."""
        for client in self._clients:
            client.kill()
            client.wait()
        self._clients.clear()
        for module in reversed(self._modules):
            self._pulse.pactl("unload-module", module)
        self._modules.clear()


def beeps(hz: float, seconds: float = 20.0) -> np.ndarray:
    """A tone for half of every second, in faint noise."""
    one = np.random.default_rng(0).normal(0, 1e-4, RATE)
    one[: RATE // 2] += tone(0.5, hz, RATE)
    return np.tile(one, round(seconds)).astype(np.float32)


@pytest.fixture
def microphones(pulse: Pulse) -> Iterator[tuple[Pulse, SecondMicrophone]]:
    """Two microphones, ``DEVICE`` and ``SECOND_DEVICE``, into each of which other sounds can be played."""
    from streamsed.sources import portaudio

    configuration = pulse.home / ".asoundrc"
    before = configuration.read_text()
    configuration.write_text(f'{before}pcm.{SECOND_DEVICE} {{ type pulse device "{_SOURCE}" }}\n')
    second = SecondMicrophone(pulse)
    portaudio.reinitialise(portaudio.load())
    yield pulse, second
    second.remove()
    configuration.write_text(before)
    portaudio.reinitialise(portaudio.load())


__all__ = ["DEVICE", "SECOND_DEVICE", "SecondMicrophone", "beeps", "microphones"]
