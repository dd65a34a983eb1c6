"""Detectors of respiratory cycles: loaded once, const, shared by any number of streams and threads.

Research software, not a medical device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime

import numpy.typing as npt

from streamsed.boundaries import SegmenterKind, boundary_finder
from streamsed.bundle import Backend, CycleBundle, CycleManifest
from streamsed.config import LatencyChoice, LatencyProfile, latency_profile, require
from streamsed.cycle_classifier import CycleClassifier
from streamsed.cycle_stream import CycleStream
from streamsed.evidence import PosteriorFrames
from streamsed.front_end_lanes import gpu_lanes
from streamsed.frontend import LogMel
from streamsed.latency import CycleLatency
from streamsed.models import Device, Provider, load_network
from streamsed.posterior_stream import PosteriorStream
from streamsed.recording import recording_frames, recording_records
from streamsed.side_encoders import ImageEncoder
from streamsed.sound_stream import StreamSettings, utc
from streamsed.sources.resample import Resampler
from streamsed.sources.samples import ChannelSelection
from streamsed.types import Cycle

__all__ = ["CycleDetector", "CycleStream", "SegmenterKind", "cycle_latency"]


class CycleDetector:
    """A loaded model of respiratory cycles; const, so that streams of any number of threads may share it.

    Parameters
    ----------
    bundle : CycleBundle
    backend, provider, num_threads
        See :func:`streamsed.load`.
    segmenter : {"crnn", "envelope", "grid"}
        What finds the boundaries: the bundle's network, the envelope of the sound, or a grid of fixed windows. The
        network says in any case what is no lung sound.

    Attributes
    ----------
    bundle : CycleBundle
    name : str
    labels : tuple of str
    sample_rate : int
        Of the model, in Hz; streams resample to it.
    member_count : int
        Networks that classify a cycle.
    tag_count : int
        Classes that Tags records can have: those of the segmenter.
    image_encoder : None
        It hears alone.
    classifier : CycleClassifier
        Maps the samples of a cycle to posteriors.
    """

    def __init__(
        self,
        bundle: CycleBundle,
        backend: Backend | None = None,
        provider: Provider = "cpu",
        num_threads: int | None = None,
        segmenter: SegmenterKind = "crnn",
    ) -> None:
        self.bundle = bundle
        self.name = bundle.name
        self.labels = bundle.labels
        self.sample_rate = bundle.sample_rate
        self.member_count = len(bundle.classifier.members)
        self.tag_count = len(bundle.segmenter.labels)
        self.image_encoder: ImageEncoder | None = None
        self._segmenter = segmenter
        boundary_finder(bundle, segmenter)  # an unknown kind is to be known now
        assert bundle.segmenter.front_end is not None  # the manifest saw to it
        self._log_mel = LogMel(bundle.segmenter.front_end)
        self._lanes = gpu_lanes(self._log_mel, provider)
        segmenters, classifiers = (
            [load_network(part, member, backend, provider, num_threads) for member in part.members]
            for part in (bundle.segmenter, bundle.classifier)
        )
        self._networks = segmenters
        self.classifier = CycleClassifier(bundle, classifiers)

    @property
    def device(self) -> Device:
        """Where the networks compute: "cpu" or "cuda"."""
        return self._networks[0].device

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
    ) -> CycleStream:
        """Begin a stream.

        Parameters
        ----------
        sample_rate, channels, channel, source, latency, time_origin
            See :meth:`streamsed.Detector.stream`.
        thresholds : float or mapping, optional
            Least posterior with which a cycle is called other than normal, for all such labels or for some.
        top_k : int
            Give a Tags record with so many of the segmenter's posteriors about ten times a second; 0 for none.
        provisional : bool
            Whether to give CycleOpen and Retract records; without them an open cycle is not classified either.
        event_id_prefix : str, optional
            What cycle ids begin with, by default ``source``.

        Returns
        -------
        CycleStream

        Raises
        ------
        ConfigError
            A parameter that cannot be used, such as a threshold for the label "normal", which is what is left.
        """
        profile = latency_profile(latency)
        expected = f"in [0, {self.tag_count}], the number of labels of the segmenter"
        require(0 <= top_k <= self.tag_count, "top_k", expected, top_k)
        settings = StreamSettings(
            sample_rate=sample_rate,
            channels=channels,
            channel=channel,
            source=source,
            id_prefix=source if event_id_prefix is None else event_id_prefix,
            top_k=top_k,
            provisional=provisional,
            time_origin=utc(time_origin),
        )
        return CycleStream(
            settings,
            self.bundle,
            self._posterior_stream(profile),
            boundary_finder(self.bundle, self._segmenter),
            self.classifier,
            profile,
            self._least_posteriors(thresholds),
        )

    def _posterior_stream(self, profile: LatencyProfile) -> PosteriorStream:
        return PosteriorStream(
            self.bundle.segmenter, self._log_mel, self._networks, profile, lanes=self._lanes
        )

    def _least_posteriors(self, thresholds: float | Mapping[str, float] | None) -> dict[str, float]:
        if thresholds is None:
            return {}
        adventitious = self.labels[1:]
        wanted = (
            dict(thresholds) if isinstance(thresholds, Mapping) else dict.fromkeys(adventitious, thresholds)
        )
        unknown = sorted(set(wanted) - set(adventitious))
        expected = f"labels among {list(adventitious)}; {self.labels[0]} is what is left"
        require(not unknown, "thresholds", expected, unknown)
        for label, value in wanted.items():
            require(0.0 < value <= 1.0, f"thresholds[{label}]", "in (0, 1]", value)
        return wanted

    def latency(self, profile: LatencyChoice = "balanced", sample_rate: int | None = None) -> CycleLatency:
        """Return the algorithmic delay of a stream under a latency profile, stage by stage.

        Parameters
        ----------
        profile : str or LatencyProfile
        sample_rate : int, optional
            Of the input, in Hz; the model's by default.
        """
        return cycle_latency(self.bundle, profile, sample_rate, self._segmenter)

    def detect(
        self,
        recording: str | os.PathLike[str] | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        source: str | None = None,
        latency: LatencyChoice = "high",
        thresholds: float | Mapping[str, float] | None = None,
    ) -> list[Cycle]:
        """Detect the respiratory cycles of a whole recording, of any length.

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
        list of Cycle
            In order of their onsets.

        Raises
        ------
        FormatError
            If the file is missing, empty, not audio, or cut off.
        ConfigError
            A parameter that cannot be used.
        """
        records = recording_records(
            self,
            recording,
            sample_rate,
            source,
            channel=channel,
            latency=latency,
            thresholds=thresholds,
            provisional=False,
        )
        return [record for record in records if isinstance(record, Cycle)]

    def frames(
        self,
        samples: npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        latency: LatencyChoice = "high",
    ) -> PosteriorFrames:
        """Compute the segmenter's posteriors of a whole recording, as a stream does.

        Parameters
        ----------
        samples, sample_rate, channel, latency
            See :meth:`streamsed.Detector.posteriors`.

        Returns
        -------
        PosteriorFrames
            Columns in the order of ``bundle.segmenter.labels``; row i begins at
            ``bundle.segmenter.clock.seconds(i)``.

        Raises
        ------
        ConfigError
            A parameter that cannot be used, or NaN or Inf among the samples.
        """
        profile = latency_profile(latency)
        rate = self.sample_rate if sample_rate is None else sample_rate
        return recording_frames(
            self._posterior_stream(profile), samples, rate, self.sample_rate, channel, profile
        )


def cycle_latency(
    manifest: CycleManifest,
    profile: LatencyChoice = "balanced",
    sample_rate: int | None = None,
    segmenter: SegmenterKind = "crnn",
) -> CycleLatency:
    """Return what :meth:`CycleDetector.latency` does, without loading any network."""
    budget = boundary_finder(manifest, segmenter).latency(latency_profile(profile).chunk_seconds)
    if sample_rate is None:
        return budget
    resampler = Resampler(sample_rate, manifest.sample_rate)
    return budget.with_resampling(resampler.latency_samples / sample_rate)
