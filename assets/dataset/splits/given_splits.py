"""Splits that a source brought with it and its owner asked to keep (``ingest --keep-splits``).

They are statements like labels: what was said is never rewritten, and the newest of a source counts.
Dealing reads them (:mod:`assets.dataset.splits.splitting`).
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Literal, get_args

import pyarrow as pa

from resources.contents.tables import Table
from resources.store.object_store import ObjectStore

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
GIVEN = "splits/given"
GIVEN_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("split", pa.string()),
        ("among", pa.string()),
        ("source", pa.string()),
        ("said_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""``split``: ``""`` takes back what was said. ``among``: the splits that the image may be dealt to,
comma-separated. More than the given one where the source has no validation (or no test) set, which is then dealt out of its train set."""


def given_table(store: ObjectStore) -> Table:
    """The statements, in the order in which they were made."""
    return Table(store, "given splits", GIVEN_SCHEMA, prefix=GIVEN)


def record_given_splits(
    store: ObjectStore,
    splits: Mapping[str, Split],
    *,
    source: str,
    of_source: Collection[Split],
) -> int:
    """Keep the splits that a source gives its images; before their labels are written, so that no
    run deals them first. Saying the same again writes nothing.

    Args:
        splits: image (sha256) to split, of many images at once.
        source: its name, as under ``raw/``.
        of_source: every split that the whole source gives.

    Returns:
        How many statements are new.

    Raises:
        ValueError: a split is not one of ``train``, ``val`` and ``test``, or not of the source.
        StoreError: the store cannot be written.
    """
    unknown = {*splits.values(), *of_source} - set(SPLITS)
    if unknown or not set(splits.values()) <= set(of_source):
        raise ValueError(f"splits {sorted(set(splits.values()))} of a source with {of_source}")
    table = given_table(store)
    known = newest_given(table.read())
    now = datetime.now(UTC)
    rows = [
        {"sha256": sha, "split": split, "among": among, "source": source, "said_at": now}
        for sha, split in sorted(splits.items())
        if known.get(sha, ("", "")) != (split, among := ",".join(may_be_dealt_to(split, of_source)))
    ]
    table.append(pa.Table.from_pylist(rows, schema=GIVEN_SCHEMA))
    table.compact()
    return len(rows)


def withdraw_given_splits(store: ObjectStore) -> int:
    """Take back all that sources gave, as statements of their own; how many images it is about."""
    table = given_table(store)
    standing = [sha for sha, (split, _) in newest_given(table.read()).items() if split]
    now = datetime.now(UTC)
    rows = [
        {"sha256": sha, "split": "", "among": "", "source": "", "said_at": now} for sha in standing
    ]
    table.append(pa.Table.from_pylist(rows, schema=GIVEN_SCHEMA))
    table.compact()
    return len(rows)


def may_be_dealt_to(split: Split, of_source: Collection[Split]) -> tuple[Split, ...]:
    """The given split; of a train set also those that the source lacks."""
    if split != "train":
        return (split,)
    return tuple(one for one in SPLITS if one == "train" or one not in of_source)


def newest_given(rows: pa.Table) -> dict[str, tuple[str, str]]:
    """Image to its split and to those it may be dealt to; of several statements the newest."""
    columns = [rows[name].to_pylist() for name in ("sha256", "split", "among")]
    return {sha: (split, among) for sha, split, among in zip(*columns, strict=True)}


def given_splits(store: ObjectStore) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Image (sha256) to the split that its source gives it, and those it may be dealt to."""
    found = newest_given(given_table(store).read())
    standing = ((sha, split, among) for sha, (split, among) in found.items() if split)
    return {sha: (split, tuple(among.split(","))) for sha, split, among in standing}
