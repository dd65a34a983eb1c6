"""``streamsed devices``: what can be listened to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import NO_DEVICE, complain
from streamsed.cli.parser import add_command
from streamsed.cli.tables import table

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsed.sources.devices import Device, ProbeResult


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(subparsers, "devices", "list the input devices", run)
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    parser.add_argument("--probe", action="store_true", help="open each device briefly to see what it takes")


def run(arguments: Namespace) -> int:
    """List."""
    from streamsed.sources.camera import list_cameras
    from streamsed.sources.devices import list_devices, probe

    devices = list_devices()
    probed = {device.index: probe(device) for device in devices} if arguments.probe else {}
    if arguments.json:
        print(json.dumps([_fields(device, probed.get(device.index)) for device in devices]))
    elif devices:
        print(device_table(devices, probed))
        for path, name in list_cameras():
            print(f"camera {path} {name}".rstrip())
    if not devices:
        complain(
            "no input device: PortAudio lists none (is a microphone plugged in, is a sound server running?)"
        )
    usable = any(result.usable for result in probed.values()) if arguments.probe else bool(devices)
    if devices and not usable:
        complain("no device could be opened")
    return 0 if usable else NO_DEVICE


def device_table(devices: list[Device], probed: dict[int, ProbeResult]) -> str:
    """Return the devices as a table, with what probing showed if it was done."""
    header = ["device", "default", "Hz", "channels", "latency", "index", *(["takes"] if probed else [])]
    rows = [
        [
            f"{device.name} ({device.host_api})",
            "*" if device.is_default else "",
            str(device.default_sample_rate),
            str(device.channels),
            f"{1000 * device.low_latency_seconds:.0f}-{1000 * device.high_latency_seconds:.0f} ms",
            str(device.index),
            *([_takes(probed[device.index])] if probed else []),
        ]
        for device in devices
    ]
    return table(header, rows)


def _takes(result: ProbeResult) -> str:
    if result.usable:
        return " ".join(str(rate) for rate in result.sample_rates)
    return "nothing: " + "; ".join(result.errors.values())


def _fields(device: Device, result: ProbeResult | None) -> dict[str, Any]:
    fields = device.to_dict()
    if result is not None:
        fields |= {
            "usable": result.usable,
            "sample_rates": list(result.sample_rates),
            "errors": result.errors,
        }
    return fields
