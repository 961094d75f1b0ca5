"""The user's settings as one Dagster resource."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.policies import GatePolicy, IngestionPolicy, LabellingPolicy, RetrainPolicy, SplitPolicy
from labelling.labels.schema import LabelSchema

OWNERS = ["team:imgclf"]

MODEL_VERSIONS = dg.DynamicPartitionsDefinition(name="model_version")
"""One partition per candidate that passed its gates; the key is the training job's name."""


@dataclass(frozen=True)
class Line:
    """The settings that the assets need (resource key ``line``)."""

    project: str
    labels: LabelSchema
    ingestion: IngestionPolicy
    split: SplitPolicy
    gates: GatePolicy
    labelling: LabellingPolicy
    retraining: RetrainPolicy
    weights_dir: Path | None


def fingerprint(value: Any, length: int = 12) -> str:
    """Return the first ``length`` hex digits of the sha256 of ``value`` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
