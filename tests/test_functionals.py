"""Functionals: names, statistics against SciPy, independence of the gain, and what is no voice at all."""

import contextlib

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.config import FunctionalsConfig, LogMelConfig
from streamsed.errors import ConfigError, FormatError
from streamsed.functionals import LogMelFunctionals
from streamsed.golden import golden_voice

RATE = 16000


@pytest.fixture(scope="module")
def functionals() -> LogMelFunctionals:
    return LogMelFunctionals(FunctionalsConfig())


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return golden_voice(RATE, 3.0)


def value(functionals, samples, name):
    return float(functionals(samples)[functionals.names.index(name)])


def test_every_number_has_a_name_of_its_own(functionals, voice):
    found = functionals(voice)
    assert found.shape == (len(functionals.names),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert len(set(functionals.names)) == len(functionals.names) == 780


@pytest.mark.parametrize("gain", [0.003, 0.1, 8.0])
def test_gain_does_not_matter(functionals, voice, gain):
    found, expected = functionals(np.float32(gain) * voice), functionals(voice)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_statistics_of_a_contour_are_those_of_scipy(functionals, voice):
    """Of the first cepstral coefficient, over the frames that are loud enough."""
    config = functionals.config
    contours = functionals.contours(voice)
    level = scipy.special.logsumexp(contours.log_mel, axis=1)
    reference = np.percentile(level, 95)
    active = level >= reference - config.active_db * np.log(10) / 10
    relative = np.maximum(contours.log_mel - reference, -config.depth_db * np.log(10) / 10)
    first = scipy.fft.dct(relative, norm="ortho", axis=1)[active, 1]
    for name, expected in (
        ("mean", first.mean()),
        ("std", first.std()),
        ("p25", np.percentile(first, 25)),
        ("p95", np.percentile(first, 95)),
        ("range", np.percentile(first, 95) - np.percentile(first, 5)),
        ("skewness", scipy.stats.skew(first)),
        ("kurtosis", scipy.stats.kurtosis(first, fisher=False)),
    ):
        assert value(functionals, voice, f"mfcc1.{name}") == pytest.approx(expected, rel=1e-3, abs=1e-3), name


def test_pitch_is_in_semitones_above_55_hz(functionals):
    time = np.arange(2 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 220.0 * number * time) / number for number in range(1, 9))
    tone = (0.1 * tone).astype(np.float32)
    assert value(functionals, tone, "pitch.p50") == pytest.approx(24.0, abs=0.05)
    assert value(functionals, tone, "time.voiced_share") == pytest.approx(1.0)
    assert value(functionals, tone, "time.voiced_runs_per_second") == pytest.approx(0.5, abs=0.05)


def test_what_is_not_voiced_has_no_pitch(functionals):
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    assert value(functionals, noise, "time.voiced_share") < 0.1
    assert np.isfinite(functionals(noise)).all()


def test_bright_sounds_are_bright(functionals):
    rng = np.random.default_rng(0)
    white = rng.standard_normal(2 * RATE).astype(np.float32)
    dark = np.cumsum(white).astype(np.float32)
    dark -= dark.mean()
    for name in ("centroid.mean", "rolloff75.mean", "slope.mean"):
        assert value(functionals, white, name) > value(functionals, dark, name), name
    assert value(functionals, white, "alpha_ratio.mean") < value(functionals, dark, "alpha_ratio.mean")


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05, 0.2])
def test_too_short(functionals, seconds):
    with pytest.raises(
        FormatError, match=r"samples: expected at least 0\.230 s \(20 frames\), got \d+ frames"
    ):
        functionals(golden_voice(RATE, 1.0)[: round(seconds * RATE)])


def test_silence(functionals):
    with pytest.raises(FormatError, match="digital silence"):
        functionals(np.zeros(RATE, np.float32))


def test_a_click_in_silence_is_too_little(functionals):
    samples = np.zeros(RATE, np.float32)
    samples[8000:8010] = 0.5
    with pytest.raises(FormatError, match="at least 20 frames of sound"):
        functionals(samples)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(functionals, voice, bad):
    samples = voice.copy()
    samples[1000] = bad
    with pytest.raises(ConfigError, match=r"NaN|finite|Inf"):
        functionals(samples)


@pytest.mark.parametrize(
    "samples", [np.zeros(RATE), np.zeros((RATE, 1), np.float32), np.zeros(RATE, np.int16)]
)
def test_other_types_and_shapes(functionals, samples):
    with pytest.raises(ConfigError, match=r"samples: expected float32 with shape \(n,\)"):
        functionals(samples)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 3), st.integers(4000, 20000))
def test_always_finite(seed, exponent, length):
    """Any sound gives finite numbers or says why not."""
    functionals = LogMelFunctionals(FunctionalsConfig())
    rng = np.random.default_rng(seed)
    samples = (10**exponent * rng.standard_normal(length) ** int(rng.integers(1, 6))).astype(np.float32)
    samples[: int(rng.integers(0, length))] = 0
    with contextlib.suppress(FormatError):
        assert np.isfinite(functionals(samples)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pitch_min": 0.0}, "pitch_min, pitch_max: expected 0 < pitch_min"),
        ({"pitch_max": 9000.0}, "pitch_min, pitch_max: expected 0 < pitch_min"),
        ({"pitch_seconds": 0.01}, "pitch_seconds: expected >= 0.0333"),
        ({"voicing": 1.0}, "voicing: expected in"),
        ({"coefficients": 32}, "coefficients: expected in"),
        ({"active_db": 60.0}, "active_db: expected in"),
        ({"fewest_frames": 2}, "fewest_frames: expected >= 5"),
        ({"front_end": LogMelConfig(log="db")}, "front_end: expected the natural log of power"),
        ({"front_end": LogMelConfig(center=True)}, "front_end.center: expected false"),
    ],
)
def test_configurations_that_cannot_be(changes, message):
    with pytest.raises(ConfigError, match=message):
        FunctionalsConfig(**changes)


def test_mel_scales():
    """The centres of both scales rise, and lie within the bank."""
    for scale in ("slaney", "htk"):
        front_end = LogMelConfig(
            n_fft=512, window_length=400, n_mels=32, f_min=50.0, f_max=7600.0, mel_scale=scale
        )
        functionals = LogMelFunctionals(FunctionalsConfig(front_end=front_end))
        assert np.isfinite(functionals(golden_voice(RATE, 1.0))).all()
