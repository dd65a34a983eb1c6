"""What a data set holds, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from training.data.adapters.recording import Dataset, Recording

_SHOWN_NOTES = 5
_WIDTH = 40


def as_text(dataset: Dataset) -> str:
    """Return recordings and hours by scene and subset, events and seconds by label, what was left out or is wrong."""
    recordings = dataset.recordings
    sources = len({recording.recording_id for recording in recordings})
    lines = [f"{dataset.name}: {len(recordings)} files of {sources} recordings, {_hours(recordings):.3f} h"]
    for title, names, field in (("scene", dataset.scenes, "scene"), ("subset", dataset.subsets, "subset")):
        if names:
            lines += ["", f"{title:<{_WIDTH}}{'files':>10}{'hours':>10}"]
            for name in names:
                chosen = [item for item in recordings if getattr(item, field) == name]
                lines.append(f"{name:<{_WIDTH}}{len(chosen):>10}{_hours(chosen):>10.3f}")
    lines += _labels("label", dataset.labels, recordings, interference=False)
    lines += _labels("interference", dataset.interference_labels, recordings, interference=True)
    without = sum(item.supervision == "unlabelled" for item in recordings)
    if without:
        lines += ["", f"unlabelled files: {without}"]
    seen = sum(recording.video is not None for recording in recordings)
    if seen:
        lines += ["", f"files with video: {seen}"]
    if dataset.folds:
        lines += ["", "official folds: " + ", ".join(sorted(dataset.folds))]
    lines += _listed("skipped", [f"{item.reason}" for item in dataset.skipped])
    lines += _listed("notes", dataset.notes, _SHOWN_NOTES)
    lines += _listed("problems", dataset.problems)
    return "\n".join(lines) + "\n"


def _labels(
    title: str, labels: Sequence[str], recordings: Sequence[Recording], *, interference: bool
) -> list[str]:
    if not labels:
        return []
    any_weak = any(recording.supervision == "weak" for recording in recordings)
    head = f"{title:<{_WIDTH}}{'events':>10}{'seconds':>10}{'files':>10}"
    lines = ["", head + (f"{'weak':>10}" if any_weak else "")]
    for label in labels:
        events, seconds, files, weak = 0, 0.0, 0, 0
        for recording in recordings:
            strong = recording.interference if interference else recording.annotations
            spans = [event.offset - event.onset for event in strong if event.label == label]
            events, seconds, files = events + len(spans), seconds + sum(spans), files + bool(spans)
            weak += label in (recording.weak_interference if interference else recording.weak_labels)
        row = f"{label:<{_WIDTH}}{events:>10}{seconds:>10.1f}{files:>10}"
        lines.append(row + (f"{weak:>10}" if any_weak else ""))
    return lines


def _listed(title: str, items: Sequence[str], most: int | None = None) -> list[str]:
    if not items:
        return []
    rest = [] if most is None or len(items) <= most else [f"  and {len(items) - most} more"]
    return ["", f"{title}: {len(items)}", *(f"  {item}" for item in items[:most]), *rest]


def _hours(recordings: Iterable[Recording]) -> float:
    return sum(recording.duration for recording in recordings) / 3600
