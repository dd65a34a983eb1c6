"""One endless signal through a detector of sound events: chunks in, records out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from streamsed.config import FrameClock, LatencyProfile, TaggingConfig
from streamsed.evidence import FrameHistory, PosteriorFrames, uncertainty
from streamsed.latency import LatencyBudget
from streamsed.models import Steps
from streamsed.picture_monitor import PictureMonitor
from streamsed.posterior_stream import PosteriorStream
from streamsed.postprocess import Decision, PostChain
from streamsed.side_encoders import ImageEncoder
from streamsed.sound_stream import Counts, SoundStream, StreamSettings
from streamsed.tagging import ClipPooling, strongest, tags_of
from streamsed.types import Event, Onset, Record, Retract, Tags

Floats = npt.NDArray[np.float32]
FramesCallback = Callable[[PosteriorFrames], object]


class DetectorStream(SoundStream[LatencyBudget]):
    """State of one stream; made by ``Detector.stream``. One owner: a second thread gets StateError.

    Gives Onset, Retract, Event, Health and Tags; see :class:`~streamsed.sound_stream.SoundStream`.
    """

    def __init__(
        self,
        settings: StreamSettings,
        labels: tuple[str, ...],
        model_rate: int,
        posteriors: PosteriorStream,
        chain: PostChain,
        profile: LatencyProfile,
        clock: FrameClock,
        frame_samples: int,
        budget: LatencyBudget,
        on_frames: FramesCallback | None,
        tagging: TaggingConfig,
        clip_tags: bool,
        image_encoder: ImageEncoder | None = None,
    ) -> None:
        super().__init__(settings, labels, model_rate, frame_samples, profile, budget, posteriors.members)
        self._posteriors = posteriors
        self._chain = chain
        self._clock = clock
        self._history = FrameHistory(clock, self.member_count)
        self._on_frames = on_frames
        self._tagging = tagging
        window = max(1, round(tagging.window_seconds / clock.frame_seconds))
        self._window = ClipPooling(len(labels), tagging.pooling, window) if settings.top_k else None
        self._clip = ClipPooling(len(labels), tagging.pooling) if clip_tags else None
        self._poolings = [pooling for pooling in (self._window, self._clip) if pooling is not None]
        self.image_encoder = image_encoder
        self._pictures: PictureMonitor | None = None
        if image_encoder is not None:
            self._pictures = PictureMonitor(settings.source)
            posteriors.watch_pictures(self._pictures.add)
        self._begin_counting()

    def _begin_counting(self) -> None:
        self._events = self._onsets = self._retracts = 0
        self._frames_with_fewer = 0

    def _reset(self) -> None:
        self._posteriors.reset()
        self._chain.reset()
        self._history.reset()
        for pooling in self._poolings:
            pooling.reset()
        if self._pictures is not None:
            self._pictures.reset()
        self._begin_counting()

    def _counts(self) -> Counts:
        return Counts(
            events=self._events,
            onsets=self._onsets,
            retracts=self._retracts,
            members_skipped_seconds=self._frames_with_fewer * self._clock.frame_seconds,
        )

    @property
    def members(self) -> int:
        """How many networks take part; see :meth:`set_members`."""
        return self._posteriors.members

    def _set_members(self, count: int) -> None:
        self._posteriors.set_members(count)

    @property
    def has_picture(self) -> bool | None:
        """Whether there is a picture now, of a model that takes them; otherwise None."""
        return None if self._pictures is None else self._pictures.is_present

    def _push_picture(self, features: Floats, time_seconds: float) -> None:
        self._posteriors.push_picture(features, time_seconds)

    def _analyse(self, mono: Floats) -> Steps[list[Record]]:
        return self._decide((yield from self._posteriors.process_steps(mono)))

    def _end_piece(self) -> Steps[list[Record]]:
        return self._decide((yield from self._posteriors.gap_steps()))

    def _go_on(self, frame: int) -> list[Record]:
        lost = self._posteriors.resume(frame)
        for pooling in self._poolings:
            pooling.gap(lost)
        return self._records(self._chain.gap(lost)) if lost else []

    def _end(self) -> Steps[list[Record]]:
        records = self._decide((yield from self._posteriors.flush_steps()))
        if self._pictures is not None:
            self._pictures.end()
            records += self._pictures.take()
        records += self._records(self._chain.flush())
        return records if self._clip is None else [*records, self._clip_tags(self._clip)]

    def _decide(self, frames: PosteriorFrames) -> list[Record]:
        """Turn new frames into records."""
        if len(frames) == 0:
            return []
        seen: list[Record] = [] if self._pictures is None else [*self._pictures.take()]
        self._history.append(frames)
        self._frames_with_fewer += int(np.count_nonzero(frames.members < self.member_count))
        if self._on_frames is not None:
            self._on_frames(frames)
        for pooling in self._poolings:
            pooling.add(frames.posteriors)
        records = seen + self._records(self._chain.process(frames.posteriors))
        if not self._settings.top_k:
            return records
        newest = self._tags(self.labels, frames.posteriors[-1], self._posteriors.frames)
        return records + [self._with_window(item) for item in newest]

    def _with_window(self, newest: Tags) -> Tags:
        """Add what the window says that ends with the newest frame."""
        window = self._window
        assert window is not None  # there are no Tags without top_k
        posteriors = window.posteriors
        return dataclasses.replace(
            newest,
            onset=round(max(0.0, newest.time - window.span_frames * self._clock.frame_seconds), 4),
            tags=tags_of(self.labels, posteriors, self._tagging),
            clip_posteriors=strongest(self.labels, posteriors, self._settings.top_k),
            spans_gap=window.present_frames < window.span_frames,
        )

    def _clip_tags(self, clip: ClipPooling) -> Tags:
        posteriors = clip.posteriors
        return Tags(
            time=round(self.stats.audio_seconds, 6),
            posteriors=strongest(self.labels, posteriors, len(self.labels)),
            source=self._settings.source,
            onset=0.0,
            tags=tags_of(self.labels, posteriors, self._tagging),
            spans_gap=clip.present_frames < clip.span_frames,
        )

    def _records(self, decisions: list[Decision]) -> list[Record]:
        records: list[Record] = []
        for item in decisions:
            if item.kind == "event":
                self._events += 1
            elif item.kind == "onset":
                self._onsets += 1
            else:
                self._retracts += 1
            if item.kind == "event" or self._settings.provisional:
                records.append(self._record(item))
        return records

    def _record(self, item: Decision) -> Record:
        settings = self._settings
        event_id = f"{settings.id_prefix}-{item.number}"
        if item.kind == "retract":
            return Retract(event_id)
        time_utc = self._time_utc(item.onset)
        if item.kind == "onset":
            decided = self._clock.seconds(item.decided_frame)
            return Onset(
                event_id=event_id,
                source=settings.source,
                label=item.label,
                onset=round(item.onset, 6),
                confidence=round(item.confidence, 4),
                emitted_seconds=self._emitted_seconds,
                time_utc=time_utc,
                members_skipped=self._history.skipped(decided, decided) or None,
                modalities=self._modalities(decided, decided),
            )
        offset = item.onset if item.offset is None else item.offset
        trust = self._history.confidence(item.onset, offset)
        return Event(
            event_id=event_id,
            source=settings.source,
            label=item.label,
            onset=round(item.onset, 6),
            offset=round(offset, 6),
            confidence=round(item.confidence, 4),
            uncertainty=round(uncertainty(item.uncertainty, trust), 4),
            spans_gap=item.spans_gap,
            truncated=item.truncated,
            emitted_seconds=self._emitted_seconds,
            time_utc=time_utc,
            members_skipped=self._history.skipped(item.onset, offset) or None,
            modalities=self._modalities(item.onset, offset),
        )

    def _modalities(self, onset: float, offset: float) -> list[str] | None:
        """What a model of several modalities had between two moments."""
        if self._pictures is None or self.image_encoder is None:
            return None
        seen = self._pictures.has_pictures(onset, offset)
        return ["audio", self.image_encoder.name] if seen else ["audio"]
