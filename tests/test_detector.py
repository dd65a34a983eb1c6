"""Detectors: whole recordings, posteriors, options."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from streams import RATE, assert_truth, events_of, run
from tiny_models import FRONT_END, LABELS, scene, tiny_bundle, tone

import streamsed
from streamsed.config import LogMelConfig
from streamsed.errors import BundleError, ConfigError, FormatError
from streamsed.frontend import LogMel
from streamsed.models import load_network
from streamsed.models.model_stream import zero_state


def network_on_the_whole(bundle, samples):
    """Posteriors of the first member for all frames at once, with ONNX Runtime alone."""
    ort = pytest.importorskip("onnxruntime")
    log_mel = LogMel(bundle.front_end)(samples)
    log_mel = log_mel[: len(log_mel) // bundle.time_stride * bundle.time_stride]
    session = ort.InferenceSession((bundle.path / "member0.onnx").read_bytes())
    state = {entry.name: np.zeros(entry.shape, np.float32) for entry in bundle.state}
    return session.run(["posteriors"], {"log_mel": log_mel[np.newaxis], **state})[0][0]


class TestDetect:
    @pytest.mark.parametrize("latency", ["low", "balanced", "high"])
    @pytest.mark.parametrize("kind", ["detector", "ensemble", "windowed"])
    def test_finds_what_is_there(self, kind, latency, request):
        events = request.getfixturevalue(kind).detect(scene(), latency=latency)
        assert_truth(events)
        for event in events:
            assert 0.5 < event.confidence <= 1.0
            # The networks of the ensemble trust themselves by half, whatever they hear.
            assert 0.0 <= event.uncertainty < (0.7 if kind == "ensemble" else 0.5)
            assert not event.truncated
            assert not event.spans_gap

    @pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
    def test_any_rate(self, detector, rate):
        # At 8 kHz the tone of 5 kHz folds back to 3 kHz, which is still in the upper half of the bands.
        assert_truth(detector.detect(scene(rate), rate))

    @pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_files(self, detector, tmp_path, extension, channels):
        path = tmp_path / f"scene.{extension}"
        samples = np.repeat(scene(44100)[:, np.newaxis], channels, axis=1)
        soundfile.write(path, samples, 44100)
        events = detector.detect(path)
        assert_truth(events)
        assert {event.source for event in events} == {"scene"}
        assert len({event.event_id for event in events}) == len(events)

    def test_file_and_array_agree(self, detector, tmp_path):
        path = tmp_path / "x.wav"
        soundfile.write(path, scene(), RATE, subtype="FLOAT")
        assert detector.detect(path, source="a") == detector.detect(scene(), source="a")

    def test_types_agree(self, detector):
        integers = np.round(scene() * 32767).astype(np.int16)
        found = [detector.detect(samples) for samples in (integers, integers / 32768.0)]
        assert found[0] == found[1]

    @pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(1, np.float32), scene()[:500]])
    def test_too_short_for_anything(self, detector, windowed, samples):
        assert detector.detect(samples) == []
        assert windowed.detect(samples) == []

    def test_silence_and_noise_give_nothing(self, detector):
        rng = np.random.default_rng(1)
        assert detector.detect(np.zeros(10 * RATE, np.float32)) == []
        assert detector.detect(rng.normal(0, 1e-4, 10 * RATE).astype(np.float32)) == []

    def test_an_event_that_lasts_to_the_end_is_closed(self, detector):
        samples = np.concatenate([scene()[:RATE], tone(1.0, 300.0)])
        (event,) = detector.detect(samples)
        assert event.offset <= 2.0
        assert event.offset == pytest.approx(2.0, abs=0.06)

    def test_bad_files(self, detector, tmp_path):
        with pytest.raises(FormatError, match="no such file"):
            detector.detect(tmp_path / "no.wav")
        path = tmp_path / "cut.wav"
        soundfile.write(path, scene(), RATE)
        path.write_bytes(path.read_bytes()[:100_000])
        with pytest.raises(FormatError, match="cut off"):
            detector.detect(path)

    def test_rate_of_a_file_is_its_own(self, detector, tmp_path):
        path = tmp_path / "x.wav"
        soundfile.write(path, scene(), RATE)
        with pytest.raises(ConfigError, match="sample_rate: expected None for a file"):
            detector.detect(path, 44100)


class TestPosteriors:
    def test_shape_and_range(self, detector):
        posteriors = detector.posteriors(scene())
        frames = (len(scene()) - FRONT_END.window_length) // FRONT_END.hop_length + 1
        assert posteriors.shape == (frames // 2, 2)
        assert posteriors.dtype == np.float32
        assert 0.0 <= posteriors.min() <= posteriors.max() <= 1.0

    def test_equal_to_the_network_on_the_whole_recording(self, detector):
        expected = network_on_the_whole(detector.bundle, scene())
        for latency in ("low", "balanced", "high"):
            np.testing.assert_allclose(detector.posteriors(scene(), latency=latency), expected, atol=1e-5)

    def test_fusion_of_members(self, ensemble):
        log_mel = LogMel(FRONT_END)(scene())
        log_mel = log_mel[np.newaxis, : len(log_mel) // 2 * 2]
        bundle = ensemble.bundle
        outputs = [load_network(bundle, m).run(log_mel, zero_state(bundle))[0] for m in bundle.members]
        confidences = np.stack([item.confidence[0] for item in outputs])[:, :, np.newaxis]
        posteriors = np.stack([item.posteriors[0] for item in outputs])
        expected = (confidences * posteriors).sum(axis=0) / confidences.sum(axis=0)
        np.testing.assert_allclose(ensemble.posteriors(scene()), expected, atol=1e-5)

    def test_resampled_input(self, detector):
        found = detector.posteriors(scene(48000), 48000)
        expected = detector.posteriors(scene())
        assert found.shape == expected.shape

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -1e7])
    def test_non_finite(self, detector, bad):
        samples = scene()
        samples[100] = bad
        with pytest.raises(ConfigError, match="samples: expected values within"):
            detector.posteriors(samples)


class TestOptions:
    def test_thresholds(self, detector):
        assert detector.detect(scene(), thresholds=1.0) == []
        assert [e.label for e in detector.detect(scene(), thresholds={"low": 1.0})] == ["high"]
        assert_truth(detector.detect(scene(), thresholds={"low": 0.6, "high": 0.4}))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"latency": "lowest"}, r"latency: expected one of \['balanced', 'high', 'low'\], got 'lowest'"),
            ({"thresholds": {"dog": 0.5}}, r"thresholds: expected labels among .*got \['dog'\]"),
            ({"thresholds": 0.0}, r"thresholds\[low\]: expected in \(0, 1\], got 0.0"),
            ({"thresholds": float("nan")}, r"thresholds\[low\]: expected in"),
            ({"top_k": 3}, r"top_k: expected in \[0, 2\]"),
            ({"top_k": -1}, r"top_k: expected in"),
            ({"sample_rate": 0}, "rate_in: expected an integer"),
            ({"channels": 0}, "channels: expected > 0, got 0"),
            ({"channels": 2, "channel": 2}, r"channel: expected numbers in \[0, 1\]"),
            ({"channel": "left", "channels": 2}, "channel: expected 'mix'"),
        ],
    )
    def test_wrong_options(self, detector, options, message):
        with pytest.raises(ConfigError, match=message):
            detector.stream(**options)

    def test_channels(self, detector):
        both = np.stack([scene(), np.zeros_like(scene())], axis=1)
        assert_truth(events_of(run(detector.stream(channel=0), both)))
        assert events_of(run(detector.stream(channel=1), both)) == []
        assert_truth(events_of(run(detector.stream(), both)))

    def test_models_that_do_not_exist(self, tmp_path):
        with pytest.raises(BundleError, match="no such file or folder, nor shipped"):
            streamsed.load("no-such-model")
        with pytest.raises(BundleError, match="no such file or folder, nor shipped"):
            streamsed.load(tmp_path / "nothing")

    def test_attributes(self, detector):
        assert detector.labels == LABELS
        assert detector.sample_rate == RATE
        assert detector.config == FRONT_END
        assert detector.name == "tiny"
        assert detector.stream().labels == LABELS


def test_a_front_end_with_running_normalisation_streams(tmp_path):
    config = LogMelConfig(
        sample_rate=22050,
        n_fft=1024,
        window_length=882,
        hop_length=441,
        n_mels=16,
        normalisation="running",
        mean=(0.0,),
        std=(1.0,),
    )
    loaded = streamsed.load(tiny_bundle(tmp_path / "b", front_end=config).path)
    expected = network_on_the_whole(loaded.bundle, scene(22050))
    np.testing.assert_allclose(loaded.posteriors(scene(22050)), expected, atol=1e-5)
    assert np.ptp(expected) > 0.1
