"""EOW-Softmax on samples that live before the features of the SOD head."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="EOW-Softmax needs the train extra")
pytest.importorskip("lightning", reason="training needs the train extra")

from streamsed.errors import ConfigError  # noqa: E402
from training.eow.config import EowConfig  # noqa: E402
from training.eow.loss import EowSoftmax  # noqa: E402
from training.eow.places import Tail, width_of  # noqa: E402
from training.eow.sampler import FeatureSampler  # noqa: E402
from training.nets.baseline_crnn import BaselineCrnn, BaselineCrnnConfig  # noqa: E402
from training.nets.streaming_crnn import StreamingCrnn, StreamingCrnnConfig  # noqa: E402
from training.recipe import NetSettings  # noqa: E402
from training.train import load_trained, train  # noqa: E402

torch.set_num_threads(1)
PLACES = ("rnn_input", "cnn_mid")
SETTINGS = EowConfig(weight=1.0, begin=0.0, samples=6, steps=3, step_size=0.1, buffer_size=12, frames=4)


def baseline(**changes):
    shape = {
        "n_mels": 8,
        "n_classes": 2,
        "filters": (3, 4, 5),
        "pool_frames": (2, 1, 2),
        "pool_bands": (2, 2, 1),
        "hidden": 4,
        "layers": 2,
        "dropout": 0.3,
    }
    return BaselineCrnn(BaselineCrnnConfig(**(shape | changes)))


def streaming(**changes):
    shape = {
        "n_mels": 16,
        "n_classes": 2,
        "channels": (4, 6, 8),
        "band_strides": (2, 2, 2),
        "hidden": 5,
        "sod_outputs": 4,
    }
    return StreamingCrnn(StreamingCrnnConfig(**(shape | changes)))


NETS = {
    "windowed baseline": baseline,
    "causal baseline": lambda: baseline(causal=True),
    "causal": streaming,
    "windowed": lambda: streaming(bidirectional=True),
}


def make(kind, place):
    torch.manual_seed(1)
    net = NETS[kind]()
    tail = Tail(net, place)
    width = width_of(net, tail, net.features, net.config.n_mels)
    return net, tail, width


def run(net, log_mel):
    features, _ = net.encode(log_mel, *net.initial_state(len(log_mel)))
    return net.heads(features).sod_logits


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NETS)
def test_what_passes_the_place_leads_to_the_logits_of_the_network(kind, place):
    net, tail, width = make(kind, place)
    net.eval()
    log_mel = torch.randn((2, 24, net.config.n_mels), generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), tail.listening() as heard:
        expected = run(net, log_mel)
    assert [item.shape[0::2] for item in heard] == [(2, width)]
    with torch.no_grad():
        torch.testing.assert_close(tail(heard[0]), expected, rtol=0, atol=1e-6)
        # Nobody listens any more.
        run(net, log_mel)
    assert len(heard) == 1


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", NETS)
def test_samples_train_the_tail_alone_and_leave_no_statistics(kind, place):
    net, tail, width = make(kind, place)
    eow = EowSoftmax(width, dataclasses.replace(SETTINGS, place=place))
    log_mel = torch.randn((3, 32, net.config.n_mels), generator=torch.Generator().manual_seed(0))
    with tail.listening() as heard:
        logits = run(net, log_mel)
    labels = torch.nn.functional.one_hot(torch.arange(logits.shape[:2].numel()) % 3, 3).float()
    labels = labels.reshape(*logits.shape[:2], 3)
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    modes = [module.training for module in net.modules()]
    # Only the second term: the first one is cut off.
    loss = eow(tail, heard[0], logits.detach(), labels, progress=1.0)
    loss.backward()
    assert [module.training for module in net.modules()] == modes
    for name, value in net.named_buffers():
        assert torch.equal(value, buffers[name]), name
    trained = {name for name, item in net.named_parameters() if item.grad is not None and item.grad.any()}
    assert any("gru" in name for name in trained)
    assert any(name.startswith("sod_head") for name in trained)
    numbers = {int(name.split("blocks.")[1].split(".")[0]) for name in trained if "blocks." in name}
    assert numbers == (set() if place == "rnn_input" else {1, 2})
    assert not any(name.startswith(("sed_head", "head.")) for name in trained)


@pytest.mark.parametrize("sampler", ["sgld", "gaussian", "uniform"])
def test_samples_are_sequences_within_what_was_seen(sampler):
    _net, tail, width = make("causal", "cnn_mid")
    settings = dataclasses.replace(SETTINGS, place="cnn_mid", sampler=sampler, step_size=100.0)
    drawer = FeatureSampler(width, settings)
    seen = torch.randn((2, 10, width), generator=torch.Generator().manual_seed(2))
    drawer.observe(seen)
    samples = drawer.draw(tail)
    assert samples.shape == (6, 4, width)
    assert (samples >= seen.amin((0, 1))).all()
    assert (samples <= seen.amax((0, 1))).all()


@pytest.mark.parametrize("place", PLACES)
def test_chains_go_down_the_uncertainty_of_the_network(place):
    net, tail, width = make("causal", place)
    net.eval()
    settings = dataclasses.replace(
        SETTINGS, place=place, samples=12, steps=20, step_size=1.0, noise=0.0, restart_probability=0.0
    )
    drawer = FeatureSampler(width, settings)
    drawer.observe(torch.randn((2, 10, width), generator=torch.Generator().manual_seed(2)))

    def log_u():
        with torch.no_grad():
            return torch.log_softmax(tail(drawer.chains), -1)[..., -1].sum(-1)

    before = log_u()
    drawer.draw(tail)
    assert (log_u() < before).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", PLACES)
def test_recipe_trains_there(tiny_recipe, tmp_path, place):
    """The place is a setting like others, and everything that it adds lives in the checkpoint."""
    recipe = dataclasses.replace(
        tiny_recipe,
        net=NetSettings(shape=dict(tiny_recipe.net.shape) | {"sod_outputs": 4}),
        eow=dataclasses.replace(SETTINGS, place=place, weight=0.5),
        train=dataclasses.replace(tiny_recipe.train, epochs=2),
    )
    train(recipe, tmp_path)
    state = load_trained(recipe, tmp_path).state_dict()
    assert state["eow.sampler.draws"] > 0
    assert state["eow.sampler.chains"].shape[:2] == (12, 4)
    assert all(np.isfinite(value.numpy()).all() for value in state.values())


def test_places_are_checked():
    with pytest.raises(ConfigError, match="place: expected one of"):
        EowConfig(place="output")
    with pytest.raises(ConfigError, match="frames: expected at least 1"):
        EowConfig(frames=0)
    with pytest.raises(ConfigError, match="place: expected with 1 blocks: head_input or rnn_input"):
        Tail(streaming(n_mels=2, channels=(4,), band_strides=(2,)), "cnn_mid")
