"""Small copies of public data sets in their official layouts: some seconds of noise, real file names and formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000

Events = Iterable[tuple[float, float, str]]


def write_audio(
    path: Path, seconds: float, *, rate: int = RATE, channels: int = 1, subtype: str = "PCM_16"
) -> Path:
    """Write noise; in two channels, the second is half as loud as the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).normal(0, 0.1, (round(seconds * rate), 1))
    soundfile.write(path, noise * np.linspace(1, 1 / channels, channels), rate, subtype=subtype)
    return path


def write_lines(path: Path, *rows: Iterable[object]) -> Path:
    """Write tab-separated rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def write_tut_sound_events(
    root: Path, scenes: Mapping[str, Mapping[str, Events]], seconds: float = 4.0
) -> Path:
    """Write ``audio/<scene>/*.wav`` (binaural, 24 bits), ``meta/<scene>/*.ann``, ``meta.txt`` and two folds."""
    listed = []
    for scene, recordings in scenes.items():
        for name, events in recordings.items():
            audio = f"audio/{scene}/{name}.wav"
            write_audio(root / audio, seconds, channels=2, subtype="PCM_24")
            write_lines(root / "meta" / scene / f"{name}.ann", *events)
            listed += [(audio, scene, *event) for event in events]
        for fold in (1, 2):
            rows = {"train": [], "test": [], "evaluate": []}
            for number, (name, events) in enumerate(recordings.items()):
                audio = f"audio/{scene}/{name}.wav"
                if number % 2 == fold - 1:
                    rows["test"].append((audio, scene))
                    rows["evaluate"] += [(audio, scene, *event) for event in events]
                else:
                    rows["train"] += [(audio, scene, *event) for event in events]
            for part, lines in rows.items():
                write_lines(root / "evaluation_setup" / f"{scene}_fold{fold}_{part}.txt", *lines)
    write_lines(root / "meta.txt", *listed)
    return root


HOME = {
    "a029": [(0.5, 1.25, "(object) rustling"), (1.0, 2.0, "cupboard")],
    "a030": [(0.0, 3.5, "people walking"), (2.0, 2.5, "object impact")],
    "a031": [(1.0, 2.0, "dishes")],
}
RESIDENTIAL_AREA = {
    "b001": [(0.25, 3.0, "bird singing"), (1.0, 4.0, "car passing by")],
    "b002": [(0.0, 1.0, "children shouting"), (3.0, 3.5, "people speaking")],
}
STREET = {
    "a001": [(0.0, 2.0, "car"), (1.5, 4.0, "people speaking")],
    "a003": [(0.5, 1.0, "brakes squeaking"), (1.0, 3.0, "large vehicle")],
}


def write_tut_2016(root: Path) -> Path:
    """Write TUT Sound Events 2016, development."""
    return write_tut_sound_events(root, {"home": HOME, "residential_area": RESIDENTIAL_AREA})


def write_tut_2017(root: Path) -> Path:
    """Write TUT Sound Events 2017, development."""
    return write_tut_sound_events(root, {"street": STREET})


OFFICE = {
    "b010_0_30": [(0.5, 1.0, "keyboard typing"), (1.0, 1.5, "mouse clicking")],
    "b010_30_60": [(0.0, 3.0, "fan"), (2.0, 2.25, "(object) impact")],
    "b011_0_30": [(0.0, 1.0, "people talking")],
    "b012_0_30": [(0.5, 0.75, "(object) squeaking")],
}


def write_tut_acoustic_scenes(root: Path, seconds: float = 4.0) -> Path:
    """Write TUT Acoustic Scenes 2016, development: segments of an office and a bus, no event annotations."""
    scenes = dict.fromkeys(OFFICE, "office") | dict.fromkeys(["c001_0_30", "c001_30_60"], "bus")
    for name in scenes:
        write_audio(root / "audio" / f"{name}.wav", seconds, channels=2, subtype="PCM_24")
    rows = [(f"audio/{name}.wav", scene) for name, scene in scenes.items()]
    write_lines(root / "meta.txt", *rows)
    write_lines(root / "error.txt", ("audio/c001_0_30.wav", 1.0, 1.5, "error"))
    test = [row for row in rows if row[0].startswith("audio/b010")]
    write_lines(root / "evaluation_setup" / "fold1_train.txt", *(row for row in rows if row not in test))
    write_lines(root / "evaluation_setup" / "fold1_test.txt", *((name,) for name, _ in test))
    write_lines(root / "evaluation_setup" / "fold1_evaluate.txt", *test)
    return root


JOINT_HEADER = ("path", "scene_label", "event_start_time", "event_end_time", "event_label")
ARCHIVE_2016 = "TUT-sound-events-2016-development"
ARCHIVE_2017 = "TUT-sound-events-2017-development"
ARCHIVE_SCENES = "TUT-acoustic-scenes-2016-development"
ARCHIVE_EVALUATION = "TUT-acoustic-scenes-2017-evaluation"


def joint_rows() -> list[tuple[object, ...]]:
    """Return what the joint table says of the three development archives; labels are spelled its own way."""
    spelled = {"car passing by": "car", "children shouting": "children", "people speaking": "people talking"}
    spelled["object impact"] = "(object) impact"
    sources = (
        (f"{ARCHIVE_2017}/audio/street", "city_center", STREET),
        (f"{ARCHIVE_2016}/audio/home", "home", HOME),
        (f"{ARCHIVE_SCENES}/audio", "office", OFFICE),
        (f"{ARCHIVE_2016}/audio/residential_area", "residential_area", RESIDENTIAL_AREA),
    )
    return [
        (f"{folder}/{name}.wav", scene, onset, offset, spelled.get(label, label))
        for folder, scene, recordings in sources
        for name, events in recordings.items()
        for onset, offset, label in events
    ]


def write_tut_joint(root: Path) -> Path:
    """Write the archives side by side and the joint tables beside them."""
    write_tut_2016(root / ARCHIVE_2016)
    write_tut_2017(root / ARCHIVE_2017)
    write_tut_acoustic_scenes(root / ARCHIVE_SCENES)
    write_audio(root / ARCHIVE_EVALUATION / "audio" / "219.wav", 2.0, channels=2, subtype="PCM_24")
    metadata = root / "metadata_SEDandASC01"
    rows = joint_rows()
    write_lines(metadata / "meta" / "meta_development.txt", JOINT_HEADER, *rows)
    evaluation = (f"{ARCHIVE_EVALUATION}/audio/219.wav", "city_center", 0.5, 2.000023, "car")
    write_lines(metadata / "meta" / "meta_evaluation.txt", JOINT_HEADER, evaluation)
    test = [row for row in rows if any(name in row[0] for name in ("a001", "a029", "b010", "b001"))]
    folds = metadata / "crossvaridation"
    write_lines(folds / "meta_fold01_evaluation.txt", JOINT_HEADER, *test)
    write_lines(
        folds / "meta_fold01_development.txt", JOINT_HEADER, *(row for row in rows if row not in test)
    )
    return root


DESED_HEADER = ("filename", "onset", "offset", "event_label")
VIDEO = "Y00pbt6aJV8Y_350.000_360.000"
SAME_VIDEO = "Y00pbt6aJV8Y_100.000_110.000"
OTHER_VIDEO = "Y-0X1juZHG6I_30.000_40.000"
THIRD_VIDEO = "Y0_WMZB4Xc5o_30.000_40.000"


def write_desed(root: Path) -> Path:
    """Write every kind of subset; sound may lie in the folders of resampled copies, tables may be ``.csv``."""
    metadata, audio = root / "metadata", root / "audio"
    for name in ("1", "2"):
        write_audio(audio / "train/synthetic21_train/soundscapes" / f"{name}.wav", 2.0)
    # The generator leaves its own files beside the sound.
    (audio / "train/synthetic21_train/soundscapes/1.jams").write_text("{}")
    rows = [("1.wav", 0.22, 0.54, "Alarm_bell_ringing"), ("1.wav", 0.3, 2.0, "Speech")]
    write_lines(
        metadata / "train/synthetic21_train/soundscapes.tsv", DESED_HEADER, *rows, ("2.jams", 0.5, 1.0, "Dog")
    )
    write_audio(audio / "train/weak_16k" / f"{VIDEO}.wav", 2.0)
    weak = (f"{VIDEO}.wav", "Speech,Vacuum_cleaner")
    write_lines(metadata / "train/weak.tsv", ("filename", "event_labels"), weak)
    write_audio(audio / "train/unlabel_in_domain" / f"{OTHER_VIDEO}.wav", 2.0)
    write_lines(metadata / "train/unlabel_in_domain.tsv", ("filename",), (f"{OTHER_VIDEO}.wav",))
    write_audio(audio / "train/strong_label_real" / f"{SAME_VIDEO}.wav", 2.0)
    strong = (f"{SAME_VIDEO}.wav", 0.0, 1.5, "Vacuum_cleaner")
    write_lines(metadata / "train/audioset_strong.tsv", DESED_HEADER, strong)
    for name in (THIRD_VIDEO, VIDEO):
        write_audio(audio / "validation" / f"{name}.wav", 2.0)
    validation = [(f"{THIRD_VIDEO}.wav", 0.5, 1.0, "Cat"), (f"{VIDEO}.wav", "", "", "")]
    write_lines(metadata / "validation/validation.csv", DESED_HEADER, *validation)
    write_lines(metadata / "validation/test_dcase2018.csv", DESED_HEADER, validation[0])
    durations = (f"{THIRD_VIDEO}.wav", 2.0)
    write_lines(metadata / "validation/validation_durations.tsv", ("filename", "duration"), durations)
    return root


WEAK_2018 = {
    "Y-BJNMHMZDcU_50.000_60.000": "Alarm_bell_ringing,Dog",
    "YOTsn73eqbfc_10.000_20.000": "Speech",
    "Y06RreMb5qbE_0.000_10.000": "Cat;Speech",
    "Y0a11QQfgeEQ_20.000_30.000": "Dog",
}
IN_DOMAIN_2018 = ("Y-0xzrMun0Rs_30.000_40.000", "Y-1nilez17Dg_30.000_40.000", "Y-4tWr1f9vZw_5.000_15.000")
OUT_OF_DOMAIN_2018 = ("Y_0DXTpKqGYk_30.000_40.000",)
STRONG_2018 = {
    "test": {
        "YDcfMtBcFV5k_70.000_80.000": [(0.25, 1.0, "Speech"), (0.5, 1.75, "Dog")],
        "YTp7eOEmGdn4_80.000_90.000": [(0.0, 2.0, "Cat")],
        "Y5J603SAj7QM_210.000_220.000": [(1.0, 1.5, "Alarm_bell_ringing")],
    },
    "eval": {
        "YGQ4gE_NWf1c_30.000_40.000": [(0.5, 1.25, "Dog")],
        "YKvcMzrTkpCk_130.000_140.000": [(0.0, 1.0, "Speech")],
    },
}
SHORT_2018 = "Y0a11QQfgeEQ_20.000_30.000"
# Whose sound is in the video alone.
SILENT_2018 = IN_DOMAIN_2018[1]


def write_dcase2018(root: Path, seconds: float = 2.0, *, videos: bool = True) -> Path:
    """Write the data of DCASE 2018 task 4, with one clip that is shorter than the others.

    With ``videos``, those of training lie in folders of their own, those of ``test`` beside the sound, and of one clip
    there is no other sound.
    """
    subsets = {
        "train/weak": tuple(WEAK_2018),
        "train/unlabel_in_domain": IN_DOMAIN_2018,
        "train/unlabel_out_of_domain": OUT_OF_DOMAIN_2018,
        **{subset: tuple(clips) for subset, clips in STRONG_2018.items()},
    }
    dataset = root / "dataset"
    for subset, clips in subsets.items():
        for number, clip in enumerate(clips):
            length = 0.6 * seconds if clip == SHORT_2018 else seconds
            folder = dataset / "audio" / subset
            if videos and subset != "eval":
                place = folder if subset == "test" else dataset / "video" / subset
                write_film(place / f"{clip}.mp4", length, seed=number, sound=clip == SILENT_2018)
            if not videos or clip != SILENT_2018:
                write_audio(folder / f"{clip}.wav", length, rate=16000)
    metadata = dataset / "metadata"
    weak = [(f"{clip}.wav", labels) for clip, labels in WEAK_2018.items()]
    write_lines(metadata / "train/weak.csv", ("filename", "event_labels"), *weak)
    for name, clips in (("unlabel_in_domain", IN_DOMAIN_2018), ("unlabel_out_of_domain", OUT_OF_DOMAIN_2018)):
        write_lines(metadata / f"train/{name}.csv", ("filename",), *((f"{clip}.wav",) for clip in clips))
    for subset, recordings in STRONG_2018.items():
        rows = [(f"{clip}.wav", *event) for clip, events in recordings.items() for event in events]
        write_lines(metadata / subset / f"{subset}.csv", DESED_HEADER, *rows)
    return root


def write_film(path: Path, seconds: float, seed: int = 0, *, sound: bool = True) -> Path:
    """Write a video of grey pictures, 15 a second, and noise."""
    from videos import ramp, write_video

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, round(16000 * seconds)).astype(np.float32)
    return write_video(path, pictures=ramp(round(15 * seconds)), samples=noise if sound else None)


def jams(events: Events) -> dict[str, object]:
    """Return what URBAN-SED's generator writes, with the background first."""
    background = {"role": "background", "label": "noise", "event_time": 0, "event_duration": 3.0}
    data = [{"time": 0.0, "duration": 3.0, "confidence": 1.0, "value": background}]
    for onset, offset, label in events:
        # The duration before time stretching, which is not how long the event is.
        value = {"role": "foreground", "label": label, "event_time": onset, "event_duration": 9.9}
        data.append({"time": onset, "duration": offset - onset, "confidence": 1.0, "value": value})
    return {
        "file_metadata": {"duration": 3.0, "jams_version": "0.2.2"},
        "annotations": [{"namespace": "sound_event", "data": data, "time": 0, "duration": 3.0}],
        "sandbox": {},
    }


URBAN_EVENTS = [(0.5, 1.5, "dog_bark"), (1.0, 3.0, "siren")]


def write_urban_sed(root: Path, formats: Iterable[str] = ("txt", "jams")) -> Path:
    """Write the three splits with annotations in these formats, and what a file manager leaves."""
    for split in ("train", "validate", "test"):
        for number in (0, 1):
            name = f"soundscape_{split}_bimodal{number}"
            write_audio(root / "audio" / split / f"{name}.wav", 3.0)
            annotation = root / "annotations" / split / name
            if "txt" in formats:
                write_lines(annotation.with_suffix(".txt"), *URBAN_EVENTS)
            if "jams" in formats:
                annotation.parent.mkdir(parents=True, exist_ok=True)
                annotation.with_suffix(".jams").write_text(json.dumps(jams(URBAN_EVENTS)))
        (root / "audio" / split / f"._soundscape_{split}_bimodal0.wav").write_bytes(b"\0")
        (root / "annotations" / split / ".DS_Store").write_bytes(b"\0")
    return root


def write_scenes(root: Path) -> Path:
    """Write what ``python -m training.data.soundscapes`` does."""
    for number in range(3):
        write_audio(root / "audio" / f"scene_{number:05d}.flac", 3.0)
    rows = [("scene_00000.flac", "0.5000", "1.0000", "bark"), ("scene_00001.flac", "", "", "")]
    write_lines(root / "scenes.tsv", DESED_HEADER, *rows, ("scene_00002.flac", "0.0000", "3.0000", "rain"))
    durations = [(f"scene_{number:05d}.flac", 3) for number in range(3)]
    write_lines(root / "durations.tsv", ("filename", "duration"), *durations)
    return root
