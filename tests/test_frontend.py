"""LogMel and OnlineLogMel: librosa in float64 as oracle, bit-exact streaming, clear errors."""

from __future__ import annotations

import dataclasses
import platform
import threading
import warnings

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed import _core
from streamsed.errors import ConfigError, StateError
from streamsed.frontend import LogMel, LogMelConfig, OnlineLogMel

PAPERS = {
    "eow": LogMelConfig(16000, 2048, 2048, 256, 128, 0, 8000, window="hamming"),
    "duration_robust": LogMelConfig(44100, 2048, 1764, 882, 64),
    "duration_robust_exact": LogMelConfig(44100, 1764, 1764, 882, 64),
    "audiovisual": LogMelConfig(22100, 2048, 2048, 366, 128),
    "lungs": LogMelConfig(22000, 512, 512, 512, 50, 50, 2000),
    "lungs_full_band": LogMelConfig(22000, 512, 512, 512, 50, log="db"),
    "lungs_up": LogMelConfig(22000, 512, 512, 512, 50, 50, warp_factor=1.1, warp_high_hz=3200),
    "lungs_down": LogMelConfig(22000, 512, 512, 512, 50, 50, warp_factor=0.9, warp_high_hz=3800),
    "low_rate_up": LogMelConfig(4000, 256, 256, 128, 32, 50, 1900, warp_factor=1.07),
    "low_latency_32ms": LogMelConfig(16000, 512, 512, 160, 64, 50),
    "low_latency_25ms": LogMelConfig(16000, 400, 400, 160, 40, 20, mel_scale="htk", area_norm=False),
    "padded_25ms": LogMelConfig(16000, 512, 400, 160, 40, periodic=False),
    "magnitude": LogMelConfig(16000, 1024, 1024, 320, 64, spectrum="magnitude", log="db"),
    "linear": LogMelConfig(16000, 480, 480, 160, 40, log="none"),
    "prime_length": LogMelConfig(16000, 2 * 127, 2 * 127, 100, 10),
}
ISAS = ["neon"] if platform.machine() in ("aarch64", "arm64") else ["baseline", "avx2", "avx512"]


@pytest.fixture(params=ISAS)
def isa(request):
    try:
        _core.force_isa(request.param)
    except ConfigError:
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    _core.force_isa("auto")


def warped_filters(config: LogMelConfig) -> np.ndarray:
    """The bands (n_mels, bins) between warped edges, as Jaitly and Hinton write the warp, in float64."""
    half = config.sample_rate / 2
    high = 0.6 * half if config.warp_high_hz is None else config.warp_high_hz
    factor = config.warp_factor
    edges = librosa.mel_frequencies(config.n_mels + 2, fmin=config.f_min, fmax=config.f_max or half)
    mapped = high * min(factor, 1)
    above = half - (half - mapped) / (half - mapped / factor) * (half - edges)
    low, peak, top = (
        np.where(edges <= mapped / factor, edges * factor, above)[i:][:, None] for i in range(3)
    )
    low, peak, top = low[: config.n_mels], peak[: config.n_mels], top[: config.n_mels]
    bins = np.arange(config.n_fft // 2 + 1) * config.sample_rate / config.n_fft
    triangles = np.minimum((bins - low) / (peak - low), (top - bins) / (top - peak))
    return np.maximum(triangles, 0) * 2 / (top - low)


def oracle(samples: np.ndarray, config: LogMelConfig) -> np.ndarray:
    """librosa's spectrogram, filters and log, in float64."""
    samples = samples.astype(np.float64)
    window = librosa.filters.get_window(config.window, config.window_length, fftbins=config.periodic)
    if config.center:
        spectrum = librosa.stft(
            samples,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            win_length=config.window_length,
            window=config.window,
        )
    else:
        # librosa pads a short window on both sides; ours is left-aligned, so that frame t starts at t * hop.
        extra = config.n_fft - config.window_length
        frames = librosa.util.frame(
            np.pad(samples, (0, extra)), frame_length=config.n_fft, hop_length=config.hop_length
        )
        spectrum = np.fft.rfft(frames * np.pad(window, (0, extra))[:, None], axis=0)
    weights = librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
        htk=config.mel_scale == "htk",
        norm="slaney" if config.area_norm else None,
        dtype=np.float64,
    )
    if config.warp_factor != 1:
        weights = warped_filters(config)
    magnitude = np.abs(spectrum)
    mel = (weights @ (magnitude**2 if config.spectrum == "power" else magnitude)).T
    if config.log == "none":
        return mel
    log = np.log(np.maximum(mel, config.floor))
    if config.log == "db":
        log *= (20 if config.spectrum == "magnitude" else 10) / np.log(10)
    return log


def noise(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))).astype(np.float32)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", PAPERS)
def test_equals_librosa_in_float64(name, precision, isa):
    config = dataclasses.replace(PAPERS[name], precision=precision)
    samples = noise(2.0, config.sample_rate)
    np.testing.assert_allclose(LogMel(config)(samples), oracle(samples, config), rtol=1e-5, atol=1e-4)


def test_a_warp_moves_a_tone_and_leaves_an_unwarped_front_end_as_it_was():
    tone = np.sin(2 * np.pi * 600 * np.arange(8000) / 4000).astype(np.float32)
    plain = LogMelConfig(4000, 256, 256, 128, 32, 50)
    assert np.array_equal(
        LogMel(plain)(tone), LogMel(dataclasses.replace(plain, warp_factor=1.0, warp_high_hz=100.0))(tone)
    )
    loudest = [
        LogMel(dataclasses.replace(plain, warp_factor=factor))(tone).mean(0).argmax()
        for factor in (0.8, 1, 1.25)
    ]
    # A factor above 1 moves the bands up, so that a tone falls into a lower one.
    assert loudest[0] > loudest[1] > loudest[2]


def test_a_pure_tone_keeps_its_leakage_floor_in_float64():
    # 120 dB between bins: beyond what float32 arithmetic resolves, the reason for `precision`.
    config = LogMelConfig(16000, 2048, 2048, 256, 128, precision="float64")
    samples = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    np.testing.assert_allclose(LogMel(config)(samples), oracle(samples, config), rtol=0, atol=1e-4)


def test_centred_frames_equal_librosa():
    config = LogMelConfig(16000, 1024, 800, 320, 64, center=True)
    for n in (1, 700, 16000, 16161):
        samples = noise(1.1, 16000)[:n]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # librosa: n_fft is too long for 1 sample
            expected = oracle(samples, config)
        np.testing.assert_allclose(LogMel(config)(samples), expected, atol=1e-4)


@pytest.mark.parametrize("name", PAPERS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_chunking_gives_the_same_bits(name, data):
    config = PAPERS[name]
    samples = noise(0.5, config.sample_rate)
    log_mel = LogMel(config)
    whole = log_mel(samples)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=40)))
    online = OnlineLogMel(log_mel)
    parts = [online.process(chunk) for chunk in np.split(samples, cuts)]
    parts.append(online.flush())
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    online.reset()
    np.testing.assert_array_equal(online.process(samples), whole)


def test_single_samples_give_the_same_bits(isa):
    config = LogMelConfig(16000, 512, 400, 160, 40)
    samples = noise(0.1, 16000)
    online = OnlineLogMel(config)
    parts = [online.process(samples[i : i + 1]) for i in range(len(samples))]
    np.testing.assert_array_equal(np.concatenate(parts), LogMel(config)(samples))


def test_a_frame_appears_with_its_last_sample_and_knows_nothing_later():
    config = LogMelConfig(16000, 512, 512, 160, 64)
    online = OnlineLogMel(config)
    assert online.latency_samples == 511
    samples = noise(0.2, 16000)
    assert online.process(samples[:511]).shape == (0, 64)
    first = online.process(samples[511:512])
    assert first.shape == (1, 64)
    other = samples.copy()
    other[512:] = 0
    np.testing.assert_array_equal(LogMel(config)(other)[:1], first)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (1, 0), (511, 0), (512, 1), (671, 1), (672, 2), (16000, 97)]
)
def test_frame_count(samples, frames):
    log_mel = LogMel(LogMelConfig(16000, 512, 512, 160, 64))
    assert log_mel.frame_count(samples) == frames
    assert log_mel(np.zeros(samples, np.float32)).shape == (frames, 64)


def test_silence_gives_the_floor():
    out = LogMel(LogMelConfig(floor=1e-8))(np.zeros(1600, np.float32))
    np.testing.assert_allclose(out, np.log(1e-8), rtol=1e-6)


def test_clamp_bounds_the_output():
    out = LogMel(LogMelConfig(clamp_min=-3.0, clamp_max=-2.0))(noise(1, 16000))
    assert out.min() >= -3.0
    assert out.max() <= -2.0
    assert np.ptp(out) > 0


def test_fixed_normalisation_is_the_z_score_of_the_plain_one():
    mean = tuple(np.linspace(-3, 3, 64))
    std = tuple(np.linspace(0.5, 2, 64))
    samples = noise(1, 16000)
    plain = LogMel(LogMelConfig())(samples)
    fixed = LogMel(LogMelConfig(normalisation="fixed", mean=mean, std=std))(samples)
    np.testing.assert_allclose(fixed, (plain - np.array(mean)) / np.array(std), atol=1e-5)


def test_running_normalisation_is_its_recurrence_and_streams():
    config = LogMelConfig(normalisation="running", running_seconds=0.5)
    samples = noise(2, 16000)
    plain = LogMel(LogMelConfig())(samples).astype(np.float64)
    rate = 1 - np.exp(-160 / 16000 / 0.5)
    mean = variance = np.zeros(64)
    expected = np.empty_like(plain)
    for t, frame in enumerate(plain):
        step = max(rate, 1 / (t + 1))
        difference = frame - mean
        mean = mean + step * difference
        variance = (1 - step) * (variance + step * difference**2)
        expected[t] = (frame - mean) / np.sqrt(variance + 1e-8)
    whole = LogMel(config)(samples)
    np.testing.assert_allclose(whole, expected, atol=1e-4)
    online = OnlineLogMel(config)
    for _ in range(2):
        parts = [online.process(chunk) for chunk in np.array_split(samples, 77)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        online.reset()


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_other_dtypes_are_scaled_to_float32(dtype):
    integers = np.random.default_rng(0).integers(-3000, 3000, 16000).astype(np.int16)
    expected = LogMel(LogMelConfig())((integers / 32768).astype(np.float32))
    given_samples = integers if dtype is np.int16 else integers / 32768
    np.testing.assert_array_equal(LogMel(LogMelConfig())(given_samples.astype(dtype)), expected)


def test_strided_samples_are_read_as_they_are():
    stereo = noise(1, 32000).reshape(-1, 2)
    np.testing.assert_array_equal(
        LogMel(LogMelConfig())(stereo[:, 1]), LogMel(LogMelConfig())(np.ascontiguousarray(stereo[:, 1]))
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sample_rate": 0}, "sample_rate"),
        ({"n_fft": 511, "window_length": 400}, "n_fft"),
        ({"window_length": 1024}, "window_length"),
        ({"hop_length": 0}, "hop_length"),
        ({"n_mels": 0}, "n_mels"),
        ({"f_min": -1.0}, "f_min"),
        ({"f_max": 8001.0}, "f_max"),
        ({"warp_factor": 0.49}, r"warp_factor: expected a factor in \[0.5, 2\], got 0.49"),
        ({"warp_factor": float("nan")}, "warp_factor"),
        ({"warp_factor": 1.1, "warp_high_hz": 8000.0}, "warp_high_hz: expected Hz above 0, below"),
        ({"warp_factor": 0.9, "warp_high_hz": 0.0}, "warp_high_hz"),
        ({"warp_factor": 0.9, "warp_high_hz": float("nan")}, "warp_high_hz"),
        ({"f_min": 4000.0, "f_max": 3000.0}, "f_max"),
        ({"window": "kaiser"}, "window"),
        ({"mel_scale": "bark"}, "mel_scale"),
        ({"spectrum": "phase"}, "spectrum"),
        ({"log": "log2"}, "log"),
        ({"floor": 0.0}, "floor"),
        ({"clamp_min": 1.0, "clamp_max": 0.0}, "clamp_min"),
        ({"normalisation": "minmax"}, "normalisation"),
        ({"normalisation": "fixed"}, "mean, std"),
        ({"normalisation": "fixed", "mean": (0.0,) * 3, "std": (1.0,) * 3}, "mean, std"),
        ({"normalisation": "fixed", "mean": (0.0,), "std": (0.0,)}, "std"),
        ({"mean": (0.0,), "std": (1.0,)}, "mean, std"),
        ({"precision": "float16"}, "precision"),
    ],
)
def test_a_bad_config_names_the_field(change, named):
    with pytest.raises(ConfigError, match=named):
        LogMel(LogMelConfig(**change))


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((10, 2), np.float32),
        np.zeros(10, np.int32),
        np.array([0.0, np.nan], np.float32),
        np.array([np.inf, 0.0]),
        np.array("text"),
    ],
)
def test_bad_samples_are_refused_and_leave_the_stream_as_it_was(samples):
    online = OnlineLogMel(LogMelConfig())
    good = noise(0.5, 16000)
    first = online.process(good[:3000])
    with pytest.raises(ConfigError, match="samples"):
        online.process(samples)
    rest = online.process(good[3000:])
    np.testing.assert_array_equal(np.concatenate([first, rest]), LogMel(LogMelConfig())(good))


def test_a_centred_stream_is_refused():
    with pytest.raises(ConfigError, match="center"):
        OnlineLogMel(LogMelConfig(center=True))


def test_after_flush_only_reset_is_legal():
    online = OnlineLogMel(LogMelConfig())
    online.flush()
    for call in (lambda: online.process(np.zeros(1, np.float32)), online.flush, lambda: online.skip(1)):
        with pytest.raises(StateError, match="reset"):
            call()
    online.reset()
    assert online.process(np.zeros(512, np.float32)).shape == (1, 64)


def test_a_gap_keeps_the_grid_of_frames():
    config = LogMelConfig()
    samples = noise(1, 16000)
    online = OnlineLogMel(config)
    before = online.process(samples[:5000])
    lost = online.skip(1000)
    after = online.process(samples[6000:])
    whole = LogMel(config)(samples)
    first = -(-6000 // 160)
    assert len(before) + lost == first
    np.testing.assert_array_equal(after, whole[first:])
    assert online.position_samples == 16000
    with pytest.raises(ConfigError, match="missing"):
        online.skip(-1)


def test_positions_do_not_overflow():
    online = OnlineLogMel(LogMelConfig())
    for power in (31, 32, 40):
        online.reset()
        online.skip(2**power + 3)
        samples = noise(0.1, 16000)
        out = online.process(samples)
        assert online.position_samples == 2**power + 3 + len(samples)
        start = -(2**power + 3) % 160
        np.testing.assert_array_equal(out, LogMel(LogMelConfig())(samples[start:]))


def test_a_band_between_bins_is_said():
    with pytest.warns(UserWarning, match="bands"):
        LogMel(LogMelConfig(n_fft=256, window_length=256, n_mels=128))


def test_a_second_thread_gets_an_error_and_nothing_is_lost():
    online = OnlineLogMel(LogMelConfig(16000, 2048, 2048, 16, 128))
    samples = noise(10, 16000)
    errors = []
    frames = []

    def work():
        try:
            frames.append(len(online.process(samples)))
        except StateError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors
    assert "one thread" in errors[0]
    assert len(frames) + len(errors) == 4
    assert online.position_samples == len(frames) * len(samples)
