"""What MLflow takes in several writes, in an order that no kill in between can spoil."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

from resources.registry.mlflow_database import TaggedVersion

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DECISION_TAG = "imgclf.decision."
"""Begins the name of a tag of a model version that keeps one decision for ever."""

_IDENTITY = "imgclf.evaluation"


def create_database(database: Path) -> None:
    """Make MLflow's SQLite database, unless it is there. The caller holds its lock.

    MLflow makes its tables in dozens of steps: one that was killed in between cannot be completed,
    and each waits for the disk (7 s on a busy laptop). So they are made in memory, and the
    database is copied to the disk and appears by one rename.
    """
    from mlflow.tracking import MlflowClient

    if database.exists():
        return
    aside = database.with_name(f".{database.name}.new")
    aside.unlink(missing_ok=True)
    # https://www.sqlite.org/inmemorydb.html#sharedmemdb: one database for both connections.
    memory = f"file:imgclf-{uuid4().hex}?mode=memory&cache=shared"
    with closing(sqlite3.connect(memory, uri=True)) as source:
        MlflowClient(tracking_uri=f"sqlite:///{memory}&uri=true").search_experiments(max_results=1)
        with closing(sqlite3.connect(aside)) as target:
            source.backup(target)
    aside.replace(database)


def log_run(
    client: "MlflowClient",
    experiment_id: str,
    model_version: str,
    *,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    artifacts: Mapping[str, Path],
) -> str:
    """The id of the finished run that holds exactly this; made, or completed, if need be.

    Args:
        client: of the server or database.
        experiment_id: MLflow's.
        model_version: what was evaluated; names the run.
        params: names to values.
        metrics: names to numbers.
        artifacts: path under the run to the local file, which must have the same name.
    """
    identity = f"{model_version}/{_digest(params, metrics, artifacts)}"
    found = client.search_runs([experiment_id], f"tags.`{_IDENTITY}` = '{identity}'", max_results=1)
    if found:
        run = found[0]
    else:
        tags = {_IDENTITY: identity, "model_version": model_version}
        run = client.create_run(experiment_id, run_name=model_version, tags=tags)
    run_id: str = run.info.run_id
    if run.info.status != "FINISHED":
        _fill(client, run_id, params, metrics, artifacts)
        client.set_terminated(run_id, "FINISHED")
    return run_id


def approval_tags(status: str, *, by: str, reason: str, number: int) -> Sequence[tuple[str, str]]:
    """A decision as tags of a model version, in the order in which they are to be written.

    Args:
        status: what is decided.
        by: who decides.
        reason: why.
        number: of the decision; its tag is written once, the others are overwritten by the next.

    Returns:
        Keys and values. Until the last is written, the version is pending.
    """
    decided = {
        "approver": by,
        "approval_reason": reason,
        "approval_changed_at": datetime.now(UTC).isoformat(),
        "decision": str(number),
    }
    kept = json.dumps({"approval_status": status, **decided}, ensure_ascii=False)
    return (
        ("approval_status", "PendingManualApproval"),
        *decided.items(),
        (f"{DECISION_TAG}{number:013d}", kept),
        ("approval_status", status),
    )


def write_tags(
    client: "MlflowClient", version: TaggedVersion, tags: Sequence[tuple[str, str]]
) -> None:
    """Set tags of a model version one after the other.

    Args:
        client: of the server or database.
        version: whose tags are set.
        tags: keys with values.
    """
    for key, value in tags:
        client.set_model_version_tag(version.name, str(version.version), key, value)


def _digest(
    params: Mapping[str, str], metrics: Mapping[str, float], artifacts: Mapping[str, Path]
) -> str:
    files = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in artifacts.items()
    }
    text = json.dumps([dict(params), dict(metrics), files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _fill(
    client: "MlflowClient",
    run_id: str,
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    artifacts: Mapping[str, Path],
) -> None:
    for name, value in params.items():
        client.log_param(run_id, name, value)
    for name, number in metrics.items():
        client.log_metric(run_id, name, number)
    for name, path in artifacts.items():
        place = PurePosixPath(name)
        if place.name != path.name:
            raise ValueError(f"artifact {name} must keep the name of its file {path}")
        folder = None if place.parent == PurePosixPath() else str(place.parent)
        client.log_artifact(run_id, str(path), folder)
