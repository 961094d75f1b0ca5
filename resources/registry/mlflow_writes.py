"""Changes in MLflow that take several writes, in an order that is safe if the process is killed."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote
from uuid import uuid4

from filelock import FileLock

from resources.registry.mlflow_database import TaggedVersion

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

DECISION_TAG_PREFIX = "imgclf.decision."
"""Prefix of the tags of a model version that keep one decision each, permanently."""

_CONTENT_TAG = "imgclf.evaluation"


def database_of(tracking_uri: str) -> Path | None:
    """Return the file of a SQLite database by MLflow's URI; ``None``: it is a server's."""
    if not tracking_uri.startswith("sqlite:///"):
        return None
    return Path(unquote(tracking_uri.removeprefix("sqlite:///")))


def ensure_database(database: Path) -> None:
    """Create MLflow's SQLite database unless it exists, whoever else does so at the same time."""
    if database.exists():
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        create_database(database)


def create_database(database: Path) -> None:
    """Create MLflow's SQLite database unless it exists. The caller holds its lock."""
    # MLflow creates its tables in dozens of steps: a database that was interrupted in between cannot
    # be completed, and each step waits for the disk (7 s in all on a busy laptop). So the tables are
    # created in memory, and the database is copied to the disk and appears by one rename.
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
    tags: Mapping[str, str],
) -> str:
    """Find the run with exactly these contents, or create it; completes an interrupted run.

    Args:
        client: of the server or database.
        experiment_id: MLflow's.
        model_version: that was evaluated; names the run.
        params: values by name.
        metrics: numbers by name.
        artifacts: local file by path under the run; both must have the same file name.
        tags: of a run that is created.

    Returns:
        The run's id.

    Raises:
        ValueError: an artifact's path has another file name than its file.
    """
    identity = f"{model_version}/{_content_digest(params, metrics, artifacts)}"
    found = client.search_runs(
        [experiment_id], f"tags.`{_CONTENT_TAG}` = '{identity}'", max_results=1
    )
    if found:
        run = found[0]
    else:
        named = {**tags, _CONTENT_TAG: identity, "model_version": model_version}
        run = client.create_run(experiment_id, run_name=f"{model_version} test", tags=named)
    run_id: str = run.info.run_id
    if run.info.status != "FINISHED":
        _log_run(client, run_id, params, metrics, artifacts)
        client.set_terminated(run_id, "FINISHED")
    return run_id


def approval_tags(status: str, *, by: str, reason: str, number: int) -> Sequence[tuple[str, str]]:
    """Return a decision as tags of a model version, in the order in which to write them.

    Args:
        status: the decision.
        by: name of the approver.
        reason: of the decision.
        number: of the decision; its own tag is permanent, the next decision overwrites the others.

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
        (f"{DECISION_TAG_PREFIX}{number:013d}", kept),
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


def _content_digest(
    params: Mapping[str, str], metrics: Mapping[str, float], artifacts: Mapping[str, Path]
) -> str:
    files = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in artifacts.items()
    }
    text = json.dumps([dict(params), dict(metrics), files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _log_run(
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
            raise ValueError(f"artifact {name} must have the name of its file {path}")
        folder = None if place.parent == PurePosixPath() else str(place.parent)
        client.log_artifact(run_id, str(path), folder)
