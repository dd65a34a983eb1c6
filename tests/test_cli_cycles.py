"""Models of respiratory cycles on the command line: listen, detect, inspect, latency, the live view."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli import Terminal, finish, interrupt, records, run, start, wait_for, write_wav
from tiny_cycles import RATE, breathing, tiny_cycles, tone

from streamsed.cli import main
from streamsed.types import Cycle, CycleOpen, Event, Health, Onset, Start, Summary


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_cycles(tmp_path_factory.mktemp("cycles") / "tiny").path


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    return write_wav(folder / "chest.wav", breathing(16.0, wheeze=(2,)), RATE)


def call(capfd, *arguments) -> tuple[int, str, str]:
    """Run the command line in this process."""
    code = main([str(item) for item in arguments])
    out, err = capfd.readouterr()
    return code, out, err


def cycles_of(text: str) -> list[Cycle]:
    return [record for record in records(text) if isinstance(record, Cycle)]


def test_listen_reports_cycles(model, recording):
    done = run("listen", "--input", recording, "--model", model)
    assert (done.returncode, done.stderr) == (0, "")
    found = records(done.stdout)
    assert isinstance(found[0], Start)
    assert found[0].latency_seconds["final"] <= 0.5
    assert [cycle.label for cycle in cycles_of(done.stdout)] == ["normal", "normal", "wheeze", "normal"]
    opened = {record.cycle_id for record in found if isinstance(record, CycleOpen)}
    assert opened == {cycle.cycle_id for cycle in cycles_of(done.stdout)}
    summary = found[-1]
    assert isinstance(summary, Summary)
    assert (summary.cycles, summary.events) == (4, 0)
    # Two whole breaths are not enough for a rate.
    assert summary.respiratory_rate is None


def test_once_ends_with_the_label(model, recording, capfd):
    code, out, _ = call(capfd, "listen", "--input", recording, "--model", model, "--once", "wheeze")
    assert code == 0
    assert next(cycle for cycle in cycles_of(out) if cycle.label == "wheeze").offset < 13
    code, _, err = call(capfd, "listen", "--input", recording, "--model", model, "--once", "both")
    assert code == 1
    assert "the sound ended without 'both'" in err
    code, _, err = call(capfd, "listen", "--input", recording, "--model", model, "--once", "dog")
    assert code == 2
    assert "once: expected one of" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "normal=0.5"], "normal is what is left"),
        (["--threshold", "whee=0.5"], "did you mean 'wheeze'"),
        (["--top-k", "9"], "top_k: expected in [0, 4]"),
        (["--segmenter", "crn"], "did you mean 'crnn'"),
    ],
)
def test_what_does_not_apply_is_a_usage_error(model, recording, capfd, options, message):
    code, out, err = call(capfd, "listen", "--input", recording, "--model", model, *options)
    assert code == 2
    assert out == ""
    assert message in err


def test_a_segmenter_needs_a_model_that_has_one(tiny_path, recording, capfd):
    for command in (["listen", "--input", recording], ["detect", recording]):
        code, _, err = call(capfd, *command, "--model", tiny_path, "--segmenter", "grid")
        assert code == 2
        assert "--segmenter: expected a model of respiratory cycles" in err


def test_threshold_top_k_and_segmenter_reach_the_model(model, recording, capfd):
    options = ["--threshold", "wheeze=0.999", "--top-k", "1", "--segmenter", "grid"]
    code, out, _ = call(capfd, "listen", "--input", recording, "--model", model, *options)
    assert code == 0
    assert {cycle.label for cycle in cycles_of(out)} == {"normal"}
    tags = [record for record in records(out) if record.type == "tags"]
    assert tags and all(set(item.posteriors) <= {"lung_sound", "boundary"} for item in tags[5:])


def test_two_models_on_one_capture(model, tiny_path, tmp_path, capfd):
    sound = breathing(9.0, 16000)
    sound[40000:60000] += tone(1.25, 6000.0, 16000, 0.3)
    path = write_wav(tmp_path / "both.wav", sound, 16000)
    models = ["--model", tiny_path, "--model", model]
    options = ["--threshold", "high=0.6", "--top-k", "4"]
    code, out, err = call(capfd, "listen", "--input", path, *models, *options)
    assert code == 0, err
    found = records(out)
    assert found[0].model == "tiny+tiny-cycles"
    assert {record.event_id.rsplit("-", 1)[0] for record in found if isinstance(record, (Event, Onset))} == {
        "both.wav-tiny"
    }
    cycles = cycles_of(out)
    assert len(cycles) == 3
    assert all(cycle.cycle_id.startswith("both.wav-tiny-cycles-") for cycle in cycles)
    assert found[-1].cycles == 3
    assert found[-1].events >= 1


def test_health_of_either_kind_of_condition_is_told_once(model, tiny_path, tmp_path, capfd):
    path = write_wav(tmp_path / "silent.wav", np.zeros(8 * 16000, np.float32), 16000)
    models = ["--model", tiny_path, "--model", model]
    code, out, _ = call(capfd, "listen", "--input", path, *models)
    assert code == 0
    conditions = [record.condition for record in records(out) if isinstance(record, Health)]
    assert sorted(conditions) == ["digital_silence", "not_lung_sound"]


def test_detect_writes_every_format(model, recording, tmp_path, capfd):
    texts = {}
    for name in ("jsonl", "text", "tsv", "audacity", "rttm", "vtt"):
        arguments = ["detect", recording, "--model", model, "--format", name]
        code, texts[name], _ = call(capfd, *arguments)
        assert code == 0
    found = records(texts["jsonl"])
    assert {record.type for record in found} == {"start", "cycle", "summary"}
    assert found[-1].cycles == 4
    assert re.search(r"0:08\.\d\d -   0:12\.\d\d  wheeze", texts["text"])
    assert "cut short" in texts["text"]
    assert "4 cycles" in texts["text"] and "events" not in texts["text"]
    for name, row in (
        ("tsv", r"chest\.wav\t8\.\d+\t12\.\d+\twheeze"),
        ("audacity", r"8\.\d+\t12\.\d+\twheeze"),
        ("rttm", r"SPEAKER chest 1 8\.\d+ \d\.\d+ <NA> <NA> wheeze 0\.\d+ <NA>"),
        ("vtt", r"00:00:08\.\d+ --> 00:00:12\.\d+\nwheeze \(\d+%\)"),
    ):
        assert len(re.findall(row, texts[name])) == 1


def test_detect_in_two_processes_and_without_posteriors(model, recording, tmp_path, capfd):
    other = write_wav(tmp_path / "other.wav", breathing(9.0, 8000), 8000)
    code, out, err = call(capfd, "detect", recording, other, "--model", model, "-j", 2)
    assert code == 0, err
    assert [len([c for c in cycles_of(out) if c.source == name]) for name in ("chest.wav", "other.wav")] == [
        4,
        3,
    ]
    code, _, err = call(capfd, "detect", recording, "--model", model, "--posteriors", tmp_path / "scores")
    assert code == 2
    assert "--posteriors: expected a model of sound events for it, got 'respiratory_cycles'" in err


def test_inspect(model, capfd):
    code, out, err = call(capfd, "inspect", model)
    assert (code, err) == (0, "")
    for text in (
        "task           respiratory_cycles",
        "labels         normal, crackle, wheeze, both",
        "segments of 4 s in 2 chunks, sample padding",
        "boundary, lung_sound, speech, contact_noise",
        "4 of 4 cycles, the same",
        "golden check passed",
        "not a medical device",
    ):
        assert re.sub(" +", " ", text) in re.sub(" +", " ", out)
    code, out, _ = call(capfd, "inspect", model, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["golden_check"]["passed"]
    assert facts["cycles"]["preparation"]["chunks"] == 2
    assert facts["latency_seconds"]["balanced"]["final"] <= 0.5


def test_latency(model, capfd):
    code, out, _ = call(capfd, "latency", "--model", model, "--seconds", "3", "--rate", "44100", "--json")
    assert code == 0
    result = json.loads(out)
    stages = result["stages_seconds"]
    assert list(stages) == ["resampling", "framing", "look_ahead", "chunk", "decoder"]
    assert result["algorithmic_seconds"]["final"] == pytest.approx(sum(stages.values()), abs=1e-4)
    assert result["algorithmic_seconds"]["final"] <= 0.5
    assert result["measured"]["cycle_p50_ms"] > 0
    code, out, _ = call(capfd, "latency", "--model", model, "--seconds", "1")
    assert "from the end of a cycle to its final record" in out
    assert "for a cycle of 2.4 s" in out


def test_a_kill_closes_the_open_cycle(model, tmp_path):
    path = write_wav(tmp_path / "long.wav", breathing(60.0), RATE)
    process = start("listen", "--input", path, "--realtime", "--model", model)
    lines = wait_for(process, "cycle_open")
    interrupt(process)
    rest, err = finish(process)
    assert process.returncode == 0, err
    found = records("".join(lines) + rest)
    opened = {record.cycle_id for record in found if isinstance(record, CycleOpen)}
    ended = {record.cycle_id for record in found if isinstance(record, Cycle)}
    ended |= {record.event_id for record in found if record.type == "retract"}
    assert opened == ended
    assert isinstance(found[-1], Summary)


def test_the_live_view_shows_the_cycle(model, recording):
    terminal = Terminal(
        ["listen", "--input", recording, "--model", model, "--realtime", "--duration", "5.5"], 90, 24
    )
    terminal.wait_for("cycle since 0:00.0", 20)
    terminal.wait_for("normal  ", 20)
    terminal.wait_for("lung_sound   ", 20)
    terminal.wait_for("cycle since 0:04.3", 20)
    assert terminal.close() == 0
    text = terminal.text
    assert "rate ?" in text
    assert re.search(r"0:00\.00 -   0:04\.\d\d  normal", text)
    assert "summary: 5.50 s of audio, 2 cycles" in text
    assert "Traceback" not in text
