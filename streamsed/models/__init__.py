"""Networks behind one interface: ONNX Runtime or TorchScript, causal or windowed.

A network (:class:`~streamsed.models.base.Network`) is const and shared; a model stream
(:func:`model_stream`) is the state of one endless signal.
"""

from __future__ import annotations

import numpy as np

from streamsed.bundle import Backend, Bundle, Manifest, Member
from streamsed.config import LatencyProfile, require
from streamsed.errors import BundleError
from streamsed.models.base import Device, Graph, Network, Outputs, Provider
from streamsed.models.causal import CausalStream
from streamsed.models.exported import ExportedNetwork
from streamsed.models.foreign import ForeignNetwork
from streamsed.models.model_stream import ModelStream, zero_state
from streamsed.models.steps import (
    Steps,
    answer_lanes,
    drive,
    run_alone,
    run_rolling,
    run_together,
    side_by_side,
)
from streamsed.models.windowed import ClipWindows, FrameWindows, window_latency_frames

__all__ = [
    "Device",
    "Graph",
    "ModelStream",
    "Network",
    "Outputs",
    "Provider",
    "Steps",
    "answer_lanes",
    "drive",
    "load_graph",
    "load_network",
    "look_ahead_frames",
    "model_stream",
    "run_alone",
    "run_rolling",
    "run_together",
    "side_by_side",
    "warm_up_frames",
]

# How long a recurrent network hears again, after it was left out, before it is believed. Measured with everyday and
# six seconds missed: the posterior that differs most is off by 0.26 at once, 0.12 after 1 s, 0.05 after 3 s and 0.02
# after 5 s, on average over the frames; a state of zeros takes longer than the kept one.
_WARM_UP_SECONDS = 5.0


def load_network(
    bundle: Bundle,
    member: Member,
    backend: Backend | None = None,
    provider: Provider = "cpu",
    num_threads: int | None = None,
) -> Network:
    """Load one member of a bundle and try it on a few frames of zeros.

    Parameters
    ----------
    bundle : Bundle
    member : Member
        One of ``bundle.members``.
    backend : {"onnx", "torchscript"}, optional
        By default "onnx", unless the member has only the other.
    provider : {"cpu", "cuda", "auto"}
        Where it computes; only "auto" falls back to the CPU, saying so once in the log.
    num_threads : int, optional
        Threads inside an operator; 1 by default with ONNX Runtime. PyTorch knows only one number for the
        whole process, which is left alone unless this is given.

    Raises
    ------
    BundleError
        If the member has no file of that format, or the network does not do what the bundle says.
    ConfigError
        If the backend or provider is unknown or not there.
    """
    if backend is None:
        backend = "onnx" if "onnx" in member.files else "torchscript"
    require(backend in ("onnx", "torchscript"), "backend", "onnx or torchscript", backend)
    require(provider in ("cpu", "cuda", "auto"), "provider", "cpu, cuda or auto", provider)
    require(num_threads is None or num_threads > 0, "num_threads", "an integer > 0", num_threads)
    entry = member.files.get(backend)
    if entry is None:
        raise BundleError(
            f"bundle {bundle.name}: member {member.name}: expected a file for backend {backend!r}, "
            f"got {sorted(member.files)}"
        )
    where = f"bundle {bundle.name}: {entry.file}"
    graph = load_graph(bundle.read_bytes(entry), where, backend, provider, num_threads)
    kind = ExportedNetwork if bundle.graph is None else ForeignNetwork
    network: Network = kind(graph, bundle, where)
    _try(network, bundle, where)
    return network


def load_graph(
    content: bytes,
    where: str,
    backend: Backend = "onnx",
    provider: Provider = "cpu",
    num_threads: int | None = None,
) -> Graph:
    """Load the content of a file of either format, called ``where`` in messages; see :func:`load_network`."""
    if backend == "onnx":
        from streamsed.models.onnx import OnnxGraph

        return OnnxGraph(content, where, provider, num_threads)
    from streamsed.models.torchscript import TorchScriptGraph

    return TorchScriptGraph(content, where, provider, num_threads)


def _try(network: Network, manifest: Manifest, where: str) -> None:
    """Raise :class:`BundleError` unless ``network`` maps shapes as ``manifest`` says."""
    frames = manifest.streaming.window_frames or 2 * manifest.time_stride
    outputs, state = network.run(
        np.zeros((1, frames, manifest.frame_shape[1]), np.float32), zero_state(manifest)
    )
    rows, labels = frames // manifest.time_stride, len(manifest.labels)
    expected = [("posteriors", (1, rows, labels)), *((entry.name, entry.shape) for entry in manifest.state)]
    arrays = [outputs.posteriors, *state]
    if "confidence" in manifest.outputs:
        expected.append(("confidence", (1, rows)))
        arrays.append(outputs.confidence)  # type: ignore[arg-type]
    for (name, shape), array in zip(expected, arrays, strict=True):
        if array.shape != shape:
            raise BundleError(
                f"{where}: {name}: expected shape {shape} for {frames} frames, got {array.shape}"
            )


def model_stream(network: Network, manifest: Manifest, profile: LatencyProfile) -> ModelStream:
    """Return a fresh stream of ``network``."""
    if manifest.streaming.kind == "causal":
        return CausalStream(network, manifest)
    if manifest.graph is not None and manifest.graph.is_clip_level:
        return ClipWindows(network, manifest)
    return FrameWindows(network, manifest, profile.overlap)


def look_ahead_frames(manifest: Manifest, profile: LatencyProfile) -> int:
    """Input frames of the future that a posterior waits for, at most, under ``profile``."""
    if manifest.streaming.kind == "causal":
        return manifest.look_ahead_frames
    return window_latency_frames(manifest, profile.overlap)


def warm_up_frames(manifest: Manifest) -> int:
    """Input frames after which the posteriors of a network that was left out for a while count again.

    Those of a window or of the stated context, after which nothing is left of what was missed; five seconds
    of a network whose context is unbounded.
    """
    if manifest.streaming.window_frames is not None:
        return manifest.streaming.window_frames
    if manifest.context_frames is not None:
        return manifest.context_frames
    return round(_WARM_UP_SECONDS * manifest.sample_rate / manifest.frame_shape[0])
