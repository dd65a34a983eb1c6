"""``python -m training.studies.lung_sounds``: tables II to IV of paper 004 in small, and what each part of it is worth.

Nguyen and Pernkopf, EMBC 2020. The network is narrow, recordings are heard up to 2 kHz and epochs are few, so that the
study takes about an hour of one core; every row is trained with the same number of steps. The labels are those with
the highest posterior, as in the paper; no row is chosen on the test side.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from streamsed.config import CyclePreparation, require
from streamsed.cycles import CycleFeatures
from streamsed.errors import StreamsedError
from streamsed.metrics import label_counts
from training.data.icbhi import CycleReference
from training.lung.material import target_of
from training.lung.posteriors import cycle_posteriors, of_checkpoint
from training.lung.recipe import CycleAugmentation, LungRecipe, load_lung_recipe
from training.lung.sides import read_sides
from training.lung.train import train
from training.studies.report import markdown, with_interval

RECIPE = "lung_sounds"
# What makes the paper's recipe small.
SMALL = (
    "front_end.sample_rate=4000",
    "front_end.n_fft=256",
    "front_end.window_length=256",
    "front_end.hop_length=128",
    "front_end.n_mels=32",
    "front_end.f_min=50.0",
    "net.shape.width=0.125",
    "copies.warp_high_hz=[1600.0, 1900.0]",
    "copies.epoch_segments=800",
    "data.validation_share=0",
    "train.learning_rate=1e-3",
    "train.batch_size=16",
    "train.precision=bf16-mixed",
    "train.threads=1",
)
SPLITS = ("random", "official")
EPOCHS = 24
CYCLES, EPOCHS_PER_CYCLE = 8, 6


class Row(NamedTuple):
    """One row: its name, its recipe, and for each seed the posteriors of how many members are averaged."""

    name: str
    recipe: LungRecipe
    members: tuple[str, ...] = ("last.ckpt",)


def preparations(base: LungRecipe) -> list[Row]:
    """Table II: padding and splitting for two lengths."""
    rows = []
    for seconds in (5.0, 9.0):
        for padding, chunks in (("zero", 1), ("sample", 1), ("sample", 2)):
            preparation = CyclePreparation(seconds, chunks, padding)  # type: ignore[arg-type]
            shown = f"{seconds:g} s" if chunks == 1 else f"{chunks} x {seconds / chunks:g} s"
            rows.append(
                Row(f"{padding} padding, {shown}", dataclasses.replace(base, preparation=preparation))
            )
    return rows


def ensembles(base: LungRecipe) -> list[Row]:
    """Tables III and IV: the first M snapshots of one training, and the one training without cycles.

    With the same epochs in every cycle, a training of M cycles is the beginning of one of more.
    """
    settings = dataclasses.replace(
        base.train, epochs=CYCLES * EPOCHS_PER_CYCLE, cycles=CYCLES, schedule="cyclic_cosine"
    )
    cyclic = dataclasses.replace(base, train=settings)
    single = dataclasses.replace(base, train=dataclasses.replace(settings, cycles=1))
    snapshots = [f"snapshot{number}.ckpt" for number in range(1, CYCLES + 1)]
    return [
        Row("one network, one cycle of the same length", single),
        Row(f"the last of {CYCLES} snapshots", cyclic, (snapshots[-1],)),
        *(Row(f"{count} snapshots", cyclic, tuple(snapshots[:count])) for count in (2, 4, 6, CYCLES)),
    ]


def ablations(base: LungRecipe) -> list[Row]:
    """What the result is without each part of the training."""

    def without(name: str, **changes: Any) -> Row:
        return Row(name, dataclasses.replace(base, copies=dataclasses.replace(base.copies, **changes)))

    none = (0, 0, 0, 0)
    nothing = CycleAugmentation(none, 0.1, none, roll=False, epoch_segments=base.copies.epoch_segments)
    return [
        Row("all", base),
        without("without time stretch", stretched=none),
        without("without VTLP", warped=none),
        without("without roll", roll=False),
        Row("without any augmentation", dataclasses.replace(base, copies=nothing)),
        Row("cross-entropy instead of the focal loss", dataclasses.replace(base, gamma=0.0)),
    ]


TABLES = {
    "preparation": ("Padding and splitting (Table II)", preparations),
    "ensemble": ("Snapshots (Tables III and IV)", ensembles),
    "ablation": ("Augmentation and loss", ablations),
}


def study(
    base: LungRecipe, run: Path, seeds: Sequence[int], tables: Iterable[str], resamples: int
) -> tuple[dict[str, Any], str]:
    """Train what is not trained yet and return results and tables."""
    results: dict[str, Any] = {}
    texts = []
    for key in tables:
        title, rows_of = TABLES[key]
        lines = []
        for row in rows_of(base):
            line = [row.name]
            for split in SPLITS:
                found = scores(row, split, run, seeds, resamples)
                results[f"{key}/{split}/{row.name}"] = found
                line += [found["text_4"], found["text_2"]]
            lines.append(line)
            texts_so_far = "\n\n".join([*texts, _table(title, lines)])
            (run / "tables.md").write_text(texts_so_far + "\n")
        texts.append(_table(title, lines))
    return results, "\n\n".join(texts) + "\n"


def _table(title: str, lines: list[list[str]]) -> str:
    head = [title, *(f"{split} split, {classes} classes" for split in SPLITS for classes in (4, 2))]
    return markdown(head, lines)


def scores(row: Row, split: str, run: Path, seeds: Sequence[int], resamples: int) -> dict[str, Any]:
    """Return the scores of a row on a split, all seeds together, with intervals by patient."""
    truth: list[str] = []
    estimate: list[str] = []
    patients: list[str] = []
    each = []
    for seed in seeds:
        found = judged(row, split, run, seed)
        truth += found["truth"]
        estimate += found["estimate"]
        patients += found["patients"]
        each.append(label_counts(found["truth"], found["estimate"]).score().score)
    values: dict[str, Any] = {"score_of_seed": [round(value, 4) for value in each]}
    for classes in (4, 2):
        counts = label_counts(truth, estimate, patients, classes=classes)  # type: ignore[arg-type]
        score, interval = counts.score(), counts.intervals(resamples=resamples).score
        values[f"classes_{classes}"] = {
            "sensitivity": round(score.sensitivity, 4),
            "specificity": round(score.specificity, 4),
            "score": round(score.score, 4),
            "interval": [round(interval.low, 4), round(interval.high, 4)],
        }
        values[f"text_{classes}"] = with_interval(interval)
    return values


def judged(row: Row, split: str, run: Path, seed: int) -> dict[str, list[str]]:
    """Train a row with a seed, unless that is done, and return true and estimated labels of the test side."""
    number = seed if split == "random" else 0
    recipe = dataclasses.replace(
        row.recipe,
        data=dataclasses.replace(row.recipe.data, split=split, number=number),
        train=dataclasses.replace(row.recipe.train, seed=seed),
    )
    # Rows that share a training share its folder.
    folder = run / f"{_slug(recipe)}-{split}-{seed}"
    path = folder / f"labels-{len(row.members)}-{Path(row.members[-1]).stem}.json"
    if path.exists():
        known: dict[str, list[str]] = json.loads(path.read_text())
        return known
    train(recipe, folder)
    test = read_sides(recipe.data).test
    posteriors = cycle_posteriors(
        test,
        CycleFeatures(recipe.front_end, recipe.preparation),
        [of_checkpoint(recipe, folder / name) for name in row.members],
    )
    labels = _labels(test, posteriors.argmax(axis=1).tolist(), recipe)
    path.write_text(json.dumps(labels) + "\n")
    return labels


def _labels(
    cycles: Sequence[CycleReference], estimate: list[int], recipe: LungRecipe
) -> dict[str, list[str]]:
    return {
        "truth": [recipe.labels[target_of(item, recipe)] for item in cycles],
        "estimate": [recipe.labels[number] for number in estimate],
        "patients": [item.recording.patient for item in cycles],
    }


def _slug(recipe: LungRecipe) -> str:
    preparation, copies, settings = recipe.preparation, recipe.copies, recipe.train
    parts = [
        f"{preparation.padding}{preparation.segment_seconds:g}x{preparation.chunks}",
        "s" + "".join(map(str, copies.stretched)),
        "w" + "".join(map(str, copies.warped)),
        f"r{int(copies.roll)}g{recipe.gamma:g}e{settings.epochs}c{settings.cycles}",
    ]
    return "-".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study from the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        description="Train what is not trained yet, write results.json and tables.md to the run, print the tables."
    )
    parser.add_argument("--run", type=Path, default=Path("runs") / "lung_study", help="(%(default)s)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    parser.add_argument("--seeds", default="0,1", help="(%(default)s)")
    parser.add_argument("--tables", default=",".join(TABLES), help="(%(default)s)")
    parser.add_argument(
        "--epochs", type=int, default=EPOCHS, help="of tables without snapshots (%(default)s)"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (%(default)s)")
    arguments = parser.parse_args(argv)
    try:
        texts = arguments.seeds.split(",")
        usable = all(text.strip().isdecimal() for text in texts) and len(set(texts)) == len(texts)
        require(usable, "--seeds", "different numbers with commas between", arguments.seeds)
        tables = arguments.tables.split(",")
        unknown = sorted(set(tables) - set(TABLES))
        require(not unknown, "--tables", f"some of {list(TABLES)}", unknown)
        length = [f"train.epochs={arguments.epochs}", "train.cycles=1"]
        recipe = load_lung_recipe(RECIPE, [*SMALL, *length, *arguments.set])
        torch.set_num_threads(recipe.train.threads)
        arguments.run.mkdir(parents=True, exist_ok=True)
        seeds = [int(text) for text in texts]
        results, found = study(recipe, arguments.run, seeds, tables, arguments.resamples)
        (arguments.run / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (arguments.run / "tables.md").write_text(found)
        print(found)
    except StreamsedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
