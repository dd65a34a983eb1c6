"""Small encoders as files: ONNX graphs in several layouts, a random wav2vec 2.0, weights under a name with a hash."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.encoders.weights import WeightFile

TINY_VGGISH = {"channels": (2, 3, 4, 4), "hidden": 6, "embedding": 5}
TINY_VGG16 = {"channels": (2, 2, 3, 3, 3), "hidden": 7, "classes": 4}


def named_by_hash(
    network: nn.Module, folder: Path, stem: str, *, old_format: bool = False
) -> tuple[Path, WeightFile]:
    """Save a state dict as public ones are: eight digits of its hash in its name."""
    draft = folder / "draft.pth"
    torch.save(network.state_dict(), draft, _use_new_zipfile_serialization=not old_format)
    digits = hashlib.sha256(draft.read_bytes()).hexdigest()[:8]
    path = draft.rename(folder / f"{stem}-{digits}.pth")
    return path, WeightFile(path.name, digits, "some project", "none")


class Projection(nn.Module):
    """A linear map of all that an item holds, after its axes were brought into the usual order."""

    def __init__(self, size: int, features: int, order: tuple[int, ...] = (), channel: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(size, features)
        self.order, self.channel = order, channel

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        if self.channel:
            batch = batch[:, 0]
        return torch.relu(self.linear(batch.permute(0, *self.order).flatten(1)))


def write_onnx(path: Path, network: nn.Module, shape: tuple[int, ...], *, free_batch: bool = True) -> Path:
    """Export a network whose input is (B, *shape)."""
    axes = {"x": {0: "B"}, "y": {0: "B"}} if free_batch else None
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2 if free_batch else 1, *shape),),
            str(path),
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    return path


def write_speech_model(folder: Path, *, normalise: bool = True, seed: int = 0) -> Path:
    """Save a random wav2vec 2.0 of two small layers with its feature extractor."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8),
        conv_kernel=(10, 3),
        conv_stride=(5, 2),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_feat_extract_layers=2,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=True).save_pretrained(folder)
    return folder


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal noise, float32."""
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)
