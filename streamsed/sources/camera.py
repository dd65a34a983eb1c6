"""Pictures of a camera, or of any other input device that FFmpeg has; needs the extra ``video``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from streamsed.errors import DeviceLost, DeviceNotFound, StateError
from streamsed.sources.containers import load_av

# What the system calls its cameras when they are asked for by number: FFmpeg's format, and how it names them.
_NUMBERED = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}
_FORMATS = ("v4l2", "avfoundation", "dshow", "lavfi", "x11grab", "gdigrab", "fbdev")
_FORMAT = re.compile(f"({'|'.join(_FORMATS)}):(.+)", re.DOTALL)
_DEVICES = Path("/sys/class/video4linux")


class CameraPicture(NamedTuple):
    """A picture of a camera, its time on the camera's own clock, and when it arrived, by the monotonic clock."""

    camera_seconds: float
    arrival_seconds: float
    frame: Any


class Camera:
    """A camera by number or path, or ``FORMAT:NAME`` for any input device of FFmpeg, such as ``lavfi:testsrc``.

    Parameters
    ----------
    name : int or str
        Index, such as 0; path, such as ``/dev/video0``; or ``FORMAT:NAME`` with one of v4l2, avfoundation, dshow,
        lavfi, x11grab, gdigrab and fbdev.

    Attributes
    ----------
    name : str
    """

    def __init__(self, name: int | str) -> None:
        self.name = str(name)
        self._device: Any = None
        self._pictures: Iterator[Any] = iter(())

    def open(self) -> None:
        """Open the device.

        Raises
        ------
        DeviceNotFound
            If there is none of that name, it cannot be opened, or gives no pictures.
        ConfigError
            If PyAV is not installed.
        """
        av = load_av(f"camera {self.name}")
        format_name, device = _format_and_name(self.name)
        try:
            self._device = av.open(device, format=format_name)
        except (av.FFmpegError, ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DeviceNotFound(f"camera {self.name}: cannot be opened: {reason}") from None
        if not self._device.streams.video:
            self.close()
            raise DeviceNotFound(f"camera {self.name}: gives no pictures")
        self._pictures = self._device.decode(video=0)

    def read(self) -> CameraPicture:
        """Wait for the next picture.

        Raises
        ------
        DeviceLost
            If there are no more.
        StateError
            If it is not open.
        """
        if self._device is None:
            raise StateError(f"camera {self.name}: expected it to be open; call open() first")
        av = load_av(f"camera {self.name}")
        try:
            frame = next(self._pictures, None)
        except av.FFmpegError as error:
            raise DeviceLost(f"camera {self.name}: {error.strerror or error}") from None
        if frame is None:
            raise DeviceLost(f"camera {self.name}: it gives no more pictures")
        arrival = time.monotonic()
        return CameraPicture(arrival if frame.time is None else float(frame.time), arrival, frame)

    def close(self) -> None:
        """Close the device; may be called twice, but not while another thread reads."""
        self._pictures = iter(())
        if self._device is not None:
            self._device.close()
            self._device = None


def is_camera(name: str) -> bool:
    """Say whether a name means a camera, rather than a video file."""
    if Path(name).is_file():
        return False
    return name.isdecimal() or name.startswith("/dev/") or _FORMAT.fullmatch(name) is not None


def list_cameras() -> list[tuple[str, str]]:
    """Return path and name of each camera that Linux has; empty on other systems."""
    found = []
    for folder in sorted(_DEVICES.glob("video*")):
        name = folder / "name"
        found.append((f"/dev/{folder.name}", name.read_text().strip() if name.exists() else ""))
    return found


def _format_and_name(name: str) -> tuple[str, str]:
    given = _FORMAT.fullmatch(name)
    if given is not None:
        return given[1], given[2]
    format_name, pattern = _NUMBERED.get(sys.platform, _NUMBERED["linux"])
    return format_name, pattern.format(name) if name.isdecimal() else name
