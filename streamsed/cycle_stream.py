"""One endless signal through a detector of respiratory cycles: chunks in, records out."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from streamsed.audio_history import AudioHistory
from streamsed.boundaries import BoundaryFinder, TimedBoundary
from streamsed.bundle import CycleManifest
from streamsed.config import LatencyProfile, require
from streamsed.cycle_classifier import CycleClassifier
from streamsed.cycle_tracker import CycleTracker, TrackedCycle
from streamsed.evidence import PosteriorFrames
from streamsed.latency import CycleLatency
from streamsed.models import Steps
from streamsed.posterior_stream import PosteriorStream
from streamsed.quality import GateChange, QualityGate
from streamsed.sound_stream import Counts, SoundStream, StreamSettings
from streamsed.types import Cycle, CycleOpen, Health, Record, Retract

Floats = npt.NDArray[np.float32]

# Lost sound that a cycle goes on over, what was lost since the last sample taken together.
LONGEST_BRIDGED_SECONDS = 0.5
# Beyond the longest cycle, sound is kept for boundaries that come to be known late and for a late decision.
_HINDSIGHT_SECONDS = 3.0
# The respiratory rate is that of so many last whole cycles, and known from so many on.
_RATE_CYCLES = 8
_FEWEST_RATE_CYCLES = 3


class CycleStream(SoundStream[CycleLatency]):
    """State of one stream; made by ``CycleDetector.stream``. One owner: a second thread gets StateError.

    Gives CycleOpen, Cycle, Retract, Health and Tags (of the segmenter's posteriors); see
    :class:`~streamsed.sound_stream.SoundStream`.

    A cycle lies between two boundaries. Where sound begins that may hold cycles (at the beginning of the stream,
    after lost sound and after something that was no lung sound), one begins as well, marked ``truncated``; so is one
    that ends with the sound. Lost sound of up to half a second in a row lies inside a cycle that ``spans_gap``, longer
    holes end it; the classifier hears what there is, joined. While the quality gate is closed there are no cycles, and
    one that was open is retracted.
    """

    def __init__(
        self,
        settings: StreamSettings,
        manifest: CycleManifest,
        posteriors: PosteriorStream,
        finder: BoundaryFinder,
        classifier: CycleClassifier,
        profile: LatencyProfile,
        least_posteriors: Mapping[str, float],
    ) -> None:
        segmenter = manifest.segmenter
        super().__init__(
            settings,
            manifest.labels,
            manifest.sample_rate,
            segmenter.time_stride * segmenter.frame_shape[0],
            profile,
            finder.latency(profile.chunk_seconds),
            classifier.member_count,
        )
        self._config = manifest.cycles
        self._least_posteriors = dict(least_posteriors)
        self._posteriors = posteriors
        self._finder = finder
        self._classifier = classifier
        self._clock = segmenter.clock
        self._segmenter_labels = segmenter.labels
        self._gate = QualityGate(self._config.gate, self._clock.frame_seconds)
        self._gate_columns = [
            segmenter.labels.index(label) for label in ("lung_sound", "speech", "contact_noise")
        ]
        kept = self._config.decoder.max_seconds + _HINDSIGHT_SECONDS
        self._history = AudioHistory(math.ceil(kept * manifest.sample_rate))
        self._tracker = CycleTracker()
        self._members = self.member_count
        self._begin_counting()

    def _begin_counting(self) -> None:
        self._cycles = self._onsets = self._retracts = 0
        self._seconds_with_fewer = 0.0
        self._durations: deque[float] = deque(maxlen=_RATE_CYCLES)
        self._respiratory_rate: float | None = None
        self._sound_end = 0.0  # of what was heard, in seconds
        self._heard = 0  # samples of the input
        self._lost_seconds = 0.0  # since then
        self._awaits_cycle = True
        self._next_evidence = 0.0

    def _reset(self) -> None:
        self._posteriors.reset()
        self._finder.reset()
        self._gate.reset()
        self._history.reset()
        self._tracker.reset()
        self._members = self.member_count
        self._begin_counting()

    def _counts(self) -> Counts:
        return Counts(
            onsets=self._onsets,
            retracts=self._retracts,
            members_skipped_seconds=self._seconds_with_fewer,
            cycles=self._cycles,
            respiratory_rate=self._respiratory_rate,
        )

    @property
    def members(self) -> int:
        """How many networks of the classifier take part; see :meth:`set_members`."""
        return self._members

    def _set_members(self, count: int) -> None:
        require(1 <= count <= self.member_count, "members", f"from 1 to {self.member_count}", count)
        self._members = count

    # ---- sound
    # ---------------------------------------------------------------------------------------------

    def _analyse(self, mono: Floats) -> Steps[list[Record]]:
        if self._taken > self._heard:
            self._heard, self._lost_seconds = self._taken, 0.0
            self._sound_end = self._position / self._rate
        self._history.append(mono)
        return self._heed(mono, (yield from self._posteriors.process_steps(mono)))

    def _end_piece(self) -> Steps[list[Record]]:
        return self._heed(np.empty(0, np.float32), (yield from self._posteriors.gap_steps()))

    def _end(self) -> Steps[list[Record]]:
        records = self._heed(np.empty(0, np.float32), (yield from self._posteriors.flush_steps()))
        records += self._follow(self._finder.flush(), [])
        return records + self._tell(self._tracker.cut(self._sound_end))

    def _go_on(self, frame: int) -> list[Record]:
        lost = self._posteriors.resume(frame)
        self._history.skip(frame * self._frame_samples)
        self._gate.gap(lost)
        self._lost_seconds += lost * self._clock.frame_seconds
        if self._lost_seconds <= LONGEST_BRIDGED_SECONDS:
            boundaries = self._finder.bridge(lost)
            if boundaries is not None:
                self._tracker.bridge(self._sound_end)
                return self._follow(boundaries, [])
        records = self._follow(self._finder.gap(lost), [])
        records += self._tell(self._tracker.cut(self._sound_end))
        self._awaits_cycle = True
        return records

    def _heed(self, sound: Floats, frames: PosteriorFrames) -> list[Record]:
        """Turn sound and the posteriors that came with it into records."""
        boundaries = self._finder.process(sound, frames)
        if len(frames) == 0:
            return self._follow(boundaries, [])
        records: list[Record] = []
        if self._awaits_cycle and self._gate.is_open:
            records += self._tell(self._tracker.begin(self._clock.seconds(frames.first)))
        self._awaits_cycle = False
        changes = self._gate.process(*(frames.posteriors[:, column] for column in self._gate_columns))
        records += self._follow(boundaries, changes)
        records += self._evidence()
        return records + self._tags(self._segmenter_labels, frames.posteriors[-1], self._posteriors.frames)

    # ---- cycles
    # --------------------------------------------------------------------------------------------

    def _follow(self, boundaries: Sequence[TimedBoundary], changes: Sequence[GateChange]) -> list[Record]:
        """Take boundaries and changes of the gate in the order of their times."""
        if not boundaries and not changes:
            return []
        moments: list[tuple[float, TimedBoundary | GateChange]] = [
            *((item.seconds, item) for item in boundaries),
            *((self._clock.seconds(item.frame), item) for item in changes),
        ]
        records: list[Record] = []
        for seconds, item in sorted(moments, key=lambda moment: moment[0]):
            if isinstance(item, TimedBoundary):
                onset = None if self._tracker.open is None else self._tracker.open.onset
                was_breathless = self._tracker.breathless
                told = self._tell(self._tracker.boundary(seconds, item.forced))
                if self._tracker.breathless and not was_breathless:
                    assert onset is not None  # only an open cycle is taken back
                    records.append(Health("no_breathing", round(onset, 6), self._settings.source))
                records += told
            elif item.condition is None:
                records += self._tell(self._tracker.begin(seconds))
            else:
                since = round(self._clock.seconds(item.since), 6)
                records.append(Health(item.condition, since, self._settings.source))
                records += self._tell(self._tracker.retract())
        return records

    def _tell(self, cycles: Sequence[TrackedCycle]) -> list[Record]:
        records: list[Record] = []
        for cycle in cycles:
            if cycle.state == "open":
                self._onsets += 1
                self._next_evidence = self._config.evidence_seconds
                records += self._opened(cycle, None)
                continue
            sound = np.empty(0, np.float32)
            if cycle.offset is not None:
                sound = self._history.read(self._sample(cycle.onset), self._sample(cycle.offset))
            if len(sound):
                records.append(self._closed(cycle, sound))
                continue
            self._retracts += 1
            if self._settings.provisional:
                records.append(Retract(self._cycle_id(cycle)))
        return records

    def _sample(self, seconds: float) -> int:
        return round(seconds * self._model_rate)

    def _cycle_id(self, cycle: TrackedCycle) -> str:
        return f"{self._settings.id_prefix}-{cycle.number}"

    def _evidence(self) -> list[Record]:
        """Classify what there is of the open cycle, if it is time."""
        cycle, every = self._tracker.open, self._config.evidence_seconds
        if cycle is None or not self._settings.provisional:
            return []
        heard = self._sound_end - cycle.onset
        if heard < self._next_evidence:
            return []
        self._next_evidence = (math.floor(heard / every) + 1) * every
        sound = self._history.read(self._sample(cycle.onset), self._history.position)
        members = min(self._config.evidence_members, self._members)
        return self._opened(cycle, self._classifier(sound, members)) if len(sound) else []

    def _opened(self, cycle: TrackedCycle, posteriors: Floats | None) -> list[Record]:
        if not self._settings.provisional:
            return []
        return [
            CycleOpen(
                cycle_id=self._cycle_id(cycle),
                source=self._settings.source,
                onset=round(cycle.onset, 6),
                posteriors=None if posteriors is None else self._by_label(posteriors),
                emitted_seconds=self._emitted_seconds,
                time_utc=self._time_utc(cycle.onset),
            )
        ]

    def _by_label(self, posteriors: Floats) -> dict[str, float]:
        return {label: round(float(p), 4) for label, p in zip(self.labels, posteriors, strict=True)}

    def _closed(self, cycle: TrackedCycle, sound: Floats) -> Cycle:
        assert cycle.offset is not None
        duration = cycle.offset - cycle.onset
        posteriors = self._classifier(sound, self._members)
        label = decide(posteriors, self.labels, self._config.class_weights, self._least_posteriors)
        if not (cycle.truncated or cycle.forced):
            self._durations.append(duration)
            if len(self._durations) >= _FEWEST_RATE_CYCLES:
                # Kept, as statistics are read by other threads, which must not meet a list that changes.
                self._respiratory_rate = round(60.0 / statistics.median(self._durations), 2)
        self._cycles += 1
        skipped = self.member_count - self._members
        if skipped:
            self._seconds_with_fewer += duration
        return Cycle(
            cycle_id=self._cycle_id(cycle),
            source=self._settings.source,
            onset=round(cycle.onset, 6),
            offset=round(cycle.offset, 6),
            label=label,
            posteriors=self._by_label(posteriors),
            confidence=round(float(posteriors[self.labels.index(label)]), 4),
            uncertainty=round(normalised_entropy(posteriors), 4),
            respiratory_rate=self._respiratory_rate,
            forced=cycle.forced,
            truncated=cycle.truncated,
            spans_gap=cycle.spans_gap,
            emitted_seconds=self._emitted_seconds,
            time_utc=self._time_utc(cycle.onset),
            members_skipped=skipped or None,
        )


def decide(
    posteriors: Floats,
    labels: Sequence[str],
    class_weights: Sequence[float],
    least_posteriors: Mapping[str, float],
) -> str:
    """Return the label with the largest w_k p_k, or the first one where that does not reach its least posterior.

    Parameters
    ----------
    posteriors : ndarray, shape (K,)
    labels : sequence of str
        The first one is what a cycle is called without anything adventitious.
    class_weights : sequence of float
    least_posteriors : mapping
        Of labels that have one.
    """
    best = int(np.argmax(np.asarray(posteriors, np.float64) * np.asarray(class_weights, np.float64)))
    reached = float(posteriors[best]) >= least_posteriors.get(labels[best], 0.0)
    return labels[best] if reached else labels[0]


def normalised_entropy(posteriors: Floats) -> float:
    """Entropy of posteriors (K,) over that of a uniform guess, in [0, 1].

    Of the mean of several networks it is the mean entropy of each, what they are unsure of, and the mutual information
    between the answer and the choice of the network, what they disagree about.
    """
    p = np.asarray(posteriors, np.float64)
    p = p[p > 0.0] / p.sum()
    return float(min(1.0, max(0.0, -(p * np.log(p)).sum() / math.log(len(posteriors)))))
