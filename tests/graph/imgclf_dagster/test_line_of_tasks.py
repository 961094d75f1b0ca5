"""The line from pictures to production for several labels an image, and for two classes."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assets.release.verdicts import STAGING_CHECKS
from tests.testbed.account import aws_section

pytestmark = pytest.mark.graph

SETTINGS = {
    "training": {
        "recipe": "scratch",
        "image_size": 16,
        "epochs": 8,
        "batch_size": 8,
        "learning_rate": 0.01,
        "augmentation": "none",
    },
    "gates": {"max_calibration_error": 0.5, "max_staging_latency_ms": 5000.0},
    "split": {"train": 0.6, "val": 0.2, "test": 0.2},
}
LINE = ("raw_images", "annotations", "dataset", "trained_model", "evaluation_report")


def to_production(shop: Any, *asked: bytes) -> tuple[dict[str, Any], Any, list[Any]]:
    """Take what lies in the store to production.

    Returns:
        The metadata of the evaluation, the package, and the labels that production predicts for the
        pictures ``asked``.
    """
    done = shop.run(*LINE)
    assert done.success, done.why
    assert all(done.checks.values()), done.checks
    version = done.metadata("trained_model")["model_version"]
    with shop.endpoints.hosting(log_file=shop.home / "host.log"):
        staged = shop.run("registered_package", "staging_endpoint", partition=version)
        assert staged.success, staged.why
        assert staged.checks == dict.fromkeys(STAGING_CHECKS, True)
        package = shop.registry.get(version)
        given = {"approved_by": "ann", "reason": "good", "digest": package.digest}
        released = shop.run(
            "release_approval",
            "prod_endpoint",
            partition=version,
            config={"ops": {"release_approval": {"config": given}}},
        )
        assert released.success, released.why
        answers = [
            shop.endpoints.invoke("prod", picture, "image/png")["predictions"][0]["predicted"]
            for picture in asked
        ]
    shop.card = staged.metadata("registered_package")["model card"]
    return done.metadata("evaluation_report"), package, answers


@pytest.fixture
def shaded(pattern: Callable[[int], np.ndarray]) -> Callable[..., bytes]:
    """``shaded(seed, *labels)``: a picture whose bright channels are its labels."""

    def make(seed: int, *labels: str) -> bytes:
        levels = [200 if name in labels else 50 for name in ("red", "green", "blue")]
        pixels = np.array(levels)[None, None] + 45 * pattern(seed)[..., None]
        file = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    return make


def test_several_labels_an_image_from_pictures_to_production(
    aws_settings: None,
    bed: Any,
    open_shop: Callable[..., Any],
    shaded: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    """On profile aws, with images of none of the labels."""
    aws = {"profile": "aws", "aws": aws_section(bed)}
    shop = open_shop(tmp_path / "home", **SETTINGS, **aws, labels={"task": "multi_label"})
    kinds = [(), ("red",), ("green",), ("red", "blue"), ("green", "blue"), ("blue",)]
    for number in range(72):
        labels = kinds[number % len(kinds)]
        shop.label(shop.add(f"{number:03d}.png", shaded(number, *labels)), *labels)
    asked = shaded(900, "red", "blue"), shaded(901)
    shown, package, (both, none) = to_production(shop, *asked)
    assert shown["accuracy_is"] == "subset accuracy"
    assert shown["accuracy"] > 0.6
    assert shown["mean_average_precision"] > 0.8
    assert shown["micro_f1_low"] < shown["micro_f1"] <= shown["micro_f1_high"]
    assert "threshold" in shown["scores_by_class"]
    assert "too few" in shown["certainty"]
    assert (package.task, set(package.labels)) == ("multi_label", {"red", "green", "blue"})
    assert "any number of labels of: " in shop.card
    assert (set(both), none) == ({"red", "blue"}, [])


def test_two_classes_from_pictures_to_production(
    open_shop: Callable[..., Any], shaded: Callable[..., bytes], tmp_path: Path
) -> None:
    shop = open_shop(tmp_path / "home", **SETTINGS)
    for number in range(45):
        label = "scratch" if number % 3 == 0 else "ok"
        picture = shaded(number, "red" if label == "scratch" else "green")
        shop.add(f"{number:03d}.png", picture, label)
    asked = shaded(900, "red"), shaded(901, "green")
    shown, package, answers = to_production(shop, *asked)
    assert shown["accuracy_is"] == "accuracy"
    assert shown["roc_auc"] > 0.8
    assert "scratch from a probability of" in shown["scores_by_threshold"]
    assert "(data:image/" in shown["roc_and_precision_recall"]
    assert package.task == "single_label"
    assert "exactly one label of: ok, scratch" in shop.card
    assert answers == [["scratch"], ["ok"]]
