"""Trainings that are killed, run out of memory, or meet a checkpoint of another recipe."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("lightning", reason="training needs the train extra")

from streamsed.config import LogMelConfig  # noqa: E402
from streamsed.errors import ConfigError, StreamsedError  # noqa: E402
from training.checkpoint import identity  # noqa: E402
from training.export import export  # noqa: E402
from training.logs import read_metrics  # noqa: E402
from training.memory import is_out_of_memory, named_out_of_memory  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.train import LAST, load_trained, train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

# A training as a process of its own, which says at every step where it is; with a limit on its memory, if asked for.
PROCESS = """
import pickle, resource, sys
from pathlib import Path
import training.module as module
from training.memory import StreamsedError
from training.recipe import Recipe
from training.train import train

fields, run, more_memory = pickle.load(open(sys.argv[1], "rb"))
original = module.SoundEventModule.training_step

def step(self, batch, index):
    if index == 0 and self.current_epoch == 1 and more_memory is not None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more_memory, -1))
        # What the heap has kept of earlier steps does not suffice for this one.
        batch = [item.repeat(200, 1, 1) for item in batch]
    print("step", self.current_epoch, index, flush=True)
    return original(self, batch, index)

module.SoundEventModule.training_step = step
try:
    train(Recipe(**fields), Path(run))
except StreamsedError as error:
    print("said:", error, flush=True)
    sys.exit(1)
"""


def start(recipe: Recipe, run: Path, folder: Path, more_memory: int | None = None) -> subprocess.Popen[str]:
    fields = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    # The folder of a recipe is asked for its commit.
    given = folder / "recipe.pickle"
    given.write_bytes(pickle.dumps(({**fields, "name": "everyday"}, str(run), more_memory)))
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(given)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def weights(recipe, run):
    return {name: value.numpy() for name, value in load_trained(recipe, run).state_dict().items()}


def with_(recipe, **changes):
    """Return the recipe with fields of sections replaced: ``train={"epochs": 1}``."""
    sections = {
        name: dataclasses.replace(getattr(recipe, name), **values) if isinstance(values, dict) else values
        for name, values in changes.items()
    }
    return dataclasses.replace(recipe, **sections)


def test_killed_in_the_middle_of_an_epoch_it_ends_as_if_nothing_had_happened(tiny_recipe, tmp_path):
    recipe = with_(tiny_recipe, name="everyday", train={"epochs": 2, "batch_size": 12})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(recipe, killed, tmp_path)
    for line in process.stdout:
        if line == "step 1 2\n":
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait(60) == -signal.SIGKILL
    process.stdout.close()
    assert sorted(read_metrics(killed)["train/loss"]) == [0], "what was known is on the disk"
    for run in (killed, whole):
        train(recipe, run)
    expected, resumed = weights(recipe, whole), weights(recipe, killed)
    for name, value in expected.items():
        np.testing.assert_allclose(resumed[name], value, rtol=0, atol=1e-7, err_msg=name)
    assert read_metrics(killed)["val/loss"] == pytest.approx(read_metrics(whole)["val/loss"], rel=1e-5)


class TestMemory:
    def test_a_machine_without_memory_is_told_what_to_do(self, tiny_recipe, tmp_path):
        recipe = with_(tiny_recipe, train={"epochs": 2, "batch_size": 24})
        run = tmp_path / "run"
        process = start(recipe, run, tmp_path, more_memory=1 << 20)
        out, _ = process.communicate(timeout=280)
        assert process.returncode == 1
        said = out[out.index("said:") :]
        assert "batch_size: expected a batch that fits into memory, got 24 scenes" in said
        assert "--set train.batch_size=12" in said
        assert f"goes on from {run / LAST}" in said
        assert load_trained(dataclasses.replace(recipe, name="everyday"), run)

    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you tried"
            ),
            OSError(12, "Cannot allocate memory"),
        ],
    )
    def test_what_counts(self, error, tmp_path):
        assert is_out_of_memory(error)
        expected = pytest.raises(StreamsedError, match=r"batch_size: .* got 1 scenes.*batch_size=1")
        with expected as caught, named_out_of_memory(1, tmp_path / LAST):
            raise error
        assert caught.value.__cause__ is error
        assert "goes on from" not in str(caught.value), "there is nothing to go on from"

    def test_what_does_not(self, tmp_path):
        with pytest.raises(RuntimeError, match="shapes"), named_out_of_memory(4, tmp_path / LAST):
            raise RuntimeError("shapes cannot be multiplied")


class TestOtherRecipes:
    @pytest.fixture
    def others(self, tiny_recipe):
        front_end = LogMelConfig(**{**dataclasses.asdict(tiny_recipe.front_end), "f_min": 20.0})
        shape = {**tiny_recipe.net.shape, "dropout": 0.2}
        return {
            "labels": (
                dataclasses.replace(tiny_recipe, labels=("high", "low")),
                r"labels are \['low', 'high'\], expected",
            ),
            "front_end": (
                with_(tiny_recipe, front_end=front_end),
                r"front_end\.f_min is 50\.0, expected 20\.0",
            ),
            "net": (with_(tiny_recipe, net={"shape": shape}), r"net\.dropout is 0\.1, expected 0\.2"),
            "look_ahead": (
                with_(tiny_recipe, net={"look_ahead_frames": 2}),
                r"net\.look_ahead_frames is 0, expected 2",
            ),
        }

    @pytest.mark.parametrize("what", ["labels", "front_end", "net", "look_ahead"])
    def test_resume_and_export_name_what_differs(self, others, what, trained_run, tmp_path):
        recipe, message = others[what]
        complaint = rf"checkpoint: expected one of recipe tiny, got .*last\.ckpt of recipe tiny: {message}"
        before = (trained_run / LAST).read_bytes()
        with pytest.raises(ConfigError, match=complaint):
            train(recipe, trained_run)
        with pytest.raises(ConfigError, match=complaint):
            export(recipe, trained_run, tmp_path / "bundle")
        assert (trained_run / LAST).read_bytes() == before

    def test_warm_start_minds_what_is_heard_and_not_how(self, others, trained_run, tmp_path):
        start_from = {"warm_start": str(trained_run / LAST), "epochs": 1}
        for what in ("labels", "front_end"):
            recipe, message = others[what]
            with pytest.raises(ConfigError, match=message):
                train(with_(recipe, train=start_from), tmp_path / what)
        assert train(with_(others["net"][0], train=start_from), tmp_path / "net").exists()

    def test_checkpoints_that_do_not_know_are_taken_if_they_fit(self, tiny_recipe, trained_run, tmp_path):
        content = torch.load(trained_run / LAST, weights_only=False)
        assert content.pop("streamsed_recipe") == identity(tiny_recipe)
        torch.save(content, tmp_path / LAST)
        expected, found = weights(tiny_recipe, trained_run), weights(tiny_recipe, tmp_path)
        assert all(np.array_equal(found[name], value) for name, value in expected.items())
        wider = with_(tiny_recipe, net={"shape": {**tiny_recipe.net.shape, "hidden": 8}})
        message = (
            r"checkpoint: expected one of the recipe's network, got .*last\.ckpt: net\.gru\.\w+ has shape"
        )
        with pytest.raises(ConfigError, match=message):
            load_trained(wider, tmp_path)
        with pytest.raises(ConfigError, match=message):
            train(wider, tmp_path)

    def test_a_checkpoint_that_is_none(self, tiny_recipe, trained_run, tmp_path):
        whole = (trained_run / LAST).read_bytes()
        for content in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
            (tmp_path / LAST).write_bytes(content)
            with pytest.raises(
                ConfigError, match=r"checkpoint: expected one of a training, got .*last\.ckpt: \S"
            ):
                train(tiny_recipe, tmp_path)
        torch.save({"weights": 1}, tmp_path / LAST)
        with pytest.raises(ConfigError, match="checkpoint: expected one of a training"):
            load_trained(tiny_recipe, tmp_path)
