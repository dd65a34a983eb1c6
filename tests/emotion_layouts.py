"""Small copies of corpora of emotional speech in their official layouts: synthetic voices, real names and formats."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def voice(valence: float, arousal: float, dominance: float, seconds: float, seed: int) -> np.ndarray:
    """A row of harmonics: arousal raises pitch and rate, dominance the level, valence the upper harmonics."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = (
        (110 + 15 * (seed % 5))
        * (1 + 0.8 * arousal)
        * (1 + 0.03 * np.sin(2 * np.pi * (2 + 3 * arousal) * time))
    )
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tilt = 2.2 - 1.2 * valence
    sound = sum(np.sin(order * phase) / order**tilt for order in range(1, 12))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * (3 + 2 * arousal) * time)
    samples = 10 ** (-1.6 + dominance) * 0.25 * sound * syllables + rng.normal(0, 1e-3, len(time))
    return np.clip(samples, -1, 1)


def write_voice(path: Path, levels: tuple[float, float, float], seed: int, seconds: float = 0.6) -> Path:
    """Write a voice with levels in [0, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, voice(*levels, seconds, seed), RATE)
    return path


def _levels(rng: np.random.Generator) -> tuple[float, float, float]:
    valence, arousal, dominance = rng.uniform(0.05, 0.95, 3)
    return float(valence), float(arousal), float(dominance)


def write_vam(root: Path, speakers: int = 6, sentences: int = 4) -> Path:
    """``data/Sprecher<s>/Satz<s><n>.wav`` with ``.eva`` (a rater a line) and ``.ewe``, in [-1, 1]."""
    rng = np.random.default_rng(1)
    for speaker in range(15, 15 + speakers):
        raters = 5 if speaker <= 19 else 3
        for sentence in range(1, sentences + 1):
            levels = _levels(rng)
            folder = root / "data" / f"Sprecher{speaker:02d}"
            stem = f"Satz{speaker:02d}{sentence:03d}"
            path = write_voice(folder / f"{stem}.wav", levels, 100 * speaker + sentence)
            scaled = [2 * level - 1 for level in levels]
            ratings = np.clip(np.array(scaled) + rng.normal(0, 0.05, (raters, 3)), -1, 1)
            path.with_suffix(".eva").write_text("".join(f"{v:.2f} {a:.2f} {d:.2f}\n" for v, a, d in ratings))
            path.with_suffix(".ewe").write_text(" ".join(f"{value:.4f}" for value in scaled) + "\n")
    return root


def write_iemocap(root: Path, sessions: int = 2, turns: int = 4) -> Path:
    """``Session<n>/dialog/EmoEvaluation/*.txt`` and ``Session<n>/sentences/wav/<dialogue>/<turn>.wav``, from 1 to 5."""
    rng = np.random.default_rng(2)
    for session in range(1, sessions + 1):
        folder = root / f"Session{session}"
        evaluations = folder / "dialog" / "EmoEvaluation"
        evaluations.mkdir(parents=True)
        dialogue = f"Ses{session:02d}F_impro01"
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"]
        for number in range(turns):
            for speaker in "FM":
                levels = _levels(rng)
                turn = f"{dialogue}_{speaker}{number:03d}"
                write_voice(
                    folder / "sentences" / "wav" / dialogue / f"{turn}.wav", levels, 10 * number + session
                )
                valence, arousal, dominance = (1 + 4 * level for level in levels)
                lines += [
                    "",
                    f"[{6 * number:.4f} - {6 * number + 2:.4f}]\t{turn}\tneu\t"
                    f"[{valence:.4f}, {arousal:.4f}, {dominance:.4f}]",
                    "C-E2:\tNeutral;\t()",
                    f"C-{speaker}1:\tNeutral;\t()",
                    f"A-E3:\tval {round(valence)}; act {round(arousal)}; dom  {round(dominance)};\t()",
                    f"A-E4:\tval {round(valence)}; act {round(arousal)}; dom  ;\t()",
                    f"A-{speaker}1:\tval 3; act 3; dom  3;\t()",
                ]
        (evaluations / f"{dialogue}.txt").write_text("\n".join(lines) + "\n")
        # What the release has beside them: files of macOS, and evaluations one by one.
        (evaluations / f"._{dialogue}.txt").write_bytes(b"\x00\x05\x16\x07")
        (evaluations / "Categorical").mkdir()
        (evaluations / "Categorical" / f"{dialogue}_e2_cat.txt").write_text("not read\n")
    return root


def write_emotale(root: Path, speakers: int = 3, sentences: int = 3, seconds: float = 0.6) -> Path:
    """``annotations.csv`` with three raters from 1 to 5, and ``audio/<language>_<speaker>_<emotion>_<n>.flac``."""
    rng = np.random.default_rng(3)
    raters = ("a1", "a2", "a3")
    head = ["file", *(f"{rater}_{what}" for rater in raters for what in ("A", "V", "D", "cat")), "gt_emotion"]
    rows = [head]
    for speaker in range(1, speakers + 1):
        for language in ("DK", "EN"):
            for sentence in range(1, sentences + 1):
                levels = _levels(rng)
                name = f"{language}_{speaker:03d}_{'AHN'[sentence % 3]}_{sentence}.flac"
                write_voice(root / "audio" / name, levels, 100 * speaker + sentence, seconds)
                cells = []
                for _ in raters:
                    noisy = np.clip(np.array(levels) + rng.normal(0, 0.05, 3), 0, 1)
                    valence, arousal, dominance = np.round(2 * (1 + 4 * noisy)) / 2
                    cells += [arousal, valence, dominance, "N"]
                rows.append([name, *cells, "N"])
    with (root / "annotations.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root
