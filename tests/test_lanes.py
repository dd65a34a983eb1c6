"""Lanes on the CPU and on a GPU: what a stream of its own gives, whatever the others get.

Without a GPU the tests of "cuda" skip; against an emulated build of the core they run (``make test-cuda-emulated``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import contracts
import numpy as np
import pytest
from contracts import StageCase
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed import _core, lanes
from streamsed.config import LogMelConfig
from streamsed.errors import ConfigError, GpuOutOfMemory, StateError
from streamsed.frontend import LogMel, OnlineLogMel
from streamsed.lanes import FusionLanes, LaneInputError, LogMelLanes, MedianLanes, fuse_lanes
from streamsed.postprocess import OnlineMedianFilter, fuse

EMULATED = _core.cuda_build() == "emulated"
needs_gpu = pytest.mark.skipif(_core.cuda_device_count() == 0, reason=f"needs a GPU: {_core.cuda_describe()}")
PROVIDERS = ["cpu", pytest.param("cuda", marks=needs_gpu)]
# Short frames: the emulation is slow.
CONFIG = LogMelConfig(sample_rate=8000, n_fft=128, window_length=100, hop_length=40, n_mels=12)
SHORT = ("sample_rate", "n_fft", "window_length", "hop_length", "n_mels")
WIDTHS = (5, 1, 9, 27, 5)


def samples(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def posteriors(*shape: int, seed: int = 0) -> np.ndarray:
    # Multiples of 1/20: equal values are what a median may get wrong.
    return (np.random.default_rng(seed).integers(0, 21, shape) / 20).astype(np.float32)


def assert_log_mel(provider: str, actual: np.ndarray, expected: np.ndarray) -> None:
    """The bits on the CPU, 1e-4 in the log domain on a GPU."""
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    if provider == "cpu":
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


class OneOfThree:
    """The middle one of three lanes as a stage of its own; the others hear something else."""

    def __init__(self, stage: Any, flush: Callable[[Any], np.ndarray], noise: np.ndarray) -> None:
        self._stage = stage
        self._flush = flush
        self._noise = noise
        for name in ("latency_samples", "latency_frames"):
            if hasattr(stage, name):
                setattr(self, name, getattr(stage, name))

    def process(self, chunk: np.ndarray) -> np.ndarray:
        return self._stage.process([self._noise[:7], chunk], [2, 1])[1]

    def flush(self) -> np.ndarray:
        return self._flush(self._stage)

    def reset(self) -> None:
        self._stage.reset([1])


def stage_cases(provider: str) -> dict[str, StageCase]:
    # Long enough for two threads to meet, not so long that the emulation takes seconds.
    long = 40 if provider == "cuda" and EMULATED else 2000
    return {
        "log_mel": StageCase(
            make=lambda: OneOfThree(
                LogMelLanes(CONFIG, 3, provider), lambda stage: stage.flush(1), samples(9, 5)
            ),
            data=samples(900),
            outputs_after=LogMel(CONFIG).frame_count,
            bad_inputs=(
                samples(20)[:, None],
                np.full(20, np.nan, np.float32),
                np.full(20, np.inf, np.float64),
                np.zeros(20, np.int32),
                "sound",
            ),
            long_data=np.tile(samples(900), long),
        ),
        "median": StageCase(
            make=lambda: OneOfThree(
                MedianLanes(WIDTHS, 3, provider), lambda stage: stage.flush([1])[0], posteriors(9, 5)
            ),
            data=posteriors(90, 5, seed=1),
            outputs_after=lambda n: max(0, n - 13),
            bad_inputs=(
                posteriors(20, 4),
                posteriors(20),
                np.full((20, 5), np.nan, np.float32),
                posteriors(20, 5) > 0.5,
                None,
            ),
            long_data=np.tile(posteriors(90, 5), (long, 1)),
        ),
    }


@pytest.mark.parametrize("check", contracts.CHECKS, ids=contracts.check_name)
@pytest.mark.parametrize("name", ["log_mel", "median"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_stage_contract(provider, name, check):
    check(stage_cases(provider)[name])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("count", [1, 2, 33])
def test_log_mel_of_ragged_lanes(provider, count):
    rng = np.random.default_rng(count)
    plan = LogMel(CONFIG)
    together = LogMelLanes(plan, count, provider)
    alone = [OnlineLogMel(plan) for _ in range(count)]
    assert together.lanes == count
    for call in range(8):
        chosen = [lane for lane in range(count) if rng.random() < 0.6]
        rng.shuffle(chosen)
        chunks = [samples(int(rng.integers(0, 300)), seed=100 * call + lane) for lane in chosen]
        for lane, chunk, frames in zip(chosen, chunks, together.process(chunks, chosen), strict=True):
            assert_log_mel(provider, frames, alone[lane].process(chunk))
        for lane in range(count):
            what = rng.random()
            if what < 0.1:
                missing = int(rng.integers(0, 500))
                assert together.skip(lane, missing) == alone[lane].skip(missing)
            elif what < 0.2:
                assert together.flush(lane).shape == (0, CONFIG.n_mels)
                together.reset([lane])
                alone[lane].reset()
            assert together.position_samples(lane) == alone[lane].position_samples
            assert together.position_frames(lane) == alone[lane].position_frames
    together.reset()
    assert all(together.position_samples(lane) == 0 for lane in range(count))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("count", [1, 2, 33])
def test_medians_of_ragged_lanes(provider, count):
    rng = np.random.default_rng(count)
    together = MedianLanes(WIDTHS, count, provider)
    alone = [OnlineMedianFilter(len(WIDTHS), WIDTHS) for _ in range(count)]
    assert (together.lanes, together.widths) == (count, WIDTHS)
    for call in range(8):
        chosen = [lane for lane in range(count) if rng.random() < 0.6]
        chunks = [posteriors(int(rng.integers(0, 12)), 5, seed=100 * call + lane) for lane in chosen]
        for lane, chunk, rows in zip(chosen, chunks, together.process(chunks, chosen), strict=True):
            np.testing.assert_array_equal(rows, alone[lane].process(chunk))
        ending = [lane for lane in range(count) if rng.random() < 0.1]
        for lane, rows in zip(ending, together.flush(ending), strict=True):
            np.testing.assert_array_equal(rows, alone[lane].flush())
            alone[lane].reset()
        together.reset(ending)
    for rows, stage in zip(together.flush(), alone, strict=True):
        np.testing.assert_array_equal(rows, stage.flush())


@pytest.mark.parametrize("provider", PROVIDERS)
@settings(max_examples=20)
@given(sizes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 250)), max_size=12))
def test_any_cut_and_order_of_lanes(provider, sizes):
    plan = LogMel(CONFIG)
    together = LogMelLanes(plan, 3, provider)
    at = [0, 0, 0]
    sound = [samples(3000, seed=lane) for lane in range(3)]
    parts: list[list[np.ndarray]] = [[], [], []]
    for lane, size in sizes:
        parts[lane] += together.process([sound[lane][at[lane] : at[lane] + size]], [lane])
        at[lane] += size
    for lane in range(3):
        expected = plan(sound[lane][: at[lane]])
        assert_log_mel(provider, np.concatenate([*parts[lane], expected[:0]]), expected)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "fields",
    [
        {"normalisation": "running", "running_seconds": 0.2},
        {"normalisation": "fixed", "mean": (-3.0,), "std": (2.0,)},
        {"spectrum": "magnitude", "log": "db", "mel_scale": "htk"},
        {"hop_length": 160, "precision": "float64"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_log_mel_of_other_configurations(provider, fields):
    config = LogMelConfig(**{**{name: getattr(CONFIG, name) for name in SHORT}, **fields})
    sound = [samples(700, seed=1), samples(1500, seed=2)]
    for frames, part in zip(LogMelLanes(config, 2, provider).process(sound), sound, strict=True):
        assert_log_mel(provider, frames, OnlineLogMel(config).process(part))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_clocks_beyond_32_bits(provider):
    together = LogMelLanes(CONFIG, 2, provider)
    alone = OnlineLogMel(CONFIG)
    for missing in (2**31 - 70, 100, 2**32, 5 * 2**40 + 13):
        assert together.skip(1, missing) == alone.skip(missing)
        assert_log_mel(provider, together.process([samples(333)], [1])[0], alone.process(samples(333)))
        assert together.position_samples(1) == alone.position_samples
    assert together.position_samples(0) == 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_lane_with_nan_reports_it_alone(provider):
    together = LogMelLanes(CONFIG, 3, provider)
    alone = [OnlineLogMel(CONFIG) for _ in range(3)]
    sound = [samples(400, seed=lane) for lane in range(3)]
    for chunk, stage in zip(together.process(sound), alone, strict=True):
        assert_log_mel(provider, chunk, stage.process(sound[0]) if stage is alone[0] else chunk)
    for lane in (1, 2):
        alone[lane].process(sound[lane])
    wrong = sound[1].copy()
    wrong[[123, 300]] = np.inf, np.nan
    with pytest.raises(
        LaneInputError, match=r"^samples: expected finite values, got .*inf at position 123 .*lane 1$"
    ) as caught:
        together.process([sound[2], wrong, sound[0]], [2, 1, 0])
    assert list(caught.value.complaints) == [1]
    outputs = caught.value.outputs
    assert_log_mel(provider, outputs[0], alone[2].process(sound[2]))
    assert outputs[1].shape == (0, CONFIG.n_mels)
    assert_log_mel(provider, outputs[2], alone[0].process(sound[0]))
    # As if nothing had been sent.
    assert together.position_samples(1) == 400
    assert_log_mel(provider, together.process([sound[1]], [1])[0], alone[1].process(sound[1]))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_lane_of_posteriors_with_nan_reports_it_alone(provider):
    together = MedianLanes(WIDTHS, 4, provider)
    alone = [OnlineMedianFilter(5, WIDTHS) for _ in range(4)]
    good = posteriors(4, 30, 5)
    bad = good.copy()
    bad[0, 29, 1] = bad[2, 3, 4] = np.nan
    with pytest.raises(
        LaneInputError, match=r"row 29, class 1 of the chunk for lane 0 \(and 1 more lanes\)$"
    ) as caught:
        together.process(bad)
    assert list(caught.value.complaints) == [0, 2]
    for lane, rows in enumerate(caught.value.outputs):
        expected = alone[lane].process(good[lane]) if lane in (1, 3) else good[0, :0]
        np.testing.assert_array_equal(rows, expected)
    for lane, rows in zip((0, 2), together.process([good[0], good[2]], [0, 2]), strict=True):
        np.testing.assert_array_equal(rows, alone[lane].process(good[lane]))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_kinds_of_samples(provider):
    sound = samples(600)
    integers = (sound * 32768).astype(np.int16)
    for given_sound, expected_of in (
        (sound.astype(np.float64), sound),
        (integers, integers),
        (sound[::-2], sound[::-2]),
    ):
        expected = OnlineLogMel(CONFIG).process(np.ascontiguousarray(expected_of))
        assert_log_mel(provider, LogMelLanes(CONFIG, 1, provider).process([given_sound])[0], expected)
        both = LogMelLanes(CONFIG, 2, provider).process(np.stack([given_sound, given_sound]))
        assert_log_mel(provider, both[1], expected)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_one_tensor_with_lengths(provider):
    sound = np.stack([samples(500, seed=lane) for lane in range(3)])
    stage = LogMelLanes(CONFIG, 5, provider)
    results = stage.process(sound[:, :450], [4, 0, 2], lengths=[450, 0, 260])
    assert_log_mel(provider, results[0], OnlineLogMel(CONFIG).process(sound[0, :450]))
    assert len(results[1]) == 0
    assert_log_mel(provider, results[2], OnlineLogMel(CONFIG).process(sound[2, :260]))
    assert [stage.position_samples(lane) for lane in range(5)] == [0, 0, 260, 0, 450]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_results_in_memory_of_the_caller(provider):
    sound = [samples(500, seed=1), samples(260, seed=2)]
    expected = [OnlineLogMel(CONFIG).process(part) for part in sound]
    room = np.full((2, 15, CONFIG.n_mels), 7.0, np.float32)
    results = LogMelLanes(CONFIG, 2, provider).process(sound, out=room)
    for i, rows in enumerate(expected):
        assert_log_mel(provider, results[i], rows)
        assert np.shares_memory(results[i], room)
        assert (room[i, len(rows) :] == 7.0).all()
    for wrong in (
        room[:, :4],
        room[:1],
        room.astype(np.float64),
        room[:, :, :5],
        room.swapaxes(0, 1),
        np.broadcast_to(np.float32(0), room.shape),
        [1.0],
    ):
        stage = LogMelLanes(CONFIG, 2, provider)
        with pytest.raises(ConfigError, match=r"^out: expected .*, got "):
            stage.process(sound, out=wrong)
        assert stage.position_samples(0) == 0


class OnEmulatedDevice:
    """Memory that says it is of a device, which in the emulation is any."""

    def __init__(self, array: np.ndarray, stream: int | None = None) -> None:
        self.array = array
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": array.strides,
            "version": 3,
            "stream": stream,
        }

    def __getitem__(self, item: Any) -> np.ndarray:
        return self.array[item]


def on_device(array: np.ndarray) -> Any:
    if EMULATED:
        return OnEmulatedDevice(array)
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs torch with CUDA")
    return torch.from_numpy(array).cuda()


def back(values: Any) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


@needs_gpu
def test_tensors_of_a_device_are_used_where_they_are():
    sound = np.stack([samples(500, seed=lane) for lane in range(3)])
    expected = [OnlineLogMel(CONFIG).process(part) for part in sound]
    stage = LogMelLanes(CONFIG, 3, "cuda")
    for i, frames in enumerate(stage.process(on_device(sound))):
        assert_log_mel("cuda", frames, expected[i])
    stage.reset()
    room = on_device(np.zeros((2, 20, CONFIG.n_mels), np.float32))
    results = stage.process([on_device(sound[2]), on_device(sound[0, :260].copy())], [2, 0], out=room)
    assert_log_mel("cuda", back(results[0]), expected[2])
    assert_log_mel("cuda", back(results[1]), expected[0][: len(results[1])])

    rows = posteriors(3, 40, 5)
    for i, smooth in enumerate(MedianLanes(WIDTHS, 3, "cuda").process(on_device(rows), lengths=[40, 30, 0])):
        np.testing.assert_array_equal(
            smooth, OnlineMedianFilter(5, WIDTHS).process(rows[i, : (40, 30, 0)[i]])
        )

    members = posteriors(3, 2, 8, 5, seed=3)
    fused = on_device(np.zeros((2, 8, 5), np.float32))
    for i, mixed in enumerate(fuse_lanes([on_device(one) for one in members], out=fused, provider="cuda")):
        np.testing.assert_array_equal(back(mixed), fuse(members[:, i]))


@needs_gpu
def test_a_device_tensor_with_nan_reports_where():
    sound = np.stack([samples(500, seed=lane) for lane in range(2)])
    sound[1, 77] = np.nan
    stage = LogMelLanes(CONFIG, 2, "cuda")
    with pytest.raises(
        LaneInputError, match=r"got another value at position 77 of the chunk for lane 1"
    ) as caught:
        stage.process(on_device(sound))
    assert_log_mel("cuda", caught.value.outputs[0], OnlineLogMel(CONFIG).process(sound[0]))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_tensors_of_torch_on_the_cpu(provider):
    torch = pytest.importorskip("torch")
    sound = samples(500)
    room = torch.zeros(1, 20, CONFIG.n_mels)
    frames = LogMelLanes(CONFIG, 1, provider).process(torch.from_numpy(sound)[None], out=room)[0]
    assert isinstance(frames, torch.Tensor)
    assert_log_mel(provider, frames.numpy(), OnlineLogMel(CONFIG).process(sound))
    with pytest.raises(
        ConfigError, match=r"^samples: expected a float32 array or tensor .*, got DLPack type"
    ):
        LogMelLanes(CONFIG, 1, provider).process([torch.zeros(5, dtype=torch.float64)])


def test_memory_of_a_device_is_not_for_the_cpu():
    stage = LogMelLanes(CONFIG, 1)
    with pytest.raises(
        ConfigError, match=r"^\w+: expected host memory for the lanes of a CPU, got device memory"
    ):
        stage.process([OnEmulatedDevice(samples(50))])
    with pytest.raises(ConfigError, match="expected all in the same kind of memory"):
        LogMelLanes(CONFIG, 2).process([samples(50), OnEmulatedDevice(samples(50))])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("chunks", "numbers", "lengths"),
    [
        ([samples(5)], None, None),
        ([samples(5)] * 2, [0, 0], None),
        ([samples(5)] * 2, [0, 2], None),
        ([samples(5)] * 2, [-1, 0], None),
        ([samples(5)], [0, 1], None),
        ([samples(5)] * 2, None, [5]),
        ([samples(5)] * 2, None, [5, 6]),
        ([samples(5)] * 2, None, [5, -1]),
        (samples(10), None, None),
        (np.zeros((2, 3, 4), np.float32), None, None),
        (np.zeros((2, 5), np.int32), None, None),
        (np.zeros((5,), np.float64), None, None),
        ([samples(5), None], None, None),
    ],
)
def test_calls_that_are_refused_change_nothing(provider, chunks, numbers, lengths):
    stage = LogMelLanes(CONFIG, 2, provider)
    with pytest.raises(ConfigError, match=r"^\w.*: expected .*, got "):
        stage.process(chunks, numbers, lengths=lengths)
    assert [stage.position_samples(lane) for lane in range(2)] == [0, 0]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_lanes_that_ended(provider):
    stage = LogMelLanes(CONFIG, 2, provider)
    stage.flush(1)
    with pytest.raises(StateError, match="lane 1"):
        stage.process([samples(50), samples(50)])
    with pytest.raises(StateError, match="lane 1"):
        stage.skip(1, 5)
    assert stage.position_samples(0) == 0
    stage.reset([1])
    stage.process([samples(50), samples(50)])
    with pytest.raises(ConfigError, match=r"^lanes: expected "):
        stage.reset([0, 7])
    assert stage.position_samples(0) == 50
    with pytest.raises(ConfigError, match=r"^lanes: expected "):
        stage.position_samples(2)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_arguments_that_cannot_be_used(provider):
    with pytest.raises(ConfigError, match=r"^lanes: expected "):
        LogMelLanes(CONFIG, 0, provider)
    with pytest.raises(ConfigError, match=r"^center: expected "):
        LogMelLanes(LogMelConfig(center=True), 1, provider)
    with pytest.raises(ConfigError, match=r"^widths: expected "):
        MedianLanes([4], 1, provider)
    with pytest.raises(ConfigError, match=r"^mode: expected "):
        MedianLanes([3], 1, provider, mode="wrap")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("members", [1, 3, 7])
def test_fusion_of_lanes(provider, members):
    given_posteriors = posteriors(members, 4, 6, 5)
    confidences = posteriors(members, 4, 6, seed=1)
    weights = 0.5 + posteriors(4, members, seed=2)
    stage = FusionLanes(provider)
    for i, rows in enumerate(stage.process(given_posteriors, confidences, weights, lengths=[6, 0, 3, 5])):
        n = (6, 0, 3, 5)[i]
        expected = fuse(given_posteriors[:, i, :n], confidences[:, i, :n], weights[i])
        np.testing.assert_array_equal(rows, expected)
    apart = [np.array(one) for one in given_posteriors.astype(np.float64)]
    for i, rows in enumerate(stage.process(apart)):
        np.testing.assert_array_equal(rows, fuse(given_posteriors[:, i]))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_fusion_names_the_lanes_that_it_cannot_fuse(provider):
    given_posteriors = posteriors(3, 4, 6, 5)
    confidences = posteriors(3, 4, 6, seed=1)
    expected = [fuse(given_posteriors[:, i], confidences[:, i]) for i in range(4)]
    given_posteriors[1, 0, 2, 4] = np.nan
    confidences[2, 3, 5] = -0.5
    with pytest.raises(LaneInputError) as caught:
        fuse_lanes(given_posteriors, confidences, provider=provider)
    assert caught.value.complaints == {
        0: "posteriors: expected finite numbers, "
        "got a fused value that is NaN or infinite in frame 2, class 4 of lane 0",
        3: "confidences: expected finite numbers of 0 or more, got another one of member 2 in frame 5 of lane 3",
    }
    for i in (1, 2):
        np.testing.assert_array_equal(caught.value.outputs[i], expected[i])
    assert [len(rows) for rows in caught.value.outputs] == [0, 6, 6, 0]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "change",
    [
        {"posteriors": np.zeros((3, 6, 5), np.float32)},
        {"posteriors": []},
        {"posteriors": [np.zeros((4, 6, 5), np.float32), np.zeros((4, 5, 5), np.float32)]},
        {"posteriors": np.zeros((3, 4, 6, 5), bool)},
        {"confidences": np.zeros((3, 4, 5), np.float32)},
        {"weights": [1.0, 1.0]},
        {"weights": np.ones((3, 3))},
        {"weights": [1.0, -1.0, 1.0]},
        {"weights": [0.0, 0.0, 0.0]},
        {"lengths": [6, 6, 6]},
        {"lengths": [6, 6, 6, 7]},
        {"out": np.zeros((4, 5, 5), np.float32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_fusion_of_what_does_not_fit(provider, change):
    call = {"posteriors": np.zeros((3, 4, 6, 5), np.float32), "provider": provider, **change}
    with pytest.raises(ConfigError, match=r"^\w+: expected .*, got "):
        fuse_lanes(**call)


@needs_gpu
def test_running_out_of_gpu_memory_says_so_and_leaves_the_cpu_alone():
    on_cpu = MedianLanes([3], 2)
    with pytest.raises(GpuOutOfMemory, match=r"^GPU memory: expected \d+ free bytes, got \d+ of \d+ in all$"):
        MedianLanes([2**20 + 1], 2**20, "cuda")
    assert issubclass(GpuOutOfMemory, MemoryError)
    assert len(on_cpu.process(posteriors(2, 4, 1))[0]) == 3
    assert len(MedianLanes([3], 2, "cuda").process(posteriors(2, 4, 1))[0]) == 3


@pytest.mark.skipif(_core.cuda_device_count() > 0, reason="there is a GPU or its emulation")
@pytest.mark.parametrize(
    "make",
    [
        lambda: LogMelLanes(CONFIG, 1, "cuda"),
        lambda: MedianLanes([3], 1, "cuda"),
        lambda: FusionLanes("cuda"),
        lambda: _core.FusionLanes("cuda"),
    ],
)
def test_cuda_without_a_gpu_is_refused(make):
    with pytest.raises(
        ConfigError,
        match=r"^provider: expected cpu, auto, or cuda where there is a GPU, got cuda (in|with no)",
    ):
        make()


@pytest.mark.skipif(_core.cuda_device_count() > 0 and not EMULATED, reason="there is a GPU")
def test_auto_falls_back_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(lanes, "_fallback_is_logged", False)
    with caplog.at_level(logging.INFO, logger="streamsed.lanes"):
        assert LogMelLanes(CONFIG, 1, "auto").provider == "cpu"
        assert FusionLanes("auto").provider == "cpu"
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("provider auto: cpu, as there is ")


def test_unknown_provider():
    for make in (lambda: FusionLanes("tpu"), lambda: _core.FusionLanes("tpu")):
        with pytest.raises(ConfigError, match=r"^provider: expected "):
            make()
