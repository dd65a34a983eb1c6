"""Figures of an evaluation, by matplotlib: no display needed, readable by the colour-blind and in grey."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from streamsed.metrics import Calibration, FrameScores, IcbhiScore, PrecisionRecall, Report

if TYPE_CHECKING:
    from streamsed.cli.plots import Spectrogram
    from streamsed.metrics import EventTuple

Picture: TypeAlias = Any

# Okabe and Ito, "Color universal design", 2008.
_BLUE, _ORANGE, _GREY, _LIGHT_GREY = "#0072B2", "#E69F00", "#595959", "#A6A6A6"
_DPI = 120
_TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)


def f1_per_class(segments: Report, events: Report, labels: Sequence[str]) -> Picture:
    """Bars of segment and event F1 of the averages and of these labels, the best first."""
    labels = sorted(
        labels,
        key=lambda label: (-_zero(segments.per_class[label].f1), -_zero(events.per_class[label].f1), label),
    )
    names = ["micro", "macro", *labels]
    figure = _figure(7.0, 1.3 + 0.42 * len(names))
    axes = figure.subplots()
    rows = np.arange(len(names), dtype=float)
    rows[2:] += 0.4
    series = (("segment F1", segments, _BLUE, "", -0.2), ("event F1", events, _ORANGE, "///", 0.2))
    for title, report, colour, hatch, shift in series:
        values = [report.micro.f1, report.macro.f1, *(report.per_class[label].f1 for label in labels)]
        axes.barh(
            rows + shift, [_zero(v) for v in values], 0.38, color=colour, hatch=hatch, ec="white", label=title
        )
        for row, value in zip(rows, values, strict=True):
            text = "-" if math.isnan(value) else f"{value:.2f}"
            axes.text(_zero(value) + 0.01, row + shift, text, va="center", fontsize=7.5)
    axes.set_yticks(rows, names)
    axes.set_ylim(rows[-1] + 0.6, -0.6)
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("F1")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def reliability(calibration: Calibration, what: str, things: str) -> Picture:
    """Hit rate against confidence, and below how many confidences there are."""
    figure = _figure(5.2, 6.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _reliability_curve(above, calibration)
    above.set_ylabel("hit rate")
    above.set_title(
        f"{calibration.count} {things}: ECE {calibration.expected_error:.4f}, Brier {calibration.brier:.4f}",
        fontsize=10,
    )
    above.legend(loc="upper left", frameon=False)
    means, _, counts = zip(*calibration.bins, strict=True)
    below.vlines(means, 0.5, counts, color=_BLUE, linewidth=8)
    below.set_yscale("log")
    below.set_ylim(0.5, 3 * max(counts))
    below.set_ylabel(things)
    below.set_xlabel(what)
    below.grid(axis="y", alpha=0.3)
    return figure


def reliability_per_class(per_class: Mapping[str, Calibration]) -> Picture:
    """A small reliability diagram of each label."""
    figure, grid = _grid(len(per_class))
    for axes, (label, item) in zip(grid, per_class.items(), strict=False):
        _reliability_curve(axes, item)
        axes.set_title(f"{_short(label)}\nECE {item.expected_error:.4f}", fontsize=9)
    figure.supxlabel("frame posterior", fontsize=10)
    figure.supylabel("hit rate", fontsize=10)
    return figure


def precision_recall(curves: Mapping[str, PrecisionRecall], active: Mapping[str, float]) -> Picture:
    """A small precision-recall curve of each label; dashed what chance gives."""
    figure, grid = _grid(len(curves))
    for axes, (label, curve) in zip(grid, curves.items(), strict=False):
        if math.isnan(curve.average_precision):
            axes.text(0.5, 0.5, "no active frame", ha="center", va="center", color=_GREY)
            axes.set_title(_short(label), fontsize=9)
        else:
            axes.step(
                np.append(0.0, curve.recall),
                np.append(curve.precision[0], curve.precision),
                where="pre",
                color=_BLUE,
            )
            axes.axhline(active[label], color=_GREY, linestyle="--", linewidth=1)
            axes.set_title(f"{_short(label)}\nAP {curve.average_precision:.3f}", fontsize=9)
        _unit_square(axes)
    figure.supxlabel("recall", fontsize=10)
    figure.supylabel("precision", fontsize=10)
    return figure


def confusion(score: IcbhiScore) -> Picture:
    """Confusion matrix by row in per cent and cycles; missed cycles in a column, extra ones in a row of their own."""
    counts = np.zeros((len(score.labels) + 1,) * 2, np.int64)
    counts[:-1, :-1], counts[:-1, -1], counts[-1, :-1] = score.confusion, score.missed, score.extra
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares[-1] = 0
    figure = _figure(5.6, 4.8)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if row == column == len(score.labels):
            continue
        share = shares[row, column]
        text = f"{count}" if row == len(score.labels) else f"{share:.0%}\n{count}"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=9, color="white" if share > 0.6 else "black"
        )
    axes.set_xticks(range(len(counts)), [*score.labels, "(missed)"])
    axes.set_yticks(range(len(counts)), [*score.labels, "(no true cycle)"])
    axes.set_xlabel("estimate")
    axes.set_ylabel("truth")
    axes.set_title(
        f"sensitivity {score.sensitivity:.3f}, specificity {score.specificity:.3f}, score {score.score:.3f}",
        fontsize=10,
    )
    return figure


def boundary_errors(errors: npt.NDArray[np.float64]) -> Picture:
    """Histogram of estimated minus true boundaries, in seconds."""
    figure = _figure(5.2, 3.2)
    axes = figure.subplots()
    most = max(0.1, float(np.abs(errors).max(initial=0.0)))
    axes.hist(errors, bins=np.linspace(-most, most, 42), color=_BLUE)
    axes.axvline(0, color=_GREY, linestyle="--", linewidth=1)
    axes.set_xlabel("estimated minus true boundary in s (+ late)")
    axes.set_ylabel("boundaries of matched cycles")
    axes.grid(axis="y", alpha=0.3)
    return figure


def timeline(
    name: str,
    reference: Sequence[EventTuple],
    estimated: Sequence[EventTuple],
    labels: Sequence[str],
    scores: FrameScores | None,
    spectrogram: Spectrogram | None,
) -> Picture:
    """Reference, estimate and posterior in a lane for each of ``labels``, the log-mel above."""
    seconds = max((event[1] for event in (*reference, *estimated)), default=0.0)
    seconds = max(seconds, spectrogram.seconds if spectrogram else 0.0)
    seconds = max(seconds, float(scores.boundaries[-1]) if scores else 0.0) or 1.0
    lanes = max(1, len(labels))
    lanes_inches, mel_inches = (0.7 if scores else 0.5) * lanes + 0.9, 2.2 if spectrogram else 0.0
    figure = _figure(min(22.0, max(9.0, 0.5 * seconds)), lanes_inches + mel_inches + 0.7)
    if spectrogram:
        mel, axes = figure.subplots(2, 1, sharex=True, height_ratios=(mel_inches, lanes_inches))
        _log_mel(figure, mel, spectrogram)
    else:
        axes = figure.subplots()
    # Top and height of the bars and of the posterior within a lane of height 1.
    height, tops = (0.24, (-0.42, -0.14)) if scores else (0.36, (-0.38, 0.02))
    for lane, label in enumerate(labels):
        if scores is not None and label in scores.labels:
            values = np.clip(scores.scores[:, scores.labels.index(label)], 0.0, 1.0)
            bottom = lane + 0.46
            axes.stairs(
                bottom - 0.32 * values, scores.boundaries, baseline=bottom, fill=True, color=_LIGHT_GREY
            )
        for events, top, colour, hatch in (
            (reference, tops[0], _BLUE, ""),
            (estimated, tops[1], _ORANGE, "////"),
        ):
            spans = [(event[0], event[1] - event[0]) for event in events if event[2] == label]
            style = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.5}
            axes.broken_barh(spans, (lane + top, height), **style)
        axes.axhline(lane + 0.5, color="#DDDDDD", linewidth=0.8)
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    axes.set_ylim(lanes - 0.5, -0.5)
    axes.set_xlim(0, seconds)
    axes.set_xlabel("time in s")
    axes.grid(axis="x", alpha=0.3)
    handles = [
        Patch(facecolor=_BLUE, label="reference"),
        Patch(facecolor=_ORANGE, hatch="////", edgecolor="white", label="estimate"),
    ]
    if scores is not None:
        handles.append(Patch(facecolor=_LIGHT_GREY, label="posterior"))
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(name if len(name) <= 60 else "…" + name[-59:], x=0.02, ha="left", fontsize=10)
    return figure


def _log_mel(figure: Picture, axes: Any, spectrogram: Spectrogram) -> None:
    level = spectrogram.log_mel.T
    top = float(np.percentile(level, 99.9)) if level.size else 0.0
    bands = max(1, len(level))
    picture = axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        extent=(0.0, spectrogram.seconds, 0.0, bands),
        cmap="magma",
        vmin=top - 70.0,
        vmax=top,
    )
    scale = bands / _mel(spectrogram.top_hz)
    ticks = [hz for hz in _TICKS_HZ if hz <= spectrogram.top_hz and (hz >= 500 or hz == 125)]
    axes.set_yticks([_mel(hz) * scale for hz in ticks], [f"{hz / 1000:g}" for hz in ticks])
    axes.set_ylabel("kHz (mel)")
    bar = figure.colorbar(picture, ax=axes, pad=0.01, aspect=12)
    bar.set_label("dB", fontsize=9)


def _mel(hz: float) -> float:
    """HTK's formula, as the log-mel is computed here."""
    return 2595.0 * math.log10(1.0 + hz / 700.0)


def _reliability_curve(axes: Any, calibration: Calibration) -> None:
    means, rates, _ = zip(*calibration.bins, strict=True)
    axes.plot((0, 1), (0, 1), color=_GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.plot(means, rates, color=_BLUE, marker="o", markersize=4, label="observed")
    _unit_square(axes)


def _unit_square(axes: Any) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks((0.0, 0.5, 1.0))
    axes.set_yticks((0.0, 0.5, 1.0))
    axes.grid(alpha=0.3)


def _grid(number: int) -> tuple[Picture, Iterator[Any]]:
    columns = min(4, max(1, number))
    rows = max(1, math.ceil(number / columns))
    figure = _figure(max(3.2, 2.2 * columns + 0.5), 2.3 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[number:]:
        axes.set_visible(False)
    # What is shown above an empty place carries the ticks that the empty one would have had.
    for axes in grid[max(0, number - columns) : number]:
        axes.tick_params(labelbottom=True)
    return figure, iter(grid[:number])


def _figure(width: float, height: float) -> Picture:
    # Not pyplot: it would choose a window system and keep every figure.
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _short(label: str) -> str:
    return label if len(label) <= 22 else label[:21] + "…"


def _zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
