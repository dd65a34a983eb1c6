"""Features of utterances: openSMILE, masked means, own functionals, ONNX, the cache, and what is wrong with a clip."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import torch
from emotion_layouts import voice, write_voice
from tiny_speech_models import save_encoder, save_regressor

from streamsed.errors import ConfigError, FormatError
from streamsed.functionals import FunctionalsConfig, LogMelFunctionals
from training.emotion.features import (
    FeatureExtractor,
    FeatureSettings,
    FeaturesUnavailable,
    Segment,
    compute_features,
    make_extractor,
)
from training.emotion.features.cache import _Worker

COMPARE = FeatureSettings("opensmile", set="ComParE_2016")
EGEMAPS = FeatureSettings("opensmile", set="eGeMAPSv02")


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return voice(0.3, 0.6, 0.5, 0.8, 1).astype(np.float32)


def test_compare_is_what_opensmile_says(speech):
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
    extractor = make_extractor("compare", COMPARE)
    assert extractor.dimensions == 6373 and "audspec_lengthL1norm_sma_range" in extractor.names
    expected = smile.process_signal(speech, 16000).to_numpy()[0]
    assert np.array_equal(extractor.extract(speech, 16000), expected)


def test_other_rates_are_resampled_to_16_khz_first(speech):
    import soxr

    extractor = make_extractor("egemaps", EGEMAPS)
    assert extractor.dimensions == 88
    at_16 = extractor.extract(speech, 16000)
    at_48 = extractor.extract(soxr.resample(speech, 16000, 48000), 48000)
    raw = extractor.compute([soxr.resample(speech, 16000, 48000)])[0]
    scale = np.abs(at_16) + 1e-3
    assert np.median(np.abs(at_48 - at_16) / scale) < 0.05 < np.median(np.abs(raw - at_16) / scale)


def test_equal_level_takes_the_gain_out(speech):
    plain = make_extractor("compare", COMPARE)
    equal = make_extractor("compare", FeatureSettings("opensmile", set="ComParE_2016", equal_level=True))
    assert plain.fingerprint() != equal.fingerprint()
    quiet = equal.extract(0.25 * speech, 16000)
    assert np.allclose(equal.extract(speech, 16000), quiet, rtol=1e-2, atol=1e-2 * np.abs(quiet).max())
    loudness = plain.names.index("audspec_lengthL1norm_sma_quartile2")
    assert plain.extract(speech, 16000)[loudness] > 1.2 * plain.extract(0.25 * speech, 16000)[loudness]


def test_own_functionals_are_those_of_the_run_time(speech):
    extractor = make_extractor("functionals", FeatureSettings("functionals", config={"active_db": 25.0}))
    functionals = LogMelFunctionals(FunctionalsConfig(active_db=25.0))
    assert extractor.names == functionals.names
    assert np.array_equal(extractor.extract(speech, 16000), functionals(speech))
    with pytest.raises(ConfigError, match=r"features\.own\.config"):
        make_extractor("own", FeatureSettings("functionals", config={"no_such": 1}))


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_padding_is_in_no_mean(tmp_path, kind, norm, speech):
    folder = save_encoder(tmp_path / "model", kind, norm)
    extractor = make_extractor("x", FeatureSettings("transformers", source=str(folder), batch_size=2))
    # Networks that normalise over time would hear the padding: one by one.
    assert extractor.batch_size == (2 if norm == "layer" else 1)
    short = speech[:5000]
    alone = np.concatenate([extractor.extract_batch([samples]) for samples in (short, speech)])
    together = extractor.extract_batch([short, speech])
    assert together.shape == (2, 16) and np.abs(together - alone).max() < 1e-5


def test_final_layer_of_a_model_is_averaged_over_frames(tmp_path, speech):
    import transformers

    folder = save_encoder(tmp_path / "model")
    found = make_extractor("x", FeatureSettings("transformers", source=str(folder))).extract(speech, 16000)
    encoder = transformers.AutoFeatureExtractor.from_pretrained(folder)
    network = transformers.Wav2Vec2Model.from_pretrained(folder).eval()
    with torch.inference_mode():
        inputs = encoder(speech, sampling_rate=16000, return_tensors="pt")
        expected = network(inputs.input_values).last_hidden_state[0].mean(dim=0)
    assert found == pytest.approx(expected.numpy(), abs=1e-5)


def test_an_end_to_end_model_gives_levels_in_their_order(tmp_path, speech):
    folder = save_regressor(tmp_path / "model")
    levels = make_extractor("e2e", FeatureSettings("end_to_end", source=str(folder)))
    means = make_extractor("x", FeatureSettings("transformers", source=str(folder))).extract(speech, 16000)
    assert levels.names == ("valence", "arousal", "dominance")
    state = levels._network.classifier.state_dict()
    hidden = np.tanh(state["dense.weight"].numpy() @ means + state["dense.bias"].numpy())
    arousal, dominance, valence = state["out_proj.weight"].numpy() @ hidden + state["out_proj.bias"].numpy()
    assert levels.extract(speech, 16000) == pytest.approx([valence, arousal, dominance], abs=1e-5)


def test_weights_that_are_missing_are_never_random(tmp_path):
    folder = save_encoder(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"all weights of a EmotionRegressor in .*classifier\.dense\.bias"):
        make_extractor("e2e", FeatureSettings("end_to_end", source=str(folder)))


def test_a_model_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FeaturesUnavailable, match="expected a model in the folder or under the hub id"):
        make_extractor("x", FeatureSettings("transformers", source="nobody/nothing", offline=True))
    with pytest.raises(FeaturesUnavailable, match="expected an ONNX graph in"):
        make_extractor("x", FeatureSettings("onnx", source="no.onnx"), tmp_path)


def _graph(path: Path, axes: int) -> Path:
    """A graph that says mean and mean square, of the clip or of each of its samples."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = [1, 2] if axes == 2 else [1, "t", 2]
    nodes = [
        helper.make_node("Mul", ["samples", "samples"], ["square"]),
        helper.make_node("Unsqueeze", ["samples", "last"], ["a"]),
        helper.make_node("Unsqueeze", ["square", "last"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["both" if axes == 2 else "out"], axis=2),
    ]
    constants = [helper.make_tensor("last", onnx.TensorProto.INT64, [1], [2])]
    if axes == 2:
        constants.append(helper.make_tensor("time", onnx.TensorProto.INT64, [1], [1]))
        nodes.append(helper.make_node("ReduceMean", ["both", "time"], ["out"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("samples", kind, [1, "n"])],
        [helper.make_tensor_value_info("out", kind, shape)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("axes", [2, 3])
def test_any_encoder_in_onnx(tmp_path, axes, speech):
    _graph(tmp_path / "encoder.onnx", axes)
    settings = FeatureSettings("onnx", source="encoder.onnx", sample_rate=16000)
    extractor = make_extractor("mine", settings, tmp_path)
    assert extractor.names == ("mine[0]", "mine[1]")
    expected = [speech.mean(), np.square(speech).mean()]
    assert extractor.extract(speech, 16000) == pytest.approx(expected, abs=1e-5)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(FeaturesUnavailable, match=r'opensmile .* got none; install .*"streamsed\[emotion\]"'):
        make_extractor("compare", COMPARE)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        FeaturesUnavailable, match=r'transformers .* install the extra: .*"streamsed\[emotion\]"'
    ):
        make_extractor("x", FeatureSettings("transformers", source="facebook/hubert-large-ll60k"))


def test_clips_that_are_too_short_are_named(tmp_path, speech):
    with pytest.raises(FormatError, match=r"expected at least 0.120 s for compare, got 0.050 s"):
        make_extractor("compare", COMPARE).extract(speech[:800], 16000)
    folder = save_encoder(tmp_path / "model")
    extractor = make_extractor("x", FeatureSettings("transformers", source=str(folder)))
    assert extractor.extract(speech[:400], 16000).shape == (16,)
    with pytest.raises(FormatError, match=r"expected at least 0.025 s for x, got 0.025 s"):
        extractor.extract(speech[:399], 16000)


def test_bad_samples_and_rates_are_named(speech):
    extractor = make_extractor("egemaps", EGEMAPS)
    for rate in (0, 8000.5, 10**9):
        with pytest.raises(ConfigError, match=r"sample_rate: expected an integer in \[1000, 768000\] Hz"):
            extractor.extract(speech, rate)
    with pytest.raises(ConfigError, match="samples: expected finite values"):
        extractor.extract(np.where(np.arange(len(speech)) == 7, np.nan, speech), 16000)


class _Broken(FeatureExtractor):
    name, names = "broken", ("good", "bad", "worse")

    def fingerprint(self):
        return {}

    def compute(self, batch):
        return np.array([[1.0, np.nan, np.inf]] * len(batch))


def test_features_that_are_nan_are_named(speech):
    with pytest.raises(
        FormatError, match="broken: expected finite features, got NaN or Inf in 2 of 3: bad, worse"
    ):
        _Broken().extract(speech, 16000)


def test_features_are_computed_once_and_a_run_goes_on(tmp_path, monkeypatch):
    paths = [write_voice(tmp_path / f"{number}.wav", (0.2, 0.3, 0.4), number) for number in range(3)]
    (tmp_path / "copy.wav").write_bytes(paths[0].read_bytes())
    segments = [Segment(path) for path in (*paths, tmp_path / "copy.wav")]
    done: list[int] = []
    work = _Worker.__call__

    def counted(self, piece):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(piece))
        work(self, piece)

    monkeypatch.setattr(_Worker, "__call__", counted)
    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        compute_features("egemaps", EGEMAPS, segments, cache)
    monkeypatch.setattr(_Worker, "__call__", work)
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert len(kept) == 2 and not list(cache.rglob("*.part"))
    values, names = compute_features("egemaps", EGEMAPS, segments, cache)
    assert values.shape == (4, 88) and len(names) == 88
    # Recordings of the same content share a row; what was there is not made again.
    assert np.array_equal(values[0], values[3]) and len(list(cache.rglob("*.npy"))) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    expected = make_extractor("egemaps", EGEMAPS).extract(*soundfile.read(paths[1], dtype="float32"))
    assert np.array_equal(values[1], expected)


def test_workers_and_parts_of_recordings(tmp_path):
    paths = [write_voice(tmp_path / f"{number}.wav", (0.2, 0.3, 0.4), number) for number in range(2)]
    segments = [Segment(paths[0], 0.1, 0.5), Segment(paths[1])]
    settings = FeatureSettings("functionals")
    one, _ = compute_features("own", settings, segments, tmp_path / "one")
    two, _ = compute_features("own", settings, segments, tmp_path / "two", workers=2)
    assert np.array_equal(one, two)
    samples = soundfile.read(paths[0], dtype="float32")[0][1600:8000]
    assert np.array_equal(one[0], LogMelFunctionals(FunctionalsConfig())(samples))


def test_windows_without_sound_may_have_no_features(tmp_path):
    samples = voice(0.3, 0.6, 0.5, 1.0, 1)
    samples[8000:] = 0.0
    soundfile.write(tmp_path / "half.wav", samples, 16000)
    segments = [Segment(tmp_path / "half.wav", 0.0, 0.5), Segment(tmp_path / "half.wav", 0.5, 1.0)]
    settings = FeatureSettings("functionals")
    with pytest.raises(FormatError, match=r"half\.wav: samples: expected at least 20 frames of sound"):
        compute_features("own", settings, segments, tmp_path / "strict")
    values, _ = compute_features("own", settings, segments, tmp_path / "cache", allow_empty=True)
    assert np.isfinite(values[0]).all() and np.isnan(values[1]).all()


def test_what_is_wrong_with_a_recording_names_it(tmp_path):
    soundfile.write(tmp_path / "short.wav", np.full(800, 0.1), 16000)
    (tmp_path / "text.wav").write_text("no sound")
    for name, said in (
        ("short", "expected at least 0.120 s"),
        ("text", "text.wav"),
        ("none", "no such file"),
    ):
        with pytest.raises(FormatError, match=rf"{name}\.wav: .*{said}"):
            compute_features("egemaps", EGEMAPS, [Segment(tmp_path / f"{name}.wav")], tmp_path / "cache")


def test_settings_that_do_not_fit_their_kind_are_refused():
    for values in (
        {"kind": "opensmile"},
        {"kind": "functionals", "set": "eGeMAPSv02"},
        {"kind": "transformers"},
        {"kind": "functionals", "source": "x"},
        {"kind": "functionals", "equal_level": True},
        {"kind": "opensmile", "set": "eGeMAPSv02", "config": {"a": 1}},
    ):
        with pytest.raises(ConfigError):
            FeatureSettings(**values)
