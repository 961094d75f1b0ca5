"""Contact sheets of a data set: the first images of each class."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset.assembly import Assembly
from assets.dataset.versions import dataset_prefix
from labelling.columns import (
    flat,
)
from labelling.labels.foreign_text import visible
from object_store.errors import KeyMissing, ObjectRefused
from object_store.store import ObjectStore

SHEET_CANDIDATES = 24


def sheet_key(version: str, label: str) -> str:
    """Return the key of a class's contact sheet.

    It has a hash of the label, as a label may be longer than a key and hold any character.
    """
    digest = hashlib.sha256(label.encode()).hexdigest()[:16]
    return f"{dataset_prefix(version)}contact_sheets/{digest}.jpg"


def write_contact_sheets(
    store: ObjectStore, assembly: Assembly, *, max_pixels: int, warn: Callable[[str], object]
) -> dict[str, str]:
    """Write a contact sheet of each class that has images.

    A failure is reported to ``warn`` and raises nothing.

    Args:
        store: object store of the project.
        assembly: the data set.
        max_pixels: images with more pixels are left out.
        warn: called with each message.

    Returns:
        Label to key of its sheet.
    """
    from training.data.contact_sheet import contact_sheet

    sheets = {}
    for label, keys in _first_keys(assembly, SHEET_CANDIDATES).items():
        key = sheet_key(assembly.version, label)
        try:
            found = _objects(store, keys)
            sheet, missing = contact_sheet(found, max_pixels=max_pixels)
            if sheet is not None:
                store.create(key, sheet)
                sheets[label] = key
        except Exception as error:  # noqa: BLE001 - a data set does not need its sheets
            warn(f"no contact sheet of {visible(label)}: {type(error).__name__}: {error}")
            continue
        for name, reason in missing.items():
            warn(f"{name} is not on the contact sheet of {visible(label)}: {reason}")
    return sheets


def _objects(store: ObjectStore, keys: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    for key in keys:
        try:
            yield key, store.get(key)
        except (KeyMissing, ObjectRefused):
            yield key, None


def _first_keys(assembly: Assembly, count: int) -> dict[str, list[str]]:
    """Return label to the keys of its first ``count`` images, of each label in use."""
    rows = assembly.rows
    lists = flat(rows["labels"])
    words = flat(pc.list_flatten(lists)).dictionary_encode()
    of, image = words.indices.to_numpy(), np.asarray(flat(pc.list_parent_indices(lists)))
    order = np.argsort(of, kind="stable")
    ends = np.searchsorted(of[order], np.arange(len(words.dictionary) + 1))
    place = {name: number for number, name in enumerate(words.dictionary.to_pylist())}
    found = {}
    for label in assembly.labels:
        if label in place:
            start, end = ends[place[label] : place[label] + 2].tolist()
            where = image[order[start : min(end, start + count)]]
            found[label] = rows["raw_key"].take(pa.array(where)).to_pylist()
    return found
