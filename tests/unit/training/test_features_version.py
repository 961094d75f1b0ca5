"""FEATURES_VERSION is part of every backbone's name: code that makes other features needs another.

What the embedding job shares with training is watched by ``CODE_VERSION``, which is in that name
too; this watches what only the embedding job has.
"""

import json
import os
from pathlib import Path

import pytest

from tests.unit.training.test_code_version import REFRESH, _syntax, meaning
from training.embedding.features import FEATURES_VERSION

pytestmark = pytest.mark.unit

SNAPSHOT = Path(__file__).with_name("features_version.snapshot.json")
MODULES = ("training.embed", "training.embedding.images", "training.embedding.features")


def test_code_that_computes_features_changes_with_its_version() -> None:
    found = {FEATURES_VERSION: {module: meaning(_syntax(module)) for module in MODULES}}
    if os.environ.get(REFRESH):
        SNAPSHOT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(SNAPSHOT.read_text(encoding="utf-8")), (
        "the embedding job changed. If features or probabilities come out otherwise, raise "
        "FEATURES_VERSION in training/embedding/features.py: else old and new ones are mixed. Then: "
        f"{REFRESH}=1 pytest tests/unit/training/{Path(__file__).name}"
    )
