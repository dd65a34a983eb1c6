"""``detect --tags``, ``evaluate`` of tags and the rolling tags of ``listen``, as a user runs them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cli import Terminal, events, records, run, write_wav
from tiny_models import scene, tiny_bundle, tone

from streamsed.cli import main
from streamsed.config import TaggingConfig
from streamsed.detector import load
from streamsed.types import Start, Summary, Tags


@pytest.fixture
def folder(tmp_path):
    """A recording with both sounds, one with one and one with none."""
    write_wav(tmp_path / "in" / "both.wav", scene())
    write_wav(tmp_path / "in" / "low.wav", tone(2.0, 300.0))
    write_wav(tmp_path / "in" / "deep" / "none.flac", np.zeros(16000, np.float32))
    return tmp_path / "in"


TABLE = "filename\tevent_labels\nboth.wav\tlow,high\ndeep/none.flac\t\nlow.wav\tlow\n"


@pytest.fixture
def said(capfd):
    """Run the command in this process, which must end well; return what it wrote to stdout."""

    def call(*arguments, code=0):
        capfd.readouterr()
        assert main([*map(str, arguments)]) == code
        return capfd.readouterr().out

    return call


def tags_in(text):
    return [record for record in records(text) if isinstance(record, Tags)]


def test_one_record_for_each_recording(tiny_path, folder, said):
    out = said("detect", "--tags", folder, "--model", tiny_path)
    found = tags_in(out)
    model = load(tiny_path)
    assert found == [
        model.tags(folder / name, source=name) for name in ("both.wav", "deep/none.flac", "low.wav")
    ]
    assert [type(record) for record in records(out)] == 3 * [Start, Tags, Summary]
    assert [record.events for record in records(out) if isinstance(record, Summary)] == [0, 0, 0]


def test_a_weak_table_in_one_or_several_processes(tiny_path, folder, said):
    options = ("detect", "--tags", folder, "--model", tiny_path, "--format", "tsv")
    assert said(*options) == run(*options, "-j", 2).stdout == TABLE


def test_events_as_well(tiny_path, folder, said):
    alone = said("detect", folder / "both.wav", "--model", tiny_path)
    both = said("detect", "--tags", "--events", folder / "both.wav", "--model", tiny_path)
    assert events(both) == events(alone)
    assert [type(record) for record in records(both)][-2:] == [Tags, Summary]
    text = said("detect", "--tags", "--events", folder / "both.wav", "--model", tiny_path, "--format", "text")
    assert "  0:00.00 -   0:06.00  tags: low 0." in text


def test_nothing_heard_in_words(tiny_path, folder, said):
    assert "tags: none" in said("detect", "--tags", folder / "deep", "--model", tiny_path, "--format", "text")


def test_files_and_thresholds(tiny_path, folder, tmp_path, said):
    options = (
        "--format",
        "tsv",
        "-o",
        tmp_path / "out",
        "--tag-threshold",
        "0.4",
        "--tag-threshold",
        "low=1",
    )
    assert said("detect", "--tags", folder, "--model", tiny_path, *options) == ""
    assert (tmp_path / "out" / "low.tsv").read_text() == "filename\tevent_labels\nlow.wav\t\n"
    assert (tmp_path / "out" / "both.tsv").read_text() == "filename\tevent_labels\nboth.wav\thigh\n"
    assert (tmp_path / "out" / "none.tsv").exists()


def test_a_damaged_recording_has_the_tags_of_what_is_left(tiny_path, folder, tmp_path, said):
    whole = (folder / "both.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tags,) = tags_in(said("detect", "--tags", tmp_path / "cut.wav", "--model", tiny_path, code=6))
    assert tags.time == pytest.approx(3.0, abs=0.1) and set(tags.tags) == {"low", "high"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--tags", "--format", "rttm"],
            "format: expected one of ['jsonl', 'text', 'tsv'] for tags, got 'rttm'",
        ),
        (["--tags", "--events", "--format", "tsv"], "expected jsonl or text for tags and events together"),
        (["--tag-threshold", "0.5"], "--tag-threshold: expected --tags beside it"),
        (["--tags", "--tag-threshold", "lwo=0.5"], "did you mean 'low'?"),
        (["--tags", "--tag-threshold", "2"], "expected a threshold in (0, 1], got 2"),
        (["--tags", "--model", "lung-cycles"], "--tags: expected a model of sound events for it"),
    ],
)
def test_wrong_options_are_usage_errors(tiny_path, folder, options, message, capfd):
    model = [] if "--model" in options else ["--model", str(tiny_path)]
    try:
        code = main(["detect", str(folder), *model, *options])
    except SystemExit as ended:  # the parser's way
        code = ended.code
    assert code == 2
    assert message in capfd.readouterr().err


def test_what_ships_says_how_it_tags(said):
    assert "linear softmax pooling, over 10 s of a stream, threshold 0.4\n" in said("inspect", "everyday")
    (everyday,) = (model for model in json.loads(said("models", "--json")) if model["name"] == "everyday")
    assert 0.6 < everyday["metrics"]["clip_f1_macro"] < everyday["metrics"]["clip_f1_micro"] < 0.8


class TestEvaluate:
    @pytest.fixture
    def reference(self, tmp_path):
        path = tmp_path / "reference.tsv"
        path.write_text(TABLE.replace("low.wav\tlow", "low.wav\tlow,siren"))
        return path

    def test_tags_against_a_weak_table(self, tiny_path, folder, tmp_path, reference, said):
        (tmp_path / "est.jsonl").write_text(said("detect", "--tags", folder, "--model", tiny_path))
        found = json.loads(said("evaluate", reference, tmp_path / "est.jsonl", "--json"))
        assert found["files"] == 3
        assert found["clip_based"]["micro"]["f1"] == pytest.approx(6 / 7)
        # There is no posterior of the siren.
        assert found["clip_ranking"] is None
        text = said("evaluate", reference, tmp_path / "est.jsonl", "--bootstrap", "50")
        assert "3 recordings, 4 reference tags, 3 estimated" in text
        assert "mAP needs posteriors of siren" in text and "F1 95%" in text

    def test_labels_of_events_are_tags_too_and_posteriors_are_ranked(self, tiny_path, folder, tmp_path, said):
        rows = ["filename\tonset\toffset\tevent_label", "both.wav\t1\t2\tlow", "both.wav\t2.5\t3.5\thigh"]
        strong = "\n".join([*rows, "low.wav\t0\t2\tlow", ""])
        (tmp_path / "strong.tsv").write_text(strong + "deep/none.flac\t\t\t\n")
        (tmp_path / "est.jsonl").write_text(
            said("detect", "--tags", "--events", folder, "--model", tiny_path)
        )
        both = json.loads(
            said("evaluate", tmp_path / "strong.tsv", tmp_path / "est.jsonl", "--json", "--bootstrap", "20")
        )
        assert both["event_based"]["micro"]["reference"] == 3
        assert both["clip_based"]["micro"]["f1"] == both["clip_ranking"]["mean"] == 1.0
        assert both["clip_ranking_interval"]["resamples"] == 20
        assert "mAP 1.000" in said("evaluate", tmp_path / "strong.tsv", tmp_path / "est.jsonl")
        alone = said("evaluate", tmp_path / "strong.tsv", tmp_path / "est.jsonl", "--as", "tags", "--json")
        assert json.loads(alone)["clip_based"]["micro"] == both["clip_based"]["micro"]
        assert "event_based" not in json.loads(alone)

    def test_weak_tables_on_both_sides_and_common_recordings(self, reference, tmp_path, said):
        (tmp_path / "est.tsv").write_text("filename\tevent_labels\nboth.flac\tlow\nelse.wav\tlow\n")
        text = said("evaluate", reference, tmp_path / "est.tsv", "--common")
        assert "1 recordings, 2 reference tags, 1 estimated" in text
        assert "mAP needs posteriors of every recording" in text

    def test_options_of_events_are_refused(self, reference, capsys):
        assert main(["evaluate", str(reference), str(reference), "--onset-only"]) == 2
        assert "--onset-only: expected none for tags" in capsys.readouterr().err


class TestListen:
    def test_rolling_tags(self, tmp_path, said):
        model = tiny_bundle(tmp_path / "b", tagging=TaggingConfig(window_seconds=1.5)).path
        path = write_wav(tmp_path / "a.wav", scene())
        found = tags_in(said("listen", "--input", path, "--model", model, "--top-k", "1"))
        assert all(len(record.posteriors) == len(record.clip_posteriors) == 1 for record in found)
        at = {round(record.time, 1): record for record in found}
        # Between the sounds the newest frame is silent, but not the window.
        assert at[2.4].posteriors.get("low", 0.0) < 0.3 and at[2.4].tags == ("low",)
        assert at[2.4].onset == pytest.approx(at[2.4].time - 1.5, abs=0.01)
        assert at[0.8].tags == ()

    def test_text_says_both(self, tiny_path, tmp_path, said):
        path = write_wav(tmp_path / "a.wav", scene())
        text = said("listen", "--input", path, "--model", tiny_path, "--top-k", "1", "--format", "text")
        assert "  tags of 5." in text and "s: low, high\n" in text
        assert "s: none\n" in text

    def test_the_live_view_shows_both(self, tmp_path):
        model = tiny_bundle(tmp_path / "b", tagging=TaggingConfig(window_seconds=1.5)).path
        path = write_wav(tmp_path / "a.wav", scene())
        options = ["listen", "--input", path, "--model", model, "--realtime", "--duration", "3"]
        terminal = Terminal(options, 90, 24)
        terminal.wait_for("last 1 s  no tags", 20)
        terminal.wait_for("last 2 s  low ", 20)
        assert terminal.close() == 0
        assert "Traceback" not in terminal.text
