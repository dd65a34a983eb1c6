"""From what a layout lists to recordings: labels mapped, audio opened, times checked against it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from streamsed.errors import FormatError
from training.data.adapters.entries import Entry, Findings, Line, ReadOptions, Weak
from training.data.adapters.labels import LabelMap
from training.data.adapters.recording import Dataset, Recording, Skipped
from training.data.adapters.videos import Videos
from training.data.soundscapes import SceneEvent
from training.sound import seconds_of


def assemble(name: str, findings: Findings, options: ReadOptions) -> Dataset:
    """Open every listed file and make recordings of them; what is wrong is among the data set's problems."""
    mapping = options.labels or _as_spelled(findings.entries)
    recordings, skipped, videos = [], [], Videos()
    for entry in sorted(findings.entries, key=lambda item: item.path):
        try:
            duration = seconds_of(entry.path, options.decode)
        except FormatError as error:
            reason = str(error) if entry.path.is_file() else f"{error}; {entry.listed_in} lists it"
            if options.skip_bad:
                skipped.append(Skipped(entry.path, reason))
            else:
                findings.problems.append(reason)
            continue
        labels = _Labels(mapping, findings, options.overrun_seconds)
        with findings.collecting():
            recordings.append(labels.recording(entry, duration, videos.of(entry.path)))
    silent = sum(item.path == item.video for item in recordings)
    if silent:
        findings.notes.append(
            f"{silent} of {len(recordings)} recordings have no audio file: the video's sound is read"
        )
    if not recordings and not findings.problems:
        findings.problems.append(f"{name}: expected at least one readable recording, got none")
    return Dataset(
        name,
        tuple(recordings),
        mapping.targets,
        mapping.interference,
        dict(findings.folds),
        tuple(skipped),
        tuple(findings.notes),
        tuple(findings.problems),
    )


def _as_spelled(entries: Iterable[Entry]) -> LabelMap:
    """Return the map of a data set that is taken as it is: every label a target."""
    labels = {line.event.label for entry in entries for line in entry.lines}
    labels |= {weak.label for entry in entries for weak in entry.weak}
    return LabelMap(tuple(sorted(labels)))


@dataclass
class _Labels:
    """Sorts the labels of one recording into targets and interference."""

    mapping: LabelMap
    findings: Findings
    overrun_seconds: float
    targets: list[SceneEvent] = field(default_factory=list)
    interference: list[SceneEvent] = field(default_factory=list)

    def recording(self, entry: Entry, duration: float, video: Path | None) -> Recording:
        for line in entry.lines:
            self._add(line, entry.path, duration)
        weak = [(weak, self._class_of(weak.label, weak.where)) for weak in entry.weak]
        return Recording(
            entry.path,
            entry.recording_id,
            entry.scene,
            entry.subset,
            duration,
            tuple(sorted(self.targets)),
            tuple(sorted(self.interference)),
            entry.supervision,
            _names(weak, target=True),
            _names(weak, target=False),
            video,
        )

    def _class_of(self, label: str, where: str) -> tuple[str, bool] | None:
        try:
            return self.mapping.resolve(label)
        except KeyError:
            known = f"{len(self.mapping.targets)} targets, {len(self.mapping.interference)} of interference"
            self.findings.problems.append(f"{where}: label {label!r} is not in the label map ({known})")
            return None

    def _add(self, line: Line, path: Path, duration: float) -> None:
        event, where = line
        found = self._class_of(event.label, where)
        over = event.offset - duration
        if event.onset >= duration or over > self.overrun_seconds:
            times = f"{event.onset:g} to {event.offset:g} s"
            self.findings.problems.append(
                f"{where}: expected an annotation within the {duration:g} s of {path}, got {times}"
            )
            return
        if event.onset == event.offset:
            self.findings.notes.append(f"{where}: an annotation of no length is left out ({event.label})")
            return
        if over > 0:
            self.findings.notes.append(f"{where}: ends {over:.3g} s after {path.name} and is cut there")
        if found is not None:
            name, target = found
            mapped = SceneEvent(event.onset, min(event.offset, duration), name)
            (self.targets if target else self.interference).append(mapped)


def _names(weak: list[tuple[Weak, tuple[str, bool] | None]], *, target: bool) -> tuple[str, ...]:
    return tuple(sorted({found[0] for _, found in weak if found is not None and found[1] is target}))
