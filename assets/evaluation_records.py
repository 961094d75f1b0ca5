"""Which evaluation belongs to which model: create-only records under ``models/<version>/evaluations/``."""

import json
from datetime import UTC, datetime
from typing import Any

from resources.object_store import ObjectStore


def evaluations_prefix(model_version: str) -> str:
    """Where the records of a model's evaluations lie."""
    return f"models/{model_version}/evaluations/"


def newest_evaluation(store: ObjectStore, model_version: str) -> dict[str, Any] | None:
    """The newest evaluation record of a model, or ``None``."""
    newest = store.newest(evaluations_prefix(model_version))
    if newest is None:
        return None
    record: dict[str, Any] = json.loads(store.get(newest.key))
    return record


def record_evaluation(store: ObjectStore, model_version: str, record: dict[str, Any]) -> None:
    """Keep ``record`` as the newest evaluation of a model, unless it is the newest already."""
    known = newest_evaluation(store, model_version)
    if known is not None and {**known, "at": ""} == {**record, "at": ""}:
        return
    now = datetime.now(UTC)
    body = json.dumps({**record, "at": now.isoformat()}, indent=1, ensure_ascii=False).encode()
    stamp = int(now.timestamp() * 1000)
    while not store.create(f"{evaluations_prefix(model_version)}{stamp:013d}.json", body):
        stamp += 1
