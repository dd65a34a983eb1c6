"""One endless signal through a model of dimensional emotion: chunks in, records out."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamsed.config import EmotionConfig, LatencyProfile, require
from streamsed.emotion_model import EmotionModel
from streamsed.errors import FormatError
from streamsed.latency import EmotionLatency
from streamsed.models import Steps
from streamsed.sound_stream import Counts, SoundStream, StreamSettings
from streamsed.types import EMOTION_DIMENSIONS, Emotion, Record
from streamsed.voice import VoiceContours

Floats = npt.NDArray[np.float32]


class EmotionStream(SoundStream[EmotionLatency]):
    """State of one stream; made by ``EmotionDetector.stream``. One owner: a second thread gets StateError.

    Gives Emotion and Health; see :class:`~streamsed.sound_stream.SoundStream`.

    Every ``hop_seconds`` there is a record of the last ``window_seconds``, of less where sound has begun, unless the
    voice activity gate finds no speech in it. At the end there is one more of what came after the last window. Windows
    do not reach across lost sound.
    """

    def __init__(
        self,
        settings: StreamSettings,
        model: EmotionModel,
        config: EmotionConfig,
        profile: LatencyProfile,
        budget: EmotionLatency,
    ) -> None:
        front_end = model.functionals.config.front_end
        self._model = model
        self._config = config
        self._contours = model.functionals.contours
        self._hop_length = front_end.hop_length
        self._frame_seconds = front_end.hop_length / front_end.sample_rate
        self._window_frames = self._frames(config.window_seconds)
        self._hop_frames = max(1, round(config.hop_seconds / self._frame_seconds))
        self._least_frames = min(self._frames(config.least_seconds), self._window_frames)
        super().__init__(
            settings,
            EMOTION_DIMENSIONS,
            front_end.sample_rate,
            front_end.hop_length,
            profile,
            budget,
            model.member_count,
        )
        self._members = self.member_count
        self._begin_counting()

    def _frames(self, seconds: float) -> int:
        """Return the number of frames that so much sound has."""
        rate = self._contours.config.front_end.sample_rate
        return max(1, self._contours.frame_count(round(seconds * rate)))

    def _begin_counting(self) -> None:
        self._emotions = 0
        self._seconds_with_fewer = 0.0
        self._begin_piece(0)

    def _begin_piece(self, frame: int) -> None:
        """Begin with sound whose first frame has that number."""
        self._tail = np.empty(0, np.float32)  # from the first frame on that is not computed yet
        self._known = self._contours(self._tail)
        self._piece_begin = self._end_frame = frame
        self._next_end = frame + self._least_frames
        self._smooth: Floats | None = None

    def _reset(self) -> None:
        self._members = self.member_count
        self._begin_counting()

    def _counts(self) -> Counts:
        return Counts(emotions=self._emotions, members_skipped_seconds=self._seconds_with_fewer)

    @property
    def members(self) -> int:
        """How many networks take part; see :meth:`set_members`."""
        return self._members

    def _set_members(self, count: int) -> None:
        require(1 <= count <= self.member_count, "members", f"from 1 to {self.member_count}", count)
        self._members = count

    # ---- sound
    # ---------------------------------------------------------------------------------------------

    def _analyse(self, mono: Floats) -> Steps[list[Record]]:
        # Its networks run once a hop and on their own: there is nothing to be asked for.
        yield from ()
        if len(mono) == 0:
            return []
        self._tail = np.concatenate([self._tail, mono])
        records: list[Record] = []
        while self._end_frame + self._contours.frame_count(len(self._tail)) >= self._next_end:
            self._advance(self._next_end - self._end_frame)
            records += self._record()
            self._next_end += self._hop_frames
        return records

    def _advance(self, frames: int) -> None:
        """Compute so many more frames; keep those of a window."""
        if frames == 0:
            return
        samples = (frames - 1) * self._hop_length + self._contours.frame_length
        new = self._contours(self._tail[:samples])
        self._known = self._known.joined(new).last(self._window_frames)
        self._tail = self._tail[frames * self._hop_length :]
        self._end_frame += frames

    def _end_piece(self) -> Steps[list[Record]]:
        yield from ()
        frames = self._contours.frame_count(len(self._tail))
        # What came after the last window, or all of a piece too short for one; a fifth of a hop says nothing new.
        if self._end_frame > self._piece_begin and frames * 5 < self._hop_frames:
            return []
        self._advance(frames)
        return self._record()

    def _go_on(self, frame: int) -> list[Record]:
        self._begin_piece(frame)
        return []

    def _end(self) -> Steps[list[Record]]:
        return self._end_piece()

    # ---- records
    # ---------------------------------------------------------------------------------------------

    def _record(self) -> list[Record]:
        """Return a record of the frames that are known, unless nobody speaks."""
        functionals = self._functionals(self._known)
        if functionals is None:
            self._smooth = None
            return []
        speech = float(self._model.speech(functionals)[0])
        if speech < self._config.speech_threshold:
            self._smooth = None
            return []
        found = self._model.levels(functionals, self._members)
        levels = self._smoothed(found.mean[0])
        skipped = self.member_count - self._members
        if skipped:
            self._seconds_with_fewer += self._config.hop_seconds
        self._emotions += 1
        onset = (self._end_frame - len(self._known)) * self._frame_seconds
        length = self._contours.frame_length - self._hop_length
        offset = self._end_frame * self._frame_seconds + length / self._model_rate
        values = dict(zip(EMOTION_DIMENSIONS, (round(float(level), 4) for level in levels), strict=True))
        spread = (round(float(value), 4) for value in found.spread[0])
        return [
            Emotion(
                onset=round(onset, 6),
                offset=round(offset, 6),
                **values,
                uncertainty=dict(zip(EMOTION_DIMENSIONS, spread, strict=True)),
                speech=round(speech, 4),
                source=self._settings.source,
                emitted_seconds=self._emitted_seconds,
                time_utc=self._time_utc(onset),
                members_skipped=skipped or None,
            )
        ]

    def _functionals(self, contours: VoiceContours) -> Floats | None:
        """Return functionals, shape (1, D); None of silence and of what is too short."""
        try:
            return self._model.functionals.statistics(contours)[np.newaxis]
        except FormatError:
            return None

    def _smoothed(self, levels: Floats) -> Floats:
        if self._smooth is None or self._config.smoothing_seconds == 0:
            self._smooth = levels
        else:
            share = 1.0 - math.exp(-self._config.hop_seconds / self._config.smoothing_seconds)
            self._smooth = self._smooth + np.float32(share) * (levels - self._smooth)
        return self._smooth
