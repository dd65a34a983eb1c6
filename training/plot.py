"""The curves of a training as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from streamsed.errors import FormatError
from training.logs import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT = "training.png"

# Title, unit, whether the axis is logarithmic, and the metrics with their names in the legend.
_PANELS: tuple[tuple[str, str, bool, dict[str, str]], ...] = (
    (
        "Loss",
        "loss",
        True,
        {"train/loss": "training", "val/loss": "validation (BCE)", "train/occurrence_loss": "occurrence"},
    ),
    (
        "Validation F1, frames at 0.5",
        "F1",
        False,
        {"val/frame_f1_micro": "micro", "val/frame_f1_macro": "macro"},
    ),
    ("Learning rate", "rate", False, {"train/learning_rate": "learning rate"}),
    (
        "EOW: log u",
        "log u",
        False,
        {"eow/log_u_data": "on data", "eow/log_u_samples": "on samples"},
    ),
    ("EOW: largest sample", "max |x|", False, {"eow/max_abs_sample": "max |x|"}),
)


def plot(run: Path, output: Path | None = None) -> Path:
    """Draw loss, validation F1 and learning rate, and of EOW-Softmax log u and the largest value of a sample.

    Parameters
    ----------
    run : Path
        Folder of the training.
    output : Path, optional
        ``training.png`` in it by default; replaced if it is there.

    Returns
    -------
    Path
        Of the picture.

    Raises
    ------
    FormatError
        If the run has no log in CSV, or it holds nothing that is drawn.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    metrics = read_metrics(run)
    panels = [panel for panel in _PANELS if any(metrics.get(name) for name in panel[3])]
    if not panels:
        raise FormatError(f"{run}: expected metrics of a training in the log, got {sorted(metrics)}")
    figure, axes = pyplot.subplots(
        len(panels), 1, figsize=(8, 2.4 * len(panels)), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        _draw(axis, panel, metrics)
    axes[-1, 0].set_xlabel("epoch")
    axes[-1, 0].xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(str(run))
    target = run / PLOT if output is None else output
    figure.savefig(target, dpi=120)
    pyplot.close(figure)
    return target


def _draw(
    axis: Axes, panel: tuple[str, str, bool, dict[str, str]], metrics: Mapping[str, Mapping[int, float]]
) -> None:
    from matplotlib.ticker import LogLocator

    title, unit, is_logarithmic, names = panel
    for name, legend in names.items():
        values = metrics.get(name)
        if values:
            epochs = sorted(values)
            axis.plot(epochs, [values[epoch] for epoch in epochs], marker=".", linewidth=1, label=legend)
    axis.set_title(title, fontsize="medium", loc="left")
    axis.set_ylabel(unit)
    if is_logarithmic:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small", frameon=False)
