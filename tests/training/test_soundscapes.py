"""Scenes from clips that are synthesised here, so that every onset is known."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamsed.annotations import read_durations, read_event_list
from streamsed.errors import ConfigError, FormatError, OutputError
from streamsed.metrics import segment_metrics
from training.data.soundscapes import (
    ActivityConfig,
    BackgroundConfig,
    Catalogue,
    ChannelConfig,
    Clip,
    EventConfig,
    Holdout,
    PlacedEvent,
    SceneEvent,
    SoundscapeConfig,
    active_parts,
    audio_files,
    clips_from_csv,
    clips_from_folder,
    config_from_mapping,
    draw_plan,
    iter_scenes,
    load_catalogue,
    make_scene,
    parse_columns,
    parse_speaker_folds,
    select_clips,
)
from training.data.soundscapes.__main__ import main, read_config
from training.data.soundscapes.catalogue import SourceClip
from training.data.soundscapes.filters import coloured_noise, convolve, equaliser, limit_band
from training.data.soundscapes.render import labels_of
from training.data.soundscapes.report import as_table, statistics
from training.data.soundscapes.write import check_output, write_scenes
from training.sound import read_mono

RATE = 16000
TONES = {"beep": 1000.0, "drone": 300.0, "whistle": 3000.0}
BURSTS = ((0.5, 0.7), (1.2, 1.35), (2.0, 2.3))

# Nothing but the events themselves, at one level.
PLAIN_EVENTS = EventConfig(snr_db=(20.0, 20.0), spread_db=0.0, eq_db=0.0, reverb_probability=0.0)
PLAIN_CHANNEL = ChannelConfig(
    peak_dbfs=(-6.0, -6.0), low_pass_probability=0.0, telephone_probability=0.0, soft_clip_probability=0.0
)
NOTHING_BELOW = BackgroundConfig(
    file_weight=0.0, noise_weight=0.0, near_silence_weight=1.0, near_silence_db=(-150.0, -150.0)
)
PLAIN = SoundscapeConfig(events=PLAIN_EVENTS, channel=PLAIN_CHANNEL, background=NOTHING_BELOW)


def bursts(frequency, intervals, seconds, rate=RATE, amplitude=0.5):
    """A tone that is on during the intervals alone."""
    time = np.arange(round(seconds * rate)) / rate
    on = np.zeros(len(time))
    for start, stop in intervals:
        on[round(start * rate) : round(stop * rate)] = amplitude
    return (on * np.cos(2 * np.pi * frequency * time)).astype(np.float32)


def source(label, intervals=BURSTS, seconds=5.0):
    samples = bursts(TONES[label], intervals, seconds)
    return SourceClip(f"{label}.wav", label, samples, active_parts(samples, label, RATE, ActivityConfig()))


def catalogue_of(*clips, **others):
    return Catalogue(RATE, tuple(clips), **others)


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """Clips of three labels in four folds, a CSV like ESC-10's, two speakers, backgrounds, a room."""
    root = tmp_path_factory.mktemp("material")
    for name in ("audio", "speech", "backgrounds", "rooms"):
        (root / name).mkdir()
    rows = []
    for fold in (1, 2, 3, 4):
        for number in range(6):
            for label, frequency in TONES.items():
                intervals = ((0.0, 4.5),) if label == "drone" else BURSTS
                name = f"{fold}-{label}-{number}.wav"
                samples = bursts(frequency, intervals, 5.0, 22050)
                soundfile.write(root / "audio" / name, samples, 22050)
                # Two takes of each original recording.
                rows.append((name, fold, label, f"recording-{fold}-{label}-{number // 2}"))
    with (root / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "label", "source"])
        writer.writerows(rows)
    for name in ("03a01.wav", "03a02.wav", "08a01.wav", "11a01.wav"):
        soundfile.write(root / "speech" / name, bursts(200.0, ((0.1, 0.9),), 1.0), RATE)
    rng = np.random.default_rng(0)
    soundfile.write(root / "backgrounds" / "long.wav", 0.1 * rng.standard_normal(12 * RATE), RATE)
    soundfile.write(root / "backgrounds" / "short.wav", 0.1 * rng.standard_normal(2 * RATE), RATE)
    room = np.zeros(4000)
    room[200:] = np.exp(-np.arange(3800) / 800) * rng.uniform(-0.4, 0.4, 3800)
    room[200] = 1.0
    soundfile.write(root / "rooms" / "room.wav", room, RATE, subtype="FLOAT")
    return root


@pytest.fixture(scope="module")
def catalogue(material) -> Catalogue:
    return load_catalogue(
        clips_from_csv(material / "clips.csv", material / "audio"),
        SoundscapeConfig(),
        backgrounds=audio_files(material / "backgrounds"),
        impulse_responses=audio_files(material / "rooms"),
    )


# ---- active parts


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("noise_db", [None, -60.0, -30.0])
def test_active_parts_are_exact_to_ten_milliseconds(rate, noise_db):
    samples = bursts(440.0, BURSTS, 4.0, rate)
    if noise_db is not None:
        noise = np.random.default_rng(1).standard_normal(len(samples))
        samples += (10 ** (noise_db / 20) * 0.35 * noise).astype(np.float32)
    found = np.array(active_parts(samples, "beep", rate, ActivityConfig())) / rate
    assert found.shape == (3, 2)
    assert np.abs(found - BURSTS).max() <= 0.01


def test_pauses_are_bridged_up_to_the_time_of_the_label():
    samples = bursts(440.0, ((0.5, 0.8), (1.2, 1.5)), 2.0)
    config = ActivityConfig(bridge_seconds={"cough": 0.39, "laugh": 0.41})
    assert len(active_parts(samples, "cough", RATE, config)) == 2
    assert len(active_parts(samples, "laugh", RATE, config)) == 1
    assert len(active_parts(samples, "dog_bark", RATE, config)) == 2
    assert len(active_parts(samples, "speech", RATE, config)) == 1


def test_what_is_shorter_than_an_event_is_dropped():
    samples = bursts(440.0, ((0.5, 0.55), (1.2, 1.5)), 2.0)
    assert len(active_parts(samples, "beep", RATE, ActivityConfig())) == 1
    assert len(active_parts(samples, "beep", RATE, ActivityConfig(min_seconds=0.04))) == 2


def test_silence_has_no_active_part():
    for samples in (np.zeros(RATE), np.zeros(0), np.full(RATE, 1e-5)):
        assert active_parts(samples.astype(np.float32), "beep", RATE, ActivityConfig()) == ()


def test_a_texture_goes_on_through_its_soft_passages():
    rng = np.random.default_rng(2)
    swell = 10 ** (-25 / 20 * (1 + np.cos(2 * np.pi * 0.25 * np.arange(8 * RATE) / RATE)) / 2)
    samples = (0.3 * swell * rng.standard_normal(8 * RATE)).astype(np.float32)
    parts = active_parts(samples, "sea_waves", RATE, ActivityConfig())
    assert parts == ((0, 8 * RATE),)


# ---- lists of clips


def test_a_table_like_that_of_esc_10(material):
    clips = clips_from_csv(material / "clips.csv", material / "audio")
    assert len(clips) == 72
    assert clips[0] == Clip(material / "audio" / "1-beep-0.wav", "beep", 1, "recording-1-beep-0")


def test_a_table_like_that_of_urbansound8k(tmp_path):
    (tmp_path / "fold7").mkdir()
    soundfile.write(tmp_path / "fold7" / "x.wav", np.ones(100), RATE)
    table = tmp_path / "UrbanSound8K.csv"
    table.write_text(
        "slice_file_name,fsID,start,end,salience,fold,classID,class\nx.wav,12,0,1,1,7,3,dog_bark\n"
    )
    assert clips_from_csv(table, tmp_path) == [Clip(tmp_path / "fold7" / "x.wav", "dog_bark", 7, "12")]


def test_a_table_with_columns_of_its_own(tmp_path):
    (tmp_path / "cat").mkdir()
    soundfile.write(tmp_path / "cat" / "x.wav", np.ones(100), RATE)
    table = tmp_path / "own.csv"
    table.write_text("wave,kind,part\nx.wav,cat,2\n")
    columns = parse_columns("file=wave,label=kind,fold=part,layout={label}/{file}")
    (clip,) = clips_from_csv(table, tmp_path, columns)
    assert (clip.path, clip.label, clip.fold) == (tmp_path / "cat" / "x.wav", "cat", 2)
    with pytest.raises(ConfigError, match=r"columns\.label.*'breed'"):
        clips_from_csv(table, tmp_path, parse_columns("file=wave,label=breed,fold=part"))
    with pytest.raises(ConfigError, match=r"columns\.file: expected one of .*got \['wave'"):
        clips_from_csv(table, tmp_path)
    with pytest.raises(ConfigError, match="layout"):
        clips_from_csv(table, tmp_path, parse_columns("file=wave,label=kind,fold=part,layout={take}"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("gone.wav,1,cat", "1 of 1 audio files are missing: .*gone.wav"),
        ("x.wav,one,cat", ":2: expected a file"),
    ],
)
def test_faults_of_a_table_are_named(tmp_path, row, message):
    table = tmp_path / "clips.csv"
    table.write_text(f"filename,fold,label\n{row}\n")
    with pytest.raises(FormatError, match=message):
        clips_from_csv(table, tmp_path)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FormatError, match=r"no\.csv"):
        clips_from_csv(tmp_path / "no.csv", tmp_path)


def test_a_folder_of_one_label_with_folds_by_speaker(material):
    folds = parse_speaker_folds("03,08=1;11=3")
    clips = clips_from_folder(material / "speech", "speech", speaker_folds=folds)
    assert [(clip.path.name, clip.fold) for clip in clips] == [
        ("03a01.wav", 1),
        ("03a02.wav", 1),
        ("08a01.wav", 1),
        ("11a01.wav", 3),
    ]
    assert clips[0].origin == clips[1].origin != clips[2].origin
    assert {clip.fold for clip in clips_from_folder(material / "speech", "speech", fold=2)} == {2}
    with pytest.raises(ConfigError, match=r"speaker_folds.*\['99'\]"):
        clips_from_folder(material / "speech", "speech", speaker_folds={"99": 1})
    with pytest.raises(ConfigError, match="fold: expected either"):
        clips_from_folder(material / "speech", "speech")
    with pytest.raises(FormatError, match="no such folder"):
        clips_from_folder(material / "nowhere", "speech", fold=1)


@pytest.mark.parametrize("text", ["", "03", "03=x", "03=1;03=2", "=1"])
def test_speaker_folds_that_cannot_be_read(text):
    with pytest.raises(ConfigError, match="speaker_folds"):
        parse_speaker_folds(text)


def test_the_holdout_divides_a_fold_by_origin(material):
    clips = clips_from_csv(material / "clips.csv", material / "audio")
    holdout = Holdout.parse("3:0/3")
    rest = select_clips(clips, [1, 2, 3], holdout)
    held = select_clips(clips, [1, 2, 3], holdout, "held-out")
    assert not {clip.path for clip in rest} & {clip.path for clip in held}
    assert not {clip.origin for clip in rest} & {clip.origin for clip in held}
    assert {clip.path for clip in rest + held} == {clip.path for clip in clips if clip.fold != 4}
    assert Counter((clip.fold, clip.label) for clip in held) == {(3, label): 2 for label in TONES}
    assert held == select_clips(clips[::-1], [3], holdout, "held-out")[::-1]


def test_a_recording_with_two_labels_stays_on_one_side():
    clips = [Clip(Path(f"{origin}-{label}"), label, 1, origin) for origin, label in ("ax", "bx", "by", "cy")]
    held = select_clips(clips, holdout=Holdout(1, 0, 2), selection="held-out")
    assert held == clips[:3]
    assert select_clips(clips, holdout=Holdout(1, 0, 2)) == clips[3:]


def test_selections_that_cannot_be(material):
    clips = clips_from_csv(material / "clips.csv", material / "audio")
    with pytest.raises(ConfigError, match=r"folds: expected among \[1, 2, 3, 4\], got \[5\]"):
        select_clips(clips, [1, 5])
    with pytest.raises(ConfigError, match="holdout: expected one of the chosen folds"):
        select_clips(clips, [1], Holdout(3, 0, 3))
    with pytest.raises(ConfigError, match="holdout: expected to be given"):
        select_clips(clips, [1], selection="held-out")
    with pytest.raises(ConfigError, match="none left"):
        select_clips(clips, [3], Holdout(3, 0, 1))
    with pytest.raises(ConfigError, match="clips: expected at least one"):
        select_clips([])
    for text in ("3", "3:3/3", "3:0/0", "a:0/3"):
        with pytest.raises(ConfigError, match="holdout"):
            Holdout.parse(text)


# ---- the catalogue


def test_clips_are_resampled_and_their_parts_found(catalogue):
    assert catalogue.labels == ("beep", "drone", "whistle")
    assert len(catalogue.clips) == 72
    for clip in catalogue.clips:
        assert clip.samples.dtype == np.float32
        assert abs(len(clip.samples) - 5 * RATE) <= 1
        expected = ((0.0, 4.5),) if clip.label == "drone" else BURSTS
        assert np.abs(np.array(clip.parts) / RATE - expected).max() <= 0.01


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_clips_at_another_speed_are_shorter_and_higher(material, speed):
    clips = [Clip(material / "audio" / "1-beep-0.wav", "beep", 1, "a")]
    config = SoundscapeConfig(events=EventConfig(speeds=(1.0, speed)))
    original, other = load_catalogue(clips, config).clips
    assert len(other.samples) == pytest.approx(len(original.samples) / speed, abs=2)
    np.testing.assert_allclose(np.array(other.parts) / RATE, np.array(BURSTS) / speed, atol=0.01)
    pitches = [
        np.abs(np.fft.rfft(clip.samples)).argmax() * RATE / len(clip.samples) for clip in (original, other)
    ]
    assert pitches[1] == pytest.approx(pitches[0] * speed, rel=0.01)


def test_a_sustained_sound_goes_on_for_as_long_as_asked(material):
    clips = [Clip(material / "audio" / f"1-{label}-0.wav", label, 1, label) for label in ("drone", "beep")]
    config = SoundscapeConfig(events=EventConfig(extend_seconds={"drone": 9.0}))
    drone, beep = load_catalogue(clips, config).clips
    assert len(drone.samples) == 9 * RATE
    (part,) = drone.parts
    assert np.abs(np.array(part) / RATE - (0.0, 9.0)).max() <= 0.01
    # Cross-faded where it begins again: no gap and no click.
    level = np.sqrt(np.square(drone.samples[: 9 * RATE // 160 * 160].reshape(-1, 160)).mean(axis=1))
    assert 0.5 * np.median(level) < level[2:-2].min() and level.max() < 1.5 * np.median(level)
    assert len(beep.samples) == pytest.approx(5 * RATE, abs=2)
    longer = load_catalogue(clips[:1], SoundscapeConfig(events=EventConfig(extend_seconds={"drone": 2.0})))
    assert len(longer.clips[0].samples) == pytest.approx(5 * RATE, abs=2)


def test_a_clip_without_sound_is_left_out_and_named(material, tmp_path):
    soundfile.write(tmp_path / "mute.wav", np.zeros(RATE), RATE)
    clips = [
        Clip(tmp_path / "mute.wav", "beep", 1, "a"),
        Clip(material / "audio" / "1-beep-0.wav", "beep", 1, "b"),
    ]
    catalogue = load_catalogue(clips, SoundscapeConfig())
    assert [clip.name for clip in catalogue.clips] == ["1-beep-0.wav"]
    assert catalogue.without_activity == (str(tmp_path / "mute.wav"),)
    with pytest.raises(ConfigError, match="at least one clip with an active part, got '1 without'"):
        load_catalogue(clips[:1], SoundscapeConfig())


def test_a_label_without_clips_is_named(material):
    clips = clips_from_csv(material / "clips.csv", material / "audio")[:3]
    with pytest.raises(ConfigError, match=r"labels: expected among \['beep'\], got \['moo'\]"):
        load_catalogue(clips, SoundscapeConfig(labels=("beep", "moo")))
    with pytest.raises(ConfigError, match="clips: expected at least one"):
        load_catalogue(clips, SoundscapeConfig(labels=("moo",)))


def test_recordings_that_cannot_be_used(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), RATE, subtype="FLOAT")
    for name, message in (
        ("gone.wav", "no such file"),
        ("text.wav", "text.wav"),
        ("empty.wav", "no samples"),
        ("nan.wav", "NaN"),
    ):
        with pytest.raises(FormatError, match=message):
            read_mono(tmp_path / name, RATE)


def test_parts_of_a_background_have_no_second_in_common(material):
    clips = clips_from_csv(material / "clips.csv", material / "audio")[:1]
    whole = read_mono(material / "backgrounds" / "long.wav", RATE)
    pieces = []
    for part, names in (
        ((0.0, 0.6), ["long.wav", "short.wav"]),
        ((0.6, 0.8), ["long.wav"]),
        ((0.8, 1.0), ["long.wav"]),
    ):
        config = SoundscapeConfig(background=BackgroundConfig(part=part))
        found = load_catalogue(clips, config, backgrounds=audio_files(material / "backgrounds")).backgrounds
        assert [item.name for item in found] == names
        pieces.append(found[0].samples)
    assert np.array_equal(np.concatenate(pieces), whole)
    with pytest.raises(ConfigError, match=r"background\.part.*longest 2\.0 s"):
        load_catalogue(clips, config, backgrounds=[material / "backgrounds" / "short.wav"])


def test_impulse_responses_begin_with_the_direct_path(catalogue):
    (room,) = catalogue.impulse_responses
    assert np.argmax(np.abs(room.samples)) == 0
    assert np.square(room.samples).sum() == pytest.approx(1.0, abs=1e-5)


# ---- plans


def test_plans_depend_on_seed_and_index_alone(catalogue):
    config = SoundscapeConfig()
    plans = {index: draw_plan(catalogue, config, 5, index) for index in (4, 0, 9)}
    assert plans[0] == draw_plan(catalogue, config, 5, 0)
    assert plans[0] != dataclasses.replace(plans[4], index=0)
    assert plans[4] != dataclasses.replace(draw_plan(catalogue, config, 6, 4), seed=5)


def test_counts_labels_and_backgrounds_follow_the_configuration(catalogue):
    config = SoundscapeConfig()
    plans = [draw_plan(catalogue, config, 0, index) for index in range(2000)]
    counts = Counter(len(plan.events) for plan in plans)
    expected = np.array(config.events.count_weights) * 2000
    observed = np.array([counts[number] for number in range(7)])
    # Chi-square with 6 degrees of freedom: beyond 22.5 once in a thousand seeds.
    assert ((observed - expected) ** 2 / expected).sum() < 22.5
    labels = Counter(event.label for plan in plans for event in plan.events)
    assert max(labels.values()) < 1.1 * min(labels.values())
    wet = np.mean([event.impulse_response is not None for plan in plans for event in plan.events])
    assert wet == pytest.approx(config.events.reverb_probability, abs=0.03)
    levels = [event.level_db for plan in plans for event in plan.events]
    assert -3 <= min(levels) < 0 < 22 < max(levels) <= 25
    silent = [plan.background.kind == "digital_silence" for plan in plans if not plan.events]
    assert 0.1 < np.mean(silent) < 0.3
    assert not any(plan.background.kind == "digital_silence" for plan in plans if plan.events)
    assert {plan.background.kind for plan in plans} == {"file", "noise", "near_silence", "digital_silence"}
    banded = np.mean([plan.channel.band_hz is not None for plan in plans])
    assert 0.08 < banded < 0.16


def test_labels_lie_inside_the_scene_and_never_overlap_themselves(catalogue):
    config = SoundscapeConfig(events=EventConfig(count_weights=(0.0,) * 6 + (1.0,)))
    for index in range(200):
        events = labels_of(draw_plan(catalogue, config, 1, index), config)
        assert list(events) == sorted(events)
        last = dict.fromkeys(TONES, -1.0)
        for onset, offset, label in events:
            assert 0 <= onset < offset <= config.scene_seconds
            assert offset - onset >= config.activity.min_seconds - 1e-9
            assert onset > last[label]
            last[label] = offset


def test_long_sounds_give_excerpts_and_short_ones_sequences():
    catalogue = catalogue_of(source("beep"), source("drone", ((0.0, 9.0),), 9.5))
    events = [
        event
        for index in range(300)
        for event in draw_plan(catalogue, dataclasses.replace(PLAIN, scene_seconds=60.0), 2, index).events
    ]
    drones = [np.ptp(event.parts[0]) / RATE for event in events if event.label == "drone"]
    assert 0.6 <= min(drones) < 1.0
    assert 4.0 < max(drones) <= 5.0
    assert all(len(event.parts) == 1 for event in events if event.label == "drone")
    beeps = Counter(len(event.parts) for event in events if event.label == "beep")
    assert set(beeps) == {1, 2, 3}
    for event in events:
        if event.label == "beep":
            # Natural spacing: the scene is the clip, shifted.
            shifts = {
                place - part for place, part in zip(np.ravel(event.spans), np.ravel(event.parts), strict=True)
            }
            assert len(shifts) == 1


def test_a_label_that_overlaps_itself_is_one_event():
    event = PlacedEvent("beep", 0, ((8000, 16000),), False, False, 1600, 0.0, (0.0, 0.0), None)
    plan = draw_plan(catalogue_of(source("beep"), source("drone")), PLAIN, 0, 0)
    placed = (
        event,
        dataclasses.replace(event, position=8000),
        dataclasses.replace(event, position=8000, label="drone"),
        dataclasses.replace(event, position=40000),
        dataclasses.replace(event, position=-4000),
        dataclasses.replace(event, position=156000),
    )
    assert labels_of(dataclasses.replace(plan, events=placed), PLAIN) == (
        SceneEvent(0.0, 1.0, "beep"),
        SceneEvent(0.5, 1.0, "drone"),
        SceneEvent(2.5, 3.0, "beep"),
        SceneEvent(9.75, 10.0, "beep"),
    )


def test_a_catalogue_that_does_not_fit(catalogue):
    with pytest.raises(ConfigError, match="catalogue: expected clips at 8000 Hz, got 16000"):
        draw_plan(catalogue, SoundscapeConfig(sample_rate=8000), 0, 0)
    with pytest.raises(ConfigError, match=r"labels: .*\['moo'\]"):
        draw_plan(catalogue, SoundscapeConfig(labels=("moo",)), 0, 0)
    with pytest.raises(ConfigError, match="seed"):
        draw_plan(catalogue, SoundscapeConfig(), -1, 0)


# ---- sound


def test_scenes_are_the_same_in_any_order_and_process(catalogue):
    config = SoundscapeConfig()
    copy = pickle.loads(pickle.dumps(catalogue))
    for scene in iter_scenes(catalogue, config, 3, [5, 1, 5]):
        again = make_scene(copy, config, 3, scene.plan.index)
        assert np.array_equal(scene.samples, again.samples)
        assert (scene.events, scene.plan) == (again.events, again.plan)


def test_scenes_fit_into_sixteen_bits_below_their_peak(catalogue):
    config = SoundscapeConfig()
    for scene in iter_scenes(catalogue, config, 4, range(30)):
        assert scene.samples.dtype == np.float32
        assert scene.samples.shape == (10 * RATE,)
        steps = scene.samples.astype(np.float64) * 32768
        assert np.array_equal(steps, np.rint(steps))
        assert np.abs(steps).max() <= np.ceil(32767 * 10 ** (scene.plan.channel.peak_dbfs / 20))


@pytest.mark.parametrize("reverb", [0.0, 1.0])
@pytest.mark.parametrize("eq_db", [0.0, 6.0])
def test_onsets_are_exact_to_ten_milliseconds(catalogue, reverb, eq_db):
    events = dataclasses.replace(
        PLAIN_EVENTS,
        count_weights=(0.0, 1.0),
        reverb_probability=reverb,
        eq_db=eq_db,
        sequence_probability=0.0,
    )
    config = dataclasses.replace(PLAIN, events=events)
    checked = 0
    for scene in iter_scenes(catalogue, config, 7, range(40)):
        ((onset, offset, _),) = scene.events
        loud = np.flatnonzero(np.abs(scene.samples) > 0.1 * np.abs(scene.samples).max()) / RATE
        assert abs(loud[0] - onset) <= 0.01
        if not reverb:
            assert abs(loud[-1] - offset) <= 0.01
        checked += 1
    assert checked == 40


def test_labels_equal_the_energy_of_each_tone(catalogue):
    """Where a label says so, and there alone, is its tone to be heard."""
    config = dataclasses.replace(PLAIN, events=dataclasses.replace(PLAIN_EVENTS, eq_db=3.0))
    time = np.arange(config.scene_samples) / RATE
    window = np.hanning(480)
    agree, seen = [], 0
    for scene in iter_scenes(catalogue, config, 8, range(12)):
        if not scene.events:
            continue
        loudest = 0.5 * np.abs(scene.samples).max()
        for label, frequency in TONES.items():
            mixed = scene.samples * np.exp(-2j * np.pi * frequency * time)
            amplitude = 2 * np.abs(np.convolve(mixed, window / window.sum(), "same"))
            truth = np.zeros(len(time), bool)
            near_edge = np.zeros(len(time), bool)
            for onset, offset, name in scene.events:
                if name == label:
                    seen += 1
                    truth[round(onset * RATE) : round(offset * RATE)] = True
                for edge in (onset, offset):
                    near_edge[max(round((edge - 0.02) * RATE), 0) : round((edge + 0.02) * RATE)] = True
            heard = amplitude > 0.1 * loudest
            agree.append((heard == truth)[~near_edge].mean())
    assert seen > 15
    assert min(agree) > 0.999


@pytest.mark.parametrize("snr_db", [0.0, 12.0])
def test_events_have_the_level_that_the_plan_says(snr_db):
    events = dataclasses.replace(PLAIN_EVENTS, count_weights=(0.0, 1.0), snr_db=(snr_db, snr_db))
    noise = BackgroundConfig(file_weight=0, near_silence_weight=0, low_pass_probability=0, hum_probability=0)
    config = dataclasses.replace(PLAIN, events=events, background=noise)
    catalogue = catalogue_of(source("drone", ((0.0, 4.5),)))
    measured = []
    for scene in iter_scenes(catalogue, config, 9, range(20)):
        ((onset, offset, _),) = scene.events
        inside = np.zeros(len(scene.samples), bool)
        inside[round(onset * RATE) : round(offset * RATE)] = True
        power_in, power_out = (np.mean(scene.samples[mask] ** 2) for mask in (inside, ~inside))
        measured.append(10 * np.log10(power_in / power_out - 1))
    assert np.median(measured) == pytest.approx(snr_db, abs=1.0)


def test_digital_silence_is_zeros():
    silence = dataclasses.replace(BackgroundConfig(), digital_silence_probability=1.0)
    config = SoundscapeConfig(events=EventConfig(count_weights=(1.0,)), background=silence)
    scene = make_scene(catalogue_of(source("beep")), config, 0, 0)
    assert not scene.samples.any()
    assert scene.events == ()


def test_near_silence_is_not_amplified():
    quiet = BackgroundConfig(
        file_weight=0,
        noise_weight=0,
        near_silence_weight=1,
        near_silence_db=(-50.0, -50.0),
        digital_silence_probability=0,
    )
    config = SoundscapeConfig(
        events=EventConfig(count_weights=(1.0,)), background=quiet, channel=PLAIN_CHANNEL
    )
    scene = make_scene(catalogue_of(source("beep")), config, 0, 0)
    assert 0 < np.abs(scene.samples).max() < 10 ** (-40 / 20)


def test_soft_clipping_and_band_limits_are_heard():
    catalogue = catalogue_of(source("whistle", ((0.0, 4.5),)))
    events = dataclasses.replace(PLAIN_EVENTS, count_weights=(0.0, 1.0))
    low = ChannelConfig(low_pass_probability=1.0, low_pass_hz=(1500.0, 1500.0), telephone_probability=0.0)
    config = dataclasses.replace(PLAIN, events=events)
    plain = make_scene(catalogue, config, 0, 0)
    muffled = make_scene(catalogue, dataclasses.replace(config, channel=low), 0, 0)
    driven = dataclasses.replace(PLAIN_CHANNEL, soft_clip_probability=1.0, soft_clip_drive_db=(20.0, 20.0))
    clipped = make_scene(catalogue, dataclasses.replace(config, channel=driven), 0, 0)
    assert plain.events == muffled.events == clipped.events
    assert np.abs(muffled.samples).max() < 0.05 * np.abs(plain.samples).max()

    def flatness(scene):
        loud = np.abs(scene.samples[np.abs(scene.samples) > 0.01])
        return np.mean(loud) / np.max(loud)

    assert flatness(clipped) > 1.2 * flatness(plain)


def test_short_backgrounds_go_round(material):
    clips = clips_from_csv(material / "clips.csv", material / "audio")[:1]
    config = SoundscapeConfig(
        events=EventConfig(count_weights=(1.0,)),
        background=BackgroundConfig(
            file_weight=1e9, digital_silence_probability=0, added_noise_probability=0
        ),
        channel=PLAIN_CHANNEL,
    )
    catalogue = load_catalogue(clips, config, backgrounds=[material / "backgrounds" / "short.wav"])
    scene = make_scene(catalogue, config, 0, 0)
    seconds = np.sqrt(np.mean(scene.samples.reshape(10, RATE) ** 2, axis=1))
    assert seconds.max() < 1.2 * seconds.min()


# ---- filters


def test_the_equaliser_has_the_gains_asked_for_and_no_delay():
    gains = (6.0, -6.0, 0.0, 3.0, -3.0, 6.0)
    taps = equaliser(gains, RATE)
    response = 20 * np.log10(np.abs(np.fft.rfft(taps, 16000)))
    knots = np.exp(np.linspace(np.log(80), np.log(8000), 6))
    for frequency, gain in list(zip(knots, gains, strict=True))[2:]:
        assert response[round(frequency * 16000 / RATE) - (frequency >= 8000)] == pytest.approx(gain, abs=1.0)
    assert np.argmax(np.abs(taps)) <= 2
    assert np.square(taps[:80]).sum() > 0.98 * np.square(taps).sum()
    assert np.allclose(equaliser((0.0, 0.0), RATE)[:2], [1, 0], atol=1e-6)


def test_convolution_equals_the_direct_sum():
    rng = np.random.default_rng(0)
    first, second, third = (rng.standard_normal(size).astype(np.float32) for size in (100, 17, 5))
    expected = np.convolve(np.convolve(first, second), third)
    assert np.allclose(convolve(first, second, third), expected, atol=1e-4)


@pytest.mark.parametrize("slope_db", [-6.0, 0.0, 2.0])
def test_noise_has_its_slope(slope_db):
    samples = coloured_noise(1, 20 * RATE, RATE, slope_db, None)
    power = np.abs(np.fft.rfft(samples)) ** 2
    octave = [power[20 * low : 40 * low].mean() for low in (100, 200, 400, 800, 1600, 3200)]
    assert np.diff(10 * np.log10(octave)) == pytest.approx([slope_db] * 5, abs=0.6)
    assert np.mean(samples**2) == pytest.approx(1.0, abs=1e-3)


def test_the_telephone_band():
    for frequency, passes in ((100, False), (1000, True), (5000, False)):
        tone = bursts(frequency, ((0.0, 1.0),), 1.0)
        kept = np.abs(limit_band(tone, (300.0, 3400.0), RATE)[RATE // 2 :]).max() / 0.5
        assert (kept > 0.9) if passes else (kept < 0.05)


# ---- statistics


def test_statistics_of_known_scenes():
    scenes = [
        (SceneEvent(0.0, 4.0, "rain"), SceneEvent(1.0, 2.0, "dog"), SceneEvent(3.0, 5.0, "dog")),
        (SceneEvent(8.0, 10.0, "rain"),),
        (),
    ]
    report = statistics(scenes, 10.0, ["file", "file", "noise"])
    assert (report["scenes"], report["seconds"], report["events"]) == (3, 30.0, 4)
    assert report["events_per_scene"] == {"0": 1, "1": 1, "3": 1}
    assert report["polyphony_seconds"] == {"0": 23.0, "1": 5.0, "2": 2.0}
    assert report["overlap_seconds"] == {"dog + rain": 2.0}
    assert report["backgrounds"] == {"file": 2, "noise": 1}
    assert report["labels"]["dog"] == {
        "events": 2,
        "scenes": 1,
        "seconds": 3.0,
        "share_of_time": 0.1,
        "duration_quantiles": [1.0, 1.25, 1.5, 1.75, 2.0],
    }
    table = as_table(report)
    assert "3 scenes, 30 s, 4 events" in table
    assert "labels at once   0: 76.7 %, 1: 16.7 %, 2: 6.7 %" in table


# ---- files and the command line


def arguments(material, out, *more):
    return [
        *("--clips", str(material / "clips.csv"), "--audio", str(material / "audio")),
        *("--folder", f"speech={material / 'speech'}", "--speaker-folds", "03,08=1;11=3"),
        *("--backgrounds", str(material / "backgrounds"), "--impulse-responses", str(material / "rooms")),
        *("--folds", "1,3", "--out", str(out), "--scenes", "12", "--seed", "5"),
        *more,
    ]


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(material, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("written") / "scenes"
    assert main(arguments(material, out)) == 0
    return out


def test_the_tables_are_read_as_event_lists(written):
    found = read_event_list(written / "scenes.tsv")
    assert sorted(found.recordings) == [f"scene_{index:05d}" for index in range(12)]
    assert any(not events for events in found.recordings.values())
    assert read_durations(written / "durations.tsv") == dict.fromkeys(found.recordings, 10.0)
    report = json.loads((written / "report.json").read_text())
    assert report["events"] == sum(len(events) for events in found.recordings.values()) > 10
    assert report["made_from"]["config"]["scene_seconds"] == 10.0
    for name, events in found.recordings.items():
        assert soundfile.info(written / "audio" / f"{name}.flac").frames == 10 * RATE
        assert all(event.offset <= 10 for event in events)
    assert segment_metrics(found.tuples(), found.tuples(), segment_length=1.0).micro.f1 == 1.0


def test_files_hold_what_make_scene_gives(written, material):
    clips = clips_from_csv(material / "clips.csv", material / "audio")
    clips += clips_from_folder(material / "speech", "speech", speaker_folds={"03": 1, "08": 1, "11": 3})
    catalogue = load_catalogue(
        select_clips(clips, [1, 3]),
        SoundscapeConfig(),
        backgrounds=audio_files(material / "backgrounds"),
        impulse_responses=audio_files(material / "rooms"),
    )
    found = read_event_list(written / "scenes.tsv").recordings
    for scene in iter_scenes(catalogue, SoundscapeConfig(), 5, range(12)):
        name = f"scene_{scene.plan.index:05d}"
        samples, rate = soundfile.read(written / "audio" / f"{name}.flac", dtype="float32")
        assert rate == RATE
        assert np.array_equal(samples, scene.samples)
        listed = [(event.onset, event.offset, event.label) for event in found[name]]
        assert sorted(label for _, _, label in listed) == sorted(event.label for event in scene.events)
        for (onset, offset, _), event in zip(sorted(listed), scene.events, strict=True):
            assert (onset, offset) == pytest.approx(event[:2], abs=1e-4)


def test_more_processes_write_the_same_bytes(written, material, tmp_path):
    assert main(arguments(material, tmp_path / "again", "-j", "2")) == 0
    assert files_of(tmp_path / "again") == files_of(written)


def test_scenes_are_not_replaced_unless_asked(material, tmp_path, capsys):
    out = tmp_path / "scenes"
    assert main(arguments(material, out, "--format", "wav")) == 0
    before = files_of(out)
    assert main(arguments(material, out, "--scenes", "2")) == 1
    assert "exists already; --force replaces it" in capsys.readouterr().err
    assert files_of(out) == before
    (out / "audio" / "mine.txt").write_text("not a scene")
    assert main(arguments(material, out, "--scenes", "2", "--force")) == 0
    assert sorted(path.name for path in (out / "audio").iterdir()) == [
        "mine.txt",
        "scene_00000.flac",
        "scene_00001.flac",
    ]
    with pytest.raises(OutputError, match="exists already"):
        check_output(out, force=False)


def test_an_output_that_cannot_be_a_folder(catalogue, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_scenes(tmp_path / "file" / "out", catalogue, SoundscapeConfig(), seed=0, count=1)
    with pytest.raises(ConfigError, match="count"):
        write_scenes(tmp_path / "out", catalogue, SoundscapeConfig(), seed=0, count=0)


def test_a_configuration_file(material, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(
        'scene_seconds = 4\nlabels = ["beep"]\n[events]\ncount_weights = [0, 1]\n'
        "[activity.bridge_seconds]\nbeep = 1.0\n"
    )
    config = read_config(settings)
    assert config.activity.bridge("beep") == 1.0
    assert config.activity.bridge("rain") == SoundscapeConfig().activity.bridge("rain") == 1.0
    assert main(arguments(material, tmp_path / "out", "--config", str(settings))) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["labels"]) == {"beep"}
    assert report["seconds"] == 48.0
    assert report["events_per_scene"] == {"1": 12}


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--folds", "9"], 2, "folds: expected among"),
        (["--folds", "one"], 2, "--folds: expected numbers"),
        (["--holdout", "3:0/9", "--select", "held-out", "--background-part", "x"], 2, "--background-part"),
        (["--background-part", "0.8-0.6"], 2, "part: expected two numbers in order"),
        (["--folder", "speech"], 2, "--folder: expected LABEL=DIR"),
        (["--audio", "elsewhere"], 2, "--audio: expected one folder for each"),
        (["--backgrounds", "/nowhere"], 6, "/nowhere: no such folder"),
        (["--config", "/nowhere.toml"], 6, "/nowhere.toml"),
        (["-j", "0"], 2, "jobs: expected at least one"),
        (["--columns", "colour=red"], 2, "columns: expected NAME=COLUMN"),
    ],
)
def test_usage_errors_are_named(material, tmp_path, capsys, more, code, message):
    assert main(arguments(material, tmp_path / "out", *more)) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_muted_clip_is_reported(material, tmp_path, capsys):
    soundfile.write(tmp_path / "mute.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "tone.wav", bursts(500.0, BURSTS, 3.0), RATE)
    out = tmp_path / "out"
    folder = f"beep={tmp_path}"
    assert main(["--folder", folder, "--folder-fold", "1", "--out", str(out), "--scenes", "1"]) == 0
    assert "1 clips left out, no active part" in capsys.readouterr().err
    report = json.loads((out / "report.json").read_text())
    assert report["made_from"]["clips_without_activity"] == [str(tmp_path / "mute.wav")]
    assert report["made_from"]["clips"] == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tempo": 1}, "unknown .'tempo'."),
        ({"events": {"volume": 1}}, "events: .*unknown .'volume'."),
        ({"events": {"snr_db": [5, 1]}}, r"events\.snr_db"),
        ({"events": {"count_weights": []}}, r"events\.count_weights"),
        ({"events": {"reverb_probability": 2}}, r"events\.reverb_probability"),
        ({"background": {"part": [0.5, 0.5]}}, r"background\.part"),
        ({"background": {"noise_weight": 0, "near_silence_weight": 0}}, r"background\.noise_weight"),
        ({"channel": {"low_pass_probability": 0.99}}, r"channel\.telephone_probability"),
        ({"activity": {"bridge_seconds": {"dog": -1}}}, r"activity\.bridge_seconds\.dog"),
        ({"labels": ["a", "a"]}, "labels"),
        ({"labels": ["a"], "interference": ["a"]}, "interference: .*none of labels"),
        ({"events": {"extend_seconds": {"rain": 0}}}, r"events\.extend_seconds\.rain"),
        ({"scene_seconds": 0}, "scene_seconds"),
        ({"sample_rate": "16k"}, "sample_rate: expected an integer"),
    ],
)
def test_settings_that_cannot_be_used(values, message):
    with pytest.raises(ConfigError, match=message):
        config_from_mapping(values)
