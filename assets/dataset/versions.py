"""The stored versions of data sets: manifest, card and the sources that each was made from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from assets.line import fingerprint
from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import add_record, newest_key
from object_store.contents.reading import read_object, read_rows
from object_store.store import ObjectStore
from training.data.manifest import MANIFEST_SCHEMA, dataset_version

DATASETS = "datasets/"

SPLITS = ("train", "val", "test")


def dataset_prefix(version: str) -> str:
    """Return the prefix of a data set version."""
    return f"{DATASETS}{version}/"


def record_sources(store: ObjectStore, version: str, sources: Mapping[str, str]) -> None:
    """Record the content versions of the tables that a data set was made from.

    If the same data set is made from other tables later, the newest record counts: a version must
    not stay blocked by a fault of its former tables.

    Args:
        store: object store of the project.
        version: data set version.
        sources: asset name to content version.
    """
    try:
        if newest_sources(store, version) == dict(sources):
            return
    except DamagedObject:  # the new record comes after it and replaces it
        pass
    add_record(store, f"{dataset_prefix(version)}sources/", json.dumps(dict(sources)).encode())


def newest_sources(store: ObjectStore, version: str) -> dict[str, str] | None:
    """Return the tables that the data set was last made from: asset name to content version.

    Returns:
        ``None`` if the data set was never made.

    Raises:
        DamagedObject: the record cannot be read. An older one is never used in its place.
    """
    newest = newest_key(store, f"{dataset_prefix(version)}sources/")
    return None if newest is None else read_object(store, newest, Sources)


class Sources(BaseModel):
    """The content versions of the tables that a data set was made from."""

    raw_images: str
    annotations: str


class Card(BaseModel):
    """The required fields of ``card.json``; it has more."""

    model_config = ConfigDict(extra="allow")

    version: str
    task: str
    labels: list[str]
    counts: dict[str, dict[str, int]]
    shards: list[str]
    contact_sheets: dict[str, str] = {}


def read_card(store: ObjectStore, version: str) -> dict[str, Any]:
    """Read the card of a data set version.

    Raises:
        KeyMissing: there is none.
        DamagedObject: it cannot be read, or is the card of another version.
    """
    key = f"{dataset_prefix(version)}card.json"
    card = read_object(store, key, Card)
    if card["version"] != version:
        raise DamagedObject(key, f"it is the card of {card['version']}", store.url)
    return card


def read_dataset_manifest(store: ObjectStore, version: str) -> pa.Table:
    """Read the manifest of a data set version, in ``training.data.manifest.MANIFEST_SCHEMA``.

    Raises:
        KeyMissing: the manifest or the card is missing.
        DamagedObject: it cannot be read, or its content has another hash than the version.
    """
    key = f"{dataset_prefix(version)}manifest.parquet"
    rows, card = read_rows(store, key, MANIFEST_SCHEMA), read_card(store, version)
    actual = version_of(dataset_version(rows), card["task"], card["labels"])
    if actual != version:
        flaw = f"its content and card.json make the version {actual}"
        raise DamagedObject(key, flaw, store.url)
    return rows


def version_of(content: str, task: str, labels: Sequence[str]) -> str:
    """Return the version of a data set: a hash of its content, task and labels, 16 hex digits.

    The order of the labels counts, as a model's outputs follow it.

    Args:
        content: ``training.data.manifest.dataset_version`` of its rows.
        task: ``single_label`` or ``multi_label``.
        labels: the classes in order.
    """
    return fingerprint([content, task, list(labels)], 16)
