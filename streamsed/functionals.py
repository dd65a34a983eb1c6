"""Functionals: what a voice is like over a time, as numbers that do not depend on the microphone's gain."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from streamsed.config import FunctionalsConfig
from streamsed.errors import ConfigError, FormatError
from streamsed.voice import ContourExtractor, VoiceContours

__all__ = ["FunctionalsConfig", "LogMelFunctionals"]

Floats = npt.NDArray[np.float32]

_PERCENTILES = (5, 25, 50, 75, 95)
_STATISTICS = (
    "mean",
    "std",
    *(f"p{percent}" for percent in _PERCENTILES),
    "range",
    "iqr",
    "skewness",
    "kurtosis",
    "delta_abs_mean",
    "delta_std",
    "delta_p5",
    "delta_p95",
    "voiced_mean",
    "voiced_std",
)
_ROLLOFFS = (25, 50, 75, 90)
_SCALES = (4, 8, 16, 32)
_DB = 10.0 / np.log(10.0)


class LogMelFunctionals:
    """Statistics over time of the contours of a voice; const, so that threads may share it.

    Parameters
    ----------
    config : FunctionalsConfig

    Attributes
    ----------
    names : tuple of str
        One per number, ``<contour>.<statistic>``; the list is in docs/emotion.md.
    contours : ContourExtractor
        Computes what the statistics are of.
    """

    def __init__(self, config: FunctionalsConfig) -> None:
        self.config = config
        self.contours = ContourExtractor(config)
        bands = config.front_end.n_mels
        steps = np.arange(bands) + 0.5
        orders = np.arange(1, config.coefficients + 1)
        self._cosines = (np.sqrt(2.0 / bands) * np.cos(np.pi * np.outer(steps, orders) / bands)).astype(
            np.float32
        )
        self._centres = _mel_centres(config)
        per_frame = (
            "level",
            *(f"mfcc{order}" for order in orders),
            "flux",
            "alpha_ratio",
            "hammarberg",
            "centroid",
            "spread",
            "entropy",
            "slope",
            *(f"rolloff{percent}" for percent in _ROLLOFFS),
            "periodicity",
            "loudness",
            "loudness_flux",
            *(f"loudness{band}" for band in range(bands // 2)),
        )
        self.names = (
            *(f"{contour}.{statistic}" for contour in per_frame for statistic in _STATISTICS),
            *(f"pitch.{statistic}" for statistic in _STATISTICS[:-2]),
            "pitch.jitter",
            "level.shimmer",
            "hnr.mean",
            "hnr.std",
            "time.active_share",
            "time.voiced_share",
            "time.voiced_runs_per_second",
            "time.voiced_run_mean",
            "time.voiced_run_std",
            *(f"level.modulation_{scale}" for scale in _SCALES),
            *(f"pitch.modulation_{scale}" for scale in _SCALES),
        )

    def __call__(self, samples: Floats) -> Floats:
        """Compute the functionals of a recording.

        Parameters
        ----------
        samples : ndarray, shape (n,), float32
            Mono, at ``config.front_end.sample_rate``, full scale 1.

        Returns
        -------
        ndarray, shape (D,), float32
            In the order of ``names``; all finite.

        Raises
        ------
        ConfigError
            If ``samples`` has another type or shape, or holds NaN or Inf.
        FormatError
            If there are fewer than ``config.fewest_frames`` frames of sound, be it that the recording is too short,
            be it that it is digital silence.
        """
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise ConfigError(
                f"samples: expected float32 with shape (n,), got {samples.dtype} {samples.shape}"
            )
        return self.statistics(self.contours(samples))

    def statistics(self, contours: VoiceContours) -> Floats:
        """Return the functionals of frames; see :meth:`__call__`."""
        fewest = self.config.fewest_frames
        if len(contours) < fewest:
            seconds = (
                self.contours.frame_length + (fewest - 1) * self.contours.hop_length
            ) / self.config.front_end.sample_rate
            raise FormatError(
                f"samples: expected at least {seconds:.3f} s ({fewest} frames), got {len(contours)} frames"
            )
        log_mel = contours.log_mel
        peak = log_mel.max(axis=1)
        level = peak + np.log(np.exp(log_mel - peak[:, np.newaxis]).sum(axis=1))
        reference = float(np.percentile(level, 95))
        active = level >= reference - self.config.active_db / _DB
        floor = np.log(self.config.front_end.floor)
        if reference <= floor + np.log(log_mel.shape[1]) + 0.1 or int(active.sum()) < fewest:
            raise FormatError(f"samples: expected at least {fewest} frames of sound, got digital silence")
        # Relative to the loud parts, and no deeper than the floor of a room: nothing depends on the gain.
        relative = np.maximum(log_mel - reference, -self.config.depth_db / _DB)
        level = np.maximum(level - reference, -self.config.depth_db / _DB)
        voiced = active & (contours.periodicity >= self.config.voicing)
        tracks = self._tracks(relative, level, contours.periodicity)
        semitones = 12.0 * np.log2(contours.pitch / np.float32(55.0))
        values = np.concatenate(
            [
                self._contour_statistics(tracks, active, voiced).ravel(),
                _pitch_statistics(semitones, voiced),
                _voice_quality(semitones, level, contours.periodicity, voiced),
                self._times(active, voiced),
                _modulation(level, active),
                _modulation(np.where(voiced, semitones, _middle(semitones, voiced)), voiced),
            ]
        )
        return np.asarray(values, np.float32)

    def _tracks(self, relative: Floats, level: Floats, periodicity: Floats) -> Floats:
        """Return contours, shape (T, C), of bands (T, n_mels)."""
        power = np.exp(relative)
        total = power.sum(axis=1)
        centres = self._centres
        low, high = centres < 1000.0, (centres >= 1000.0) & (centres < 5000.0)
        below, above = centres < 2000.0, (centres >= 2000.0) & (centres < 5000.0)
        octaves = np.log2(centres / 1000.0).astype(np.float32)
        centroid = power @ octaves / total
        spread = np.sqrt(np.maximum(power @ octaves**2 / total - centroid**2, 0.0))
        flux = np.abs(np.diff(relative, axis=0, prepend=relative[:1])).mean(axis=1)
        share = power / total[:, np.newaxis]
        entropy = -(share * np.log(share)).sum(axis=1)
        positions = octaves - octaves.mean()
        slope = relative @ (positions / (positions**2).sum())
        cumulative = np.cumsum(share, axis=1)
        rolloffs = [
            octaves[(cumulative < percent / 100).sum(axis=1).clip(max=len(octaves) - 1)]
            for percent in _ROLLOFFS
        ]
        # Stevens' power law on pairs of bands.
        loudness = np.exp(relative / 3)
        pairs = loudness.reshape(len(loudness), -1, 2).sum(axis=2)
        loudness_flux = np.sqrt((np.diff(loudness, axis=0, prepend=loudness[:1]) ** 2).sum(axis=1))
        columns = (
            level[:, np.newaxis],
            relative @ self._cosines,
            flux[:, np.newaxis],
            np.log(power[:, low].sum(axis=1) / power[:, high].sum(axis=1))[:, np.newaxis],
            (relative[:, below].max(axis=1) - relative[:, above].max(axis=1))[:, np.newaxis],
            centroid[:, np.newaxis],
            spread[:, np.newaxis],
            entropy[:, np.newaxis],
            slope[:, np.newaxis],
            np.stack(rolloffs, axis=1),
            periodicity[:, np.newaxis],
            loudness.sum(axis=1)[:, np.newaxis],
            loudness_flux[:, np.newaxis],
            pairs,
        )
        return np.concatenate(columns, axis=1)

    def _contour_statistics(
        self, tracks: Floats, active: npt.NDArray[np.bool_], voiced: npt.NDArray[np.bool_]
    ) -> Floats:
        """Return (C, len(_STATISTICS))."""
        some = voiced if int(voiced.sum()) >= self.config.fewest_frames else active
        with_voice = tracks[some]
        rows = [*_moments(tracks, active), with_voice.mean(axis=0), with_voice.std(axis=0)]
        return np.stack(rows, axis=1)

    def _times(self, active: npt.NDArray[np.bool_], voiced: npt.NDArray[np.bool_]) -> Floats:
        frame_seconds = self.config.front_end.hop_length / self.config.front_end.sample_rate
        edges = np.diff(np.concatenate([[0], voiced.astype(np.int8), [0]]))
        lengths = (np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)) * frame_seconds
        lengths = lengths if len(lengths) else np.zeros(1)
        span = np.flatnonzero(active)
        seconds = (span[-1] - span[0] + 1) * frame_seconds
        return np.array(
            [
                active.sum() * frame_seconds / seconds,
                voiced.sum() / active.sum(),
                len(lengths) / seconds,
                lengths.mean(),
                lengths.std(),
            ],
            np.float32,
        )


def _moments(tracks: Floats, chosen: npt.NDArray[np.bool_]) -> list[Floats]:
    """Return the statistics of the columns of ``tracks`` over the chosen rows, without those of voiced frames."""
    values = tracks[chosen]
    mean, std = values.mean(axis=0), values.std(axis=0)
    percentiles = np.percentile(values, _PERCENTILES, axis=0)
    standard = (values - mean) / np.maximum(std, 1e-6)
    squared = standard * standard
    delta = _delta(tracks)[chosen]
    return [
        mean,
        std,
        *percentiles,
        percentiles[-1] - percentiles[0],
        percentiles[3] - percentiles[1],
        (squared * standard).mean(axis=0),
        (squared * squared).mean(axis=0),
        np.abs(delta).mean(axis=0),
        delta.std(axis=0),
        *np.percentile(delta, (5, 95), axis=0),
    ]


def _delta(tracks: Floats) -> Floats:
    """Return the slope over five frames (regression, as HTK's deltas)."""
    padded = np.pad(tracks, ((2, 2), (0, 0)), mode="edge")
    slope = (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10
    return np.asarray(slope, np.float32)


def _middle(semitones: Floats, voiced: npt.NDArray[np.bool_]) -> float:
    return float(np.median(semitones[voiced] if voiced.any() else semitones))


def _pitch_statistics(semitones: Floats, voiced: npt.NDArray[np.bool_]) -> Floats:
    if not voiced.any():
        return np.zeros(len(_STATISTICS) - 2, np.float32)
    return np.concatenate(_moments(semitones[:, np.newaxis], voiced))


def _voice_quality(
    semitones: Floats, level: Floats, periodicity: Floats, voiced: npt.NDArray[np.bool_]
) -> Floats:
    """Return jitter and shimmer from frame to frame, and mean and standard deviation of the HNR in dB."""
    pairs = voiced[1:] & voiced[:-1]
    if not pairs.any():
        return np.zeros(4, np.float32)
    steps = np.abs(np.diff(semitones))[pairs]
    strength = np.clip(periodicity[voiced], 0.0, 0.999)
    hnr = _DB * np.log(np.maximum(strength, 1e-3) / (1 - strength))
    return np.array(
        [
            np.minimum(steps, 2.0).mean(),
            np.abs(np.diff(level))[pairs].mean(),
            hnr.mean(),
            hnr.std(),
        ],
        np.float32,
    )


def _modulation(contour: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """Return how much a contour moves at time scales of ``_SCALES`` frames: differences of running means."""
    if not chosen.any():
        return np.zeros(len(_SCALES), np.float32)
    means = [contour, *(_running_mean(contour, scale) for scale in _SCALES)]
    return np.array(
        [(fine - coarse)[chosen].std() for fine, coarse in itertools.pairwise(means)],
        np.float32,
    )


def _running_mean(contour: Floats, width: int) -> Floats:
    padded = np.pad(contour, (width // 2, width - width // 2 - 1), mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


def _mel_centres(config: FunctionalsConfig) -> npt.NDArray[np.float32]:
    """Return the centre frequencies of the bands in Hz (Slaney's or HTK's scale)."""
    front_end = config.front_end
    top = front_end.sample_rate / 2 if front_end.f_max is None else front_end.f_max
    hertz = np.geomspace(max(front_end.f_min, 1.0), top, 8192)
    if front_end.mel_scale == "htk":
        mel = 2595.0 * np.log10(1.0 + hertz / 700.0)
    else:
        mel = np.where(
            hertz < 1000.0, hertz / (200.0 / 3), 15.0 + np.log(hertz / 1000.0) / (np.log(6.4) / 27.0)
        )
    points = np.linspace(mel[0], mel[-1], front_end.n_mels + 2)[1:-1]
    return np.interp(points, mel, hertz).astype(np.float32)
