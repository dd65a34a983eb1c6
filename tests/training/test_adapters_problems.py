"""Everything that can be wrong with a folder is named exactly: the file, the line, what was expected."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import official_layouts as official
import pytest
import soundfile

from streamsed.errors import ConfigError, FormatError
from training.data.adapters import LabelMap, ReadOptions, check_dataset, load_label_map, read_dataset

WRITERS = {
    "tut-sound-events-2016": official.write_tut_2016,
    "tut-sound-events-2017": official.write_tut_2017,
    "tut-joint": official.write_tut_joint,
    "desed": official.write_desed,
    "urban-sed": official.write_urban_sed,
    "scenes": official.write_scenes,
}


def problems(layout: str, root: Path, **options) -> list[str]:
    return list(check_dataset(layout, root, ReadOptions(**options)).problems)


def only(layout: str, root: Path, **options) -> str:
    """Return the one problem of a folder, which reading it raises."""
    (problem,) = problems(layout, root, **options)
    with pytest.raises(FormatError, match=re.escape(problem) + "$"):
        read_dataset(layout, root, ReadOptions(**options))
    return problem


@pytest.mark.parametrize("layout", WRITERS)
def test_an_official_folder_has_no_problems(tmp_path, layout):
    assert problems(layout, WRITERS[layout](tmp_path), decode=True) == []


@pytest.mark.parametrize("layout", WRITERS)
def test_no_such_folder(tmp_path, layout):
    assert (
        only(layout, tmp_path / "nowhere")
        == f"{tmp_path}/nowhere: no such folder; expected the root of {layout}"
    )


@pytest.mark.parametrize(
    ("layout", "missing"),
    [
        ("tut-sound-events-2016", "audio"),
        ("tut-sound-events-2016", "meta"),
        ("tut-sound-events-2016", "audio/residential_area"),
        ("tut-sound-events-2017", "audio/street"),
        ("tut-joint", official.ARCHIVE_2017),
        ("desed", "metadata"),
        ("desed", "audio"),
        ("desed", "audio/train/weak_16k"),
        ("urban-sed", "audio/validate"),
        ("urban-sed", "annotations"),
        ("scenes", "audio"),
    ],
)
def test_missing_folders_are_named(tmp_path, layout, missing):
    root = WRITERS[layout](tmp_path)
    shutil.rmtree(root / missing)
    found = problems(layout, root)
    assert str(root / missing) in found[0], found
    assert "expected" in found[0]


def test_a_missing_archive_is_one_problem_and_not_one_for_each_of_its_files(tmp_path):
    root = official.write_tut_joint(tmp_path)
    shutil.rmtree(root / official.ARCHIVE_SCENES)
    (found,) = problems("tut-joint", root)
    assert "this archive" in found
    assert "4 files" in found


def test_missing_tables(tmp_path):
    scenes = official.write_scenes(tmp_path / "scenes")
    (scenes / "scenes.tsv").unlink()
    assert "scenes.tsv: no such file" in only("scenes", scenes)
    joint = official.write_tut_joint(tmp_path / "joint")
    shutil.rmtree(joint / "metadata_SEDandASC01")
    assert "expected meta/meta_development.txt here or one folder deeper" in only("tut-joint", joint)
    desed = official.write_desed(tmp_path / "desed")
    for table in (desed / "metadata").rglob("*.?sv"):
        table.unlink()
    assert "expected tables with a column 'filename'" in only("desed", desed)


@pytest.mark.parametrize(
    ("layout", "annotation", "audio"),
    [
        ("tut-sound-events-2016", "meta/home/a030.ann", "audio/home/a030.wav"),
        (
            "urban-sed",
            "annotations/test/soundscape_test_bimodal1.txt",
            "audio/test/soundscape_test_bimodal1.wav",
        ),
    ],
)
def test_audio_without_annotation(tmp_path, layout, annotation, audio):
    root = WRITERS[layout](tmp_path)
    (root / annotation).unlink()
    found = problems(layout, root)
    assert found[0] == f"{root / audio}: no annotation; expected {root / annotation}"


@pytest.mark.parametrize(
    ("layout", "audio", "table"),
    [
        ("scenes", "audio/scene_00007.flac", "scenes.tsv"),
        ("desed", "audio/train/weak_16k/new.wav", "metadata/train/weak.tsv"),
        (
            "desed",
            "audio/train/synthetic21_train/soundscapes/9.wav",
            "metadata/train/synthetic21_train/soundscapes.tsv",
        ),
    ],
)
def test_audio_that_no_row_lists(tmp_path, layout, audio, table):
    root = WRITERS[layout](tmp_path)
    official.write_audio(root / audio, 1.0)
    assert only(layout, root) == f"{root / audio}: no annotation; expected a row in {root / table}"


@pytest.mark.parametrize(
    ("layout", "audio", "listed_in"),
    [
        ("tut-sound-events-2016", "audio/home/a030.wav", "meta/home/a030.ann"),
        (
            "tut-joint",
            f"{official.ARCHIVE_2016}/audio/home/a030.wav",
            "metadata_SEDandASC01/meta/meta_development.txt:8",
        ),
        ("desed", f"audio/train/unlabel_in_domain/{official.OTHER_VIDEO}.wav", None),
        ("desed", "audio/train/synthetic21_train/soundscapes/2.wav", None),
        (
            "urban-sed",
            "audio/train/soundscape_train_bimodal0.wav",
            "annotations/train/soundscape_train_bimodal0.txt",
        ),
        ("scenes", "audio/scene_00001.flac", "scenes.tsv"),
    ],
)
def test_annotation_without_audio(tmp_path, layout, audio, listed_in):
    root = WRITERS[layout](tmp_path)
    official.write_audio(root / "audio/train/unlabel_in_domain/x.wav", 1.0) if layout == "desed" else None
    (root / audio).unlink()
    found = [item for item in problems(layout, root) if str(root / audio) in item]
    assert len(found) == 1
    assert "no such file" in found[0]
    if listed_in is not None:
        assert found[0].endswith(f"{root / listed_in} lists it")
    kept = check_dataset(layout, root, ReadOptions(skip_bad=True))
    assert [item.path for item in kept.skipped] == [root / audio]
    assert root / audio not in {item.path for item in kept.recordings}


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 8000)


def not_finite(path: Path) -> None:
    soundfile.write(path, np.array([0.0, np.nan] * 16000), 8000, subtype="FLOAT")


def no_audio(path: Path) -> None:
    path.write_text("moved permanently")


@pytest.mark.parametrize("damage", [no_audio, no_samples, not_finite])
def test_unreadable_audio_is_an_error_unless_it_may_be_skipped(tmp_path, damage):
    root = official.write_tut_2017(tmp_path)
    bad = root / "audio/street/a003.wav"
    damage(bad)
    assert str(bad) in only("tut-sound-events-2017", root, decode=True)
    kept = read_dataset("tut-sound-events-2017", root, ReadOptions(decode=True, skip_bad=True))
    assert [item.path for item in kept.skipped] == [bad]
    assert str(bad) in kept.skipped[0].reason
    assert [item.path.stem for item in kept.recordings] == ["a001"]


def test_a_file_that_was_cut_off_is_found_by_decoding_it(tmp_path):
    root = official.write_scenes(tmp_path)
    bad = root / "audio/scene_00000.flac"
    cut_in_half(bad)
    assert problems("scenes", root) == []
    assert str(bad) in only("scenes", root, decode=True)


def test_nothing_left(tmp_path):
    root = official.write_scenes(tmp_path)
    for path in (root / "audio").iterdir():
        no_audio(path)
    found = check_dataset("scenes", root, ReadOptions(skip_bad=True))
    assert len(found.skipped) == 3
    assert found.problems == ("scenes: expected at least one readable recording, got none",)


@pytest.mark.parametrize(
    ("layout", "table", "line", "number"),
    [
        ("tut-sound-events-2016", "meta/home/a029.ann", "0.5\tsoon\tdishes", 3),
        ("tut-sound-events-2016", "meta/home/a029.ann", "2.0\t1.0\tdishes", 3),
        ("tut-sound-events-2016", "meta/home/a029.ann", "2.0\t3.0", 3),
        ("tut-joint", "metadata_SEDandASC01/meta/meta_evaluation.txt", "a/b.wav\thome\t1.0\tx\tcar", 3),
        ("tut-joint", "metadata_SEDandASC01/meta/meta_evaluation.txt", "a/b.wav\thome\t1.0\t0.5\tcar", 3),
        ("tut-joint", "metadata_SEDandASC01/meta/meta_evaluation.txt", "a/b.wav\thome\t1.0\t2.0", 3),
        ("desed", "metadata/train/synthetic21_train/soundscapes.tsv", "1.wav\t-\t2.0\tCat", 5),
        ("desed", "metadata/train/synthetic21_train/soundscapes.tsv", "1.wav\t1.0\t2.0\t", 5),
        ("urban-sed", "annotations/test/soundscape_test_bimodal1.txt", "dog_bark\t1.0\t2.0", 3),
        ("scenes", "scenes.tsv", "scene_00000.flac\t1.0\tnan\tbark", 5),
    ],
)
def test_lines_that_do_not_parse_are_named(tmp_path, layout, table, line, number):
    root = WRITERS[layout](tmp_path)
    with (root / table).open("a") as file:
        file.write(line + "\n")
    assert problems(layout, root)[0].startswith(f"{root / table}:{number}: ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "expected a JAMS file"),
        ("[]", "expected a JAMS file"),
        (json.dumps({"annotations": []}), "expected annotations of namespace"),
        (
            json.dumps({"annotations": [{"namespace": "scaper", "data": 3}]}),
            "expected a list of observations",
        ),
        (
            json.dumps({"annotations": [{"namespace": "scaper", "data": [{"time": 0, "value": {}}]}]}),
            "observation 1: expected time, duration and value.label",
        ),
        (
            json.dumps(
                {
                    "annotations": [
                        {
                            "namespace": "scaper",
                            "data": [{"time": -1, "duration": 2, "value": {"label": "siren"}}],
                        }
                    ]
                }
            ),
            "observation 1: expected time and duration >= 0",
        ),
    ],
)
def test_jams_that_do_not_parse(tmp_path, content, says):
    root = official.write_urban_sed(tmp_path, ("jams",))
    path = root / "annotations/train/soundscape_train_bimodal0.jams"
    path.write_text(content)
    found = only("urban-sed", root)
    assert found.startswith(str(path))
    assert says in found


@pytest.mark.parametrize(
    ("layout", "where"),
    [
        ("tut-sound-events-2016", "meta/home/a029.ann:1"),
        ("tut-joint", "metadata_SEDandASC01/meta/meta_development.txt:4"),
        ("desed", "metadata/train/audioset_strong.tsv:2"),
        ("urban-sed", "annotations/train/soundscape_train_bimodal0.txt:1"),
        ("scenes", "scenes.tsv:2"),
    ],
)
def test_labels_outside_the_map_are_named_with_file_and_line(tmp_path, layout, where):
    root = WRITERS[layout](tmp_path)
    found = problems(layout, root, labels=LabelMap(("car",), ("Speech",)))
    assert any(item.startswith(f"{root / where}: label ") for item in found), found


def test_a_weak_label_outside_the_map(tmp_path):
    root = official.write_desed(tmp_path)
    labels = LabelMap(("Speech",))
    found = only("desed", root, labels=labels, subsets=("train/weak",))
    assert found.startswith(
        f"{root / 'metadata/train/weak.tsv'}:2: label 'Vacuum_cleaner' is not in the label map"
    )


def test_annotations_over_the_end(tmp_path):
    root = official.write_tut_2017(tmp_path)
    table = official.write_lines(
        root / "meta/street/a001.ann",
        (0.0, 4.05, "car"),
        (1.0, 4.2, "car"),
        (4.0, 4.01, "children"),
        (2.0, 2.0, "car"),
    )
    found = check_dataset("tut-sound-events-2017", root)
    audio = root / "audio/street/a001.wav"
    expected = f"expected an annotation within the 4 s of {audio}"
    assert found.problems == (
        f"{table}:2: {expected}, got 1 to 4.2 s",
        f"{table}:3: {expected}, got 4 to 4.01 s",
    )
    assert any(note.startswith(f"{table}:1: ends 0.05 s after a001.wav") for note in found.notes)
    assert any(note.startswith(f"{table}:4: an annotation of no length") for note in found.notes)
    assert found.recordings[0].annotations == ((0.0, 4.0, "car"),)
    assert len(problems("tut-sound-events-2017", root, overrun_seconds=0.5)) == 1
    assert len(problems("tut-sound-events-2017", root, overrun_seconds=0.0)) == 3


def test_all_problems_are_collected_and_named(tmp_path):
    root = official.write_tut_2016(tmp_path)
    (root / "meta/home/a029.ann").write_text("x\ty\tz\n")
    (root / "meta/home/a030.ann").unlink()
    no_audio(root / "audio/residential_area/b001.wav")
    found = problems("tut-sound-events-2016", root)
    assert len(found) == 3
    with pytest.raises(FormatError) as caught:
        read_dataset("tut-sound-events-2016", root)
    assert str(caught.value) == "\n  ".join([f"{root}: 3 problems:", *found])


def test_thousands_of_problems_are_counted(tmp_path):
    root = official.write_scenes(tmp_path)
    rows = [(f"gone_{number:04d}.flac", "", "", "") for number in range(600)]
    official.write_lines(root / "scenes.tsv", official.DESED_HEADER, *rows)
    with pytest.raises(FormatError) as caught:
        read_dataset("scenes", root)
    assert f"{root}: 603 problems:\n" in str(caught.value)
    assert str(caught.value).endswith("\n  and 103 more; a check lists all")


def test_folds_that_do_not_fit(tmp_path):
    root = official.write_tut_2017(tmp_path)
    table = root / "evaluation_setup/street_fold1_test.txt"
    official.write_lines(table, ("audio/street/a001.wav", "street"), ("audio/street/a999.wav", "street"))
    assert only("tut-sound-events-2017", root) == (
        f"{table}:2: lists audio/street/a999.wav, which does not exist"
    )
    official.write_lines(table, ("audio/street/a003.wav", "street"))
    found = only("tut-sound-events-2017", root)
    assert found == f"{root / 'evaluation_setup'}: fold 1 has {root / 'audio/street/a003.wav'} on both sides"


def test_two_files_of_one_name(tmp_path):
    root = official.write_tut_2017(tmp_path)
    official.write_audio(root / "audio/street/a001.flac", 4.0)
    assert "the same name as a001.flac" in problems("tut-sound-events-2017", root)[0]


def test_a_file_listed_twice(tmp_path):
    root = official.write_desed(tmp_path)
    table = root / "metadata/train/weak.tsv"
    with table.open("a") as file:
        file.write(f"{official.VIDEO}.wav\tSpeech\n")
    assert only("desed", root) == f"{table}:3: {official.VIDEO}.wav is listed twice"


def test_an_annotation_file_of_another_recording(tmp_path):
    root = official.write_tut_2017(tmp_path)
    table = official.write_lines(root / "meta/street/a001.ann", ("a003.wav", 0.0, 1.0, "car"))
    assert only("tut-sound-events-2017", root) == f"{table}: expected events of 'a001' alone, got ['a003']"


def test_a_joint_table_with_two_scenes_for_a_file(tmp_path):
    root = official.write_tut_joint(tmp_path)
    table = root / "metadata_SEDandASC01/meta/meta_evaluation.txt"
    with table.open("a") as file:
        file.write(f"{official.ARCHIVE_EVALUATION}/audio/219.wav\toffice\t0.0\t1.0\tcar\n")
    assert "expected scene 'city_center'" in problems("tut-joint", root)[0]


def test_acoustic_scenes_need_complete_annotations(tmp_path):
    root = official.write_tut_acoustic_scenes(tmp_path / official.ARCHIVE_SCENES)
    rows = [row for row in official.joint_rows() if "b012" not in row[0]]
    table = official.write_lines(tmp_path / "joint.txt", official.JOINT_HEADER, *rows)
    assert only("tut-acoustic-scenes-2016", root, annotations=table) == (
        f"{root / 'audio/b012_0_30.wav'}: no annotation in {table}"
    )
    (root / "audio/b011_0_30.wav").unlink()
    found = problems("tut-acoustic-scenes-2016", root, annotations=table)
    assert any("b011_0_30.wav: no such file" in item for item in found)
    official.write_lines(root / "meta.txt", ("audio/b010_0_30.wav", "office"))
    found = problems("tut-acoustic-scenes-2016", root, annotations=table)
    assert any(f"'b012_0_30' is not in {root / 'meta.txt'}" in item for item in found)


def test_acoustic_scenes_and_annotations_of_something_else(tmp_path):
    root = official.write_tut_acoustic_scenes(tmp_path / "renamed")
    table = official.write_lines(tmp_path / "joint.txt", official.JOINT_HEADER, *official.joint_rows())
    assert "expected rows whose path begins with renamed/" in only(
        "tut-acoustic-scenes-2016", root, annotations=table
    )
    (tmp_path / "empty").mkdir()
    assert "expected .ann files" in only("tut-acoustic-scenes-2016", root, annotations=tmp_path / "empty")
    header = official.write_lines(tmp_path / "other.txt", ("file", "label"))
    assert "expected columns" in only("tut-acoustic-scenes-2016", root, annotations=header)


@pytest.mark.parametrize(
    ("layout", "options", "parameter"),
    [
        ("tut", {}, "layout"),
        ("tut-acoustic-scenes-2016", {}, "annotations"),
        ("scenes", {"annotations": Path("x")}, "annotations"),
        ("scenes", {"subsets": ("train",)}, "subsets"),
        ("urban-sed", {"subsets": ("training",)}, "subsets"),
        ("desed", {"subsets": ("train/nothing",)}, "subsets"),
        ("tut-joint", {"subsets": ("test",)}, "subsets"),
    ],
)
def test_usage_is_checked(tmp_path, layout, options, parameter):
    root = WRITERS.get(layout, official.write_tut_acoustic_scenes)(tmp_path)
    with pytest.raises(ConfigError, match=f"^{parameter}: expected"):
        read_dataset(layout, root, ReadOptions(**options))


def test_options_are_checked():
    with pytest.raises(ConfigError, match="overrun_seconds"):
        ReadOptions(overrun_seconds=-1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("targets = []", "targets: expected at least one class"),
        ('targets = ["a", "a"]', "each class once"),
        ('targets = ["a"]\ninterference = ["a"]', "each class once"),
        ('targets = ["a"]\n[aliases]\nb = "c"', "aliases.b: expected one of"),
        ('targets = ["a", "b"]\n[aliases]\nb = "a"', "no class as a spelling"),
        ('targets = ["a"]\nother = 1', "unknown"),
        ("targets = 3", "a list"),
    ],
)
def test_inconsistent_label_maps(tmp_path, text, says):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_label_map(path)


def test_label_maps_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="tut-open"):
        load_label_map("no-such-map")
    path = tmp_path / "map.toml"
    path.write_text("targets = [")
    with pytest.raises(FormatError, match="cannot be read as TOML"):
        load_label_map(path)


def test_a_map_of_ones_own(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(
        'targets = ["impact"]\ninterference = ["other"]\n[aliases]\n"(object) impact" = "impact"\n'
    )
    mapping = load_label_map(path)
    assert mapping.resolve("(object) impact") == ("impact", True)
    assert mapping.resolve("other") == ("other", False)
    with pytest.raises(KeyError):
        mapping.resolve("Impact")


def test_the_two_tut_maps_agree():
    open_map, whole = load_label_map("tut-open"), load_label_map("tut")
    assert sorted((*open_map.targets, *open_map.interference)) == sorted(whole.targets)
    assert open_map.aliases == whole.aliases
