"""Configuration as frozen dataclasses.

Unknown keys are rejected; nothing is read from globals or the environment.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import numbers
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from streamsed.errors import ConfigError

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass ``cls`` from the JSON-like ``values``, checking every key and every type.

    Nested dataclasses, ``tuple[X, ...]``, ``Mapping[str, X]``, ``Literal`` and ``X | None`` are followed.

    Parameters
    ----------
    cls : type
        A dataclass.
    values : mapping
        What a JSON or TOML object gave.
    where : str
        How the object is called in messages, such as ``"bundle.json"``.

    Raises
    ------
    ConfigError
        A key that is unknown or missing, or a value of the wrong type; the message names it with its path.
    """
    result: T = _convert(cls, values, where)
    return result


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` as the annotation ``hint`` says, or raise :class:`ConfigError` naming ``where``."""
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else _convert_dataclass(hint, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (item for item in arguments if item is not type(None))
        return _convert(inner, value, where)
    if origin is Literal:
        require(value in arguments, where, f"one of {list(arguments)}", value)
        return value
    if origin is tuple:
        require(isinstance(value, (list, tuple)), where, "a list", value)
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is collections.abc.Mapping:
        require(isinstance(value, Mapping), where, "an object", value)
        return {str(key): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    kind, name = {
        bool: (bool, "true or false"),
        int: (numbers.Integral, "an integer"),
        float: (numbers.Real, "a number"),
        str: (str, "a string"),
    }[hint]
    # bool is an int in Python, but never meant as one in a configuration.
    require(isinstance(value, kind) and (hint is bool or not isinstance(value, bool)), where, name, value)
    return value


def _convert_dataclass(cls: type[Any], values: Any, where: str) -> Any:
    require(isinstance(values, Mapping), where, "an object", values)
    fields = {item.name: item for item in dataclasses.fields(cls) if item.init}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"{where}: expected keys among {sorted(fields)}, got unknown {unknown}")
    missing = sorted(
        name
        for name, item in fields.items()
        if name not in values and item.default is MISSING and item.default_factory is MISSING
    )
    if missing:
        raise ConfigError(f"{where}: expected all of {sorted(fields)}, missing {missing}")
    hints = typing.get_type_hints(cls)
    arguments = {name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None


def require(holds: bool, parameter: str, expected: str, received: object) -> None:
    """Raise :class:`ConfigError` naming parameter, rule and value unless ``holds``."""
    if not holds:
        raise ConfigError(f"{parameter}: expected {expected}, got {received!r}")


@dataclass(frozen=True)
class LogMelConfig:
    """The log-mel front-end. Frames are left-aligned: frame t covers samples [t·hop, t·hop + window).

    Parameters
    ----------
    sample_rate : int
        In Hz.
    n_fft : int
        Even; fast when 2^a·3^b·5^c. The window is zero-padded at its end up to it (left-aligned).
    window_length, hop_length : int
        In samples; window_length <= n_fft.
    n_mels : int
        Number of mel bands.
    f_min, f_max : float
        Edges of the filter bank in Hz; ``f_max=None`` means sample_rate / 2.
    window : {"hann", "hamming"}
        Window shape; ``periodic`` chooses the DFT-even form.
    mel_scale : {"slaney", "htk"}
        Slaney (Auditory Toolbox) or HTK formula.
    area_norm : bool
        Slaney's area normalisation of each triangle (librosa ``norm="slaney"``); False leaves peaks at 1.
    spectrum : {"power", "magnitude"}
        What the filter bank sums.
    log : {"ln", "db", "none"}
        Natural log, 10·log10 of power (20·log10 of magnitude), or linear mel.
    floor : float
        Lower bound applied before the log.
    clamp_min, clamp_max : float or None
        Bounds applied after the log.
    normalisation : {"none", "fixed", "running"}
        "fixed": (x - mean) / std per band. "running": exponential mean and variance per band kept as state.
    mean, std : tuple of float
        Length n_mels (or 1) for "fixed"; initial values for "running".
    running_seconds : float
        Time constant of the running statistics.
    center : bool
        Offline option only: librosa's centred frames with zero padding.
    precision : {"float32", "float64"}
        Arithmetic inside; the output is float32 either way.
    warp_factor : float
        In [0.5, 2]: what the edge frequencies of all bands are multiplied by, up to a bend near ``warp_high_hz`` from
        where on they go straight to sample_rate / 2 (vocal tract length perturbation, an augmentation; Jaitly and
        Hinton 2013). 1: not at all.
    warp_high_hz : float or None
        Above 0, below sample_rate / 2; None means 0.3·sample_rate.
    """

    sample_rate: int = 16000
    n_fft: int = 512
    window_length: int = 512
    hop_length: int = 160
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float | None = None
    window: Literal["hann", "hamming"] = "hann"
    periodic: bool = True
    mel_scale: Literal["slaney", "htk"] = "slaney"
    area_norm: bool = True
    spectrum: Literal["power", "magnitude"] = "power"
    log: Literal["ln", "db", "none"] = "ln"
    floor: float = 1e-10
    clamp_min: float | None = None
    clamp_max: float | None = None
    normalisation: Literal["none", "fixed", "running"] = "none"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    running_seconds: float = 10.0
    center: bool = False
    precision: Literal["float32", "float64"] = "float32"
    warp_factor: float = 1.0
    warp_high_hz: float | None = None

    def __post_init__(self) -> None:
        """Turn sequences into tuples, so that a config stays hashable."""
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))


@dataclass(frozen=True)
class ClassPost:
    """Post-processing of one label; times in seconds.

    Parameters
    ----------
    threshold_on : float
        In (0, 1]. Hysteresis: what an event has to reach. Change: the least mean posterior of an event.
    threshold_off : float or None
        In (0, threshold_on]: below it the hysteresis lets go; None means ``threshold_on`` (no hysteresis). Of
        "change" it only says where an announced onset began.
    median_seconds : float
        Median filter before everything else, rounded to an odd number of posterior frames; 0 means none.
    min_duration : float
        Shorter events are dropped.
    min_gap : float
        Hysteresis: pauses up to it are bridged. Both: so much lost audio an event goes on over.
    method : {"hysteresis", "change"}
        Two thresholds, or segments between changes of the level as in Sound Event Bounding Boxes (Ebbers,
        Germain, Wichern and Le Roux, Interspeech 2024), whose extent does not depend on the threshold.
    step_seconds : float
        Change: length of the step filter, rounded to an even number of posterior frames, at least 2.
    merge_absolute, merge_relative : float
        Change: levels whose difference is below the one, or whose ratio is below the other, are the same
        segment; in (0, 1] and 1 or more.
    """

    threshold_on: float = 0.5
    threshold_off: float | None = None
    median_seconds: float = 0.0
    min_duration: float = 0.0
    min_gap: float = 0.0
    method: Literal["hysteresis", "change"] = "hysteresis"
    step_seconds: float = 0.5
    merge_absolute: float = 0.1
    merge_relative: float = 3.0

    def __post_init__(self) -> None:
        """Check every field."""
        require(0.0 < self.threshold_on <= 1.0, "threshold_on", "in (0, 1]", self.threshold_on)
        off = self.threshold_on if self.threshold_off is None else self.threshold_off
        object.__setattr__(self, "threshold_off", off)
        in_range = 0.0 < off <= self.threshold_on
        require(in_range, "threshold_off", f"in (0, threshold_on={self.threshold_on}]", off)
        for name in ("median_seconds", "min_duration", "min_gap"):
            value = getattr(self, name)
            require(0.0 <= value <= 3600.0, name, "seconds in [0, 3600]", value)
        require(self.method in ("hysteresis", "change"), "method", "hysteresis or change", self.method)
        require(0.0 < self.step_seconds <= 60.0, "step_seconds", "seconds in (0, 60]", self.step_seconds)
        require(0.0 < self.merge_absolute <= 1.0, "merge_absolute", "in (0, 1]", self.merge_absolute)
        require(1.0 <= self.merge_relative <= 1e6, "merge_relative", "in [1, 1e6]", self.merge_relative)

    def to_mapping(self) -> dict[str, Any]:
        """Return the fields as stored in a bundle, those of "change" only where it is chosen."""
        values = dataclasses.asdict(self)
        if self.method == "hysteresis":
            for name in ("method", "step_seconds", "merge_absolute", "merge_relative"):
                del values[name]
        return values


@dataclass(frozen=True)
class CyclePreparation:
    """How a respiratory cycle, which may last any time, becomes the inputs of fixed length of a classifier.

    Parameters
    ----------
    segment_seconds : float
        In (0, 60]. Longer cycles give several segments, the last of which is filled as that of a shorter cycle is.
    chunks : int
        In [1, 16]: parts of equal length that the frames of a segment are split into; each is classified on its own.
    padding : {"sample", "zero"}
        What a segment is filled with: the cycle's own samples, again from its beginning as often as needed, or silence
        (paper 004, section III-A).
    """

    segment_seconds: float = 9.0
    chunks: int = 2
    padding: Literal["sample", "zero"] = "sample"

    def __post_init__(self) -> None:
        """Check every field."""
        seconds = self.segment_seconds
        require(0.0 < seconds <= 60.0, "segment_seconds", "seconds in (0, 60]", seconds)
        require(1 <= self.chunks <= 16, "chunks", "a number in [1, 16]", self.chunks)
        require(self.padding in ("sample", "zero"), "padding", "sample or zero", self.padding)


@dataclass(frozen=True)
class FrameClock:
    """The one place where posterior frames become seconds.

    Posterior frame i stands for log-mel frames [i·time_stride, (i+1)·time_stride). As frames overlap, each
    log-mel frame speaks for the hop in its middle: boundary i lies at
    (i·time_stride·hop + (window - hop) / 2) samples.
    """

    sample_rate: int
    hop_length: int
    window_length: int
    time_stride: int = 1

    @property
    def frame_seconds(self) -> float:
        """Duration of one posterior frame."""
        return self.time_stride * self.hop_length / self.sample_rate

    @property
    def shift_seconds(self) -> float:
        """Start of posterior frame 0."""
        return (self.window_length - self.hop_length) / 2 / self.sample_rate

    def seconds(self, frame: int) -> float:
        """Time of the left boundary of posterior frame ``frame``.

        It is 0 for frame 0, which also owns what is before it.
        """
        return 0.0 if frame <= 0 else frame * self.frame_seconds + self.shift_seconds

    def frames(self, seconds: float) -> int:
        """Count of posterior frames nearest to a duration."""
        return round(seconds / self.frame_seconds)

    def needed_samples(self, frame: int) -> int:
        """Samples that must have arrived before posterior frame ``frame`` can be computed."""
        return ((frame + 1) * self.time_stride - 1) * self.hop_length + self.window_length


@dataclass(frozen=True)
class LatencyProfile:
    """How much delay a stream accepts.

    ``chunk_seconds`` of audio are handled at a time; the caps bound what post-processing may wait for, so
    that a lower latency costs smoothing rather than being silently missed. ``overlap`` is the part of the
    possible window overlap that a windowed model waits for. ``max_step_seconds`` is no more than the wait for
    median and pause together.
    """

    name: str
    chunk_seconds: float
    max_median_seconds: float
    max_min_gap: float
    overlap: float
    max_step_seconds: float

    def __post_init__(self) -> None:
        """Check the fields."""
        require(0.001 <= self.chunk_seconds <= 10.0, "chunk_seconds", "in [0.001, 10]", self.chunk_seconds)
        require(0.0 <= self.overlap <= 1.0, "overlap", "in [0, 1]", self.overlap)
        for name in ("max_median_seconds", "max_min_gap", "max_step_seconds"):
            value = getattr(self, name)
            require(value >= 0.0, name, "seconds >= 0", value)


LATENCY_PROFILES: dict[str, LatencyProfile] = {
    "low": LatencyProfile("low", 0.02, 0.02, 0.02, 0.0, 0.02),
    "balanced": LatencyProfile("balanced", 0.04, 0.14, 0.1, 0.5, 0.16),
    "high": LatencyProfile("high", 0.2, float("inf"), float("inf"), 1.0, float("inf")),
}


LatencyChoice: TypeAlias = str | LatencyProfile


def latency_profile(name: LatencyChoice) -> LatencyProfile:
    """Return the profile of that name, or the one that is given; :class:`ConfigError` lists those there are."""
    if isinstance(name, LatencyProfile):
        return name
    if name not in LATENCY_PROFILES:
        raise ConfigError(f"latency: expected one of {sorted(LATENCY_PROFILES)}, got {name!r}")
    return LATENCY_PROFILES[name]


@dataclass(frozen=True)
class PostConfig:
    """Post-processing of a model: one :class:`ClassPost` for all labels, and those that differ, by label."""

    default: ClassPost = field(default_factory=ClassPost)
    labels: Mapping[str, ClassPost] = field(default_factory=dict)

    def for_label(self, label: str) -> ClassPost:
        """Settings of ``label``."""
        return self.labels.get(label, self.default)

    def to_mapping(self) -> dict[str, Any]:
        """Return what :func:`from_mapping` reads."""
        labels = {label: item.to_mapping() for label, item in self.labels.items()}
        return {"default": self.default.to_mapping(), "labels": labels}


Pooling: TypeAlias = Literal["linear_softmax", "mean", "max"]
POOLINGS: tuple[Pooling, ...] = typing.get_args(Pooling)


@dataclass(frozen=True)
class TaggingConfig:
    """How posterior frames become the tags of a clip.

    Parameters
    ----------
    pooling : {"linear_softmax", "mean", "max"}
        What makes one posterior of a label's frames; see :func:`streamsed.tagging.pooled`.
    window_seconds : float
        In [0.1, 600]: tags of a stream are those of so much sound at its end.
    default_threshold : float
        In (0, 1]: a clip posterior that reaches it makes the label a tag.
    thresholds : mapping of str to float
        Those of labels that have their own.
    """

    pooling: Pooling = "linear_softmax"
    window_seconds: float = 10.0
    default_threshold: float = 0.5
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field."""
        require(self.pooling in POOLINGS, "pooling", f"one of {list(POOLINGS)}", self.pooling)
        seconds = self.window_seconds
        require(0.1 <= seconds <= 600.0, "window_seconds", "seconds in [0.1, 600]", seconds)
        both = {"default_threshold": self.default_threshold}
        both |= {f"thresholds.{label}": value for label, value in self.thresholds.items()}
        for name, value in both.items():
            require(0.0 < value <= 1.0, name, "in (0, 1]", value)

    def threshold(self, label: str) -> float:
        """Threshold of ``label``."""
        return self.thresholds.get(label, self.default_threshold)


@dataclass(frozen=True)
class CycleDecoderConfig:
    """How boundary posteriors become respiratory cycles; times in seconds.

    Parameters
    ----------
    threshold : float
        In (0, 1): boundary posterior that suffices when a cycle has lasted as long as the breathing of the moment
        makes likely.
    wait_seconds : float
        A boundary is reported when nothing better has come so long after it: the delay of the decoder.
    min_seconds, max_seconds : float
        No cycle is shorter, nor than the wait; one that is still open after ``max_seconds`` is closed by force.
    period_seconds : float
        Median duration of a cycle, before enough of them have been heard.
    spread : float
        Standard deviation of the logarithm of a cycle's duration around that median.
    prior_weight : float
        How much the duration counts beside the posterior; 0: not at all.
    history : int
        So many last cycles give the period of the moment, as their median together with ``period_seconds``.
    """

    threshold: float = 0.5
    wait_seconds: float = 0.2
    min_seconds: float = 0.4
    max_seconds: float = 9.0
    period_seconds: float = 2.4
    spread: float = 0.4
    prior_weight: float = 1.0
    history: int = 6

    def __post_init__(self) -> None:
        """Check every field."""
        require(0.0 < self.threshold < 1.0, "threshold", "in (0, 1)", self.threshold)
        require(0.0 <= self.wait_seconds <= 5.0, "wait_seconds", "seconds in [0, 5]", self.wait_seconds)
        require(0.0 < self.max_seconds <= 60.0, "max_seconds", "seconds in (0, 60]", self.max_seconds)
        within = 0.0 < self.min_seconds < self.max_seconds
        require(within, "min_seconds", f"in (0, max_seconds={self.max_seconds})", self.min_seconds)
        within = self.min_seconds <= self.period_seconds <= self.max_seconds
        expected = f"in [{self.min_seconds}, {self.max_seconds}]"
        require(within, "period_seconds", expected, self.period_seconds)
        require(0.05 <= self.spread <= 5.0, "spread", "in [0.05, 5]", self.spread)
        require(0.0 <= self.prior_weight <= 100.0, "prior_weight", "in [0, 100]", self.prior_weight)
        require(0 <= self.history <= 1000, "history", "cycles in [0, 1000]", self.history)


@dataclass(frozen=True)
class QualityGateConfig:
    """When what is heard counts as lung sounds; the posteriors are averaged exponentially before.

    Parameters
    ----------
    seconds : float
        Time constant of the average.
    lung_on, lung_off : float
        The posterior of lung sounds that opens the gate, and the one below which it closes; 0 < off <= on <= 1.
    noise_on, noise_off : float
        That of speech or contact noise which closes the gate, and the one below which it opens; 0 < off <= on <= 1.
    """

    seconds: float = 1.0
    lung_on: float = 0.5
    lung_off: float = 0.3
    noise_on: float = 0.6
    noise_off: float = 0.4

    def __post_init__(self) -> None:
        """Check every field."""
        require(0.0 < self.seconds <= 60.0, "seconds", "seconds in (0, 60]", self.seconds)
        for on, off in (("lung_on", "lung_off"), ("noise_on", "noise_off")):
            upper, lower = getattr(self, on), getattr(self, off)
            require(0.0 < upper <= 1.0, on, "in (0, 1]", upper)
            require(0.0 < lower <= upper, off, f"in (0, {on}={upper}]", lower)


@dataclass(frozen=True)
class CycleConfig:
    """From boundaries and posteriors of chunks to records of respiratory cycles.

    Parameters
    ----------
    preparation : CyclePreparation
    decoder : CycleDecoderConfig
    class_weights : tuple of float
        w_k > 0: the label of a cycle is the one with the largest w_k p_k.
    gate : QualityGateConfig
    evidence_seconds : float
        How often an open cycle is classified.
    evidence_members : int
        So many networks of the ensemble do that, the ones with the largest weights; all of them a closed cycle.
    """

    preparation: CyclePreparation = field(default_factory=CyclePreparation)
    decoder: CycleDecoderConfig = field(default_factory=CycleDecoderConfig)
    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    gate: QualityGateConfig = field(default_factory=QualityGateConfig)
    evidence_seconds: float = 1.0
    evidence_members: int = 1

    def __post_init__(self) -> None:
        """Check every field."""
        sane = all(0.0 < weight < float("inf") for weight in self.class_weights)
        require(sane, "class_weights", "finite numbers > 0", self.class_weights)
        seconds = self.evidence_seconds
        require(0.1 <= seconds <= 60.0, "evidence_seconds", "seconds in [0.1, 60]", seconds)
        require(self.evidence_members >= 1, "evidence_members", "1 or more", self.evidence_members)


@dataclass(frozen=True)
class FunctionalsConfig:
    """Functionals of a voice (:class:`~streamsed.functionals.LogMelFunctionals`).

    Parameters
    ----------
    front_end : LogMelConfig
        Natural logarithm of power, without normalisation; its hop is that of every contour.
    pitch_min, pitch_max : float
        Range of the fundamental frequency in Hz.
    pitch_seconds : float
        Window of the pitch; at least two periods of ``pitch_min``.
    voicing : float
        Least periodicity of a voiced frame, in (0, 1).
    coefficients : int
        Cosine coefficients of the log-mel bands (MFCC 1 to this).
    active_db : float
        Frames count as sound down to so many dB below the 95th percentile of the level.
    depth_db : float
        What is more than so many dB below that level is raised to it.
    fewest_frames : int
        Of sound, below which there are no functionals.
    """

    front_end: LogMelConfig = field(
        default_factory=lambda: LogMelConfig(
            n_fft=512, window_length=400, hop_length=160, n_mels=32, f_min=50.0, f_max=7600.0, area_norm=False
        )
    )
    pitch_min: float = 60.0
    pitch_max: float = 600.0
    pitch_seconds: float = 0.04
    voicing: float = 0.5
    coefficients: int = 13
    active_db: float = 30.0
    depth_db: float = 50.0
    fewest_frames: int = 20

    def __post_init__(self) -> None:
        """Check ranges."""
        front_end = self.front_end
        plain = (front_end.log, front_end.spectrum, front_end.normalisation) == ("ln", "power", "none")
        require(plain, "front_end", "the natural log of power, not normalised or centred", front_end)
        require(not front_end.center, "front_end.center", "false", front_end.center)
        nyquist = front_end.sample_rate / 2
        in_order = 0 < self.pitch_min < self.pitch_max < nyquist
        require(
            in_order,
            "pitch_min, pitch_max",
            f"0 < pitch_min < pitch_max < {nyquist:g}",
            (self.pitch_min, self.pitch_max),
        )
        least = 2 / self.pitch_min
        require(
            self.pitch_seconds >= least,
            "pitch_seconds",
            f">= {least:.4g}, two periods of pitch_min",
            self.pitch_seconds,
        )
        require(0 < self.voicing < 1, "voicing", "in (0, 1)", self.voicing)
        require(
            0 < self.coefficients < front_end.n_mels, "coefficients", "in [1, n_mels - 1]", self.coefficients
        )
        require(0 < self.active_db <= self.depth_db, "active_db", "in (0, depth_db]", self.active_db)
        require(self.fewest_frames >= 5, "fewest_frames", ">= 5", self.fewest_frames)


@dataclass(frozen=True)
class EmotionConfig:
    """How records are made of a voice (:class:`~streamsed.emotion_stream.EmotionStream`).

    Parameters
    ----------
    window_seconds : float
        Sound that a record is about, in [0.5, 60].
    hop_seconds : float
        From one record to the next, in [0.1, window_seconds].
    least_seconds : float
        Where sound begins, at the beginning or after lost sound, windows are shorter, from this on; in [0.3, 10].
    speech_threshold : float
        Least score of the voice activity gate for a record, in (0, 1).
    smoothing_seconds : float
        Time constant of the exponential mean of levels over records in a row; 0 for none.
    """

    window_seconds: float = 3.0
    hop_seconds: float = 0.5
    least_seconds: float = 1.0
    speech_threshold: float = 0.5
    smoothing_seconds: float = 0.5

    def __post_init__(self) -> None:
        """Check ranges."""
        window, hop = self.window_seconds, self.hop_seconds
        require(0.5 <= window <= 60.0, "window_seconds", "seconds in [0.5, 60]", window)
        require(0.1 <= hop <= window, "hop_seconds", f"seconds in [0.1, window_seconds = {window:g}]", hop)
        require(0.3 <= self.least_seconds <= 10.0, "least_seconds", "in [0.3, 10]", self.least_seconds)
        require(0.0 < self.speech_threshold < 1.0, "speech_threshold", "in (0, 1)", self.speech_threshold)
        require(
            0.0 <= self.smoothing_seconds <= 60.0, "smoothing_seconds", "in [0, 60]", self.smoothing_seconds
        )
