"""``streamsed models``: what ships."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import complain
from streamsed.cli.parser import add_command
from streamsed.cli.tables import pairs

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsed.bundle import AnyBundle
    from streamsed.latency import StreamLatency


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(subparsers, "models", "list the models that ship", run)
    parser.add_argument("--json", action="store_true", help="one JSON array instead of text")


def run(arguments: Namespace) -> int:
    """List."""
    from streamsed.bundle import read_any_bundle, shipped_bundles

    bundles = [read_any_bundle(path) for path in shipped_bundles().values()]
    if arguments.json:
        print(json.dumps([description(bundle) for bundle in bundles]))
    elif bundles:
        print("\n\n".join(pairs(lines(bundle)) for bundle in bundles))
    else:
        complain("no model ships with this installation")
    return 0


def description(bundle: AnyBundle) -> dict[str, Any]:
    """Return what there is to know about a bundle as a JSON object."""
    from streamsed.config import LATENCY_PROFILES

    return {
        "name": bundle.name,
        "task": bundle.task,
        "labels": list(bundle.labels),
        "modalities": _modalities(bundle),
        "latency_seconds": {name: _latency(bundle, name).to_dict() for name in LATENCY_PROFILES},
        "size_bytes": size_bytes(bundle),
        "licence": bundle.provenance.licence,
        "data": bundle.provenance.data,
        "description": bundle.provenance.description,
        "metrics": dict(bundle.provenance.metrics),
        "limits": bundle.provenance.limits,
        "path": str(bundle.path),
    }


def _latency(bundle: AnyBundle, profile: str) -> StreamLatency:
    from streamsed.bundle import Bundle, CycleBundle
    from streamsed.detector import latency_budget
    from streamsed.emotion import emotion_latency
    from streamsed.respiration import cycle_latency

    if isinstance(bundle, Bundle):
        return latency_budget(bundle, profile)
    return (
        cycle_latency(bundle, profile)
        if isinstance(bundle, CycleBundle)
        else emotion_latency(bundle, profile)
    )


def _modalities(bundle: AnyBundle) -> list[str]:
    from streamsed.bundle import Bundle

    pictures = (
        [item.name for item in bundle.side_inputs if item.kind == "image"]
        if isinstance(bundle, Bundle)
        else []
    )
    return ["audio", *pictures]


def lines(bundle: AnyBundle) -> list[tuple[str, str]]:
    """Return the same for people."""
    facts = description(bundle)
    delays = (
        f"{name} {1000 * delay['provisional']:.0f} / {1000 * delay['final']:.0f} ms"
        for name, delay in facts["latency_seconds"].items()
    )
    return [
        (bundle.name, facts["description"]),
        ("  task", facts["task"]),
        ("  labels", ", ".join(facts["labels"])),
        *([("  inputs", ", ".join(facts["modalities"]))] if len(facts["modalities"]) > 1 else []),
        ("  latency", ", ".join(delays) + "  (provisional / final)"),
        ("  size", f"{facts['size_bytes'] / 1e6:.1f} MB"),
        ("  licence", facts["licence"]),
        ("  data", facts["data"]),
        ("  measured", metrics_text(facts["metrics"])),
        ("  limits", facts["limits"] or "-"),
    ]


def metrics_text(metrics: dict[str, Any]) -> str:
    """Return measured figures on one line; nested ones get dotted names."""
    parts: list[str] = []
    for name, value in metrics.items():
        if isinstance(value, dict):
            parts.append(f"{name}: ({metrics_text(value)})")
        else:
            parts.append(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(parts) or "not measured"


def size_bytes(bundle: AnyBundle) -> int:
    """Return how much disk the bundle takes."""
    if bundle.path.is_file():
        return bundle.path.stat().st_size
    return sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file())
