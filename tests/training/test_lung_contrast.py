"""Statistics of contrast: what they answer to, what they do not, and the graph that ships of them."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from streamsed.config import LogMelConfig  # noqa: E402
from streamsed.errors import ConfigError  # noqa: E402
from streamsed.frontend import LogMel  # noqa: E402
from training.export import to_onnx, to_torchscript  # noqa: E402
from training.lung.contrast import Contrast, ContrastConfig, ContrastNet, _quantiles  # noqa: E402
from training.lung.export import check_parity  # noqa: E402
from training.lung.recipe import load_lung_recipe  # noqa: E402
from training.lung.registry import ExportedLungNet, lung_net_config  # noqa: E402

FRONT_END = LogMelConfig(4000, 512, 256, 32, 120, 60.0, 1900.0, area_norm=False)
CONFIG = ContrastConfig(120, 4, (0, 14, 6, 26, 18, 49, 41, 72, 65, 120))


def statistics(samples):
    with torch.inference_mode():
        return Contrast(CONFIG)(torch.from_numpy(LogMel(FRONT_END)(samples.astype(np.float32)))[None])[0]


def breath(seed=0):
    rng = np.random.default_rng(seed)
    return 0.01 * rng.standard_normal(16000) * (1.2 + np.sin(np.arange(16000) / 2000))


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_the_level_of_a_recording_does_not_matter(gain):
    assert torch.allclose(statistics(gain * breath()), statistics(breath()), atol=2e-2)


def test_a_wheeze_is_a_line_in_its_range_and_a_crackle_a_click():
    plain = statistics(breath())
    time = np.arange(16000) / 4000
    wheeze = statistics(breath() + 0.01 * np.sin(2 * np.pi * 450 * time) * ((time > 1) & (time < 2.2)))
    clicks = np.zeros(16000)
    clicks[800::1600] = 0.5
    crackle = statistics(breath() + clicks)
    per_range = 38
    assert len(plain) == Contrast(CONFIG).size == 5 * per_range + 4
    # Range 2 is 300-700 Hz; its first numbers are quantiles of the highest line, from 5 to 97 %.
    first = 2 * per_range
    assert wheeze[first + 5] > plain[first + 5] + 6.0
    assert abs(wheeze[first] - plain[first]) < 2.0
    # Behind the lines come the quantiles of the click, the last of them 99.5 %.
    assert crackle[first + 24 + 4] > plain[first + 24 + 4] + 6.0
    assert abs(crackle[first + 24] - plain[first + 24]) < 1.0


def test_digital_silence_has_statistics():
    assert torch.isfinite(statistics(np.zeros(16000))).all()


def test_quantiles_are_numpy_s():
    x = torch.randn(3, 101)
    wanted = (0.0, 0.05, 0.5, 0.97, 1.0)
    expected = np.quantile(x.numpy(), wanted, axis=1).T
    np.testing.assert_allclose(_quantiles(x, wanted).numpy(), expected, atol=1e-6)


def trained(seed=0):
    """A network whose statistics are those of sounds."""
    torch.manual_seed(seed)
    net = ContrastNet(CONFIG)
    net.mean.fill_(-12.0)
    net.std.fill_(2.5)
    for _ in range(30):
        net(torch.randn(16, 100, 120))
    return net.eval()


def test_the_exported_graph_says_what_the_network_says():
    net = trained()
    graph = ExportedLungNet(net).eval()
    worst = check_parity(graph, to_onnx(net, graph, 100), to_torchscript(net, graph, 100), (100, 120))
    assert worst <= 1e-5


def test_statistics_computed_before_give_the_same_logits():
    net, raw = trained(), -12.0 + 2.5 * torch.randn(4, 100, 120)
    with torch.inference_mode():
        whole = net(net.normalised(raw))[0]
        assert torch.allclose(net.classify(net.prepared(raw)), whole, atol=1e-3)


def test_a_chunk_has_frames_enough_for_the_averages():
    with pytest.raises(ConfigError, match="log_mel: expected chunks of at least 21 frames, got 20"):
        trained()(torch.zeros(1, 20, 120))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_classes": 3}, "n_classes: expected 2 or 4"),
        ({"edges": (0, 14, 6)}, "edges: expected pairs of bands"),
        ({"edges": (0, 121)}, "edges: expected pairs of bands"),
        ({"edges": (5, 6)}, "edges: expected pairs of bands"),
        ({"edges": ()}, "edges: expected pairs of bands"),
        ({"line_bands": 14}, "line_bands: expected an odd number"),
        ({"click_frames": 0}, "click_frames: expected an odd number"),
        ({"line_bands": 241}, "line_bands: expected below 240"),
        ({"hidden": 0}, "hidden: expected at least 1"),
        ({"dropout": 1.0}, "dropout: expected in"),
    ],
)
def test_bad_shapes_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        ContrastConfig(**{"n_mels": 120, "n_classes": 4, "edges": (0, 14), **change})


def test_recipes_choose_the_network():
    recipe = load_lung_recipe("lung_cycles")
    # Hops of 16 ms, twice those of these tests: half the frames are the same time.
    assert recipe.net_config == dataclasses.replace(CONFIG, colour=False, line_frames=7, click_frames=11)
    assert Contrast(recipe.net_config).size == Contrast(CONFIG).size - 4
    with pytest.raises(ConfigError, match=r"net.kind: expected one of"):
        lung_net_config("streaming_crnn", {}, 120, 4)
    with pytest.raises(ConfigError, match=r"augment: expected none, nor copies.roll"):
        load_lung_recipe("lung_cycles", ["copies.roll=true"])
