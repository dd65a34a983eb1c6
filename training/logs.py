"""What a training says about itself, epoch by epoch: CSV, TensorBoard, and the way back into numbers."""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from streamsed.config import require
from streamsed.errors import FormatError

_CSV_FOLDER = "log"
_TENSORBOARD_FOLDER = "tensorboard"
_METRICS = "metrics.csv"


def make_loggers(kind: str, run: Path, resumes: bool) -> list[Logger]:
    """Return the loggers of a training.

    Lightning's CSV logger deletes what an earlier attempt wrote. Here a resumed training keeps it as
    ``log.1/metrics.csv``, ``log.2/metrics.csv`` and so on; one that begins anew deletes all of them.

    Parameters
    ----------
    kind : {"csv", "tensorboard", "both"}
    run : Path
    resumes : bool

    Raises
    ------
    ConfigError
        If TensorBoard is asked for and not installed.
    """
    if kind != "csv":
        found = importlib.util.find_spec("tensorboard") is not None
        there = 'tensorboard to be installed (pip install "streamsed[train]")'
        require(found, "logger", f"csv, or {there}", kind)
    folder = run / _CSV_FOLDER
    if not resumes:
        for old in (folder, run / _TENSORBOARD_FOLDER, *_earlier(run)):
            shutil.rmtree(old, ignore_errors=True)
    elif (folder / _METRICS).exists():
        folder.rename(run / f"{_CSV_FOLDER}.{len(_earlier(run)) + 1}")
    loggers: list[Logger] = []
    if kind != "tensorboard":
        # Written at once: a training that is killed is to leave the figures of every epoch that it ended.
        loggers.append(CSVLogger(run, name="", version=_CSV_FOLDER, flush_logs_every_n_steps=1))
    if kind != "csv":
        loggers.append(TensorBoardLogger(run, name="", version=_TENSORBOARD_FOLDER))
    return loggers


def _earlier(run: Path) -> list[Path]:
    """Folders of earlier attempts, the first one first."""
    found = [path for path in run.glob(f"{_CSV_FOLDER}.*") if re.fullmatch(r"log\.\d+", path.name)]
    return sorted(found, key=lambda path: int(path.suffix[1:]))


def read_metrics(run: Path) -> dict[str, dict[int, float]]:
    """Read the CSV logs of a run.

    Returns
    -------
    dict of str to dict of int to float
        For each metric its values by epoch; of an epoch that was interrupted and repeated, the last ones.

    Raises
    ------
    FormatError
        If there is no log, or it cannot be read.
    """
    paths = [folder / _METRICS for folder in (*_earlier(run), run / _CSV_FOLDER)]
    paths = [path for path in paths if path.exists()]
    if not paths:
        raise FormatError(f"{run}: expected the log of a training ({_CSV_FOLDER}/{_METRICS}), found none")
    metrics: dict[str, dict[int, float]] = {}
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    _take(row, metrics)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise FormatError(
                        f"{path}:{number}: expected numbers with an epoch, got {error}"
                    ) from error
    return metrics


def _take(row: dict[str, str], metrics: dict[str, dict[int, float]]) -> None:
    epoch = int(row["epoch"])
    for name, text in row.items():
        if name not in ("epoch", "step") and text != "":
            metrics.setdefault(name, {})[epoch] = float(text)
