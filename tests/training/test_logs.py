"""The curves of a training: where they are written, that interruptions lose none, and the picture."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("lightning", reason="training needs the train extra")

from streamsed.errors import ConfigError, FormatError
from training.__main__ import main
from training.logs import make_loggers, read_metrics
from training.plot import plot
from training.recipe import TrainSettings
from training.train import train

pytestmark = pytest.mark.filterwarnings("ignore")


def write_log(folder: Path, rows: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def test_a_training_logs_its_rate_and_every_epoch(tiny_recipe, trained_run):
    metrics = read_metrics(trained_run)
    epochs = list(range(tiny_recipe.train.epochs))
    for name in ("train/loss", "val/loss", "val/frame_f1_micro", "train/learning_rate"):
        assert sorted(metrics[name]) == epochs
    rates = metrics["train/learning_rate"]
    assert max(rates.values()) <= tiny_recipe.train.learning_rate
    assert rates[0] > rates[epochs[-1]]


def test_an_interrupted_epoch_counts_once(tmp_path):
    write_log(
        tmp_path / "log.1", [{"epoch": epoch, "step": epoch, "train/loss": 1.0 - epoch} for epoch in range(3)]
    )
    write_log(tmp_path / "log.2", [{"epoch": 2, "step": 2, "train/loss": 0.5}])
    write_log(tmp_path / "log", [{"epoch": 3, "step": 3, "train/loss": 0.25}])
    assert read_metrics(tmp_path) == {"train/loss": {0: 1.0, 1: 0.0, 2: 0.5, 3: 0.25}}


def test_a_resumed_training_keeps_the_figures_of_its_beginning(tiny_recipe, tmp_path):
    short = dataclasses.replace(tiny_recipe, train=dataclasses.replace(tiny_recipe.train, epochs=2))
    train(short, tmp_path)
    first = read_metrics(tmp_path)
    longer = dataclasses.replace(tiny_recipe, train=dataclasses.replace(tiny_recipe.train, epochs=3))
    train(longer, tmp_path)
    resumed = read_metrics(tmp_path)
    assert sorted(resumed["train/loss"]) == [0, 1, 2]
    assert {epoch: resumed["train/loss"][epoch] for epoch in (0, 1)} == first["train/loss"]
    train(short, tmp_path, resume=False)
    assert sorted(read_metrics(tmp_path)["train/loss"]) == [0, 1]
    assert not list(tmp_path.glob("log.*"))
    assert [path.name for path in tmp_path.glob("last*.ckpt")] == ["last.ckpt"]


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_gets_the_same_numbers(tiny_recipe, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = dataclasses.replace(tiny_recipe.train, epochs=1, logger="both")
    train(dataclasses.replace(tiny_recipe, train=settings), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = read_metrics(tmp_path)
    for name in ("train/loss", "val/loss", "train/learning_rate"):
        (point,) = events.Scalars(name)
        assert point.value == pytest.approx(logged[name][0], rel=1e-6)


def test_without_tensorboard_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r'logger: expected csv, or tensorboard .*pip install "streamsed\[train\]"'
    ):
        make_loggers("both", tmp_path, resumes=False)
    assert len(make_loggers("csv", tmp_path, resumes=False)) == 1
    with pytest.raises(ConfigError, match="logger: expected csv, tensorboard or both, got 'html'"):
        TrainSettings(logger="html")


class TestPlot:
    def test_every_curve_has_its_panel(self, tmp_path):
        names = (
            "train/loss", "val/loss", "train/occurrence_loss", "val/frame_f1_micro", "val/frame_f1_macro",
            "train/learning_rate", "eow/log_u_data", "eow/log_u_samples", "eow/max_abs_sample",
        )  # fmt: skip
        rng = np.random.default_rng(0)
        write_log(
            tmp_path / "log",
            [
                {"epoch": epoch, "step": epoch, **{name: rng.uniform(0.1, 1) for name in names}}
                for epoch in range(9)
            ],
        )
        matplotlib = pytest.importorskip("matplotlib")
        height, width, _ = matplotlib.image.imread(plot(tmp_path)).shape
        assert (tmp_path / "training.png").exists()
        assert height == 1.5 * width, "five panels"

    def test_from_the_command_line(self, trained_run, tmp_path, capsys):
        target = tmp_path / "curves.png"
        assert main(["plot", "--run", str(trained_run), "-o", str(target)]) == 0
        assert capsys.readouterr().out.strip() == str(target)
        assert target.read_bytes().startswith(b"\x89PNG")

    def test_where_nothing_was_trained(self, tmp_path, capsys):
        assert main(["plot", "--run", str(tmp_path)]) == 6
        assert "expected the log of a training (log/metrics.csv), found none" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            main(["plot"])
        assert "--recipe is needed, or --run" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "text", ["epoch,step,train/loss\n0,0,much\n", "epoch,step,train/loss\n,0,1.0\n", "a\n1\n"]
    )
    def test_a_damaged_log_is_named(self, tmp_path, text):
        (tmp_path / "log").mkdir()
        (tmp_path / "log" / "metrics.csv").write_text(text)
        with pytest.raises(FormatError, match=r"metrics\.csv:2: expected numbers with an epoch"):
            plot(tmp_path)
