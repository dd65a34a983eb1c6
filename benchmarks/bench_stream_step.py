"""A step of a stream against the runs of its networks alone: what everything around them costs.

`python benchmarks/bench_stream_step.py` prints µs per step of 40 ms of the shipped model `everyday`, with one member
and with all five, from 16, 44.1 and 48 kHz: the stream, its networks on the same frames with nothing around them, the
difference, and streams per core. On one thread, the answer checked first; both take turns, so that ratios are of one
run. `pytest benchmarks/bench_stream_step.py` runs the same streams under pytest-benchmark.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from timing import interleaved

import streamsed
from streamsed.frontend import LogMel, OnlineLogMel
from streamsed.models import Network, load_network
from streamsed.postprocess import fuse
from streamsed.sources import Resampler

FloatArray = npt.NDArray[np.float32]

STEP_SECONDS = 0.04  # of the latency profile "balanced"
STEPS = 100
RATES = (16000, 44100, 48000)
MEMBERS = (1, 5)


def sound(rate: int) -> FloatArray:
    samples = np.random.default_rng(0).normal(0.0, 0.05, round(STEPS * STEP_SECONDS * rate))
    return samples.astype(np.float32)


class Case:
    """The same sound through a stream, and its frames through the networks."""

    def __init__(self, members: int, rate: int) -> None:
        detector = streamsed.load("everyday")
        assert isinstance(detector, streamsed.Detector)
        bundle = detector.bundle
        assert bundle.front_end is not None
        self.members = members
        self.stream = detector.stream(rate)
        samples = sound(rate)
        step = round(STEP_SECONDS * rate)
        self.steps = [samples[begin : begin + step] for begin in range(0, len(samples), step)]
        resampler, log_mel = Resampler(rate, bundle.sample_rate), OnlineLogMel(LogMel(bundle.front_end))
        self.frames = self._whole_posteriors(
            [log_mel.process(resampler.process(samples)) for samples in self.steps], bundle.time_stride
        )
        self.zero_state = tuple(np.zeros(entry.shape, np.float32) for entry in bundle.state)
        weights = bundle.fusion.weights
        ranked = sorted(range(len(weights)), key=lambda m: -weights[m])[:members]
        self.weights = [weights[m] for m in ranked]
        self.networks: list[Network] = [load_network(bundle, bundle.members[m]) for m in ranked]
        self._check(detector, rate, bundle.look_ahead_frames // bundle.time_stride)

    @staticmethod
    def _whole_posteriors(parts: list[FloatArray], stride: int) -> list[FloatArray]:
        """Frames as they are fed, (1, T, n_mels): those that do not fill a posterior wait for the next step."""
        fed, waiting = [], parts[0][:0]
        for part in parts:
            waiting = np.concatenate([waiting, part])
            whole = len(waiting) - len(waiting) % stride
            if whole:
                fed.append(waiting[np.newaxis, :whole])
            waiting = waiting[whole:]
        return fed

    def _check(self, detector: streamsed.Detector, rate: int, discarded: int) -> None:
        heard: list[FloatArray] = []
        stream = detector.stream(rate, on_frames=lambda frames: heard.append(frames.posteriors))
        stream.set_members(self.members)
        for step in self.steps:
            stream.process(step)
        outputs = self.run_networks()
        posteriors = np.stack(
            [np.concatenate([step[m][0][0] for step in outputs]) for m in range(self.members)]
        )
        confidences = np.stack(
            [np.concatenate([step[m][1][0] for step in outputs]) for m in range(self.members)]
        )
        expected = fuse(posteriors, confidences, self.weights)[discarded:]
        np.testing.assert_allclose(np.concatenate(heard), expected, atol=1e-6)

    def run_stream(self) -> None:
        self.stream.reset()
        self.stream.set_members(self.members)
        for step in self.steps:
            self.stream.process(step)

    def run_networks(self) -> list[list[tuple[FloatArray, FloatArray | None]]]:
        states = [self.zero_state] * self.members
        outputs = []
        for frames in self.frames:
            given = []
            for m, network in enumerate(self.networks):
                output, states[m] = network.run(frames, states[m])
                given.append(output)
            outputs.append(given)
        return outputs


def step_seconds(case: Case) -> dict[str, float]:
    """Seconds a step."""
    cases: dict[str, Callable[[], object]] = {"stream": case.run_stream, "networks": case.run_networks}
    return {name: seconds / STEPS for name, seconds in interleaved(cases, rounds=25).items()}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("members", MEMBERS)
def test_step(benchmark, members: int, rate: int) -> None:
    case = Case(members, rate)
    times = step_seconds(case)
    benchmark.extra_info["stream / networks"] = times["stream"] / times["networks"]
    benchmark(case.run_stream)


def main() -> None:
    print("\nstep of 40 ms, everyday, µs\n")
    print(
        "| members | input | stream | networks alone | around them | stream / networks | streams per core |"
    )
    print("|---|---|---|---|---|---|---|")
    for members in MEMBERS:
        for rate in RATES:
            times = step_seconds(Case(members, rate))
            stream, networks = times["stream"], times["networks"]
            print(
                f"| {members} | {rate / 1000:g} kHz | {1e6 * stream:.0f} | {1e6 * networks:.0f} "
                f"| {1e6 * (stream - networks):.0f} | {stream / networks:.2f} | {STEP_SECONDS / stream:.0f} |"
            )


if __name__ == "__main__":
    main()
