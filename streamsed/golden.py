"""The self-test of a bundle: its golden input must give its golden outputs on this machine too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamsed.bundle import CycleGolden, EmotionGolden, Golden
from streamsed.detector import Detector
from streamsed.emotion import EmotionDetector
from streamsed.respiration import CycleDetector
from streamsed.types import EMOTION_DIMENSIONS, Cycle, Emotion, Event

TOLERANCE = 1e-3
# Length of the pieces that the classifier of a model of respiratory cycles is tried with.
_PIECE_SECONDS = 3.0


@dataclass(frozen=True)
class GoldenReport:
    """How near this machine comes to the golden outputs.

    Attributes
    ----------
    max_difference : float
        Largest absolute difference of a posterior; Inf where even their number differs.
    events_equal : bool
        Same labels, and times within half a posterior frame.
    expected_events, found_events : int
        Events, cycles or records of emotion.
    tolerance : float
        What ``max_difference`` may be: machines differ in the order of their sums.
    """

    max_difference: float
    events_equal: bool
    expected_events: int
    found_events: int
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the bundle works here as where it was made."""
        return self.events_equal and self.max_difference <= self.tolerance


def golden_samples(sample_rate: int, seconds: float = 5.0) -> npt.NDArray[np.float32]:
    """Return noise bursts, a chirp, clicks, a harmonic glide and silence, shape (seconds * sample_rate,).

    The input of golden checks: synthesised, so that it may ship, and varied enough to move a whole network.
    """
    rng = np.random.default_rng(2026)
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    out = 1e-4 * rng.standard_normal(len(t))
    burst = (t % 1.0 < 0.25) & (t < 2.0)
    out[burst] += 0.2 * rng.standard_normal(int(burst.sum()))
    chirp = (t >= 2.0) & (t < 3.0)
    out[chirp] += 0.3 * np.sin(2 * np.pi * (200 * t[chirp] + 1500 * (t[chirp] - 2.0) ** 2))
    out[(np.arange(len(t)) % (sample_rate // 4) == 0) & (t >= 3.0) & (t < 4.0)] += 0.8
    glide = (t >= 4.0) & (t < 4.7)
    phase = 2 * np.pi * np.cumsum(np.where(glide, 300 + 400 * (t - 4.0), 0.0)) / sample_rate
    for harmonic in range(1, 8):
        out[glide] += 0.1 * np.sin(harmonic * phase[glide])
    return np.clip(out, -1, 1).astype(np.float32)


def golden_pictures(
    height: int, width: int, seconds: float = 4.0, rate_hz: float = 4.0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return pictures (P, height, width, 3) of a bright square that moves over a changing ground, and their times (P,).

    They end before the sound of :func:`golden_samples` does, so that its last second has to do without.
    """
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    pictures = np.empty((len(times), height, width, 3), np.uint8)
    side = max(1, min(height, width) // 3)
    for number, picture in enumerate(pictures):
        picture[:] = [40 + 10 * number % 120, 90, 160 - 8 * number % 120]
        top, left = (number * step % max(1, size - side) for step, size in ((3, height), (5, width)))
        picture[top : top + side, left : left + side] = [240, 200, 30]
    return pictures, times


def make_golden(detector: Detector, samples: npt.NDArray[np.float32]) -> Golden:
    """Run ``samples``, shape (n,) at the model's rate; keep what came out, for ``bundle.write_golden``.

    A model that takes pictures gets those of :func:`golden_pictures`, in the size of its encoder.
    """
    encoder = detector.image_encoder
    seen = None if encoder is None else golden_pictures(*encoder.size)
    events = detector.detect(samples, pictures=seen)
    return Golden(
        samples=np.ascontiguousarray(samples, np.float32),
        posteriors=detector.posteriors(samples, pictures=seen),
        event_label=np.array([detector.labels.index(event.label) for event in events], np.int64),
        event_times=_times(events),
        pictures=None if seen is None else seen[0],
        picture_times=None if seen is None else seen[1],
    )


def golden_breathing(sample_rate: int, seconds: float = 15.0) -> npt.NDArray[np.float32]:
    """Return synthetic breath sounds, 15 breaths a minute, shape (seconds * sample_rate,).

    The input of golden checks of respiratory cycles: noise whose amplitude falls with the frequency to the power of
    -1.5, as that of breath sounds does, and swells while air flows in (1.3 s) and, fainter, out (1.7 s), with a pause
    after it.
    """
    rng = np.random.default_rng(2026)
    count = round(seconds * sample_rate)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1.0 / sample_rate)
    spectrum *= np.where(frequency > 20.0, (np.maximum(frequency, 60.0) / 60.0) ** -1.5, 0.0)
    noise = np.fft.irfft(spectrum, count)
    phase = np.arange(count) / sample_rate % 4.0
    flow = 0.05 + np.where(phase < 1.3, np.sin(np.pi * phase / 1.3) ** 2, 0.0)
    out = (phase >= 1.5) & (phase < 3.2)
    flow += np.where(out, 0.6 * np.sin(np.pi * (phase - 1.5) / 1.7) ** 2, 0.0)
    samples = 0.1 * (flow * noise / noise.std() + 1e-3 * rng.standard_normal(count))
    return np.asarray(np.clip(samples, -1, 1), np.float32)


def make_cycle_golden(detector: CycleDetector, samples: npt.NDArray[np.float32]) -> CycleGolden:
    """Run ``samples``, shape (n,) at the model's rate; keep what came out, for ``bundle.write_cycle_golden``."""
    cycles = detector.detect(samples)
    return CycleGolden(
        samples=np.ascontiguousarray(samples, np.float32),
        segmenter=detector.frames(samples).posteriors,
        pieces=_pieces(detector, samples),
        cycle_label=np.array([detector.labels.index(cycle.label) for cycle in cycles], np.int64),
        cycle_times=_times(cycles),
        cycle_posteriors=_posteriors(detector, cycles),
    )


def golden_voice(sample_rate: int, seconds: float = 6.0) -> npt.NDArray[np.float32]:
    """Return a synthetic voice, shape (seconds * sample_rate,), silent in each fifth second.

    The input of golden checks of dimensional emotion: pulses whose rate moves as intonation does, through resonances
    at the formants of one vowel after the other, with hissing consonants and pauses between syllables.
    """
    rng = np.random.default_rng(2026)
    count = round(seconds * sample_rate)
    time = np.arange(count) / sample_rate
    syllable = np.floor(time / 0.22).astype(int)
    place = time / 0.22 - syllable
    tune = 120.0 * 2 ** (0.35 * np.sin(2 * np.pi * 0.4 * time) + 0.12 * np.sin(2 * np.pi * 1.9 * time))
    # Breath and chance keep a voice from being as even as a machine.
    phase = np.cumsum(tune * (1 + 0.01 * rng.standard_normal(count))) / sample_rate
    pulses = np.diff(np.floor(phase), prepend=0.0)
    pulses = pulses * np.clip((place > 0.3) & (place < 0.95), 0.0, 1.0) + 0.01 * rng.standard_normal(count)
    vowels = ((700, 1200, 2500), (300, 2200, 2900), (500, 900, 2400), (350, 800, 2300), (550, 1800, 2500))
    frequency = np.fft.rfftfreq(count, 1.0 / sample_rate)
    spectrum = np.fft.rfft(pulses)
    voice = np.zeros(count)
    for number, formants in enumerate(vowels):
        shape = sum(1.0 / (1.0 + ((frequency - formant) / 90.0) ** 2) for formant in formants)
        tilt = 1.0 / (1.0 + frequency / 500.0)
        sounds = np.fft.irfft(spectrum * shape * tilt, count)
        voice += np.where(syllable % len(vowels) == number, sounds, 0.0)
    hiss = rng.standard_normal(count) * ((place < 0.2) & (syllable % 3 == 0)) * 0.1 * voice.std()
    out = (voice / voice.std() + hiss / voice.std()) * (time % 5.0 < 4.0)
    samples = 0.1 * out + 1e-4 * rng.standard_normal(count)
    return np.asarray(np.clip(samples, -1, 1), np.float32)


def make_emotion_golden(detector: EmotionDetector, samples: npt.NDArray[np.float32]) -> EmotionGolden:
    """Run ``samples``, shape (n,) at the model's rate; keep what came out, for ``bundle.write_emotion_golden``."""
    records = detector.detect(samples)
    functionals = detector.model.functionals(samples)[np.newaxis]
    return EmotionGolden(
        samples=np.ascontiguousarray(samples, np.float32),
        levels=detector.model.member_levels(functionals)[:, 0],
        speech=detector.model.speech(functionals),
        record_times=_times(records),
        record_levels=_levels(records),
    )


def check_golden(detector: Detector | CycleDetector | EmotionDetector) -> GoldenReport:
    """Run the golden input of the detector's bundle through the stream and compare.

    Raises
    ------
    BundleError
        If the bundle has no golden file, or it is damaged.
    """
    if isinstance(detector, CycleDetector):
        return _check_cycles(detector)
    if isinstance(detector, EmotionDetector):
        return _check_emotion(detector)
    golden = detector.bundle.read_golden()
    seen = None
    if golden.pictures is not None and golden.picture_times is not None:
        seen = golden.pictures, golden.picture_times
    difference = _difference(detector.posteriors(golden.samples, pictures=seen), golden.posteriors)
    events = detector.detect(golden.samples, pictures=seen)
    labels = [detector.labels.index(event.label) for event in events]
    half_frame = detector.bundle.clock.frame_seconds / 2
    equal = labels == golden.event_label.tolist() and bool(
        np.all(np.abs(_times(events) - golden.event_times) <= half_frame)
    )
    return GoldenReport(difference, equal, len(golden.event_label), len(events))


def _check_cycles(detector: CycleDetector) -> GoldenReport:
    golden = detector.bundle.read_golden()
    found = make_cycle_golden(detector, golden.samples)
    difference = max(_difference(found.segmenter, golden.segmenter), _difference(found.pieces, golden.pieces))
    half_frame = detector.bundle.segmenter.clock.frame_seconds / 2
    equal = found.cycle_label.tolist() == golden.cycle_label.tolist() and bool(
        np.all(np.abs(found.cycle_times - golden.cycle_times) <= half_frame)
    )
    if equal:
        # Records have four digits, and a cycle may differ by a sample at its ends.
        equal = bool(np.all(np.abs(found.cycle_posteriors - golden.cycle_posteriors) <= 10 * TOLERANCE))
    return GoldenReport(difference, equal, len(golden.cycle_label), len(found.cycle_label))


def _check_emotion(detector: EmotionDetector) -> GoldenReport:
    golden = detector.bundle.read_golden()
    found = make_emotion_golden(detector, golden.samples)
    difference = max(_difference(found.levels, golden.levels), _difference(found.speech, golden.speech))
    frame = detector.model.functionals.contours.hop_length / detector.sample_rate
    equal = found.record_times.shape == golden.record_times.shape and bool(
        np.all(np.abs(found.record_times - golden.record_times) <= frame / 2)
        and np.all(np.abs(found.record_levels - golden.record_levels) <= TOLERANCE)
    )
    return GoldenReport(difference, equal, len(golden.record_times), len(found.record_times))


def _difference(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max(initial=0.0))


def _pieces(detector: CycleDetector, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    length = round(_PIECE_SECONDS * detector.sample_rate)
    rows = [detector.classifier(samples[begin : begin + length]) for begin in range(0, len(samples), length)]
    return np.array(rows, np.float32).reshape(-1, len(detector.labels))


def _posteriors(detector: CycleDetector, cycles: list[Cycle]) -> npt.NDArray[np.float32]:
    rows = [[cycle.posteriors[label] for label in detector.labels] for cycle in cycles]
    return np.array(rows, np.float32).reshape(-1, len(detector.labels))


def _times(events: list[Event] | list[Cycle] | list[Emotion]) -> npt.NDArray[np.float64]:
    return np.array([(event.onset, event.offset) for event in events], np.float64).reshape(-1, 2)


def _levels(records: list[Emotion]) -> npt.NDArray[np.float32]:
    rows = [[getattr(record, name) for name in EMOTION_DIMENSIONS] for record in records]
    return np.array(rows, np.float32).reshape(-1, len(EMOTION_DIMENSIONS))
