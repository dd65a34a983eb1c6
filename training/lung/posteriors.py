"""Posteriors of whole cycles: means over chunks, segments and networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from streamsed.bundle import Bundle
from streamsed.config import CyclePreparation
from streamsed.cycles import CycleFeatures
from streamsed.models import load_network
from streamsed.postprocess import fuse
from training.data.icbhi import CycleReference
from training.lung.material import read_cycles
from training.lung.recipe import LungRecipe
from training.lung.train import load_trained

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Classify = Callable[[Floats], Floats]


def of_checkpoint(recipe: LungRecipe, checkpoint: Path) -> Classify:
    """Return what maps raw log-mel chunks (C, T, n_mels) to posteriors (C, K) with the weights of a checkpoint."""
    module = load_trained(recipe, checkpoint)

    def classify(chunks: Floats) -> Floats:
        with torch.inference_mode():
            posteriors: Floats = module(torch.from_numpy(chunks)).softmax(dim=1).numpy()
        return posteriors

    return classify


def of_bundle(bundle: Bundle) -> Classify:
    """Return what maps the chunks of a bundle's own front-end to the fused posteriors of its members."""
    networks = [load_network(bundle, member, "onnx") for member in bundle.members]

    def classify(chunks: Floats) -> Floats:
        outputs = [network.run(chunks, ())[0].posteriors[:, 0] for network in networks]
        return np.asarray(fuse(np.stack(outputs), None, bundle.fusion.weights), np.float32)

    return classify


def cycle_posteriors(
    cycles: Sequence[CycleReference], features: CycleFeatures, classifiers: Sequence[Classify]
) -> Doubles:
    """Return the posteriors (N, K) of cycles, the mean over their chunks and the classifiers."""
    rows = []
    for samples in read_cycles(cycles, features.front_end.sample_rate):
        chunks = features(samples)
        rows.append(
            np.mean([classify(chunks).mean(axis=0, dtype=np.float64) for classify in classifiers], axis=0)
        )
    return np.array(rows)


def bundle_posteriors(
    cycles: Sequence[CycleReference], bundle: Bundle, preparation: CyclePreparation
) -> Doubles:
    """Return what a bundle says about cycles, shape (N, K)."""
    assert bundle.front_end is not None  # a classifier of cycles has one
    return cycle_posteriors(cycles, CycleFeatures(bundle.front_end, preparation), [of_bundle(bundle)])
