"""Splits that a source gives its images (``ingest --keep-splits``).

They are statements like labels: never rewritten, and the newest one counts. Dealing reads them
(:mod:`assets.dataset.splits.splitting`).
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Literal, get_args

import pyarrow as pa

from object_store.contents.tables import Table
from object_store.store import ObjectStore

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
"""``split``: ``""`` withdraws the statement. ``among``: the splits that the image may be dealt to,
comma-separated: more than the given one if the source has no validation (or no test) set, which is
then dealt out of its train set.
"""


def given_table(store: ObjectStore) -> Table:
    """Return the table of statements, in the order in which they were made."""
    return Table(store, "given splits", GIVEN_SCHEMA, prefix=GIVEN)


def record_given_splits(
    store: ObjectStore,
    splits: Mapping[str, Split],
    *,
    source: str,
    of_source: Collection[Split],
) -> int:
    """Record the splits that a source gives its images; a repeated statement writes nothing.

    Call it before the labels are written, so that no run deals the images first.

    Args:
        store: gets the statements.
        splits: image (sha256) to split, of a part of the source.
        source: its name, as under ``raw/``.
        of_source: every split that the whole source gives.

    Returns:
        Number of new statements.

    Raises:
        ValueError: a split is not one of ``train``, ``val`` and ``test``, or not in ``of_source``.
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
    """Withdraw all given splits by new statements; return the number of images."""
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
    """Return the splits that an image may be dealt to: the given one; of train also those that the
    source lacks.
    """
    if split != "train":
        return (split,)
    return tuple(one for one in SPLITS if one == "train" or one not in of_source)


def newest_given(rows: pa.Table) -> dict[str, tuple[str, str]]:
    """Return image (sha256) to (split, splits it may be dealt to) of its newest statement."""
    columns = [rows[name].to_pylist() for name in ("sha256", "split", "among")]
    return {sha: (split, among) for sha, split, among in zip(*columns, strict=True)}


def given_splits(store: ObjectStore) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return image (sha256) to its given split and the splits it may be dealt to."""
    found = newest_given(given_table(store).read())
    standing = ((sha, split, among) for sha, (split, among) in found.items() if split)
    return {sha: (split, tuple(among.split(","))) for sha, split, among in standing}
