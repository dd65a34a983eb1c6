"""Models of dimensional emotion on the command line: listen, detect, inspect, latency, formats, the live view."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli import Terminal, records, run, write_wav
from tiny_emotion import RATE, tiny_emotion, voice

from streamsed.cli import main
from streamsed.types import Emotion, Event, Start, Summary


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_emotion(tmp_path_factory.mktemp("emotion") / "tiny").path


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return write_wav(tmp_path_factory.mktemp("audio") / "talk.wav", voice(3.8), RATE)


def call(capfd, *arguments) -> tuple[int, str, str]:
    """Run the command line in this process."""
    code = main([str(item) for item in arguments])
    out, err = capfd.readouterr()
    return code, out, err


def emotions_of(text: str) -> list[Emotion]:
    return [record for record in records(text) if isinstance(record, Emotion)]


def test_listen_reports_emotion(model, recording):
    done = run("listen", "--input", recording, "--model", model)
    assert done.returncode == 0, done.stderr
    found = records(done.stdout)
    assert isinstance(found[0], Start)
    assert found[0].latency_seconds["final"] == pytest.approx(0.05 + 0.5 + 1.0)
    emotions = emotions_of(done.stdout)
    assert len(emotions) == 7
    assert emotions[0].source == "talk.wav"
    assert isinstance(found[-1], Summary)
    assert found[-1].emotions == 7
    assert found[-1].events == 0
    assert found[-1].cycles is None


def test_two_models_on_one_sound(model, recording, capfd):
    """Both hear the same capture; start and summary are told once."""
    code, out, _ = call(capfd, "listen", "--input", recording, "--model", "everyday", "--model", model)
    assert code == 0
    found = records(out)
    assert len(emotions_of(out)) == 7
    assert [record.type for record in found].count("start") == 1
    assert found[0].model == "everyday+tiny-emotion"
    assert found[-1].emotions == 7
    assert found[-1].events == len([record for record in found if isinstance(record, Event)])


def test_window_and_hop(model, recording, capfd):
    code, out, _ = call(capfd, "listen", "--input", recording, "--model", model, "--window", 1, "--hop", 1)
    assert code == 0
    assert [round(item.offset, 1) for item in emotions_of(out)] == [1.0, 2.0, 3.0, 3.8]


def test_detect(model, recording, capfd):
    code, out, _ = call(capfd, "detect", recording, "--model", model, "--hop", 2)
    assert code == 0
    assert [round(item.offset, 1) for item in emotions_of(out)] == [1.0, 3.0, 3.8]
    assert records(out)[-1].emotions == 3


@pytest.mark.parametrize("option", ["--window", "--hop"])
@pytest.mark.parametrize("command", ["listen", "detect"])
def test_window_and_hop_are_for_models_of_emotion(recording, capfd, command, option):
    given = ("--input", recording) if command == "listen" else (recording,)
    code, _, err = call(capfd, command, *given, option, 2)
    assert code == 2
    assert f"{option}: expected a model of dimensional emotion (--model) for it, got 2.0" in err


@pytest.mark.parametrize(("option", "value"), [("--window", 0.1), ("--window", 99), ("--hop", 5)])
def test_windows_and_hops_that_cannot_be(model, recording, capfd, option, value):
    code, _, err = call(capfd, "detect", recording, "--model", model, option, value)
    assert code == 2
    assert "_seconds: expected seconds in" in err


def test_silence_has_no_records(model, tmp_path, capfd):
    path = write_wav(tmp_path / "silence.wav", np.zeros(3 * RATE, np.float32), RATE)
    code, out, _ = call(capfd, "detect", path, "--model", model)
    assert code == 0
    assert [record.type for record in records(out) if record.type != "health"] == ["start", "summary"]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("text", r"0:00\.00 -   0:01\.00  valence 0\.\d\d arousal 0\.\d\d dominance 0\.25  ±0\.02"),
        ("tsv", r"talk\.wav\t0\.000\t1\.000\tvalence=0\.\d\d arousal=0\.\d\d dominance=0\.25"),
        ("audacity", r"0\.000000\t1\.000000\tvalence=0\.\d\d arousal=0\.\d\d dominance=0\.25"),
        ("rttm", r"SPEAKER talk 1 0\.000 1\.000 <NA> <NA> valence=0\.\d\d_arousal=\S+ [01]\.\d+ <NA>"),
        ("vtt", r"00:00:00\.000 --> 00:00:01\.000\nvalence=0\.\d\d arousal=0\.\d\d dominance=0\.25 \(\d+%\)"),
    ],
)
def test_formats(model, recording, capfd, name, pattern):
    code, out, _ = call(capfd, "detect", recording, "--model", model, "--format", name)
    assert code == 0
    assert re.search(pattern, out), out


def test_captions_do_not_overlap(model, recording, capfd):
    _, out, _ = call(capfd, "detect", recording, "--model", model, "--format", "vtt")
    cues = re.findall(r"(\S+) --> (\S+)", out)
    assert len(cues) == 7
    for (_, end), (begin, _) in itertools.pairwise(cues):
        assert begin >= end


def test_the_summary_for_people(model, recording, capfd):
    _, out, _ = call(capfd, "detect", recording, "--model", model, "--format", "text")
    assert "7 records of emotion" in out
    assert " 0 events" not in out


def test_inspect(model, capfd):
    code, out, _ = call(capfd, "inspect", model)
    assert code == 0
    assert "dimensional_emotion" in out
    assert "780, of 32 mels" in out
    assert "2 s every 0.5 s" in out
    assert "golden check passed" in out
    assert "records of emotion, the same" in out
    code, out, _ = call(capfd, "inspect", model, "--json")
    facts = json.loads(out)
    assert facts["golden_check"]["passed"]
    assert facts["latency_seconds"]["balanced"]["final"] == pytest.approx(1.55)


def test_latency(model, capfd):
    code, out, _ = call(capfd, "latency", "--model", model, "--seconds", 2, "--window", 4)
    assert code == 0
    assert re.search(r"window +half a window\S* .* 2000\.0", out)
    assert "from a change of the voice until half of a window has it" in out


def test_the_live_view_shows_the_curves(model, recording):
    terminal = Terminal(["listen", "--input", recording, "--model", model, "--realtime"], 90, 24)
    terminal.wait_for("records of emotion  voice", 30)
    terminal.wait_for("dominance 0.25 ", 30)
    assert terminal.close() == 0
    text = terminal.text
    assert re.search(r"valence +[01]\.\d\d +[▁▂▃▄▅▆▇█]+", text)
    assert "7 records of emotion" in text
    assert "Traceback" not in text
