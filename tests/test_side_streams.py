"""Models that see and hear: pictures and embeddings of the sound in a stream."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tiny_av import (
    AUDITORY_FRONT_END,
    AUDITORY_HOP,
    AUDITORY_WINDOW,
    SIZE,
    audio_encoder,
    auditory_spec,
    image_encoder,
    tiny_av_bundle,
    visual_spec,
)
from tiny_models import FRONT_END, LABELS, tiny_bundle
from videos import RATE, grey, ramp, write_video

import streamsed
from streamsed.bundle import read_bundle, write_bundle, write_golden
from streamsed.errors import BundleError, ConfigError, StateError
from streamsed.frontend import LogMel
from streamsed.golden import check_golden, golden_samples, make_golden
from streamsed.side_inputs import align, frame_end_seconds
from streamsed.sources.resample import Resampler

STRIDE = 2


@pytest.fixture(scope="module")
def av(tmp_path_factory):
    return streamsed.load(tiny_av_bundle(tmp_path_factory.mktemp("av")).path)


@pytest.fixture(scope="module")
def all_sides(tmp_path_factory):
    return streamsed.load(tiny_av_bundle(tmp_path_factory.mktemp("all"), auditory=True).path)


def sound(seconds: float = 3.0) -> np.ndarray:
    samples = np.random.default_rng(1).normal(0, 1e-4, round(seconds * RATE)).astype(np.float32)
    return burst(samples, 1.0, 0.5)


def burst(samples: np.ndarray, begins: float, seconds: float) -> np.ndarray:
    """Add white noise, loud in every band."""
    begin, count = round(begins * RATE), round(seconds * RATE)
    samples = samples.copy()
    samples[begin : begin + count] += 0.3 * np.random.default_rng(2).standard_normal(count).astype(np.float32)
    return samples


def pictures(seconds: float = 3.0, fps: float = 15.0):
    """Bright in [0.8, 1.4], and none at all in [2.0, 2.6]."""
    times = np.arange(round(seconds * fps)) / fps
    times = times[(times < 2.0) | (times >= 2.6)]
    images = [grey(230 if 0.8 <= time < 1.4 else 20) for time in times]
    return images, times


def log_mel_rows(samples: np.ndarray) -> np.ndarray:
    return LogMel(FRONT_END)(samples)


def frame_times(count: int) -> np.ndarray:
    return frame_end_seconds(0, count, FRONT_END.hop_length, FRONT_END.window_length, RATE)


class TestPosteriors:
    def test_equal_what_the_definition_says(self, av):
        samples, (images, times) = sound(), pictures()
        levels = np.array([image[0, 0, 0] / 255 for image in images])
        found = av.posteriors(samples, pictures=(images, times))
        count = len(log_mel_rows(samples)) // STRIDE
        ends = frame_times(count * STRIDE)[STRIDE - 1 :: STRIDE]
        values, present = align(levels[:, np.newaxis], times, ends, 0.25)
        expected = 1 / (1 + np.exp(-(20 * values[:, 0] + 10 * present - 20)))
        assert found.shape == (count, 2)
        np.testing.assert_allclose(found[:, 1], expected, atol=1e-5)
        assert set(present.tolist()) == {0.0, 1.0}

    def test_auditory_embeddings_count_from_the_end_of_their_window(self, all_sides):
        samples, shown = sound(), pictures()
        found = all_sides.posteriors(samples, pictures=shown)
        resampler = Resampler(RATE, AUDITORY_FRONT_END.sample_rate)
        low = np.concatenate([resampler.process(samples), resampler.flush()])
        frames = LogMel(AUDITORY_FRONT_END)(low)
        begins = np.arange(0, len(frames) - AUDITORY_WINDOW + 1, AUDITORY_HOP)
        rows = np.array([frames[begin : begin + AUDITORY_WINDOW].mean() for begin in begins])[:, np.newaxis]
        hop, window, rate = (
            AUDITORY_FRONT_END.hop_length,
            AUDITORY_FRONT_END.window_length,
            AUDITORY_FRONT_END.sample_rate,
        )
        known = ((begins + AUDITORY_WINDOW - 1) * hop + window) / rate
        ends = frame_times(len(found) * STRIDE)[STRIDE - 1 :: STRIDE]
        values, present = align(rows, known, ends, 0.25)
        expected = 1 / (1 + np.exp(-(values[:, 0] + 18 * present - 6)))
        np.testing.assert_allclose(found[:, 1], expected, atol=1e-5)
        np.testing.assert_allclose(found[:, 0], streamsed_audio_only(samples), atol=1e-5)

    @pytest.mark.parametrize("windowed", [False, True])
    def test_do_not_depend_on_the_cut_of_sound_and_pictures(self, tmp_path, windowed):
        detector = streamsed.load(tiny_av_bundle(tmp_path, auditory=True, windowed=windowed).path)
        samples, (images, times) = sound(), pictures()
        whole = run_stream(detector, samples, images, times, [len(samples)])
        rng = np.random.default_rng(3)
        for size in (1, 333, 7000):
            sizes = rng.integers(1, 2 * size + 1, 10_000) if size > 1 else np.full(len(samples) // 37, 37)
            other = run_stream(detector, samples, images, times, sizes)
            np.testing.assert_array_equal(other[0], whole[0])
            assert other[1] == whole[1]
        offline = detector.posteriors(samples, pictures=(images, times), latency="balanced")
        np.testing.assert_allclose(whole[0], offline, atol=1e-5)

    def test_without_pictures_the_sound_is_heard_alone(self, av):
        found = av.posteriors(sound())
        assert found[:, 1].max() < 1e-6
        np.testing.assert_allclose(found[:, 0], streamsed_audio_only(sound()), atol=1e-5)


def streamsed_audio_only(samples: np.ndarray) -> np.ndarray:
    rows = log_mel_rows(samples)[STRIDE - 1 :: STRIDE].mean(axis=1)
    return 1 / (1 + np.exp(-(rows + 12)))


def run_stream(detector, samples, images, times, sizes):
    """Posteriors and records of a stream that gets pictures up to the end of every chunk before the chunk."""
    rows = []
    stream = detector.stream(on_frames=lambda frames: rows.append(frames.posteriors))
    records, begin, given = [], 0, 0
    for size in sizes:
        part = samples[begin : begin + size]
        if not len(part):
            break
        begin += len(part)
        while given < len(times) and times[given] <= begin / RATE:
            stream.picture(images[given], float(times[given]))
            given += 1
        records += stream.process(part)
    records += stream.flush()
    return np.concatenate(rows), records


class TestStream:
    def test_records_say_what_was_seen(self, av):
        _, records = run_stream(av, sound(), *pictures(), [1600] * 30)
        events = {record.label: record for record in records if record.type == "event"}
        assert events["bright"].modalities == ["audio", "visual"]
        # A frame is named after the middle of its window and knows what was there at its end.
        assert events["bright"].onset == pytest.approx(0.8, abs=0.032)
        assert events["bright"].offset == pytest.approx(1.4, abs=0.032)
        assert {record.modalities is None for record in records if record.type == "onset"} == {False}

    def test_pictures_that_stay_away_are_told_once_and_again_when_they_are_back(self, av):
        samples = sound(8.0)
        times = np.concatenate([np.arange(0, 1.0, 0.1), np.arange(5.0, 6.0, 0.1)])
        images = [grey(20)] * len(times)
        _, records = run_stream(av, samples, images, times, [4000] * 40)
        told = [record for record in records if record.type in ("health", "status")]
        assert [record.type for record in told] == ["health", "status"]
        # The last one is 0.9 s; it counts for 0.25 s.
        assert told[0].condition == "no_picture" and told[0].onset == pytest.approx(1.15, abs=0.03)
        assert told[1].detail == "pictures are back"

    def test_a_stream_without_any_picture_says_so_and_reports_audio_alone(self, av):
        for seconds in (1.8, 5.0):
            stream = av.stream()
            records = [*stream.process(sound(seconds)), *stream.flush()]
            assert [record.onset for record in records if record.type == "health"] == [0.0]
            assert [record.modalities for record in records if record.type == "event"] == [["audio"]]

    def test_a_late_picture_counts_for_what_comes_after_it(self, av):
        samples, rows = sound(2.0)[:RATE], []
        stream = av.stream(on_frames=lambda frames: rows.append(frames.posteriors))
        stream.process(samples[: RATE // 2])
        stream.picture(grey(255), 0.4)
        stream.process(samples[RATE // 2 :])
        stream.flush()
        bright = np.concatenate(rows)[:, 1] > 0.5
        ends = frame_times(2 * len(bright))[1::2]
        assert not bright[ends < 0.47].any()
        assert bright[(ends > 0.52) & (ends < 0.64)].all()
        assert not bright[ends > 0.66].any()

    def test_a_gap_keeps_both_on_one_clock(self, all_sides):
        samples = burst(sound(4.0), 2.0, 2.0)
        rows = []
        stream = all_sides.stream(on_frames=lambda frames: rows.append((frames.first, frames.posteriors)))
        times = np.arange(0, 4, 0.05)
        for time in times[times < 1.0]:
            stream.picture(grey(20), float(time))
        stream.process(samples[:RATE])
        stream.gap(RATE + 77, "device")
        for time in times[times >= 2.0]:
            stream.picture(grey(230 if time >= 2.5 else 20), float(time))
        stream.process(samples[2 * RATE + 77 :])
        stream.flush()
        after = np.concatenate([part for first, part in rows if first >= 2 * RATE // 320])
        first = min(first for first, _ in rows if first >= 2 * RATE // 320)
        ends = frame_times(STRIDE * (first + len(after)))[STRIDE - 1 :: STRIDE][first:]
        assert ends[np.argmax(after[:, 2] > 0.5)] == pytest.approx(2.5, abs=0.021)
        # Nothing is known of the sound before a whole window behind the hole.
        window = (AUDITORY_WINDOW - 1) * 0.01 + 0.025
        assert ends[np.argmax(after[:, 1] > 0.1)] == pytest.approx(first * 0.02 + window, abs=0.021)

    def test_reset_is_a_new_stream(self, all_sides):
        samples, (images, times) = sound(), pictures()
        stream = all_sides.stream()
        stream.picture(images[0], 2.5)
        stream.process(samples)
        stream.reset()
        new = all_sides.stream()
        for item in (stream, new):
            for image, time in zip(images, times, strict=True):
                item.picture(image, float(time))
        assert stream.process(samples) + stream.flush() == new.process(samples) + new.flush()

    def test_misuse_is_named(self, av, tmp_path):
        stream = av.stream()
        with pytest.raises(ConfigError, match="uint8"):
            stream.picture(np.zeros((4, 4, 3)), 0.0)
        with pytest.raises(ConfigError, match="shape"):
            stream.picture(np.zeros((4, 4), np.uint8), 0.0)
        stream.picture(grey(1), 1.0)
        with pytest.raises(ConfigError, match="do not decrease"):
            stream.picture(grey(1), 0.5)
        with pytest.raises(ConfigError, match="features"):
            stream.picture_embedding([1.0], 1.5)
        stream.flush()
        with pytest.raises(StateError, match="flushed"):
            stream.picture(grey(1), 2.0)
        deaf = streamsed.load(tiny_bundle(tmp_path).path)
        with pytest.raises(ConfigError, match="hears alone"):
            deaf.stream().picture(grey(1), 0.0)
        with pytest.raises(ConfigError, match="hears alone"):
            deaf.posteriors(sound(), pictures=([], []))
        with pytest.raises(ConfigError, match="times"):
            av.posteriors(sound(), pictures=([grey(1)], [0.0, 1.0]))

    def test_embeddings_and_pictures_are_the_same(self, av):
        one, other = av.stream(), av.stream()
        one.picture(grey(200), 0.0)
        other.picture_embedding(av.image_encoder(grey(200)), 0.0)
        assert one.process(sound()) == other.process(sound())

    def test_waiting_for_embeddings_of_the_sound_is_part_of_the_budget(self, av, all_sides):
        resampler = Resampler(RATE, AUDITORY_FRONT_END.sample_rate)
        extra = all_sides.latency().look_ahead - av.latency().look_ahead
        assert extra == pytest.approx(resampler.latency_samples / RATE) and extra > 0


class TestFiles:
    def test_a_video_gives_what_its_pictures_and_sound_give(self, av, tmp_path):
        samples, (images, times) = sound(), pictures()
        path = write_video(
            tmp_path / "scene.mkv",
            pictures=list(zip(times, images, strict=True)),
            samples=samples,
            audio_codec="pcm_s16le",
        )
        expected = av.detect(samples, pictures=(images, times))
        found = av.detect(path)
        assert [event.label for event in found] == [event.label for event in expected] == ["bright", "loud"]
        for one, other in zip(found, expected, strict=True):
            assert one.modalities == ["audio", "visual"]
            assert (one.onset, one.offset) == pytest.approx((other.onset, other.offset), abs=0.021)

    def test_flash_and_click_at_the_same_moment_are_found_at_the_same_frame(self, av, tmp_path):
        # A flash of one picture and a click, 0.1 s long both, at 1.0 s by the time stamps.
        times = np.arange(0, 2, 0.05)
        images = [grey(250 if 1.0 <= time < 1.1 else 5) for time in times]
        samples = np.random.default_rng(1).normal(0, 1e-5, 2 * RATE).astype(np.float32)
        for starts in (0.0, 0.25):
            heard = burst(samples, 1.0 - starts, 0.1)
            path = write_video(
                tmp_path / f"flash{starts}.mkv",
                pictures=list(zip(times, images, strict=True)),
                samples=heard,
                sound_starts=starts,
                audio_codec="pcm_s16le",
            )
            events = {event.label: event for event in av.detect(path)}
            assert events["loud"].onset == pytest.approx(1.0 - starts, abs=0.032)
            assert events["bright"].onset == pytest.approx(events["loud"].onset, abs=0.021)
            assert events["bright"].offset == pytest.approx(events["loud"].offset, abs=0.041)

    def test_sound_alone_works(self, av, tmp_path):
        path = write_video(tmp_path / "sound.m4a", samples=sound())
        (event,) = av.detect(path)
        assert (event.label, event.modalities) == ("loud", ["audio"])

    def test_a_model_that_hears_alone_reads_the_sound_of_a_video(self, tmp_path):
        deaf = streamsed.load(tiny_bundle(tmp_path / "deaf").path)
        samples = sound()
        path = write_video(tmp_path / "a.mp4", pictures=ramp(45, step=5.0), samples=samples)
        events = deaf.detect(path)
        assert {event.label for event in events} == set(LABELS)
        assert events[0].modalities is None and "modalities" not in events[0].to_dict()


class TestBundle:
    def test_manifest_names_the_encoders_and_their_hashes(self, tmp_path):
        bundle = tiny_av_bundle(tmp_path, auditory=True, rate_hz=15.0)
        values = json.loads((tmp_path / "bundle.json").read_text())["side_inputs"]
        assert [item["name"] for item in values] == ["auditory", "visual"]
        assert set(values[0]) == {"name", "kind", "features", "encoder", "max_age_seconds", "audio"}
        assert values[1]["image"]["height"] == SIZE[0] and values[1]["rate_hz"] == 15.0
        assert bundle.frame_shape == (FRONT_END.hop_length, FRONT_END.n_mels + 2 + 3)
        assert read_bundle(tmp_path) == bundle

    def test_a_changed_encoder_is_refused(self, tmp_path):
        tiny_av_bundle(tmp_path)
        with (tmp_path / "visual_encoder.onnx").open("ab") as file:
            file.write(b"x")
        with pytest.raises(BundleError, match=r"visual_encoder\.onnx: expected sha256"):
            read_bundle(tmp_path)

    def test_golden_pictures_are_part_of_the_check(self, tmp_path):
        bundle = tiny_av_bundle(tmp_path, auditory=True)
        detector = streamsed.load(bundle.path)
        golden = make_golden(detector, golden_samples(RATE))
        assert golden.pictures.shape[1:] == (*SIZE, 3)
        assert np.ptp(golden.posteriors[:, 2]) > 1e-3
        write_golden(bundle.path, golden)
        assert check_golden(streamsed.load(bundle.path)).passed
        without = dataclasses.replace(golden, pictures=None, picture_times=None)
        write_golden(bundle.path, without)
        assert check_golden(streamsed.load(bundle.path)).max_difference > 1e-3

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"kind": "audio"}, "image: expected null for kind 'audio'"),
            ({"features": 0}, "features: expected > 0"),
            ({"max_age_seconds": 0.0}, "max_age_seconds: expected finite seconds above 0"),
            ({"name": "audio"}, "name: expected letters"),
            ({"rate_hz": 0.0}, "rate_hz"),
            ({"image": None}, "image: expected an object"),
        ],
    )
    def test_what_cannot_be_is_named(self, tmp_path, change, message):
        tiny_av_bundle(tmp_path)
        path = tmp_path / "bundle.json"
        values = json.loads(path.read_text())
        values["side_inputs"][0].update(change)
        path.write_text(json.dumps(values))
        with pytest.raises(BundleError, match=message):
            read_bundle(tmp_path)

    def test_an_encoder_that_gives_something_else_is_refused(self, tmp_path):
        good = tiny_av_bundle(tmp_path / "good")
        for number, sides in enumerate(
            (
                [(visual_spec(), audio_encoder())],
                [(auditory_spec(), image_encoder())],
                [(visual_spec(), b"no graph")],
            )
        ):
            bundle = write_bundle(
                tmp_path / str(number),
                name="bad",
                labels=good.labels,
                front_end=FRONT_END,
                streaming=good.streaming,
                time_stride=2,
                context_frames=0,
                look_ahead_frames=0,
                state={},
                members={"0": {"onnx": (tmp_path / "good" / "member0.onnx")}},
                provenance=good.provenance,
                side_inputs=sides,
            )
            with pytest.raises(BundleError, match=r"_encoder\.onnx|log_mel"):
                streamsed.load(bundle.path)
