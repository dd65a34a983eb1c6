"""Exceptions of streamsed; every one of them is a :class:`StreamsedError`."""

from __future__ import annotations


class StreamsedError(Exception):
    """Base of everything that streamsed raises on purpose."""


class ConfigError(StreamsedError, ValueError):
    """A parameter that cannot be used; the message names it, what was expected and what came."""


class StateError(StreamsedError, RuntimeError):
    """A call that the object's state forbids: after flush, or from a second thread."""


class FormatError(StreamsedError):
    """Input that is missing, unreadable, empty or not audio, or a text record that cannot be parsed."""


class DeviceNotFound(StreamsedError):  # noqa: N818 - public name
    """No device of that name or index, several that match, or no audio system at all."""


class DeviceLost(StreamsedError):  # noqa: N818 - public name
    """The device vanished or froze and did not come back within the recovery time."""


class Overload(StreamsedError):  # noqa: N818 - public name
    """Processing fell behind the sound under ``strict_realtime``."""


class BundleError(StreamsedError):
    """A bundle that is missing, incomplete, of an unknown schema, tampered with, or fails its golden check."""


class OutputError(StreamsedError):
    """A result that cannot be written: the file exists already, its folder does not, or the disk is full."""


class GpuError(StreamsedError, RuntimeError):
    """A CUDA call that failed; the message names it and says why."""


class GpuOutOfMemory(GpuError, MemoryError):  # noqa: N818 - public name
    """The GPU has less free memory than was asked for; the message has both numbers."""
