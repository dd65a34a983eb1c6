"""Networks and model streams: streamed equals offline, whatever the backend and however the frames arrive."""

from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path

import contracts
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import FRONT_END, PROVENANCE, onnx_model, tiny_bundle

from streamsed.bundle import Streaming, write_bundle
from streamsed.config import LATENCY_PROFILES, LatencyProfile
from streamsed.errors import BundleError, ConfigError
from streamsed.models import load_network, look_ahead_frames, model_stream
from streamsed.models import onnx as onnx_backend
from streamsed.models.model_stream import zero_state

N_MELS = FRONT_END.n_mels
BALANCED = LATENCY_PROFILES["balanced"]


def log_mel(frames: int = 160, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-15.0, 3.0, (frames, N_MELS)).astype(np.float32)


def overlap(value: float) -> LatencyProfile:
    return dataclasses.replace(BALANCED, overlap=value)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("m") / "causal", confidence=True)


@pytest.fixture(scope="module")
def delayed(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("m") / "delayed", delay_frames=6)


@pytest.fixture(scope="module")
def windowed(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("m") / "windowed", windowed=True, confidence=True)


def network_of(bundle, **options):
    return load_network(bundle, bundle.members[0], **options)


def whole(bundle, data, profile=BALANCED):
    stream = model_stream(network_of(bundle), bundle, profile)
    return np.concatenate([stream.process(data).posteriors, stream.flush().posteriors])


class Posteriors:
    """A model stream whose outputs are the posteriors alone, as the contract compares arrays."""

    def __init__(self, stream):
        self._stream = stream
        self.latency_frames = stream.latency_frames

    def process(self, chunk):
        return self._stream.process(chunk).posteriors

    def flush(self):
        return self._stream.flush().posteriors

    def reset(self):
        self._stream.reset()


def stage_case(bundle, profile, outputs_after):
    network = network_of(bundle)
    return contracts.StageCase(
        make=lambda: Posteriors(model_stream(network, bundle, profile)),
        data=log_mel(),
        same=contracts.assert_close,
        outputs_after=outputs_after,
        bad_inputs=(
            np.zeros((3, N_MELS + 1), np.float32),
            np.zeros(N_MELS, np.float32),
            np.zeros((3, N_MELS), np.float64),
        ),
        long_data=log_mel(20_000),
    )


def windowed_outputs_after(wait: int):
    """Windows of 40 frames every 8, 2 frames a posterior, of which the last ``wait`` frames wait."""
    return lambda n: max(0, n // 8 * 8 - wait) // 2


@pytest.mark.parametrize("check", contracts.CHECKS, ids=contracts.check_name)
@pytest.mark.parametrize("kind", ["causal", "delayed", "windowed-0", "windowed-0.5", "windowed-1"])
def test_stage_contract(kind, check, causal, delayed, windowed):
    cases = {
        "causal": lambda: stage_case(causal, BALANCED, lambda n: n // 2),
        "delayed": lambda: stage_case(delayed, BALANCED, lambda n: max(0, n // 2 - 3)),
        "windowed-0": lambda: stage_case(windowed, overlap(0.0), windowed_outputs_after(0)),
        "windowed-0.5": lambda: stage_case(windowed, overlap(0.5), windowed_outputs_after(16)),
        "windowed-1": lambda: stage_case(windowed, overlap(1.0), windowed_outputs_after(32)),
    }
    check(cases[kind]())


@given(sizes=st.lists(st.integers(0, 50), max_size=20))
def test_streamed_equals_offline_for_any_partition(sizes, causal, windowed):
    for bundle in (causal, windowed):
        contracts.check_partition(stage_case(bundle, BALANCED, None), sizes)


def test_causal_stream_equals_the_bare_network(causal):
    data = log_mel(160)
    outputs, _ = network_of(causal).run(data[np.newaxis], zero_state(causal))
    stream = model_stream(network_of(causal), causal, BALANCED)
    parts = [stream.process(data[i : i + 7]) for i in range(0, 160, 7)]
    np.testing.assert_allclose(
        np.concatenate([p.posteriors for p in parts]), outputs.posteriors[0], atol=1e-5
    )
    np.testing.assert_allclose(
        np.concatenate([p.confidence for p in parts]), outputs.confidence[0], atol=1e-5
    )


def test_frames_that_do_not_fill_a_posterior_are_dropped(causal, windowed):
    for bundle in (causal, windowed):
        assert len(whole(bundle, log_mel(161))) == 80
        np.testing.assert_allclose(whole(bundle, log_mel(161)), whole(bundle, log_mel(160)), atol=1e-6)
        assert len(whole(bundle, log_mel(1))) == 0


def test_look_ahead_is_taken_out(causal, delayed, tmp_path):
    plain = tiny_bundle(tmp_path / "plain")
    data = log_mel(160)
    found = whole(delayed, data)
    # Held back by 3 posteriors inside the network, they come out at their own places.
    np.testing.assert_allclose(found, whole(plain, data), atol=1e-6)


def test_after_a_gap_a_look_ahead_model_stays_aligned(delayed):
    stream = model_stream(network_of(delayed), delayed, BALANCED)
    before, after = log_mel(41, seed=1), log_mel(30, seed=2)
    first = [stream.process(before), stream.gap()]
    second = [stream.process(after), stream.flush()]
    assert sum(len(part.posteriors) for part in first) == 20
    assert sum(len(part.posteriors) for part in second) == 15


def test_a_causal_model_keeps_its_state_over_a_gap(causal):
    network = network_of(causal)
    stream = model_stream(network, causal, BALANCED)
    stream.process(log_mel(40))
    assert len(stream.gap().posteriors) == 0
    kept = stream.process(log_mel(40, seed=1)).posteriors
    fresh = model_stream(network, causal, BALANCED).process(log_mel(40, seed=1)).posteriors
    assert np.abs(kept - fresh).max() > 1e-4


def test_a_windowed_model_starts_anew_after_a_gap(windowed):
    stream = model_stream(network_of(windowed), windowed, BALANCED)
    head = [stream.process(log_mel(75)), stream.gap()]
    assert sum(len(part.posteriors) for part in head) == 37
    tail = [stream.process(log_mel(90, seed=1)), stream.flush()]
    found = np.concatenate([part.posteriors for part in tail])
    np.testing.assert_allclose(found, whole(windowed, log_mel(90, seed=1)), atol=1e-6)


def test_one_window_with_full_overlap_is_exactly_the_network(windowed):
    data = log_mel(40)
    outputs, _ = network_of(windowed).run(data[np.newaxis], ())
    np.testing.assert_allclose(whole(windowed, data, overlap(1.0)), outputs.posteriors[0], atol=1e-6)


def windowed_reference(network, data: np.ndarray, wait: int) -> np.ndarray:
    """Weighted mean over the windows that have been run when a posterior becomes final, written out."""
    window, hop, stride, count = 40, 8, 2, len(data) // 2
    rows = window // stride
    triangle = np.minimum(np.arange(1, rows + 1), np.arange(rows, 0, -1))
    ends = [end for end in range(hop, len(data) + 1, hop) if end > wait]
    if not ends or ends[-1] != count * stride:
        ends.append(count * stride)
    result = np.empty((count, 2))
    values = {}
    for end in ends:
        begin = end - window
        frames = data[max(0, begin) : end]
        frames = np.concatenate([np.repeat(data[:1], max(0, -begin), axis=0), frames])
        values[end] = network.run(frames[np.newaxis].copy(), ())[0].posteriors[0]
    for row in range(count):
        final = next((end for end in ends if end - wait >= (row + 1) * stride), ends[-1])
        total = weight = 0.0
        for end in ends:
            place = row - (end - window) // stride
            if end <= final and 0 <= place < rows:
                total = total + triangle[place] * values[end][place]
                weight += triangle[place]
        result[row] = total / weight
    return result


@pytest.mark.parametrize(("part", "wait"), [(0.0, 0), (0.5, 16), (0.75, 24), (1.0, 32)])
@pytest.mark.parametrize("frames", [160, 131, 44, 23, 3])
def test_windowed_posteriors_equal_the_definition(windowed, part, wait, frames):
    data = log_mel(frames)
    expected = windowed_reference(network_of(windowed), data, wait)
    np.testing.assert_allclose(whole(windowed, data, overlap(part)), expected, atol=1e-5)


def test_latency_of_windows_follows_the_profile(windowed, delayed):
    # The last wait + hop frames but the posterior's own two.
    assert [look_ahead_frames(windowed, overlap(part)) for part in (0.0, 0.5, 1.0)] == [6, 22, 38]
    assert look_ahead_frames(delayed, BALANCED) == 6


def test_memory_of_an_endless_stream_is_bounded(windowed):
    stream = model_stream(network_of(windowed), windowed, BALANCED)
    for _ in range(200):
        stream.process(log_mel(24))
    assert len(stream._frames) < 40 + 24 + 8


class TestOnnx:
    def test_wrong_names(self, tmp_path):
        bundle = tiny_bundle(tmp_path / "b", confidence=True)
        wrong = dataclasses.replace(bundle, outputs=("posteriors",))
        with pytest.raises(BundleError, match=r"outputs: expected \['posteriors', 'frames_out'.*confidence"):
            network_of(wrong)

    def test_wrong_state_shape(self, tmp_path):
        bundle = tiny_bundle(tmp_path / "b")
        state = (dataclasses.replace(bundle.state[0], shape=(1, 5, N_MELS)), bundle.state[1])
        with pytest.raises(
            BundleError, match=r"(?s)member0\.onnx: ONNX Runtime failed: .*Got: 5 Expected: 4"
        ):
            network_of(dataclasses.replace(bundle, state=state))

    def test_wrong_label_count(self, tmp_path):
        bundle = tiny_bundle(tmp_path / "b")
        wrong = dataclasses.replace(bundle, labels=("a", "b", "c"))
        with pytest.raises(BundleError, match=r"posteriors: expected shape \(1, 2, 3\) .* got \(1, 2, 2\)"):
            network_of(wrong)

    def test_wrong_time_stride(self, tmp_path):
        bundle = tiny_bundle(tmp_path / "b")
        with pytest.raises(BundleError, match="posteriors: expected shape"):
            network_of(dataclasses.replace(bundle, time_stride=4))

    def test_not_a_model(self, tmp_path):
        bundle = write_bundle(
            tmp_path / "b",
            name="b",
            labels=("a", "b"),
            front_end=FRONT_END,
            streaming=Streaming("causal"),
            time_stride=2,
            context_frames=None,
            look_ahead_frames=0,
            state={},
            members={"0": {"onnx": b"this is no graph"}},
            provenance=PROVENANCE,
        )
        with pytest.raises(BundleError, match=r"member0\.onnx: ONNX Runtime cannot load it"):
            network_of(bundle)

    def test_cuda_is_never_replaced_in_silence(self, causal):
        ort = pytest.importorskip("onnxruntime")
        if "CUDAExecutionProvider" in ort.get_available_providers():
            pytest.skip("this ONNX Runtime has CUDA")
        with pytest.raises(ConfigError, match="provider: expected one that this ONNX Runtime has"):
            network_of(causal, provider="cuda")

    def test_auto_falls_back_and_says_so_once(self, causal, caplog, monkeypatch):
        monkeypatch.setattr(onnx_backend, "_said", False)
        with caplog.at_level(logging.INFO, logger="streamsed"):
            network_of(causal, provider="auto")
            network_of(causal, provider="auto")
        if "CUDAExecutionProvider" not in pytest.importorskip("onnxruntime").get_available_providers():
            assert [record.message for record in caplog.records if "provider auto" in record.message] == [
                "provider auto: this ONNX Runtime has no CUDA provider, computing on the CPU"
            ]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"backend": "tflite"}, "backend: expected onnx or torchscript, got 'tflite'"),
            ({"provider": "tpu"}, "provider: expected cpu, cuda or auto, got 'tpu'"),
            ({"num_threads": 0}, "num_threads: expected an integer > 0, got 0"),
        ],
    )
    def test_wrong_options(self, causal, options, message):
        with pytest.raises(ConfigError, match=message):
            network_of(causal, **options)

    def test_missing_format(self, causal):
        with pytest.raises(BundleError, match=r"expected a file for backend 'torchscript', got \['onnx'\]"):
            network_of(causal, backend="torchscript")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return tiny_bundle(tmp_path_factory.mktemp("m") / "both", torchscript=True)


class TestTorchScript:
    def test_equals_onnx(self, both):
        data = log_mel(120)
        streams = [
            model_stream(network_of(both, backend=backend), both, BALANCED)
            for backend in ("onnx", "torchscript")
        ]
        for i in range(0, 120, 8):
            first, second = (stream.process(data[i : i + 8]).posteriors for stream in streams)
            np.testing.assert_allclose(first, second, atol=1e-5)

    def test_not_a_module(self, both, tmp_path):
        import hashlib
        import shutil

        content = b"no module"
        folder = Path(shutil.copytree(both.path, tmp_path / "b"))
        (folder / "member0.pt").write_bytes(content)
        files = dict(both.members[0].files)
        files["torchscript"] = dataclasses.replace(
            files["torchscript"], sha256=hashlib.sha256(content).hexdigest()
        )
        member = dataclasses.replace(both.members[0], files=files)
        with pytest.raises(BundleError, match=r"member0\.pt: TorchScript cannot load it"):
            load_network(dataclasses.replace(both, path=folder), member, backend="torchscript")

    def test_missing_torch_names_the_extra(self, both, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(ConfigError, match=r"backend: expected PyTorch .*streamsed\[torch\]"):
            network_of(both, backend="torchscript")

    def test_cuda_is_never_replaced_in_silence(self, both):
        if pytest.importorskip("torch").cuda.is_available():
            pytest.skip("this PyTorch has CUDA")
        with pytest.raises(ConfigError, match="provider: expected a usable GPU for 'cuda', got none"):
            network_of(both, backend="torchscript", provider="cuda")

    def test_threads_of_the_process_are_left_alone(self, both):
        torch = pytest.importorskip("torch")
        before = torch.get_num_threads()
        network_of(both, backend="torchscript")
        assert torch.get_num_threads() == before


def test_members_of_an_ensemble_differ():
    assert onnx_model(seed=0) != onnx_model(seed=1)
