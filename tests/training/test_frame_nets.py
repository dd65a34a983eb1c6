"""The published networks and their streaming twins."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the networks need the train extra")
onnxruntime = pytest.importorskip("onnxruntime")

from streamsed.errors import ConfigError  # noqa: E402
from training.eow.confidence import ConfidenceConfig, confidence  # noqa: E402
from training.nets.baseline_crnn import AttentionPooling, BaselineCrnn, BaselineCrnnConfig  # noqa: E402
from training.nets.blocks import BlockConfig, ConvBlock, Gate  # noqa: E402
from training.nets.duration_crnn import DurationCrnn, DurationCrnnConfig  # noqa: E402
from training.nets.frame_net import ExportedFrameNet  # noqa: E402

torch.set_num_threads(1)
SMALL = {
    "n_mels": 16,
    "n_classes": 3,
    "filters": (4, 6, 8),
    "pool_frames": (2, 2, 1),
    "pool_bands": (4, 2, 2),
    "hidden": 8,
}
SMALL_DURATION = {
    "n_mels": 16,
    "n_classes": 5,
    "filters": (4, 6),
    "pool_bands": (4, 2),
    "hidden": 6,
    "dense": 7,
}


def baseline(**changes):
    return as_if_trained(BaselineCrnn(BaselineCrnnConfig(**(SMALL | changes))))


def duration(**changes):
    return as_if_trained(DurationCrnn(DurationCrnnConfig(**(SMALL_DURATION | changes))))


def as_if_trained(net, seed=0):
    """Statistics and weights that no default hides behind."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
        net.encoder.mean.copy_(torch.linspace(-10, -6, net.config.n_mels))
        net.encoder.std.copy_(torch.linspace(2, 3, net.config.n_mels))
        for block in net.encoder.blocks:
            shape = block.norm.running_mean.shape
            block.norm.running_mean.copy_(torch.randn(shape, generator=generator))
            block.norm.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
    return net.eval()


def log_mels(batch=2, frames=48, n_mels=16, seed=1):
    return -8 + 4 * torch.randn((batch, frames, n_mels), generator=torch.Generator().manual_seed(seed))


def whole(net, log_mel):
    with torch.inference_mode():
        return net(log_mel, *net.initial_state(log_mel.shape[0]))


def parameters(net):
    return sum(item.numel() for item in net.parameters())


CAUSAL = {
    "baseline": baseline(causal=True),
    "baseline with a hidden SOD layer": baseline(causal=True, sod_hidden=5, layers=1),
    "duration": duration(causal=True),
}
WINDOWED = {
    "baseline": baseline(clip_posteriors=True),
    "baseline with ReLU": baseline(activation="relu"),
    "baseline with min-max": baseline(normalisation="clip_min_max"),
    "duration": duration(),
}
each_causal = pytest.mark.parametrize("net", CAUSAL.values(), ids=CAUSAL.keys())
each_windowed = pytest.mark.parametrize("net", WINDOWED.values(), ids=WINDOWED.keys())


def test_baseline_is_as_published():
    # Ten classes, attention and no SOD head: the network of the challenge.
    published = BaselineCrnn(BaselineCrnnConfig(n_classes=10, sod_outputs=0, clip_posteriors=True)).eval()
    assert parameters(published) == 1_112_420
    net = BaselineCrnn(BaselineCrnnConfig()).eval()
    assert parameters(net) == 1_110_621
    assert net.time_stride == 4
    assert [block.norm.momentum for block in net.encoder.blocks] == [0.1] * 7
    sizes = []
    for block in net.encoder.blocks:
        block.register_forward_hook(lambda *call: sizes.append(tuple(call[-1][0].shape[1:])))
    logits, sod_logits = whole(net, torch.randn((1, 626, 128)))
    assert sizes == [
        (16, 313, 64),
        (32, 156, 32),
        (64, 156, 16),
        (128, 156, 8),
        (128, 156, 4),
        (128, 156, 2),
        (128, 156, 1),
    ]
    assert logits.shape == (1, 156, 9)
    assert sod_logits.shape == (1, 156, 4)


def test_duration_crnn_is_as_published():
    net = DurationCrnn(DurationCrnnConfig()).eval()
    # Convolutions and norms, recurrence of both directions, dense layer, outputs.
    convolutions = (9 * 1 + 3) * 128 + 2 * (9 * 128 + 3) * 128
    recurrence = 2 * 3 * 32 * (128 + 32 + 2)
    assert parameters(net) == convolutions + recurrence + 65 * 32 + 33 * 25 == 331_225
    assert net.time_stride == 1
    (logits,) = whole(net, torch.randn((1, 30, 64)))
    assert logits.shape == (1, 30, 25)


def test_causal_twins_keep_the_widths():
    net = BaselineCrnn(BaselineCrnnConfig(causal=True))
    assert net.state_shapes() == {
        "context0": (1, 1, 2, 128),
        "context1": (1, 16, 2, 64),
        "context2": (1, 32, 2, 32),
        "context3": (1, 64, 2, 16),
        "context4": (1, 128, 2, 8),
        "context5": (1, 128, 2, 4),
        "context6": (1, 128, 2, 2),
        "hidden0": (1, 128),
        "hidden1": (1, 128),
    }
    assert parameters(net) == 812_509
    assert parameters(DurationCrnn(DurationCrnnConfig(causal=True))) == 314_649


@each_causal
@settings(max_examples=15)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_stream_equals_whole(net, chunks):
    lengths = [net.time_stride * chunk for chunk in chunks]
    log_mel = log_mels(frames=sum(lengths))
    expected = whole(net, log_mel)
    state, parts = net.initial_state(2), []
    n_outputs = len(expected) - len(state)
    with torch.inference_mode():
        for part in torch.split(log_mel, lengths, dim=1):
            outputs = net(part, *state)
            parts.append(outputs[:n_outputs])
            state = outputs[n_outputs:]
    for found, one in zip(zip(*parts, strict=True), expected[:n_outputs], strict=True):
        np.testing.assert_allclose(torch.cat(found, dim=1).numpy(), one.numpy(), rtol=0, atol=1e-5)
    for found, one in zip(state, expected[n_outputs:], strict=True):
        np.testing.assert_allclose(found.numpy(), one.numpy(), rtol=0, atol=1e-5)


@each_causal
def test_causal_output_does_not_know_the_future(net):
    log_mel, at = log_mels(), 24
    changed = log_mel.clone()
    changed[:, at:] += 5.0
    before, after = whole(net, log_mel)[0], whole(net, changed)[0]
    frame = at // net.time_stride
    assert torch.equal(before[:, :frame], after[:, :frame])
    assert (before[:, frame] - after[:, frame]).abs().max() > 1e-4


@each_windowed
def test_windowed_output_hears_the_whole_window(net):
    log_mel = log_mels()
    changed = log_mel.clone()
    changed[:, -4:] += 5.0
    assert (whole(net, log_mel)[0][:, 0] - whole(net, changed)[0][:, 0]).abs().max() > 1e-9
    assert net.state_shapes() == {}
    assert net.initial_state(2) == []


@each_causal
def test_state_is_as_declared_and_matters(net):
    shapes = list(net.state_shapes().values())
    outputs = whole(net, log_mels(batch=3))
    assert [tuple(item.shape) for item in outputs[-len(shapes) :]] == [(3, *shape[1:]) for shape in shapes]
    log_mel = log_mels(batch=1, frames=8)
    zero = whole(net, log_mel)[0]
    for number in range(len(shapes)):
        state = net.initial_state(1)
        state[number] += 1.0
        with torch.inference_mode():
            assert (net(log_mel, *state)[0] - zero).abs().max() > 1e-6


@pytest.mark.parametrize("net", [*CAUSAL.values(), *WINDOWED.values()])
def test_lanes_of_a_batch_do_not_touch_each_other(net):
    log_mel = log_mels()
    alone, both = whole(net, log_mel[1:])[0], whole(net, log_mel)[0]
    np.testing.assert_allclose(alone.numpy(), both[1:].numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("net", [CAUSAL["baseline"], WINDOWED["baseline"], duration()])
def test_dropout_acts_in_training_alone(net):
    log_mel = log_mels()
    assert torch.equal(whole(net, log_mel)[0], whole(net, log_mel)[0])
    for block in net.encoder.blocks:
        block.dropout.train()
    try:
        assert not torch.equal(whole(net, log_mel)[0], whole(net, log_mel)[0])
    finally:
        net.eval()


def test_block_is_the_published_sequence():
    torch.manual_seed(0)
    block = ConvBlock(2, BlockConfig(4, (2, 2)), causal=False).eval()
    block.norm.running_mean.normal_()
    x = torch.randn((1, 2, 6, 8))
    with torch.inference_mode():
        found, _ = block(x, [])
        y = torch.nn.functional.conv2d(x, block.conv.weight, block.conv.bias, padding=1)
        y = (y - block.norm.running_mean[:, None, None]) / (
            block.norm.running_var[:, None, None] + 1e-3
        ).sqrt()
        linear = block.activation.linear
        y = (y.movedim(1, -1) @ linear.weight[:, :, 0, 0].T + linear.bias).movedim(-1, 1) * torch.sigmoid(y)
        expected = y.reshape(1, 4, 3, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(found, expected)


def test_gate_is_linear_times_sigmoid_of_the_input():
    gate = Gate(1)
    with torch.no_grad():
        gate.linear.weight.fill_(2.0)
        gate.linear.bias.fill_(1.0)
        found = gate(torch.tensor([0.0, 3.0]).reshape(1, 1, 1, 2)).flatten()
    torch.testing.assert_close(found, torch.tensor([0.5, 7.0 / (1.0 + np.exp(-3.0))], dtype=torch.float32))


def test_sod_head_has_a_softmax_with_the_uncertainty():
    for outputs in (3, 4):
        sod_logits = whole(baseline(sod_outputs=outputs), log_mels())[1]
        assert sod_logits.shape == (2, 12, outputs)
        torch.testing.assert_close(torch.softmax(sod_logits, -1).sum(-1), torch.ones(2, 12))


def test_clip_posterior_lies_among_those_of_the_frames():
    logits, _, clip = whole(WINDOWED["baseline"], log_mels())
    posteriors = torch.sigmoid(logits)
    assert clip.shape == (2, 3)
    assert (clip >= posteriors.amin(1) - 1e-6).all()
    assert (clip <= posteriors.amax(1) + 1e-6).all()


def test_attention_pooling_weighs_frames_by_their_softmax_over_classes():
    pooling = AttentionPooling(2, 2, dropout=0.5).eval()
    with torch.no_grad():
        pooling.head.layers[-1].weight.copy_(torch.eye(2))
        pooling.head.layers[-1].bias.zero_()
        # Frame 0 attends to class 0 with 0.75, frame 1 with 0.25.
        features = torch.tensor([[[np.log(3.0), 0.0], [0.0, np.log(3.0)]]], dtype=torch.float32)
        found = pooling(features, torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]))
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25]]))


def test_min_max_ignores_the_gain_and_bears_silence():
    net = WINDOWED["baseline with min-max"]
    log_mel = log_mels()
    torch.testing.assert_close(whole(net, log_mel)[0], whole(net, 3.0 * log_mel + 7.0)[0], rtol=0, atol=1e-5)
    assert torch.isfinite(whole(net, torch.full((1, 8, 16), -10.0))[0]).all()


@pytest.mark.parametrize(
    "net",
    [CAUSAL["baseline"], WINDOWED["baseline"], CAUSAL["duration"]],
    ids=["causal", "windowed", "duration"],
)
def test_exported_graph_is_the_same_in_every_format(net):
    weighting = ConfidenceConfig() if hasattr(net, "sod_head") else None
    graph = ExportedFrameNet(net, weighting).eval()
    example, state = log_mels(batch=1, frames=16), net.initial_state(1)
    names = list(net.state_shapes())
    outputs = ["posteriors", *(["confidence"] if weighting else []), *(f"{name}_out" for name in names)]
    axes = {name: {0: "batch"} for name in (*names, *outputs)}
    axes |= {"log_mel": {0: "batch", 1: "frames"}, "posteriors": {0: "batch", 1: "posterior_frames"}}
    axes |= {"confidence": {0: "batch", 1: "posterior_frames"}} if weighting else {}
    scripted, model = io.BytesIO(), io.BytesIO()
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(graph, (example, *state)), scripted)
        torch.onnx.export(
            graph,
            (example, *state),
            model,
            input_names=["log_mel", *names],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
        scripted.seek(0)
        script = torch.jit.load(scripted)
    log_mel, state = log_mels(batch=2, frames=40), net.initial_state(2)
    with torch.inference_mode():
        eager = [item.numpy() for item in graph(log_mel, *state)]
        traced = [item.numpy() for item in script(log_mel, *state)]
    session = onnxruntime.InferenceSession(model.getvalue(), providers=["CPUExecutionProvider"])
    feeds = dict(zip(["log_mel", *names], [log_mel, *state], strict=True))
    onnx = session.run(None, {name: item.numpy() for name, item in feeds.items()})
    assert [item.name for item in session.get_outputs()] == outputs
    for one, two, three in zip(eager, traced, onnx, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(three, one, rtol=1e-5, atol=1e-5)
    logits, sod_logits = (*whole(net, log_mel), None)[:2]
    np.testing.assert_allclose(eager[0], torch.sigmoid(logits).numpy(), rtol=0, atol=1e-6)
    if weighting:
        np.testing.assert_allclose(eager[1], confidence(sod_logits).numpy(), rtol=0, atol=1e-6)


def test_export_refuses_what_a_stream_cannot_say():
    with pytest.raises(ConfigError, match="clip_mean: expected false for a causal network"):
        ExportedFrameNet(CAUSAL["baseline"], ConfidenceConfig(clip_mean=True))
    with pytest.raises(ConfigError, match="confidence: expected a network with a SOD head"):
        ExportedFrameNet(WINDOWED["duration"], ConfidenceConfig())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_mels": 20}, "n_mels: expected a multiple of 16"),
        ({"pool_bands": (2, 2)}, "pool_bands: expected one factor for each of filters"),
        ({"pool_frames": (2, 2, 0)}, "pool: expected two factors >= 1"),
        ({"filters": (), "pool_frames": (), "pool_bands": ()}, "blocks: expected at least one"),
        ({"sod_outputs": 2}, "sod_outputs: expected 0, 3 or 4"),
        ({"causal": True, "clip_posteriors": True}, "clip_posteriors: expected false with causal"),
        ({"causal": True, "normalisation": "clip_min_max"}, r"normalisation: expected one of \['fixed'\]"),
        ({"dropout": 1.0}, r"dropout: expected in \[0, 1\)"),
        ({"activation": "glu"}, "activation: expected one of"),
        ({"layers": 0}, "layers: expected at least 1"),
    ],
)
def test_baseline_config_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        BaselineCrnnConfig(**(SMALL | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_mels": 20}, "n_mels: expected a multiple of 8"),
        ({"pool_bands": (2,)}, "pool_bands: expected one factor for each of filters"),
        ({"dense": 0}, "dense: expected at least 1"),
        ({"n_classes": 0}, "n_classes: expected at least 1"),
    ],
)
def test_duration_config_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        DurationCrnnConfig(**(SMALL_DURATION | changes))
