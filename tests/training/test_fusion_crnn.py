"""The fusion network: as published in all seven combinations, its causal twin, and the graph over extended frames."""

import pytest

torch = pytest.importorskip("torch", reason="the networks need the train extra")

from streamsed.errors import ConfigError  # noqa: E402
from training.export import check_parity, to_onnx, to_torchscript  # noqa: E402
from training.nets.blocks import EncoderConfig  # noqa: E402
from training.nets.frame_net import ExportedFrameNet  # noqa: E402
from training.nets.fusion_crnn import FusionCrnn, FusionCrnnConfig, SideInput, SideProjection  # noqa: E402
from training.nets.registry import encode, frame_size, net_config  # noqa: E402

torch.set_num_threads(1)
SMALL = {
    "n_mels": 16,
    "n_classes": 3,
    "filters": (4, 6, 8),
    "pool_frames": (2, 2, 1),
    "pool_bands": (4, 2, 2),
    "hidden": 8,
}
AUDITORY, VISUAL = SideInput("auditory", 6, 3), SideInput("visual", 5, 2)
# The rows of Table 3.
ROWS = [
    (True, ()),
    (True, (VISUAL,)),
    (True, (AUDITORY,)),
    (True, (AUDITORY, VISUAL)),
    (False, (VISUAL,)),
    (False, (AUDITORY,)),
    (False, (AUDITORY, VISUAL)),
]
each_row = pytest.mark.parametrize(("spectral", "sides"), ROWS)


def fusion(spectral=True, sides=(AUDITORY, VISUAL), **changes):
    torch.manual_seed(0)
    net = FusionCrnn(FusionCrnnConfig(**(SMALL | {"spectral": spectral, "sides": sides} | changes)))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape))
        net.encoder.mean.fill_(-8.0)
        net.encoder.std.fill_(2.0)
    return net.eval()


def inputs(net, batch=2, rows=6):
    generator = torch.Generator().manual_seed(1)
    log_mel = -8 + 2 * torch.randn((batch, rows * net.time_stride, net.config.n_mels), generator=generator)
    sides = [
        (
            torch.randn((batch, rows, side.features), generator=generator),
            (torch.rand((batch, rows), generator=generator) < 0.6).float(),
        )
        for side in net.config.sides
    ]
    return log_mel, sides


def parameters(net):
    return sum(item.numel() for item in net.parameters())


def recurrence(width, hidden=128, directions=2):
    first = 3 * hidden * (width + hidden + 2)
    second = 3 * hidden * (directions * hidden + hidden + 2)
    return directions * (first + second)


CONVOLUTIONS = sum(
    (9 * before + 3) * after
    for before, after in zip((1, 16, 32, 64, 128, 128, 128), (16, 32, 64, 128, 128, 128, 128), strict=True)
)


@pytest.mark.parametrize(
    ("spectral", "auditory", "visual"),
    [
        (True, 0, 0),
        (True, 0, 4),
        (True, 16, 0),
        (True, 16, 4),
        (False, 0, 16),
        (False, 64, 0),
        (False, 64, 16),
    ],
)
def test_published_rows_have_the_published_sizes(spectral, auditory, visual):
    sides = [
        SideInput(name, features, embedding)
        for name, features, embedding in (("auditory", 128, auditory), ("visual", 4096, visual))
        if embedding
    ]
    net = FusionCrnn(FusionCrnnConfig(spectral=spectral, sides=sides)).eval()
    projections = 129 * auditory + 4097 * visual
    heard = 128 if spectral else 0
    expected = (CONVOLUTIONS if spectral else 0) + projections + recurrence(heard + auditory + visual) + 2570
    assert parameters(net) == expected
    with torch.inference_mode():
        features = encode(net, *inputs(net, batch=1, rows=151))
        assert features.shape == (1, 151, 256)
        assert net.heads(features).logits.shape == (1, 151, 10)


def test_a_clip_of_ten_seconds_has_151_posteriors():
    net = FusionCrnn(FusionCrnnConfig(sides=(SideInput("auditory", 128, 16),))).eval()
    _, sides = inputs(net, batch=1, rows=151)
    with torch.inference_mode():
        assert encode(net, torch.randn((1, 604, 128)), sides).shape[1] == 151
    assert [block.dropout.p for block in net.encoder.blocks] == [0.33] * 7
    assert net.projections[0].layers[2].p == 0.33
    # The paper has dropout in convolutions and projections alone.
    assert net.sed_head.layers[0].p == 0.0


@each_row
@pytest.mark.parametrize("causal", [False, True])
def test_extended_frames_say_the_same_as_inputs_of_their_own(spectral, sides, causal):
    net = fusion(spectral, sides, causal=causal)
    log_mel, beside = inputs(net)
    frames = net.join(log_mel, beside)
    assert frames.shape[2] == frame_size(net.config) == 16 + sum(side.features + 1 for side in sides)
    with torch.inference_mode():
        expected, _ = net.fuse(log_mel, beside, *net.initial_state(2))
        found, _ = net.encode(frames, *net.initial_state(2))
    assert torch.equal(found, expected)


def test_what_is_known_at_the_last_frame_of_a_posterior_counts():
    net = fusion()
    frames = net.join(*inputs(net))
    earlier, last = frames.clone(), frames.clone()
    earlier[:, 0::4, 16:], earlier[:, 2::4, 16:] = 9.0, 9.0
    last[:, 3::4, 16:] = 9.0
    with torch.inference_mode():
        expected, found, other = (net.encode(item)[0] for item in (frames, earlier, last))
    assert torch.equal(expected, found)
    assert (expected - other).abs().max() > 1e-3


@each_row
@pytest.mark.parametrize("causal", [False, True])
def test_exported_graph_says_the_same_in_every_format_and_in_chunks(spectral, sides, causal):
    net = fusion(spectral, sides, causal=causal)
    graph = ExportedFrameNet(net).eval()
    assert check_parity(net, graph, to_onnx(net, graph, 48), to_torchscript(net, graph, 48), 48) < 1e-5


def test_without_log_mels_there_is_no_convolution_and_no_context():
    net = fusion(spectral=False, causal=True)
    assert list(net.state_shapes()) == ["hidden0", "hidden1"]
    assert not net.encoder.blocks
    assert net.time_stride == 4
    frames = net.join(*inputs(net))
    louder = frames.clone()
    louder[:, :, :16] += 5.0
    with torch.inference_mode():
        state = net.initial_state(2)
        assert torch.equal(net.encode(frames, *state)[0], net.encode(louder, *state)[0])


def test_an_absent_embedding_is_not_looked_at():
    net = fusion()
    log_mel, sides = inputs(net)
    absent = [(features, torch.zeros_like(present)) for features, present in sides]
    other = [(features + 9.0, present) for features, present in absent]
    with torch.inference_mode():
        expected, found = (net.fuse(log_mel, item)[0] for item in (absent, other))
        seen, _ = net.fuse(log_mel, sides)
    assert torch.equal(expected, found)
    assert (expected - seen).abs().max() > 1e-3


def test_causal_fusion_does_not_know_the_future():
    net = fusion(causal=True)
    frames = net.join(*inputs(net))
    changed = frames.clone()
    changed[:, 12:] += 1.0
    with torch.inference_mode():
        before, after = (net.encode(item, *net.initial_state(2))[0] for item in (frames, changed))
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3] - after[:, 3]).abs().max() > 1e-4


def test_projection_is_linear_relu_dropout():
    projection = SideProjection(SideInput("visual", 4, 3), 0.33)
    assert [type(item).__name__ for item in projection.layers] == ["Linear", "ReLU", "Dropout"]
    torch.manual_seed(0)
    found = projection(torch.randn((8, 50, 4)), torch.ones((8, 50)))
    assert found.min() == 0.0
    assert found.max() > 0.0


def test_attention_pooling_is_there_as_an_option():
    net = fusion(clip_posteriors=True)
    with torch.inference_mode():
        assert net.heads(encode(net, *inputs(net))).clip_posteriors.shape == (2, 3)


def test_registry_derives_the_inputs():
    shape = {key: SMALL[key] for key in ("filters", "pool_frames", "pool_bands", "hidden")}
    config = net_config("fusion_crnn", shape, 16, 3, spectral=False, sides=[VISUAL])
    assert config == FusionCrnnConfig(**SMALL, spectral=False, sides=(VISUAL,))
    with pytest.raises(ConfigError, match=r"net\.kind: expected fusion_crnn for other inputs than log-mels"):
        net_config("baseline_crnn", shape, 16, 3, sides=[VISUAL])
    with pytest.raises(ConfigError, match=r"net\.shape: expected without"):
        net_config("fusion_crnn", shape | {"spectral": False}, 16, 3)


def test_embeddings_of_another_width_are_named():
    net = fusion()
    log_mel, sides = inputs(net)
    with pytest.raises(ConfigError, match=r"sides: expected embeddings of \[6, 5\] values, got \[6\]"):
        encode(net, log_mel, sides[:1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spectral": False, "sides": ()}, "sides: expected at least one without spectral features"),
        ({"sides": (VISUAL, VISUAL)}, "sides: expected different names"),
        ({"head_dropout": 1.0}, r"head_dropout: expected in \[0, 1\)"),
        ({"causal": True, "clip_posteriors": True}, "clip_posteriors: expected false with causal"),
    ],
)
def test_config_is_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        FusionCrnnConfig(**(SMALL | changes))


def test_widths_are_checked():
    with pytest.raises(ConfigError, match=r"visual\.embedding: expected at least 1"):
        SideInput("visual", 5, 0)
    with pytest.raises(ConfigError, match="spectral: expected true with nothing beside"):
        EncoderConfig(16, FusionCrnnConfig(**SMALL).encoder.blocks, 8, 1, spectral=False)
