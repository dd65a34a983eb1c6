"""Encoders of a recipe's side inputs, and what they made of its recordings."""

from __future__ import annotations

from collections.abc import Mapping

from streamsed.config import require
from training.data.adapters import Recording
from training.encoders import Encoder, encoder_from_config
from training.encoders.cache import EmbeddingCache
from training.encoders.extract import media_of
from training.fusion.settings import FusionSettings
from training.fusion.sides import Found, Reader

# What the encoder of each side input takes.
KINDS = {"auditory": "audio", "visual": "image"}


def encoder_of(settings: FusionSettings, name: str) -> Encoder:
    """Return the encoder of a side input.

    Raises
    ------
    ConfigError
        If it takes something else, or gives embeddings of another width than the settings say.
    FormatError
        If a file that it needs is missing or not what it should be.
    """
    side, where = settings.sides[name], f"fusion.{name}"
    encoder = encoder_from_config(side.encoder, f"{where}.encoder")
    require(encoder.kind == KINDS[name], f"{where}.encoder", f"one of {KINDS[name]}", encoder.kind)
    fits = encoder.features == side.features
    require(fits, f"{where}.features", f"{encoder.features}, as {encoder.name} has", side.features)
    return encoder


def readers_of(settings: FusionSettings) -> Mapping[str, Reader]:
    """Return what reads the extracted embeddings of each side input.

    Raises
    ------
    ConfigError, FormatError
        As :func:`encoder_of`, and if the cache is of another encoder.
    """
    return {name: _reader(settings, name) for name in settings.sides}


def _reader(settings: FusionSettings, name: str) -> Reader:
    encoder = encoder_of(settings, name)
    cache = EmbeddingCache(settings.cache, encoder)
    kind = encoder.kind

    def read(recording: Recording) -> Found | None:
        media = media_of(recording, kind)
        if media is None:
            return None
        found = cache.read(media)
        return found.features, found.times

    return read
