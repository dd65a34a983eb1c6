"""``streamsed listen`` with --device and --input repeated, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from cli import COMMAND, Terminal, events, finish, interrupt, records, run, start, wait_for, write_wav
from tiny_models import scene, tone
from two_microphones import DEVICE, SECOND_DEVICE, beeps, microphones  # noqa: F401 - fixture

from streamsed.types import Event, Start, Status, Summary

LABELS = ["low", "high", "low"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list[Path]:
    """Three recordings of different rates, each with events at other times."""
    folder = tmp_path_factory.mktemp("several")
    return [
        write_wav(folder / f"s{rate}.wav", np.roll(scene(rate), number * rate // 5), rate)
        for number, rate in enumerate((16000, 44100, 48000))
    ]


@pytest.fixture(scope="module")
def long_scenes(tmp_path_factory) -> list[Path]:
    """Two minutes in which one event begins and never ends."""
    folder = tmp_path_factory.mktemp("long")
    noise = scene()[:8000]
    return [
        write_wav(
            folder / f"{name}.wav", np.concatenate([noise, tone(60, hz) + np.resize(noise, 60 * 16000)])
        )
        for name, hz in (("low", 300.0), ("high", 5000.0))
    ]


def inputs(paths) -> list[object]:
    return [part for path in paths for part in ("--input", path)]


def of_source(text: str, name: str) -> list[dict]:
    """The records of one source, without what depends on the machine."""
    out = []
    for line in text.splitlines():
        record = json.loads(line)
        if record.get("source", record.get("event_id", "").rpartition("-")[0]) == name:
            out.append({key: value for key, value in record.items() if key not in ("rtf", "latency_ms")})
    return out


def test_each_input_gives_what_it_gives_alone(tiny_path, scenes):
    done = run("listen", *inputs(scenes), "--model", tiny_path, "--top-k", "2")
    assert done.returncode == 0
    assert done.stderr == ""
    for path in scenes:
        alone = run("listen", "--input", path, "--model", tiny_path, "--top-k", "2").stdout
        assert of_source(done.stdout, path.name) == of_source(alone, path.name)
        assert [event.label for event in events(alone)] == LABELS
    assert [record.type for record in records(done.stdout)].count("summary") == 3


def test_stdin_beside_a_file(tiny_path, scenes):
    pcm = (scene()[: 4 * 16000] * 32767).astype("<i2").tobytes()
    done = run("listen", "--input", "-", "--input", scenes[1], "--model", tiny_path, stdin=pcm)
    assert done.returncode == 0, done.stderr
    found = events(done.stdout)
    assert [event.label for event in found if event.source == "s44100.wav"] == LABELS
    assert [event.label for event in found if event.source == "stdin"] == LABELS[:2]


def test_named_pipes(tiny_path, scenes, tmp_path):
    """Two programs write, one of them is soon done."""
    pipes = [tmp_path / "a.wav", tmp_path / "b.wav"]
    sounds = [scenes[0].read_bytes(), scenes[2].read_bytes()[: 44 + 3 * 48000 * 2]]

    def write(pipe, sound):
        with pipe.open("wb") as stream:
            stream.write(sound)

    for pipe, sound in zip(pipes, sounds, strict=True):
        os.mkfifo(pipe)
        threading.Thread(target=write, args=(pipe, sound), daemon=True).start()
    done = run("listen", *inputs(pipes), "--model", tiny_path)
    assert done.returncode == 6
    assert "b.wav" in done.stderr and "cut off" in done.stderr
    summaries = {record.source: record for record in records(done.stdout) if isinstance(record, Summary)}
    assert summaries["a.wav"].audio_seconds == 6.0 and summaries["a.wav"].events == 3
    assert summaries["b.wav"].audio_seconds == pytest.approx(3.0, abs=0.01)


def test_a_cut_off_file_does_not_stop_the_others(tiny_path, scenes, tmp_path):
    path = tmp_path / "cut.wav"
    path.write_bytes(scenes[0].read_bytes()[: 44 + 2 * 16000 * 4])
    done = run("listen", *inputs([path, *scenes]), "--model", tiny_path)
    assert done.returncode == 6
    assert re.search(r"cut\.wav.*cut off", done.stderr)
    assert len(events(done.stdout)) == 2 + 3 * 3
    assert sum(isinstance(record, Summary) for record in records(done.stdout)) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--input", "nowhere.wav"], 6, "nowhere.wav: no such file"),
        (["--format", "vtt"], 2, "one that says which source a record is of (jsonl, text, tsv, rttm)"),
        (["-o", "captions.vtt"], 2, "or a single source, got 'vtt'"),
        (["--format", "audacity"], 2, "got 'audacity'"),
        (["--video", "clip.mp4"], 2, "video: expected a single source beside it"),
        (["--rate", "8000"], 2, "a file knows its own"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_begins(
    tiny_path, scenes, tmp_path, arguments, code, message
):
    done = run("listen", *inputs(scenes[:2]), "--model", tiny_path, *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and list(tmp_path.iterdir()) == []


def test_once_ends_all(tiny_path, scenes, long_scenes):
    done = run(
        *("listen", "--input", long_scenes[0], "--input", scenes[0], "--realtime"),
        *("--model", tiny_path, "--once", "high"),
    )
    assert done.returncode == 0
    labels = {event.source: event.label for event in events(done.stdout)}
    assert labels == {"low.wav": "low", "s16000.wav": "high"}
    seconds = [record.audio_seconds for record in records(done.stdout) if isinstance(record, Summary)]
    assert max(seconds) < 6.0
    done = run("listen", *inputs(scenes), "--model", tiny_path, "--once", "high", "--duration", "1")
    assert done.returncode == 1
    assert "the sound ended without 'high'" in done.stderr


def test_duration_holds_for_each(tiny_path, scenes):
    done = run("listen", *inputs(scenes), "--model", tiny_path, "--duration", "2.5")
    assert done.returncode == 0
    seconds = [record.audio_seconds for record in records(done.stdout) if isinstance(record, Summary)]
    assert seconds == pytest.approx([2.5, 2.5, 2.5])


def test_formats_say_whose_it_is(tiny_path, scenes, tmp_path):
    outputs = [tmp_path / name for name in ("all.txt", "all.tsv", "all.rttm", "all.jsonl")]
    options = [part for path in outputs for part in ("-o", path)]
    done = run("listen", *inputs(scenes), "--model", tiny_path, *options)
    assert done.returncode == 0, done.stderr
    text, tsv, rttm, lines = (path.read_text() for path in outputs)
    assert lines == done.stdout
    found = sorted((event.source, f"{event.onset:.3f}", event.label) for event in events(lines))
    assert sorted((name, onset, label) for name, onset, _, label in map(str.split, tsv.splitlines()[1:])) == (
        found
    )
    fields = [line.split() for line in rttm.splitlines()]
    assert sorted((f"{item[1]}.wav", item[3], item[7]) for item in fields) == found
    for path in scenes:
        assert len(re.findall(rf"^ +0:0\S+ - +0:\S+  {path.name} +(low|high) ", text, re.M)) == 3
        assert f"# {path.name}: summary: 6.00 s of audio, 3 events" in text


def test_sound_of_events_is_saved(tiny_path, scenes, tmp_path):
    folder = tmp_path / "clips"
    done = run("listen", *inputs(scenes), "--model", tiny_path, "--save-audio", folder)
    assert done.returncode == 0
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 9
    assert all(sum(name.startswith(path.name) for name in names) == 3 for path in scenes)


def test_ctrl_c_ends_all_with_all_summaries(tiny_path, long_scenes):
    process = start("listen", *inputs(long_scenes), "--model", tiny_path, "--realtime")
    lines = wait_for(process, "onset")
    lines += wait_for(process, "onset")
    interrupt(process)
    rest, complaints = finish(process)
    assert process.returncode == 0
    assert complaints == ""
    found = records("".join(lines) + rest)
    assert {record.source: record.label for record in found if isinstance(record, Event)} == {
        "low.wav": "low",
        "high.wav": "high",
    }
    assert sorted(record.source for record in found if isinstance(record, Summary)) == ["high.wav", "low.wav"]


def test_head_ends_it_quietly(tiny_path, long_scenes):
    listen = (
        f"{' '.join(COMMAND)} listen --input {long_scenes[0]} --input {long_scenes[1]} --model {tiny_path}"
    )
    command = f"set -o pipefail; {listen} --realtime | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0
    assert done.stderr == b""
    assert json.loads(done.stdout)["type"] == "start"


def test_a_terminal_gets_a_line_for_each(tiny_path, scenes, tmp_path):
    path = tmp_path / "out.jsonl"
    options = ["--realtime", "--duration", "2.3", "-o", path]
    arguments = ["listen", *inputs(scenes[:2]), "--model", tiny_path, *options]
    terminal = Terminal(arguments, columns=100)
    terminal.wait_for("2 of 2 listening")
    for name in ("s16000.wav", "s44100.wav"):
        terminal.wait_for(f"▶ {name}")
    assert terminal.close() == 0
    text = terminal.text
    assert re.search(r"▶ s16000\.wav [█┃·]+ +-\d\d\.\d dBFS  low \d\.\d\d", text)
    assert re.search(r"0:0[01]\.\d\d -   0:02\.\d\d  s16000\.wav +low", text)
    assert re.search(r" stopped +0:02\.3  tiny", text)
    assert re.search(r"s44100\.wav stopped at 0:02\.30, 1 events", text)
    assert '"type"' not in text and "Traceback" not in text
    assert not any(record.type == "tags" for record in records(path.read_text()))


def test_the_view_fits_a_small_terminal(tiny_path, scenes):
    columns, rows = 30, 5
    arguments = ["listen", *inputs(scenes), "--model", tiny_path, "--realtime", "--duration", "1"]
    terminal = Terminal(arguments, columns, rows)
    assert terminal.close() == 0
    assert "Traceback" not in terminal.text
    drawn = [
        line for line in terminal.text.splitlines() if re.match(r"latency|[▶ ] s\d+\.wav| \d of 3", line)
    ]
    assert len(drawn) > 3
    assert all(len(line) <= columns for line in drawn), drawn


def test_with_stdout_in_a_file_the_terminal_shows_the_levels(tiny_path, scenes, tmp_path):
    arguments = ["listen", *inputs(scenes[:2]), "--model", tiny_path, "--realtime", "--duration", "1"]
    with (tmp_path / "out.jsonl").open("wb") as file:
        terminal = Terminal(arguments, stdout=file)
        assert terminal.close() == 0
    for path in scenes[:2]:
        assert re.search(rf"{path.name} +level .*dBFS", terminal.text)
    assert isinstance(records((tmp_path / "out.jsonl").read_text())[-1], Summary)


@pytest.mark.microphone
def test_two_devices_and_a_file(tiny_path, scenes, microphones):  # noqa: F811
    first, second = microphones
    process = start(
        *("listen", "--device", DEVICE, "--device", SECOND_DEVICE, "--input", scenes[0]),
        *("--model", tiny_path, "--latency", "low", "--recovery", "1", "--duration", "20"),
    )
    assert process.stdout is not None
    found, removed, low_after = [], False, 0
    listening: set[str | None] = set()
    heard: dict[str, set[str]] = {}
    for line in iter(process.stdout.readline, b""):
        (record,) = records(line.decode())
        found.append(record)
        if isinstance(record, Status) and record.state == "listening":
            listening.add(record.source)
            if listening >= {"mic0", "mic1"} and not heard.get("mic0"):
                heard["mic0"] = set()
                first.play(beeps(300.0))
                second.play(beeps(5000.0))
        if isinstance(record, Event) and record.source != scenes[0].name:
            heard.setdefault(record.source, set()).add(record.label)
            if record.label == "high" and not removed:
                removed = True
                second.remove()
        ended = any(isinstance(item, Summary) and item.source == "mic1" for item in found)
        if ended and isinstance(record, Event) and record.source == "mic0":
            low_after += 1
            if low_after == 2:
                interrupt(process)
    _, complaints = finish(process)
    assert process.returncode == 4
    assert f"device '{SECOND_DEVICE}' did not come back within 1 s" in complaints
    assert [record.source for record in found if isinstance(record, Start)].count("mic0") == 1
    assert {"low"} == heard["mic0"] and "high" in heard["mic1"]
    assert {record.source for record in found if isinstance(record, Summary)} == {
        "mic0",
        "mic1",
        scenes[0].name,
    }


@pytest.mark.microphone
def test_if_one_device_does_not_exist_nothing_begins(tiny_path, scenes, microphones):  # noqa: F811
    done = run(
        "listen", "--device", DEVICE, "--device", "telephone", "--input", scenes[0], "--model", tiny_path
    )
    assert done.returncode == 3
    assert "no input device 'telephone'" in done.stderr
    assert done.stdout == ""
