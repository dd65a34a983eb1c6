"""Sinks: every format read back, files never lost, one failing output does not cost another."""

from __future__ import annotations

import io
import json
import math
import os
from pathlib import Path

import pytest

from streamsed.errors import ConfigError, OutputError
from streamsed.sinks import FORMATS, FanOut, ReaderGone, TextSink, format_of_path, make_format, open_sink
from streamsed.types import (
    Cycle,
    CycleOpen,
    Event,
    Gap,
    Health,
    Onset,
    Retract,
    Start,
    Status,
    Summary,
    Tags,
    record_from_dict,
)

EVENT = Event("mic0-1", "kitchen.wav", "dog_bark", 12.48, 13.12, 0.91, 0.04, emitted_seconds=13.24)
LATE = Event(
    "mic0-2", "kitchen.wav", "rain & <wind>", 3599.9996, 3600.5, 0.5, 1.0, spans_gap=True, truncated=True
)
CYCLE = Cycle(
    "chest-1",
    "chest.wav",
    23.0,
    25.5,
    "wheeze",
    {"normal": 0.25, "wheeze": 0.75},
    0.75,
    0.4,
    24.0,
    forced=True,
)
RECORDS = [
    Start("kitchen.wav", "everyday", 16000, {"provisional": 0.06, "final": 0.15}, "2026-11-21T10:00:00Z"),
    Status("listening"),
    Onset("mic0-1", "kitchen.wav", "dog_bark", 12.48, 0.83),
    EVENT,
    Onset("mic0-3", "kitchen.wav", "speech", 20.0, 0.6),
    Retract("mic0-3"),
    Gap(320000, 1600, "overflow"),
    Health("clipping", 21.5),
    Tags(22.0, {"rain": 0.75, "speech": 0.25}),
    LATE,
    Summary(3601.0, 2, 1600, 0.02, {"p50": 80.0, "p95": 95.0, "max": 120.0}),
]

BREATHS = [
    CycleOpen("chest-1", "chest.wav", 23.0),
    CycleOpen("chest-1", "chest.wav", 23.0, {"normal": 0.3, "wheeze": 0.7}),
    CYCLE,
    CycleOpen("chest-2", "chest.wav", 25.5),
    Health("speech", 26.0, "chest.wav"),
    Retract("chest-2"),
    Summary(30.0, 0, 0, 0.02, {}, cycles=1, respiratory_rate=24.0),
]


def rendered(name, records=RECORDS):
    record_format = make_format(name)
    return record_format.header + "".join(record_format.render(record) for record in records)


def test_json_lines_give_back_every_record():
    lines = rendered("jsonl").splitlines()
    assert [record_from_dict(json.loads(line)) for line in lines] == RECORDS
    assert all(list(json.loads(line))[:2] == ["v", "type"] for line in lines)


def test_respiratory_cycles_in_every_format():
    lines = rendered("jsonl", BREATHS).splitlines()
    assert [record_from_dict(json.loads(line)) for line in lines] == BREATHS
    assert rendered("text", BREATHS).splitlines() == [
        "  0:23.00 -       ...  cycle",
        "  0:23.00 -       ...  wheeze?              0.70",
        "  0:23.00 -   0:25.50  wheeze               0.75  24.0/min  (too long for one breath)",
        "  0:25.50 -       ...  cycle",
        "# signal: speech from 0:26.00 on",
        "# not confirmed: cycle at 0:25.50",
        "# summary: 30.00 s of audio, 1 cycles, 24.0 breaths/min, 0 samples lost, RTF 0.020",
    ]
    for name, row in (
        ("tsv", "chest.wav\t23.000\t25.500\twheeze\n"),
        ("audacity", "23.000000\t25.500000\twheeze\n"),
        ("rttm", "SPEAKER chest 1 23.000 2.500 <NA> <NA> wheeze 0.750 <NA>\n"),
        ("vtt", "00:00:23.000 --> 00:00:25.500\nwheeze (75%)\n\n"),
    ):
        assert rendered(name, BREATHS) == make_format(name).header + row


def test_json_has_no_nan():
    line = rendered("jsonl", [Summary(0.0, 0, 0, math.nan, {"p50": math.inf})])
    assert json.loads(line, parse_constant=pytest.fail) | {
        "rtf": None,
        "latency_ms": {"p50": None},
    } == json.loads(line)


def test_json_takes_names_that_are_not_utf8():
    record = Event("1", os.fsdecode(b"k\xfcche.wav"), "hund \u00e4", 0.0, 1.0, 0.5, 0.5)
    stream = io.BytesIO()
    TextSink(stream, make_format("jsonl"), "x").write(record)
    assert record_from_dict(json.loads(stream.getvalue())) == record


def test_tsv_is_a_dcase_list():
    header, *rows = [line.split("\t") for line in rendered("tsv").splitlines()]
    assert header == ["filename", "onset", "offset", "event_label"]
    assert rows[0] == ["kitchen.wav", "12.480", "13.120", "dog_bark"]
    assert len(rows) == 2


def test_table_cells_stay_in_their_row():
    record = Event("1", "a\tb.wav", "two\nlines", 0.0, 1.0, 0.5, 0.5)
    assert rendered("tsv", [record]).splitlines()[1].split("\t") == ["a b.wav", "0.000", "1.000", "two lines"]
    assert rendered("audacity", [record]).rstrip("\n").split("\t")[2] == "two lines"


def test_audacity_label_track():
    rows = [line.split("\t") for line in rendered("audacity").splitlines()]
    assert [(float(a), float(b), label) for a, b, label in rows] == [
        (12.48, 13.12, "dog_bark"),
        (3599.9996, 3600.5, "rain & <wind>"),
    ]


def test_rttm_has_ten_fields():
    rows = [line.split() for line in rendered("rttm").splitlines()]
    assert rows[0] == [
        "SPEAKER",
        "kitchen",
        "1",
        "12.480",
        "0.640",
        "<NA>",
        "<NA>",
        "dog_bark",
        "0.910",
        "<NA>",
    ]
    assert all(len(row) == 10 for row in rows)


def test_vtt_cues():
    head, first, second = rendered("vtt").strip().split("\n\n")
    assert head == "WEBVTT"
    assert first == "00:00:12.480 --> 00:00:13.120\ndog_bark (91%)"
    assert second == "01:00:00.000 --> 01:00:00.500\nrain &amp; &lt;wind&gt; (50%)"


def test_vtt_cue_of_no_length_lasts_a_millisecond():
    assert "00:00:01.000 --> 00:00:01.001" in rendered("vtt", [Event("1", "a", "x", 1.0, 1.0, 0.5, 0.5)])


def test_text_tells_everything_once():
    lines = rendered("text").splitlines()
    assert len(lines) == len(RECORDS)
    assert lines[0] == "# kitchen.wav: everyday, 16000 Hz, latency provisional 60 ms, final 150 ms"
    assert lines[3].split() == ["0:12.48", "-", "0:13.12", "dog_bark", "0.91"]
    assert lines[5] == "# not confirmed: speech at 0:20.00"
    assert lines[6] == "# gap: 1600 samples lost from sample 320000 on (overflow)"
    assert "1:00:00.00 - 1:00:00.50" in lines[9] and lines[9].endswith("(spans a gap, cut short)")
    assert "2 events" in lines[10] and "p95 95 ms" in lines[10]


def test_text_of_several_sources_says_whose_each_line_is():
    text = make_format("text", several=True)
    every = [*RECORDS, *BREATHS, Status("stalled", "no audio", "mic1"), Gap(5, 3, "device", "mic1")]
    lines = [text.render(record).rstrip("\n") for record in every]
    assert lines[3].split() == ["0:12.48", "-", "0:13.12", "kitchen.wav", "dog_bark", "0.91"]
    assert lines[5] == "# kitchen.wav: not confirmed: speech at 0:20.00"
    assert lines[-2:] == [
        "# mic1: stalled: no audio",
        "# mic1: gap: 3 samples lost from sample 5 on (device)",
    ]
    named = [record for record in every if getattr(record, "source", None)]
    for record in named:
        line = lines[every.index(record)]
        assert line.count(record.source) == 1, line
    # All of a table begins at the same place.
    assert len({lines[number].index("dog_bark") for number in (2, 3)} | {lines[4].index("speech")}) == 1


def test_formats_that_cannot_tell_sources_apart_are_refused():
    for name, record_format in FORMATS.items():
        if record_format.names_source:
            make_format(name, several=True)
        else:
            expected = r"format: expected one .*\(jsonl, text, tsv, rttm\), or a single source"
            with pytest.raises(ConfigError, match=expected):
                make_format(name, several=True)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"jsonl", "text"}))
def test_event_formats_carry_final_events_alone(name):
    others = [record for record in RECORDS if not isinstance(record, Event)]
    assert rendered(name, others) == make_format(name).header


def test_formats_by_name_and_extension():
    assert [
        format_of_path(f"x.{end}") for end in ("jsonl", "TSV", "txt", "labels", "rttm", "vtt", "dat")
    ] == [
        "jsonl",
        "tsv",
        "text",
        "audacity",
        "rttm",
        "vtt",
        "jsonl",
    ]
    with pytest.raises(ConfigError, match=r"format: expected one of .*'jsonl'.*got 'xml'"):
        make_format("xml")


def test_every_record_is_on_disk_before_the_next(tmp_path: Path):
    path = tmp_path / "out.jsonl"
    sink = open_sink(str(path), make_format("jsonl"))
    for count, record in enumerate(RECORDS, start=1):
        sink.write(record)
        assert len(path.read_text().splitlines()) == count
    sink.close()


def test_a_file_is_replaced_only_by_force(tmp_path: Path):
    path = tmp_path / "out.tsv"
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"out\.tsv: exists already; --force"):
        open_sink(str(path), make_format("tsv"))
    assert path.read_text() == "precious"
    open_sink(str(path), make_format("tsv"), force=True).close()
    assert path.read_text() == make_format("tsv").header


def test_a_dangling_link_is_not_written_through(tmp_path: Path):
    (tmp_path / "out.tsv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="exists already"):
        open_sink(str(tmp_path / "out.tsv"), make_format("tsv"))


@pytest.mark.parametrize("where", ["missing/out.tsv", "."])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, where):
    with pytest.raises(OutputError, match=str(tmp_path)):
        open_sink(f"{tmp_path}/{where}", make_format("tsv"))


def test_a_full_disk_is_named():
    with pytest.raises(OutputError, match="/dev/full: cannot write: No space left on device"):
        open_sink("/dev/full", make_format("tsv"))
    sink = open_sink("/dev/full", make_format("jsonl"))
    with pytest.raises(OutputError, match="No space left"):
        sink.write(EVENT)
    sink.close()


def test_a_closed_pipe_is_no_error_but_an_end():
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", buffering=0) as stream:
        sink = TextSink(stream, make_format("jsonl"), "pipe")
        sink.write(EVENT)
        os.close(reader)
        with pytest.raises(ReaderGone):
            sink.write(EVENT)


def test_standard_output_is_left_open():
    stream = io.BytesIO()
    TextSink(stream, make_format("jsonl"), "stdout", owns_stream=False).close()
    assert not stream.closed


def test_one_full_disk_does_not_cost_the_other_output(tmp_path: Path):
    errors: list[OutputError] = []
    full = open_sink("/dev/full", make_format("jsonl"))
    good = open_sink(str(tmp_path / "good.jsonl"), make_format("jsonl"))
    both = FanOut([full, good], errors.append)
    for record in RECORDS:
        both.write(record)
    both.close()
    assert both.failed
    assert [str(error) for error in errors] == ["/dev/full: cannot write: No space left on device"]
    assert len((tmp_path / "good.jsonl").read_text().splitlines()) == len(RECORDS)


def test_when_no_output_is_left_writing_fails():
    errors: list[OutputError] = []
    both = FanOut([open_sink("/dev/full", make_format("jsonl"))], errors.append)
    with pytest.raises(OutputError, match="no output is left"):
        both.write(EVENT)
    assert len(errors) == 1


def test_a_closed_pipe_ends_the_work_but_the_file_has_the_record(tmp_path: Path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as stream:
        pipe = TextSink(stream, make_format("jsonl"), "pipe")
        good = open_sink(str(tmp_path / "good.jsonl"), make_format("jsonl"))
        both = FanOut([pipe, good], pytest.fail)
        with pytest.raises(ReaderGone):
            both.write(EVENT)
        both.write(LATE)
        both.close()
    assert len((tmp_path / "good.jsonl").read_text().splitlines()) == 2
    assert not both.failed


def test_text_says_that_members_of_an_ensemble_were_left_out():
    event = Event("1", "a.wav", "rain", 1.0, 2.0, 0.8, 0.3, members_skipped=3)
    summary = Summary(60.0, 1, 0, 0.9, {}, members_skipped_seconds=4.26)
    lines = rendered("text", [event, summary]).splitlines()
    assert lines[0].endswith("(without 3 members)")
    assert "4.26 s without all members" in lines[1]
    assert "members" not in rendered("text")
