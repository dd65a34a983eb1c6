"""Event lists: every format read, and every bad line named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.annotations import (
    LabelledEvent,
    holds_cycles,
    icbhi_patients,
    pair_recordings,
    read_cycle_list,
    read_durations,
    read_event_list,
    read_icbhi_cycles,
    recording_name,
)
from streamsed.errors import FormatError
from streamsed.sinks import make_format
from streamsed.types import Cycle, CycleOpen, Event, Onset, Start, Summary

BARK = (1.25, 2.5, "bark")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["jsonl", "tsv", "audacity", "rttm"])
def test_what_the_sinks_write_is_read_back(tmp_path, name):
    records = [
        Start("scene.wav", "everyday", 16000, {"final": 0.1}),
        Onset("1", "scene.wav", "bark", 1.25, 0.8),
        Event("1", "scene.wav", *BARK[2:], *BARK[:2], 0.875, 0.1),
        Summary(5.0, 1, 0, 0.1, {}),
    ]
    record_format = make_format(name)
    text = record_format.header + "".join(record_format.render(record) for record in records)
    events = read_event_list(write(tmp_path / f"scene.{record_format.extension}", text))
    assert events.tuples() == {"scene": [BARK]}
    expected = 0.875 if name in ("jsonl", "rttm") else None
    assert events.recordings["scene"][0].confidence == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.25\t2.5\tbark\n", {"x": [BARK]}),
        ("1.25 2.5 dog bark\n", {"x": [(1.25, 2.5, "dog bark")]}),
        ("1.25,2.5,bark\n\n", {"x": [BARK]}),
        ("a.wav\t1.25\t2.5\tbark\nb.wav\t0\t1\train\n", {"a": [BARK], "b": [(0.0, 1.0, "rain")]}),
        (
            "filename\tonset\toffset\tevent_label\na.wav\t1.25\t2.5\tbark\nb.wav\t\t\t\n",
            {"a": [BARK], "b": []},
        ),
        ("filename\tonset\toffset\tevent_label\na.wav\n", {"a": []}),
        ("\ufeffonset,offset,label\n1.25,2.5,bark\n", {"x": [BARK]}),
        ("1.25\t2.5\tbark\n\\\t100.0\t200.0\n", {"x": [BARK]}),
        (
            "0.5 2.0 1 0\n2.0 3.0 0 0\n3.0 4.0 1 1\n",
            {"x": [(0.5, 2.0, "crackle"), (3.0, 4.0, "crackle"), (3.0, 4.0, "wheeze")]},
        ),
        ("", {"x": []}),
        ("filename\tonset\toffset\tevent_label\n", {}),
    ],
)
def test_formats(tmp_path, text, expected):
    assert read_event_list(write(tmp_path / "x.txt", text)).tuples() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.25\t2.5\tbark\n3\tx\tbark\n", r"x\.txt:2: offset: expected a number, got 'x'"),
        ("1.25\t2.5\n", r"x\.txt:1: expected onset, offset and label"),
        ("2.5\t1.25\tbark\n", r"x\.txt:1: expected times 0 <= onset <= offset, got 2\.5, 1\.25"),
        ("0\tnan\tbark\n", r"x\.txt:1: expected times"),
        ("filename\tonset\tevent_label\na\t1\tb\n", r"\['offset'\] missing"),
        ("filename\tonset\toffset\tevent_label\na.wav\t1\t2\t\n", r"x\.txt:2: event_label"),
        ("filename\tonset\toffset\tevent_label\na.wav\t1\n", r"x\.txt:2"),
        ('{"v":1,"type":"start"', r"x\.txt:1: not JSON"),
        ('{"v":1,"type":"event","event_id":"1"}', r"x\.txt:1: event record"),
        ('{"v":2,"type":"event"}', r"x\.txt:1: v: expected 1, got 2"),
        ("{}\n[1]\n", r"x\.txt:2: expected a JSON object"),
        ("0 1 2 0\n", r"x\.txt:1: expected start, end, crackles"),
        ("SPEAKER a 1 0.0\n", r"x\.txt:1: expected at least 8 fields"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, message):
    with pytest.raises(FormatError, match=message):
        read_event_list(write(tmp_path / "x.txt", text))


def test_what_is_no_list_is_said(tmp_path):
    with pytest.raises(FormatError, match="missing: cannot read: No such file"):
        read_event_list(tmp_path / "missing")
    (tmp_path / "audio.txt").write_bytes(b"RIFF\xff\xfe\x00\x80")
    with pytest.raises(FormatError, match=r"audio\.txt: not a text file"):
        read_event_list(tmp_path / "audio.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="empty: no event lists"):
        read_event_list(tmp_path / "empty")


def test_a_folder_is_all_its_lists(tmp_path):
    write(tmp_path / "one.txt", "1.25\t2.5\tbark\n")
    write(tmp_path / "sub" / "two.jsonl", "")
    write(tmp_path / "README.md", "not a list")
    assert read_event_list(tmp_path).tuples() == {"one": [BARK], "two": []}


def test_a_recording_listed_twice_is_refused(tmp_path):
    write(tmp_path / "a.txt", "1.25\t2.5\tbark\n")
    write(tmp_path / "a.tsv", "filename\tonset\toffset\tevent_label\na.wav\t1\t2\tb\n")
    with pytest.raises(FormatError, match=r"a\.txt: recording 'a' is listed in .*a\.tsv as well"):
        read_event_list(tmp_path)


def test_durations(tmp_path):
    path = write(tmp_path / "durations.tsv", "filename\tduration\na.wav\t10.0\nb.wav\t3.5\n")
    assert read_durations(path) == {"a": 10.0, "b": 3.5}
    with pytest.raises(FormatError, match=r"durations\.tsv:2: expected a file name and seconds > 0"):
        read_durations(write(path, "a.wav\t1\nb.wav\t-2\n"))


def test_names_keep_the_dots_that_are_theirs():
    assert recording_name("scene.v2.WAV") == "scene.v2"
    assert recording_name("scene.v2") == "scene.v2"


def lists(*names):
    from streamsed.annotations import EventList

    return EventList({name: [LabelledEvent(0.0, 1.0, name)] for name in names})


@pytest.mark.parametrize(
    ("reference", "estimated", "common"),
    [
        (("a", "b"), ("out/a", "out/b"), {"a", "b"}),
        (("scene",), ("mic0",), {"scene"}),
        (("x/a", "y/a"), ("x/a", "y/a"), {"x/a", "y/a"}),
        (("a", "b"), ("c", "d"), set()),
    ],
)
def test_recordings_are_paired_by_name(reference, estimated, common):
    paired = pair_recordings(lists(*reference), lists(*estimated))
    assert set(paired[0].recordings) & set(paired[1].recordings) == common


def test_events_know_the_line_that_they_come_from(tmp_path):
    events = read_event_list(write(tmp_path / "scene.txt", "0.5\t1.0\tbark\n\n2.0\t3.0\tspeech\n"))
    assert [event.line for event in events.recordings["scene"]] == [1, 3]
    # Where an event was read from is no part of what it is.
    assert events.recordings["scene"][0] == LabelledEvent(0.5, 1.0, "bark")


def test_cycles_of_every_format(tmp_path):
    icbhi = tmp_path / "a.txt"
    icbhi.write_text("0\t1.05\t0\t0\n1.0\t2.0\t1\t0\n2.0\t3.0\t0\t1\n3.5\t4.0\t1\t1\n")
    expected = [(0.0, 1.0, "normal"), (1.0, 2.0, "crackle"), (2.0, 3.0, "wheeze"), (3.5, 4.0, "both")]
    assert read_cycle_list(icbhi).tuples() == {"a": expected}
    assert holds_cycles(icbhi)
    records = tmp_path / "found" / "b.jsonl"
    records.parent.mkdir()
    lines = [
        json.dumps(Cycle(f"c{i}", "a.wav", onset, offset, label, {}, 0.7, 0.1).to_dict())
        for i, (onset, offset, label) in enumerate(reversed(expected))
    ]
    opened = json.dumps(CycleOpen("c4", "a.wav", 4.0).to_dict())
    begun = json.dumps(Start("other.wav", "lung", 4000, {}).to_dict())
    records.write_text("\n".join([begun, *lines, opened]) + "\n")
    found = read_cycle_list(records.parent)
    assert found.tuples() == {"other": [], "a": expected}
    assert {event.confidence for event in found.recordings["a"]} == {0.7}
    assert holds_cycles(records.parent)
    table = tmp_path / "c.csv"
    table.write_text("filename,onset,offset,event_label\nq.wav,1,2,wheeze\nq.wav,0,1,normal\n")
    assert read_cycle_list(table).tuples() == {"q": [(0.0, 1.0, "normal"), (1.0, 2.0, "wheeze")]}
    assert not holds_cycles(table)
    (tmp_path / "empty.txt").write_text("")
    assert read_cycle_list(tmp_path / "empty.txt").tuples() == {"empty": []}
    assert not holds_cycles(tmp_path / "empty.txt")


def test_cycle_records_are_no_events(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(Cycle("c", "a.wav", 0.0, 1.0, "both", {}, 0.7, 0.1).to_dict()))
    assert read_event_list(path).recordings == {}


def test_patients_by_name():
    names = ["101_1b1_Al_sc_Meditron", "x/226_2b3_Tc_mc_LittC2SE"]
    assert icbhi_patients(names) == {names[0]: "101", names[1]: "226"}
    assert icbhi_patients([*names, "kitchen"]) is None
    assert icbhi_patients(["101_1b1_Xx_sc_Meditron"]) is None


lines_like_icbhi = st.lists(
    st.lists(
        st.sampled_from(["0", "1", "2", "0.5", "1.25", "-1", "nan", "inf", "1e400", "x", ""]), max_size=5
    ),
    max_size=5,
).map(lambda rows: "\n".join("\t".join(row) for row in rows))


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(lines_like_icbhi, st.text(max_size=60)))
def test_whatever_stands_in_an_annotation_gives_sound_cycles_or_an_error_with_its_line(
    text, tmp_path_factory
):
    path = tmp_path_factory.getbasetemp() / "101_1b1_Al_sc_Meditron.txt"
    path.write_text(text, encoding="utf-8")
    try:
        cycles, _ = read_icbhi_cycles(path, tolerance=0.1)
    except FormatError as error:
        assert str(error).startswith(f"{path}:")
        return
    times = [time for cycle in cycles for time in (cycle.onset, cycle.offset)]
    assert times == sorted(times)
    assert all(cycle.onset < cycle.offset < float("inf") for cycle in cycles)
