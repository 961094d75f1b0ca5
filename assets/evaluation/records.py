"""Which evaluation belongs to which model: create-only records under ``models/<version>/evaluations/``."""

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from resources.contents.damage import DamagedObject
from resources.contents.numbered import add_record, newest_key
from resources.contents.reading import read_object
from resources.store.object_store import ObjectStore


class EvaluationRecord(BaseModel):
    """What a record must have; see :func:`assets.evaluation.evaluation_report.evaluation_report`."""

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
    """Where the records of a model's evaluations lie."""
    return f"models/{model_version}/evaluations/"


def newest_evaluation(store: ObjectStore, model_version: str) -> dict[str, Any] | None:
    """The newest evaluation record of a model, or ``None``.

    Raises:
        DamagedObject: it cannot be read. An older one never counts in its place.
    """
    newest = newest_key(store, evaluations_prefix(model_version))
    return None if newest is None else read_evaluation(store, newest)


def read_evaluation(store: ObjectStore, key: str) -> dict[str, Any]:
    """The record at ``key``. Raises KeyMissing, DamagedObject (also if it is another's)."""
    record = read_object(store, key, EvaluationRecord)
    if not key.startswith(evaluations_prefix(record["model_version"])):
        flaw = f"it holds the evaluation of {record['model_version']}"
        raise DamagedObject(key, flaw, store.url)
    return record


def record_evaluation(store: ObjectStore, model_version: str, record: dict[str, Any]) -> None:
    """Keep ``record`` as the newest evaluation of a model, unless it is the newest already."""
    try:
        known = newest_evaluation(store, model_version)
    except DamagedObject:  # this one comes after it, and counts
        known = None
    if known is not None and {**known, "at": ""} == {**record, "at": ""}:
        return
    dated = {**record, "at": datetime.now(UTC).isoformat()}
    body = json.dumps(dated, indent=1, ensure_ascii=False).encode()
    add_record(store, evaluations_prefix(model_version), body)
