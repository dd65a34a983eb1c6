"""Sounds that a stethoscope picks up and that are no breathing, made from random numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

# Bursts of contact noise a second, and their durations in seconds.
_BURSTS = 2.5
_BURST_SECONDS = (0.01, 1.0)


def contact_noise(rng: np.random.Generator, seconds: float, sample_rate: int) -> Samples:
    """Bumps and rubbing of the chest piece: bursts of low noise, from clicks to strokes, over a faint hiss."""
    n = round(seconds * sample_rate)
    samples = 1e-3 * rng.standard_normal(n)
    at = rng.exponential(1 / _BURSTS)
    while at < seconds:
        length = max(8, round(np.exp(rng.uniform(*np.log(_BURST_SECONDS))) * sample_rate))
        burst = coloured_noise(rng, length, rng.uniform(-1.5, -0.2))
        shape = np.hanning(length) if rng.random() < 0.5 else np.exp(-6 * np.arange(length) / length)
        begin = round(at * sample_rate)
        room = max(0, min(length, n - begin))
        samples[begin : begin + room] += (burst * shape)[:room] * 10 ** rng.uniform(-1.5, 0)
        at += rng.exponential(1 / _BURSTS)
    return (0.1 * samples).astype(np.float32)


def steady_noise(rng: np.random.Generator, seconds: float, sample_rate: int) -> Samples:
    """Coloured noise, and in half of all cases mains hum with its harmonics above it."""
    n = round(seconds * sample_rate)
    samples = coloured_noise(rng, n, rng.uniform(-1.2, 0.3))
    if rng.random() < 0.5:
        time = np.arange(n) / sample_rate
        mains = rng.choice([50.0, 60.0])
        samples *= 10 ** rng.uniform(-2, 0)
        for harmonic in range(1, 6):
            phase = rng.uniform(0, 2 * np.pi)
            samples += rng.uniform(0, 1) / harmonic * np.sin(2 * np.pi * mains * harmonic * time + phase)
    return (0.05 * samples).astype(np.float32)


def coloured_noise(rng: np.random.Generator, n: int, exponent: float) -> npt.NDArray[np.float64]:
    """Gaussian noise of n samples whose spectrum goes with frequency to that power, of deviation 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = (np.arange(len(spectrum)) + 1) / len(spectrum)
    samples = np.fft.irfft(spectrum * frequency**exponent, n)
    return samples / max(float(samples.std()), 1e-12)
