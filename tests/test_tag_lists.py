"""Tags of recordings from weak tables, records and event lists."""

from __future__ import annotations

import pytest

from streamsed.annotations import pair_recordings
from streamsed.errors import FormatError
from streamsed.sinks import make_format
from streamsed.tag_lists import holds_tags, read_tag_list
from streamsed.types import Event, Start, Tags

START = Start("in/a.wav", "m", 16000, {})
WHOLE = Tags(10.0, {"rain": 0.9, "speech": 0.1}, "in/a.wav", 0.0, ("rain",), None, False)
LIVE = Tags(3.0, {"speech": 0.7}, "in/a.wav", 0.0, ("speech",), {"speech": 0.6}, False)
EVENT = Event("a-1", "in/a.wav", "speech", 1.0, 2.0, 0.8, 0.1)


def written(path, name, records, of_tags=False):
    record_format = make_format(name, of_tags)
    path.write_text(record_format.header + "".join(map(record_format.render, records)))
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("filename\tevent_labels\na.wav\train,speech\nb.wav\t\n", {"a": {"rain", "speech"}, "b": set()}),
        ("event_labels\tfilename\n rain , siren\ta.wav\n", {"a": {"rain", "siren"}}),
        (
            'filename,event_labels\na.wav,"rain,speech"\nb.wav,rain\n',
            {"a": {"rain", "speech"}, "b": {"rain"}},
        ),
        ("filename\tevent_label\na.wav\train\na.wav\tspeech\n", {"a": {"rain", "speech"}}),
        ("filename\tonset\toffset\tevent_label\na.wav\t1\t2\train\na.wav\t3\t4\train\n", {"a": {"rain"}}),
        ("1.0\t2.0\tdog bark\n", {"list": {"dog bark"}}),
        ("", {"list": set()}),
    ],
)
def test_formats(tmp_path, text, expected):
    (tmp_path / "list.tsv").write_text(text)
    found = read_tag_list(tmp_path / "list.tsv")
    assert {name: set(labels) for name, labels in found.labels().items()} == expected
    assert found.posteriors() is None


@pytest.mark.parametrize("name", ["jsonl", "tsv"])
def test_what_the_sinks_write_is_read_back(tmp_path, name):
    path = written(tmp_path / "a", name, [START, LIVE, WHOLE], of_tags=True)
    found = read_tag_list(path)
    assert found.labels() == {"in/a": {"rain"}}
    assert found.posteriors() == ({"in/a": WHOLE.posteriors} if name == "jsonl" else None)
    assert holds_tags(path) == "alone"


def test_records_of_a_stream_are_no_tags_of_a_recording(tmp_path):
    path = written(tmp_path / "a.jsonl", "jsonl", [START, LIVE, EVENT])
    assert holds_tags(path) == "no"
    assert read_tag_list(path).labels() == {"in/a": {"speech"}}


def test_tags_count_beside_events(tmp_path):
    path = written(tmp_path / "a.jsonl", "jsonl", [START, EVENT, WHOLE])
    assert holds_tags(path) == "beside events"
    assert read_tag_list(path).labels() == {"in/a": {"rain"}}


def test_a_folder_is_all_its_lists_and_recordings_are_paired(tmp_path):
    for stem in "ab":
        record = Tags(1.0, {"rain": 0.9}, f"deep/{stem}.flac", 0.0, ("rain",))
        written(tmp_path / f"{stem}.jsonl", "jsonl", [record])
    found = read_tag_list(tmp_path)
    assert holds_tags(tmp_path) == "alone"
    (tmp_path / "weak.csv").write_text("filename\tevent_labels\na.wav\train\nb.wav\train\n")
    reference, estimated = pair_recordings(read_tag_list(tmp_path / "weak.csv"), found)
    assert list(reference.labels()) == list(estimated.labels()) == ["a", "b"]
    assert estimated.only(["b"]).posteriors() == {"b": {"rain": 0.9}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename\tevent_labels\n\train\n", "x.tsv:2: filename: expected a name"),
        ('{"v":1,"type":"tags","time":1,"tags":["a"]}\n', "x.tsv:1: tags record: .*posteriors"),
        (2 * (make_format("jsonl").render(WHOLE)), "x.tsv:2: recording 'in/a' has tags already"),
        ("{nonsense\n", "x.tsv:1: not JSON"),
        ("one two\n", "x.tsv:1: expected onset, offset and label"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, message):
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(FormatError, match=message):
        read_tag_list(tmp_path / "x.tsv")
