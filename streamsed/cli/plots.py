"""The plots of ``streamsed evaluate``: what is drawn, into which files, and from which recordings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamsed.annotations import AUDIO_EXTENSIONS, recording_name
from streamsed.cli.console import complain
from streamsed.config import LogMelConfig
from streamsed.errors import ConfigError, FormatError, OutputError
from streamsed.frontend import LogMel
from streamsed.metrics import Calibration, EventLists, FrameScores, RecordingCounts
from streamsed.sources import FileSource
from streamsed.types import CYCLE_LABELS

if TYPE_CHECKING:
    from streamsed.cli.cycle_scores import CycleReport
    from streamsed.cli.figures import Picture
    from streamsed.cli.frame_scores import FrameReport

_READ_SECONDS = 30.0
_COLUMNS = 3000
# More would make pictures that nobody can look at, and take minutes.
_MOST_LABELS = 40
_OURS = re.compile(
    r"(confusion|boundary_errors|f1_per_class|reliability(_events|_per_class)?|precision_recall"
    r"|timeline_\d\d_.*)\.png"
)


@dataclass(frozen=True)
class Drawing:
    """Everything that there is to draw; what is None or empty is left out."""

    reference: EventLists
    estimated: EventLists
    segments: RecordingCounts
    events: RecordingCounts
    calibration: Calibration | None
    frames: FrameReport | None
    scores: Mapping[str, FrameScores] | None


@dataclass(frozen=True)
class Spectrogram:
    """Log-mel of a recording, shape (T, n_mels), in dB."""

    log_mel: npt.NDArray[np.float32]
    seconds: float
    top_hz: float


def check_drawing(folder: str, force: bool) -> None:
    """Refuse, before any work is done, what could not be drawn at its end.

    Raises
    ------
    ConfigError
        Without matplotlib.
    OutputError
        If the folder cannot be made, or holds plots that may not be replaced.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--plots: expected matplotlib to be there, got none; "
            'install the extra: pip install "streamsed[train]"'
        ) from None
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error
    if not force:
        for item in _plots_in(path):
            raise OutputError(f"{item}: exists already; --force replaces it")


def draw(drawing: Drawing, folder: str, audio: str | None, timelines: int) -> None:
    """Write the plots.

    Raises
    ------
    FormatError
        If the folder of recordings is none, or holds two of the same name.
    OutputError
        If a file cannot be written.
    """
    recordings = _recordings(audio) if audio else {}
    _write(_pictures(drawing, recordings, timelines), folder)


def draw_cycles(report: CycleReport, folder: str, audio: str | None, timelines: int) -> None:
    """Write the plots of respiratory cycles; raises as :func:`draw`."""
    recordings = _recordings(audio) if audio else {}
    _write(_cycle_pictures(report, recordings, timelines), folder)


def _write(pictures: Iterator[tuple[str, Picture]], folder: str) -> None:
    # Timelines are numbered: those of an earlier evaluation must not stay among the new ones.
    for item in _plots_in(Path(folder)):
        item.unlink()
    for name, picture in pictures:
        try:
            picture.savefig(Path(folder) / f"{name}.png")
        except OSError as error:
            raise OutputError(f"{folder}/{name}.png: cannot write: {error.strerror}") from error


def _cycle_pictures(
    report: CycleReport, recordings: Mapping[str, Path], timelines: int
) -> Iterator[tuple[str, Picture]]:
    from streamsed.cli import figures
    from streamsed.cli.cycle_scores import errors_by_recording

    yield "confusion", figures.confusion(report.matched.score())
    errors = np.concatenate([*report.segmentation.boundary_errors, np.empty(0)])
    yield "boundary_errors", figures.boundary_errors(errors)
    if report.calibration is not None:
        yield "reliability_events", figures.reliability(report.calibration, "cycle confidence", "cycles")
    errors_of = errors_by_recording(report)
    for rank, name in enumerate(sorted(errors_of, key=lambda name: -errors_of[name])[:timelines], start=1):
        spectrogram = _spectrogram(name, recordings) if recordings else None
        sides = report.reference.get(name, ()), report.estimated.get(name, ())
        picture = figures.timeline(name, *sides, CYCLE_LABELS, None, spectrogram)
        yield _timeline_name(rank, name), picture


def _pictures(
    drawing: Drawing, recordings: Mapping[str, Path], timelines: int
) -> Iterator[tuple[str, Picture]]:
    from streamsed.cli import figures

    if drawing.events.labels:
        events = drawing.events
        labels = _most(events.labels, (events.reference + events.estimated).sum(axis=0))
        yield "f1_per_class", figures.f1_per_class(drawing.segments.report(), events.report(), labels)
    if drawing.calibration is not None:
        yield "reliability_events", figures.reliability(drawing.calibration, "event confidence", "events")
    if drawing.frames is not None:
        per_class = drawing.frames.per_class
        labels = _most(list(per_class), [item.active for item in per_class.values()])
        curves = {label: per_class[label].curve for label in labels}
        active = {label: per_class[label].active for label in labels}
        yield "precision_recall", figures.precision_recall(curves, active)
        if drawing.frames.calibration is not None:
            pooled = drawing.frames.calibration.pooled
            yield "reliability", figures.reliability(pooled, "frame posterior, all labels", "posteriors")
            calibrations = drawing.frames.calibration.per_class
            yield (
                "reliability_per_class",
                figures.reliability_per_class({label: calibrations[label] for label in labels}),
            )
    for rank, name in enumerate(worst(drawing.events, timelines), start=1):
        scores = drawing.scores.get(name) if drawing.scores else None
        spectrogram = _spectrogram(name, recordings) if recordings else None
        sides = drawing.reference.get(name, ()), drawing.estimated.get(name, ())
        seconds: dict[str, float] = {}
        for onset, offset, label in (*sides[0], *sides[1]):
            seconds[label] = seconds.get(label, 0.0) + offset - onset
        labels = _most(sorted(seconds), [seconds[label] for label in sorted(seconds)])
        picture = figures.timeline(name, *sides, labels, scores, spectrogram)
        yield _timeline_name(rank, name), picture


def _timeline_name(rank: int, recording: str) -> str:
    plain = re.sub(r"[^\w.-]+", "_", recording)[-80:]
    return f"timeline_{rank:02d}_{plain}"


def _most(labels: Sequence[str], amounts: npt.ArrayLike) -> list[str]:
    """Return the labels that there is most of, in the order given."""
    if len(labels) <= _MOST_LABELS:
        return list(labels)
    complain(f"note: a plot shows {_MOST_LABELS} of {len(labels)} labels, those that occur most")
    chosen = np.argsort(-np.asarray(amounts, np.float64), kind="stable")[:_MOST_LABELS]
    return [labels[i] for i in sorted(chosen)]


def _plots_in(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if _OURS.fullmatch(item.name))


def worst(counts: RecordingCounts, number: int) -> list[str]:
    """Return the recordings with the most misses and false alarms, the worst first."""
    errors = (counts.reference + counts.estimated - 2 * counts.true_positives).sum(axis=1)
    order = np.argsort(-errors, kind="stable")[:number]
    return [counts.recordings[i] for i in order]


def _recordings(folder: str) -> dict[str, Path]:
    if not Path(folder).is_dir():
        raise FormatError(f"{folder}: expected a folder of recordings")
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() in AUDIO_EXTENSIONS and path.is_file():
            name = recording_name(path.name)
            if name in found:
                raise FormatError(f"{path}: recording {name!r} is {found[name]} as well")
            found[name] = path
    return found


def _spectrogram(name: str, recordings: Mapping[str, Path]) -> Spectrogram | None:
    path = recordings.get(name.rpartition("/")[2])
    if path is None:
        complain(f"note: --audio has no recording {name}: its timeline is without log-mel")
        return None
    try:
        samples, rate = _read(path)
    except FormatError as error:
        complain(f"note: {error}: its timeline is without log-mel")
        return None
    window = 2 ** int(np.ceil(np.log2(0.032 * rate)))
    config = LogMelConfig(
        sample_rate=rate,
        n_fft=window,
        window_length=window,
        hop_length=max(1, round(0.01 * rate)),
        n_mels=64 if rate >= 16000 else 32,
        mel_scale="htk",
        log="db",
    )
    log_mel = LogMel(config)(samples)
    step = -(-len(log_mel) // _COLUMNS)
    if step > 1:
        log_mel = log_mel[: len(log_mel) // step * step].reshape(-1, step, config.n_mels).max(axis=1)
    return Spectrogram(log_mel, samples.size / rate, rate / 2)


def _read(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    parts = []
    with FileSource(path) as source:
        while (block := source.read(round(_READ_SECONDS * source.sample_rate))) is not None:
            parts.append(block.samples.mean(axis=1, dtype=np.float32))
        return np.concatenate(parts), source.sample_rate
