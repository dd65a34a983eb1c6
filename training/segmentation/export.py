"""From a trained segmenter to a causal bundle, refused unless all its forms say the same."""

from __future__ import annotations

import json
from pathlib import Path

from streamsed.bundle import Backend, Bundle, Provenance, Streaming, write_bundle, write_golden
from streamsed.config import ClassPost, PostConfig
from streamsed.detector import load
from streamsed.errors import BundleError
from streamsed.golden import check_golden, golden_samples, make_golden
from training.eow.confidence import ConfidenceConfig
from training.export import check_parity, to_onnx, to_torchscript
from training.fitting import PROVENANCE
from training.nets.registry import exported, time_stride
from training.segmentation.recipe import SegmentationRecipe
from training.segmentation.train import load_segmenter

METRICS_FILE = "metrics.json"


def export(recipe: SegmentationRecipe, run: Path, folder: Path) -> Bundle:
    """Write the bundle of a training: posteriors of boundary, lung sound, speech and contact noise.

    Parameters
    ----------
    recipe : SegmentationRecipe
    run : Path
    folder : Path
        Must not hold a bundle yet.

    Raises
    ------
    BundleError
        If eager, TorchScript, ONNX and streamed outputs differ by more than 1e-5, or the golden check fails.
    ConfigError
        If there is no checkpoint, or it is of another recipe.
    """
    net = load_segmenter(recipe, run).net.eval()
    graph = exported(net, ConfidenceConfig()).eval()
    stride, front_end = time_stride(recipe.net_config), recipe.front_end
    frames = round(recipe.excerpts.seconds * front_end.sample_rate / front_end.hop_length) // stride * stride
    onnx_model, script = to_onnx(net, graph, frames), to_torchscript(net, graph, frames)
    check_parity(net, graph, onnx_model, script, frames)
    members: dict[str, dict[Backend, bytes | Path]] = {"0": {"onnx": onnx_model, "torchscript": script}}
    facts = json.loads((run / PROVENANCE).read_text())
    measured = recipe.folder / METRICS_FILE
    write_bundle(
        folder,
        name=recipe.name,
        labels=recipe.labels,
        front_end=front_end,
        streaming=Streaming("causal"),
        time_stride=stride,
        context_frames=None,
        look_ahead_frames=recipe.net.look_ahead_frames,
        state=net.state_shapes(),
        outputs=("posteriors",),
        members=members,
        weights=[1.0],
        provenance=Provenance(
            recipe=f"training/recipes/{recipe.name}",
            commit=facts["commit"],
            metrics=json.loads(measured.read_text()) if measured.exists() else {},
            **recipe.provenance,
        ),
        post_processing=PostConfig(ClassPost()),
    )
    bundle = write_golden(folder, make_golden(load(folder), golden_samples(front_end.sample_rate)))
    report = check_golden(load(folder))
    if not report.passed:
        raise BundleError(f"bundle {folder}: golden check failed right after writing: {report}")
    return bundle
