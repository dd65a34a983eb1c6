"""Videos and cameras on the command line."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli import Terminal, finish, records, start
from pulse import DEVICE, Pulse
from test_side_streams import pictures, sound
from tiny_av import tiny_av_bundle
from videos import RATE, write_video

import streamsed
from streamsed.bundle import write_golden
from streamsed.cli import main
from streamsed.golden import golden_samples, make_golden

BLINKING = (
    "lavfi:color=c=black:s=64x48:r=25,drawbox=t=fill:c=white:enable='lt(mod(t,1),0.5)',format=rgb24,realtime"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    bundle = tiny_av_bundle(tmp_path_factory.mktemp("av"), auditory=True, rate_hz=15.0)
    write_golden(bundle.path, make_golden(streamsed.load(bundle.path), golden_samples(RATE)))
    return bundle.path


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    images, times = pictures()
    return write_video(
        tmp_path_factory.mktemp("video") / "clip.mp4",
        pictures=list(zip(times, images, strict=True)),
        samples=sound(),
    )


def found(text: str) -> list[tuple[str, float, tuple[str, ...]]]:
    return sorted(
        (item.label, item.onset, tuple(item.modalities)) for item in records(text) if item.type == "event"
    )


def test_detect_and_listen_see_the_same_in_a_video(model, video, capfd):
    assert main(["detect", str(video), "--model", str(model)]) == 0
    detected = capfd.readouterr()
    assert main(["listen", "--video", str(video), "--model", str(model), "--latency", "high"]) == 0
    heard = capfd.readouterr()
    assert found(detected.out) == found(heard.out)
    assert [label for label, *_ in found(detected.out)] == ["bright", "loud", "loud_before"]
    assert {modalities for *_, modalities in found(detected.out)} == {("audio", "visual")}
    assert detected.err == heard.err == ""
    for text in (detected.out, heard.out):
        assert json.loads(text.splitlines()[-1])["pictures"]["used"] == 36


def test_sound_alone_is_said_once(model, tmp_path, capfd):
    path = tmp_path / "sound.wav"
    soundfile.write(path, sound(), RATE)
    for command in (
        ["detect", str(path)],
        ["listen", "--video", str(path)],
        ["listen", "--input", str(path)],
    ):
        assert main([*command, "--model", str(model)]) == 0
        captured = capfd.readouterr()
        assert captured.err.count("no pictures") == 1 and captured.err.count("\n") == 1
        assert {modalities for *_, modalities in found(captured.out)} == {("audio",)}
        conditions = [item.condition for item in records(captured.out) if item.type == "health"]
        assert conditions.count("no_picture") == 1
    assert main(["detect", str(path), "--model", str(model), "--format", "text"]) == 0
    assert "(without pictures)" in capfd.readouterr().out


def test_a_folder_gives_its_videos_where_there_is_no_sound_of_that_name(model, video, tmp_path, capfd):
    shutil.copy(video, tmp_path / "a.mp4")
    shutil.copy(video, tmp_path / "b.mp4")
    soundfile.write(tmp_path / "b.wav", sound(), RATE)
    assert main(["detect", str(tmp_path), "--model", str(model), "-o", str(tmp_path / "out")]) == 0
    out = {path.stem: found(path.read_text()) for path in (tmp_path / "out").iterdir()}
    assert {modalities for *_, modalities in out["a"]} == {("audio", "visual")}
    assert {modalities for *_, modalities in out["b"]} == {("audio",)}


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("silent.mkv", 6, "no sound in it"), ("missing.mp4", 6, "no such file"), ("cut.mp4", 6, "cut off")],
)
def test_what_is_wrong_with_a_video_is_input_trouble(model, video, tmp_path, capfd, name, code, message):
    path = tmp_path / name
    if name == "silent.mkv":
        images, times = pictures(0.5)
        write_video(path, pictures=list(zip(times, images, strict=True)))
    elif name == "cut.mp4":
        path.write_bytes(video.read_bytes()[:-400])
    for command in (["detect", str(path)], ["listen", "--video", str(path)]):
        assert main([*command, "--model", str(model)]) == code
        assert message in capfd.readouterr().err


def test_usage(model, video, tiny_path, capfd):
    for arguments, message in (
        (["--model", str(tiny_path), "--video", str(video)], "takes pictures"),
        (["--model", str(model), "--video", str(video), "--device", "0"], "its own sound"),
        (["--model", str(model), "--video", str(video), "--rate", "8000"], "knows its own"),
        (["--model", str(model), "--video", BLINKING, "--input", str(video)], "a live input"),
    ):
        assert main(["listen", *arguments]) == 2
        assert message in capfd.readouterr().err


def test_a_camera_that_is_not_there_is_no_device(model, video, capfd):
    arguments = ["--video", "/dev/video99", "--input", str(video), "--realtime"]
    assert main(["listen", "--model", str(model), *arguments]) == 3
    assert "camera /dev/video99: cannot be opened" in capfd.readouterr().err


def test_the_live_view_says_what_it_has(model, video):
    terminal = Terminal(["listen", "--video", video, "--realtime", "--model", model, "--duration", "2.9"])
    terminal.wait_for("hears and sees")
    terminal.wait_for("hears, no picture")
    assert terminal.close() == 0


def test_inspect_latency_and_doctor_know_side_inputs(model, capfd):
    assert main(["inspect", str(model)]) == 0
    text = capfd.readouterr().out
    assert "side input visual" in text and "pictures 16 x 12, 15 a second at most; 2 values" in text
    assert "0.1 s of 8 mels at 8000 Hz every 0.04 s" in text and "audio, visual" in text
    assert "golden check passed" in text
    assert main(["latency", "--model", str(model), "--seconds", "0.5", "--json"]) == 0
    measured = json.loads(capfd.readouterr().out)["measured"]
    assert measured["picture_p50_ms"] > 0


@pytest.mark.microphone
def test_a_camera_beside_a_microphone(pulse: Pulse, model):
    pulse.play(np.random.default_rng(0).normal(0, 1e-3, 8 * 48000).astype(np.float32))
    process = start("listen", "--device", DEVICE, "--video", BLINKING, "--model", model, "--duration", "3.4")
    reader = threading.Timer(60.0, process.kill)
    reader.start()
    out, err = finish(process)
    reader.cancel()
    assert process.returncode == 0, err
    bright = [item for item in records(out) if item.type == "event" and item.label == "bright"]
    # On a busy machine a picture may come too late for the sound of its time, never for all of them.
    seen = [item for item in bright if item.modalities == ["audio", "visual"]]
    assert len(seen) >= 3
    # The first one may have been white for a while already.
    onsets = np.array([item.onset for item in seen[1:]])
    np.testing.assert_allclose(np.diff(onsets), 1.0, atol=0.4)
    summary = json.loads(out.splitlines()[-1])
    assert summary["pictures"]["used"] >= 15 and summary["pictures"]["encode_ms"]["p50"] > 0
