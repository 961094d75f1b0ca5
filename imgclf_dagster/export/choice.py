"""Choice of the data set to export: the newest, or one by the beginning of its version."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from assets.dataset.versions import DATASETS, read_card, read_dataset_manifest
from imgclf_dagster.export.errors import ExportError
from object_store.store import ObjectStore

SHOWN = 10


@dataclass(frozen=True)
class ChosenDataset:
    """A data set version with its card and its manifest."""

    version: str
    card: dict[str, Any]
    manifest: pa.Table


def choose_dataset(store: ObjectStore, given: str, current: str | None = None) -> ChosenDataset:
    """Return the data set to export.

    Args:
        store: holds the data sets.
        given: a version or the beginning of one; "" for the newest.
        current: the version that the line made last, if known.

    Raises:
        ExportError: there is no such data set, or several match.
        DamagedObject: its card or its manifest cannot be read.
    """
    made = _versions(store)
    if not made:
        raise ExportError(
            f"there is no data set in {store.url} yet: bring labelled images (imgclf ingest) and "
            "run the line (imgclf run)"
        )
    version = _matching(made, given) if given else _newest(made, current)
    return ChosenDataset(version, read_card(store, version), read_dataset_manifest(store, version))


def _versions(store: ObjectStore) -> dict[str, datetime]:
    """Return the complete data sets (those with a card) with the time they were last made."""
    infos = [info for info in store.list(DATASETS) if info.key.count("/") >= 2]
    whole = {info.key.split("/")[1] for info in infos if info.key.endswith("/card.json")}
    made: dict[str, datetime] = {}
    for info in infos:
        version, name = info.key.split("/")[1:3]
        # If the line makes a version again, it adds a record of its sources.
        if version in whole and name in {"card.json", "sources"}:
            made[version] = max(info.last_modified, made.get(version, info.last_modified))
    return made


def _newest(made: dict[str, datetime], current: str | None) -> str:
    """Return the version that the line made last; if unknown, the newest by its files."""
    return current if current in made else max(made, key=lambda version: (made[version], version))


def _matching(made: dict[str, datetime], given: str) -> str:
    found = [version for version in made if version.startswith(given.strip().lower())]
    if len(found) == 1:
        return found[0]
    newest = sorted(found or made, key=lambda version: made[version], reverse=True)
    listed = ", ".join(f"{name} ({made[name]:%Y-%m-%d %H:%M} UTC)" for name in newest[:SHOWN])
    more = f" and {len(newest) - SHOWN} more" if len(newest) > SHOWN else ""
    if found:
        raise ExportError(
            f"{len(found)} data sets begin with {given!r}: {listed}{more}; give more characters"
        )
    raise ExportError(f"no data set begins with {given!r}; there are {listed}{more}")
