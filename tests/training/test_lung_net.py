"""The network of paper 004 in its printed shapes, its loss, and the graph that ships."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from streamsed.errors import BundleError, ConfigError  # noqa: E402
from training.export import to_onnx, to_torchscript  # noqa: E402
from training.losses.classification import focal_softmax  # noqa: E402
from training.lung.export import check_parity, with_statistics  # noqa: E402
from training.lung.net import LungCnn, LungCnnConfig  # noqa: E402
from training.lung.registry import ExportedLungNet  # noqa: E402

NARROW = LungCnnConfig(n_mels=32, n_classes=4, width=1 / 16)


def count(net):
    """Parameters as Keras counts them: with the statistics of batch normalisation."""
    statistics = [value for name, value in net.named_buffers() if "running" in name]
    return sum(value.numel() for value in [*net.parameters(), *statistics])


def test_the_published_width_has_the_published_shapes_and_parameters():
    net = LungCnn(LungCnnConfig(n_mels=50, n_classes=4)).eval()
    assert count(net) == 4_921_480
    x = torch.zeros(1, 1, 50, 193)
    shapes = []
    with torch.inference_mode():
        for layer in net.layers:
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (64, 50, 193),
        (128, 48, 191),
        (128, 23, 95),
        (256, 21, 93),
        (256, 10, 46),
        (512, 8, 44),
        (512, 3, 21),
    ]


@pytest.mark.parametrize("classes", [2, 4])
def test_classes_and_width_are_parameters(classes):
    net = LungCnn(LungCnnConfig(n_mels=50, n_classes=classes, width=0.125)).eval()
    assert net(torch.zeros(3, 60, 50))[0].shape == (3, classes)
    assert 60_000 < count(net) < 90_000


def test_29_frames_are_the_least():
    net = LungCnn(NARROW).eval()
    assert net(torch.zeros(1, 29, 32))[0].shape == (1, 4)
    with pytest.raises(ConfigError, match=r"log_mel: expected chunks of at least 29 frames.*got 28"):
        net(torch.zeros(1, 28, 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_mels": 28}, "n_mels: expected at least 29"),
        ({"n_classes": 3}, "n_classes: expected 2 or 4"),
        ({"width": 0.0}, "width: expected in"),
        ({"width": 1.5}, "width: expected in"),
        ({"centre": "median"}, "centre: expected none, bands or chunk"),
        ({"dropout": 1.0}, "dropout: expected in"),
    ],
)
def test_bad_shapes_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        LungCnnConfig(**{"n_mels": 32, "n_classes": 4, **change})


def test_centred_bands_leave_level_and_stethoscope_out():
    torch.manual_seed(0)
    chunks, colour = torch.randn(2, 40, 32), 5 * torch.randn(1, 1, 32)
    centred = LungCnn(LungCnnConfig(32, 4, 1 / 16, "bands")).eval()
    as_published = LungCnn(NARROW).eval()
    with torch.inference_mode():
        assert torch.allclose(centred(chunks)[0], centred(chunks + colour)[0], atol=1e-4)
        assert not torch.allclose(as_published(chunks)[0], as_published(chunks + colour)[0], atol=1e-2)
        level = LungCnn(LungCnnConfig(32, 4, 1 / 16, "chunk")).eval()
        assert torch.allclose(level(chunks)[0], level(chunks + 3.0)[0], atol=1e-4)


def test_l2_is_on_the_convolutions_alone():
    net = LungCnn(NARROW)
    assert [tuple(weight.shape[2:]) for weight in net.regularised()] == [(3, 3)] * 7


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_loss_is_its_equation(gamma):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    targets = torch.rand(6, 4, generator=generator, dtype=torch.float64)
    targets /= targets.sum(1, keepdim=True)
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    expected = -((1 - p) ** gamma * targets.numpy() * np.log(p)).sum(1).mean()
    assert focal_softmax(logits, targets, gamma).item() == pytest.approx(expected, rel=1e-12)
    logits.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: focal_softmax(x, targets, gamma), logits)


def test_focal_loss_is_finite_where_a_class_is_certain():
    logits = torch.tensor([[200.0, 0.0, 0.0, 0.0], [0.0, 200.0, 0.0, 0.0]], requires_grad=True)
    targets = torch.eye(4)[[0, 0]]
    for gamma in (0.5, 1.0):
        loss = focal_softmax(logits, targets, gamma)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
    with pytest.raises(ConfigError, match="targets: expected the shape"):
        focal_softmax(logits, targets[:1])
    with pytest.raises(ConfigError, match="gamma: expected 0 or more"):
        focal_softmax(logits, targets, -1.0)


def varied(config, seed):
    """A network whose statistics are not those that it begins with."""
    torch.manual_seed(seed)
    net = LungCnn(config)
    net(torch.randn(8, 40, config.n_mels))
    net.mean.copy_(torch.randn(config.n_mels))
    net.std.copy_(torch.rand(config.n_mels) + 0.5)
    return net.eval()


def test_exported_graphs_say_what_the_network_says():
    net = varied(NARROW, 0)
    graph = ExportedLungNet(net).eval()
    onnx_model, script = to_onnx(net, graph, 40), to_torchscript(net, graph, 40)
    assert check_parity(graph, onnx_model, script, (40, 32)) <= 1e-5
    other = ExportedLungNet(varied(NARROW, 1)).eval()
    with pytest.raises(BundleError, match="expected differences of at most 1e-05"):
        check_parity(other, onnx_model, script, (40, 32))


def test_members_of_several_trainings_share_one_z_score():
    net, raw = varied(NARROW, 0), torch.randn(2, 40, 32) * 2 - 5
    mean, std = torch.randn(32), torch.rand(32) + 0.5
    assert with_statistics(net, net.mean.clone(), net.std.clone()) is net
    shared = with_statistics(net, mean, std).eval()
    with torch.inference_mode():
        assert torch.allclose(shared((raw - mean) / std)[0], net(net.normalised(raw))[0], atol=1e-4)
