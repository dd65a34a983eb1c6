"""Sounds without a voice, made from random numbers: noises, tones and something like music."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.segmentation.sounds import coloured_noise, steady_noise

Samples = npt.NDArray[np.float32]

_SCALE = np.array([0, 2, 4, 5, 7, 9, 11])


def made_up_sound(rng: np.random.Generator, seconds: float, sample_rate: int) -> Samples:
    """Return one of the sounds below, shape (n,), float32, with peaks below 1."""
    makers = (steady_noise, tones, music, bursts, music)
    samples = makers[int(rng.integers(len(makers)))](rng, seconds, sample_rate)
    peak = max(float(np.abs(samples).max()), 1e-9)
    return np.asarray(samples / peak * 10 ** rng.uniform(-2.0, -0.1), np.float32)


def in_a_room(rng: np.random.Generator, samples: Samples, sample_rate: int) -> Samples:
    """Return sound as a microphone across a room hears it: direct, and decaying noise (Polack's model) after it.

    The reverberation time is between 0.2 and 1 s, direct sound from 6 dB below to 12 dB above the reverberation.
    """
    decay_seconds = rng.uniform(0.2, 1.0)
    time = np.arange(round(decay_seconds * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay_seconds)
    tail[: round(0.003 * sample_rate)] = 0.0
    response = tail / np.sqrt((tail**2).sum())
    response[0] = 10 ** (rng.uniform(-6.0, 12.0) / 20)
    size = 1 << (len(samples) + len(response) - 1).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    wet = np.fft.irfft(spectrum, size)[: len(samples)]
    peak = max(float(np.abs(wet).max()), 1e-9)
    return np.asarray(wet / peak * max(float(np.abs(samples).max()), 1e-9), np.float32)


def tones(rng: np.random.Generator, seconds: float, sample_rate: int) -> Samples:
    """One to three tones, steady, gliding or beating, over a hiss; as alarms and machines have."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    samples = 10 ** rng.uniform(-4, -1.5) * rng.standard_normal(len(time))
    for _ in range(int(rng.integers(1, 4))):
        begin = np.exp(rng.uniform(np.log(80.0), np.log(4000.0)))
        end = begin * 2 ** (rng.uniform(-1, 1) if rng.random() < 0.4 else 0.0)
        phase = 2 * np.pi * np.cumsum(begin * (end / begin) ** (time / seconds)) / sample_rate
        swell = 1 + rng.uniform(0, 1) * np.sin(2 * np.pi * rng.uniform(0.5, 12.0) * time)
        on = np.sin(2 * np.pi * rng.uniform(0.5, 4.0) * time) > rng.uniform(-1, 0.3)
        samples += rng.uniform(0.2, 1.0) * swell * np.where(rng.random() < 0.4, on, 1.0) * np.sin(phase)
    return np.asarray(samples, np.float32)


def music(rng: np.random.Generator, seconds: float, sample_rate: int) -> Samples:
    """Notes of a scale with harmonics and decay, a bass, and beats of noise, at a steady tempo."""
    count = round(seconds * sample_rate)
    samples = np.zeros(count)
    beat = 60.0 / rng.uniform(70, 180)
    root = 110.0 * 2 ** (rng.integers(0, 12) / 12)
    brightness, decay = rng.uniform(0.3, 1.6), rng.uniform(1.0, 8.0)
    at = rng.uniform(0, beat)
    while at < seconds:
        length = beat * rng.choice([0.5, 1.0, 2.0])
        for _ in range(int(rng.integers(1, 4))):
            pitch = root * 2 ** (rng.choice(_SCALE) / 12 + rng.integers(0, 3))
            _add(samples, at, _note(pitch, 1.5 * length, brightness, decay, sample_rate), sample_rate)
        if rng.random() < 0.5:
            _add(samples, at, 2 * _note(root / 2, length, 1.5, 2.0, sample_rate), sample_rate)
        if rng.random() < 0.5:
            drum = coloured_noise(rng, round(0.08 * sample_rate), rng.uniform(-1, 0.3))
            _add(samples, at, drum * np.exp(-np.arange(len(drum)) / (0.02 * sample_rate)), sample_rate)
        at += length
    return np.asarray(samples + 1e-4 * rng.standard_normal(count), np.float32)


def bursts(rng: np.random.Generator, seconds: float, sample_rate: int) -> Samples:
    """Knocks, clicks and rubbing over a faint hiss."""
    count = round(seconds * sample_rate)
    samples = 10 ** rng.uniform(-4, -2) * rng.standard_normal(count)
    at = rng.exponential(0.3)
    while at < seconds:
        length = max(8, round(np.exp(rng.uniform(np.log(0.003), np.log(0.5))) * sample_rate))
        burst = coloured_noise(rng, length, rng.uniform(-1.5, 0.2))
        _add(samples, at, burst * np.exp(-5 * np.arange(length) / length), sample_rate)
        at += rng.exponential(0.4)
    return np.asarray(samples, np.float32)


def _note(
    pitch: float, seconds: float, brightness: float, decay: float, sample_rate: int
) -> npt.NDArray[np.float64]:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    harmonics = [
        np.sin(2 * np.pi * pitch * number * time) / number**brightness
        for number in range(1, 9)
        if pitch * number < sample_rate / 2
    ]
    return np.asarray(sum(harmonics) * np.exp(-decay * time) * np.minimum(time / 0.01, 1.0), np.float64)


def _add(
    samples: npt.NDArray[np.float64], at: float, sound: npt.NDArray[np.float64], sample_rate: int
) -> None:
    begin = round(at * sample_rate)
    room = max(0, min(len(sound), len(samples) - begin))
    samples[begin : begin + room] += sound[:room]
