"""Embeddings of files: times, what is known already, what is refused."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="encoders need the train extra")
pytest.importorskip("av", reason="videos need the video extra")

import encoder_files as files  # noqa: E402
import soundfile  # noqa: E402
import videos  # noqa: E402

from streamsed.config import LogMelConfig  # noqa: E402
from streamsed.errors import ConfigError, FormatError  # noqa: E402
from streamsed.frontend import LogMel  # noqa: E402
from training.data.adapters import Recording  # noqa: E402
from training.encoders import (  # noqa: E402
    EmbeddingCache,
    WaveformInput,
    encoder_from_config,
)
from training.encoders.__main__ import main  # noqa: E402
from training.encoders.extract import embed, extract, media_of_all  # noqa: E402
from training.encoders.vggish import FRONT_END, VGGishSettings, vggish  # noqa: E402
from training.encoders.windows import windows  # noqa: E402

RATE = videos.RATE


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Means(torch.nn.Module):
    """What an item is on average, and in its first and last part: numbers whose values are known."""

    def forward(self, batch):
        flat = batch.flatten(1)
        half = flat.shape[1] // 2
        return torch.stack([flat.mean(1), flat[:, :half].mean(1), flat[:, half:].mean(1)], 1)


@pytest.fixture(scope="module")
def image_config(tmp_path_factory) -> dict[str, object]:
    """Pictures of 4 x 6; the embedding of a grey one is its level."""
    path = files.write_onnx(tmp_path_factory.mktemp("onnx") / "image.onnx", Means(), (3, 4, 6))
    return {
        "kind": "onnx",
        "file": str(path),
        "image": {"height": 4, "width": 6, "mean": [0, 0, 0], "std": [1, 1, 1]},
    }


@pytest.fixture(scope="module")
def audio_config(tmp_path_factory) -> dict[str, object]:
    """Log-mels of 0.1 s every 0.05 s."""
    path = files.write_onnx(tmp_path_factory.mktemp("onnx") / "audio.onnx", Means(), (10, 8))
    front_end = {"sample_rate": RATE, "n_mels": 8, "window_length": 400, "hop_length": 160, "n_fft": 512}
    return {
        "kind": "onnx",
        "file": str(path),
        "log_mel": {"front_end": front_end, "window_frames": 10, "hop_frames": 5},
    }


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two seconds of sound and thirty pictures that become brighter."""
    return videos.write_video(
        tmp_path_factory.mktemp("film") / "film.mp4", pictures=videos.ramp(30), samples=files.noise(2 * RATE)
    )


# ---- what an embedding is of, and when it is known -------------------------------------------------------------------


def test_ten_seconds_have_the_windows_of_the_paper():
    encoder = vggish(VGGishSettings(**files.TINY_VGGISH))
    samples = files.noise(160000)
    found = list(windows(samples, encoder.input))
    assert len(found) == 151
    frames = LogMel(FRONT_END)(samples)
    for number in (0, 1, 150):
        window, end = found[number]
        np.testing.assert_array_equal(window, frames[6 * number : 6 * number + 96])
        # The last sample of its last frame.
        assert end == pytest.approx(0.06 * number + 0.95 + 0.025)
    assert list(windows(samples[:15000], encoder.input)) == []


def test_windows_of_samples():
    samples = files.noise(1000)
    found = list(windows(samples, WaveformInput(100, 400, 200)))
    assert [end for _, end in found] == [4.0, 6.0, 8.0, 10.0]
    np.testing.assert_array_equal(found[1][0], samples[200:600])


def test_sound_of_audio_and_video_files_is_embedded_alike(audio_config, tmp_path):
    samples = files.noise(RATE)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    film = videos.write_video(
        tmp_path / "a.mkv", pictures=videos.ramp(15), samples=samples, audio_codec="flac"
    )
    encoder = encoder_from_config(audio_config)
    heard, seen = embed(tmp_path / "a.wav", encoder), embed(film, encoder)
    np.testing.assert_allclose(seen.features, heard.features, atol=0.01)
    np.testing.assert_array_equal(seen.times, heard.times)
    log_mel = LogMel(LogMelConfig(**audio_config["log_mel"]["front_end"]))(samples)
    np.testing.assert_allclose(
        heard.features[:, 0], [log_mel[5 * i : 5 * i + 10].mean() for i in range(18)], rtol=1e-5
    )
    np.testing.assert_allclose(heard.times, [(5 * i + 9) * 0.01 + 0.025 for i in range(18)])


def test_another_rate_is_resampled(audio_config, tmp_path):
    time = np.arange(2 * RATE) / RATE
    for rate in (RATE, 44100):
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
        soundfile.write(tmp_path / f"{rate}.wav", tone, rate, subtype="FLOAT")
    assert len(time) == 2 * RATE
    encoder = encoder_from_config(audio_config)
    same, other = (embed(tmp_path / f"{rate}.wav", encoder) for rate in (RATE, 44100))
    np.testing.assert_allclose(other.features[2:-2, 1], same.features[2:-2, 1], atol=0.5)
    np.testing.assert_array_equal(other.times, same.times)


def levels(found) -> np.ndarray:
    return found.features[:, 0] * 255


def test_pictures_have_the_times_of_the_file(image_config, tmp_path):
    """Variable frame rate: about 15 a second are looked at, each at its own time."""
    times = [0.0, 0.02, 0.04, 0.06, 0.3, 0.32, 0.9, 1.2]
    film = videos.write_video(
        tmp_path / "v.mp4",
        pictures=[(time, videos.grey(20 * i)) for i, time in enumerate(times)],
        samples=files.noise(2 * RATE),
        audio_codec="aac",
    )
    found = embed(film, encoder_from_config(image_config))
    np.testing.assert_allclose(found.times, [0.0, 0.3, 0.9, 1.2], atol=0.03)
    np.testing.assert_allclose(levels(found), [0, 80, 120, 140], atol=6)
    everything = embed(film, encoder_from_config({**image_config, "rate_hz": 100.0}))
    np.testing.assert_allclose(everything.times, times, atol=0.03)


def test_a_fast_film_is_thinned_to_the_rate(image_config, tmp_path):
    film = videos.write_video(tmp_path / "f.mp4", pictures=videos.ramp(60, fps=60.0, step=4.0))
    found = embed(film, encoder_from_config(image_config))
    assert len(found.times) == 15
    np.testing.assert_allclose(levels(found), 240 * found.times, atol=6)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_rotated_pictures_are_embedded_upright(image_config, tmp_path, angle):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24] = 200  # bright above
    for name, rotation in (("upright", 0), ("rotated", angle)):
        stored = np.rot90(image, -rotation // 90)
        videos.write_video(
            tmp_path / f"{name}.mp4", pictures=[(i / 15, stored) for i in range(3)], rotation=rotation
        )
    encoder = encoder_from_config(image_config)
    upright, rotated = (embed(tmp_path / f"{name}.mp4", encoder) for name in ("upright", "rotated"))
    np.testing.assert_allclose(rotated.features, upright.features, atol=0.03)
    # The planes come one after the other, so the halves of a batch are no halves of a picture: compare with another.
    assert levels(upright)[0] == pytest.approx(100, abs=6)


# ---- what is kept ----------------------------------------------------------------------------------------------------


def cache_of(root: Path, config) -> EmbeddingCache:
    return EmbeddingCache(root, encoder_from_config(config))


def test_files_are_computed_once(image_config, film, tmp_path):
    first = extract([film, film], image_config, tmp_path)
    assert (first.computed, first.known, first.failures) == (1, 0, ())
    assert first.folder == cache_of(tmp_path, image_config).folder
    stored = cache_of(tmp_path, image_config).read(film)
    expected = embed(film, encoder_from_config(image_config))
    assert stored.features.dtype == np.float16
    np.testing.assert_allclose(stored.features, expected.features, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(stored.times, expected.times)
    again = extract([film], image_config, tmp_path)
    assert (again.computed, again.known) == (0, 1)
    # The content counts, not the name.
    other = Path(shutil.copy(film, tmp_path / "renamed.mp4"))
    assert extract([other], image_config, tmp_path).known == 1
    assert cache_of(tmp_path, image_config).read(other).features.shape == stored.features.shape


def test_a_changed_file_is_computed_anew(audio_config, tmp_path):
    sound = tmp_path / "a.wav"
    soundfile.write(sound, files.noise(RATE), RATE)
    assert extract([sound], audio_config, tmp_path / "cache").computed == 1
    soundfile.write(sound, files.noise(2 * RATE), RATE)
    with pytest.raises(
        FormatError, match=r"a\.wav: no embeddings of .*; make them with python -m training\.enc"
    ):
        cache_of(tmp_path / "cache", audio_config).read(sound)
    assert extract([sound], audio_config, tmp_path / "cache").computed == 1


def test_an_interrupted_run_goes_on(audio_config, tmp_path, monkeypatch):
    sounds = [tmp_path / f"{number}.wav" for number in range(4)]
    for number, sound in enumerate(sounds):
        soundfile.write(sound, files.noise(RATE // 2, seed=number), RATE)

    def interrupted(path, encoder, batch_size):
        if path == sounds[2]:
            raise KeyboardInterrupt
        return embed(path, encoder, batch_size)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("training.encoders.extract.embed", interrupted)
        extract(sounds, audio_config, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.part"))
    done = extract(sounds, audio_config, tmp_path / "cache")
    assert (done.computed, done.known) == (2, 2)


def test_other_processes_find_the_same(audio_config, tmp_path, monkeypatch):
    """What a process is given is pickled, makes its own encoder, and finds what one process alone does."""
    sounds = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, sound in enumerate(sounds):
        soundfile.write(sound, files.noise(RATE, seed=number), RATE)
    gone = tmp_path / "gone.wav"

    def pickled(items, start, workers):
        assert workers == 2
        work = pickle.loads(pickle.dumps(start))()
        return iter([pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(item))))) for item in items])

    caches = [tmp_path / f"cache{workers}" for workers in (1, 2)]
    for workers, cache in enumerate(caches, 1):
        with monkeypatch.context() as patched:
            if workers == 2:
                patched.setattr("training.encoders.extract.run_jobs", pickled)
            done = extract([*sounds, gone], audio_config, cache, workers=workers, batch_size=3 * workers)
        assert (done.computed, [item.path for item in done.failures]) == (3, [gone])
    for sound in sounds:
        one, two = (cache_of(cache, audio_config).read(sound) for cache in caches)
        np.testing.assert_allclose(one.features, two.features, rtol=1e-3)
        np.testing.assert_array_equal(one.times, two.times)


def test_the_precision_is_a_choice_of_its_own(audio_config, tmp_path):
    soundfile.write(tmp_path / "a.wav", files.noise(RATE), RATE)
    extract([tmp_path / "a.wav"], audio_config, tmp_path, precision="float32")
    encoder = encoder_from_config(audio_config)
    found = EmbeddingCache(tmp_path, encoder, "float32").read(tmp_path / "a.wav")
    assert found.features.dtype == np.float32
    np.testing.assert_array_equal(found.features, embed(tmp_path / "a.wav", encoder).features)
    with pytest.raises(FormatError, match=r"float16' below .*, only those of '.*float32'"):
        EmbeddingCache(tmp_path, encoder).read(tmp_path / "a.wav")
    with pytest.raises(ConfigError, match="precision: expected float16 or float32, got 'int8'"):
        EmbeddingCache(tmp_path, encoder, "int8")


def test_numbers_that_cannot_be_kept_are_failures(tmp_path):
    class Large(torch.nn.Module):
        def forward(self, batch):
            return batch[:, 0] * 1e9

    path = files.write_onnx(tmp_path / "large.onnx", Large(), (10, 8))
    config = {
        "kind": "onnx",
        "file": str(path),
        "log_mel": {"front_end": {"n_mels": 8}, "window_frames": 10, "hop_frames": 5},
    }
    soundfile.write(tmp_path / "a.wav", files.noise(RATE), RATE)
    with np.errstate(over="ignore"):
        (failure,) = extract([tmp_path / "a.wav"], config, tmp_path / "cache").failures
    assert failure.reason == f"{tmp_path / 'a.wav'}: expected finite features in float16, got NaN or infinity"
    assert extract([tmp_path / "a.wav"], config, tmp_path / "cache", precision="float32").computed == 1


# ---- what is refused -------------------------------------------------------------------------------------------------


def fingerprints(text: str) -> list[str]:
    return re.findall("'([^']*float16)'", text)


def test_embeddings_of_another_encoder_are_refused_with_both_named(image_config, film, tmp_path):
    extract([film], image_config, tmp_path)
    other = {**image_config, "rate_hz": 5.0}
    with pytest.raises(FormatError, match="only those of") as caught:
        cache_of(tmp_path, other).read(film)
    expected, got = fingerprints(str(caught.value))
    assert expected == cache_of(tmp_path, other).fingerprint
    assert got == cache_of(tmp_path, image_config).fingerprint != expected


def test_a_folder_or_file_put_under_another_name_is_refused(image_config, film, tmp_path):
    extract([film], image_config, tmp_path)
    mine, other = cache_of(tmp_path, image_config), cache_of(tmp_path, {**image_config, "rate_hz": 5.0})
    other.create()
    shutil.copy(mine.path_of(film), other.path_of(film))
    for use in (other.read, other.has):
        with pytest.raises(FormatError, match="expected embeddings of") as caught:
            use(film)
        assert fingerprints(str(caught.value)) == [other.fingerprint, mine.fingerprint]
    shutil.copy(mine.folder / "encoder.json", other.folder / "encoder.json")
    with pytest.raises(FormatError, match="expected embeddings of") as caught:
        cache_of(tmp_path, {**image_config, "rate_hz": 5.0})
    assert fingerprints(str(caught.value)) == [other.fingerprint, mine.fingerprint]
    (other.folder / "encoder.json").write_text("{")
    with pytest.raises(FormatError, match=r"encoder\.json: expected the fingerprint of an encoder"):
        extract([film], {**image_config, "rate_hz": 5.0}, tmp_path)


def test_damaged_embeddings_are_named_and_computed_anew(image_config, film, tmp_path):
    extract([film], image_config, tmp_path)
    cache = cache_of(tmp_path, image_config)
    path = cache.path_of(film)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=f"{path}: damaged; delete it"):
            cache.read(film)
        assert extract([film], image_config, tmp_path).computed == 1
        assert len(cache.read(film).times) == 30
    np.savez(path, features=np.zeros((2, 4)), times=np.zeros(2), encoder=cache.fingerprint, reason="")
    with pytest.raises(FormatError, match=r"expected \(N, 3\) and \(N,\), got \(2, 4\) and \(2,\)"):
        cache.read(film)


def test_a_list_of_contents_that_was_cut_off_is_read(image_config, film, tmp_path):
    extract([film], image_config, tmp_path)
    contents = tmp_path / "contents.tsv"
    assert str(film) in contents.read_text()
    contents.write_text(contents.read_text()[:-30] + "\nnonsense\n")
    assert extract([film], image_config, tmp_path).known == 1


def bad_media(folder: Path) -> dict[str, Path]:
    """Files in which an encoder of pictures, or of sound, finds nothing."""
    whole = videos.write_video(folder / "whole.mkv", pictures=videos.ramp(30), samples=files.noise(2 * RATE))
    for name in ("cut.mkv", "cut.mp4"):
        content = whole.read_bytes() if name.endswith("mkv") else film_of(folder).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    zero = videos.write_video(folder / "zero.mkv", pictures=videos.ramp(3), video_codec="ffv1")
    zero.write_bytes(zero.read_bytes().replace(b"\xb0\x81\x40\xba\x81\x30", b"\xb0\x81\x00\xba\x81\x00"))
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").touch()
    return {
        "cut.mkv": folder / "cut.mkv",
        "cut.mp4": folder / "cut.mp4",
        "text.mp4": folder / "text.mp4",
        "empty.mp4": folder / "empty.mp4",
        "zero.mkv": zero,
        "silent.mp4": videos.write_video(folder / "silent.mp4", pictures=videos.ramp(5)),
        "blind.mp4": videos.write_video(folder / "blind.mp4", samples=files.noise(RATE)),
        "gone.mp4": folder / "gone.mp4",
    }


def film_of(folder: Path) -> Path:
    return videos.write_video(folder / "other.mp4", pictures=videos.ramp(30), samples=files.noise(2 * RATE))


SAID = {
    "cut.mkv": "cut off",
    "cut.mp4": "cut off",
    "text.mp4": "not readable",
    "empty.mp4": "empty file",
    "zero.mkv": {"image": "expected pictures with a size, got 0 x 0", "audio": "no sound in it"},
    "silent.mp4": {"audio": "no sound in it"},
    "blind.mp4": {"image": "no pictures in it"},
    "gone.mp4": "No such file",
}


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_what_holds_nothing_to_embed_is_named(kind, image_config, audio_config, film, tmp_path):
    config = image_config if kind == "image" else audio_config
    media = bad_media(tmp_path)
    done = extract([film, *media.values()], config, tmp_path / "cache")
    expected = {
        name: said if isinstance(said, str) else said[kind]
        for name, said in SAID.items()
        if isinstance(said, str) or kind in said
    }
    assert {item.path.name for item in done.failures} == set(expected)
    for failure in done.failures:
        assert failure.reason.startswith(f"{failure.path}: ")
        assert expected[failure.path.name] in failure.reason
    assert done.computed == 1 + len(media) - len(expected)


def test_bad_files_can_be_kept_as_having_nothing(image_config, tmp_path):
    blind = videos.write_video(tmp_path / "blind.mp4", samples=files.noise(RATE))
    for run in range(2):
        done = extract([blind], image_config, tmp_path / "cache", skip_bad=True)
        assert (run, done.computed, done.known, len(done.failures)) == (run, 0, 0, 1)
    found = cache_of(tmp_path / "cache", image_config).read(blind)
    assert found.features.shape == (0, 3)
    assert found.times.shape == (0,)
    assert "no pictures in it" in found.reason


def test_a_short_sound_has_no_windows_and_is_no_failure(audio_config, tmp_path):
    soundfile.write(tmp_path / "a.wav", files.noise(500), RATE)
    assert extract([tmp_path / "a.wav"], audio_config, tmp_path / "cache").computed == 1
    found = cache_of(tmp_path / "cache", audio_config).read(tmp_path / "a.wav")
    assert (found.features.shape, found.reason) == ((0, 3), "")


def test_files_of_recordings_are_those_that_the_encoder_takes():
    with_video = Recording(Path("a.wav"), "a", "", "", 1.0, video=Path("a.mp4"))
    without = Recording(Path("b.wav"), "b", "", "", 1.0)
    assert media_of_all([with_video, without], "image") == [Path("a.mp4")]
    assert media_of_all([with_video, without], "audio") == [Path("a.wav"), Path("b.wav")]


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_extracts_folders(audio_config, film, tmp_path, capsys):
    settings = tmp_path / "encoder.toml"
    item = audio_config["log_mel"]
    front_end = ", ".join(f"{key} = {value}" for key, value in item["front_end"].items())
    settings.write_text(
        f'kind = "onnx"\nfile = {json.dumps(audio_config["file"])}\n'
        f"log_mel = {{ front_end = {{ {front_end} }}, window_frames = 10, hop_frames = 5 }}\n"
    )
    folder = tmp_path / "media"
    (folder / "more").mkdir(parents=True)
    shutil.copy(film, folder / "film.mp4")
    soundfile.write(folder / "more/a.wav", files.noise(RATE), RATE)
    (folder / "notes.txt").touch()
    command = ["extract", "--encoder", str(settings), "--cache", str(tmp_path / "cache"), str(folder)]
    assert main(command) == 0
    assert "2 files computed, 0 known already, 0 without embeddings" in capsys.readouterr().out
    (folder / "b.wav").write_text("no sound")
    assert main(command) == 6
    printed, said = capsys.readouterr()
    assert "0 files computed, 2 known already, 1 without embeddings" in printed
    assert said.startswith(f"encoders: {folder / 'b.wav'}: ")
    assert main([*command, "--skip-bad"]) == 0


def test_the_command_says_what_an_encoder_is(image_config, capsys):
    assert main(["info"]) == 0
    assert "vggish-10086976.pth" in capsys.readouterr().out
    image = "image = {height = 4, width = 6, mean = [0, 0, 0], std = [1, 1, 1]}"
    given = ["kind=onnx", f"file={image_config['file']}", image.replace(" = {", "={", 1), "rate_hz=5.0"]
    assert main(["info", *(part for text in given for part in ("--encoder", text))]) == 0
    printed = capsys.readouterr().out
    assert "takes image: 3 x 4 x 6" in printed
    assert "pictures a second, at most: 5" in printed
    assert "gives: 3 numbers" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["info", "--encoder", "kind=vgg19"], 2, "encoder.kind: expected one of"),
        (
            ["info", "--encoder", "kind=vggish", "--encoder", "weights=nowhere"],
            6,
            "vggish-10086976.pth of harritaylor",
        ),
        (["info", "--encoder", "none.toml"], 6, "none.toml: expected KEY=VALUE, or a TOML file"),
        (["extract", "--encoder", "kind=vgg16", "--cache", "c", "."], 6, "expected video files, got none"),
    ],
)
def test_the_command_names_what_is_wrong(arguments, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "kind=vgg16" in arguments:
        arguments = [
            *arguments[:3],
            "--encoder",
            "channels=[1, 1, 1, 1, 1]",
            "--encoder",
            "hidden=2",
            *arguments[3:],
        ]
    assert main(arguments) == code
    assert said in capsys.readouterr().err
