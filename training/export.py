"""From a trained network to a bundle: TorchScript and ONNX, refused unless all of them say the same."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from streamsed.bundle import (
    Backend,
    Bundle,
    Provenance,
    SideInputSpec,
    Streaming,
    write_bundle,
    write_golden,
)
from streamsed.config import ClassPost, PostConfig, from_mapping, require
from streamsed.detector import load
from streamsed.errors import BundleError
from streamsed.golden import check_golden, golden_samples, make_golden
from training.ensemble import CALIBRATION_FILE, read_calibration
from training.features import scene_frames
from training.fitting import PROVENANCE
from training.nets.fusion_crnn import FusionCrnn
from training.nets.registry import Net, exported, has_confidence, is_causal, statistics_of, time_stride
from training.recipe import Recipe
from training.tag_thresholds import read_tagging
from training.train import load_trained

TOLERANCE = 1e-5
POST_FILE = "post_processing.json"


def export(recipe: Recipe, run: Path, folder: Path, metrics: dict[str, object] | None = None) -> Bundle:
    """Write the bundle of a training.

    Parameters
    ----------
    recipe : Recipe
        Its ``post_processing.json`` in the recipe's folder, if there, becomes the bundle's, and so do
        ``tagging.json`` and temperatures and weights of its ``calibration.json``.
    run : Path
        Folder of the training, whose ``recipe.checkpoints`` become the members.
    folder : Path
        Must not hold a bundle yet.
    metrics : dict, optional
        Measured quality for the model card; by default ``metrics.json`` of the recipe's folder.

    Raises
    ------
    ConfigError
        If the recipe asks for what no stream can give.
    BundleError
        If eager, TorchScript, ONNX and streamed outputs differ by more than 1e-5, or the golden check fails.
    """
    only = ", ".join(recipe.offline_only)
    require(not only, "recipe", "settings that a stream can follow, to export it", only)
    frames = scene_frames(recipe)
    calibration = read_calibration(recipe.folder / CALIBRATION_FILE, len(recipe.checkpoints))
    members: dict[str, dict[Backend, bytes | Path]] = {}
    for i, (checkpoint, temperature) in enumerate(
        zip(recipe.checkpoints, calibration.temperatures, strict=True)
    ):
        net = load_trained(recipe, run, checkpoint).net.eval()
        graph = exported(net, recipe.confidence, temperature).eval()
        onnx_model = to_onnx(net, graph, frames)
        script = to_torchscript(net, graph, frames)
        check_parity(net, graph, onnx_model, script, frames, temperature)
        members[str(i)] = {"onnx": onnx_model, "torchscript": script}

    # Members of several trainings lie in folders of their own; they share recipe and code.
    facts = json.loads(((run / recipe.checkpoints[0]).parent / PROVENANCE).read_text())
    if metrics is None:
        metrics_file = recipe.folder / "metrics.json"
        metrics = json.loads(metrics_file.read_text()) if metrics_file.exists() else {}
    write_bundle(
        folder,
        name=recipe.name,
        labels=recipe.labels,
        front_end=recipe.front_end,
        streaming=_streaming(recipe, frames),
        time_stride=time_stride(recipe.net_config),
        context_frames=None,
        look_ahead_frames=recipe.net.look_ahead_frames,
        state=net.state_shapes(),
        outputs=_outputs(net),
        members=members,
        weights=calibration.weights,
        provenance=Provenance(
            recipe=f"training/recipes/{recipe.name}",
            commit=facts["commit"],
            metrics=metrics,
            **recipe.provenance,
        ),
        post_processing=read_post(recipe.folder / POST_FILE, recipe.post),
        side_inputs=_side_inputs(recipe),
        tagging=read_tagging(recipe),
    )
    bundle = write_golden(folder, make_golden(load(folder), golden_samples(recipe.front_end.sample_rate)))
    report = check_golden(load(folder))
    if not report.passed:
        raise BundleError(f"bundle {folder}: golden check failed right after writing: {report}")
    return bundle


def _side_inputs(recipe: Recipe) -> list[tuple[SideInputSpec, bytes]]:
    if not recipe.fusion.sides:
        return []
    # Recipes that fuse nothing need neither encoders nor video.
    from training.fusion.bundled import side_inputs_of

    return side_inputs_of(recipe.fusion)


def read_post(path: Path, untuned: ClassPost | None = None) -> PostConfig:
    """Read tuned post-processing; where none was tuned yet, all labels have ``untuned``, or the default."""
    if not path.exists():
        return PostConfig(untuned or ClassPost())
    values = json.loads(path.read_text())
    return PostConfig(
        from_mapping(ClassPost, values["default"], "default"),
        {label: from_mapping(ClassPost, item, label) for label, item in values["labels"].items()},
    )


def _streaming(recipe: Recipe, frames: int) -> Streaming:
    """A network that takes whole windows takes those it was trained on, a half of one further each time."""
    if is_causal(recipe.net_config):
        return Streaming("causal")
    stride = time_stride(recipe.net_config)
    return Streaming("windowed", window_frames=frames, hop_frames=max(stride, frames // 2 // stride * stride))


def _outputs(net: Net) -> tuple[str, ...]:
    return ("posteriors", "confidence") if has_confidence(net) else ("posteriors",)


def _example(net: Net, frames: int, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    mean, std = statistics_of(net)
    log_mel = mean + std * torch.randn((1, frames, len(mean)), generator=generator)
    if isinstance(net, FusionCrnn):
        rows = frames // net.time_stride
        sides = [
            (
                torch.randn((1, rows, side.features), generator=generator),
                (torch.rand((1, rows), generator=generator) < 0.7).float(),
            )
            for side in net.config.sides
        ]
        log_mel = net.join(log_mel, sides)
    return log_mel, net.initial_state(1)


def to_torchscript(net: Net, graph: nn.Module, frames: int) -> bytes:
    """Trace the graph; it has no data-dependent control flow."""
    log_mel, state = _example(net, frames)
    buffer = io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and works
        torch.jit.save(torch.jit.trace(graph, (log_mel, *state)), buffer)
    return buffer.getvalue()


def to_onnx(net: Net, graph: nn.Module, frames: int) -> bytes:
    """Export to ONNX, opset 17, with dynamic batch and time; the GRU becomes the one ONNX operator."""
    log_mel, state = _example(net, frames)
    names = list(net.state_shapes())
    outputs = [*_outputs(net), *(f"{name}_out" for name in names)]
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*names, *outputs)}
    axes["log_mel"] = {0: "batch", 1: "frames"}
    for name in _outputs(net):
        axes[name] = {0: "batch", 1: "posterior_frames"}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), warnings.catch_warnings():
        # dynamo=True is slow or fails on a GRU with dynamic time; the older exporter emits the operator.
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            graph,
            (log_mel, *state),
            str(path),
            input_names=["log_mel", *names],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()


def check_parity(
    net: Net, graph: nn.Module, onnx_model: bytes, script: bytes, frames: int, temperature: float = 1.0
) -> float:
    """Return the largest difference between training graph, exported graph, TorchScript, ONNX and ONNX in chunks.

    Parameters
    ----------
    net : module
        As trained, in evaluation mode.
    graph : module
        As exported.
    onnx_model, script : bytes
    frames : int
        Log-mel frames to try it on: of a window, if the network takes windows.
    temperature : float
        That the exported graph divides logits by.

    Raises
    ------
    BundleError
        If it exceeds 1e-5.
    """
    log_mel, state = _example(net, frames, seed=1)
    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]

    def run_onnx(
        chunk: npt.NDArray[np.float32], states: list[npt.NDArray[np.float32]]
    ) -> list[npt.NDArray[np.float32]]:
        return session.run(None, dict(zip(names, [chunk, *states], strict=True)))

    kept = len(_outputs(net))

    def joined(outputs: Sequence[Tensor | npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Posteriors, and the confidence as one more column."""
        posteriors, *confidence = (np.asarray(item) for item in outputs[:kept])
        return np.concatenate([posteriors, *(item[:, :, None] for item in confidence)], axis=2)

    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = {
            "exported": joined(graph(log_mel, *state)),
            "TorchScript": joined(torch.jit.load(io.BytesIO(script))(log_mel, *state)),
        }
        # What was trained has logits, and no confidence yet.
        posteriors = torch.sigmoid(net(log_mel, *state)[0] / temperature).numpy()
        confidence = results["exported"][:, :, posteriors.shape[2] :]
        expected = np.concatenate([posteriors, confidence], axis=2)
    arrays = [item.numpy() for item in state]
    results["ONNX"] = joined(run_onnx(log_mel.numpy(), arrays))
    if arrays:
        parts = []
        rng = np.random.default_rng(0)
        stride = frames // results["ONNX"].shape[1]
        at = 0
        while at < frames:
            n = min(frames - at, stride * int(rng.integers(1, 12)))
            outputs = run_onnx(log_mel.numpy()[:, at : at + n], arrays)
            parts.append(joined(outputs))
            arrays = outputs[kept:]
            at += n
        results["ONNX in chunks"] = np.concatenate(parts, axis=1)
    differences = {name: float(np.abs(result - expected).max()) for name, result in results.items()}
    worst = max(differences.values())
    if not worst <= TOLERANCE:
        raise BundleError(f"export: expected differences of at most {TOLERANCE}, got {differences}")
    return worst
