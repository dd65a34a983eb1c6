import dataclasses
import json
import statistics

import pytest

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("lightning", reason="training needs the train extra")

from streamsed.errors import ConfigError
from training.__main__ import main
from training.evaluate import eventless
from training.repeat import SUMMARY, repeat, table

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def summary(tiny_recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("repeated")
    recipe = dataclasses.replace(tiny_recipe, train=dataclasses.replace(tiny_recipe.train, epochs=6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.evaluate.eventless", lambda rate: eventless(rate, 1.0))
        first = repeat(recipe, run, [3])
        assert first["metrics"]["segment_f1_micro"]["std"] is None
        kept = (run / "seed3" / "last.ckpt").stat().st_mtime_ns
        both = repeat(recipe, run, [3, 4])
        assert (run / "seed3" / "last.ckpt").stat().st_mtime_ns == kept
    return run, both


def test_mean_and_deviation_are_those_of_the_seeds(summary):
    run, found = summary
    assert json.loads((run / SUMMARY).read_text()) == found
    values = [
        json.loads((run / f"seed{seed}" / "metrics.json").read_text())["segment_f1_micro_by_gain_db"]["-10"]
        for seed in (3, 4)
    ]
    item = found["metrics"]["segment_f1_micro_by_gain_db.-10"]
    assert item["values"] == values
    assert item["mean"] == pytest.approx(statistics.mean(values))
    assert item["std"] == pytest.approx(statistics.stdev(values))


def test_seeds_give_different_networks(summary):
    run, _ = summary
    first, second = ((run / f"seed{seed}" / "last.ckpt").read_bytes() for seed in (3, 4))
    assert first != second


def test_table_of_what_is_undefined():
    item = {"mean": None, "std": None, "values": [0.5, None]}
    assert table({"seeds": [0, 1], "metrics": {"f1": item}}).endswith("| f1 | - ± - | 0.5000, - |")


def test_bad_seeds_are_named(tiny_recipe, tmp_path, capsys):
    with pytest.raises(ConfigError, match="seeds: expected different numbers"):
        repeat(tiny_recipe, tmp_path, [1, 1])
    with pytest.raises(ConfigError, match=r"best: expected in \[0, 2\], the number of seeds, got 3"):
        repeat(tiny_recipe, tmp_path, [1, 2], best=3)
    with pytest.raises(
        ConfigError, match="best: expected 0 for a recipe without scores of validation scenes"
    ):
        repeat(tiny_recipe, tmp_path, [1, 2], best=1)
    assert main(["repeat", "--recipe", "everyday", "--seeds", "1,a"]) == 2
    assert "--seeds: expected numbers with commas between, got '1,a'" in capsys.readouterr().err
