"""The user's settings as one Dagster resource, and access to the metadata of other assets."""

import hashlib
import json
from collections.abc import Mapping
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


def latest_metadata(
    instance: dg.DagsterInstance, asset: str, *, partition: str | None = None
) -> Mapping[str, Any]:
    """Return the metadata of the newest materialization of ``asset``; empty if there is none.

    Args:
        instance: the Dagster instance that stores the events.
        asset: name of the asset, without a prefix.
        partition: partition key; ``None``: the newest materialization of any partition.

    Returns:
        Metadata name to value, unwrapped from ``MetadataValue``.
    """
    key = dg.AssetKey(asset)
    if partition is None:
        event = instance.get_latest_materialization_event(key)
    else:
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
        ).records
        event = records[0].event_log_entry if records else None
    if event is None or event.asset_materialization is None:
        return {}
    return {name: item.value for name, item in event.asset_materialization.metadata.items()}


def require_metadata(instance: dg.DagsterInstance, asset: str, name: str) -> str:
    """Return one metadata value of the newest materialization as text.

    Args:
        instance: the Dagster instance that stores the events.
        asset: name of the asset.
        name: metadata name.

    Raises:
        dagster.Failure: ``asset`` was never materialized, or has no metadata ``name``.
    """
    value = latest_metadata(instance, asset).get(name)
    if value is None:
        raise dg.Failure(
            f"{asset} has not been materialized yet; materialize it first (imgclf run does)",
            allow_retries=False,
        )
    return str(value)
