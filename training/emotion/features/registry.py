"""From settings to extractors."""

from __future__ import annotations

from pathlib import Path

from training.emotion.features.base import FeatureExtractor, FeatureSettings


def make_extractor(name: str, settings: FeatureSettings, root: Path = Path()) -> FeatureExtractor:
    """Return the features that settings ask for; files of models are below ``root``.

    Raises
    ------
    FeaturesUnavailable
        If a package or a model is not there.
    ConfigError
        If a setting cannot be used.
    """
    if settings.kind == "opensmile":
        from training.emotion.features.opensmile_sets import OpensmileFunctionals

        return OpensmileFunctionals(name, settings.set, equal_level=settings.equal_level)
    if settings.kind == "functionals":
        from training.emotion.features.functionals import OwnFunctionals

        return OwnFunctionals(name, settings.config)
    if settings.kind == "onnx":
        from training.emotion.features.onnx_encoder import OnnxEncoder

        return OnnxEncoder(name, root / settings.source, settings.sample_rate)
    from training.emotion.features.embeddings import TransformerEmbeddings
    from training.emotion.features.end_to_end import EndToEndPredictions

    local = root / settings.source
    chosen = EndToEndPredictions if settings.kind == "end_to_end" else TransformerEmbeddings
    return chosen(
        name,
        str(local) if local.is_dir() else settings.source,
        offline=settings.offline,
        device=settings.device,
        batch_size=settings.batch_size,
    )
