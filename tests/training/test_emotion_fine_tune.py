"""Fine-tuning of a wav2vec2 on dimensional labels: learns, saves what the features read, leaves speakers out."""

from __future__ import annotations

import audmetric
import numpy as np
import pytest
import torch
from emotion_layouts import write_emotale
from tiny_speech_models import save_encoder

from streamsed.errors import ConfigError
from training.emotion.data import EmotionData, read_emotion
from training.emotion.features import FeatureSettings, make_extractor
from training.emotion.fine_tune import FineTuning, concordance_loss, fine_tune, main


def test_the_loss_is_one_less_the_concordance():
    rng = np.random.default_rng(0)
    truth, levels = rng.random((2, 20, 3)).astype(np.float32)
    expected = np.mean([audmetric.concordance_cc(truth[:, k], levels[:, k]) for k in range(3)])
    found = concordance_loss(torch.from_numpy(levels), torch.from_numpy(truth))
    assert float(found) == pytest.approx(1 - expected, abs=1e-4)


def test_a_network_learns_and_is_read_by_the_features(tmp_path):
    write_emotale(tmp_path / "emotale", speakers=2, sentences=3, seconds=0.3)
    utterances = read_emotion(EmotionData(str(tmp_path), "emotale", "emotale"))
    source = save_encoder(tmp_path / "encoder")
    settings = FineTuning(epochs=12, batch_size=6, learning_rate=5e-3)
    losses = fine_tune(utterances, str(source), tmp_path / "tuned", settings)
    assert len(losses) == 12 and losses[-1] < losses[0] - 0.05
    levels = make_extractor("e2e", FeatureSettings("end_to_end", source=str(tmp_path / "tuned")))
    assert levels.names == ("valence", "arousal", "dominance")
    assert levels.extract(np.sin(np.arange(4000) / 9), 16000).shape == (3,)
    # It can be taken up again, head and all.
    again = fine_tune(utterances, str(tmp_path / "tuned"), tmp_path / "more", FineTuning(1, 6, 1e-6))
    assert again[0] < losses[0]
    with pytest.raises(ConfigError, match="output: expected a folder that does not exist"):
        fine_tune(utterances, str(source), tmp_path / "tuned", settings)
    with pytest.raises(ConfigError, match="utterances: expected at least a batch of 6"):
        fine_tune(utterances[:3], str(source), tmp_path / "none", settings)


def test_the_command_leaves_speakers_out(tmp_path, capsys):
    write_emotale(tmp_path / "emotale", speakers=2, sentences=2, seconds=0.3)
    source = save_encoder(tmp_path / "encoder")
    command = ["--recipe", "speech_emotion", "--set", f"data.root={tmp_path}", "--source", str(source)]
    command += ["--epochs", "1", "--batch-size", "4", "-o", str(tmp_path / "tuned")]
    assert main([*command, "--leave-out", "009"]) == 2
    assert "--leave-out: expected speakers among ['001', '002'], got ['009']" in capsys.readouterr().err
    assert main([*command, "--leave-out", "001"]) == 0
    assert (tmp_path / "tuned" / "model.safetensors").exists()
    assert main([*command[:-1], str(tmp_path / "other"), "--leave-out", "001", "002"]) == 2
