"""Filters of the scene generator: all causal, so that no onset moves to an earlier time."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

Samples = npt.NDArray[np.float32]

_TAPS = 256
_GRID = 1024
_LOWEST_HZ = 80.0
_LOOP_FADE_SECONDS = 0.05


def equaliser(gains_db: tuple[float, ...], sample_rate: int) -> Samples:
    """Return a minimum-phase filter whose gain runs smoothly through ``gains_db``.

    The gains belong to frequencies spaced evenly on a logarithmic axis from 80 Hz to half the sample rate,
    with straight lines in dB between them. Its phase follows from the folded real cepstrum (Oppenheim and
    Schafer, Discrete-Time Signal Processing, section 13.5).

    Returns
    -------
    ndarray, shape (256,), float32
    """
    frequencies = np.maximum(np.fft.rfftfreq(_GRID, 1 / sample_rate), _LOWEST_HZ)
    knots = np.linspace(np.log(_LOWEST_HZ), np.log(sample_rate / 2), len(gains_db))
    log_gain = np.interp(np.log(frequencies), knots, gains_db) * (np.log(10) / 20)
    cepstrum = np.fft.irfft(log_gain)
    cepstrum[1 : _GRID // 2] *= 2
    cepstrum[_GRID // 2 + 1 :] = 0
    taps = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[:_TAPS]
    fade = np.ones(_TAPS)
    fade[_TAPS // 2 :] = np.cos(np.linspace(0, np.pi / 2, _TAPS // 2)) ** 2
    return (taps * fade).astype(np.float32)


def convolve(samples: Samples, *responses: Samples) -> Samples:
    """Filter by all ``responses``, in one pass.

    Returns
    -------
    ndarray, shape (n + sum(len(response) - 1),), float32
    """
    length = len(samples) + sum(len(response) - 1 for response in responses)
    size = scipy.fft.next_fast_len(length, real=True)
    spectrum = scipy.fft.rfft(samples, size)
    for response in responses:
        spectrum *= scipy.fft.rfft(response, size)
    return scipy.fft.irfft(spectrum, size)[:length]


def looped(samples: Samples, length: int, sample_rate: int, start: float = 0.0) -> Samples:
    """Return ``length`` samples of a sound that goes round and round, cross-faded.

    Parameters
    ----------
    start : float
        Where in the loop it begins, as a share of it.
    """
    fade = min(round(_LOOP_FADE_SECONDS * sample_rate), len(samples) // 2)
    ramp = np.sqrt(np.linspace(0, 1, fade, dtype=np.float32))
    loop = samples[: len(samples) - fade].copy()
    loop[:fade] = loop[:fade] * ramp + samples[len(samples) - fade :] * ramp[::-1]
    return np.take(loop, np.arange(length) + int(start * len(loop)), mode="wrap")


def limit_band(samples: Samples, band_hz: tuple[float, float], sample_rate: int) -> Samples:
    """Pass ``band_hz`` alone, by a Butterworth filter of order 8; a lower edge of 0 leaves the low end."""
    low, high = band_hz
    kind, edges = ("lowpass", high) if low == 0 else ("bandpass", band_hz)
    sections = scipy.signal.butter(8, edges, kind, fs=sample_rate, output="sos")
    return scipy.signal.sosfilt(sections, samples).astype(np.float32)


def coloured_noise(
    seed: int, length: int, sample_rate: int, slope_db: float, low_pass_hz: float | None
) -> Samples:
    """Return Gaussian noise whose spectrum falls or rises by ``slope_db`` per octave, RMS 1.

    Below 40 Hz the spectrum is flat. ``low_pass_hz`` ends it as a Butterworth filter of order 4 would.

    Returns
    -------
    ndarray, shape (length,), float32
    """
    rng = np.random.default_rng(seed)
    size = scipy.fft.next_fast_len(length, real=True)
    bins = size // 2 + 1
    noise = rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64)
    noise *= _noise_shape(size, sample_rate, slope_db, low_pass_hz)
    samples = scipy.fft.irfft(noise, size)[:length]
    return samples / np.float32(rms(samples))


@functools.lru_cache(maxsize=4)
def _log_octaves(size: int, sample_rate: int) -> Samples:
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 40.0)
    return np.log2(frequencies / 1000).astype(np.float32)


def _noise_shape(size: int, sample_rate: int, slope_db: float, low_pass_hz: float | None) -> Samples:
    octaves = _log_octaves(size, sample_rate)
    shape = np.exp2(octaves * np.float32(slope_db / (20 * np.log10(2))))
    if low_pass_hz is not None:
        shape /= np.sqrt(1 + np.exp2(8 * (octaves - np.float32(np.log2(low_pass_hz / 1000)))))
    return shape


def rms(samples: Samples) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.dot(samples, samples) / max(len(samples), 1)))
