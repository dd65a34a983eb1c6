"""Contours of a voice: pitch of known sounds, periodicity, and frames that do not depend on how sound is cut."""

import numpy as np
import pytest

from streamsed.config import FunctionalsConfig
from streamsed.frontend import LogMel
from streamsed.golden import golden_voice
from streamsed.voice import ContourExtractor

RATE = 16000


@pytest.fixture(scope="module")
def extractor() -> ContourExtractor:
    return ContourExtractor(FunctionalsConfig())


def harmonics(pitch: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    parts = [np.sin(2 * np.pi * pitch * number * time) / number for number in range(1, 11)]
    return (0.1 * np.sum(parts, axis=0)).astype(np.float32)


@pytest.mark.parametrize("pitch", [75.0, 110.0, 187.3, 300.0, 451.0, 580.0])
def test_pitch_of_harmonic_sounds(extractor, pitch):
    contours = extractor(harmonics(pitch))
    assert contours.pitch == pytest.approx(np.full(len(contours), pitch), rel=0.01)
    assert contours.periodicity.min() > 0.95


def test_missing_fundamental(extractor):
    """Harmonics 3 to 5 of 150 Hz have a pitch of 150 Hz."""
    time = np.arange(RATE // 2) / RATE
    sound = np.sum([np.sin(2 * np.pi * 150.0 * number * time) for number in (3, 4, 5)], axis=0)
    assert np.median(extractor(sound.astype(np.float32)).pitch) == pytest.approx(150.0, rel=0.01)


def test_noise_is_not_periodic(extractor):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert np.median(extractor(noise).periodicity) < 0.4


def test_periodicity_is_the_share_of_the_periodic_part(extractor):
    """Boersma 1993: the height of the peak is the power of the periodic part over all power."""
    tone = harmonics(200.0, 4.0)
    noise = np.random.default_rng(1).standard_normal(len(tone)).astype(np.float32) * tone.std()
    assert extractor(tone + noise).periodicity.mean() == pytest.approx(0.5, abs=0.05)


def test_silence_has_neither_pitch_nor_nan(extractor):
    contours = extractor(np.zeros(RATE, np.float32))
    assert not contours.periodicity.any()
    assert np.isfinite(contours.pitch).all()


def test_pieces_give_the_frames_of_the_whole(extractor):
    """A piece that begins with the first sample of a frame gives that frame and those after it."""
    sound = golden_voice(RATE, 2.0)
    whole = extractor(sound)
    cut = 70
    first = extractor(sound[: (cut - 1) * extractor.hop_length + extractor.frame_length])
    second = extractor(sound[cut * extractor.hop_length :])
    joined = first.joined(second)
    assert len(first) == cut
    assert len(joined) == len(whole) == extractor.frame_count(len(sound))
    np.testing.assert_array_equal(joined.log_mel, whole.log_mel)
    np.testing.assert_allclose(joined.pitch, whole.pitch, rtol=1e-5)
    np.testing.assert_allclose(joined.periodicity, whole.periodicity, atol=1e-6)


def test_log_mel_is_that_of_the_front_end_in_the_middle_of_the_frame(extractor):
    sound = golden_voice(RATE, 1.0)
    margin = (extractor.frame_length - extractor.config.front_end.window_length) // 2
    contours = extractor(sound)
    expected = LogMel(extractor.config.front_end)(sound[margin:])[: len(contours)]
    np.testing.assert_array_equal(contours.log_mel, expected)


def test_last_frames(extractor):
    contours = extractor(golden_voice(RATE, 1.0))
    np.testing.assert_array_equal(contours.last(5).pitch, contours.pitch[-5:])
    assert len(contours.last(10_000)) == len(contours)


@pytest.mark.parametrize("samples", [0, 1, 100, 639])
def test_too_short_for_a_frame(extractor, samples):
    contours = extractor(np.zeros(samples, np.float32))
    assert len(contours) == 0
    assert contours.log_mel.shape == (0, 32)
