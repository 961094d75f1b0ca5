"""FEATURES_VERSION is part of every backbone's name: code that makes other features needs another."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.training.test_code_version import REFRESH, _deciding
from training.embedding.features import FEATURES_VERSION

pytestmark = pytest.mark.unit

SNAPSHOT = Path(__file__).with_name("features_version.snapshot.json")
VERSION = "-".join(FEATURES_VERSION)


def test_code_that_computes_features_changes_with_its_version() -> None:
    found = {VERSION: _deciding("training.embed")}
    if os.environ.get(REFRESH):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(SNAPSHOT.read_text(encoding="utf-8")), (
        "code that the embedding job uses changed. If features or probabilities come out otherwise, raise "
        "FEATURES_VERSION in training/embedding/features.py: else old and new ones are mixed. Then: "
        f"{REFRESH}=1 pytest tests/unit/training/{Path(__file__).name}"
    )
