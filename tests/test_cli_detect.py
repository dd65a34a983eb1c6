"""``streamsed detect`` as a user runs it: many recordings, bad ones among them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli import Terminal, events, finish, interrupt, records, run, start, wait_for, write_wav
from streams import TRUTH
from tiny_models import scene

from streamsed.annotations import read_event_list
from streamsed.cli.detect import find_recordings
from streamsed.detector import load
from streamsed.metrics import FrameScores, read_score_files
from streamsed.types import Start, Summary


@pytest.fixture
def folder(tmp_path) -> Path:
    for number, name in enumerate(["a.wav", "b.flac", "deep/c.ogg"]):
        write_wav(tmp_path / "in" / name, scene(seed=number))
    (tmp_path / "in" / "notes.txt").write_text("not audio")
    return tmp_path / "in"


def test_a_recording_on_stdout(tiny_path, folder):
    done = run("detect", folder / "a.wav", "--model", tiny_path)
    assert done.returncode == 0 and done.stderr == ""
    found = records(done.stdout)
    assert isinstance(found[0], Start) and found[0].source == "a.wav"
    assert isinstance(found[-1], Summary) and found[-1].audio_seconds == pytest.approx(6.0)
    assert [event.label for event in events(done.stdout)] == ["low", "high", "low"]


def test_it_finds_what_the_library_finds(tiny_path, folder):
    expected = load(tiny_path).detect(folder / "a.wav")
    found = sorted(
        events(run("detect", folder / "a.wav", "--model", tiny_path).stdout), key=lambda e: e.onset
    )
    assert [(e.label, e.onset, e.offset, e.confidence) for e in found] == [
        (e.label, e.onset, e.offset, e.confidence) for e in expected
    ]


def test_folders_are_searched_and_sources_named(tiny_path, folder):
    done = run("detect", folder, "--model", tiny_path)
    assert done.returncode == 0, done.stderr
    starts = [record.source for record in records(done.stdout) if isinstance(record, Start)]
    assert starts == ["a.wav", "b.flac", "deep/c.ogg"]


def test_one_file_per_recording(tiny_path, folder, tmp_path):
    done = run("detect", folder, "--model", tiny_path, "-o", tmp_path / "out", "--format", "tsv")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tsv", "b.tsv", "c.tsv"]
    lists = read_event_list(tmp_path / "out")
    assert sorted(lists.recordings) == ["a", "b", "deep/c"]
    assert all(
        [event.label for event in found] == ["low", "high", "low"] for found in lists.recordings.values()
    )


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("jsonl", "jsonl"),
        ("text", "txt"),
        ("tsv", "tsv"),
        ("audacity", "txt"),
        ("rttm", "rttm"),
        ("vtt", "vtt"),
    ],
)
def test_extensions(tiny_path, folder, tmp_path, name, extension):
    run("detect", folder / "a.wav", "--model", tiny_path, "-o", tmp_path / "out", "--format", name)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"a.{extension}"]
    assert "low" in (tmp_path / "out" / f"a.{extension}").read_text()


def test_one_bad_recording_does_not_stop_the_others(tiny_path, folder, tmp_path):
    (folder / "aa.wav").write_bytes(b"not audio at all" * 10)
    (folder / "empty.wav").write_bytes(b"")
    done = run("detect", folder, folder / "missing.wav", "--model", tiny_path, "-o", tmp_path / "out")
    assert done.returncode == 6
    for name, why in (
        ("aa.wav", "not readable as audio"),
        ("empty.wav", "empty file"),
        ("missing.wav", "no such file"),
    ):
        assert re.search(rf"streamsed: .*{name}: {why}", done.stderr), done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl"]


def test_a_cut_off_recording_gives_what_it_has(tiny_path, folder, tmp_path):
    data = (folder / "a.wav").read_bytes()
    (folder / "cut.wav").write_bytes(data[: 44 + 2 * 16000 * 4])
    done = run("detect", folder / "cut.wav", folder / "a.wav", "--model", tiny_path, "-o", tmp_path / "out")
    assert done.returncode == 6
    assert "cut.wav: cut off" in done.stderr
    kept = (tmp_path / "out" / "cut.jsonl").read_text()
    assert [event.label for event in events(kept)] == ["low", "high"]
    assert isinstance(records(kept)[-1], Summary)
    assert len(events((tmp_path / "out" / "a.jsonl").read_text())) == 3


def test_a_folder_without_recordings_is_an_input_error(tiny_path, tmp_path):
    (tmp_path / "nothing").mkdir()
    done = run("detect", tmp_path / "nothing", "--model", tiny_path)
    assert done.returncode == 6
    assert "nothing: no recordings in this folder" in done.stderr


def test_names_that_would_collide_are_refused_before_any_work(tiny_path, folder, tmp_path):
    write_wav(folder / "other" / "a.flac", scene())
    done = run("detect", folder, "--model", tiny_path, "-o", tmp_path / "out")
    assert done.returncode == 2
    assert "a.wav" in done.stderr and "a.flac" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_the_same_recording_twice_is_one(tiny_path, folder):
    done = run("detect", folder / "a.wav", folder / "a.wav", "--model", tiny_path)
    assert [record.type for record in records(done.stdout)].count("start") == 1


def test_recordings_that_are_called_alike_are_told_apart(folder):
    write_wav(folder / "x" / "a.wav", scene())
    found, missing = find_recordings([str(folder / "a.wav"), str(folder / "x")])
    assert [name for _, name in found] == [str(folder / "a.wav"), str(folder / "x" / "a.wav")]
    assert missing == []


def test_existing_results_are_kept_unless_forced(tiny_path, folder, tmp_path):
    (tmp_path / "out").mkdir()
    kept = tmp_path / "out" / "b.tsv"
    kept.write_text("precious")
    arguments = ["detect", folder, "--model", tiny_path, "-o", tmp_path / "out", "--format", "tsv"]
    done = run(*arguments)
    assert done.returncode == 1
    assert "b.tsv: exists already; --force replaces it" in done.stderr
    assert kept.read_text() == "precious" and not (tmp_path / "out" / "a.tsv").exists()
    assert run(*arguments, "--force").returncode == 0
    assert "low" in kept.read_text()


def test_force_does_not_replace_results_of_a_recording_that_is_unreadable_now(tiny_path, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "out").mkdir()
    kept = tmp_path / "out" / "a.tsv"
    kept.write_text("precious")
    done = run(
        "detect",
        tmp_path / "a.wav",
        "--model",
        tiny_path,
        "-o",
        tmp_path / "out",
        "--format",
        "tsv",
        "--force",
    )
    assert done.returncode == 6
    assert kept.read_text() == "precious"


def test_an_output_folder_that_is_a_file(tiny_path, folder, tmp_path):
    (tmp_path / "out").write_text("")
    done = run("detect", folder, "--model", tiny_path, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "out: cannot be made a folder" in done.stderr


def test_formats_without_a_name_need_a_folder_for_several_recordings(tiny_path, folder):
    done = run("detect", folder, "--model", tiny_path, "--format", "audacity")
    assert done.returncode == 2
    assert "no place for the recording's name" in done.stderr
    assert run("detect", folder / "a.wav", "--model", tiny_path, "--format", "audacity").returncode == 0


def test_several_processes_give_the_same_in_the_same_order(tiny_path, folder, tmp_path):
    (folder / "bad.wav").write_bytes(b"nonsense")

    def comparable(text):
        return [record for record in records(text) if not isinstance(record, Summary)]

    alone = run("detect", folder, "--model", tiny_path)
    together = run("detect", folder, "--model", tiny_path, "-j", "2")
    assert alone.returncode == together.returncode == 6
    assert comparable(alone.stdout) == comparable(together.stdout)
    assert alone.stderr == together.stderr
    written = run("detect", folder, "--model", tiny_path, "-j", "2", "-o", tmp_path / "out")
    assert written.returncode == 6 and written.stdout == ""
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_full_disk_stops_with_a_clear_error(tiny_path, folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.tsv").symlink_to("/dev/full")
    done = run("detect", folder / "a.wav", "--model", tiny_path, "-o", tmp_path / "out", "--format", "tsv")
    assert done.returncode == 1
    assert "a.tsv: cannot write: No space left on device" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("width", ["2", "5"])
def test_recordings_that_share_runs_give_what_they_give_alone(tiny_path, folder, tmp_path, width):
    (folder / "broken.wav").write_bytes(b"RIFF")
    # Shorter and longer ones, of other rates, so that they end at different times.
    write_wav(folder / "short.wav", scene()[: 16000 // 2])
    write_wav(folder / "other.wav", scene(44100), 44100)
    alone = run("detect", folder, "--model", tiny_path)
    together = run("detect", folder, "--model", tiny_path, "--batch", width)
    assert alone.returncode == together.returncode == 6
    assert "broken.wav" in together.stderr
    assert _without_time(together.stdout) == _without_time(alone.stdout)
    written = run("detect", folder, "--model", tiny_path, "--batch", width, "-o", tmp_path / "out")
    assert written.returncode == 6
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == ["a", "b", "c", "other", "short"]
    texts = {path.stem: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert _without_time(texts["other"]) == [
        line for line in _without_time(alone.stdout) if line.get("source") == "other.wav"
    ]


def _without_time(text):
    """Records as mappings, without how long they took."""
    return [
        {name: value for name, value in json.loads(line).items() if name != "rtf"}
        for line in text.splitlines()
    ]


def test_a_batch_is_one_process(tiny_path, folder):
    done = run("detect", folder, "--model", tiny_path, "--batch", "2", "-j", "2")
    assert done.returncode == 2
    assert "--batch: expected --jobs 1 beside it, got 2" in done.stderr


def test_a_batch_with_posteriors_and_tags(tiny_path, folder, tmp_path):
    done = run(
        "detect", folder, "--model", tiny_path, "--batch", "3", "--tags", "--posteriors", tmp_path / "p"
    )
    assert done.returncode == 0, done.stderr
    lone = run("detect", folder, "--model", tiny_path, "--tags", "--posteriors", tmp_path / "lone")
    assert _without_time(done.stdout) == _without_time(lone.stdout)
    for name in ("a.tsv", "b.tsv", "c.tsv"):
        assert (tmp_path / "p" / name).read_text() == (tmp_path / "lone" / name).read_text()


@pytest.mark.parametrize("jobs", [1, 2])
def test_head_ends_it_quietly(tiny_path, folder, jobs):
    process = start("detect", folder, "--model", tiny_path, "-j", jobs)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_open_events_and_writes_the_summary(tiny_path, tmp_path, number):
    path = write_wav(tmp_path / "long.wav", np.tile(scene(), 400))
    process = start("detect", path, path, "--model", tiny_path)
    lines = wait_for(process, "event")
    interrupt(process, number)
    rest, complaints = finish(process)
    assert process.returncode == 0
    assert "streamsed: stopped: " in complaints and "Traceback" not in complaints
    found = records("".join(lines) + rest)
    assert isinstance(found[-1], Summary) and found[-1].events == len(events("".join(lines) + rest))
    assert found[-1].audio_seconds < 2400


def test_ctrl_c_ends_several_processes(tiny_path, tmp_path):
    paths = [write_wav(tmp_path / f"{name}.wav", np.tile(scene(), 300)) for name in "abcd"]
    process = start("detect", *paths, "--model", tiny_path, "-j", "2", "-o", tmp_path / "out")
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("out/*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, complaints = finish(process)
    assert process.returncode == 0
    assert "Traceback" not in complaints and "recordings are complete" in complaints
    for path in tmp_path.glob("out/*.jsonl"):
        assert isinstance(records(path.read_text())[-1], Summary)


def test_a_second_ctrl_c_leaves_no_process_behind(tiny_path, tmp_path):
    paths = [write_wav(tmp_path / f"{name}.wav", np.tile(scene(), 300)) for name in "abcd"]
    process = start("detect", *paths, "--model", tiny_path, "-j", "2", "-o", tmp_path / "out")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Two signals that come while the first is still handled are one: so the second one is repeated.
    while process.poll() is None:
        interrupt(process)
        time.sleep(0.01)
    finish(process)
    assert process.returncode in (0, 130)
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline + 30, "a worker outlived its parent"
        time.sleep(0.05)


def test_a_terminal_gets_a_progress_bar(tiny_path, tmp_path):
    path = write_wav(tmp_path / "long.wav", np.tile(scene(), 200))
    terminal = Terminal(["detect", path, "--model", tiny_path], stdout=subprocess.PIPE)
    out = terminal.process.stdout.read().decode()
    assert terminal.close() == 0
    assert len(events(out)) == 600
    assert re.search(r"0/1 .*\d+ %.* long\.wav", terminal.text)


def test_a_long_recording_is_never_whole_in_memory(tiny_path, tmp_path):
    # 200 MB of samples as float32.
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 48000, 4, "PCM_16") as file:
        for _ in range(90):
            file.write(np.zeros((3 * 48000, 4), np.int16))
    script = (
        "import sys\nfrom streamsed.cli import main\ncode = main(sys.argv[1:])\n"
        "peak = next(line for line in open('/proc/self/status') if 'VmHWM' in line)\n"
        "print(peak.split()[1], file=sys.stderr)\n"
        "sys.exit(code)"
    )

    def peak_megabytes(path):
        command = [sys.executable, "-c", script, "detect", path, "--model", tiny_path]
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        return int(done.stderr) / 1024

    short = peak_megabytes(write_wav(tmp_path / "short.wav", scene()))
    assert peak_megabytes(tmp_path / "long.wav") < short + 40


@pytest.mark.parametrize("threshold", ["1.0", "low=1.0"])
def test_thresholds(tiny_path, folder, threshold):
    done = run("detect", folder / "a.wav", "--model", tiny_path, "--threshold", threshold)
    assert "low" not in {event.label for event in events(done.stdout)}


class TestPosteriors:
    def test_tables_are_what_the_library_computes_and_what_evaluate_reads(self, tiny_path, folder, tmp_path):
        done = run(
            "detect",
            folder,
            "--model",
            tiny_path,
            "-o",
            tmp_path / "out",
            "--posteriors",
            tmp_path / "scores",
        )
        assert done.returncode == 0, done.stderr
        detector = load(tiny_path)
        found = read_score_files(tmp_path / "scores")
        assert sorted(found) == ["a", "b", "c"]
        for name, path in (("a", "a.wav"), ("b", "b.flac"), ("c", "deep/c.ogg")):
            samples, rate = soundfile.read(folder / path, dtype="float32")
            expected = FrameScores.of_posteriors(
                detector.posteriors(samples, rate), detector.labels, detector.bundle.clock
            )
            np.testing.assert_allclose(found[name].scores, expected.scores, rtol=0, atol=1e-6)
            np.testing.assert_allclose(found[name].boundaries, expected.boundaries, rtol=0, atol=1e-6)
        reference = tmp_path / "reference.tsv"
        lines = [
            f"{name}\t{onset}\t{offset}\t{label}\n"
            for name in ("a.wav", "b.flac", "c.ogg")
            for onset, offset, label in TRUTH
        ]
        reference.write_text("filename\tonset\toffset\tevent_label\n" + "".join(lines))
        judged = run("evaluate", reference, tmp_path / "out", "--posteriors", tmp_path / "scores", "--json")
        assert judged.returncode == 0, judged.stderr
        frames = json.loads(judged.stdout)["frame_based"]
        assert frames["recordings"] == 3
        assert frames["macro"]["average_precision"] > 0.95

    def test_records_go_to_stdout_beside_them(self, tiny_path, folder, tmp_path):
        alone = run("detect", folder, "--model", tiny_path)
        done = run("detect", folder, "--model", tiny_path, "-j", "2", "--posteriors", tmp_path / "scores")
        assert done.returncode == 0, done.stderr
        assert events(done.stdout) == events(alone.stdout)
        assert len(read_score_files(tmp_path / "scores")) == 3

    def test_existing_tables_are_kept_unless_forced(self, tiny_path, folder, tmp_path):
        (tmp_path / "scores").mkdir()
        kept = tmp_path / "scores" / "b.tsv"
        kept.write_text("precious")
        arguments = ["detect", folder, "--model", tiny_path, "--posteriors", tmp_path / "scores"]
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stdout == "" and "b.tsv: exists already; --force replaces it" in done.stderr
        assert [path.name for path in (tmp_path / "scores").iterdir()] == ["b.tsv"]
        assert kept.read_text() == "precious"
        assert run(*arguments, "--force").returncode == 0
        assert len(read_score_files(tmp_path / "scores")) == 3

    def test_records_and_tables_do_not_go_into_one_file(self, tiny_path, folder, tmp_path):
        done = run(
            "detect",
            folder,
            "--model",
            tiny_path,
            "-o",
            tmp_path,
            "--posteriors",
            tmp_path,
            "--format",
            "tsv",
        )
        assert done.returncode == 1
        assert "a.tsv: expected each output once" in done.stderr
        assert not list(tmp_path.glob("*.tsv"))

    def test_a_damaged_recording_gives_the_posteriors_that_it_has(self, tiny_path, folder, tmp_path):
        data = (folder / "a.wav").read_bytes()
        (folder / "cut.wav").write_bytes(data[: 44 + 2 * 16000 * 4])
        (folder / "empty.wav").write_bytes(b"")
        paths = [folder / "cut.wav", folder / "empty.wav"]
        done = run("detect", *paths, "--model", tiny_path, "--posteriors", tmp_path / "scores")
        assert done.returncode == 6
        found = read_score_files(tmp_path / "scores")
        assert list(found) == ["cut"]
        assert found["cut"].boundaries[-1] == pytest.approx(4.0, abs=0.05)

    def test_a_full_disk(self, tiny_path, folder, tmp_path):
        (tmp_path / "scores").mkdir()
        (tmp_path / "scores" / "a.tsv").symlink_to("/dev/full")
        done = run(
            "detect", folder / "a.wav", "--model", tiny_path, "--posteriors", tmp_path / "scores", "--force"
        )
        assert done.returncode == 1
        assert "a.tsv: cannot write: No space left" in done.stderr and "Traceback" not in done.stderr
