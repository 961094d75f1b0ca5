"""Records of evaluations: create-only objects under ``models/<version>/evaluations/``."""

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import add_record, newest_key
from object_store.contents.reading import read_object
from object_store.store import ObjectStore


class EvaluationRecord(BaseModel):
    """The required fields of a record; see :func:`assets.evaluation.evaluation_report.evaluation_report`."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    job: str
    model_version: str
    digest: str
    model_key: str
    dataset_version: str
    code_version: str
    task: str
    labels: list[str]
    metrics: dict[str, float]
    evaluation_run: str


def evaluations_prefix(model_version: str) -> str:
    """Return the prefix of the evaluation records of a model."""
    return f"models/{model_version}/evaluations/"


def newest_evaluation(store: ObjectStore, model_version: str) -> dict[str, Any] | None:
    """Read the newest evaluation record of a model; ``None`` if there is none.

    Raises:
        DamagedObject: it cannot be read. An older one is never used in its place.
    """
    newest = newest_key(store, evaluations_prefix(model_version))
    return None if newest is None else read_evaluation(store, newest)


def read_evaluation(store: ObjectStore, key: str) -> dict[str, Any]:
    """Read the evaluation record at ``key``.

    Raises:
        KeyMissing: there is none.
        DamagedObject: it cannot be read, or is the record of another model.
    """
    record = read_object(store, key, EvaluationRecord)
    if not key.startswith(evaluations_prefix(record["model_version"])):
        flaw = f"it holds the evaluation of {record['model_version']}"
        raise DamagedObject(key, flaw, store.url)
    return record


def record_evaluation(store: ObjectStore, model_version: str, record: dict[str, Any]) -> None:
    """Write an evaluation record of a model, unless the newest one is the same.

    Args:
        store: object store of the project.
        model_version: name of the training job.
        record: the fields of ``EvaluationRecord`` and more; the time is added.
    """
    try:
        known = newest_evaluation(store, model_version)
    except DamagedObject:  # the new record comes after it and replaces it
        known = None
    if known is not None and {**known, "at": ""} == {**record, "at": ""}:
        return
    dated = {**record, "at": datetime.now(UTC).isoformat()}
    body = json.dumps(dated, indent=1, ensure_ascii=False).encode()
    add_record(store, evaluations_prefix(model_version), body)
