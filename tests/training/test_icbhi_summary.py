"""``python -m training.data.icbhi summary``."""

from __future__ import annotations

import icbhi_layout as layout
import numpy as np
import soundfile

from training.data.icbhi.__main__ import main


def test_the_summary(tmp_path, capsys):
    root = layout.write_icbhi(tmp_path)
    assert main(["summary", str(root)]) == 0
    printed, said = capsys.readouterr()
    assert said == ""
    assert printed.startswith("6 recordings of 4 patients, 0.3 min, 14 cycles\n")
    rows = {line.split("  ")[0].strip(): line.split()[-8:] for line in printed.splitlines() if line}
    assert rows["train"] == ["2", "3", "0.1", "8", "4", "1", "2", "1"]
    assert rows["LittC2SE"] == ["1", "2", "0.1", "5", "2", "0", "2", "1"]
    assert rows["44100 Hz"][:2] == ["1", "2"]
    assert rows["COPD"][0] == "2"
    assert "min 0.75, " in printed
    assert "official split, on both sides: patients 1 (102), recordings 0; 2 of 6 test cycles" in printed
    assert "random 0 split, on both sides: patients " in printed


def test_the_summary_of_bad_folders(tmp_path, capsys):
    assert main(["summary", str(tmp_path)]) == 6
    assert capsys.readouterr().err.startswith(f"icbhi: {tmp_path}: expected recordings of ICBHI 2017")
    root = layout.write_icbhi(tmp_path)
    (root / "audio_and_txt_files/103_1p1_Lr_sc_Litt3200.wav").write_text("no audio")
    assert main(["summary", str(root)]) == 6
    assert main(["summary", str(root), "--skip-bad"]) == 0
    printed = capsys.readouterr().out
    assert "skipped: 1" in printed
    assert "left out 1 of 6 recordings" in printed
    assert main(["summary", str(root), "--tolerance", "-1"]) == 2


def test_silent_and_clipped_recordings_are_listed(tmp_path, capsys):
    root = layout.write_icbhi(tmp_path)
    folder = root / "audio_and_txt_files"
    loud = np.clip(5 * layout.tone(4000), -1, 1)
    soundfile.write(folder / "101_1b1_Al_sc_Meditron.wav", loud, 4000)
    soundfile.write(folder / "101_1b1_Pr_sc_Meditron.wav", np.zeros(30000), 10000)
    partly = layout.tone(4000)
    partly[8000:] = 0
    soundfile.write(folder / "103_1p1_Lr_sc_Litt3200.wav", partly, 4000)
    assert main(["summary", str(root)]) == 0
    assert "signal" not in capsys.readouterr().out
    assert main(["summary", str(root), "--check"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    first = lines.index("signal: 3") + 1
    share = np.mean(np.abs(loud) == 1)
    assert lines[first] == f"{folder}/101_1b1_Al_sc_Meditron.wav: clipped, {share:.1%} of the samples"
    assert lines[first + 1] == f"{folder}/101_1b1_Pr_sc_Meditron.wav: silent, every sample is 0"
    assert (
        lines[first + 2] == f"{folder}/103_1p1_Lr_sc_Litt3200.wav: the cycle from 2 to 3 s (line 2) is silent"
    )
