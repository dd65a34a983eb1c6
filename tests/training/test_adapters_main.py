"""``python -m training.data.adapters``: what it prints and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import official_layouts as official
import pytest

from training.data.adapters.__main__ import main


def test_what_is_found_is_printed(tmp_path, capsys):
    root = official.write_tut_joint(tmp_path)
    assert main(["tut-joint", str(root), "--labels", "tut-open", "--check"]) == 0
    printed, said = capsys.readouterr()
    assert said == ""
    rows = {line.split("  ")[0].strip(): line.split()[-3:] for line in printed.splitlines() if line}
    assert printed.startswith("tut-joint: 12 files of 11 recordings, 0.013 h\n")
    assert rows["car"] == ["3", "6.5", "3"]
    assert rows["large vehicle"] == ["1", "2.0", "1"]
    assert rows["keyboard typing"] == ["1", "0.5", "1"]
    assert rows["city_center"][-2:] == ["3", "0.003"]
    assert "official folds: 1" in printed
    assert printed.index("label ") < printed.index("interference ") < printed.index("keyboard typing")


def test_weak_and_unlabelled_files_are_counted(tmp_path, capsys):
    assert main(["desed", str(official.write_desed(tmp_path)), "--labels", "desed"]) == 0
    printed = capsys.readouterr().out
    (row,) = (line for line in printed.splitlines() if line.startswith("Speech"))
    assert row.split() == ["Speech", "1", "1.7", "1", "1"]
    assert "unlabelled files: 1" in printed


def test_parts_can_be_chosen(tmp_path, capsys):
    root = official.write_urban_sed(tmp_path)
    assert main(["urban-sed", str(root), "--subsets", "train,test"]) == 0
    assert capsys.readouterr().out.startswith("urban-sed: 4 files")


def test_annotations_from_elsewhere(tmp_path, capsys):
    root = official.write_tut_acoustic_scenes(tmp_path / official.ARCHIVE_SCENES)
    table = official.write_lines(tmp_path / "joint.txt", official.JOINT_HEADER, *official.joint_rows())
    assert main(["tut-acoustic-scenes-2016", str(root), "--annotations", str(table)]) == 0
    assert "office" in capsys.readouterr().out


def test_problems_end_it_and_all_are_named(tmp_path, capsys):
    root = official.write_scenes(tmp_path)
    (root / "audio/scene_00000.flac").write_text("gone")
    (root / "audio/scene_00002.flac").unlink()
    assert main(["scenes", str(root)]) == 6
    printed, said = capsys.readouterr()
    assert printed == ""
    first, *others = said.splitlines()
    assert first == f"adapters: {root}: 2 problems:"
    assert [line.split(": ")[0].strip() for line in others] == [
        f"{root}/audio/scene_00000.flac",
        f"{root}/audio/scene_00002.flac",
    ]
    assert main(["scenes", str(root), "--check"]) == 6
    printed, said = capsys.readouterr()
    assert "problems: 2\n" in printed
    assert f"{root}/audio/scene_00002.flac: no such file" in printed
    assert said == f"adapters: {root}: 2 problems\n"


def test_bad_clips_can_be_skipped(tmp_path, capsys):
    root = official.write_scenes(tmp_path)
    (root / "audio/scene_00000.flac").write_text("gone")
    assert main(["scenes", str(root), "--skip-bad"]) == 0
    printed = capsys.readouterr().out
    assert "scenes: 2 files" in printed
    assert "skipped: 1\n" in printed
    assert "scene_00000.flac" in printed


def test_many_notes_are_counted(tmp_path, capsys):
    root = official.write_tut_2017(tmp_path)
    official.write_lines(root / "meta/street/a001.ann", *[(1.0, 4.05, "car")] * 8)
    assert main(["tut-sound-events-2017", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "notes: 8\n" in printed
    assert "  and 3 more\n" in printed
    assert main(["tut-sound-events-2017", str(root), "--overrun", "0.01"]) == 6


@pytest.mark.parametrize(
    "arguments",
    [
        ["--labels", "nothing"],
        ["--subsets", "train"],
        ["--annotations", "x"],
        ["--overrun", "-1"],
    ],
)
def test_usage(tmp_path, capsys, arguments):
    root = official.write_scenes(tmp_path)
    assert main(["scenes", str(root), *arguments]) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.startswith("adapters: ")


def test_as_a_module(tmp_path):
    command = [sys.executable, "-m", "training.data.adapters", "no-layout", str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "tut-sound-events-2016" in done.stderr
