"""Reading ICBHI folders as they are distributed, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import replace

import icbhi_layout as layout
import numpy as np
import pytest
import soundfile

from streamsed.errors import ConfigError, FormatError
from training.data.icbhi import AnnotatedCycle, Patient, load_recording, read_icbhi
from training.data.icbhi.names import parse_name


@pytest.fixture
def root(tmp_path):
    return layout.write_icbhi(tmp_path)


def folder(root):
    return root / "audio_and_txt_files"


def test_everything_is_read(root):
    data = read_icbhi(root)
    assert [item.name for item in data.recordings] == sorted(name for name, *_ in layout.RECORDINGS)
    assert data.notes == ()
    assert data.skipped == ()
    first = data.recordings[0]
    assert (first.patient, first.index, first.location, first.mode) == ("101", "1b1", "Al", "sc")
    assert (first.device, first.sample_rate, first.duration) == ("Meditron", 4000, 3.0)
    assert (first.part, first.diagnosis) == ("train", "URTI")
    assert first.audio == folder(root) / "101_1b1_Al_sc_Meditron.wav"
    assert first.cycles[1] == AnnotatedCycle(1.0, 2.25, True, False)
    labels = [[cycle.label for cycle in item.cycles] for item in data.recordings[:3]]
    assert labels == [["normal", "crackle", "normal"], ["normal", "both"], ["wheeze", "normal", "wheeze"]]
    assert data.patients["101"] == Patient(age=3, sex="F", weight=19, height=99, diagnosis="URTI")
    assert data.patients["104"] == Patient(diagnosis="COPD")
    assert [item.part for item in data.recordings] == ["train", "train", "train", "test", "test", "test"]


def test_flac_and_files_right_in_the_root_are_the_same(root, tmp_path_factory):
    flat = layout.write_icbhi(tmp_path_factory.mktemp("flat"), extension="flac", flat=True)
    plain = [replace(item, audio=None) for item in read_icbhi(root).recordings]
    assert [replace(item, audio=None) for item in read_icbhi(flat).recordings] == plain
    inside = read_icbhi(folder(root)).recordings
    assert [item.part for item in inside] == [item.part for item in plain]


def test_tables_are_not_needed_and_other_files_do_no_harm(root):
    for name in ("train_test.txt", "patient_diagnosis.csv", "demographic_info.txt"):
        (root / name).unlink()
    (folder(root) / "._101_1b1_Al_sc_Meditron.wav").write_text("of a file manager")
    (folder(root) / "remarks.txt").write_text("of a reader\n")
    data = read_icbhi(root)
    assert {item.part for item in data.recordings} == {item.diagnosis for item in data.recordings} == {None}
    (note,) = data.notes
    assert "remarks.txt: is no annotation" in note


def test_the_official_list_of_other_distributions(root):
    (root / "train_test.txt").unlink()
    (root / "ICBHI_challenge_train_test.txt").write_bytes(
        b"101_1b1_al_sc_Meditron.wav\ttrain\r\n"  # spelled with a small letter
        b"audio/101_1b1_Pr_sc_Meditron.txt\ttrain\r\n"
        b"102_2b3_Tc_mc_AKGC417L\ttrain\r\n"  # another device
        b"103_1p1_Lr_mc_Meditron , test\r\n"  # another mode and device
        b"104_8b4_Ar_mc_AKGC417L  test\r\n"
        b"199_1b1_Ar_sc_Meditron  test\r\n\r\n"  # not here
    )
    data = read_icbhi(root)
    parts = {item.name[:10]: item.part for item in data.recordings}
    assert parts == {
        "101_1b1_Al": "train",
        "101_1b1_Pr": "train",
        "102_2b3_Tc": "train",
        "102_2b4_Ll": None,
        "103_1p1_Lr": "test",
        "104_8b4_Ar": "test",
    }
    notes = "\n".join(data.notes)
    assert (
        "test.txt:1: 101_1b1_al_sc_Meditron is taken for 101_1b1_Al_sc_Meditron, which differs in case"
        in notes
    )
    assert (
        "test.txt:3: 102_2b3_Tc_mc_AKGC417L is taken for 102_2b3_Tc_mc_LittC2SE, which differs in device"
        in notes
    )
    assert "differs in mode and device" in notes
    assert "1 recordings are not listed: 102_2b4_Ll_mc_LittC2SE" in notes
    assert "1 names are listed without a recording: 199_1b1_Ar_sc_Meditron" in notes
    assert len(data.notes) == 5


@pytest.mark.parametrize(
    "text", ["101\tURTI\r\n102 Healthy\n", "101,URTI\n102,Healthy\n", "ID\tCLASS\n101\tURTI\n102\tHealthy\n"]
)
def test_diagnoses_in_commas_tabs_or_blanks(root, text):
    (root / "patient_diagnosis.csv").unlink()
    (root / "ICBHI_Challenge_diagnosis.txt").write_text(text)
    assert [item.diagnosis for item in read_icbhi(root).recordings][:3] == ["URTI", "URTI", "Healthy"]


def test_small_overlaps_and_overruns_are_cut_and_noted(root):
    path = folder(root) / "101_1b1_Al_sc_Meditron.txt"
    layout.write_cycles(path, ((0.0, 1.05, 0, 0), (1.0, 2.0, 0, 0), (2.0, 3.04, 0, 1)))
    data = read_icbhi(root)
    cycles = data.recordings[0].cycles
    assert [(cycle.onset, cycle.offset) for cycle in cycles] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert data.notes == (
        f"{path}:1: overlaps the next cycle by 0.05 s and is cut there",
        f"{path}:3: ends 0.04 s after 101_1b1_Al_sc_Meditron.wav and is cut there",
    )
    with pytest.raises(FormatError, match=rf"{re.escape(str(path))}:2: expected cycles one after the other"):
        read_icbhi(root, tolerance_seconds=0.01)
    with pytest.raises(ConfigError, match="tolerance_seconds"):
        read_icbhi(root, tolerance_seconds=-1)


@pytest.mark.parametrize(
    "lines, number, message",
    [
        ("0\t1\t0\n", 1, "expected start, end, crackles"),
        ("0\t1\t0\t0\n1\t2\tyes\t0\n", 2, "expected start, end, crackles"),
        ("0\t1\t0\t0\n\n1\tnan\t0\t0\n", 3, "start < end"),
        ("zero\t1\t0\t0\n", 1, "expected start, end, crackles"),
        ("0\t1\t0\t2\n", 1, "expected start, end, crackles"),
        ("1\t0.5\t0\t0\n", 1, "start < end, got 1, 0.5"),
        ("1\t1\t0\t0\n", 1, "start < end"),
        ("-0.5\t1\t0\t0\n", 1, "0 <= start"),
        ("0\t2\t0\t0\n1\t3\t0\t0\n", 2, "begins at 1 s, where the cycle of line 1 ends at 2 s"),
        ("2\t3\t0\t0\n0\t1\t0\t0\n", 2, "one after the other"),
        ("0\t1\t0\t0\n1\t3.5\t0\t0\n", 2, "within the 3 s of"),
        ("3.05\t3.08\t0\t0\n", 1, "within the 3 s of"),
    ],
)
def test_annotations_that_are_wrong(root, lines, number, message):
    path = folder(root) / "102_2b3_Tc_mc_LittC2SE.txt"
    path.write_text(lines)
    for skip_bad in (False, True):
        with pytest.raises(FormatError, match=rf"^{re.escape(str(path))}:{number}: .*{message}"):
            read_icbhi(root, skip_bad)


def test_an_annotation_without_cycles(root):
    path = folder(root) / "102_2b3_Tc_mc_LittC2SE.txt"
    path.write_text("\n")
    with pytest.raises(FormatError, match=rf"^{re.escape(str(path))}: expected at least one cycle"):
        read_icbhi(root)


def test_all_problems_are_named(root):
    (folder(root) / "101_1b1_Al_sc_Meditron.txt").write_text("x\n")
    (folder(root) / "101_1b1_Pr_sc_Meditron.txt").unlink()
    (folder(root) / "103_1p1_Lr_sc_Litt3200.wav").unlink()
    (folder(root) / "104_8b4_Ar_mc_AKGC417L.wav").write_text("no audio")
    soundfile.write(folder(root) / "105_1b1_Xy_sc_Meditron.wav", layout.tone(4000), 4000)
    with pytest.raises(FormatError) as caught:
        read_icbhi(root)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert "101_1b1_Al_sc_Meditron.txt:1: expected start" in lines[0]
    assert "101_1b1_Pr_sc_Meditron.wav: no annotation; expected" in lines[1]
    assert "103_1p1_Lr_sc_Litt3200.txt: no recording of this name" in lines[2]
    assert "104_8b4_Ar_mc_AKGC417L.wav: " in lines[3]
    assert "105_1b1_Xy_sc_Meditron.wav: location: expected one of ['Tc'" in lines[4]


def test_bad_audio_is_left_out_only_on_request(root):
    (folder(root) / "103_1p1_Lr_sc_Litt3200.wav").unlink()
    (folder(root) / "104_8b4_Ar_mc_AKGC417L.wav").write_text("no audio")
    holed = layout.tone(22050)
    holed[5] = np.nan
    soundfile.write(folder(root) / "102_2b4_Ll_mc_LittC2SE.wav", holed, 22050, subtype="FLOAT")
    with pytest.raises(FormatError, match="103_1p1_Lr"):
        read_icbhi(root)
    data = read_icbhi(root, skip_bad=True)
    assert [item.patient for item in data.recordings] == ["101", "101", "102"]
    assert [item.path.name[:3] for item in data.skipped] == ["102", "103", "104"]
    assert "NaN" in data.skipped[0].reason
    assert "left out 3 of 6 recordings" in data.notes[0]


def test_nothing_is_left(root):
    for path in folder(root).glob("*.wav"):
        path.write_text("no audio")
    with pytest.raises(FormatError, match="at least one readable recording"):
        read_icbhi(root, skip_bad=True)


@pytest.mark.parametrize(
    "name, text, message",
    [
        (
            "train_test.txt",
            "101_1b1_Al_sc_Meditron\tvalidation\n",
            ":1: expected a recording and train or test",
        ),
        ("train_test.txt", "recording\tset\n101_1b1_Al_sc\ttrain\n", ":2: expected a name"),
        (
            "train_test.txt",
            "101_1b1_Al_sc_Meditron train\n101_1b1_Al_sc_Meditron test\n",
            ":2: expected one side",
        ),
        ("patient_diagnosis.csv", "101,URTI\n102\n", ":2: expected a patient and a diagnosis"),
        ("patient_diagnosis.csv", "101,URTI\n101,COPD\n", ":2: expected one diagnosis of patient 101"),
        ("demographic_info.txt", "101 3 F NA 19\n", ":1: expected patient, age"),
        ("demographic_info.txt", "101 old F NA 19 99\n", ":1: age: expected a number or NA, got 'old'"),
        ("train_test_2.txt", "", ": expected one split table, there is"),
    ],
)
def test_tables_that_are_wrong(root, name, text, message):
    (root / name).write_text(text)
    with pytest.raises(FormatError, match=rf"{re.escape(name)}{message}"):
        read_icbhi(root)


def test_folders_that_are_none_of_this(tmp_path):
    with pytest.raises(FormatError, match="no such folder"):
        read_icbhi(tmp_path / "nowhere")
    with pytest.raises(
        FormatError, match=r"expected recordings of ICBHI 2017.*0 audio files and 0 annotations"
    ):
        read_icbhi(tmp_path)
    soundfile.write(tmp_path / "101_1b1_Al_sc_Meditron.wav", layout.tone(4000), 4000)
    with pytest.raises(FormatError, match="1 audio files and 0 annotations"):
        read_icbhi(tmp_path)
    soundfile.write(tmp_path / "101_1b1_Al_sc_Meditron.flac", layout.tone(4000), 4000)
    with pytest.raises(FormatError, match="the same name as"):
        read_icbhi(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("101_1b1_Al_sc", "expected a name patient_index"),
        ("x_1b1_Al_sc_Meditron", "patient: expected a number, got 'x'"),
        ("101__Al_sc_Meditron", "index: expected letters and digits, got ''"),
        ("101_1b1_Al_xc_Meditron", "mode: expected one of"),
        ("101_1b1_Al_sc_Phone", "device: expected one of"),
    ],
)
def test_names_that_are_wrong(name, message):
    with pytest.raises(FormatError, match=f"^here: {message}"):
        parse_name(name, "here")


@pytest.mark.parametrize("rate", [4000, 8000, 10000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("wanted", [4000, 8000, 22000])
def test_recordings_at_any_rate_keep_their_time_and_level(tmp_path, rate, wanted):
    name = "101_1b1_Al_sc_Meditron"
    path = layout.write_recording(tmp_path, name, rate, ((0.0, 3.0, 0, 0),))
    (recording,) = read_icbhi(tmp_path).recordings
    samples = load_recording(recording, wanted)
    assert samples.dtype == np.float32
    assert samples.shape == (3 * wanted,)
    assert path.is_file()
    time = np.arange(samples.size) / wanted
    middle = slice(wanted // 2, -wanted // 2)
    error = samples - 0.3 * np.sin(2 * np.pi * 300 * time)
    assert np.sqrt(np.mean(error[middle] ** 2)) < 0.012


def test_two_channels_are_averaged(tmp_path):
    path = layout.write_recording(tmp_path, "101_1b1_Al_sc_Meditron", 8000, ((0.0, 3.0, 0, 0),))
    left, right = layout.tone(8000, seed=1), layout.tone(8000, hz=500, seed=2)
    soundfile.write(path, np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    (recording,) = read_icbhi(tmp_path).recordings
    np.testing.assert_allclose(load_recording(recording, 8000), (left + right) / 2, atol=1e-6)


def test_a_recording_that_vanished(root):
    recording = read_icbhi(root).recordings[0]
    recording.audio.unlink()
    with pytest.raises(FormatError, match="no such file"):
        load_recording(recording, 8000)
    with pytest.raises(ConfigError, match="rate_out"):
        load_recording(read_icbhi(root, skip_bad=True).recordings[0], 0)
