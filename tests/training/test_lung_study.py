"""The study of paper 004: rows differ where they say, and a second run trains nothing."""

import json

import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from icbhi_layout import write_icbhi

from training.lung.recipe import load_lung_recipe
from training.studies import lung_sounds as study

# Lightning warns of folders that are there, of few batches and of its own parts.
pytestmark = pytest.mark.filterwarnings("ignore")


def small(*more):
    return load_lung_recipe(study.RECIPE, [*study.SMALL, "train.epochs=1", "train.cycles=1", *more])


def test_rows_have_trainings_of_their_own_except_for_snapshots():
    base = small()
    for key in ("preparation", "ablation"):
        rows = study.TABLES[key][1](base)
        slugs = [study._slug(row.recipe) for row in rows]
        assert len(set(slugs)) == len(rows) == 6
    rows = study.ensembles(base)
    assert len({study._slug(row.recipe) for row in rows}) == 2
    assert [len(row.members) for row in rows] == [1, 1, 2, 4, 6, 8]
    assert rows[-1].recipe.train.epochs == study.CYCLES * study.EPOCHS_PER_CYCLE


def test_tables_are_made_once_and_read_afterwards(tmp_path, capsys, monkeypatch):
    clips = write_icbhi(tmp_path / "clips")
    monkeypatch.setattr(study, "EPOCHS_PER_CYCLE", 1)
    monkeypatch.setattr(study, "CYCLES", 2)
    monkeypatch.setitem(study.TABLES, "ensemble", ("Snapshots", lambda base: study.ensembles(base)[1:3]))
    given = ["--run", str(tmp_path / "run"), "--tables", "ensemble", "--seeds", "0", "--resamples", "20"]
    for item in (
        f"data.root={clips}",
        "copies.warped=[0,0,0,0]",
        "net.shape.width=0.05",
        "train.batch_size=8",
    ):
        given += ["--set", item]
    assert study.main(given) == 0
    table = capsys.readouterr().out
    assert "the last of 2 snapshots" in table
    assert "official split, 4 classes" in table
    assert (tmp_path / "run" / "tables.md").read_text() in table
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert len(results) == 4
    assert all(0 <= row["classes_2"]["score"] <= 1 for row in results.values())
    checkpoints = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/*.ckpt")}
    assert checkpoints
    assert study.main(given) == 0
    # The first time, the progress of the trainings came before it.
    assert table.endswith(capsys.readouterr().out)
    assert checkpoints == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/*.ckpt")}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--seeds", "0,0"], "--seeds: expected different numbers"),
        (["--tables", "IX"], "--tables: expected some of"),
        (["--set", "classes=3"], "classes: expected 2 or 4"),
    ],
)
def test_bad_options_are_named(option, message, tmp_path, capsys):
    assert study.main(["--run", str(tmp_path), *option]) == 2
    assert message in capsys.readouterr().err
