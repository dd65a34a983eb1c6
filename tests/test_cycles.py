import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.config import CyclePreparation, LogMelConfig, from_mapping
from streamsed.cycles import CycleFeatures, fill_segments
from streamsed.errors import ConfigError
from streamsed.frontend import LogMel

PAPER = LogMelConfig(sample_rate=22000, n_fft=512, window_length=512, hop_length=512, n_mels=50, f_min=50.0)


def ramp(n):
    return np.arange(1, n + 1, dtype=np.float32)


@given(st.integers(1, 50), st.integers(1, 20))
def test_sample_padding_goes_on_from_the_beginning_of_the_cycle(n, length):
    segments = fill_segments(ramp(n), length)
    assert segments.shape == (-(-n // length), length)
    assert np.array_equal(segments.ravel(), ramp(n)[np.arange(segments.size) % n])


@given(st.integers(1, 50), st.integers(1, 20))
def test_zero_padding_leaves_silence_behind_the_cycle(n, length):
    flat = fill_segments(ramp(n), length, "zero").ravel()
    assert np.array_equal(flat[:n], ramp(n))
    assert len(flat) - n < length
    assert not flat[n:].any()


def test_segments_are_copies():
    samples = ramp(4)
    for padding in ("sample", "zero"):
        fill_segments(samples, 4, padding)[:] = 0.0
    assert np.array_equal(samples, ramp(4))


def test_the_paper_s_segment_has_386_frames_in_two_chunks_of_193():
    features = CycleFeatures(PAPER, CyclePreparation())
    assert (features.segment_frames, features.chunk_frames) == (386, 193)
    assert features(np.ones(2200, np.float32)).shape == (2, 193, 50)


@pytest.mark.parametrize(("seconds", "segments"), [(0.2, 1), (9.0, 1), (9.1, 2), (16.2, 2)])
def test_short_and_long_cycles_become_whole_segments(seconds, segments):
    samples = np.random.default_rng(0).standard_normal(round(seconds * 22000)).astype(np.float32)
    assert CycleFeatures(PAPER, CyclePreparation())(samples).shape == (2 * segments, 193, 50)


def test_chunks_are_the_frames_of_the_filled_segment_in_order():
    rng = np.random.default_rng(0)
    features = CycleFeatures(PAPER, CyclePreparation(segment_seconds=1.0, chunks=3))
    samples = rng.standard_normal(30000).astype(np.float32)
    whole = np.stack([LogMel(PAPER)(segment) for segment in fill_segments(samples, 22000)])
    chunks = features(samples)
    assert chunks.shape == (6, 14, 50)
    assert np.array_equal(chunks.reshape(2, 42, 50), whole[:, :42])


def test_fixed_normalisation_is_the_z_score():
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(9000).astype(np.float32)
    mean, std = rng.standard_normal(50), rng.uniform(0.5, 2.0, 50)
    scored = dataclasses.replace(PAPER, normalisation="fixed", mean=mean, std=std)
    raw = CycleFeatures(PAPER, CyclePreparation(1.0))(samples)
    assert np.allclose(CycleFeatures(scored, CyclePreparation(1.0))(samples), (raw - mean) / std, atol=1e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"segment_seconds": 0.0}, r"segment_seconds: expected seconds in \(0, 60\], got 0.0"),
        ({"segment_seconds": float("nan")}, "segment_seconds: expected seconds"),
        ({"chunks": 0}, r"chunks: expected a number in \[1, 16\], got 0"),
        ({"padding": "mirror"}, "padding: expected one of"),
        ({"pad": "zero"}, r"unknown \['pad'\]"),
    ],
)
def test_bad_preparation_is_named(values, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(CyclePreparation, values, "cycles")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), r"samples: expected float32 with shape \(n,\), n >= 1"),
        (np.zeros((2, 9), np.float32), r"samples: expected float32 with shape \(n,\), n >= 1"),
        (np.zeros(9, np.float64), r"samples: expected float32 with shape \(n,\), n >= 1, got 'float64"),
        (np.full(9, np.nan, np.float32), "samples: expected finite values"),
    ],
)
def test_bad_cycles_are_named(samples, message):
    with pytest.raises(ConfigError, match=message):
        CycleFeatures(PAPER, CyclePreparation())(samples)


def test_a_front_end_whose_statistics_run_is_refused():
    running = dataclasses.replace(PAPER, normalisation="running")
    with pytest.raises(ConfigError, match="normalisation: expected none or fixed"):
        CycleFeatures(running, CyclePreparation())


def test_a_segment_without_frames_is_refused():
    with pytest.raises(ConfigError, match="segment_seconds: expected long enough for 2 log-mel frames"):
        CycleFeatures(PAPER, CyclePreparation(segment_seconds=0.03))
