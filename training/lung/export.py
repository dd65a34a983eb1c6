"""From trained networks to a bundle of chunk classifiers, refused unless TorchScript and ONNX say the same."""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from streamsed.bundle import Backend, Bundle, Provenance, Streaming, write_bundle, write_golden
from streamsed.config import LogMelConfig, require
from streamsed.cycles import CycleFeatures
from streamsed.detector import load
from streamsed.errors import BundleError
from streamsed.golden import check_golden, golden_samples, make_golden
from training.export import TOLERANCE, read_post, to_onnx, to_torchscript
from training.fitting import PROVENANCE
from training.lung.recipe import LungRecipe
from training.lung.registry import ExportedLungNet, LungNet
from training.lung.train import load_trained

METRICS_FILE = "metrics.json"


def export(recipe: LungRecipe, run: Path, folder: Path) -> Bundle:
    """Write the bundle of a training: one posterior row for a window of one chunk.

    Parameters
    ----------
    recipe : LungRecipe
    run : Path
        Folder of the training, whose ``recipe.checkpoints`` become the members.
    folder : Path
        Must not hold a bundle yet.

    Raises
    ------
    BundleError
        If eager, TorchScript and ONNX outputs differ by more than 1e-5, or the golden check fails.
    ConfigError
        If a checkpoint is missing or of another recipe, or members were trained with different z-scores that no
        front-end can have at once.
    """
    frames = CycleFeatures(recipe.front_end, recipe.preparation).chunk_frames
    nets = [load_trained(recipe, run / name).net.eval() for name in recipe.checkpoints]
    mean, std = nets[0].mean.clone(), nets[0].std.clone()
    members: dict[str, dict[Backend, bytes | Path]] = {}
    for i, net in enumerate(nets):
        graph = ExportedLungNet(with_statistics(net, mean, std)).eval()
        onnx_model = to_onnx(net, graph, frames)
        script = to_torchscript(net, graph, frames)
        check_parity(graph, onnx_model, script, (frames, recipe.front_end.n_mels))
        members[str(i)] = {"onnx": onnx_model, "torchscript": script}
    facts = json.loads(((run / recipe.checkpoints[0]).parent / PROVENANCE).read_text())
    measured = run / METRICS_FILE
    write_bundle(
        folder,
        name=recipe.name,
        labels=recipe.labels,
        front_end=scored(recipe.front_end, nets[0]),
        streaming=Streaming("windowed", window_frames=frames, hop_frames=frames),
        time_stride=frames,
        context_frames=None,
        look_ahead_frames=0,
        state={},
        outputs=("posteriors",),
        members=members,
        weights=[1.0] * len(nets),
        provenance=Provenance(
            recipe=f"training/recipes/{recipe.name}",
            commit=facts["commit"],
            metrics=json.loads(measured.read_text()) if measured.exists() else {},
            **recipe.provenance,
        ),
        post_processing=read_post(run / "post_processing.json"),
    )
    # Two chunks at least, so that a stream of it has more than one answer.
    seconds = max(5.0, 2.5 * frames * recipe.front_end.hop_length / recipe.front_end.sample_rate)
    golden = make_golden(load(folder), golden_samples(recipe.front_end.sample_rate, seconds))
    bundle = write_golden(folder, golden)
    report = check_golden(load(folder))
    if not report.passed:
        raise BundleError(f"bundle {folder}: golden check failed right after writing: {report}")
    return bundle


def scored(front_end: LogMelConfig, net: LungNet) -> LogMelConfig:
    """Return the front-end with the z-score of a network."""
    mean, std = tuple(net.mean.tolist()), tuple(net.std.tolist())
    return dataclasses.replace(front_end, normalisation="fixed", mean=mean, std=std)


def with_statistics(net: LungNet, mean: torch.Tensor, std: torch.Tensor) -> torch.nn.Module:
    """Return the network for input with another z-score than its own: trainings on different folds have several."""
    require(bool((std > 0).all()), "std", "above 0", std.tolist())
    if torch.equal(net.mean, mean) and torch.equal(net.std, std):
        return net
    return _Rescored(net, std / net.std, (mean - net.mean) / net.std)


class _Rescored(torch.nn.Module):
    """A network behind an affine map of every band."""

    def __init__(self, net: LungNet, scale: torch.Tensor, shift: torch.Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, log_mel: torch.Tensor) -> tuple[torch.Tensor]:
        logits: tuple[torch.Tensor] = self.net(log_mel * self.scale + self.shift)
        return logits


def check_parity(graph: torch.nn.Module, onnx_model: bytes, script: bytes, chunk: tuple[int, int]) -> float:
    """Return the largest difference of TorchScript and ONNX from the graph itself on chunks of that shape.

    Raises
    ------
    BundleError
        If it exceeds 1e-5.
    """
    chunks = torch.randn((3, *chunk), generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and works
        expected = graph(chunks)[0].numpy()
        results = {
            "TorchScript": torch.jit.load(io.BytesIO(script))(chunks)[0].numpy(),
            "ONNX": session.run(None, {"log_mel": chunks.numpy()})[0],
        }
    differences = {name: float(np.abs(result - expected).max()) for name, result in results.items()}
    worst = max(differences.values())
    if not worst <= TOLERANCE:
        raise BundleError(f"export: expected differences of at most {TOLERANCE}, got {differences}")
    return worst
