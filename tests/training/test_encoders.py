"""The networks, their public weight files, and encoders of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="encoders need the train extra")

import encoder_files as files  # noqa: E402
import onnxruntime  # noqa: E402
from torch import nn  # noqa: E402

from streamsed.errors import ConfigError, FormatError  # noqa: E402
from streamsed.frontend import LogMel  # noqa: E402
from training.encoders import (  # noqa: E402
    VGG16,
    Encoder,
    VGG16Settings,
    VGGish,
    VGGishSettings,
    encoder_from_config,
    item_shape,
    load_weights,
    side_input_spec,
    vgg16,
    vggish,
)
from training.encoders.vgg16 import WEIGHTS as VGG16_WEIGHTS  # noqa: E402
from training.encoders.vggish import FRONT_END, LOG_OFFSET  # noqa: E402
from training.encoders.vggish import WEIGHTS as VGGISH_WEIGHTS  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


# ---- the networks ----------------------------------------------------------------------------------------------------


def test_vggish_has_the_parameters_of_the_public_port():
    with torch.device("meta"):
        network = VGGish()
    assert parameters(network) == 72_141_184
    found = shapes(network)
    assert [name for name in found if name.endswith("weight")] == [
        *(f"features.{number}.weight" for number in (0, 3, 6, 8, 11, 13)),
        *(f"embeddings.{number}.weight" for number in (0, 2, 4)),
    ]
    assert found["features.0.weight"] == (64, 1, 3, 3)
    assert found["features.13.weight"] == (512, 512, 3, 3)
    assert found["embeddings.0.weight"] == (4096, 512 * 6 * 4)
    assert found["embeddings.4.bias"] == (128,)


def test_vgg16_has_the_parameters_of_torchvision():
    with torch.device("meta"):
        network = VGG16()
    assert parameters(network) == 138_357_544
    found = shapes(network)
    assert [name for name in found if name.endswith("bias")] == [
        *(f"features.{number}.bias" for number in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
        *(f"classifier.{number}.bias" for number in (0, 3, 6)),
    ]
    assert found["features.0.weight"] == (64, 3, 3, 3)
    assert found["classifier.0.weight"] == (4096, 512 * 7 * 7)
    assert found["classifier.6.weight"] == (1000, 4096)


def published_log_mel(samples: np.ndarray) -> np.ndarray:
    """The front-end as VGGish's authors describe it: triangles are straight in mel, where ours are in Hz."""

    def mel(hz):
        return 1127.0 * np.log(1.0 + hz / 700.0)

    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    magnitudes = np.abs(np.fft.rfft(frames * window, 512))
    bins, edges = mel(np.linspace(0, 8000, 257))[:, None], np.linspace(mel(125), mel(7500), 66)
    rising, falling = (
        (bins - edges[:-2]) / np.diff(edges)[:-1],
        (edges[2:] - bins) / np.diff(edges)[1:],
    )
    return np.log(magnitudes @ np.maximum(0.0, np.minimum(rising, falling)) + 0.01)


def test_the_front_end_of_vggish_is_the_published_one():
    samples = files.noise(32000) * np.linspace(0, 3, 32000, dtype=np.float32)
    ours = np.log(LogMel(FRONT_END)(samples) + LOG_OFFSET)
    expected = published_log_mel(samples)
    assert ours.shape == expected.shape
    difference = np.abs(ours - expected)
    assert difference.max() < 0.02
    assert difference.mean() < 0.003


def test_vggish_flattens_as_its_weights_expect():
    encoder = vggish(VGGishSettings(**files.TINY_VGGISH))
    mel = np.abs(files.noise(3, 96, 64))
    network = encoder.network
    with torch.inference_mode():
        maps = network.features(torch.log(torch.from_numpy(mel) + 0.01)[:, None])
        # As the port does it, in two transpositions.
        flat = maps.transpose(1, 3).transpose(1, 2).contiguous().view(3, -1)
        expected = network.embeddings(flat).numpy()
    np.testing.assert_allclose(encoder.encode(mel), expected, rtol=1e-6)


def test_vgg16_gives_the_hidden_layer_that_its_classes_are_made_of():
    encoder = vgg16(VGG16Settings(**files.TINY_VGG16))
    pictures = files.noise(2, 3, 224, 224)
    network = encoder.network
    with torch.inference_mode():
        whole = network.classifier(torch.flatten(network.features(torch.from_numpy(pictures)), 1))
        found = encoder.encode(pictures)
        last = network.classifier[6](torch.from_numpy(found))
    assert found.shape == (2, 7)
    assert found.min() >= 0
    torch.testing.assert_close(last, whole)


@pytest.mark.parametrize("kind", ["vggish", "vgg16"])
def test_networks_are_written_as_onnx(kind, tmp_path):
    sizes = files.TINY_VGGISH if kind == "vggish" else files.TINY_VGG16
    encoder = encoder_from_config({"kind": kind, **sizes})
    batch = np.abs(files.noise(3, *item_shape(encoder.input)))
    session = onnxruntime.InferenceSession(
        encoder.to_onnx(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["embeddings"], {"batch": batch})
    np.testing.assert_allclose(found, encoder.encode(batch), atol=1e-5)


def test_random_weights_are_said_and_repeatable():
    first, again, other = (vggish(VGGishSettings(**files.TINY_VGGISH, seed=seed)) for seed in (3, 3, 4))
    mel = np.abs(files.noise(1, 96, 64))
    assert "random weights of seed 3" in first.fingerprint()
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    np.testing.assert_array_equal(first.encode(mel), again.encode(mel))
    assert np.any(first.encode(mel) != other.encode(mel))
    # Neither dead nor exploding.
    assert 0.01 < np.abs(first.encode(mel)).max() < 100


def test_a_fingerprint_covers_the_input():
    apart, closer = (vggish(VGGishSettings(**files.TINY_VGGISH, hop_frames=hop)) for hop in (6, 3))
    assert apart.fingerprint() != closer.fingerprint()


@pytest.mark.parametrize("bad", [np.zeros((2, 96, 64)), np.zeros((96, 64), np.float32)])
def test_a_batch_of_another_shape_or_type_is_refused(bad):
    with pytest.raises(ConfigError, match=r"batch: expected float32 with shape \(B, 96, 64\)"):
        vggish(VGGishSettings(**files.TINY_VGGISH)).encode(bad)


# ---- weight files ----------------------------------------------------------------------------------------------------


def tiny(seed: int = 0) -> VGGish:
    return vggish(VGGishSettings(**files.TINY_VGGISH, seed=seed)).network


@pytest.mark.parametrize("old_format", [False, True])
def test_weights_are_loaded_by_name_and_hash(old_format, tmp_path):
    """Published files are older than the format that torch writes today."""
    path, published = files.named_by_hash(tiny(7), tmp_path, "vggish", old_format=old_format)
    for place in (path, tmp_path):
        network = tiny(0)
        digest = load_weights(network, place, published)
        assert digest.startswith(published.sha256)
        for name, value in tiny(7).state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["vggish", "vgg16"])
def test_missing_weights_say_where_they_are_had(kind, tmp_path):
    published = {"vggish": VGGISH_WEIGHTS, "vgg16": VGG16_WEIGHTS}[kind]
    project = {"vggish": "harritaylor/torchvggish", "vgg16": "torchvision"}[kind]
    sizes = files.TINY_VGGISH if kind == "vggish" else files.TINY_VGG16
    with pytest.raises(FormatError, match=f"no such file; expected {published.file} of {project}"):
        encoder_from_config({"kind": kind, "weights": str(tmp_path), **sizes})


def test_tampered_weights_are_refused_with_their_hash(tmp_path):
    path, published = files.named_by_hash(tiny(), tmp_path, "vggish")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"begins with {published.sha256}, got [0-9a-f]{{64}}; damaged"):
        load_weights(tiny(), path, published)


def test_a_file_of_the_right_name_alone_is_refused(tmp_path):
    path = tmp_path / VGGISH_WEIGHTS.file
    torch.save(tiny().state_dict(), path)
    with pytest.raises(FormatError, match="begins with 10086976, got"):
        vggish(VGGishSettings(str(path), **files.TINY_VGGISH))


def test_weights_under_another_name_need_their_hash(tmp_path):
    path, published = files.named_by_hash(tiny(5), tmp_path, "vggish")
    mine = path.rename(tmp_path / "mine.pth")
    with pytest.raises(FormatError, match=r"expected vggish-10086976\.pth, or 'sha256'.*called mine\.pth"):
        vggish(VGGishSettings(str(mine), **files.TINY_VGGISH))
    digest = load_weights(tiny(), mine, published, sha256=files.hashlib.sha256(mine.read_bytes()).hexdigest())
    encoder = vggish(VGGishSettings(str(mine), digest, **files.TINY_VGGISH))
    assert f"weights sha256 {digest}" in encoder.fingerprint()
    with pytest.raises(FormatError, match=f"expected a SHA-256 {'0' * 64}, got {digest}"):
        vggish(VGGishSettings(str(mine), "0" * 64, **files.TINY_VGGISH))
    with pytest.raises(ConfigError, match="sha256: expected 64 hexadecimal digits"):
        vggish(VGGishSettings(str(mine), "10086976", **files.TINY_VGGISH))
    with pytest.raises(ConfigError, match="sha256: expected nothing without weights"):
        vggish(VGGishSettings(None, digest, **files.TINY_VGGISH))


def test_parameters_of_another_network_are_refused(tmp_path):
    path, published = files.named_by_hash(tiny(), tmp_path, "vggish")
    wider = VGGish((2, 3, 4, 4), hidden=9, embedding=5)
    with pytest.raises(FormatError, match=r"embeddings\.0\.bias: expected \(9,\), got \(6,\).* more"):
        load_weights(wider, path, published)
    with pytest.raises(FormatError, match=r"classifier\.0\.bias: expected \(7,\), got nothing"):
        load_weights(VGG16(**files.TINY_VGG16), path, published)


@pytest.mark.parametrize("content", ["object", "text", "tensor", "truncated"])
def test_what_is_no_state_dict_is_refused_unpickled(content, tmp_path):
    path = tmp_path / "weights.pth"
    if content == "object":
        torch.save(tiny(), path)
    elif content == "tensor":
        torch.save(torch.zeros(3), path)
    else:
        torch.save(tiny().state_dict(), path)
        path.write_bytes(b"not a file of weights" if content == "text" else path.read_bytes()[:-300])
    digest = files.hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(FormatError, match=r"weights\.pth: (not a file of weights alone|expected names)"):
        load_weights(tiny(), path, VGGISH_WEIGHTS, digest)


# ---- graphs of others ------------------------------------------------------------------------------------------------

MELS = {"front_end": {"n_mels": 8}, "window_frames": 6, "hop_frames": 3}
IMAGE = {"height": 4, "width": 6, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def onnx_config(path: Path, layout: str) -> dict[str, object]:
    item = {"log_mel": MELS} if "t" in layout else {"image": IMAGE}
    if layout.endswith("n"):
        item = {"waveform": {"sample_rate": 8000, "window_samples": 50, "hop_samples": 10}}
    return {"kind": "onnx", "file": str(path), "layout": layout, **item}


LAYOUTS = {
    "btm": ((6, 8), (1, 2), False),
    "bmt": ((8, 6), (2, 1), False),
    "b1tm": ((1, 6, 8), (1, 2), True),
    "b1mt": ((1, 8, 6), (2, 1), True),
    "bchw": ((3, 4, 6), (1, 2, 3), False),
    "bhwc": ((4, 6, 3), (3, 1, 2), False),
    "bn": ((50,), (1,), False),
    "b1n": ((1, 50), (1,), True),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("free_batch", [True, False])
def test_an_onnx_graph_is_an_encoder_in_any_layout(layout, free_batch, tmp_path):
    shape, order, channel = LAYOUTS[layout]
    size = int(np.prod(shape))
    network = files.Projection(size, 5, order, channel)
    path = files.write_onnx(tmp_path / "net.onnx", network, shape, free_batch=free_batch)
    encoder: Encoder = encoder_from_config(onnx_config(path, layout))
    batch = files.noise(3, *item_shape(encoder.input))
    expected = torch.relu(network.linear(torch.from_numpy(batch).flatten(1))).detach().numpy()
    assert encoder.features == 5
    assert encoder.kind == ("image" if "h" in layout else "audio")
    np.testing.assert_allclose(encoder.encode(batch), expected, atol=1e-6)
    # Written for a bundle, all layouts are alike.
    plain = encoder.to_onnx(tmp_path / "plain.onnx")
    session = onnxruntime.InferenceSession(plain, providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == ["batch"]
    (found,) = session.run(["embeddings"], {"batch": batch if free_batch else batch[:1]})
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-6)


@pytest.fixture(scope="module")
def image_graph(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "image.onnx"
    return files.write_onnx(path, files.Projection(72, 5, (1, 2, 3)), (3, 4, 6))


def test_the_sizes_of_a_graph_are_checked(image_graph):
    config = onnx_config(image_graph, "bchw")
    wrong = {**config, "image": {**IMAGE, "width": 5}}
    with pytest.raises(
        ConfigError, match=r"input 'x': expected shape \['B', 3, 4, 5\].*got \[None, 3, 4, 6\]"
    ):
        encoder_from_config(wrong)
    with pytest.raises(ConfigError, match=r"expected shape \['B', 4, 6, 3\]"):
        encoder_from_config({**config, "layout": "bhwc"})
    with pytest.raises(ConfigError, match="log_mel, waveform, image: expected one of them, got"):
        encoder_from_config({**config, "log_mel": MELS})
    with pytest.raises(ConfigError, match="layout: expected one of"):
        encoder_from_config({**config, "layout": "btm"})
    with pytest.raises(ConfigError, match=r"output: expected one of \['y'\]"):
        encoder_from_config({**config, "output": "logits"})


def test_a_graph_that_is_another_is_refused(image_graph, tmp_path):
    config = onnx_config(image_graph, "bchw")
    with pytest.raises(FormatError, match=f"expected SHA-256 {'0' * 64}, got [0-9a-f]{{64}}"):
        encoder_from_config({**config, "sha256": "0" * 64})
    with pytest.raises(FormatError, match="no such file; expected an encoder as ONNX"):
        encoder_from_config({**config, "file": str(tmp_path / "none.onnx")})
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(image_graph.read_bytes()[:100])
    with pytest.raises(FormatError, match="cannot load it"):
        encoder_from_config({**config, "file": str(damaged)})


def test_an_output_that_is_no_embedding_is_refused(tmp_path):
    class Map(nn.Module):
        def forward(self, batch):
            return torch.relu(batch)

    path = files.write_onnx(tmp_path / "map.onnx", Map(), (3, 4, 6))
    with pytest.raises(ConfigError, match=r"output 'y': expected float32 with shape \(B, D\), got .*3, 4, 6"):
        encoder_from_config(onnx_config(path, "bchw"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "encoder.kind: expected one of"),
        ({"kind": "timm"}, "encoder.kind: expected one of .*got 'timm'"),
        ({"kind": "vggish", "hop": 3}, "unknown .*hop"),
        ({"kind": "vggish", "hop_frames": 0}, r"hop_frames: expected in \[1, window_frames=96\], got 0"),
        ({"kind": "vgg16", "rate_hz": 0.0}, "rate_hz: expected pictures a second"),
        (
            {"kind": "onnx", "file": "x", "log_mel": MELS, "rate_hz": 3.0},
            "rate_hz: expected none for an encoder",
        ),
        ({"kind": "vgg16", "device": "meat"}, "device: expected one that torch has, got 'meat'"),
        ({"kind": "vgg16", "channels": [1, 2]}, r"channels: expected five numbers, got \[1, 2\]"),
    ],
)
def test_bad_configurations_name_the_field(values, message):
    small = {"hidden": 2, "channels": [1] * (4 if values.get("kind") == "vggish" else 5)}
    values = {**small, **values} if "vgg" in str(values.get("kind")) else values
    with pytest.raises(ConfigError, match=message):
        encoder_from_config(values)


def test_a_side_input_is_described_for_a_bundle(image_graph, tmp_path):
    picture = side_input_spec(encoder_from_config(onnx_config(image_graph, "bchw")), "visual", 0.25)
    assert (picture.kind, picture.features, picture.rate_hz, picture.image.width) == ("image", 5, 15.0, 6)
    sound = side_input_spec(vggish(VGGishSettings(**files.TINY_VGGISH)), "auditory", 0.2)
    assert (sound.kind, sound.rate_hz, sound.audio.front_end) == ("audio", None, FRONT_END)
    shape, order, channel = LAYOUTS["bn"]
    path = files.write_onnx(tmp_path / "net.onnx", files.Projection(50, 5, order, channel), shape)
    with pytest.raises(
        ConfigError, match=r"auditory: expected an encoder of log-mels or pictures, got net\.onnx"
    ):
        side_input_spec(encoder_from_config(onnx_config(path, "bn")), "auditory", 0.2)


# ---- transformers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speech_folder(tmp_path_factory) -> Path:
    pytest.importorskip("transformers", reason="speech models need the emotion extra")
    return files.write_speech_model(tmp_path_factory.mktemp("speech") / "tiny-wav2vec2")


def test_a_speech_model_says_what_it_is(speech_folder, tmp_path):
    other = files.write_speech_model(tmp_path / "tiny-wav2vec2", seed=1)
    same, again, changed = (
        encoder_from_config({"kind": "speech", "source": str(folder)})
        for folder in (speech_folder, speech_folder, other)
    )
    assert same.fingerprint() == again.fingerprint() != changed.fingerprint()


def test_a_folder_without_a_speech_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="source: expected a model in the folder"):
        encoder_from_config({"kind": "speech", "source": str(tmp_path)})


def test_a_speech_model_is_an_encoder_of_windows(speech_folder, tmp_path):
    from transformers import Wav2Vec2Model

    encoder = encoder_from_config(
        {"kind": "speech", "source": str(speech_folder), "window_seconds": 0.05, "hop_seconds": 0.02}
    )
    assert (encoder.input.window_samples, encoder.input.hop_samples) == (800, 320)
    batch = files.noise(3, 800)
    reference = Wav2Vec2Model.from_pretrained(speech_folder).eval()
    ready = (batch - batch.mean(1, keepdims=True)) / np.sqrt(batch.var(1, keepdims=True) + 1e-7)
    with torch.inference_mode():
        expected = reference(torch.from_numpy(ready)).last_hidden_state.mean(1).numpy()
    np.testing.assert_allclose(encoder.encode(batch), expected, atol=1e-5)
    with pytest.raises(ConfigError, match="expected an encoder of log-mels or pictures"):
        encoder.to_onnx(tmp_path / "speech.onnx")
    with pytest.raises(ConfigError, match="window_seconds: expected at least"):
        encoder_from_config({"kind": "speech", "source": str(speech_folder), "window_seconds": 0.001})
