"""Audiovisual data in the layout of DCASE 2018 task 4: videos of the same name, sound in the video alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import official_layouts as official
import pytest

pytest.importorskip("av", reason="videos need the video extra")

import soundfile

from streamsed.errors import FormatError
from training.data.adapters import (
    Dataset,
    ReadOptions,
    check_dataset,
    load_label_map,
    read_dataset,
    read_excerpts,
)
from training.data.adapters.__main__ import main
from training.data.adapters.videos import Videos
from training.data.soundscapes import SceneEvent
from training.sound import read_mono, seconds_of


@pytest.fixture(scope="module")
def dcase(tmp_path_factory) -> Path:
    return official.write_dcase2018(tmp_path_factory.mktemp("dcase"))


def read(root: Path, **options) -> Dataset:
    return read_dataset("desed", root, ReadOptions(load_label_map("desed"), **options))


def test_every_subset_of_dcase_2018_is_read(dcase):
    dataset = read(dcase, decode=True)
    by_name = {item.path.stem: item for item in dataset.recordings}
    counts = {name: sum(item.subset == name for item in dataset.recordings) for name in dataset.subsets}
    assert counts == {
        "eval/eval": 2,
        "test/test": 3,
        "train/unlabel_in_domain": 3,
        "train/unlabel_out_of_domain": 1,
        "train/weak": 4,
    }
    weak = by_name["Y-BJNMHMZDcU_50.000_60.000"]
    assert (weak.supervision, weak.weak_labels) == ("weak", ("Alarm_bell_ringing", "Dog"))
    assert by_name["Y06RreMb5qbE_0.000_10.000"].weak_labels == ("Cat", "Speech")
    assert by_name[official.OUT_OF_DOMAIN_2018[0]].supervision == "unlabelled"
    strong = by_name["YDcfMtBcFV5k_70.000_80.000"]
    assert strong.annotations == (SceneEvent(0.25, 1.0, "Speech"), SceneEvent(0.5, 1.75, "Dog"))
    assert strong.recording_id == "DcfMtBcFV5k"
    assert by_name[official.SHORT_2018].duration == pytest.approx(1.2)


def test_tables_without_a_header_are_read_alike(dcase, tmp_path):
    root = official.write_dcase2018(tmp_path, videos=False)
    expected = read(root).recordings
    for table in (root / "dataset/metadata").rglob("*.csv"):
        table.write_text("".join(table.read_text().splitlines(keepends=True)[1:]))
    assert read(root).recordings == expected


def test_videos_of_the_same_name_are_found(dcase):
    dataset = read(dcase)
    data = dcase / "dataset"
    videos = {item.path.stem: item.video for item in dataset.recordings}
    weak, test, evaluation = (
        "YOTsn73eqbfc_10.000_20.000",
        "YTp7eOEmGdn4_80.000_90.000",
        "YGQ4gE_NWf1c_30.000_40.000",
    )
    assert videos[weak] == data / "video/train/weak" / f"{weak}.mp4"
    assert videos[test] == data / "audio/test" / f"{test}.mp4"
    assert videos[evaluation] is None
    paths = {item.path.stem: item.path for item in dataset.recordings}
    assert paths[test].suffix == ".wav"


def test_the_sound_of_a_video_is_read_where_there_is_no_other(dcase):
    dataset = read(dcase, subsets=("train/unlabel_in_domain",))
    (silent,) = [item for item in dataset.recordings if item.path.stem == official.SILENT_2018]
    assert silent.path == silent.video
    assert silent.duration == pytest.approx(2.0, abs=0.1)
    assert dataset.notes == ("1 of 3 recordings have no audio file: the video's sound is read",)
    ((excerpt, samples),) = read_excerpts(silent, 8000)
    assert len(samples) == pytest.approx(16000, abs=800)
    assert excerpt.duration == silent.duration
    assert 0.05 < samples.std() < 0.15


def test_a_data_set_of_videos_alone_is_read(dcase, tmp_path):
    for subset, clips in (
        ("train/weak", official.WEAK_2018),
        ("train/unlabel_in_domain", official.IN_DOMAIN_2018),
    ):
        for clip in clips:
            official.write_film(tmp_path / "video" / subset / f"{clip}.mkv", 1.0)
    rows = [(f"{clip}.wav", labels) for clip, labels in official.WEAK_2018.items()]
    official.write_lines(tmp_path / "metadata/train/weak.csv", ("filename", "event_labels"), *rows)
    dataset = read(tmp_path)
    assert [item.supervision for item in dataset.recordings].count("unlabelled") == 3
    assert all(item.path == item.video for item in dataset.recordings)


def test_a_resampled_folder_of_sound_has_the_videos_of_its_original(tmp_path):
    official.write_audio(tmp_path / "audio/train/weak_16k/a.wav", 0.5)
    video = tmp_path / "video/train/weak/a.mp4"
    video.parent.mkdir(parents=True)
    video.touch()
    assert Videos().of(tmp_path / "audio/train/weak_16k/a.wav") == video


@pytest.mark.parametrize("place", ["a.mov", "video/a.mp4", "../video/a.webm"])
def test_where_a_video_may_be(tmp_path, place):
    folder = tmp_path / "sound"
    video = (folder / place).resolve()
    video.parent.mkdir(parents=True)
    video.touch()
    folder.mkdir(exist_ok=True)
    assert Videos().of(folder / "a.wav") == video
    assert Videos().of(folder / "b.wav") is None
    assert Videos().of(folder / "c.m4a") is None


def test_two_videos_of_a_name_are_a_problem(tmp_path):
    root = official.write_dcase2018(tmp_path)
    clip = "YOTsn73eqbfc_10.000_20.000"
    folder = root / "dataset/video/train/weak"
    (folder / f"{clip}.mkv").write_bytes((folder / f"{clip}.mp4").read_bytes())
    found = check_dataset("desed", root, ReadOptions(subsets=("train/weak",))).problems
    assert any(f"{clip}.mp4: the same name as {clip}.mkv" in item for item in found)


def test_all_missing_clips_of_a_table_are_named(dcase, tmp_path):
    root = official.write_dcase2018(tmp_path, videos=False)
    gone = ("YOTsn73eqbfc_10.000_20.000", "Y06RreMb5qbE_0.000_10.000", official.SHORT_2018)
    for clip in gone:
        (root / "dataset/audio/train/weak" / f"{clip}.wav").unlink()
    with pytest.raises(FormatError) as caught:
        read(root)
    table = root / "dataset/metadata/train/weak.csv"
    for clip in gone:
        assert f"{clip}.wav: no such file; {table}:" in str(caught.value)
    dataset = read(root, skip_bad=True)
    assert {item.path.stem for item in dataset.skipped} == set(gone)


def test_videos_that_cannot_be_read_are_problems(tmp_path):
    root = official.write_dcase2018(tmp_path)
    video = root / "dataset/video/train/unlabel_in_domain" / f"{official.SILENT_2018}.mp4"
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    (problem,) = check_dataset("desed", root).problems
    assert str(video) in problem
    assert "cut off" in problem
    official.write_film(video, 1.0, sound=False)
    (problem,) = check_dataset("desed", root).problems
    assert f"{video}: no sound in it" in problem


def test_a_summary_counts_videos(dcase, capsys):
    assert main(["desed", str(dcase), "--labels", "desed"]) == 0
    printed = capsys.readouterr().out
    assert "files with video: 11" in printed
    assert "unlabelled files: 4" in printed
    assert "1 of 13 recordings have no audio file" in printed


def test_the_sound_of_a_container_is_read_whole(tmp_path):
    from videos import write_video

    rng = np.random.default_rng(0)
    samples = np.stack([rng.normal(0, 0.1, 12000), rng.normal(0, 0.05, 12000)], 1).astype(np.float32)
    path = write_video(tmp_path / "a.mkv", samples=samples, audio_codec="flac")
    expected = samples.mean(axis=1)
    np.testing.assert_allclose(read_mono(path, 16000), expected, atol=1e-4)
    assert seconds_of(path, decode=False) == 0.75
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_mono(path, 8000), read_mono(tmp_path / "a.wav", 8000), atol=1e-4)
