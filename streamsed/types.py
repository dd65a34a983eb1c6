"""Records of the output contract, version 1: frozen, typed, and the same in the library and on stdout.

Every time is in seconds of the audio clock since the stream began, gaps counted.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

CONTRACT_VERSION = 1
# Of respiratory cycles: neither, one or both of the adventitious sounds.
CYCLE_LABELS = ("normal", "crackle", "wheeze", "both")
# Of emotion, each in [0, 1].
EMOTION_DIMENSIONS = ("valence", "arousal", "dominance")

GapCause = Literal["overflow", "device", "overload"]
StatusState = Literal["listening", "stalled", "recovering", "device_changed", "stopped"]
HealthCondition = Literal[
    "digital_silence",
    "clipping",
    "dc",
    "non_finite",
    "not_lung_sound",
    "speech",
    "contact_noise",
    "no_breathing",
    "no_picture",
]


class _Record:
    """Shared behaviour of the frozen records below."""

    type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the contract: ``v`` and ``type`` first, ``None`` left out."""
        out: dict[str, Any] = {"v": CONTRACT_VERSION, "type": self.type}
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is not None:
                out[field.name] = value
        return out


@dataclass(frozen=True)
class Start(_Record):
    """First record of a session."""

    type: ClassVar[str] = "start"
    source: str
    model: str
    sample_rate: int
    latency_seconds: dict[str, float]
    time_utc: str | None = None


@dataclass(frozen=True)
class Onset(_Record):
    """An event that seems to have begun; an :class:`Event` or a :class:`Retract` with the same id follows.

    ``members_skipped`` is there if members of an ensemble had been left out under overload when it was decided,
    and says how many. ``modalities`` are those that a model of several had at that moment, such as
    ``["audio", "visual"]``.
    """

    type: ClassVar[str] = "onset"
    event_id: str
    source: str
    label: str
    onset: float
    confidence: float
    provisional: bool = True
    emitted_seconds: float | None = None
    time_utc: str | None = None
    members_skipped: int | None = None
    modalities: list[str] | None = None


@dataclass(frozen=True)
class CycleOpen(_Record):
    """A respiratory cycle that goes on; a :class:`Cycle` or a :class:`Retract` with the same id follows.

    Given when the cycle begins, and again about every second with what was heard of it so far: ``posteriors`` of the
    labels, None at the beginning. Research software, not a medical device.
    """

    type: ClassVar[str] = "cycle_open"
    cycle_id: str
    source: str
    onset: float
    posteriors: dict[str, float] | None = None
    emitted_seconds: float | None = None
    time_utc: str | None = None


@dataclass(frozen=True)
class Cycle(_Record):
    """A finished respiratory cycle, reported exactly once. Research software, not a medical device.

    ``posteriors`` are the mean over networks and parts of the cycle, ``label`` has the largest posterior times the
    model's weight of the class, ``confidence`` is its posterior. ``uncertainty`` is the entropy of the posteriors over
    that of a uniform guess, in [0, 1]: what the networks are unsure of, and what they disagree about.
    ``respiratory_rate``, in breaths per minute, is 60 s over the median duration of the last cycles, None before there
    are three. ``forced``: it was closed because it had become too long. ``truncated``: it begins or ends where the
    sound does, not with a breath. ``members_skipped`` as in :class:`Event`.
    """

    type: ClassVar[str] = "cycle"
    cycle_id: str
    source: str
    onset: float
    offset: float
    label: str
    posteriors: dict[str, float]
    confidence: float
    uncertainty: float
    respiratory_rate: float | None = None
    forced: bool = False
    truncated: bool = False
    spans_gap: bool = False
    emitted_seconds: float | None = None
    time_utc: str | None = None
    members_skipped: int | None = None


@dataclass(frozen=True)
class Emotion(_Record):
    """How a voice sounded within a window of time, on three scales from 0 to 1. Not for judging people.

    ``valence``, ``arousal`` and ``dominance`` are the mean over the ensemble, smoothed over the records before it;
    0.5 is the middle of the raters' scale. ``uncertainty`` has, under the same names, the standard deviation over the
    ensemble of this window, before smoothing: how much it matters whose voices a model was trained on, not how far
    off it is. ``speech`` is how sure the voice activity gate is, in [0, 1]. Windows overlap: ``onset`` of a record lies
    before the ``offset`` of the one before. ``members_skipped`` as in :class:`Event`.
    """

    type: ClassVar[str] = "emotion"
    onset: float
    offset: float
    valence: float
    arousal: float
    dominance: float
    uncertainty: dict[str, float]
    speech: float
    source: str
    emitted_seconds: float | None = None
    time_utc: str | None = None
    members_skipped: int | None = None


@dataclass(frozen=True)
class Retract(_Record):
    """The provisional onset, or the open cycle, of that id came to nothing."""

    type: ClassVar[str] = "retract"
    event_id: str


@dataclass(frozen=True)
class Event(_Record):
    """A finished sound event, reported exactly once.

    ``confidence`` is the mean fused posterior over the event's frames. ``uncertainty`` is 1 - c (1 - h), in [0, 1]:
    h is the mean normalised binary entropy of that posterior (0 sure, 1 a coin toss) and c how much the networks
    trust themselves with such a sound, the mean over the frames of Σ w_m c_m / Σ w_m; 1 for a model without
    confidences. ``emitted_seconds`` is how much audio had been taken in when it was decided.
    ``members_skipped`` is there if members of an ensemble were left out under overload, and says how many at most.
    ``modalities`` are those that a model of several had for at least half of the event.
    """

    type: ClassVar[str] = "event"
    event_id: str
    source: str
    label: str
    onset: float
    offset: float
    confidence: float
    uncertainty: float
    spans_gap: bool = False
    truncated: bool = False
    emitted_seconds: float | None = None
    time_utc: str | None = None
    members_skipped: int | None = None
    modalities: list[str] | None = None


@dataclass(frozen=True)
class Gap(_Record):
    """Audio that was lost: exactly ``missing_samples`` at the source's rate, from ``start_sample`` on."""

    type: ClassVar[str] = "gap"
    start_sample: int
    missing_samples: int
    cause: GapCause
    source: str | None = None


@dataclass(frozen=True)
class Status(_Record):
    """A change in how the source is doing."""

    type: ClassVar[str] = "status"
    state: StatusState
    detail: str = ""
    source: str | None = None


@dataclass(frozen=True)
class Health(_Record):
    """The signal itself looks wrong from ``onset`` on, or is none of the model's domain."""

    type: ClassVar[str] = "health"
    condition: HealthCondition
    onset: float
    source: str | None = None


@dataclass(frozen=True)
class Tags(_Record):
    """How strong the classes are: in a stream (``--top-k``), or over a whole recording (``detect --tags``).

    In a stream ``posteriors`` are the strongest ones of the newest frame, which ends at ``time``, and
    ``clip_posteriors`` the strongest ones pooled over the sound from ``onset`` to ``time``. Of a recording there is one
    record, whose ``posteriors`` are those of all labels, pooled over all of it. ``tags`` are the labels whose pooled
    posterior reaches the model's threshold, the strongest first, be they listed or not. ``spans_gap``: some of the
    sound was lost. Models of respiratory cycles pool nothing, and have none of the four.
    """

    type: ClassVar[str] = "tags"
    time: float
    posteriors: dict[str, float]
    source: str | None = None
    onset: float | None = None
    tags: tuple[str, ...] | None = None
    clip_posteriors: dict[str, float] | None = None
    spans_gap: bool | None = None

    def __post_init__(self) -> None:
        """Turn the list of JSON into a tuple."""
        if self.tags is not None:
            object.__setattr__(self, "tags", tuple(self.tags))

    @property
    def is_whole(self) -> bool:
        """Whether it is the record of a whole recording."""
        return self.tags is not None and self.clip_posteriors is None


@dataclass(frozen=True)
class Summary(_Record):
    """Last record of a session.

    ``members_skipped_seconds`` is there if members of an ensemble were left out, and says for how much audio.
    ``cycles`` and ``respiratory_rate``, the last one, are there for models of respiratory cycles. ``pictures`` is there
    if a model took some: how many were used and skipped, delays, time of the encoder, drift of the clocks.
    """

    type: ClassVar[str] = "summary"
    audio_seconds: float
    events: int
    dropped_samples: int
    rtf: float
    latency_ms: dict[str, float]
    source: str | None = None
    members_skipped_seconds: float | None = None
    cycles: int | None = None
    respiratory_rate: float | None = None
    emotions: int | None = None
    pictures: dict[str, Any] | None = None


Record: TypeAlias = (
    Start | Onset | Retract | Event | CycleOpen | Cycle | Emotion | Gap | Status | Health | Tags | Summary
)

_BY_TYPE: dict[str, type[Any]] = {cls.type: cls for cls in get_args(Record)}


def record_from_dict(fields: dict[str, Any]) -> Record:
    """Rebuild a record from its JSON object; unknown keys are ignored, as the contract may grow.

    Raises
    ------
    ValueError
        If ``v`` is not 1, ``type`` is unknown or a required key is missing.
    """
    if fields.get("v") != CONTRACT_VERSION:
        raise ValueError(f"v: expected {CONTRACT_VERSION}, got {fields.get('v')!r}")
    cls = _BY_TYPE.get(str(fields.get("type")))
    if cls is None:
        raise ValueError(f"type: expected one of {sorted(_BY_TYPE)}, got {fields.get('type')!r}")
    known = {field.name for field in dataclasses.fields(cls)}
    try:
        record: Record = cls(**{key: value for key, value in fields.items() if key in known})
    except TypeError as error:
        raise ValueError(f"{cls.type} record: {error}") from None
    return record
