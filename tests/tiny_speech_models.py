"""Tiny random speech encoders of the transformers library, saved as a user would have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

SHAPE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": True,
    # So small a network learns nothing from what is left of it.
    **dict.fromkeys(
        ("hidden_dropout", "activation_dropout", "attention_dropout", "final_dropout", "layerdrop"), 0.0
    ),
    "mask_time_prob": 0.0,
}


def save_encoder(folder: Path, kind: str = "Wav2Vec2", norm: str = "layer") -> Path:
    """Save a Wav2Vec2, Hubert or WavLM with random weights."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(feat_extract_norm=norm, **SHAPE)
    _save(folder, getattr(transformers, f"{kind}Model")(config), norm)
    return folder


def save_regressor(folder: Path) -> Path:
    """Save a wav2vec2 with a head of arousal, dominance and valence, in that order, as the published one has it."""
    from training.emotion.features.end_to_end import regressor_class

    torch.manual_seed(1)
    labels = {0: "arousal", 1: "dominance", 2: "valence"}
    config = transformers.Wav2Vec2Config(feat_extract_norm="layer", id2label=labels, **SHAPE)
    config.label2id = {name: number for number, name in labels.items()}
    _save(folder, regressor_class("")(config), "layer")
    return folder


def _save(folder: Path, network: Any, norm: str) -> None:
    transformers.utils.logging.disable_progress_bar()
    network.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(folder)
    transformers.utils.logging.enable_progress_bar()
