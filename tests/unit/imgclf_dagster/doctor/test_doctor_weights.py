"""`imgclf doctor` names the weights of each net, and a net that does not exist."""

import pytest

from imgclf_dagster.doctor import examine
from imgclf_dagster.settings.root import load_settings

pytestmark = pytest.mark.unit


def findings(monkeypatch: pytest.MonkeyPatch, architecture: str) -> dict[str, str]:
    """Messages of the findings about weights, by status."""
    monkeypatch.setenv("IMGCLF_TRAINING__ARCHITECTURE", architecture)
    monkeypatch.setenv("IMGCLF_TRAINING__BUDGET_MINUTES", "0")
    found = examine._weights(load_settings())
    return {one.health: f"{one.detail} {one.remedy}" for one in found}


def test_a_net_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, "tf_efficientnet_lite9")
    assert list(found) == ["failed"]
    assert "unknown architecture 'tf_efficientnet_lite9'" in found["failed"]
    assert "tf_efficientnet_lite0" in found["failed"]
    assert "correct architecture under [training]" in found["failed"]


def test_weights_that_are_not_here_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, "resnet18")
    assert list(found) == ["warning"]
    assert "training will download it" in found["warning"]
