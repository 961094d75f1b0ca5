"""Rebuild the record of a training job from its outputs and messages."""

import json
from datetime import UTC, datetime
from typing import Any

from assets.model.digest import actual_digest
from imgclf_dagster.store_doctor.kinds import Look, check_object
from object_store.contents.damage import DamagedObject, flaw_of
from object_store.store import ObjectStore
from resources.compute.outputs import model_key, record_key
from resources.compute.pipes import messages_prefix


def training_record(store: ObjectStore, job: str) -> bytes:
    """Return ``job.json`` of a training job with undamaged outputs, as JSON bytes.

    Raises:
        KeyMissing: the model is missing.
        DamagedObject: the model, another output or a message is damaged.
    """
    actual_digest(store, model_key(job))
    look = Look(store)
    outputs = store.list(f"models/{job}/output")
    for info in outputs:
        check_object(look, info)
    listed = store.list(messages_prefix(job))
    metadata: dict[str, Any] = {}
    messages: list[Any] = []
    for info in listed:
        for message in _messages(store, info.key):
            params = message.get("params") or {}
            if message["method"] == "report_asset_materialization":
                metadata |= params.get("metadata") or {}
            elif message["method"] == "report_custom_message":
                messages.append(params.get("payload"))
    times = [info.last_modified for info in listed] or [datetime.now(UTC)]
    record = {
        "name": job,
        "kind": "training",
        "seconds": round((max(times) - min(times)).total_seconds(), 3),
        "metadata": metadata,
        "messages": messages,
        "finished_at": max(times).isoformat(timespec="seconds"),
        "sha256": {info.key: look.sha256(info.key) for info in outputs},
    }
    return json.dumps(record).encode()


def is_training(store: ObjectStore, key: str) -> bool:
    """Whether ``key`` is that of the record of a job with a model."""
    job = key.split("/")[1]
    return key == record_key(job) and store.exists(model_key(job))


def _messages(store: ObjectStore, key: str) -> list[dict[str, Any]]:
    data = store.get(key)
    try:
        found = [json.loads(line) for line in data.splitlines()]
        if not all(isinstance(message, dict) and "method" in message for message in found):
            raise ValueError("a line is no message")
    except (ValueError, RecursionError) as error:
        raise DamagedObject(key, flaw_of(data, error), store.url) from None
    return found
