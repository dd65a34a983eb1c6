"""Models of dimensional emotion: loaded once, const, shared by any number of streams and threads.

Trained on acted speech of few people; not for judging people. See docs/emotion.md.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import numpy.typing as npt

from streamsed.bundle import Backend, EmotionBundle, EmotionManifest
from streamsed.config import EmotionConfig, LatencyChoice, latency_profile, require
from streamsed.emotion_model import EmotionModel, Levels
from streamsed.emotion_stream import EmotionStream
from streamsed.errors import ConfigError
from streamsed.latency import EmotionLatency
from streamsed.models import Device, Provider
from streamsed.recording import recording_records
from streamsed.sound_stream import StreamSettings, utc
from streamsed.sources.resample import Resampler
from streamsed.sources.samples import ChannelSelection
from streamsed.types import Emotion

if TYPE_CHECKING:
    from streamsed.side_encoders import ImageEncoder

__all__ = ["EmotionDetector", "EmotionStream", "Levels", "emotion_latency"]


class EmotionDetector:
    """A loaded model of dimensional emotion; const, so that streams of any number of threads may share it.

    Parameters
    ----------
    bundle : EmotionBundle
    backend : {"onnx"}, optional
        Regressors have no other.
    provider, num_threads
        See :func:`streamsed.load`.
    window_seconds, hop_seconds : float, optional
        Instead of the bundle's; see :class:`~streamsed.config.EmotionConfig`.

    Attributes
    ----------
    bundle : EmotionBundle
    name : str
    labels : tuple of str
        Valence, arousal and dominance.
    sample_rate : int
        Of the model, in Hz; streams resample to it.
    member_count : int
        Regressors of the ensemble.
    tag_count : int
        0: there are no Tags records.
    image_encoder : None
        It sees nothing.
    config : EmotionConfig
    model : EmotionModel
        Maps functionals to levels.

    Raises
    ------
    BundleError
        If a graph does not do what the bundle says.
    ConfigError
        A parameter that cannot be used.
    """

    def __init__(
        self,
        bundle: EmotionBundle,
        backend: Backend | None = None,
        provider: Provider = "cpu",
        num_threads: int | None = None,
        window_seconds: float | None = None,
        hop_seconds: float | None = None,
    ) -> None:
        require(backend in (None, "onnx"), "backend", "onnx for a model of dimensional emotion", backend)
        self.bundle = bundle
        self.name = bundle.name
        self.labels = bundle.labels
        self.sample_rate = bundle.sample_rate
        self.config = chosen_config(bundle.emotion, window_seconds, hop_seconds)
        self.model = EmotionModel(bundle, provider, num_threads)
        self.member_count = self.model.member_count
        self.tag_count = 0
        self.image_encoder: ImageEncoder | None = None

    @property
    def device(self) -> Device:
        """Where the networks compute: "cpu" or "cuda"."""
        return self.model.device

    def stream(
        self,
        sample_rate: int | None = None,
        channels: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        source: str = "stream0",
        latency: LatencyChoice = "balanced",
        thresholds: float | Mapping[str, float] | None = None,
        top_k: int = 0,
        provisional: bool = True,
        time_origin: datetime | None = None,
        event_id_prefix: str | None = None,
    ) -> EmotionStream:
        """Begin a stream.

        Parameters
        ----------
        sample_rate, channels, channel, source, latency, time_origin
            See :meth:`streamsed.Detector.stream`.
        thresholds : float, optional
            Least score of speech for a record, instead of the bundle's.
        top_k : int
            0, as there are no Tags records.
        provisional, event_id_prefix
            Without meaning here, as records are final and have no number.

        Returns
        -------
        EmotionStream

        Raises
        ------
        ConfigError
            A parameter that cannot be used.
        """
        config = self.config
        if thresholds is not None:
            if isinstance(thresholds, Mapping):
                raise ConfigError(
                    f"thresholds: expected one number, the least score of speech, got {dict(thresholds)!r}"
                )
            config = dataclasses.replace(config, speech_threshold=thresholds)
        require(top_k == 0, "top_k", "0 for a model of dimensional emotion", top_k)
        profile = latency_profile(latency)
        settings = StreamSettings(
            sample_rate=sample_rate,
            channels=channels,
            channel=channel,
            source=source,
            id_prefix=source if event_id_prefix is None else event_id_prefix,
            top_k=0,
            provisional=provisional,
            time_origin=utc(time_origin),
        )
        budget = _budget(self.bundle, self.config, latency)
        return EmotionStream(settings, self.model, config, profile, budget)

    def latency(self, profile: LatencyChoice = "balanced", sample_rate: int | None = None) -> EmotionLatency:
        """Return the algorithmic delay of a stream under a latency profile, stage by stage.

        Parameters
        ----------
        profile : str or LatencyProfile
        sample_rate : int, optional
            Of the input, in Hz; the model's by default.
        """
        return _resampled(_budget(self.bundle, self.config, profile), self.bundle, sample_rate)

    def detect(
        self,
        recording: str | os.PathLike[str] | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        source: str | None = None,
        latency: LatencyChoice = "high",
        thresholds: float | None = None,
    ) -> list[Emotion]:
        """Follow the emotion of a whole recording, of any length.

        Parameters
        ----------
        recording : path or array_like
            A file of any format that libsndfile reads, or samples of shape (n,) or (n, channels).
        sample_rate : int, optional
            Of an array, in Hz; the model's by default. Files know theirs.
        channel, source, latency, thresholds
            See :meth:`stream`.

        Returns
        -------
        list of Emotion
            One per hop with speech; none of silence, of music, of noise and of what is too short.

        Raises
        ------
        FormatError
            If the file is missing, empty, not audio, or cut off.
        ConfigError
            A parameter that cannot be used.
        """
        records = recording_records(
            self, recording, sample_rate, source, channel=channel, latency=latency, thresholds=thresholds
        )
        return [record for record in records if isinstance(record, Emotion)]


def chosen_config(
    config: EmotionConfig, window_seconds: float | None, hop_seconds: float | None
) -> EmotionConfig:
    """Return ``config`` with another window and hop, where they are given.

    Raises
    ------
    ConfigError
        If one cannot be used.
    """
    window = config.window_seconds if window_seconds is None else window_seconds
    # A bundle's hop that is longer than the window that was asked for would leave sound out.
    hop = min(config.hop_seconds, window) if hop_seconds is None else hop_seconds
    return dataclasses.replace(config, window_seconds=window, hop_seconds=hop)


def emotion_latency(
    manifest: EmotionManifest, profile: LatencyChoice = "balanced", sample_rate: int | None = None
) -> EmotionLatency:
    """Return what :meth:`EmotionDetector.latency` does with the bundle's own window, without loading anything."""
    return _resampled(_budget(manifest, manifest.emotion, profile), manifest, sample_rate)


def _budget(manifest: EmotionManifest, config: EmotionConfig, profile: LatencyChoice) -> EmotionLatency:
    hop_length = manifest.functionals.front_end.hop_length
    return EmotionLatency(
        resampling=0.0,
        framing=hop_length / manifest.sample_rate,
        look_ahead=0.0,
        chunk=latency_profile(profile).chunk_seconds,
        hop=config.hop_seconds,
        window=config.window_seconds / 2,
    )


def _resampled(budget: EmotionLatency, manifest: EmotionManifest, sample_rate: int | None) -> EmotionLatency:
    if sample_rate is None:
        return budget
    resampler = Resampler(sample_rate, manifest.sample_rate)
    return budget.with_resampling(resampler.latency_samples / sample_rate)
