"""Segmenters of respiratory cycles."""

from __future__ import annotations

import contracts
import numpy as np
import pytest
from contracts import StageCase, concatenate_lists
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.config import CycleDecoderConfig
from streamsed.errors import ConfigError, StateError
from streamsed.reference import cycle_boundaries
from streamsed.segmentation import Boundary, CycleDecoder, EnvelopeConfig, EnvelopeSegmenter, GridSegmenter

FRAME = 0.04
N_MELS = 8


def breaths(times, count: int, rng: np.random.Generator, width: float = 3.0) -> np.ndarray:
    """Posteriors with a bell at each of these frames, over a low floor."""
    distance = np.abs(np.arange(count)[:, None] - np.asarray(times)[None]).min(axis=1)
    return np.clip(0.8 * np.exp(-0.5 * (distance / width) ** 2) + rng.uniform(0, 0.1, count), 0, 1)


def breath_sounds(seconds: float, period: float, rng: np.random.Generator) -> np.ndarray:
    """Log-mel frames of 20 ms that are loud in the first 40 % of every period."""
    time = np.arange(round(seconds / 0.02)) * 0.02
    loud = (time % period) < 0.4 * period
    return (np.where(loud, 0.0, -4.0)[:, None] + rng.normal(0, 0.3, (len(time), N_MELS))).astype(np.float32)


def decoder(**changes) -> CycleDecoder:
    return CycleDecoder(CycleDecoderConfig(**changes), FRAME)


def envelope(**changes) -> EnvelopeSegmenter:
    return EnvelopeSegmenter(EnvelopeConfig(first_band=0, last_band=N_MELS - 1, **changes), N_MELS, 0.02)


RNG = np.random.default_rng(0)
POSTERIORS = RNG.uniform(0, 1, 700) ** 3
FRAMES = breath_sounds(30.0, 2.2, RNG)
CASES = {
    "decoder": StageCase(
        make=decoder,
        data=POSTERIORS,
        join=concatenate_lists,
        bad_inputs=(np.zeros((3, 1)), np.array([np.nan]), np.array([1.5]), np.array([-0.1])),
        long_data=np.tile(POSTERIORS, 20),
    ),
    "envelope": StageCase(
        make=envelope,
        data=FRAMES[:700],
        join=concatenate_lists,
        bad_inputs=(np.zeros(N_MELS), np.zeros((3, N_MELS + 1)), np.full((1, N_MELS), np.inf)),
        long_data=np.tile(FRAMES, (4, 1)),
    ),
}


@pytest.mark.parametrize("check", contracts.CHECKS, ids=contracts.check_name)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_stage_contract(case, check):
    check(case)


configs = st.builds(
    CycleDecoderConfig,
    threshold=st.floats(0.05, 0.9),
    wait_seconds=st.sampled_from([0.0, 0.04, 0.12, 0.3]),
    min_seconds=st.sampled_from([0.04, 0.2, 0.6]),
    max_seconds=st.sampled_from([0.7, 2.0, 9.0]),
    period_seconds=st.just(0.65),
    spread=st.floats(0.1, 1.0),
    prior_weight=st.sampled_from([0.0, 0.5, 2.0, 5.0]),
    history=st.integers(0, 4),
)


@given(configs, st.integers(0, 2**32 - 1), st.integers(0, 150), st.sampled_from([1, 3, 1000]))
@settings(max_examples=60, deadline=None)
def test_the_decoder_does_what_its_definition_says(config, seed, count, levels):
    rng = np.random.default_rng(seed)
    # Few levels make ties.
    posteriors = np.ceil(rng.uniform(0, 1, count) ** 3 * levels) / levels
    stage = CycleDecoder(config, FRAME)
    found = stage.process(posteriors) + stage.flush()
    assert [(item.frame, item.confidence, item.forced) for item in found] == cycle_boundaries(
        posteriors, config, FRAME
    )


@given(configs, st.integers(0, 2**32 - 1), st.lists(st.integers(0, 90), max_size=6))
@settings(max_examples=60, deadline=None)
def test_the_decoder_does_not_depend_on_chunks(config, seed, sizes):
    data = np.random.default_rng(seed).uniform(0, 1, 250) ** 2
    contracts.check_partition(
        StageCase(make=lambda: CycleDecoder(config, FRAME), data=data, join=concatenate_lists), sizes
    )


def test_bells_become_boundaries():
    times = [50, 110, 168, 230, 290]
    found = decoder().process(breaths(times, 350, np.random.default_rng(1)))
    assert len(found) == len(times)
    assert np.abs(np.array([item.frame for item in found]) - times).max() <= 2
    assert all(item.confidence > 0.7 and not item.forced for item in found)


def test_a_boundary_is_reported_after_the_declared_frames():
    stage = decoder()
    posteriors = breaths([60, 120, 180], 240, np.random.default_rng(2))
    for frame, value in enumerate(posteriors):
        for boundary in stage.process(np.array([value])):
            assert frame + 1 - boundary.frame <= stage.latency_frames


def test_the_duration_decides_between_equal_bells():
    # At the pause between inspiration and expiration the posterior rises, too.
    posteriors = np.full(301, 0.01)
    posteriors[30::60] = 0.5
    posteriors[60::60] = 0.5
    config = {"threshold": 0.45, "period_seconds": 2.4, "spread": 0.3}
    with_prior = [item.frame for item in decoder(prior_weight=1.0, **config).process(posteriors)]
    without = [item.frame for item in decoder(prior_weight=0.0, **config).process(posteriors)]
    assert with_prior == [60, 120, 180, 240]
    assert without == [30, 60, 90, 120, 150, 180, 210, 240, 270]


def test_what_never_ends_is_closed_by_force():
    found = decoder(max_seconds=4.0).process(np.zeros(350))
    assert found == [Boundary(frame, 0.0, forced=True) for frame in (100, 200, 300)]


def test_the_period_follows_the_breathing():
    stage = decoder(history=3, period_seconds=2.4, prior_weight=0.5)
    assert stage.period_seconds == 2.4
    stage.process(breaths(np.arange(30, 400, 30), 400, np.random.default_rng(3)))
    assert stage.period_seconds == pytest.approx(1.2, abs=0.1)
    stage.expect(3.0)
    assert stage.period_seconds == 3.0
    stage.expect(None)
    assert stage.period_seconds == pytest.approx(1.2, abs=0.1)


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (decoder, breaths([40, 95, 150], 200, np.random.default_rng(4))),
        (envelope, breath_sounds(12.0, 2.0, np.random.default_rng(5))),
        (lambda: GridSegmenter(1.0, FRAME), np.zeros(130)),
    ],
    ids=["decoder", "envelope", "grid"],
)
def test_a_gap_closes_what_is_pending_and_begins_anew(make, data):
    whole = make()
    expected = whole.process(data) + whole.flush()
    stage = make()
    assert stage.process(data) + stage.gap(0) + stage.gap(75) == expected
    assert stage.open_since == len(data) + 75
    later = stage.process(data)
    assert later
    assert min(item.frame for item in later) > len(data) + 75
    with pytest.raises(ConfigError, match="frames: expected 0 or more, got -1"):
        stage.gap(-1)


def test_the_open_cycle_begins_at_the_last_boundary():
    stage = decoder()
    assert stage.open_since == 0
    found = stage.process(breaths([50, 110], 130, np.random.default_rng(6)))
    assert stage.open_since == found[-1].frame


def test_the_envelope_finds_regular_breaths():
    stage = envelope()
    found = stage.process(breath_sounds(40.0, 2.5, np.random.default_rng(7)))
    assert stage.regular
    # After the first estimate of the period, one boundary a breath where it rises.
    times = np.array([item.frame for item in found]) * 0.02
    times = times[times > 12.0]
    assert len(times) == pytest.approx(28 / 2.5, abs=1)
    assert np.abs(times - 2.5 * np.round(times / 2.5)).max() < 0.25


def test_the_envelope_refuses_what_has_no_period():
    stage = envelope(regularity=0.5)
    found = stage.process(np.random.default_rng(8).normal(-3, 1, (3000, N_MELS)))
    assert not stage.regular
    assert [item for item in found if item.frame * 0.02 > 12.0 and not item.forced] == []


def test_a_steady_noise_is_cut_by_force_alone():
    stage = envelope()
    found = stage.process(np.full((2000, N_MELS), -3.0, np.float32))
    # Before the first estimate nothing speaks against a period.
    later = [item for item in found if item.frame * 0.02 > 4.0]
    assert [item.forced for item in later] == [True] * 4


def test_fixed_windows():
    stage = GridSegmenter(2.0, FRAME)
    assert stage.latency_frames == 0
    found = [item for size in (30, 0, 90, 40) for item in stage.process(np.zeros(size))]
    assert found == [Boundary(frame, 1.0, forced=False) for frame in (50, 100, 150)]
    assert stage.flush() == []
    with pytest.raises(StateError):
        stage.process(np.zeros(1))
    stage.reset()
    assert [item.frame for item in stage.process(np.zeros(60))] == [50]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CycleDecoderConfig(threshold=1.0), "threshold: expected in"),
        (lambda: CycleDecoderConfig(min_seconds=10.0), "min_seconds: expected in"),
        (lambda: CycleDecoderConfig(period_seconds=0.1), "period_seconds: expected in"),
        (lambda: CycleDecoderConfig(spread=0.0), "spread: expected in"),
        (lambda: CycleDecoder(CycleDecoderConfig(), 0.0), "frame_seconds: expected above 0, got 0.0"),
        (lambda: decoder().expect(0.0), "period_seconds: expected above 0"),
        (lambda: EnvelopeConfig(memory_seconds=3.0), "memory_seconds: expected seconds in"),
        (lambda: EnvelopeConfig(first_band=9, last_band=3), "first_band: expected in"),
        (lambda: EnvelopeSegmenter(EnvelopeConfig(), 16, 0.02), "last_band: expected below n_mels=16"),
        (lambda: GridSegmenter(0.01, FRAME), "period_seconds: expected >= 0.04"),
    ],
)
def test_settings_that_cannot_be(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
