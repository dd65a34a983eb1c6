import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the networks need the train extra")
pytest.importorskip("lightning", reason="export needs the train extra")

from streamsed.errors import ConfigError  # noqa: E402
from training.eow.confidence import ConfidenceConfig  # noqa: E402
from training.export import check_parity, to_onnx, to_torchscript  # noqa: E402
from training.nets.registry import exported  # noqa: E402
from training.nets.streaming_crnn import (  # noqa: E402
    TIME_STRIDE,
    ExportedCrnn,
    StreamingCrnn,
    StreamingCrnnConfig,
)

CONFIG = StreamingCrnnConfig(n_mels=16, n_classes=3, channels=(4, 6), band_strides=(4, 2), hidden=8)
FRAMES = 60


def make_net(seed: int = 0) -> StreamingCrnn:
    """A network with statistics and weights as if it had been trained."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = StreamingCrnn(CONFIG)
    net.mean.copy_(torch.linspace(-10, -6, CONFIG.n_mels))
    net.std.copy_(torch.linspace(2, 3, CONFIG.n_mels))
    for block in net.blocks:
        torch.nn.init.uniform_(block.norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(block.norm.bias)
        block.norm.running_mean.normal_()
        block.norm.running_var.uniform_(0.5, 2.0)
    return net.eval()


def log_mels(batch: int = 2, frames: int = FRAMES, seed: int = 1) -> "torch.Tensor":
    return -8 + 4 * torch.randn((batch, frames, CONFIG.n_mels), generator=torch.Generator().manual_seed(seed))


NET = make_net()


def in_chunks(net, log_mel, lengths):
    state, parts, at = net.initial_state(log_mel.shape[0]), [], 0
    for length in lengths:
        part, *state = net(log_mel[:, at : at + length], *state)
        parts.append(part)
        at += length
    return torch.cat(parts, dim=1), state


@settings(max_examples=40)
@given(st.lists(st.integers(1, 10), min_size=1, max_size=12))
def test_stream_equals_whole(pairs):
    lengths = [TIME_STRIDE * pair for pair in pairs]
    log_mel = log_mels(frames=sum(lengths))
    with torch.inference_mode():
        whole, *state = NET(log_mel, *NET.initial_state(2))
        streamed, streamed_state = in_chunks(NET, log_mel, lengths)
    np.testing.assert_allclose(streamed.numpy(), whole.numpy(), rtol=0, atol=1e-5)
    for expected, found in zip(state, streamed_state, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=0, atol=1e-5)


def test_exported_graph_equals_the_trained_one():
    log_mel = log_mels()
    exported = ExportedCrnn(NET).eval()
    with torch.inference_mode():
        logits, *state = NET(log_mel, *NET.initial_state(2))
        posteriors, *new_state = exported(log_mel, *NET.initial_state(2))
    np.testing.assert_allclose(posteriors.numpy(), torch.sigmoid(logits).numpy(), rtol=0, atol=1e-5)
    # Contexts of deeper blocks are activations, whose size is not bounded by 1.
    for expected, found in zip(state, new_state, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_posterior_does_not_know_the_future():
    log_mel = log_mels()
    changed = log_mel.clone()
    changed[:, 30:] += 5.0
    with torch.inference_mode():
        before = NET(log_mel, *NET.initial_state(2))[0]
        after = NET(changed, *NET.initial_state(2))[0]
    assert torch.equal(before[:, : 30 // TIME_STRIDE], after[:, : 30 // TIME_STRIDE])
    assert (before[:, 30 // TIME_STRIDE] - after[:, 30 // TIME_STRIDE]).abs().max() > 1e-4


def test_lanes_of_a_batch_do_not_touch_each_other():
    log_mel = log_mels()
    with torch.inference_mode():
        both = NET(log_mel, *NET.initial_state(2))[0]
        alone = NET(log_mel[1:], *NET.initial_state(1))[0]
    np.testing.assert_allclose(both[1:].numpy(), alone.numpy(), rtol=0, atol=1e-5)


def test_state_is_as_declared():
    shapes = list(NET.state_shapes().values())
    with torch.inference_mode():
        logits, *state = NET(log_mels(batch=3), *NET.initial_state(3))
    assert logits.shape == (3, FRAMES // TIME_STRIDE, CONFIG.n_classes)
    assert [tuple(item.shape) for item in state] == [(3, *shape[1:]) for shape in shapes]
    assert all(shape[0] == 1 for shape in shapes)


def test_every_state_matters():
    log_mel = log_mels(batch=1, frames=4)
    with torch.inference_mode():
        zero = NET(log_mel, *NET.initial_state(1))[0]
        for number in range(len(NET.state_shapes())):
            state = NET.initial_state(1)
            state[number] += 1.0
            assert (NET(log_mel, *state)[0] - zero).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_mels": 20}, "n_mels: expected a multiple of 8"),
        ({"band_strides": (2,)}, "band_strides: expected one stride >= 1 for each"),
        ({"band_strides": (2, 0)}, "band_strides: expected one stride >= 1 for each"),
        ({"channels": ()}, "channels: expected at least one"),
    ],
)
def test_shape_is_checked(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CONFIG, **change)


def test_windowed_twin_begins_as_the_causal_one_and_hears_what_comes_later():
    causal = StreamingCrnn(CONFIG).eval()
    windowed = StreamingCrnn(dataclasses.replace(CONFIG, bidirectional=True)).eval()
    missing, unexpected = windowed.load_state_dict(causal.state_dict(), strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {"backward_gru", "backward_head"}
    assert windowed.state_shapes() == {} and windowed.initial_state(1) == []
    log_mel = torch.randn(1, 24, CONFIG.n_mels)
    later = log_mel.clone()
    later[:, 20:] += 1.0
    with torch.inference_mode():
        assert not torch.allclose(windowed(log_mel)[0][:, :8], windowed(later)[0][:, :8])
        windowed.backward_head.weight.zero_()
        torch.testing.assert_close(windowed(log_mel)[0], causal(log_mel, *causal.initial_state(1))[0])


@pytest.mark.parametrize("sod_outputs", [0, 4])
def test_windowed_twin_is_exported(sod_outputs):
    config = dataclasses.replace(CONFIG, bidirectional=True, sod_outputs=sod_outputs)
    net = StreamingCrnn(config).eval()
    graph = exported(net, ConfidenceConfig()).eval()
    assert check_parity(net, graph, to_onnx(net, graph, 40), to_torchscript(net, graph, 40), 40) <= 1e-5
