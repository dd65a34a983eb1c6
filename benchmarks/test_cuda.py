"""Lanes on a GPU against torch on the same GPU, and against the speed at which its memory can be copied.

``python benchmarks/test_cuda.py`` prints ms a call, the ratio to torch, and the share of the floor: the bytes that have
to be moved at the measured bandwidth of a copy, over the time taken. Inputs and outputs are tensors of the GPU, times
those of whole calls with their one synchronisation; answers are checked first. ``pytest benchmarks/test_cuda.py`` runs
the same cases once and checks the answers. Without a GPU both say so and measure nothing.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from timing import interleaved, print_table

from streamsed import _core
from streamsed.config import LogMelConfig
from streamsed.lanes import FusionLanes, LogMelLanes, MedianLanes

MISSING = (
    _core.cuda_describe()
    if _core.cuda_device_count() == 0 or _core.cuda_build() == "emulated"
    else ""
    if torch.cuda.is_available()
    else "torch sees no GPU"
)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs a GPU: {MISSING}")
DEVICE = "cuda"

MEMBERS, CLASSES, WIDTH = 5, 25, 7
# One chunk of 40 ms from each of many microphones, a second from each of some, and an archive.
LOG_MEL_SHAPES = ((1024, 640), (256, 16000), (32, 960_000))
POSTERIOR_SHAPES = ((1024, 1), (1024, 250), (64, 40_000))


@dataclass(frozen=True)
class Case:
    """What is compared: our call and torch's, which give tensors to agree to `tolerance`, and the least bytes moved."""

    ours: Callable[[], torch.Tensor]
    torch: Callable[[], torch.Tensor]
    tolerance: float
    least_bytes: int

    def check(self) -> None:
        """The answers first."""
        ours, peer = self.ours(), self.torch()
        assert ours.shape == peer.shape
        assert float((ours - peer).abs().max()) <= self.tolerance


def log_mel_case(lanes: int, samples: int) -> Case:
    """Frames of samples (lanes, samples): ours against torch.stft, a matrix product and a logarithm."""
    config = LogMelConfig()
    stage = LogMelLanes(config, lanes, "cuda")
    sound = 0.1 * torch.randn(lanes, samples, device=DEVICE)
    frames = 1 + (samples - config.window_length) // config.hop_length
    out = torch.empty(lanes, frames, config.n_mels, device=DEVICE)
    window = torch.hann_window(config.window_length, periodic=config.periodic, device=DEVICE)
    banks = _mel_filter_bank(config)

    def ours() -> torch.Tensor:
        # A new stream each time, so that each call does the same.
        stage.reset()
        stage.process(sound, out=out)
        return out

    def peer() -> torch.Tensor:
        spectrum = torch.stft(
            sound,
            config.n_fft,
            config.hop_length,
            config.window_length,
            window,
            center=False,
            return_complex=True,
        )
        return (banks @ spectrum.abs().square()).clamp_min(config.floor).log().transpose(1, 2)

    return Case(ours, peer, 1e-2, 4 * (sound.numel() + out.numel()))


def _mel_filter_bank(config: LogMelConfig) -> torch.Tensor:
    librosa = pytest.importorskip("librosa")
    bank = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.f_min, fmax=config.f_max
    )
    return torch.from_numpy(bank).to(DEVICE)


def median_case(lanes: int, rows: int) -> Case:
    """Medians of (lanes, rows, K) from the start of the streams on: ours against unfold and torch.median."""
    stage = MedianLanes([WIDTH] * CLASSES, lanes, "cuda")
    reach = WIDTH // 2
    # The rows before are there already, so that each call gives as many rows as it gets.
    history = torch.rand(lanes, 2 * reach, CLASSES, device=DEVICE)
    posteriors = torch.rand(lanes, rows, CLASSES, device=DEVICE)
    out = torch.empty(lanes, rows, CLASSES, device=DEVICE)
    stage.process(history)

    def ours() -> torch.Tensor:
        stage.process(posteriors, out=out)
        return out

    def peer() -> torch.Tensor:
        joined = torch.cat([tail(), posteriors], dim=1)
        return joined.unfold(1, WIDTH, 1).median(dim=-1).values

    last: list[torch.Tensor] = [history]

    def tail() -> torch.Tensor:
        # Both go on from the same rows, call by call.
        before = last[0]
        last[0] = torch.cat([before, posteriors], dim=1)[:, -2 * reach :]
        return before

    return Case(ours, peer, 0.0, 4 * lanes * CLASSES * (2 * rows + 2 * reach + min(rows, 2 * reach)))


def fusion_case(lanes: int, rows: int) -> Case:
    """Fused ensembles (members, lanes, rows, K): ours against torch.einsum."""
    stage = FusionLanes("cuda")
    posteriors = torch.rand(MEMBERS, lanes, rows, CLASSES, device=DEVICE)
    confidences = torch.rand(MEMBERS, lanes, rows, device=DEVICE) + 0.01
    out = torch.empty(lanes, rows, CLASSES, device=DEVICE)

    def ours() -> torch.Tensor:
        stage.process(posteriors, confidences, out=out)
        return out

    def peer() -> torch.Tensor:
        return torch.einsum("mbtk,mbt->btk", posteriors, confidences / confidences.sum(dim=0))

    return Case(ours, peer, 1e-5, 4 * (posteriors.numel() + confidences.numel() + out.numel()))


CASES: dict[str, Callable[[], Case]] = {
    **{f"log-mel {b} x {n}": functools.partial(log_mel_case, b, n) for b, n in LOG_MEL_SHAPES},
    **{f"median {b} x {n} x {CLASSES}": functools.partial(median_case, b, n) for b, n in POSTERIOR_SHAPES},
    **{
        f"fusion {MEMBERS} x {b} x {n} x {CLASSES}": functools.partial(fusion_case, b, n)
        for b, n in POSTERIOR_SHAPES
    },
}


@pytest.mark.parametrize("name", CASES)
def test_answers(name: str) -> None:
    CASES[name]().check()


def synchronised(call: Callable[[], object]) -> Callable[[], object]:
    """Let a call of torch wait for its result, as ours do."""

    def run() -> None:
        call()
        torch.cuda.synchronize()

    return run


def copy_bandwidth() -> float:
    """Bytes a second that a copy of 1 GiB reads and writes."""
    source = torch.empty(1 << 28, device=DEVICE)
    target = torch.empty_like(source)
    seconds = interleaved({"copy": synchronised(lambda: target.copy_(source))})["copy"]
    return 2 * source.numel() * source.element_size() / seconds


def main() -> None:
    if MISSING:
        sys.exit(f"needs a GPU: {MISSING}")
    bandwidth = copy_bandwidth()
    print(_core.cuda_describe())
    print(f"copies move {bandwidth / 1e9:.0f} GB/s; torch {torch.__version__}")
    rows = {}
    shares = {}
    for name, make in CASES.items():
        case = make()
        case.check()
        seconds = interleaved({"streamsed": case.ours, "torch": synchronised(case.torch)})
        rows[name] = {peer: 1e3 * value for peer, value in seconds.items()}
        shares[name] = case.least_bytes / bandwidth / seconds["streamsed"]
        del case
        torch.cuda.empty_cache()
    print_table("ms a call", rows, "streamsed")
    print("\n| case | share of the floor |\n|---|---|")
    for name, share in shares.items():
        print(f"| {name} | {share:.2f} |")


if __name__ == "__main__":
    main()
