"""Sessions that see: video files in step with their sound, files that are played, cameras."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from test_side_streams import burst, pictures, sound
from tiny_av import tiny_av_bundle
from tiny_models import tiny_bundle
from videos import RATE, grey, write_video

import streamsed
from streamsed.errors import ConfigError, DeviceNotFound, FormatError
from streamsed.service.pictures import _Clocks
from streamsed.sources import IterableSource
from streamsed.sources.camera import Camera, is_camera, list_cameras
from streamsed.sources.clock_drift import ClockDrift

# White for the first half of every second.
BLINKING = (
    "lavfi:color=c=black:s=64x48:r=25,drawbox=t=fill:c=white:enable='lt(mod(t,1),0.5)',format=rgb24,realtime"
)


@pytest.fixture(scope="module")
def av(tmp_path_factory):
    return streamsed.load(tiny_av_bundle(tmp_path_factory.mktemp("av"), rate_hz=15.0).path)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    images, times = pictures()
    return write_video(
        tmp_path_factory.mktemp("scene") / "scene.mkv",
        pictures=list(zip(times, images, strict=True)),
        samples=sound(),
        audio_codec="pcm_s16le",
    )


def live_sound(seconds: float, step: int = 400) -> IterableSource:
    """Noise that comes as fast as it sounds."""

    def chunks() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        began = time.monotonic()
        for position in range(0, round(seconds * RATE), step):
            time.sleep(max(0.0, began + (position + step) / RATE - time.monotonic()))
            yield rng.normal(0, 1e-4, step).astype(np.float32)

    return IterableSource(chunks(), RATE, live=True)


def events_of(records):
    return [
        (item.label, item.onset, item.offset, item.modalities) for item in records if item.type == "event"
    ]


class TestFiles:
    def test_a_video_gives_what_detect_gives_every_time(self, av, scene):
        found = []
        for options in ({"video": scene}, {"input": scene}, {"video": str(scene)}):
            with streamsed.listen(model=av, latency="high", **options) as session:
                records = list(session)
            found.append(events_of(records))
            summary = records[-1]
            assert summary.pictures["used"] == 36 and summary.pictures["skipped"] == 0
            assert summary.source == "scene.mkv"
        detected = [(e.label, e.onset, e.offset, e.modalities) for e in av.detect(scene)]
        assert sorted(found[0]) == sorted(detected)
        assert found[0] == found[1] == found[2]
        assert {modalities[-1] for *_, modalities in detected} == {"visual"}

    def test_several_videos_at_once_are_each_seen_as_alone(self, av, scene, tmp_path):
        images, times = pictures()
        later = [(time + 0.4, image) for time, image in zip(times, images, strict=True)]
        other = write_video(
            tmp_path / "other.mkv", pictures=later, samples=sound()[::-1], audio_codec="pcm_s16le"
        )
        deaf = tmp_path / "deaf.wav"
        soundfile.write(deaf, sound(), RATE, "PCM_16")
        with streamsed.listen(model=av, input=[scene, other, deaf]) as group:
            records = list(group)
        assert group.lacks_pictures
        for path in (scene, other, deaf):
            alone = events_of(streamsed.listen(model=av, input=path))
            assert events_of([r for r in records if getattr(r, "source", "") == path.name]) == alone
            pictures_used = group.summaries[path.name].pictures
            assert pictures_used is None if path == deaf else pictures_used["used"] > 30

    def test_played_at_its_own_pace_it_shows_the_same(self, av, scene):
        with streamsed.listen(model=av, video=scene, realtime=True, duration=1.8) as session:
            records = list(session)
        (bright,) = [item for item in records if item.type == "event" and item.label == "bright"]
        # A picture may come a step or two after its sound.
        assert bright.onset == pytest.approx(0.8, abs=0.2)
        assert bright.offset == pytest.approx(1.4, abs=0.2)
        stats = session.stats.pictures
        assert stats.used + stats.skipped >= 20 and stats.encode_ms["p50"] > 0
        assert stats.delay_ms["p50"] < 200

    def test_sound_alone_is_heard_alone(self, av, tmp_path):
        path = write_video(tmp_path / "sound.m4a", samples=sound())
        with streamsed.listen(model=av, video=path) as session:
            records = list(session)
        assert events_of(records)[0][3] == ["audio"]
        assert [item.condition for item in records if item.type == "health"] == ["no_picture"]
        assert session.summary.pictures is None and session.stats.has_picture is False

    def test_a_video_without_sound_is_an_error(self, av, tmp_path):
        images, times = pictures()
        path = write_video(tmp_path / "silent.mkv", pictures=list(zip(times, images, strict=True)))
        with pytest.raises(FormatError, match="no sound in it"), streamsed.listen(model=av, video=path):
            pass

    def test_what_a_damaged_video_has_is_told_before_the_error(self, av, scene, tmp_path):
        path = tmp_path / "cut.mkv"
        path.write_bytes(scene.read_bytes()[: scene.stat().st_size * 2 // 3])
        records = []
        session = streamsed.listen(model=av, video=path, on_record=records.append)
        with pytest.raises(FormatError, match="cut off"):
            session.run()
        assert "bright" in [item.label for item in records if item.type == "event"]
        assert records[-1].type == "summary"

    def test_a_model_that_hears_alone_takes_no_video(self, scene, tmp_path):
        deaf = streamsed.load(tiny_bundle(tmp_path).path)
        with pytest.raises(ConfigError, match="hears alone"):
            streamsed.listen(model=deaf, video=scene)
        with streamsed.listen(model=deaf, input=scene) as session:
            records = list(session)
        assert {item.label for item in records if item.type == "event"} == set(deaf.labels)
        assert session.stats.has_picture is None

    @pytest.mark.parametrize("options", [{"device": 0}, {"input": "other.wav"}])
    def test_a_video_file_has_its_own_sound(self, av, scene, options):
        with pytest.raises(ConfigError, match="its own sound"):
            streamsed.listen(model=av, video=scene, **options)


class TestCameras:
    def test_pictures_come_on_the_clock_of_the_sound(self, av):
        with streamsed.listen(model=av, input=live_sound(3.4), video=BLINKING) as session:
            records = list(session)
        events = [item for item in records if item.type == "event"]
        assert {item.label for item in events} == {"bright"}
        assert all(item.modalities == ["audio", "visual"] for item in events)
        # The first one may have been white for a while already.
        onsets = np.array([item.onset for item in events[1:]])
        assert len(onsets) >= 2
        np.testing.assert_allclose(np.diff(onsets), 1.0, atol=0.4)
        stats = session.summary.pictures
        assert 15 <= stats["used"] <= 52 and "offset_seconds" in stats
        assert not [item for item in records if item.type == "health" and item.condition == "no_picture"]

    def test_a_slow_encoder_does_not_delay_the_sound(self, tmp_path):
        slow = streamsed.load(tiny_av_bundle(tmp_path).path)
        encode = slow.image_encoder._run

        def dawdle(batch):
            time.sleep(0.6)
            return encode(batch)

        slow.image_encoder._run = dawdle
        with streamsed.listen(model=slow, input=live_sound(1.5), video=BLINKING) as session:
            records = list(session)
        summary = records[-1]
        assert summary.dropped_samples == 0
        assert summary.latency_ms["p95"] < 300
        assert summary.pictures["used"] <= 3 and summary.pictures["skipped"] >= 10

    def test_a_camera_that_goes_away_is_told_and_opened_again(self, av):
        short = "lavfi:color=c=white:s=64x48:r=25:d=0.6,format=rgb24,realtime"
        with streamsed.listen(model=av, input=live_sound(2.8), video=short) as session:
            records = list(session)
        told = [item.detail for item in records if item.type == "status" and "pictures" in item.detail]
        assert told[0].startswith("no pictures: camera lavfi:color") and "gives no more pictures" in told[0]
        assert [item.label for item in records if item.type == "event"].count("bright") >= 2

    def test_a_camera_that_is_not_there(self, av):
        for name in ("/dev/video99", "lavfi:no_such_filter"):
            with (
                pytest.raises(DeviceNotFound, match="cannot be opened"),
                streamsed.listen(model=av, input=live_sound(0.2), video=Camera(name).name),
            ):
                pass

    def test_a_camera_needs_sound_that_is_live(self, av, scene):
        with pytest.raises(ConfigError, match="a live input"):
            streamsed.listen(model=av, input=scene, video=BLINKING)

    def test_names(self, scene):
        assert is_camera("0") and is_camera("lavfi:testsrc") and is_camera("v4l2:/dev/video0")
        assert is_camera("/dev/null") and not is_camera(str(scene)) and not is_camera("missing.mp4")
        assert isinstance(list_cameras(), list)


def test_clocks_of_camera_and_sound_are_compared_by_their_least_delays():
    """Both arrive late by chance, a picture by 20 ms on average; the camera's clock is slow by 300 ppm."""
    rng = np.random.default_rng(5)
    clocks, drift = _Clocks(), ClockDrift()
    errors = []
    for true in np.arange(0.0, 180.0, 1 / 15):
        camera = 1000.0 + true * (1 - 300e-6)
        arrival = true + 0.03 + rng.exponential(0.02)
        sound = arrival - 0.05 - rng.exponential(0.01)
        offset = clocks.offset_seconds(camera, sound, arrival)
        drift.observe(camera, camera + offset)
        # What is left is the difference of the least delays, 30 ms of the camera and 50 ms of the sound.
        errors.append(camera + offset - (true - 0.02))
    assert np.abs(errors[75:]).max() < 0.008
    assert drift.drift_ppm == pytest.approx(300, abs=30)


def test_flash_and_click_on_a_clock_that_runs_fast(av, tmp_path):
    """A sound card that runs 5000 ppm fast: at the end sound and pictures would be 0.15 s apart."""
    seconds, ppm, rate = 30.0, 5000.0, RATE
    moments = (5.0, 28.0)
    fast = 1 + 1e-6 * ppm
    samples = np.random.default_rng(1).normal(0, 1e-5, round(seconds * rate)).astype(np.float32)
    for moment in moments:
        samples = burst(samples, moment, 0.2)
    times = np.arange(0, seconds / fast, 0.05)
    images = [
        grey(250 if any(moment <= shown * fast < moment + 0.2 for moment in moments) else 5)
        for shown in times
    ]
    path = write_video(
        tmp_path / "fast.mkv",
        pictures=list(zip(times, images, strict=True)),
        samples=samples,
        audio_codec="pcm_s16le",
        sound_clock=lambda heard: heard / fast,
    )
    with streamsed.listen(model=av, video=path) as session:
        events = [item for item in session if item.type == "event"]
    loud = [item.onset for item in events if item.label == "loud"]
    bright = [item.onset for item in events if item.label == "bright"]
    np.testing.assert_allclose(loud, moments, atol=0.032)
    # Half the distance of two pictures, and that of two frames.
    np.testing.assert_allclose(bright, loud, atol=0.05 + 0.02)
    assert session.summary.pictures["drift_ppm"] == pytest.approx(ppm, rel=0.05)
