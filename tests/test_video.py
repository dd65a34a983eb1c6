"""Pictures and sound of video files: what comes, when it was, and what is wrong with a file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from videos import RATE, grey, ramp, write_video

from streamsed.errors import FormatError, StateError
from streamsed.sources.clock_drift import ClockDrift
from streamsed.sources.containers import SoundTimes
from streamsed.sources.video import Slots, VideoFrames, scaled
from streamsed.sources.video_sound import VideoSound

MILLISECOND = 1e-3


def clicks(seconds: float = 2.0, every: int = 1000) -> np.ndarray:
    samples = np.zeros(round(seconds * RATE), np.float32)
    samples[::every] = 0.5
    return samples


def sound_of(path, block: int = 1237):
    with VideoSound(path) as source:
        blocks = []
        while (part := source.read(block)) is not None:
            assert 0 < len(part.samples) <= block
            blocks.append(part)
        return source, blocks


def joined(blocks):
    return np.concatenate([part.samples for part in blocks])


def pictures_of(path, **options):
    with VideoFrames(path, **options) as video:
        return [(picture.time_seconds, picture.image) for picture in video]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov"])
def test_pictures_and_sound_are_on_one_clock(tmp_path, name):
    path = write_video(tmp_path / name, pictures=ramp(30), samples=clicks())
    pictures = pictures_of(path)
    np.testing.assert_allclose([time for time, _ in pictures], np.arange(30) / 15, atol=MILLISECOND)
    np.testing.assert_allclose([image.mean() for _, image in pictures], 8 * np.arange(30), atol=3)
    assert pictures[0][1].shape == (48, 64, 3)
    source, blocks = sound_of(path)
    assert (source.sample_rate, source.channels, source.has_video) == (RATE, 1, True)
    found = np.flatnonzero(joined(blocks)[:31000, 0] > 0.3)
    np.testing.assert_array_equal(found, np.arange(0, 31000, 1000))
    assert blocks[0].start_position == 0 and not any(part.missing_frames_before for part in blocks)


@pytest.mark.parametrize(
    ("name", "video_codec", "audio_codec"),
    [("a.avi", "mpeg4", "pcm_s16le"), ("a.mkv", "mpeg4", "flac"), ("a.nut", "ffv1", "pcm_f32le")],
)
def test_any_codec(tmp_path, name, video_codec, audio_codec):
    stereo = np.stack([clicks(1.0), np.zeros(RATE, np.float32)], axis=1)
    path = write_video(
        tmp_path / name,
        pictures=ramp(12),
        samples=stereo,
        video_codec=video_codec,
        audio_codec=audio_codec,
    )
    _, blocks = sound_of(path)
    np.testing.assert_allclose(joined(blocks), stereo, atol=1e-4)
    pictures = pictures_of(path)
    np.testing.assert_allclose([image.mean() for _, image in pictures], 8 * np.arange(12), atol=4)


def test_sound_that_begins_later_or_earlier_than_the_pictures(tmp_path):
    for starts in (0.3, -0.2):
        pictures = [(time - min(starts, 0.0), image) for time, image in ramp(15)]
        path = write_video(
            tmp_path / f"offset{starts}.mkv",
            pictures=pictures,
            samples=clicks(1.0),
            audio_codec="pcm_s16le",
            sound_starts=max(starts, 0.0),
        )
        times = [time for time, _ in pictures_of(path)]
        np.testing.assert_allclose(times, np.arange(15) / 15 - starts, atol=MILLISECOND)


def test_variable_frame_rate(tmp_path):
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 0.9]
    path = write_video(
        tmp_path / "v.mp4",
        pictures=[(time, grey(40 * i)) for i, time in enumerate(times)],
        samples=clicks(1.0),
    )
    pictures = pictures_of(path)
    np.testing.assert_allclose([time for time, _ in pictures], times, atol=MILLISECOND)
    np.testing.assert_allclose([image.mean() for _, image in pictures], 40 * np.arange(6), atol=3)


def test_at_most_one_picture_a_slot_and_the_choice_depends_on_times_only(tmp_path):
    path = write_video(tmp_path / "v.mp4", pictures=ramp(60, fps=30.0, step=4.0), samples=clicks())
    pictures = pictures_of(path, rate_hz=15.0, size=(16, 20))
    np.testing.assert_allclose([time for time, _ in pictures], np.arange(30) / 15, atol=MILLISECOND)
    assert pictures[0][1].shape == (16, 20, 3)
    slots = Slots(10.0)
    assert [slots.takes(time) for time in (-0.05, 0.0, 0.04, 0.0999, 0.1, 0.35, 0.2, 0.4)] == [
        *(True, True, False, True, False, True, False, True)
    ]


@pytest.mark.parametrize("angle", [90, 180, -90])
def test_rotated_pictures_are_upright(tmp_path, angle):
    image = grey(0)
    image[:24, :32] = 250  # the upper left quarter
    path = write_video(tmp_path / "r.mp4", pictures=[(i / 15, image) for i in range(4)], rotation=angle)
    expected = np.rot90(image, angle // 90)
    pictures = pictures_of(path)
    assert pictures[0][1].shape == expected.shape
    assert np.abs(pictures[0][1].astype(int) - expected).mean() < 6
    small = pictures_of(path, size=(12, 10))[0][1]
    assert small.shape == (12, 10, 3)
    # The quarter that is bright, by rows and columns.
    bright = np.argwhere(small[..., 0] > 128).mean(axis=0) / (12, 10)
    np.testing.assert_allclose(
        bright, np.argwhere(expected[..., 0] > 128).mean(axis=0) / expected.shape[:2], atol=0.1
    )


def test_pictures_without_sound_begin_at_zero(tmp_path):
    path = write_video(tmp_path / "silent.mkv", pictures=[(time + 1.0, image) for time, image in ramp(5)])
    np.testing.assert_allclose([time for time, _ in pictures_of(path)], np.arange(5) / 15, atol=MILLISECOND)
    with pytest.raises(FormatError, match=r"silent\.mkv: no sound in it"), VideoSound(path):
        pass


def test_sound_without_pictures(tmp_path):
    path = write_video(tmp_path / "sound.m4a", samples=clicks(0.5))
    source, blocks = sound_of(path)
    assert not source.has_video and len(joined(blocks)) >= RATE // 2
    with pytest.raises(FormatError, match="no pictures in it"), VideoFrames(path):
        pass


def gather(path):
    """What comes of a damaged file before the error, and the error, of sound and pictures."""
    found = []
    for make, read in (
        (VideoSound, lambda source: iter(lambda: source.read(1000), None)),
        (VideoFrames, iter),
    ):
        parts = []
        with make(path) as source, pytest.raises(FormatError, match="cut off") as error:
            parts.extend(read(source))
        found.append((parts, str(error.value)))
    return found


@pytest.mark.parametrize(("name", "options"), [("cut.mkv", {}), ("cut.mp4", {"movflags": "faststart"})])
def test_a_truncated_file_gives_all_there_is_and_then_an_error(tmp_path, name, options):
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(3 * RATE)).astype(np.float32)
    path = write_video(
        tmp_path / name, pictures=ramp(45, step=5.0), samples=noise, audio_codec="aac", options=options
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    (blocks, heard), (pictures, seen) = gather(path)
    assert "cut.m" in heard and "cut.m" in seen
    seconds = sum(len(part.samples) for part in blocks) / RATE
    assert 0.8 < seconds < 2.4
    assert 0.8 < pictures[-1].time_seconds < 2.4


def test_an_mp4_without_its_table_of_contents_is_refused(tmp_path):
    path = write_video(tmp_path / "cut.mp4", pictures=ramp(30), samples=clicks())
    path.write_bytes(path.read_bytes()[:-400])
    for kind in (VideoSound, VideoFrames):
        with pytest.raises(FormatError, match=r"cut\.mp4: not readable, or cut off"), kind(path):
            pass


def test_an_mp4_whose_table_of_contents_is_cut_says_so(tmp_path):
    path = write_video(tmp_path / "cut.mp4", pictures=ramp(30), samples=clicks())
    whole = path.read_bytes()
    for missing in (60, 900, 1500):
        path.write_bytes(whole[:-missing])
        with pytest.raises(FormatError, match=r"cut off|no pictures"), VideoFrames(path) as video:
            list(video)


def test_files_that_are_no_video(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all, " * 100)
    for name, message in (
        ("none.mp4", "no such file"),
        ("empty.mp4", "empty file"),
        ("text.mp4", "not readable"),
        ("", "a folder"),
    ):
        with pytest.raises(FormatError, match=message), VideoFrames(tmp_path / name):
            pass


def test_pictures_without_any_size_are_refused(tmp_path):
    path = write_video(tmp_path / "z.mkv", pictures=ramp(4), video_codec="ffv1")
    content = bytearray(path.read_bytes())
    # Matroska's PixelWidth (B0) and PixelHeight (BA), one byte each; FFV1 does not have them in its frames.
    at = content.index(bytes([0xB0, 0x81, 64, 0xBA, 0x81, 48]))
    content[at + 2] = content[at + 5] = 0
    path.write_bytes(content)
    with pytest.raises(FormatError, match="pictures with a size, got 0 x 0"), VideoFrames(path):
        pass


def test_lost_sound_is_counted(tmp_path):
    def leap(seconds: float) -> float:
        return seconds + (0.5 if seconds > 1.0 else 0.0)

    path = write_video(
        tmp_path / "hole.mkv",
        pictures=ramp(38, step=5.0),
        samples=clicks(),
        audio_codec="pcm_s16le",
        sound_clock=leap,
    )
    _, blocks = sound_of(path)
    holes = [part for part in blocks if part.missing_frames_before]
    assert len(holes) == 1
    assert holes[0].missing_frames_before == pytest.approx(0.5 * RATE, abs=2 * MILLISECOND * RATE)
    assert holes[0].start_position == 16 * 1024 + holes[0].missing_frames_before
    # The clock of the sound counts what was lost, and the pictures stay on it.
    times = [time for time, _ in pictures_of(path)]
    np.testing.assert_allclose(times, np.arange(38) / 15, atol=3 * MILLISECOND)


def test_a_clock_of_the_sound_that_runs_fast_takes_the_pictures_along(tmp_path):
    rate, seconds, ppm = 8000, 60.0, 200.0
    path = write_video(
        tmp_path / "drift.mkv",
        pictures=[(i / 2, grey(i)) for i in range(120)],
        samples=np.zeros(round(rate * seconds), np.float32),
        sample_rate=rate,
        audio_codec="pcm_s16le",
        # 60 s by the count of samples took less by the clock of the time stamps.
        sound_clock=lambda sound: sound / (1 + 1e-6 * ppm),
    )
    with VideoFrames(path) as video:
        times = np.array([picture.time_seconds for picture in video])
        assert video.drift_ppm == pytest.approx(ppm, abs=10)
    expected = np.arange(120) / 2 * (1 + 1e-6 * ppm)
    np.testing.assert_allclose(times[8:], expected[8:], atol=0.8 * MILLISECOND)
    assert expected[-1] - 119 / 2 > 11 * MILLISECOND  # what would be wrong without
    source, _ = sound_of(path, 8000)
    assert source.drift_ppm == pytest.approx(ppm, abs=10)


def test_drift_is_unknown_at_first_and_follows_a_change():
    drift = ClockDrift()
    assert drift.drift_ppm is None and drift.offset_seconds == 0.0 and not drift.is_known
    for i in range(100):
        drift.observe(i * 0.1, 5.0 + i * 0.1)
    assert drift.drift_ppm is None and drift.to_sound(3.0) == pytest.approx(8.0)
    for i in range(100, 50_000):
        drift.observe(i * 0.1, 5.0 + i * 0.1 * (1 - 50e-6))
    assert drift.drift_ppm == pytest.approx(-50.0, abs=2.0)


def test_time_stamps_that_go_back_are_another_recording():
    times = SoundTimes(1000)
    assert [times.observe(stamp, 100) for stamp in (10.0, 10.1, 0.0, 0.1, 0.2, None, 0.4)] == [0] * 7
    assert times.drift.to_sound(0.4) == pytest.approx(0.6)
    assert times.observe(1.5, 100) == 1000
    assert times.position == 1800


def test_a_picture_of_another_size_is_scaled_as_those_of_a_video(tmp_path):
    image = grey(0)
    image[:, 32:] = 200
    small = scaled(image, (6, 8))
    assert small.shape == (6, 8, 3) and small[:, :3].max() < 20 and small[:, 5:].min() > 180
    assert scaled(image, (48, 64)) is image


def test_what_is_not_open_is_not_read(tmp_path):
    path = write_video(tmp_path / "a.mkv", pictures=ramp(2), samples=clicks(0.2))
    with pytest.raises(StateError, match="open"):
        next(iter(VideoFrames(path)))
    with pytest.raises(StateError, match="open"):
        VideoSound(path).read(10)


def test_without_pyav_the_extra_is_named(tmp_path):
    path = write_video(tmp_path / "a.mkv", pictures=ramp(2))
    code = f"""
import sys
sys.modules["av"] = None
from streamsed.errors import ConfigError
from streamsed.sources.video import VideoFrames
try:
    VideoFrames({str(path)!r}).open()
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "streamsed[video]" in done.stdout and "a.mkv" in done.stdout
