"""Learning curves measured by refitting, on Gaussian clouds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelling.report.curve_report import CurveReport
from training.artefact.artefact import ArtefactManifest, Task
from training.curve.picture import draw_curves
from training.curve.points import FEW_DRAWS, FRACTIONS, Subsets
from training.curve.refit import Marks, Refit, marks_of
from training.curve.study import LEAST_RANDOM, MOST_IMAGES, Split, curve_report
from training.data.manifest import DatasetCard

pytestmark = pytest.mark.unit


def clouds(counts: list[int], *, spread: float, seed: int = 0) -> Split:
    """A cloud for each class, in 16 dimensions; the centres lie on a simplex."""
    rng = np.random.default_rng(seed)
    targets = np.repeat(np.arange(len(counts)), counts)
    centres = np.eye(len(counts), 16)
    features = centres[targets] + rng.normal(0, spread, (len(targets), 16))
    truth = np.eye(len(counts), dtype=bool)[targets]
    names = np.array([f"{seed}-{n}" for n in range(len(targets))])
    return Split(features.astype(np.float32), truth, names)


def several(n: int, *, seed: int) -> Split:
    """Each of three labels where its own feature is high, so that images have none to three; those
    of none get the first."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (n, 16)).astype(np.float32)
    truth = features[:, :3] + rng.normal(0, 0.5, (n, 3)) > 0.5
    truth[~truth.any(1), 0] = True
    return Split(features, truth, np.array([f"{seed}-{i}" for i in range(n)]))


def manifest(recipe: str = "probe", task: Task = "single_label", k: int = 3) -> ArtefactManifest:
    labels = tuple("abcdefghijklmnopqrst"[:k])
    return ArtefactManifest(
        task=task,
        labels=labels,
        input_size=32,
        dataset_version="d1",
        code_version="1",
        model_version="train-1",
        recipe=recipe,
        architecture="mobilenet_v2",
        opset=18,
        members={"model.onnx": "0", "model.pt": "0"},
        created_by="test",
        thresholds=dict.fromkeys(labels, 0.5) if task == "multi_label" else {},
    )


def studied(
    train: Split,
    held: Split,
    *,
    task: Task = "single_label",
    chosen: frozenset[str] = frozenset(),
    recipe: str = "probe",
    most: int = MOST_IMAGES,
) -> CurveReport:
    about = manifest(recipe, task, train.truth.shape[1])
    return curve_report(
        train,
        held,
        card=DatasetCard(task=task, labels=about.labels),
        dataset_version="d1",
        manifest=about,
        chosen=chosen,
        tell=lambda done, total: None,
        most=most,
    )


def error(labels: float) -> float:
    """A power law: 0.15 with 10,000 labels, 0.10 with 40,000."""
    return float(0.05 + 0.1 * (labels / 10_000) ** -0.5)


class LawAbiding:
    """In the place of ``Refit``: scores follow a law of how many images there are, F1 of how many
    of the class; NaN if no held-out image is of it."""

    def __init__(
        self,
        features: np.ndarray,
        truth: np.ndarray,
        held: np.ndarray,
        held_truth: np.ndarray,
        task: Task,
    ) -> None:
        self._truth, self._known = truth, held_truth.any(0)

    def marks(self, chosen: np.ndarray) -> Marks:
        wiggle = 1e-5 * np.sin(float(chosen.sum()))  # draws that are all the same are no draws
        f1 = [1 - error(4 * n) + wiggle if n else 0.0 for n in self._truth[chosen].sum(0)]
        return Marks(1 - error(len(chosen)) + wiggle, np.where(self._known, f1, np.nan))


@pytest.fixture
def law_abiding(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what a report says around its scores: nothing is fitted."""
    monkeypatch.setattr("training.curve.study.Refit", LawAbiding)


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each subset is drawn as often as from many images."""
    monkeypatch.setattr("training.curve.points.DRAWS", FEW_DRAWS)


@pytest.fixture(scope="module")
def report() -> CurveReport:
    train = clouds([120, 120, 60], spread=0.6)
    return studied(train, clouds([200, 200, 200], spread=0.6, seed=1))


def test_the_score_grows_with_the_labels(report: CurveReport) -> None:
    assert report.points.sizes == [*(round(f * 300) for f in FRACTIONS), 300]
    means = [np.mean(scores) for scores in report.points.scores]
    assert means[0] < means[-1]
    assert report.points.scores[-1] == [report.score]
    assert report.forecast[-1].labels == 600


def test_half_of_the_labels_foretell_all_of_them(report: CurveReport) -> None:
    assert report.backtest is not None
    assert report.backtest.labels == 150
    assert report.backtest.score == report.score
    assert report.backtest.foretold.value == pytest.approx(report.score, abs=0.05)


def test_every_class_is_told_of_the_worst_first(report: CurveReport) -> None:
    assert sorted(one.label for one in report.classes) == ["a", "b", "c"]
    assert [one.f1 for one in report.classes] == sorted(one.f1 for one in report.classes)
    assert {one.label: one.labels for one in report.classes} == {"a": 120, "b": 120, "c": 60}
    for one in report.classes:
        assert one.more <= one.labels
        assert (one.gain is None) == bool(one.why_not)


def test_the_report_outlives_its_file(report: CurveReport) -> None:
    assert CurveReport.model_validate_json(report.model_dump_json()) == report


def test_the_same_data_gives_the_same_report(report: CurveReport) -> None:
    train = clouds([120, 120, 60], spread=0.6)
    assert studied(train, clouds([200, 200, 200], spread=0.6, seed=1)) == report


def test_it_can_be_drawn(report: CurveReport, tmp_path: Path) -> None:
    draw_curves(tmp_path / "curve.png", report)
    assert Image.open(tmp_path / "curve.png").width > 600


def test_several_labels_an_image(few_draws: None) -> None:
    found = studied(several(200, seed=0), several(300, seed=1), task="multi_label")
    assert found.score_name == "macro-F1"
    assert 0.5 < found.score < 1
    assert any("one half" in note for note in found.notes)


def test_images_of_the_queue_that_allow_no_comparison_are_counted(law_abiding: None) -> None:
    train = clouds([200, 200], spread=0.6)
    held = clouds([300, 300], spread=0.6, seed=1)
    nothing = studied(train, held).saved
    assert (nothing.chosen, nothing.random) == (0, 400)
    assert "nothing yet" in nothing.why_not
    few = studied(train, held, chosen=frozenset(train.sha256[LEAST_RANDOM - 1 :])).saved
    assert f"only {LEAST_RANDOM - 1}" in few.why_not


def test_images_of_the_queue_are_compared_with_random_order(few_draws: None) -> None:
    train = clouds([200, 200], spread=0.6)
    held = clouds([300, 300], spread=0.6, seed=1)
    half = studied(train, held, chosen=frozenset(train.sha256[::2])).saved
    assert (half.chosen, half.random) == (200, 200)
    assert half.points is not None
    assert half.points.sizes[-1] == 200


def test_of_a_sample_everything_is_said_of_all_images(law_abiding: None) -> None:
    train = clouds([10_000] * 4, spread=0.6)
    chosen = frozenset(train.sha256[::2].tolist())
    found = studied(train, clouds([9] * 4, spread=0.6), chosen=chosen)
    assert (found.labels, found.measured, found.more) == (40_000, 10_000, 5000)
    assert found.gain is not None
    assert found.gain.value == pytest.approx(error(40_000) - error(45_000), abs=2e-4)
    assert found.forecast[-1].labels == 80_000
    for one in found.classes:
        assert (one.labels, one.more) == (10_000, 5000)
        assert one.gain is not None
        assert one.gain.value == pytest.approx(error(40_000) - error(60_000), abs=2e-3)
    assert (found.saved.chosen, found.saved.random) == (20_000, 20_000)
    assert "10,000 of 40,000" in found.saved.why_not
    assert any("10,000 of 40,000" in note for note in found.notes)


def test_of_far_too_many_images_nothing_is_foretold(law_abiding: None) -> None:
    found = studied(clouds([300, 300], spread=0.6), clouds([50, 50], spread=0.6, seed=1), most=50)
    assert (found.labels, found.measured) == (600, 50)
    assert found.gain is None
    assert "50 of 600" in found.why_not
    assert found.forecast[-1].labels == 100


def test_a_class_that_no_held_out_image_has_is_named(few_draws: None) -> None:
    train = clouds([100, 100, 5], spread=0.5)
    held = clouds([100, 100, 0], spread=0.5, seed=1)
    rare = next(one for one in studied(train, held).classes if one.label == "c")
    assert rare.gain is None
    assert "validation or test" in rare.why_not


def test_a_class_of_too_few_images_is_named_with_what_it_lacks(law_abiding: None) -> None:
    train = clouds([100, 100, 5], spread=0.5)
    held = clouds([100, 100, 20], spread=0.5, seed=1)
    rare = next(one for one in studied(train, held).classes if one.label == "c")
    assert rare.why_not == "5 images; it takes 20"


def test_a_handful_of_images_gives_a_report_that_says_so() -> None:
    found = studied(clouds([3, 3], spread=0.5), clouds([2, 2], spread=0.5, seed=1))
    assert found.gain is None
    assert found.why_not
    assert found.backtest is None


def test_features_that_were_trained_on_these_images_are_told_of(law_abiding: None) -> None:
    train, held = clouds([60, 60], spread=0.6), clouds([50, 50], spread=0.6, seed=1)
    assert any("finetune" in note for note in studied(train, held, recipe="finetune").notes)


def test_of_many_classes_the_worst_are_shown_and_the_rest_named(law_abiding: None) -> None:
    train = clouds([8] * 15, spread=0.4)
    found = studied(train, clouds([8] * 15, spread=0.4, seed=1))
    assert len(found.classes) == 12
    assert len(found.not_shown) == 3


def test_a_class_that_a_subset_lacks_is_never_the_answer() -> None:
    train, held = clouds([50, 50, 50], spread=0.3), clouds([20, 20, 20], spread=0.3, seed=1)
    refit = Refit(train.features, train.truth, held.features, held.truth, "single_label")
    assert refit.marks(np.arange(100)).f1[2] == 0
    assert refit.marks(np.arange(50)).score == pytest.approx(1 / 3)


def test_the_order_of_a_subset_does_not_matter() -> None:
    train, held = clouds([50, 50], spread=0.6), clouds([50, 50], spread=0.6, seed=1)
    refit = Refit(train.features, train.truth, held.features, held.truth, "single_label")
    subsets = Subsets(refit, train.truth)
    order = np.random.default_rng(0).permutation(100)
    assert subsets.marks(order).score == subsets.marks(np.arange(100)).score


def test_marks_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    truth, decided = rng.random((50, 4)) > 0.6, rng.random((50, 4)) > 0.6
    found = marks_of(decided, truth, "multi_label")
    assert found.f1 == pytest.approx(f1_score(truth, decided, average=None))
    assert found.score == pytest.approx(f1_score(truth, decided, average="macro"))
