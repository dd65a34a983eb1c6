"""From trained regressors to the bundle that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamsed.bundle import EmotionBundle, Provenance, write_emotion_bundle, write_emotion_golden
from streamsed.config import require
from streamsed.emotion import EmotionDetector
from streamsed.errors import BundleError
from streamsed.functionals import LogMelFunctionals
from streamsed.golden import check_golden, golden_voice, make_emotion_golden
from training.emotion.voice.recipe import VoiceRecipe
from training.emotion.voice.train import GATE_FILE, METRICS_FILE, member_file
from training.fitting import PROVENANCE


def export(recipe: VoiceRecipe, run: Path, folder: Path) -> EmotionBundle:
    """Write the bundle of a training, with a golden check on a synthetic voice, and check it.

    Parameters
    ----------
    recipe : VoiceRecipe
    run : Path
        Folder of the training.
    folder : Path
        Must not hold a bundle yet.

    Raises
    ------
    BundleError
        If the folder has a bundle already, or the golden check fails.
    ConfigError
        If the training is missing.
    """
    files = [run / member_file(index) for index in range(recipe.ensemble.members)]
    missing = [path.name for path in (*files, run / GATE_FILE, run / METRICS_FILE) if not path.exists()]
    require(not missing, "--run", "a folder that train has filled", f"{run} without {missing}")
    metrics = json.loads((run / METRICS_FILE).read_text())
    facts = json.loads((run / PROVENANCE).read_text())
    bundle = write_emotion_bundle(
        folder,
        name=recipe.bundle,
        functionals=recipe.functionals,
        feature_count=len(LogMelFunctionals(recipe.functionals).names),
        gate=(run / GATE_FILE).read_bytes(),
        members=[path.read_bytes() for path in files],
        emotion=recipe.emotion,
        provenance=Provenance(
            recipe=f"training/recipes/{recipe.name}",
            commit=facts["commit"],
            metrics=_figures(metrics),
            **recipe.provenance,
        ),
    )
    golden = make_emotion_golden(EmotionDetector(bundle), golden_voice(bundle.sample_rate))
    bundle = write_emotion_golden(bundle, golden)
    report = check_golden(EmotionDetector(bundle))
    if not report.passed:
        raise BundleError(f"bundle {bundle.name}: the golden check failed: {report}")
    return bundle


def _figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what a model card says in one line."""
    whole = metrics["leave_one_speaker_out"]["utterances"]
    gate = {name: values["passed"] for name, values in metrics["gate"].items() if "passed" in values}
    return {"ccc_leave_one_speaker_out": whole["ccc"], "speakers": metrics["speakers"], "gate_passed": gate}
