"""Detectors: loaded once, const, shared by any number of streams and threads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamsed.bundle import Backend, Bundle, CycleBundle, EmotionBundle, read_any_bundle
from streamsed.config import (
    ClassPost,
    LatencyChoice,
    LatencyProfile,
    LogMelConfig,
    PostConfig,
    TaggingConfig,
    latency_profile,
    require,
)
from streamsed.evidence import PosteriorFrames
from streamsed.front_end_lanes import gpu_lanes
from streamsed.frontend import LogMel
from streamsed.latency import LatencyBudget
from streamsed.models import Device, Provider, load_network, look_ahead_frames
from streamsed.picture_feed import PictureFeed, Pictures
from streamsed.posterior_stream import PosteriorStream
from streamsed.postprocess import PostChain
from streamsed.recording import recording_frames, recording_records
from streamsed.side_encoders import ImageEncoder, load_side_encoders
from streamsed.side_streams import side_latency_seconds
from streamsed.sound_stream import StreamSettings, StreamStats, utc
from streamsed.sources.resample import Resampler
from streamsed.sources.samples import ChannelSelection
from streamsed.stream import DetectorStream, FramesCallback
from streamsed.tagging import ClipPooling
from streamsed.types import Event, Tags

if TYPE_CHECKING:
    from streamsed.emotion import EmotionDetector
    from streamsed.respiration import CycleDetector, SegmenterKind

__all__ = [
    "Detector",
    "DetectorStream",
    "LatencyBudget",
    "PosteriorFrames",
    "StreamStats",
    "latency_budget",
    "load",
]

Floats = npt.NDArray[np.float32]
Thresholds = float | Mapping[str, float]


def load(
    name_or_path: str | os.PathLike[str],
    *,
    backend: Backend | None = None,
    provider: Provider = "cpu",
    num_threads: int | None = None,
    segmenter: SegmenterKind | None = None,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
) -> Detector | CycleDetector | EmotionDetector:
    """Load a model bundle.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped bundle, such as ``"everyday"``, or path of a folder or zip.
    backend : {"onnx", "torchscript"}, optional
        "torchscript" needs the extra ``torch``. By default "onnx", unless the bundle has only the other.
    provider : {"cpu", "cuda", "auto"}
        Where front-end and networks compute. The CPU is the default: for networks of this size and chunks this short,
        a GPU costs latency, unless many streams share it. Only "auto" falls back to it, each of the two by itself,
        and says so once in the log.
    num_threads : int, optional
        Threads inside one network; 1 by default with ONNX Runtime. The one number that PyTorch has for the
        whole process is changed only if this is given.
    segmenter : {"crnn", "envelope", "grid"}, optional
        Of a model of respiratory cycles: what finds their boundaries, by default its network ("crnn").
    window_seconds, hop_seconds : float, optional
        Of a model of dimensional emotion: how much sound a record is about, and from one record to the next; by
        default what the bundle says. Windows under three seconds cost accuracy.

    Returns
    -------
    Detector, CycleDetector or EmotionDetector
        By the task of the bundle, "sound_events", "respiratory_cycles" or "dimensional_emotion".

    Raises
    ------
    BundleError
        If there is no such bundle, or it is damaged or of an unknown schema.
    ConfigError
        If backend or provider are unknown or not there, or a segmenter, window or hop is given to a model without.
    """
    bundle = read_any_bundle(os.fspath(name_or_path))
    is_emotion = isinstance(bundle, EmotionBundle)
    for name, value in (("window_seconds", window_seconds), ("hop_seconds", hop_seconds)):
        require(value is None or is_emotion, name, f"none for a model of {bundle.task}", value)
    if isinstance(bundle, CycleBundle):
        # Its modules cost those who detect events a tenth of the import.
        from streamsed.respiration import CycleDetector

        return CycleDetector(bundle, backend, provider, num_threads, segmenter or "crnn")
    require(segmenter is None, "segmenter", f"none for a model of {bundle.task}", segmenter)
    if isinstance(bundle, EmotionBundle):
        from streamsed.emotion import EmotionDetector

        return EmotionDetector(bundle, backend, provider, num_threads, window_seconds, hop_seconds)
    return Detector(bundle, backend, provider, num_threads)


class Detector:
    """A loaded model; const, so that streams of any number of threads may share it.

    Parameters
    ----------
    bundle : Bundle
    backend, provider, num_threads
        See :func:`load`.

    Attributes
    ----------
    bundle : Bundle
    name : str
    labels : tuple of str
    sample_rate : int
        Of the model, in Hz; streams resample to it.
    member_count : int
        Networks of the ensemble.
    tag_count : int
        Classes that Tags records can have.
    config : LogMelConfig or None
        The front-end; None for networks that take samples.
    image_encoder : ImageEncoder or None
        What makes embeddings of pictures for a model that sees; None for one that hears alone.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend | None = None,
        provider: Provider = "cpu",
        num_threads: int | None = None,
    ) -> None:
        self.bundle = bundle
        self.name = bundle.name
        self.labels = bundle.labels
        self.config: LogMelConfig | None = bundle.front_end
        self.sample_rate = bundle.sample_rate
        self.member_count = len(bundle.members)
        self.tag_count = len(bundle.labels)
        self._log_mel = None if bundle.front_end is None else LogMel(bundle.front_end)
        self._networks = [
            load_network(bundle, member, backend, provider, num_threads) for member in bundle.members
        ]
        self._lanes = None if self._log_mel is None else gpu_lanes(self._log_mel, provider)
        self._encoders = load_side_encoders(bundle, provider, num_threads)
        self.image_encoder = next((item for item in self._encoders if isinstance(item, ImageEncoder)), None)

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
        thresholds: Thresholds | None = None,
        top_k: int = 0,
        provisional: bool = True,
        time_origin: datetime | None = None,
        event_id_prefix: str | None = None,
        on_frames: FramesCallback | None = None,
        clip_tags: bool = False,
        tag_thresholds: Thresholds | None = None,
    ) -> DetectorStream:
        """Begin a stream.

        Parameters
        ----------
        sample_rate : int, optional
            Of the chunks, in Hz; otherwise given with the first chunk, or the model's.
        channels : int, optional
            Of the chunks; otherwise those of the first one.
        channel : "mix", int or sequence of int
            Which channels are heard: the mean of all, one (from 0), or the mean of several.
        source : str
            How records call the stream.
        latency : str or LatencyProfile
            One of :data:`streamsed.config.LATENCY_PROFILES`, or one of your own: :func:`dataclasses.replace` of one of
            them, for longer chunks say, which cost less.
        thresholds : float or mapping, optional
            Another ``threshold_on`` for all labels or for some; ``threshold_off`` moves along in proportion.
        top_k : int
            Give a Tags record with so many classes about ten times a second; 0 for none. It has those of the newest
            frame, and those and the tags of the last ``bundle.tagging.window_seconds``.
        provisional : bool
            Whether to give Onset and Retract records.
        time_origin : datetime, optional
            Wall-clock time of the first sample, with its time zone: records then have ``time_utc``, the
            time of their onset.
        event_id_prefix : str, optional
            What event ids begin with, by default ``source``; to be told apart where several detectors hear
            the same source.
        on_frames : callable, optional
            Called with every new :class:`~streamsed.evidence.PosteriorFrames`, inside ``process``, ``gap`` and
            ``flush``; frames that were lost are not among them.
        clip_tags : bool
            Give a Tags record of all that was heard, with all labels, at the end (``flush``).
        tag_thresholds : float or mapping, optional
            Other thresholds of clip posteriors, for all labels or for some.

        Returns
        -------
        DetectorStream

        Raises
        ------
        ConfigError
            A parameter that cannot be used, such as a threshold for a label that the model does not have.
        """
        profile = latency_profile(latency)
        in_range = 0 <= top_k <= len(self.labels)
        require(in_range, "top_k", f"in [0, {len(self.labels)}], the number of labels", top_k)
        chain = _chain(self.bundle, profile, thresholds)
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
        return DetectorStream(
            settings,
            self.labels,
            self.sample_rate,
            self._posterior_stream(profile, with_disagreement=on_frames is not None),
            chain,
            profile,
            self.bundle.clock,
            self.bundle.time_stride * self.bundle.frame_shape[0],
            _budget(self.bundle, profile, chain),
            on_frames,
            _tagging(self.bundle, tag_thresholds),
            clip_tags,
            self.image_encoder,
        )

    def _posterior_stream(self, profile: LatencyProfile, *, with_disagreement: bool) -> PosteriorStream:
        return PosteriorStream(
            self.bundle,
            self._log_mel,
            self._networks,
            profile,
            with_disagreement,
            self._encoders,
            self._lanes,
        )

    def latency(self, profile: LatencyChoice = "balanced", sample_rate: int | None = None) -> LatencyBudget:
        """Return the algorithmic delay of a stream under a latency profile, stage by stage.

        Parameters
        ----------
        profile : str or LatencyProfile
        sample_rate : int, optional
            Of the input, in Hz; the model's by default.
        """
        return latency_budget(self.bundle, profile, sample_rate)

    def detect(
        self,
        recording: str | os.PathLike[str] | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        source: str | None = None,
        latency: LatencyChoice = "high",
        thresholds: Thresholds | None = None,
        pictures: Pictures | None = None,
    ) -> list[Event]:
        """Detect the events of a whole recording, of any length.

        Parameters
        ----------
        recording : path or array_like
            A file of any format that libsndfile reads, a video (with the extra ``video``), or samples of shape (n,) or
            (n, channels). A model that takes pictures sees those of a video.
        sample_rate : int, optional
            Of an array, in Hz; the model's by default. Files know theirs.
        channel, source, latency, thresholds
            See :meth:`stream`.
        pictures : (images, times), optional
            Beside an array, for a model that takes them: RGB images of shape (N, height, width, 3), uint8, and their
            times in seconds of the sound, shape (N,).

        Returns
        -------
        list of Event
            In order of their onsets.

        Raises
        ------
        FormatError
            If the file is missing, empty, not audio, or cut off. To get the events of what is left of a
            file, use ``sources.FileSource`` and a stream: the source gives everything there is before it
            raises.
        ConfigError
            A parameter that cannot be used.
        """
        records = recording_records(
            self,
            recording,
            sample_rate,
            source,
            pictures,
            channel=channel,
            latency=latency,
            thresholds=thresholds,
        )
        events = [record for record in records if isinstance(record, Event)]
        return sorted(events, key=lambda event: (event.onset, event.offset, event.label))

    def tags(
        self,
        recording: str | os.PathLike[str] | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        source: str | None = None,
        latency: LatencyChoice = "high",
        thresholds: Thresholds | None = None,
        pictures: Pictures | None = None,
    ) -> Tags:
        """Say which sounds there are in a whole recording, of any length, whenever they sound (audio tagging).

        Parameters
        ----------
        recording, sample_rate, channel, source, latency, pictures
            See :meth:`detect`.
        thresholds : float or mapping, optional
            Other thresholds of clip posteriors, for all labels or for some.

        Returns
        -------
        Tags
            ``posteriors`` of all labels, rounded, the strongest first, and ``tags``, those that reach their threshold.

        Raises
        ------
        FormatError, ConfigError
            As :meth:`detect`.
        """
        options: dict[str, Any] = {"channel": channel, "latency": latency, "tag_thresholds": thresholds}
        records = recording_records(self, recording, sample_rate, source, pictures, clip_tags=True, **options)
        (tags,) = (record for record in records if isinstance(record, Tags))
        return tags

    def clip_posteriors(
        self,
        recording: str | os.PathLike[str] | npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        latency: LatencyChoice = "high",
        pictures: Pictures | None = None,
    ) -> Floats:
        """Pool the posterior frames of a whole recording, of any length, as ``bundle.tagging`` says.

        Parameters
        ----------
        recording, sample_rate, channel, latency, pictures
            See :meth:`detect`.

        Returns
        -------
        ndarray, shape (K,), float32
            In [0, 1], by :func:`streamsed.tagging.pooled`; 0 for a recording too short for one posterior.

        Raises
        ------
        FormatError, ConfigError
            As :meth:`detect`.
        """
        clip = ClipPooling(len(self.labels), self.bundle.tagging.pooling)

        def add(frames: PosteriorFrames) -> None:
            clip.add(frames.posteriors)

        options: dict[str, Any] = {"channel": channel, "latency": latency, "on_frames": add}
        for _ in recording_records(self, recording, sample_rate, None, pictures, **options):
            pass
        return clip.posteriors

    def posteriors(
        self,
        samples: npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        latency: LatencyChoice = "high",
        pictures: Pictures | None = None,
    ) -> Floats:
        """Compute the fused posteriors of a whole recording, as a stream does, before any post-processing.

        Parameters
        ----------
        samples : array_like, shape (n,) or (n, channels)
            Finite values within ±1e6.
        sample_rate : int, optional
            In Hz; the model's by default.
        channel, latency
            See :meth:`stream`.
        pictures
            See :meth:`detect`.

        Returns
        -------
        ndarray, shape (T', K), float32
            Row i begins at ``bundle.clock.seconds(i)``.

        Raises
        ------
        ConfigError
            A parameter that cannot be used, or NaN or Inf among the samples.
        """
        return self._frames(
            samples, sample_rate, channel, latency, pictures, with_disagreement=False
        ).posteriors

    def frames(
        self,
        samples: npt.ArrayLike,
        sample_rate: int | None = None,
        *,
        channel: ChannelSelection = "mix",
        latency: LatencyChoice = "high",
        pictures: Pictures | None = None,
    ) -> PosteriorFrames:
        """Compute what :meth:`posteriors` does, with confidence and disagreement of the members in every frame.

        Parameters
        ----------
        samples, sample_rate, channel, latency, pictures
            See :meth:`posteriors`.

        Returns
        -------
        PosteriorFrames

        Raises
        ------
        ConfigError
            As :meth:`posteriors`.
        """
        return self._frames(samples, sample_rate, channel, latency, pictures, with_disagreement=True)

    def _frames(
        self,
        samples: npt.ArrayLike,
        sample_rate: int | None,
        channel: ChannelSelection,
        latency: LatencyChoice,
        pictures: Pictures | None = None,
        *,
        with_disagreement: bool,
    ) -> PosteriorFrames:
        profile = latency_profile(latency)
        rate = self.sample_rate if sample_rate is None else sample_rate
        stream = self._posterior_stream(profile, with_disagreement=with_disagreement)
        feed = None if pictures is None else PictureFeed.of_arrays(self.image_encoder, pictures)
        return recording_frames(stream, samples, rate, self.sample_rate, channel, profile, feed)


def latency_budget(
    bundle: Bundle, profile: LatencyChoice = "balanced", sample_rate: int | None = None
) -> LatencyBudget:
    """Return what :meth:`Detector.latency` does, without loading any network."""
    chosen = latency_profile(profile)
    budget = _budget(bundle, chosen, _chain(bundle, chosen, None))
    if sample_rate is None:
        return budget
    resampler = Resampler(sample_rate, bundle.sample_rate)
    return budget.with_resampling(resampler.latency_samples / sample_rate)


def _budget(bundle: Bundle, profile: LatencyProfile, chain: PostChain) -> LatencyBudget:
    clock = bundle.clock
    hop_seconds = bundle.frame_shape[0] / bundle.sample_rate
    return LatencyBudget(
        resampling=0.0,
        framing=clock.frame_seconds + clock.shift_seconds,
        look_ahead=look_ahead_frames(bundle, profile) * hop_seconds + side_latency_seconds(bundle),
        chunk=profile.chunk_seconds,
        median=chain.latency_frames * clock.frame_seconds,
        min_gap=(chain.final_latency_frames - chain.latency_frames - 1) * clock.frame_seconds,
    )


def _chain(bundle: Bundle, profile: LatencyProfile, thresholds: Thresholds | None) -> PostChain:
    post = _with_thresholds(bundle.post_processing, bundle.labels, thresholds)
    caps = profile.max_median_seconds, profile.max_min_gap, profile.max_step_seconds
    return PostChain(bundle.labels, bundle.clock, post, *caps)


def _with_thresholds(post: PostConfig, labels: tuple[str, ...], thresholds: Thresholds | None) -> PostConfig:
    if thresholds is None:
        return post
    wanted = _by_label(thresholds, labels, "thresholds")
    changed = {label: _moved(post.for_label(label), value) for label, value in wanted.items()}
    return PostConfig(post.default, {**post.labels, **changed})


def _by_label(thresholds: Thresholds, labels: tuple[str, ...], parameter: str) -> dict[str, float]:
    wanted = dict(thresholds) if isinstance(thresholds, Mapping) else dict.fromkeys(labels, thresholds)
    unknown = sorted(set(wanted) - set(labels))
    require(not unknown, parameter, f"labels among {list(labels)}", unknown)
    for label, value in wanted.items():
        require(0.0 < value <= 1.0, f"{parameter}[{label}]", "in (0, 1]", value)
    return wanted


def _tagging(bundle: Bundle, thresholds: Thresholds | None) -> TaggingConfig:
    tagging = bundle.tagging
    if thresholds is None:
        return tagging
    changed = _by_label(thresholds, bundle.labels, "tag_thresholds")
    return dataclasses.replace(tagging, thresholds={**tagging.thresholds, **changed})


def _moved(post: ClassPost, threshold_on: float) -> ClassPost:
    """Return ``post`` with another threshold, and the hysteresis of the same proportion."""
    off = post.threshold_on if post.threshold_off is None else post.threshold_off
    return dataclasses.replace(
        post, threshold_on=threshold_on, threshold_off=off * threshold_on / post.threshold_on
    )
