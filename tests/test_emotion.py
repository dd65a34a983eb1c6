"""Streams of dimensional emotion: windows, hops, the voice gate, lost sound, smoothing, wrong use."""

import json
import threading

import numpy as np
import pytest
import soundfile
from streams import run
from tiny_emotion import OFFSETS, RATE, noise, tiny_emotion, voice

import streamsed
from streamsed.config import EmotionConfig
from streamsed.emotion import EmotionDetector, emotion_latency
from streamsed.errors import ConfigError, FormatError, StateError
from streamsed.types import EMOTION_DIMENSIONS, Emotion, Gap, Health, record_from_dict


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_emotion(tmp_path_factory.mktemp("emotion") / "tiny")


@pytest.fixture(scope="module")
def detector(bundle):
    return EmotionDetector(bundle)


def emotions(records):
    return [record for record in records if isinstance(record, Emotion)]


def spans(records):
    return [(record.onset, round(record.offset, 2)) for record in emotions(records)]


def test_load_returns_it_by_task(bundle):
    detector = streamsed.load(bundle.path)
    assert isinstance(detector, streamsed.EmotionDetector)
    assert detector.labels == EMOTION_DIMENSIONS
    assert detector.sample_rate == RATE
    assert detector.member_count == len(OFFSETS)
    assert detector.config == EmotionConfig(window_seconds=2.0, hop_seconds=0.5, smoothing_seconds=0.0)


def test_windows_grow_then_slide(detector):
    """From the least length on, one record a hop; at the end one of what is left."""
    found = spans(detector.detect(voice(3.8)))
    assert found[:5] == [(0.0, 1.0), (0.0, 1.5), (0.0, 2.0), (0.5, 2.5), (1.0, 3.0)]
    assert found[5] == (1.5, 3.5)
    assert found[6] == (1.8, 3.8)
    assert len(found) == 7


def test_levels_are_those_of_the_window(detector):
    """Each record says what the ensemble says of the functionals of its samples."""
    samples = voice(4.0)
    for record in detector.detect(samples):
        begin, end = round(record.onset * RATE), round(record.offset * RATE)
        functionals = detector.model.functionals(samples[begin:end])[np.newaxis]
        levels = detector.model.levels(functionals)
        for number, name in enumerate(EMOTION_DIMENSIONS):
            assert getattr(record, name) == pytest.approx(levels.mean[0, number], abs=2e-4), name
        assert record.speech == pytest.approx(detector.model.speech(functionals)[0], abs=2e-4)


def test_uncertainty_is_the_spread_of_the_ensemble(detector):
    record = detector.detect(voice(2.0))[0]
    assert record.uncertainty["dominance"] == pytest.approx(np.std(OFFSETS), abs=1e-4)
    assert set(record.uncertainty) == set(EMOTION_DIMENSIONS)


def test_levels_stay_on_the_scale(detector):
    """Valence of the tiny model goes up to more than one."""
    records = detector.detect(voice(6.0))
    assert records
    for record in records:
        for name in EMOTION_DIMENSIONS:
            assert 0.0 <= getattr(record, name) <= 1.0


@pytest.mark.parametrize("size", [1, 7, 160, 641, 16000, 10**6])
def test_chunks_do_not_matter(detector, size):
    samples = voice(1.7 if size == 1 else 4.3)
    expected = detector.detect(samples, latency="balanced")
    stream = detector.stream(RATE, source="array")
    found = emotions(run(stream, samples, size=size))
    assert [(record.onset, record.offset) for record in found] == [
        (record.onset, record.offset) for record in expected
    ]
    for one, other in zip(found, expected, strict=True):
        for name in EMOTION_DIMENSIONS:
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1.1e-4)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_any_rate(detector, rate):
    """Times are those of the input; levels hardly change where the rate has all of the voice."""
    found = emotions(run(detector.stream(rate, source="s"), voice(4.0, rate)))
    assert len(found) == 7
    assert found[-1].offset == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize(
    "sound", [np.zeros(4 * RATE, np.float32), noise(4.0), np.full(4 * RATE, 0.2, np.float32)]
)
def test_no_record_without_a_voice(detector, sound):
    assert detector.detect(sound) == []


def test_no_record_while_nobody_speaks(detector):
    quiet = np.zeros(5 * RATE, np.float32)
    found = detector.detect(np.concatenate([quiet, voice(3.0), quiet]))
    assert found[0].offset > 5.0
    # A window that still has some of the voice may have a record.
    assert found[-1].offset < 8.0 + detector.config.window_seconds
    assert detector.stream(RATE).latency.final < 2.0


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.05, 0.2])
def test_no_record_of_what_is_too_short(detector, seconds):
    assert detector.detect(voice(2.0)[: round(seconds * RATE)]) == []


def test_short_clips_have_one_record(detector):
    assert spans(detector.detect(voice(0.7))) == [(0.0, 0.7)]


def test_long_recordings(bundle):
    """What is kept does not grow."""
    detector = EmotionDetector(bundle, window_seconds=10.0, hop_seconds=10.0)
    piece, stream = voice(10.0), detector.stream(RATE)
    found = []
    for _ in range(9):
        found += stream.process(piece)
    assert len(stream._known) <= stream._window_frames
    assert len(stream._tail) < 2 * RATE + stream._hop_frames * stream._hop_length
    assert len(emotions(found)) == 9
    assert stream.stats.emotions == 9
    assert emotions(found)[-1].onset > 70.0


def test_window_and_hop(bundle):
    detector = EmotionDetector(bundle, window_seconds=1.0, hop_seconds=0.25)
    found = spans(detector.detect(voice(2.0)))
    assert found[:3] == [(0.0, 1.0), (0.25, 1.25), (0.5, 1.5)]
    short = EmotionDetector(bundle, window_seconds=0.5)
    assert short.config.hop_seconds == 0.5
    assert spans(short.detect(voice(1.1)))[0] == (0.0, 0.5)


def test_smoothing(tmp_path):
    """The exponential mean over records in a row; after a pause it begins anew."""
    share = 1 - np.exp(-0.5)
    raw = EmotionDetector(tiny_emotion(tmp_path / "raw"))
    config = EmotionConfig(window_seconds=2.0, hop_seconds=0.5, smoothing_seconds=1.0)
    smooth = EmotionDetector(tiny_emotion(tmp_path / "smooth", emotion=config))
    samples = voice(4.0)
    expected = None
    for one, other in zip(raw.detect(samples), smooth.detect(samples), strict=True):
        expected = one.arousal if expected is None else expected + share * (one.arousal - expected)
        assert other.arousal == pytest.approx(expected, abs=2e-4)
    paused = np.concatenate([samples, np.zeros(4 * RATE, np.float32), samples])
    again = [record for record in smooth.detect(paused) if record.onset > 4.0]
    first = [record for record in raw.detect(paused) if record.onset > 4.0]
    assert again[0].arousal == pytest.approx(first[0].arousal, abs=2e-4)


def test_lost_sound_ends_a_window(detector):
    samples = voice(3.0)
    stream = detector.stream(RATE, source="mic")
    records = [*stream.process(samples), *stream.gap(1600, "overflow"), *stream.process(samples)]
    records += stream.flush()
    (gap,) = (record for record in records if isinstance(record, Gap))
    assert gap == Gap(3 * RATE, 1600, "overflow", "mic")
    after = emotions(records[records.index(gap) :])
    assert after[0].onset == pytest.approx(3.1, abs=0.011)
    assert after[0].offset == pytest.approx(4.1, abs=0.021)
    assert all(record.onset >= 3.09 for record in after)
    assert after[-1].offset == pytest.approx(6.1, abs=0.02)


def test_not_finite_samples_are_named_and_survived(detector):
    samples = voice(3.0)
    samples[20_000:20_100] = np.nan
    records = run(detector.stream(RATE), samples)
    assert "non_finite" in [record.condition for record in records if isinstance(record, Health)]
    found = emotions(records)
    assert len(found) >= 4
    assert all(np.isfinite([record.valence, record.arousal, record.dominance]).all() for record in found)


def test_reset_is_a_new_stream(detector):
    stream = detector.stream(RATE)
    samples = voice(2.5)
    first = run(stream, samples)
    stream.reset()
    assert run(stream, samples) == first


def test_after_flush(detector):
    stream = detector.stream(RATE)
    stream.flush()
    with pytest.raises(StateError):
        stream.process(voice(1.0))


def test_members_under_overload(detector):
    stream = detector.stream(RATE)
    stream.set_members(1)
    found = emotions(run(stream, voice(2.0)))
    assert all(record.members_skipped == 2 for record in found)
    assert found[0].uncertainty["arousal"] == 0.0
    assert stream.stats.members_skipped_seconds > 0
    with pytest.raises(ConfigError, match="members: expected from 1 to 3, got 4"):
        detector.stream(RATE).set_members(4)


def test_records_carry_on_through_json(detector):
    record = detector.detect(voice(2.0), source="mic0")[0]
    fields = json.loads(json.dumps(record.to_dict()))
    assert fields["type"] == "emotion"
    assert fields["source"] == "mic0"
    assert record_from_dict(fields) == record
    assert "members_skipped" not in fields


def test_threads_share_a_detector(detector):
    samples, found = voice(2.5), []
    threads = [
        threading.Thread(target=lambda: found.append(detector.detect(samples, source="x"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(item == found[0] for item in found)


def test_files(detector, tmp_path):
    path = tmp_path / "talk.wav"
    soundfile.write(path, voice(3.0), RATE, subtype="FLOAT")
    found = detector.detect(path)
    assert [record.source for record in found] == ["talk"] * len(found)
    assert spans(found) == spans(detector.detect(voice(3.0)))
    with pytest.raises(FormatError):
        detector.detect(tmp_path / "none.wav")


def test_delays_are_stated(detector, bundle):
    budget = detector.latency("balanced")
    assert budget.provisional == pytest.approx(0.01 + 0.04)
    assert budget.final == pytest.approx(budget.provisional + 0.5 + 1.0)
    assert detector.latency("low").provisional < budget.provisional
    assert detector.latency("balanced", 44100).resampling > 0
    assert emotion_latency(bundle, "balanced") == budget
    wide = EmotionDetector(bundle, window_seconds=4.0)
    assert wide.latency("balanced").final == pytest.approx(budget.final + 1.0)


def test_records_come_as_soon_as_is_stated(detector):
    for profile in ("low", "balanced", "high"):
        stream = detector.stream(44100, latency=profile)
        for record in emotions(run(stream, voice(3.0, 44100), size=441))[:-1]:
            assert record.emitted_seconds - record.offset <= stream.latency.provisional + 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_seconds": 0.1}, "window_seconds: expected seconds in"),
        ({"window_seconds": 100.0}, "window_seconds: expected seconds in"),
        ({"hop_seconds": 0.01}, "hop_seconds: expected seconds in"),
        ({"hop_seconds": 3.0}, "hop_seconds: expected seconds in"),
        ({"backend": "torchscript"}, "backend: expected onnx"),
        ({"provider": "tpu"}, "provider: expected cpu, cuda or auto"),
        ({"num_threads": 0}, "num_threads: expected an integer > 0"),
    ],
)
def test_options_that_cannot_be(bundle, options, message):
    with pytest.raises(ConfigError, match=message):
        EmotionDetector(bundle, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 3}, "top_k: expected 0"),
        ({"thresholds": {"valence": 0.5}}, "thresholds: expected one number"),
        ({"thresholds": 1.5}, "speech_threshold: expected in"),
        ({"latency": "none"}, "latency"),
        ({"sample_rate": -1}, "rate"),
    ],
)
def test_streams_that_cannot_be(detector, options, message):
    with pytest.raises(ConfigError, match=message):
        detector.stream(**options)


def test_the_threshold_is_that_of_the_gate(detector):
    samples = voice(3.0)
    least = min(record.speech for record in detector.detect(samples))
    assert least < 1.0 or len(detector.detect(samples)) > 0
    mixed = (0.02 * voice(3.0) + noise(3.0)).astype(np.float32)
    assert len(detector.detect(mixed, thresholds=0.01)) >= len(detector.detect(mixed, thresholds=0.99))


def test_window_and_hop_are_for_models_of_emotion():
    for name in ("window_seconds", "hop_seconds"):
        with pytest.raises(ConfigError, match=f"{name}: expected none for a model of sound_events"):
            streamsed.load("everyday", **{name: 2.0})
