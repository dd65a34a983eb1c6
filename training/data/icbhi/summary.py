"""What an ICBHI folder holds, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streamsed.cli.tables import table
from streamsed.types import CYCLE_LABELS
from training.data.icbhi.recording import IcbhiData, LungRecording
from training.data.icbhi.splits import leaks, official_split, random_splits

_SHOWN_NOTES = 10


def as_text(data: IcbhiData, signal: Sequence[str] = ()) -> str:
    """Return cycles by part, device, rate, location and diagnosis, durations, leaks, and notes; all of ``signal``."""
    recordings = data.recordings
    patients = {item.patient for item in recordings}
    cycles = sum(len(item.cycles) for item in recordings)
    minutes = sum(item.duration for item in recordings) / 60
    lines = [
        f"{len(recordings)} recordings of {len(patients)} patients, {minutes:.1f} min, {cycles} cycles",
        "Research software, not a medical device.",
    ]
    for title, key in _GROUPINGS:
        lines += ["", _counts(title, recordings, key)]
    durations = np.array([cycle.offset - cycle.onset for item in recordings for cycle in item.cycles])
    shown = zip(
        ("min", "5 %", "median", "95 %", "max"), np.quantile(durations, [0, 0.05, 0.5, 0.95, 1]), strict=True
    )
    lines += ["", "cycle durations in s: " + ", ".join(f"{name} {value:.2f}" for name, value in shown)]
    lines += ["", *_leaks(data)]
    if data.skipped:
        lines += ["", f"skipped: {len(data.skipped)}", *(f"  {item.reason}" for item in data.skipped)]
    if signal:
        lines += ["", f"signal: {len(signal)}", *(f"  {note}" for note in signal)]
    if data.notes:
        more = len(data.notes) - _SHOWN_NOTES
        rest = [f"  and {more} more"] if more > 0 else []
        lines += [
            "",
            f"notes: {len(data.notes)}",
            *(f"  {note}" for note in data.notes[:_SHOWN_NOTES]),
            *rest,
        ]
    return "\n".join(lines) + "\n"


_GROUPINGS: tuple[tuple[str, Callable[[LungRecording], str]], ...] = (
    ("official part", lambda item: item.part or "-"),
    ("device", lambda item: item.device),
    ("sample rate", lambda item: f"{item.sample_rate} Hz"),
    ("location", lambda item: item.location),
    ("mode", lambda item: item.mode),
    ("diagnosis", lambda item: item.diagnosis or "-"),
)


def _counts(title: str, recordings: Sequence[LungRecording], key: Callable[[LungRecording], str]) -> str:
    rows = []
    for name in sorted({key(item) for item in recordings}):
        chosen = [item for item in recordings if key(item) == name]
        labels = [cycle.label for item in chosen for cycle in item.cycles]
        rows.append(
            [
                name,
                str(len({item.patient for item in chosen})),
                str(len(chosen)),
                f"{sum(item.duration for item in chosen) / 60:.1f}",
                str(len(labels)),
                *(str(labels.count(label)) for label in CYCLE_LABELS),
            ]
        )
    return table([title, "patients", "recordings", "minutes", "cycles", *CYCLE_LABELS], rows)


def _leaks(data: IcbhiData) -> list[str]:
    """Say what is on both sides of the official split and of a random one."""
    splits = []
    if {item.part for item in data.recordings} >= {"train", "test"}:
        splits.append(official_split(data))
    if sum(len(item.cycles) for item in data.recordings) >= 5:
        splits.append(random_splits(data, 0, n=1)[0])
    lines = []
    for split in splits:
        found = leaks(split)
        shown = f" ({', '.join(found.patients)})" if 0 < len(found.patients) <= 10 else ""
        lines.append(
            f"{split.name} split, on both sides: patients {len(found.patients)}{shown}, recordings "
            f"{len(found.recordings)}; {found.test_cycles} of {len(split.test)} test cycles are of such patients"
        )
    return lines
