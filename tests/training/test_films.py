"""Rendered films: what is seen against what is heard, and the data set that they make."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from streamsed.errors import ConfigError, OutputError

pytest.importorskip("av", reason="films are written with PyAV")

from streamsed.sources.video import VideoFrames
from streamsed.sources.video_sound import VideoSound
from training.data.adapters import ReadOptions, read_dataset
from training.data.films import (
    DRAWINGS,
    CameraConfig,
    FilmConfig,
    ObjectConfig,
    PictureConfig,
    config_from_mapping,
    contact_sheet,
    draw_film,
    draw_still,
    make_film,
    picture_times,
    write_part,
)
from training.data.films.__main__ import main
from training.data.films.drawings import Pose
from training.data.films.render import activity
from training.data.soundscapes import (
    ActivityConfig,
    Catalogue,
    EventConfig,
    SoundscapeConfig,
    active_parts,
    make_scene,
)
from training.data.soundscapes.catalogue import SourceClip

RATE = 16000
LABELS = ("dog_bark", "rain", "speech")
SOUND = SoundscapeConfig(scene_seconds=4.0, events=EventConfig(count_weights=(0.0, 1.0)))
# One object at a time, in front of a camera that adds nothing of its own.
STEADY = CameraConfig(shake_pixels=(0, 0), light=(1, 1), light_change=0.0, noise=(0, 0), clutter=0)
ALONE = ObjectConfig(
    off_screen_probability=0.0,
    distractor_weights=(1.0,),
    still_probability=0.0,
    whole_probability=1.0,
    delay_seconds=(0.0, 0.0),
    jitter_seconds=0.0,
)
PLAIN = FilmConfig(sound=SOUND, camera=STEADY, objects=ALONE)


def tone(label: str, frequency: float) -> SourceClip:
    time = np.arange(2 * RATE) / RATE
    on = (time > 0.3) & (time < 1.2)
    samples = (0.5 * on * np.cos(2 * np.pi * frequency * time)).astype(np.float32)
    return SourceClip(f"{label}.wav", label, samples, active_parts(samples, label, RATE, ActivityConfig()))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    clips = [tone(label, 400.0 * (number + 1)) for number, label in enumerate(LABELS)]
    return Catalogue(RATE, tuple(clips))


def test_an_object_moves_while_it_sounds_and_rests_before_and_after(catalogue):
    seen = 0
    for index in range(8):
        film = make_film(catalogue, PLAIN, 1, index)
        (event,) = film.scene.events
        change = np.abs(np.diff(film.pictures.astype(float), axis=0)).mean(axis=(1, 2, 3))
        moving = picture_times(PLAIN)[1:][change > 0]
        # A picture is that of its moment, and a movement takes up to 0.12 s to end.
        assert moving[0] == pytest.approx(event.onset, abs=1.01 / 15)
        assert moving[-1] == pytest.approx(event.offset, abs=0.12 + 2.01 / 15)
        seen += 1
    assert seen == 8


@pytest.mark.parametrize("delay", [-0.3, 0.4])
def test_motion_is_as_late_as_the_settings_say(catalogue, delay):
    objects = dataclasses.replace(ALONE, delay_seconds=(delay, delay))
    config = dataclasses.replace(PLAIN, objects=objects)
    for index in range(5):
        scene = make_scene(catalogue, SOUND, 2, index)
        (item,) = draw_film(scene, config).objects
        (event,) = scene.events
        expected = (max(event.onset + delay, 0), min(event.offset + delay, 4.0))
        assert item.moves[0] == pytest.approx(expected)


def test_who_is_seen_follows_the_probabilities(catalogue):
    config = FilmConfig(
        sound=SOUND,
        objects=ObjectConfig(
            off_screen_probability=0.5, distractor_weights=(0, 1), distractor_moves_probability=0.0
        ),
    )
    plans = [draw_film(make_scene(catalogue, SOUND, 3, index), config) for index in range(100)]
    off_screen = sum(plan.off_screen for plan in plans)
    sounding = [item for plan in plans for item in plan.objects if item.sounds]
    silent = [item for plan in plans for item in plan.objects if not item.sounds]
    assert off_screen + len(sounding) == 100
    assert 30 <= off_screen <= 70
    assert len(silent) == 100
    assert not any(item.moves for item in silent)
    assert {item.label for item in silent} == set(LABELS)


def test_objects_are_there_for_the_lead_and_the_trail(catalogue):
    objects = dataclasses.replace(
        ALONE, whole_probability=0.0, lead_seconds=(0.5, 0.5), trail_seconds=(0.25, 0.25)
    )
    config = dataclasses.replace(PLAIN, objects=objects)
    for index in range(5):
        scene = make_scene(catalogue, SOUND, 4, index)
        (item,) = draw_film(scene, config).objects
        (event,) = scene.events
        assert item.visible == pytest.approx((max(event.onset - 0.5, 0), min(event.offset + 0.25, 4)))


def test_a_film_depends_on_its_number_alone_and_leaves_the_sound_as_it_is(catalogue):
    config = FilmConfig(sound=SOUND)
    films = [make_film(catalogue, config, 5, index) for index in (2, 0, 2)]
    np.testing.assert_array_equal(films[0].pictures, films[2].pictures)
    assert films[0].plan == films[2].plan
    assert not np.array_equal(films[0].pictures, films[1].pictures)
    scene = make_scene(catalogue, SOUND, 5, 2)
    np.testing.assert_array_equal(films[0].scene.samples, scene.samples)
    assert films[0].scene.events == scene.events


def test_activity_rises_at_the_onset_and_falls_after_the_offset():
    times = np.arange(0, 2, 0.01)
    found = activity([(0.5, 1.0)], times)
    assert not found[times < 0.4999].any()
    assert found[(times > 0.57) & (times < 1.0)].min() == 1
    assert not found[times > 1.13].any()


@pytest.mark.parametrize("name", sorted(DRAWINGS))
def test_every_drawing_covers_something_and_moves(name):
    v, u = np.mgrid[-1:1:40j, -1:1:40j].astype(np.float32)

    def drawn(active: float, phase: float) -> np.ndarray:
        shape = (1, 1, 1)
        pose = Pose(
            u[None],
            v[None],
            0.05,
            np.full(shape, active, np.float32),
            np.full(shape, phase, np.float32),
            (0.2, 0.5, 0.9),
        )
        canvas = np.zeros((40, 40, 3))
        for cover, colour in DRAWINGS[name](pose):
            assert 0 <= cover.min() <= cover.max() <= 1
            canvas += np.broadcast_to(cover, (1, 40, 40))[0, ..., None] * (np.asarray(colour) - canvas)
        return canvas

    rest = drawn(0.0, 1.0)
    assert (rest.sum(axis=2) > 0.1).mean() > 0.1
    # At rest the phase says nothing, but for the shape that a pause has in common with every moment.
    np.testing.assert_array_equal(rest, drawn(0.0, 2.5))
    assert np.abs(drawn(1.0, 8.0) - rest).mean() > 0.003


def test_stills_show_the_label_and_share_no_seed_with_films():
    config = FilmConfig()
    one, again, other = (draw_still("rain", config, 1, number) for number in (0, 0, 1))
    assert one.shape == (48, 64, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    with pytest.raises(ConfigError, match=r"objects\.drawings\.thunder"):
        draw_still("thunder", config, 1, 0)


@pytest.fixture(scope="module")
def written(catalogue, tmp_path_factory):
    out = tmp_path_factory.mktemp("films")
    config = FilmConfig(sound=dataclasses.replace(SOUND, events=EventConfig(count_weights=(0.3, 0.7))))
    for part, supervision, seed in (
        ("train/weak", "weak", 1),
        ("train/unlabel_in_domain", "unlabelled", 2),
        ("validation/validation", "strong", 3),
    ):
        write_part(out, part, catalogue, config, seed=seed, count=4, supervision=supervision)
    return out, config


def test_what_is_written_reads_back_as_desed(written, catalogue):
    out, config = written
    dataset = read_dataset("desed", out, ReadOptions())
    assert dataset.subsets == ("train/unlabel_in_domain", "train/weak", "validation/validation")
    assert len(dataset.recordings) == 12
    for recording in dataset.recordings:
        index = int(recording.path.stem[-5:])
        seed = dataset.subsets.index(recording.subset)
        scene = make_scene(catalogue, config.sound, (2, 1, 3)[seed], index)
        np.testing.assert_array_equal(soundfile.read(recording.path, dtype="float32")[0], scene.samples)
        if recording.supervision == "strong":
            found = [(event.onset, event.offset) for event in recording.annotations]
            assert found == [pytest.approx(event[:2], abs=1e-3) for event in scene.events]
        elif recording.supervision == "weak":
            assert set(recording.weak_labels) == {event.label for event in scene.events}
        else:
            assert (recording.annotations, recording.weak_labels) == ((), ())


def test_films_have_their_pictures_and_sound_on_one_clock(written, catalogue):
    out, config = written
    film = make_film(catalogue, config, 3, 1)
    path = out / "video" / "validation" / "validation" / "validation_00001.mp4"
    with VideoFrames(path) as frames:
        pictures = [(picture.time_seconds, picture.image) for picture in frames]
    assert len(pictures) == 60
    assert [time for time, _ in pictures] == pytest.approx(picture_times(config), abs=1e-3)
    for (_, image), made in zip(pictures, film.pictures, strict=True):
        assert np.abs(image.astype(float) - made).mean() < 12
    blocks = []
    with VideoSound(path) as source:
        while (block := source.read(4096)) is not None:
            blocks.append(block.samples[:, 0])
    heard = np.concatenate(blocks)[: len(film.scene.samples)]
    lag = np.correlate(heard, film.scene.samples[: len(heard)], "full").argmax() - (len(heard) - 1)
    assert abs(lag) <= 2


def test_files_are_the_same_whenever_they_are_written(written, catalogue, tmp_path):
    out, config = written
    write_part(tmp_path, "train/weak", catalogue, config, seed=1, count=2, supervision="weak")
    sound, video = "audio/train/weak/weak_00001.flac", "video/train/weak/weak_00001.mp4"
    assert (tmp_path / sound).read_bytes() == (out / sound).read_bytes()
    decoded = []
    for folder in (tmp_path, out):
        with VideoFrames(folder / video) as frames:
            decoded.append([picture.image.astype(float) for picture in frames])
    # x264 is not always the same to the bit.
    for one, other in zip(*decoded, strict=True):
        assert np.abs(one - other).mean() < 3


def test_reports_say_who_was_in_the_picture(written):
    out, _ = written
    report = json.loads((out / "metadata" / "train" / "weak.json").read_text())
    assert report["made_from"]["config"]["objects"]["off_screen_probability"] == 0.25
    assert [film["name"] for film in report["films"]] == [f"weak_{number:05d}" for number in range(4)]
    moves = [item for film in report["films"] for item in film["objects"] if item["moves"]]
    assert all(0 <= start < stop <= 4 for item in moves for start, stop in item["moves"])


def test_what_is_there_is_kept_unless_forced(written, catalogue):
    out, config = written
    with pytest.raises(OutputError, match="--force"):
        write_part(out, "train/weak", catalogue, config, seed=1, count=4, supervision="weak")
    write_part(out, "train/weak", catalogue, config, seed=1, count=4, supervision="weak", force=True)


def test_sheets_have_a_row_for_each_film():
    films = [np.full((30, 48, 64, 3), level, np.uint8) for level in (10, 200)]
    sheet = contact_sheet(films, columns=5, zoom=1)
    assert sheet.shape == (96, 320, 3)
    assert (sheet[0, 0, 0], sheet[-1, 0, 0]) == (10, 200)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"picture": {"width": 63}}, "width"),
        ({"picture": {"rate_hz": 0}}, "rate_hz"),
        ({"picture": {"quality": 99}}, "quality"),
        ({"objects": {"off_screen_probability": 1.5}}, "off_screen_probability"),
        ({"objects": {"size": [0.9, 0.2]}}, "size"),
        ({"objects": {"distractor_weights": []}}, "distractor_weights"),
        ({"objects": {"drawings": {"thunder": "bolt"}}}, "drawings.thunder"),
        ({"camera": {"noise": [0, 2]}}, "noise"),
        ({"camera": {"tripod": True}}, "tripod"),
    ],
)
def test_settings_that_cannot_be_are_named(values, named):
    with pytest.raises(ConfigError, match=named):
        config_from_mapping(values)


def test_labels_without_a_drawing_are_named(catalogue):
    thunder = dataclasses.replace(catalogue.clips[0], label="thunder")
    other = Catalogue(RATE, (thunder,))
    with pytest.raises(ConfigError, match=r"objects\.drawings\.thunder"):
        make_film(other, PLAIN, 1, 0)
    config = dataclasses.replace(PLAIN, objects=dataclasses.replace(ALONE, drawings={"thunder": "star"}))
    assert make_film(other, config, 1, 0).plan.objects[0].drawing == "star"


def test_sizes_and_rates_are_free(catalogue):
    picture = PictureConfig(width=32, height=20, rate_hz=5)
    film = make_film(catalogue, dataclasses.replace(PLAIN, picture=picture), 1, 0)
    assert film.pictures.shape == (20, 20, 32, 3)


@pytest.mark.parametrize("part", ["", "/x", "a/../b", "train/"])
def test_parts_stay_inside_the_folder(catalogue, tmp_path, part):
    with pytest.raises(ConfigError, match="part"):
        write_part(tmp_path, part, catalogue, PLAIN, seed=1, count=1)


def test_command(tmp_path, capsys):
    (tmp_path / "dogs").mkdir()
    soundfile.write(tmp_path / "dogs" / "one.wav", tone("dog_bark", 500.0).samples, RATE)
    settings = tmp_path / "films.toml"
    settings.write_text("[sound]\nscene_seconds = 2.0\n[picture]\nrate_hz = 5\n")
    sheet = tmp_path / "sheet.png"
    out = tmp_path / "out"
    command = [
        "--folder",
        f"dog_bark={tmp_path / 'dogs'}",
        "--folder-fold",
        "1",
        "--config",
        str(settings),
        "--films",
        "2",
    ]
    assert main([*command, "--out", str(out), "--part", "test/test", "--sheet", str(sheet)]) == 0
    assert "2 scenes" in capsys.readouterr().out
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert len(list((out / "video" / "test" / "test").glob("*.mp4"))) == 2
    assert main([*command, "--out", str(out)]) == 1
    assert "--force" in capsys.readouterr().err
    settings.write_text("[sound]\nsample_rate = 7\n")
    assert main([*command, "--out", str(out), "--force"]) == 2
