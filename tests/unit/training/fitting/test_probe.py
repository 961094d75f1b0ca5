"""The probe: logistic regression on frozen features, its strength, and what its scores are of."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from training.artefact.artefact import Task
from training.data.data import LabelledImages
from training.fitting import probe, regression
from training.fitting.architectures import Classifier
from training.fitting.folds import folds_of
from training.fitting.held_out import HeldOut
from training.fitting.losses import loss_of
from training.fitting.probe import _groups, fit_probe
from training.fitting.regression import Regression

pytestmark = pytest.mark.unit

TASKS = [("single_label", 2), ("single_label", 3), ("multi_label", 3)]


def _split(task: Task, classes: int, count: int, seed: int) -> LabelledImages:
    """1 × 1 pictures whose three intensities decide their labels."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
    values = images[:, 0, 0, :classes].astype(np.float32) + draw.normal(0, 30, (count, classes))
    targets = (values > 128).astype(np.float32) if task == "multi_label" else values.argmax(1)
    return LabelledImages(images, targets, _rows(count, seed))


def _rows(count: int, seed: int) -> pa.Table:
    return pa.table({"group_id": [f"{seed}-{number}" for number in range(count)]})


def _fit(
    net: Classifier, task: Task, train: LabelledImages, val: LabelledImages
) -> tuple[list[dict[str, float]], HeldOut]:
    return fit_probe(
        net,
        task=task,
        train=train,
        val=val,
        progress=lambda done, total: None,
        report=lambda tried: None,
        bf16=False,
    )


def _features(*splits: LabelledImages) -> np.ndarray:
    return np.concatenate(
        [split.images.reshape(len(split), 3) for split in splits], dtype=np.float32
    )


@pytest.mark.parametrize(("task", "classes"), TASKS)
@pytest.mark.parametrize("few", [True, False])
def test_the_head_is_fitted_on_both_splits(
    task: Task, classes: int, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "FEW_IMAGES", 1000 if few else 0)
    net = Classifier(nn.Flatten(), 3, classes)
    train, val = _split(task, classes, 300, 1), _split(task, classes, 200, 2)
    history, held_out = _fit(net, task, train, val)
    least = min(history, key=lambda tried: tried["val_loss"])
    truth = torch.from_numpy(held_out.targets)
    loss = float(loss_of(torch.from_numpy(held_out.logits), truth, task))
    assert least["val_loss"] == pytest.approx(loss, abs=1e-6)
    assert least["val_accuracy"] > 0.5
    assert (held_out.folds, len(held_out.targets)) == ((5, 500) if few else (1, 200))

    features = (_features(train, val) / 255 - net.mean.numpy().ravel() / 255) / (
        net.std.numpy().ravel() / 255
    )
    mean, std = features.mean(0), features.std(0)
    targets = np.concatenate([train.targets, val.targets])
    columns = targets.T if task == "multi_label" else [targets]
    expected = []
    for column in columns:
        model = LogisticRegression(C=least["c"], max_iter=1000, tol=1e-8)
        expected.append(
            model.fit((features - mean) / std, column).predict_proba((features - mean) / std)
        )
    images = (
        torch.from_numpy(np.concatenate([train.images, val.images])).permute(0, 3, 1, 2).float()
    )
    with torch.no_grad():
        logits = net(images)
    if task == "multi_label":
        assert np.allclose(logits.sigmoid(), np.stack([p[:, 1] for p in expected], 1), atol=2e-3)
    else:
        assert np.allclose(logits.softmax(1), expected[0], atol=2e-3)


def test_held_out_logits_are_of_models_that_did_not_see_the_image() -> None:
    """Labels at random: whoever fitted on an image would know its label."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    net = Classifier(nn.Flatten(), 192, 2)
    targets = draw.integers(0, 2, 60)
    train = LabelledImages(images[:40], targets[:40], _rows(40, 1))
    val = LabelledImages(images[40:], targets[40:], _rows(20, 2))
    history, held_out = _fit(net, "single_label", train, val)
    accuracy = (held_out.logits.argmax(1) == held_out.targets).mean()
    assert held_out.folds == 5
    assert accuracy < 0.75
    groups = [*_groups(train).tolist(), *_groups(val).tolist()]
    known = dict(zip(groups, targets.tolist(), strict=True))
    assert sorted(held_out.groups.tolist()) == sorted(groups)
    assert [known[group] for group in held_out.groups.tolist()] == held_out.targets.tolist()
    assert np.bincount(held_out.fold).tolist() == [12] * 5
    assert all(tried["val_loss"] > 0.6 for tried in history)


def test_a_class_of_one_image_stops_no_fold() -> None:
    train = _split("single_label", 2, 30, 1)
    targets = train.targets.copy()
    targets[7] = 2
    net = Classifier(nn.Flatten(), 3, 3)
    val = _split("single_label", 2, 20, 2)
    history, held_out = _fit(
        net, "single_label", LabelledImages(train.images, targets, train.rows), val
    )
    assert np.isfinite(held_out.logits).all()
    assert np.isfinite(history[-1]["val_loss"])
    with torch.no_grad():
        pixels = torch.from_numpy(train.images[[7]]).permute(0, 3, 1, 2).float()
        assert torch.isfinite(net(pixels)).all()


def test_a_label_that_a_fold_lacks_stops_no_fold() -> None:
    train = _split("multi_label", 3, 30, 1)
    targets = train.targets.copy()
    targets[:, 2] = 0
    targets[3, 2] = 1
    net = Classifier(nn.Flatten(), 3, 3)
    val = _split("multi_label", 3, 20, 2)
    val = LabelledImages(val.images, np.where([True, True, False], val.targets, 0), val.rows)
    _, held_out = _fit(
        net,
        "multi_label",
        LabelledImages(train.images, targets.astype(np.float32), train.rows),
        LabelledImages(val.images, val.targets.astype(np.float32), val.rows),
    )
    assert np.isfinite(held_out.logits).all()


def test_no_fold_divides_a_group_and_each_image_is_held_out_once() -> None:
    groups = np.array([f"g{number // 4}" for number in range(200)])
    targets = np.arange(200) % 3
    folds = folds_of(targets, groups)
    assert len(folds) == 5
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(200))
    for fit_on, held in folds:
        assert not set(groups[fit_on]) & set(groups[held])
        assert len(fit_on) + len(held) == 200


def test_one_group_cannot_be_divided() -> None:
    assert folds_of(np.arange(4) % 2, np.array(["a"] * 4)) == []
    train, val = _split("single_label", 2, 60, 1), _split("single_label", 2, 40, 2)
    rows = pa.table({"group_id": ["one"] * 60})
    same = pa.table({"group_id": ["one"] * 40})
    _, held_out = _fit(
        Classifier(nn.Flatten(), 3, 2),
        "single_label",
        LabelledImages(train.images, train.targets, rows),
        LabelledImages(val.images, val.targets, same),
    )
    assert (held_out.folds, len(held_out.targets)) == (1, 40)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("many", [False, True])
def test_each_strength_gives_the_solution_whatever_was_fitted_before(
    classes: int, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "_MANY", 0 if many else 10**9)
    draw = np.random.default_rng(0)
    features = draw.normal(size=(400, 5)).astype(np.float32)
    targets = (features[:, :classes] + draw.normal(size=(400, classes))).argmax(1)
    path = Regression(targets, classes)
    for strength in (1e-3, 0.1, 10.0):
        linear = path.fit(features, strength)
        logits = linear.logits(features)
        given = np.exp(logits - logits.max(1, keepdims=True))
        expected = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(features, targets)
        found = given / given.sum(1, keepdims=True)
        assert np.allclose(found, expected.predict_proba(features), atol=2e-3)


@pytest.mark.parametrize("many", [False, True])
def test_a_class_without_images_is_improbable_but_possible(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "_MANY", 0 if many else 10**9)
    draw = np.random.default_rng(0)
    features = draw.normal(size=(100, 3)).astype(np.float32)
    linear = Regression((features[:, 0] > 0).astype(int), 3).fit(features, 1.0)
    logits = linear.logits(features)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert 0 < probabilities[:, 2].max() < 0.1


def test_a_fit_does_not_look_for_the_libraries_of_the_process_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = Regression(np.array([0, 1, 0, 1]), 2)
    features = np.array([[0], [1], [0], [1]], dtype=np.float32)
    fitted.fit(features, 1.0)

    def looked(*_: object) -> None:
        raise AssertionError("longer than a small fit")

    monkeypatch.setattr("threadpoolctl.ThreadpoolController.__init__", looked)
    fitted.fit(features, 2.0)
