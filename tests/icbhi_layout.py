"""A small folder in the layout of ICBHI 2017, made of noise and tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

# Name, sample rate, cycles as (start, end, crackles, wheezes), official part.
RECORDINGS = (
    ("101_1b1_Al_sc_Meditron", 4000, ((0.1, 1.0, 0, 0), (1.0, 2.25, 1, 0), (2.25, 3.0, 0, 0)), "train"),
    ("101_1b1_Pr_sc_Meditron", 10000, ((0.0, 1.5, 0, 0), (1.5, 2.9, 1, 1)), "train"),
    ("102_2b3_Tc_mc_LittC2SE", 44100, ((0.0, 1.0, 0, 1), (1.0, 2.0, 0, 0), (2.0, 3.0, 0, 1)), "train"),
    ("103_1p1_Lr_sc_Litt3200", 4000, ((0.0, 2.0, 0, 0), (2.0, 3.0, 1, 0)), "test"),
    ("104_8b4_Ar_mc_AKGC417L", 22050, ((0.5, 1.5, 0, 0), (1.5, 2.5, 0, 1)), "test"),
    ("102_2b4_Ll_mc_LittC2SE", 44100, ((0.0, 1.5, 1, 1), (1.5, 3.0, 0, 0)), "test"),
)
SECONDS = 3.0


def tone(sample_rate: int, seconds: float = SECONDS, hz: float = 300.0, seed: int = 0) -> np.ndarray:
    """A tone in a little noise, float32."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    noise = np.random.default_rng(seed).normal(0, 0.01, time.size)
    return (0.3 * np.sin(2 * np.pi * hz * time) + noise).astype(np.float32)


def write_recording(folder: Path, name: str, sample_rate: int, cycles, extension: str = "wav") -> Path:
    """Write a recording and its annotation; return the recording's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{extension}"
    soundfile.write(path, tone(sample_rate), sample_rate)
    write_cycles(folder / f"{name}.txt", cycles)
    return path


def write_cycles(path: Path, cycles) -> Path:
    """Write an annotation."""
    path.write_text("".join("\t".join(map(str, cycle)) + "\n" for cycle in cycles))
    return path


def write_icbhi(root: Path, *, extension: str = "wav", flat: bool = False) -> Path:
    """Write the whole folder: recordings, split, diagnoses and demographic data; return its path."""
    folder = root if flat else root / "audio_and_txt_files"
    for name, sample_rate, cycles, _ in RECORDINGS:
        write_recording(folder, name, sample_rate, cycles, extension)
    (root / "train_test.txt").write_text("".join(f"{name}\t{part}\n" for name, *_, part in RECORDINGS))
    (root / "patient_diagnosis.csv").write_text("ID,CLASS\n101,URTI\n102,Healthy\n103,COPD\n104,COPD\n")
    (root / "demographic_info.txt").write_text(
        "\n101 3 F NA 19 99\n102 0.75 F NA 9.8 73\n103 70 F 33 NA NA\n104 NA NA NA NA NA\n"
    )
    (root / "filename_format.txt").write_text("Elements contained in the filenames:\n")
    return root
