"""Weakly labelled and unlabelled clips: what is pooled, what the teacher is, what each kind of clip trains."""

import csv
import dataclasses

import numpy as np
import official_layouts as official
import pytest

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("lightning", reason="training needs the train extra")

import torch

from streamsed.errors import ConfigError, FormatError
from streamsed.tagging import pooled
from training.augment import AugmentConfig
from training.features import SceneItem, Split, prepare
from training.labelled import STRONG, UNLABELLED, WEAK, LabelledScene, SupervisionShares
from training.losses import LossConfig, frame_loss
from training.module import SoundEventModule, encode
from training.recipe import NetSettings, load_recipe
from training.recordings import RecordingSettings, recording_source
from training.scene_batch import augmented, strong_frames, valid_frames
from training.scenes import scene_maker
from training.schedule import MEAN_TEACHER_DECAY, Schedule, factor
from training.source import scene_source
from training.train import load_trained, train
from training.weak.config import WeakConfig
from training.weak.pooling import ClipPooling
from training.weak.sampler import BalancedSampler
from training.weak.task import WeakTask, ramp
from training.weak.teacher import MeanTeacher

# Lightning warns of few workers, few batches and of its own use of torch.
pytestmark = pytest.mark.filterwarnings("ignore")

BATCH, FRAMES, CLASSES = 6, 20, 2


@pytest.fixture(scope="module")
def weak_recipe(tiny_recipe):
    """Half of the tiny recipe's scenes with labels of the clip, nothing known of the others."""
    return dataclasses.replace(
        tiny_recipe,
        data=dataclasses.replace(tiny_recipe.data, supervision=SupervisionShares(0.0, 0.5)),
        weak=WeakConfig(weak=4, unlabelled=4, batches=6, decay=0.9, teacher_snr_db=30.0),
        train=dataclasses.replace(tiny_recipe.train, epochs=6, ema_decay=0.0),
    )


@pytest.fixture(scope="module")
def weak_run(weak_recipe, tmp_path_factory):
    """A training that nothing interrupted."""
    run = tmp_path_factory.mktemp("weak") / "whole"
    train(weak_recipe, run)
    return run


def batch_of(supervision=(STRONG, WEAK, UNLABELLED) * 2, frames=(20, 20, 20, 7, 12, 20)):
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand((BATCH, FRAMES, CLASSES), generator=generator) > 0.7).float()
    supervision, frames = torch.tensor(supervision, dtype=torch.int8), torch.tensor(frames)
    item = SceneItem(
        torch.randn((BATCH, 2 * FRAMES, 16), generator=generator) - 9.0,
        targets,
        targets.amax(dim=1),
        supervision,
        frames,
    )
    kept = valid_frames(item, FRAMES)
    return item._replace(targets=targets * kept[..., None])


@pytest.mark.parametrize("pooling", ["linear_softmax", "max", "mean"])
def test_poolings_are_those_of_the_runtime_and_leave_out_what_the_clip_does_not_fill(pooling):
    generator = torch.Generator().manual_seed(1)
    posteriors = torch.rand((BATCH, FRAMES, CLASSES), generator=generator)
    valid = valid_frames(batch_of(), FRAMES)
    found = ClipPooling(pooling, 3, CLASSES)(posteriors, valid, torch.zeros(BATCH, FRAMES, 3))
    for row in range(BATCH):
        expected = pooled(posteriors[row].numpy(), valid[row].numpy().astype(np.float32), pooling)
        np.testing.assert_allclose(found[row], expected, rtol=1e-5)
    filled = torch.where(valid[..., None], posteriors, 1.0)
    again = ClipPooling(pooling, 3, CLASSES)(filled, valid, torch.zeros(BATCH, FRAMES, 3))
    assert torch.equal(again, found)


def test_linear_softmax_is_equation_one_and_zero_of_silence():
    posteriors = torch.tensor([[[0.8], [0.2], [0.0]], [[0.0], [0.0], [0.9]]])
    valid = torch.tensor([[True, True, True], [True, True, False]])
    found = ClipPooling("linear_softmax", 1, 1)(posteriors, valid, torch.zeros(2, 3, 1))
    assert found.ravel().tolist() == pytest.approx([(0.64 + 0.04) / 1.0, 0.0])


def test_attention_is_a_mean_of_the_frames_that_count():
    torch.manual_seed(0)
    pooling, valid = ClipPooling("attention", 3, CLASSES), valid_frames(batch_of(), FRAMES)
    posteriors, features = torch.rand(BATCH, FRAMES, CLASSES), torch.randn(BATCH, FRAMES, 3)
    found = pooling(posteriors, valid, features)
    weights = torch.softmax(pooling.attention.head(features), dim=-1)
    row, count = 3, 7
    weight = weights[row, :count]
    expected = (posteriors[row, :count] * weight).sum(0) / weight.sum(0)
    torch.testing.assert_close(found[row], expected)


def test_the_teacher_is_the_mean_of_the_steps_and_has_the_buffers_of_the_last():
    torch.manual_seed(0)
    student = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    teacher = MeanTeacher({"net": student}, decay=0.75)
    expected = None
    for step in range(6):
        with torch.no_grad():
            student[0].weight.normal_()
        student(torch.randn(8, 3))
        teacher.update({"net": student})
        weight = max(0.25, 1 / (step + 1))
        value = student[0].weight.detach().clone()
        expected = value if expected is None else (1 - weight) * expected + weight * value
    part = teacher.parts["net"]
    torch.testing.assert_close(part[0].weight, expected)
    assert torch.equal(part[1].running_var, student[1].running_var)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert {"steps", "parts.net.0.weight", "parts.net.1.running_mean"} <= set(teacher.state_dict())


def test_batches_have_what_they_are_said_to_and_every_clip_has_its_turn():
    supervision = np.array([WEAK] * 5 + [UNLABELLED] * 20 + [STRONG] * 3, np.int8)
    config = WeakConfig(weak=2, unlabelled=3, strong=1, batches=0)
    sampler = BalancedSampler(config, supervision, seed=1)
    drawn = np.array(list(sampler)).reshape(-1, config.batch_size)
    assert len(drawn) == 7 and len(sampler) == 42
    for batch in drawn:
        assert np.bincount(supervision[batch], minlength=3).tolist() == [1, 2, 3]
    assert set(drawn.ravel()) == set(range(28))
    assert list(sampler) == drawn.ravel().tolist()
    sampler.set_epoch(1)
    assert list(sampler) != drawn.ravel().tolist()
    assert len(BalancedSampler(dataclasses.replace(config, batches=2), supervision, 1)) == 12


@pytest.mark.parametrize(
    ("supervision", "message"),
    [
        ([STRONG] * 9, r"weak.weak: expected 0, or at least one clip that is weak among the 9 of training"),
        ([WEAK] * 4, "weak.unlabelled: expected 0, or at least one clip that is unlabelled"),
    ],
)
def test_kinds_of_clips_that_are_not_there_are_named(supervision, message):
    with pytest.raises(ConfigError, match=message):
        BalancedSampler(WeakConfig(weak=2, unlabelled=2), np.array(supervision, np.int8), 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weak": 0}, "weak, strong: expected clips with labels"),
        ({"mean_teacher": False}, "unlabelled: expected 0 without a mean teacher"),
        ({"pooling": "median"}, "pooling: expected one of"),
        ({"decay": 1.0}, r"decay: expected in \[0, 1\)"),
        ({"unlabelled": 0, "mean_teacher": False, "teacher_snr_db": 3.0}, "teacher_snr_db: expected none"),
        ({"consistency_weight": float("nan")}, "consistency_weight: expected finite"),
    ],
)
def test_settings_that_make_no_sense(values, message):
    with pytest.raises(ConfigError, match=message):
        WeakConfig(**values)


def test_shares_of_scenes_are_nested_and_follow_from_the_number():
    weak, strong = SupervisionShares(0.0, 0.25), SupervisionShares(0.25, 0.0)
    found = [weak.of(index) for index in range(1000)]
    assert 200 < found.count("weak") < 300 and found.count("strong") == 0
    assert [name == "weak" for name in found] == [strong.of(index) == "strong" for index in range(1000)]
    apart = SupervisionShares(0.0, 0.25, 0.25, (1,))
    assert [apart.is_apart(index) for index in range(1000)] == [name == "weak" for name in found]
    with pytest.raises(ConfigError, match="apart, apart_folds: expected both or neither"):
        SupervisionShares(apart=0.5)
    for values, message in (
        ((0.8, 0.3), "strong, weak"),
        ((-0.1, 0.5), "strong: expected"),
        ((0.0, 0.0), "sum"),
    ):
        with pytest.raises(ConfigError, match=message):
            SupervisionShares(*values)


def test_a_scene_has_no_more_than_what_is_known_of_it():
    events = [(0.0, 1.0, "low"), (2.0, 3.0, "low")]
    scene = LabelledScene(np.zeros(4, np.float32), events)
    assert scene.tags == {"low"}
    weak = scene.known_as("weak")
    assert (weak.events, weak.tags) == ([], {"low"})
    assert weak.known_as("unlabelled").tags == frozenset()
    with pytest.raises(ConfigError, match="supervision: expected no more than weak, got 'strong'"):
        weak.known_as("strong")
    with pytest.raises(ConfigError, match="events: expected none of a scene that is weak"):
        LabelledScene(scene.samples, events, "weak")


def test_features_hold_what_is_told_and_are_mixed_once(tiny_recipe, weak_recipe, monkeypatch):
    everything = prepare(tiny_recipe, Split.TRAIN)
    assert set(prepare(weak_recipe, Split.VALIDATION).labels.supervision) == {STRONG}
    monkeypatch.setattr("training.features._compute", lambda *_: pytest.fail("mixed again"))
    told, source = prepare(weak_recipe, Split.TRAIN), scene_source(weak_recipe, "train")
    for index in range(12):
        item, scene = told[index], source.make(index)
        assert {weak_recipe.labels[k] for k in np.flatnonzero(item.tags)} == scene.tags
        assert item.supervision == {"weak": WEAK, "unlabelled": UNLABELLED}[scene.supervision]
        assert not item.targets.any()
        assert torch.equal(item.log_mel, everything[index].log_mel)


def test_scenes_apart_share_no_recording_with_the_others(weak_recipe):
    shares = SupervisionShares(0.0, 0.5, 0.5, (1,))
    recipe = dataclasses.replace(weak_recipe, data=dataclasses.replace(weak_recipe.data, supervision=shares))
    maker, source = scene_maker(recipe, "train"), scene_source(recipe, "train")
    labelled, others = (
        {name for name, *_ in maker.fingerprint()[side]["clips"]} for side in ("apart", "others")
    )
    assert labelled and others and not labelled & others
    everything = {name for name, *_ in scene_maker(weak_recipe, "train").fingerprint()["clips"]}
    assert labelled | others == everything
    for index in range(8):
        scene = source.make(index)
        side = maker._apart if scene.supervision == "weak" else maker._others
        np.testing.assert_array_equal(scene.samples, side.make(index).samples)
    data = dataclasses.replace(recipe.data, supervision=SupervisionShares(0.0, 0.5, 0.5, (1, 2, 3)))
    with pytest.raises(ConfigError, match="apart_folds: expected some of train_folds"):
        scene_maker(dataclasses.replace(recipe, data=data), "train")


def test_scenes_are_mixed_up_with_those_that_as_much_is_known_of():
    item = batch_of()
    always = AugmentConfig(overlay_probability=1.0, digital_silence_probability=0.0)
    moved = 0
    for seed in range(8):
        changed, _ = augmented(item, always, 1e-8, torch.Generator().manual_seed(seed))
        for row in range(BATCH):
            partners = [other for other in range(BATCH) if item.supervision[other] == item.supervision[row]]
            options = [
                (
                    torch.maximum(item.targets[row], item.targets[other]),
                    torch.maximum(item.tags[row], item.tags[other]),
                    max(item.frames[row], item.frames[other]),
                )
                for other in partners
            ]
            assert any(
                torch.equal(changed.targets[row], targets)
                and torch.equal(changed.tags[row], tags)
                and changed.frames[row] == frames
                for targets, tags, frames in options
            )
            moved += not torch.equal(changed.targets[row], item.targets[row])
    assert moved > 8


def task_of(recipe, **values):
    torch.manual_seed(0)
    module = SoundEventModule(recipe, torch.full((16,), -9.0), torch.ones(16))
    config = WeakConfig(weak=2, unlabelled=2, strong=2, **values)
    return module.net, WeakTask(config, module.net, CLASSES, encode, frame_loss(LossConfig()))


def losses(recipe, item, step=0, **values):
    net, task = task_of(recipe, **values)
    torch.manual_seed(1)
    return task.losses(net, item, step, 0.0, torch.Generator().manual_seed(2))


def test_every_term_learns_from_the_clips_that_it_is_about(tiny_recipe):
    item = batch_of()
    found = losses(tiny_recipe, item)
    assert set(found) == {"clip", "frame", "clip_consistency", "frame_consistency"}
    unknown = item.supervision == UNLABELLED
    other = item._replace(
        tags=torch.where(unknown[:, None], 1 - item.tags, item.tags),
        targets=torch.where((item.supervision != STRONG)[:, None, None], 1 - item.targets, item.targets),
    )
    assert losses(tiny_recipe, other) == found
    # What follows on a short clip is no part of it.
    later = item._replace(targets=torch.where(valid_frames(item, FRAMES)[..., None], item.targets, 1.0))
    assert losses(tiny_recipe, later) == found
    weak = item._replace(tags=torch.where((item.supervision == WEAK)[:, None], 1 - item.tags, item.tags))
    changed = losses(tiny_recipe, weak)
    assert [name for name in found if changed[name] != found[name]] == ["clip"]
    strong = item._replace(targets=1 - item.targets)
    changed = losses(tiny_recipe, strong)
    assert [name for name in found if changed[name] != found[name]] == ["frame"]


def test_terms_are_the_published_ones(tiny_recipe):
    item = batch_of()
    recipe = dataclasses.replace(
        tiny_recipe, net=dataclasses.replace(tiny_recipe.net, shape={**tiny_recipe.net.shape, "dropout": 0.0})
    )
    net, task = task_of(recipe)
    # Another network than the student: batch norm alone makes no difference between them.
    for parameter in task.teacher.parts.parameters():
        parameter.data.add_(0.05)
    teacher = task.listen(task.teacher.parts["net"], item, task.teacher.parts["pooling"])
    student = task.listen(net, item)
    found = task.losses(net, item, 0, 0.0, torch.Generator())
    weak, kept = item.supervision == WEAK, student.valid
    expected = torch.nn.functional.binary_cross_entropy(student.clip[weak], item.tags[weak])
    torch.testing.assert_close(found["clip"], expected)
    frames = strong_frames(item, FRAMES)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        student.logits[frames], item.targets[frames]
    )
    torch.testing.assert_close(found["frame"], expected)
    expected = 2.0 * (student.clip - teacher.clip).square().mean()
    torch.testing.assert_close(found["clip_consistency"], expected)
    expected = 2.0 * (student.posteriors - teacher.posteriors)[kept].square().mean()
    torch.testing.assert_close(found["frame_consistency"], expected)
    gradient = torch.autograd.grad(sum(found.values()), list(net.parameters()), allow_unused=True)
    assert all(item is not None for item in gradient)


def test_dropout_and_noise_make_teacher_and_student_differ(tiny_recipe):
    item = batch_of()
    assert losses(tiny_recipe, item)["frame_consistency"] > 0
    still = dataclasses.replace(
        tiny_recipe, net=dataclasses.replace(tiny_recipe.net, shape={**tiny_recipe.net.shape, "dropout": 0.0})
    )
    assert losses(still, item)["frame_consistency"] == 0
    assert losses(still, item, teacher_snr_db=10.0)["frame_consistency"] > 0
    # The ramp is of the consistency alone.
    early, late = (losses(tiny_recipe, item, step, consistency_ramp=10) for step in (0, 10))
    assert early["clip"] == late["clip"]
    assert float(early["frame_consistency"] / late["frame_consistency"]) == pytest.approx(
        np.exp(-5), rel=1e-5
    )
    assert [ramp(step, 0) for step in (0, 5)] == [1.0, 1.0]


def test_learning_rate_goes_as_published():
    rates = [
        factor(Schedule.MEAN_TEACHER, step, 50_000, 12_500) for step in (0, 6250, 12_500, 12_501, 20_000)
    ]
    expected = [np.exp(-5), np.exp(-1.25), 1.0, MEAN_TEACHER_DECAY, MEAN_TEACHER_DECAY**7500]
    assert rates == pytest.approx(expected)


def test_clips_without_times_train_a_detector(weak_recipe, weak_run):
    with next(weak_run.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    clip = [float(row["train/clip_loss"]) for row in rows if row["train/clip_loss"]]
    assert clip[-1] < 0.95 * clip[0]
    assert [row for row in rows if row["train/frame_consistency_loss"]]
    assert not [row for row in rows if row.get("train/frame_loss")]
    module = load_trained(weak_recipe, weak_run)
    assert int(module.weak.teacher.steps) == 36
    teacher, student = module.weak.teacher.parts["net"], module.net
    assert torch.equal(teacher.blocks[0].norm.running_mean, student.blocks[0].norm.running_mean)
    assert not torch.equal(teacher.head.weight, student.head.weight)
    assert max(float(row["val/clip_f1_micro"]) for row in rows if row["val/clip_f1_micro"]) > 0.5


def test_an_interrupted_training_has_the_same_student_and_teacher(
    weak_recipe, weak_run, tmp_path, monkeypatch
):
    original = SoundEventModule.training_step

    def cut(self, batch, index):
        if self.current_epoch == 3 and index == 3:
            raise RuntimeError("power cut")
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SoundEventModule, "training_step", cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(weak_recipe, tmp_path)
    train(weak_recipe, tmp_path)
    expected = load_trained(weak_recipe, weak_run).state_dict()
    resumed = load_trained(weak_recipe, tmp_path).state_dict()
    assert any(name.startswith("weak.teacher.parts.net.") for name in expected)
    for name, value in expected.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=1e-7, msg=name)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("baseline_crnn", {"filters": (4, 4), "pool_frames": (2, 2), "pool_bands": (4, 2), "sod_outputs": 0}),
        ("duration_crnn", {"filters": (4, 4), "pool_bands": (4, 2), "dense": 4}),
    ],
)
def test_other_networks_with_mixup_averaging_and_all_kinds_of_clips(tiny_recipe, tmp_path, kind, shape):
    recipe = dataclasses.replace(
        tiny_recipe,
        net=NetSettings(kind, {**shape, "hidden": 4}),
        data=dataclasses.replace(
            tiny_recipe.data,
            train_scenes=12,
            validation_scenes=2,
            supervision=SupervisionShares(0.3, 0.4),
        ),
        weak=WeakConfig(weak=2, unlabelled=1, strong=1, batches=2, pooling="attention"),
        train=dataclasses.replace(tiny_recipe.train, epochs=1, schedule="mean_teacher", warm_up_steps=2),
        augment=dataclasses.replace(tiny_recipe.augment, mixup_probability=0.5),
    )
    train(recipe, tmp_path)
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        found = {name for row in csv.DictReader(file) for name, value in row.items() if value}
    terms = ("clip", "frame", "clip_consistency", "frame_consistency")
    assert {f"train/{name}_loss" for name in terms} <= found
    load_trained(recipe, tmp_path)


def test_what_has_no_use_for_weak_labels_says_so(tiny_recipe, weak_recipe, tmp_path):
    strong = dataclasses.replace(weak_recipe, weak=None)
    with pytest.raises(ConfigError, match=r"data.supervision: expected strong = 1 without \[weak\]"):
        prepare(strong, Split.TRAIN)
    with pytest.raises(ConfigError, match=r"weak.weak: expected 0, or at least one clip that is weak"):
        train(dataclasses.replace(tiny_recipe, weak=weak_recipe.weak), tmp_path)
    shape = {"filters": (4, 4), "pool_frames": (2, 2), "pool_bands": (4, 2), "hidden": 4, "causal": True}
    with pytest.raises(ConfigError, match="weak: expected none with a SOD head"):
        SoundEventModule(
            dataclasses.replace(weak_recipe, net=NetSettings("baseline_crnn", shape)),
            torch.zeros(16),
            torch.ones(16),
        )


DESED = RecordingSettings(
    "desed",
    "desed",
    split="subset",
    train_subsets=("train/weak", "train/unlabel_in_domain", "train/audioset_strong"),
    test_subsets=("train/synthetic21_train/soundscapes",),
    validation=0.0,
    seconds=2.5,
)


def test_every_kind_of_official_clip_is_read_padded_and_masked(tmp_path):
    root = official.write_desed(tmp_path / "desed")
    source = recording_source(DESED, root, 16000, "train", strong_only=False)
    scenes = [source.make(index) for index in range(len(source))]
    assert sorted(scene.supervision for scene in scenes) == ["strong", "unlabelled", "weak"]
    assert {scene.supervision: scene.tags for scene in scenes} == {
        "weak": {"Speech", "Vacuum_cleaner"},
        "unlabelled": frozenset(),
        "strong": {"Vacuum_cleaner"},
    }
    recipe = load_recipe("weak_labels_scenes", ["data.workers=1", f"data.root={root}"])
    data = dataclasses.replace(
        recipe.data,
        recordings=DESED,
        clips=(),
        supervision=SupervisionShares(),
        cache=str(tmp_path / "cache"),
    )
    features = prepare(
        dataclasses.replace(recipe, data=data, labels=("Speech", "Vacuum_cleaner")), Split.TRAIN
    )
    total = features[0].targets.shape[0]
    for item in features:
        # 2 s of 2.5 s, less what the last window lacks.
        assert 0.75 * total <= item.frames <= 0.8 * total
        assert (item.log_mel[-1] < np.log(1e-7)).all()
    assert sum(bool(item.targets.any()) for item in features) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("missing.wav", "Speech"), r"missing.wav: no such file; .*weak.tsv:3 lists it"),
        ((f"{official.OTHER_VIDEO}.wav", "Unicorn"), r"weak.tsv:3: label 'Unicorn' is not in the label map"),
    ],
)
def test_label_files_that_are_wrong_are_named(tmp_path, row, message):
    root = official.write_desed(tmp_path / "desed")
    if "missing" not in row[0]:
        official.write_audio(root / "audio/train/weak_16k" / row[0], 2.0)
    table = root / "metadata/train/weak.tsv"
    table.write_text(table.read_text() + "\t".join(row) + "\n")
    with pytest.raises(FormatError, match=message):
        recording_source(DESED, root, 16000, "train", strong_only=False)


def test_clips_without_any_times_train_alone(tmp_path):
    root = official.write_desed(tmp_path / "desed")
    settings = dataclasses.replace(DESED, train_subsets=DESED.train_subsets[:2], test_subsets=())
    source = recording_source(settings, root, 16000, "train", strong_only=False)
    assert {source.make(index).supervision for index in range(len(source))} == {"weak", "unlabelled"}
    with pytest.raises(ConfigError, match="expected at least one of 2 recordings for test, got 0"):
        recording_source(settings, root, 16000, "test", strong_only=False)


def test_validation_stays_strong(tmp_path):
    root = official.write_desed(tmp_path / "desed")
    settings = dataclasses.replace(
        DESED, validation_subsets=("train/weak",), train_subsets=DESED.train_subsets[1:]
    )
    with pytest.raises(
        ConfigError, match=r"data.recordings.subsets: expected parts with strong labels for validation"
    ):
        recording_source(settings, root, 16000, "validation", strong_only=False)
