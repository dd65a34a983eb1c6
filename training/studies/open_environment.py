"""Ensembles in an open environment: the substitute for Table I of Chen and Yin (paper 000), with the rows it lacks.

``python -m training.studies.open_environment --set data.root=clips`` trains what is not trained yet and writes
``results.json`` and ``tables.md`` to the run.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from streamsed.metrics import (
    bootstrap_interval,
    calibration,
    event_counts,
    novelty,
    risk_coverage,
    segment_counts,
)
from streamsed.postprocess import fuse
from training.eow.confidence import confidence
from training.features import clock_of
from training.recipe import Recipe
from training.scenes import conditions
from training.studies.command import Options, Study, main
from training.studies.material import Material, activity, material
from training.studies.members import Outputs, Start, member_outputs
from training.studies.report import markdown, with_interval, with_std
from training.studies.scoring import (
    Average,
    Counts,
    events_of,
    f1_difference,
    macro_f1,
    mean_f1,
    mean_std,
    micro_f1,
    stacked,
)

Floats = npt.NDArray[np.float32]

MEDIAN_FRAMES = 7
SEGMENTS = {"128 ms": 0.128, "64 ms": 0.064, "1 s": 1.0}
AVERAGES: dict[str, Average] = {"macro": macro_f1, "micro": micro_f1}
DOMAINS = ("in-domain", "out-of-domain")
# Neighbouring frames say nearly the same, and sorting them for every resample takes long.
_FRAME_STEP = 3


@dataclass(frozen=True)
class Variant:
    """A network of the study: outputs of its SOD head (0: none) and lambda of eq. (3)."""

    name: str
    sod_outputs: int
    weight: float


VARIANTS = {
    "crnn": Variant("CRNN", 0, 0.0),
    "sod": Variant("CRNN + SOD", 3, 0.0),
    "control": Variant("EOW λ = 0", 4, 0.0),
    "eow": Variant("EOW λ = 0.1", 4, 0.1),
}


@dataclass(frozen=True)
class Ensemble:
    """What the members of one variant say of N scenes.

    Attributes
    ----------
    posteriors : ndarray, shape (M, N, T', K)
    confidences, uncertainties : ndarray, shape (M, N, T'), or None
        c of eq. (4), and u, the last softmax output of P + 1; None without a SOD head, or without that output.
    """

    posteriors: Floats
    confidences: Floats | None
    uncertainties: Floats | None

    @classmethod
    def of(cls, recipe: Recipe, members: Sequence[Outputs]) -> Ensemble:
        """Stack members; their confidence is what the recipe says."""
        posteriors = np.stack([item.posteriors for item in members])
        if members[0].sod_logits is None:
            return cls(posteriors, None, None)
        logits = torch.from_numpy(np.stack([item.sod_logits for item in members]))
        c = confidence(logits.flatten(0, 1), recipe.confidence, torch.from_numpy(posteriors).flatten(0, 1))
        known = recipe.confidence.n_occurrences
        u = logits.softmax(-1)[..., known].numpy() if logits.shape[-1] > known else None
        return cls(posteriors, c.reshape(posteriors.shape[:3]).numpy(), u)

    def fused(self, *, calibrated: bool) -> Floats:
        """Return eq. (4) with c of each member, or with equal weights: (N, T', K)."""
        _, n_scenes, n_frames, n_classes = self.posteriors.shape
        members = self.posteriors.reshape(len(self.posteriors), -1, n_classes)
        weights = None
        if calibrated:
            assert self.confidences is not None
            weights = self.confidences.reshape(len(members), -1)
        return fuse(members, weights).reshape(n_scenes, n_frames, n_classes)


def run_study(recipe: Recipe, run: Path, options: Options) -> tuple[dict[str, Any], str]:
    """Train, score and return the results and their tables."""
    known = conditions(recipe)
    scenes = {name: material(recipe, name) for name in known}
    seeds, resamples = options.seeds, options.resamples
    start = Start(variant_of(recipe, VARIANTS["crnn"]), options.start_epochs)
    # Seed by seed: what an interruption leaves is a study of fewer members.
    found = {
        (seed, name): member_outputs(variant_of(recipe, variant), run, name, seed, scenes, start)
        for seed in seeds
        for name, variant in VARIANTS.items()
    }
    ensembles = {
        name: {
            condition: Ensemble.of(recipe, [found[seed, name][condition] for seed in seeds])
            for condition in scenes
        }
        for name in VARIANTS
    }
    domains = {
        "in-domain": [name for name, item in known.items() if item.in_domain],
        "out-of-domain": [name for name, item in known.items() if not item.in_domain],
    }
    results: dict[str, Any] = {
        "options": options,
        "scenes": {name: len(item.events) for name, item in scenes.items()},
        "rows": {},
        "differences": {},
    }
    for domain, names in domains.items():
        joined = {name: joined_ensemble([found[item] for item in names]) for name, found in ensembles.items()}
        parts = [scenes[name] for name in names]
        rows, differences = score(recipe, joined_material(parts), joined, resamples)
        results["rows"][domain] = rows
        results["differences"][domain] = differences
    results["novelty"] = novelties(recipe, scenes, ensembles, domains, resamples)
    return results, tables(results)


def variant_of(recipe: Recipe, variant: Variant) -> Recipe:
    """Return the recipe of a variant; nothing else differs."""
    shape = {**recipe.net.shape, "sod_outputs": variant.sod_outputs}
    if variant.sod_outputs == 0:
        shape["sod_hidden"] = 0
    return dataclasses.replace(
        recipe,
        net=dataclasses.replace(recipe.net, shape=shape),
        eow=dataclasses.replace(recipe.eow, weight=variant.weight),
    )


def joined_material(parts: Sequence[Material]) -> Material:
    """Scenes of several conditions, one after the other."""
    return Material(
        np.concatenate([part.log_mels for part in parts]),
        [events for part in parts for events in part.events],
        [events for part in parts for events in part.interference],
        parts[0].seconds,
    )


def joined_ensemble(parts: Sequence[Ensemble]) -> Ensemble:
    """What the members say of scenes of several conditions, one after the other."""

    def join(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays, axis=1)

    return Ensemble(join("posteriors"), join("confidences"), join("uncertainties"))


def counts_of(posteriors: Floats, recipe: Recipe, scenes: Material) -> dict[str, Counts]:
    """Fused posteriors, median 7, threshold 0.5: what is counted of events and of segments of each length."""
    labels, clock = recipe.labels, clock_of(recipe)
    estimated = events_of(posteriors, labels, clock, median_frames=MEDIAN_FRAMES)
    reference = scenes.reference()
    found = {"event": stacked(event_counts(reference, estimated, labels=labels))}
    for name, seconds in SEGMENTS.items():
        counts = segment_counts(
            reference, estimated, labels=labels, segment_length=seconds, durations=scenes.durations()
        )
        found[name] = stacked(counts)
    return found


def score(
    recipe: Recipe, scenes: Material, ensembles: Mapping[str, Ensemble], resamples: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of one domain by name, and what calibrated fusion has more than averaging."""
    targets = activity(scenes.events, recipe.labels, ensembles["crnn"].posteriors.shape[2], recipe)
    rows: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for name, variant in VARIANTS.items():
        item = ensembles[name]
        members = [counts_of(posteriors, recipe, scenes) for posteriors in item.posteriors]
        rows[f"{variant.name}, single"] = {
            **f1_columns(members, resamples),
            **single_calibration(item.posteriors, targets),
        }
        averaged = item.fused(calibrated=False)
        counted = counts_of(averaged, recipe, scenes)
        rows[f"{variant.name}, averaged"] = {
            **f1_columns([counted], resamples),
            **frame_columns(averaged, mean_confidence(item), targets, resamples),
        }
        if item.confidences is None:
            continue
        calibrated = item.fused(calibrated=True)
        weighted = counts_of(calibrated, recipe, scenes)
        rows[f"{variant.name}, calibrated"] = {
            **f1_columns([weighted], resamples),
            **frame_columns(calibrated, mean_confidence(item), targets, resamples),
        }
        differences[variant.name] = {
            f"{way} {average}": f1_difference(weighted[way], counted[way], function, resamples)
            for way in counted
            for average, function in AVERAGES.items()
        }
    return rows, differences


def f1_columns(members: Sequence[Mapping[str, Counts]], resamples: int) -> dict[str, Any]:
    """F1 by way of counting and average: its interval by scene, and over several members mean and deviation."""
    columns: dict[str, Any] = {}
    for way in members[0]:
        for average, function in AVERAGES.items():
            counts = [member[way] for member in members]
            values = [function(item.sum(axis=0)) for item in counts]
            columns[f"{way} {average}"] = {
                "mean_std": mean_std(values),
                "interval": mean_f1(counts, function, resamples),
            }
    return columns


def mean_confidence(item: Ensemble) -> Floats:
    """Mean c of the members (N, T'); without a SOD head 1 - the mean binary entropy of the averaged posteriors."""
    if item.confidences is not None:
        return item.confidences.mean(axis=0)
    p = np.clip(item.posteriors.mean(axis=0), 1e-6, 1 - 1e-6)
    return 1.0 + (p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean(axis=-1)


def single_calibration(posteriors: Floats, targets: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Mean and deviation over members of the calibration of frame posteriors."""
    outcomes = targets[:, ::_FRAME_STEP]
    found = [calibration(member[:, ::_FRAME_STEP], outcomes) for member in posteriors]
    return {
        "ece": {"mean_std": mean_std([item.expected_error for item in found])},
        "brier": {"mean_std": mean_std([item.brier for item in found])},
    }


def frame_columns(
    posteriors: Floats,
    sureness: Floats,
    targets: npt.NDArray[np.bool_],
    resamples: int,
) -> dict[str, Any]:
    """Calibration of fused posteriors, and risk (a frame with any label wrong) against coverage by confidence."""
    posteriors, sureness, targets = (array[:, ::_FRAME_STEP] for array in (posteriors, sureness, targets))
    wrong = ((posteriors >= 0.5) != targets).any(axis=-1).astype(np.float64)

    def pooled(scenes: list[int]) -> Any:
        return calibration(posteriors[scenes], targets[scenes])

    def area(scenes: list[int]) -> float:
        return risk_coverage(sureness[scenes].ravel(), wrong[scenes].ravel()).aurc

    numbers, fewer = range(len(posteriors)), max(1, resamples // 5)
    return {
        "ece": {"interval": bootstrap_interval(numbers, lambda s: pooled(s).expected_error, resamples=fewer)},
        "brier": {"interval": bootstrap_interval(numbers, lambda s: pooled(s).brier, resamples=fewer)},
        "aurc": {"interval": bootstrap_interval(numbers, area, resamples=fewer)},
        "frame error": {"mean_std": (float(wrong.mean()), float("nan"))},
        "bins": pooled(list(numbers)).bins,
    }


def novelties(
    recipe: Recipe,
    scenes: Mapping[str, Material],
    ensembles: Mapping[str, Mapping[str, Ensemble]],
    domains: Mapping[str, Sequence[str]],
    resamples: int,
) -> dict[str, Any]:
    """How well each uncertainty tells what is unknown from what is known: AUROC and FPR95 with intervals by scene.

    "out-of-domain": all frames of those conditions against all in-domain ones. "unheard class" and "heard without
    label": in-domain frames in which such a sound and no target is, against those with a target and no such sound.
    """
    inside = joined_material([scenes[name] for name in domains["in-domain"]])
    found: dict[str, Any] = {}
    for name, variant in VARIANTS.items():
        here, there = (
            joined_ensemble([ensembles[name][item] for item in domains[domain]]) for domain in DOMAINS
        )
        scores = {
            "entropy" if here.confidences is None else "1 - c": (
                1 - mean_confidence(here),
                1 - mean_confidence(there),
            ),
            # That nothing known sounds: the baseline of Hendrycks and Gimpel (2017), for several labels at once.
            "1 - max p": (1 - _highest(here), 1 - _highest(there)),
        }
        if here.uncertainties is not None and there.uncertainties is not None:
            scores["u"] = (here.uncertainties.mean(axis=0), there.uncertainties.mean(axis=0))
        for score_name, (known, unknown) in scores.items():
            n_frames = known.shape[1]
            target = activity(inside.events, recipe.labels, n_frames, recipe).any(axis=-1)
            cases = {"out-of-domain": (np.concatenate([known, unknown]), _domain_frames(known, unknown))}
            kinds = {
                "unheard class": recipe.scenes.get("test_interference", ()),
                "heard without label": recipe.scenes.get("interference", ()),
            }
            sounding = {
                kind: activity(inside.interference, labels, n_frames, recipe).any(axis=-1)
                for kind, labels in kinds.items()
            }
            any_other = np.any(list(sounding.values()), axis=0)
            for kind, active in sounding.items():
                frames = np.full(known.shape, -1)
                frames[target & ~any_other] = 0
                frames[active & ~target] = 1
                cases[kind] = (known, frames)
            found[f"{variant.name}, {score_name}"] = {
                case: _novelty(*item, resamples) for case, item in cases.items()
            }
    return found


def _highest(item: Ensemble) -> Floats:
    """Highest posterior of the averaged members in each frame (N, T')."""
    return item.fused(calibrated=False).max(axis=-1)


def _domain_frames(known: Floats, unknown: Floats) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(known.shape, np.int64), np.ones(unknown.shape, np.int64)])


def _novelty(score: Floats, kind: npt.NDArray[np.int64], resamples: int) -> dict[str, Any]:
    """Frames of ``kind`` 1 against those of 0, shapes (N, T'); others (-1) count for nothing."""
    score, kind = score[:, ::_FRAME_STEP], kind[:, ::_FRAME_STEP]
    kept = [(score[row][kind[row] >= 0], kind[row][kind[row] >= 0]) for row in range(len(score))]
    kept = [item for item in kept if item[0].size]

    def value(items: list[Any], name: str) -> float:
        return float(getattr(novelty(*(np.concatenate(arrays) for arrays in zip(*items, strict=True))), name))

    fewer = max(1, resamples // 5)
    frames = np.concatenate([item[1] for item in kept])
    return {
        "auroc": bootstrap_interval(kept, lambda items: value(items, "auroc"), resamples=fewer),
        "fpr95": bootstrap_interval(kept, lambda items: value(items, "fpr95"), resamples=fewer),
        "known": int((frames == 0).sum()),
        "unknown": int((frames == 1).sum()),
    }


def tables(results: Mapping[str, Any]) -> str:
    """Markdown: F1, calibration and differences of each domain, then the novelty scores."""
    ways = ["event", *SEGMENTS]
    columns = [f"{way} {average}" for way in ways for average in AVERAGES]
    parts = []
    for domain in DOMAINS:
        rows = results["rows"][domain]
        parts.append(f"### F1 in percent, {domain}")
        parts.append(
            markdown(
                ["system", *columns],
                [[name, *(_f1_cell(row[column]) for column in columns)] for name, row in rows.items()],
            )
        )
        parts.append(f"### Calibrated minus averaged, F1 in percent, {domain}")
        differences = results["differences"][domain]
        parts.append(
            markdown(
                ["members", *columns],
                [
                    [name, *(with_interval(row[column], 100) for column in columns)]
                    for name, row in differences.items()
                ],
            )
        )
        parts.append(f"### Frame posteriors, {domain}")
        names = ("ece", "brier", "aurc")
        parts.append(
            markdown(
                ["system", "ECE", "Brier", "area under risk-coverage"],
                [[name, *(_frame_cell(row.get(key)) for key in names)] for name, row in rows.items()],
            )
        )
    parts.append("### Telling the unknown from the known, ensembles")
    cases = list(next(iter(results["novelty"].values())))
    parts.append(
        markdown(
            ["score", *(f"{case}: {what}" for case in cases for what in ("AUROC", "FPR95"))],
            [
                [name, *(with_interval(row[case][key]) for case in cases for key in ("auroc", "fpr95"))]
                for name, row in results["novelty"].items()
            ],
        )
    )
    return "\n\n".join(parts) + "\n"


def _f1_cell(item: Mapping[str, Any]) -> str:
    mean, std = item["mean_std"]
    return with_interval(item["interval"], 100) if np.isnan(std) else with_std((mean, std), 100)


def _frame_cell(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return "-"
    return with_interval(item["interval"]) if "interval" in item else with_std(item["mean_std"], digits=3)


if __name__ == "__main__":
    sys.exit(main(Study("open_environment_scenes", (0, 1, 2, 3, 4), 6, run_study)))
