"""The resampler against mathematics and against soxr and scipy."""

from __future__ import annotations

import contracts
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.errors import ConfigError
from streamsed.sources import Resampler

PAIRS = [(48000, 16000), (44100, 16000), (22050, 16000), (8000, 16000), (16000, 44100), (192000, 16000)]


def noise(n: int = 6000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.2, n).astype(np.float32)


def tones(times: np.ndarray, below_hz: float) -> np.ndarray:
    """A sum of sines, so that its value is known at any time."""
    return sum(np.sin(2 * np.pi * hz * times + hz) for hz in np.linspace(50.0, below_hz, 20)) / 20


def whole(rate_in: int, rate_out: int, samples: np.ndarray) -> np.ndarray:
    resampler = Resampler(rate_in, rate_out)
    return np.concatenate([resampler.process(samples), resampler.flush()])


def inner(samples: np.ndarray, n: int = 400) -> np.ndarray:
    return samples[n:-n]


def outputs_after(rate_in: int, rate_out: int):
    """Output n lies at input n · in / out and waits for latency_samples inputs after that."""
    half = Resampler(rate_in, rate_out).latency_samples
    return lambda n: sum(
        1 for k in range(2 * n * rate_out // rate_in + 2) if k * rate_in // rate_out + half < n
    )


@pytest.mark.parametrize("check", contracts.CHECKS, ids=contracts.check_name)
@pytest.mark.parametrize("pair", [(48000, 16000), (44100, 16000), (8000, 16000), (16000, 16000)])
def test_stage_contract(pair, check):
    case = contracts.StageCase(
        make=lambda: Resampler(*pair),
        data=noise(1500),
        bad_inputs=(np.zeros((4, 2), np.float32), np.zeros(4, np.float64), np.zeros(4, np.int16)),
        outputs_after=outputs_after(*pair) if check is contracts.check_latency else None,
        long_data=noise(400_000),
    )
    check(case)


@given(
    sizes=st.lists(st.integers(0, 700), max_size=20),
    pair=st.sampled_from([*PAIRS, (11025, 48000), (16000, 11025), (44099, 8000)]),
)
def test_any_partition_gives_the_same_bits(sizes, pair):
    contracts.check_partition(contracts.StageCase(make=lambda: Resampler(*pair), data=noise(3000)), sizes)


@pytest.mark.parametrize("pair", PAIRS)
def test_values_are_those_of_the_continuous_signal(pair):
    rate_in, rate_out = pair
    below = 0.4 * min(pair)
    found = whole(*pair, tones(np.arange(rate_in) / rate_in, below).astype(np.float32))
    expected = tones(np.arange(len(found)) / rate_out, below)
    # No delay, no gain, no distortion: 80 dB below the signal.
    np.testing.assert_allclose(inner(found), inner(expected), atol=1e-4)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("n", [0, 1, 2, 999, 5000])
def test_count_of_outputs(pair, n):
    exact = n * pair[1] / pair[0]
    assert abs(len(whole(*pair, noise(n))) - exact) <= 0.5


@pytest.mark.parametrize("pair", PAIRS)
def test_equals_soxr_in_the_pass_band(pair):
    soxr = pytest.importorskip("soxr")
    samples = tones(np.arange(2 * pair[0]) / pair[0], 0.4 * min(pair)).astype(np.float32)
    expected = soxr.resample(samples, *pair, quality="VHQ")
    np.testing.assert_allclose(inner(whole(*pair, samples)), inner(expected), atol=3e-4)


@pytest.mark.parametrize("pair", [(48000, 16000), (44100, 16000)])
def test_equals_scipy_in_the_pass_band(pair):
    signal = pytest.importorskip("scipy.signal")
    samples = tones(np.arange(pair[0]) / pair[0], 0.3 * min(pair)).astype(np.float64)
    common = np.gcd(*pair)
    expected = signal.resample_poly(samples, pair[1] // common, pair[0] // common, window=("kaiser", 14.0))
    np.testing.assert_allclose(inner(whole(*pair, samples.astype(np.float32))), inner(expected), atol=2e-3)


@pytest.mark.parametrize("hz", [8800, 9000, 12000, 20000])
@pytest.mark.parametrize("rate_in", [44100, 48000])
def test_what_cannot_be_represented_is_taken_away(rate_in, hz):
    times = np.arange(rate_in) / rate_in
    found = whole(rate_in, 16000, np.sin(2 * np.pi * hz * times).astype(np.float32))
    level_db = 20 * np.log10(inner(found).std() * np.sqrt(2))
    assert level_db < -78.0


def test_pass_band_reaches_to_nine_tenths():
    times = np.arange(48000) / 48000
    found = whole(48000, 16000, np.sin(2 * np.pi * 7100 * times).astype(np.float32))
    assert abs(20 * np.log10(inner(found).std() * np.sqrt(2))) < 0.1


def test_a_click_stays_where_it_is():
    for rate_in, rate_out in PAIRS:
        samples = np.zeros(rate_in, np.float32)
        samples[rate_in // 2] = 1.0
        peak = int(np.argmax(whole(rate_in, rate_out, samples)))
        assert abs(peak - rate_out / 2) <= 0.5


def test_latency_is_small():
    assert Resampler(48000, 16000).latency_samples / 48000 == 0.003
    assert Resampler(16000, 16000).latency_samples == 0


def test_equal_rates_pass_through():
    samples = noise()
    np.testing.assert_array_equal(whole(16000, 16000, samples), samples)


@pytest.mark.parametrize("pair", [(44100, 16000), (16000, 16000)])
def test_one_channel_of_several_needs_no_copy(pair):
    samples = noise(3000).reshape(-1, 3)
    np.testing.assert_array_equal(whole(*pair, samples[:, 1]), whole(*pair, samples[:, 1].copy()))


@pytest.mark.parametrize("pair", [(44100, 16000), (16000, 16000), (8000, 16000)])
@pytest.mark.parametrize("offset", [0, 1, 37, 1500])
def test_offset_moves_the_first_output(pair, offset):
    rate_in, rate_out = pair
    resampler = Resampler(*pair)
    below = 0.3 * min(pair)
    samples = tones(np.arange(rate_in) / rate_in, below).astype(np.float32)
    resampler.reset(offset=offset)
    found = np.concatenate(
        [*(resampler.process(part) for part in np.array_split(samples, 50)), resampler.flush()]
    )
    start = offset / (rate_in * resampler.up)
    expected = tones(start + np.arange(len(found)) / rate_out, below)
    np.testing.assert_allclose(inner(found), inner(expected), atol=1e-4)
    assert abs(len(found) - (1.0 - start) * rate_out) <= 0.5


def test_positions_beyond_32_bits():
    # Positions are counted in units of 1 / (rate_in · up) seconds: 20 s are 7.1e9 of them.
    rate_in, rate_out = 44099, 8000
    found = whole(rate_in, rate_out, tones(np.arange(20 * rate_in) / rate_in, 3000.0).astype(np.float32))
    assert Resampler(rate_in, rate_out).up == rate_out
    np.testing.assert_allclose(
        inner(found), inner(tones(np.arange(len(found)) / rate_out, 3000.0)), atol=1e-4
    )


def sum_of_taps(rate_in: int, rate_out: int, samples: np.ndarray, count: int) -> np.ndarray:
    """The definition in double precision: a sinc under a Kaiser window around the time of each output."""
    half = 48 * max(1.0, rate_in / rate_out)
    cutoff = min(rate_in, rate_out) / rate_in * (0.5 - (80.0 - 7.95) / (14.36 * 96) / 2)
    result = np.zeros(count)
    for n in range(count):
        distance = n * rate_in / rate_out - np.arange(len(samples))
        inside = 1.0 - (distance / half) ** 2
        window = np.i0(0.1102 * (80.0 - 8.7) * np.sqrt(np.clip(inside, 0.0, None))) * (inside > 0)
        taps = np.sinc(2 * cutoff * distance) * window
        result[n] = taps @ samples / taps.sum()
    return result


@pytest.mark.parametrize("pair", PAIRS)
def test_equals_the_sum_that_it_is_defined_by(pair):
    samples = noise(3000)
    samples[:800] = samples[-800:] = 0.0  # where the filter would reach beyond the signal
    found = whole(*pair, samples)
    # Whether a tap at the very edge of the window is inside is a matter of rounding, and 4e-6 of the result.
    np.testing.assert_allclose(found, sum_of_taps(*pair, samples, len(found)), atol=1e-5)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((0, 16000), "rate_in: expected an integer"),
        ((16000.5, 16000), "rate_in: expected an integer"),
        ((16000, -1), "rate_out: expected an integer"),
        ((16000, 1_000_003), "rate_in, rate_out: expected rates with a simpler ratio"),
    ],
)
def test_wrong_rates(pair, message):
    with pytest.raises(ConfigError, match=message):
        Resampler(*pair)


def test_negative_offset():
    with pytest.raises(ConfigError, match="offset: expected >= 0, got -1"):
        Resampler(8000, 16000).reset(offset=-1)
