"""``streamsed evaluate`` of respiratory cycles: ICBHI annotations against cycle records."""

from __future__ import annotations

import json

import icbhi_layout as layout
import pytest

from streamsed.annotations import EventList, LabelledEvent
from streamsed.cli import main
from streamsed.cli.cycle_scores import cycle_report, errors_by_recording
from streamsed.types import Cycle, Start

A, B, C = "101_1b1_Al_sc_Meditron", "101_1b1_Pr_sc_Meditron", "103_1p1_Lr_sc_Litt3200"


def cycle(source, onset, offset, label, confidence=0.8, number=0):
    posteriors = {"normal": 0.1, "crackle": 0.1, "wheeze": 0.1, "both": 0.1, label: confidence}
    return Cycle(f"{source}#{number}", source, onset, offset, label, posteriors, confidence, 0.2).to_dict()


def start(source):
    return Start(source, "lung", 4000, {}).to_dict()


def write_records(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def lists(tmp_path):
    reference = layout.write_icbhi(tmp_path / "icbhi")
    estimate = write_records(
        tmp_path / "found.jsonl",
        start(f"{A}.wav"),
        cycle(f"{A}.wav", 0.2, 1.0, "normal"),
        cycle(f"{A}.wav", 1.0, 2.2, "both", number=1),
        start(f"{B}.wav"),
        cycle(f"{B}.wav", 0.0, 2.9, "normal"),
        start(f"{C}.wav"),
    )
    return str(reference), str(estimate)


def as_json(capsys, *arguments):
    assert main(["evaluate", "--json", *map(str, arguments)]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_figures(lists, capsys):
    result, said = as_json(capsys, *lists, "--common")
    assert "3 recordings are left out, which one of the two does not list" in said
    assert result["task"] == "respiratory_cycles"
    assert "not a medical device" in result["notice"]
    assert (result["files"], result["patients"]) == (3, 2)
    found = result["segmentation"]
    assert (found["reference"], found["estimated"], found["matched"]) == (7, 3, 3)
    assert found["f1"] == pytest.approx(6 / 10)
    assert found["under_segmentation"] == pytest.approx(1 / 3)
    assert found["without_rate"] == 1
    assert found["boundary_median"] == pytest.approx(0.05)
    assert found["intervals"]["f1"]["resamples"] == 1000
    four, two = result["labels"]["iou"]["4"], result["labels"]["iou"]["2"]
    # Normal: 2 of 4 found, both matched ones right. Abnormal: 1 of 3 matched, as another abnormal label.
    assert (four["specificity"], four["sensitivity"]) == (pytest.approx(2 / 4), 0)
    assert (two["specificity"], two["sensitivity"]) == (pytest.approx(2 / 4), pytest.approx(1 / 3))
    assert four["missed"] == [2, 1, 0, 1]
    overlap = result["labels"]["overlap"]["4"]
    assert overlap["confusion"] == [[2, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert result["calibration"]["count"] == 3


def test_every_recording_counts_unless_common_ones_are_asked_for(lists, capsys):
    result, said = as_json(capsys, *lists)
    assert result["segmentation"]["reference"] == 14
    assert "3 of 6 recordings have no events in the estimate" in said


def test_tables(lists, capsys):
    assert main(["evaluate", *lists, "--common", "--bootstrap", "50"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 recordings of 2 patients, 7 true cycles, 3 estimated"
    assert lines[1] == (
        "Research software, not a medical device. Intervals: 95%, from drawing patients 50 times."
    )
    assert "segmentation, cycles matched at an overlap (IoU) of 0.5 or more" in lines
    (f1,) = (line.split() for line in lines if line.startswith("F1"))
    assert f1[1] == "0.600"
    assert "no rate in 1 recordings, which have no estimated cycle" in lines
    rows = [line.split() for line in lines if line.startswith("normal")]
    assert rows == [["normal", "2", "0", "0", "0", "2"]]


def test_annotations_against_themselves(lists, capsys):
    result, _ = as_json(capsys, lists[0], lists[0])
    assert result["segmentation"]["f1"] == 1
    assert result["labels"]["iou"]["4"]["score"] == result["labels"]["overlap"]["2"]["score"] == 1
    assert result["calibration"] is None


def test_other_lists_of_cycles_need_to_be_called_so(lists, tmp_path, capsys):
    table = tmp_path / "found.tsv"
    rows = "".join(f"{A}.wav\t{times}\n" for times in ("0.1\t1.0\tnormal", "1.0\t2.25\tcrackle"))
    table.write_text("filename\tonset\toffset\tevent_label\n" + rows)
    events, _ = as_json(capsys, lists[0] + "/audio_and_txt_files", table, "--common")
    assert "event_based" in events
    result, _ = as_json(capsys, lists[0], table, "--common", "--as", "cycles", "--iou", "0.9")
    assert result["segmentation"]["matched"] == 2
    assert result["segmentation"]["iou"] == 0.9
    events, _ = as_json(capsys, lists[0] + "/audio_and_txt_files", lists[1], "--as", "events", "--common")
    assert events["event_based"]["micro"]["estimated"] == 0


def test_names_that_are_no_patients_are_drawn_by_recording(tmp_path, capsys):
    for side in ("ref", "est"):
        (tmp_path / side).mkdir()
        for name in ("one", "two"):
            layout.write_cycles(tmp_path / side / f"{name}.txt", ((0.0, 2.0, 0, 0), (2.0, 4.0, 0, 1)))
    assert main(["evaluate", str(tmp_path / "ref"), str(tmp_path / "est")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 recordings, 4 true cycles, 4 estimated\n")
    assert "from drawing recordings" in printed


@pytest.mark.parametrize(
    "text, message",
    [
        ("0\t2\t0\t0\n1\t3\t0\t0\n", ":2: expected cycles one after the other"),
        ("0\t1\t0\t0\n3\t2\t0\t0\n", ":2: expected times 0 <= start < end"),
        ("0\t1\t0\t0\n3\t4\t0\n", ":2: expected start, end, crackles"),
    ],
)
def test_annotations_that_are_wrong(lists, tmp_path, capsys, text, message):
    (tmp_path / "bad.txt").write_text(text)
    assert main(["evaluate", str(tmp_path / "bad.txt"), lists[1]]) == 6
    assert f"bad.txt{message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "records, message",
    [
        ([cycle(A, 0, 2, "normal"), cycle(A, 1, 3, "normal")], ":2: expected cycles of"),
        ([cycle(A, 0, 0, "normal")], ":1: expected a cycle with onset < offset"),
        ([cycle(A, 2, 1, "normal")], ":1: expected times 0 <= onset <= offset"),
        (
            [cycle(A, 0, 1, "rhonchus")],
            ":1: expected a label among normal, crackle, wheeze, both, got 'rhonchus'",
        ),
    ],
)
def test_records_that_are_wrong(lists, tmp_path, capsys, records, message):
    path = write_records(tmp_path / "bad.jsonl", *records)
    assert main(["evaluate", lists[0], str(path)]) == 6
    assert f"bad.jsonl{message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--posteriors", "scores"], ["--durations", "d.tsv"], ["--onset-only"], ["--iou", "0"]]
)
def test_options_that_do_not_fit(lists, capsys, options):
    assert main(["evaluate", *lists, *options]) == 2
    assert options[0].removeprefix("--") in capsys.readouterr().err


def test_nothing_in_common(lists, tmp_path, capsys):
    path = write_records(tmp_path / "other.jsonl", start("x"), cycle("x", 0, 1, "normal"), start("y"))
    assert main(["evaluate", lists[0], str(path), "--common"]) == 6
    assert "expected a recording in common, got none" in capsys.readouterr().err


def test_plots(lists, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "plots"
    audio = lists[0] + "/audio_and_txt_files"
    arguments = ["evaluate", *lists, "--common", "--plots", str(folder), "--audio", audio, "--timelines", "2"]
    assert main(arguments) == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "boundary_errors.png",
        "confusion.png",
        "reliability_events.png",
        f"timeline_01_{A}.png",
        f"timeline_02_{C}.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())
    assert main(arguments) == 1
    assert main([*arguments, "--force"]) == 0


def test_recordings_with_the_most_errors():
    truth = {"a": [LabelledEvent(0, 2, "normal"), LabelledEvent(2, 4, "crackle")], "b": []}
    guess = {
        "a": [LabelledEvent(0, 2, "normal"), LabelledEvent(2, 4, "both")],
        "c": [LabelledEvent(0, 1, "both")],
    }
    report = cycle_report(EventList(truth), EventList(guess), 0.5, None)
    assert errors_by_recording(report) == {"a": 1, "b": 0, "c": 1}
