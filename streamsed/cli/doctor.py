"""``streamsed doctor``: what is installed and what works here."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import MODEL, NO_DEVICE
from streamsed.cli.parser import add_command, seconds

if TYPE_CHECKING:
    from argparse import Namespace

_PACKAGES = ("numpy", "soundfile", "sounddevice", "onnxruntime", "rich", "torch", "av")
_OPTIONAL = {
    "torch": " (only the torchscript backend needs it)",
    "av": " (only videos and cameras need it: pip install 'streamsed[video]')",
}
# Room noise of any analogue input is above this; digital zeros mean that nothing is connected or it is muted.
_SILENT_DB = -100.0


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "doctor", "check PortAudio, devices, backends, versions, and capture for 3 s", run
    )
    parser.add_argument("--device", metavar="N|NAME", help="to capture from (default: the default input)")
    parser.add_argument(
        "--seconds", type=seconds, default=3.0, metavar="S", help="how long to capture (default: 3)"
    )


def run(arguments: Namespace) -> int:
    """Check one thing after the other; a failed one does not hide the next."""
    codes = [0]

    def section(name: str, check: Callable[[], Iterator[str]], code: int) -> None:
        print(name, flush=True)
        try:
            for line in check():
                print(f"  {line}", flush=True)
        except Exception as error:
            # Whatever is broken on this machine is what the command is asked to find.
            print(f"  FAILED: {error}", flush=True)
            codes.append(code)

    section("versions", _versions, 1)
    section("core", _core, 1)
    section("backends", _backends, MODEL)
    section("models", _models, MODEL)
    section("devices", _devices, NO_DEVICE)
    section("cameras", _cameras, 1)
    section("capture", lambda: _capture(arguments.device, arguments.seconds), NO_DEVICE)
    # Without a device there is nothing to listen to, whatever else is wrong.
    worst = NO_DEVICE if NO_DEVICE in codes else max(codes)
    print("all is well" if worst == 0 else "something is wrong: see FAILED above", flush=True)
    return worst


def _versions() -> Iterator[str]:
    from streamsed import __version__

    yield f"streamsed {__version__}, Python {platform.python_version()}, {platform.platform()}"
    for name in _PACKAGES:
        yield f"{name} {_version(name)}"
    yield f"executable {sys.executable}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed" + _OPTIONAL.get(package, "")


def _core() -> Iterator[str]:
    from streamsed import _core

    yield f"instruction set {_core.active_isa()}"
    yield f"CUDA: {_core.cuda_describe()}"


def _backends() -> Iterator[str]:
    import onnxruntime

    yield f"onnx: {', '.join(onnxruntime.get_available_providers())}"
    try:
        import torch
    except ImportError:
        yield "torchscript: not available (pip install 'streamsed[torch]')"
    else:
        yield f"torchscript: torch {torch.__version__}, CUDA {'yes' if torch.cuda.is_available() else 'no'}"


def _models() -> Iterator[str]:
    from streamsed.bundle import shipped_bundles
    from streamsed.detector import load
    from streamsed.errors import BundleError
    from streamsed.golden import check_golden

    if not shipped_bundles():
        yield "none ships"
    for name, path in shipped_bundles().items():
        report = check_golden(load(path))
        yield f"{name}: posteriors differ from the golden ones by {report.max_difference:.1e}"
        if not report.passed:
            raise BundleError(f"{name}: the golden check failed")


def _cameras() -> Iterator[str]:
    from streamsed.sources.camera import list_cameras

    cameras = list_cameras()
    yield from (f"{path} {name}".rstrip() for path, name in cameras)
    if not cameras:
        yield "none found (only models that take pictures use one)"


def _devices() -> Iterator[str]:
    from streamsed.cli.devices import device_table
    from streamsed.errors import DeviceNotFound
    from streamsed.sources import portaudio
    from streamsed.sources.devices import list_devices

    yield str(portaudio.load().get_portaudio_version()[1])
    devices = list_devices()
    if not devices:
        raise DeviceNotFound("PortAudio lists no input device")
    yield from device_table(devices, {}).splitlines()


def _capture(device: str | None, wanted_seconds: float) -> Iterator[str]:
    import numpy as np

    from streamsed.errors import DeviceLost
    from streamsed.sources.microphone import Microphone

    microphone = Microphone(device, recovery_seconds=2.0)
    rate = microphone.sample_rate
    wanted = round(wanted_seconds * rate)
    yield f"{microphone.name}, {rate} Hz"
    taken = lost = 0
    energy = peak = 0.0
    begin = time.monotonic()
    first: float | None = None
    microphone.open()
    try:
        while taken < wanted:
            block = microphone.poll(rate // 10, 0.5)
            if block is None:
                if time.monotonic() - begin > wanted_seconds + 10.0:
                    raise DeviceLost(
                        f"{taken} of {wanted} samples arrived within {wanted_seconds + 10:.0f} s"
                    )
                continue
            if first is None:
                first = time.monotonic() - begin
            taken += len(block.samples)
            lost += block.missing_frames_before
            energy += float(np.square(block.samples, dtype=np.float64).sum())
            peak = max(peak, float(np.abs(block.samples).max()))
    finally:
        microphone.close()
    level = 10 * math.log10(energy / taken) if energy > 0 else -math.inf
    yield f"first block after {1000 * (first or 0.0):.0f} ms, {taken} samples, {lost} lost"
    yield f"level {level:.1f} dBFS, peak {20 * math.log10(peak) if peak > 0 else -math.inf:.1f} dBFS"
    if level < _SILENT_DB:
        yield "warning: digital silence; is the input muted?"
