"""The state of a running ingest, in a temporary SQLite database, so that memory does not grow.

The database is an unnamed file in the system's temporary folder, which ends with the process. It is
used by one thread. Statements take many images as one JSON value: Python releases its lock for
every row that SQLite reads or returns, and waits long for it under load.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from labelling.sources.containers.containers import SourceError

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16000;
CREATE TABLE newest (sha TEXT PRIMARY KEY, moment INTEGER, digests TEXT) WITHOUT ROWID;
CREATE TABLE given (sha TEXT, digest TEXT, labels TEXT, key TEXT, PRIMARY KEY (sha, digest))
    WITHOUT ROWID;
CREATE TABLE taken (sha TEXT, name TEXT, labels TEXT);
CREATE TABLE meant (labels TEXT, moment INTEGER, counted TEXT, PRIMARY KEY (labels, moment))
    WITHOUT ROWID;
CREATE TABLE splits (sha TEXT PRIMARY KEY, split TEXT) WITHOUT ROWID;
BEGIN;
"""
_STORED = """
INSERT INTO newest
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each(?) WHERE true
ON CONFLICT DO UPDATE SET
    digests = CASE WHEN excluded.moment > moment THEN excluded.digests
                   ELSE digests || ',' || excluded.digests END,
    moment = excluded.moment
WHERE excluded.moment >= moment
"""
_SET_NEWEST = """
INSERT OR REPLACE INTO newest
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each(?)
"""
_ADD_LABELS = """
INSERT OR IGNORE INTO given
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]')
FROM json_each(?)
"""
_SET_SPLITS = """
INSERT OR REPLACE INTO splits
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
"""
_ADD_TAKEN = """
INSERT INTO taken
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
FROM json_each(?)
"""
_LABELS_OF = """
SELECT json_group_array(json_array(sha, digest, labels, key, digests, moment)) FROM (
    SELECT given.sha, given.digest, given.labels, given.key, newest.digests, newest.moment
    FROM (SELECT DISTINCT value AS sha FROM json_each(?)) AS asked
    JOIN given ON given.sha = asked.sha LEFT JOIN newest ON newest.sha = given.sha
    ORDER BY given.sha, given.digest)
"""
_READ = """
UPDATE taken SET labels = coalesce(
    (SELECT counted FROM meant JOIN newest USING (moment)
     WHERE newest.sha = taken.sha AND meant.labels = taken.labels), labels)
"""
EXAMPLES = 3
_CHUNK = 1000

Labels = tuple[str, ...]
Saying = tuple[str, str, Labels, str]
"""Labels given to an image: sha256, digest of the labels, labels, key of the image."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Files of a source with the same bytes.

    Attributes:
        count: number of files.
        names: some of their names.
        labels: their different sets of labels; more than one contradict one another.
    """

    count: int
    names: tuple[str, ...]
    labels: tuple[Labels, ...]


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """The labels that a source gives to an image, and its newest stored labels.

    Attributes:
        sha256: hash of the image (hex).
        given: digest, labels and key of each set of labels that the source gives.
        newest: digests of the newest stored labels.
        moment: when those were given (ms since the epoch); 0 without any.
    """

    sha256: str
    given: tuple[tuple[str, Labels, str], ...]
    newest: frozenset[str]
    moment: int = 0


class Scratch:
    """The database of one ingest."""

    def __init__(self) -> None:
        with _translated_errors():
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.executescript(_TABLES)

    def close(self) -> None:
        """Close the database, which deletes it."""
        self._database.close()

    # --- labels that are in the store, and those that the source gives ---

    def add_stored(self, labels: Iterable[tuple[str, int, str]]) -> None:
        """Add stored labels; only the newest of each image are kept.

        Args:
            labels: sha256, time (ms since the epoch) and digest of stored labels.
        """
        for chunk in _chunks(labels):
            self._put(_STORED, chunk)

    def set_newest(self, images: Sequence[ImageLabels], moment: int) -> None:
        """Set the given labels of images as their newest ones.

        Args:
            images: the images with the labels that the source gives.
            moment: when they are given (ms since the epoch).
        """
        rows = [(i.sha256, moment, ",".join(digest for digest, _, _ in i.given)) for i in images]
        self._put(_SET_NEWEST, rows)

    def add_labels(self, sayings: Sequence[Saying]) -> list[ImageLabels]:
        """Add labels that the source gives, and return all it has given to these images."""
        rows = [(sha, digest, json.dumps(labels), key) for sha, digest, labels, key in sayings]
        self._put(_ADD_LABELS, rows)
        return self.labels_of([sha for sha, _, _, _ in sayings])

    def labels_of(self, images: Sequence[str]) -> list[ImageLabels]:
        """Return all labels that the source has given to images (sha256)."""
        with _translated_errors():
            ((text,),) = self._database.execute(_LABELS_OF, (_json(images),)).fetchall()
        found = []
        for sha, rows in groupby(json.loads(text), key=lambda row: row[0]):
            group = list(rows)
            labels = tuple((digest, tuple(json.loads(t)), key) for _, digest, t, key, _, _ in group)
            digests, moment = group[0][4] or "", group[0][5] or 0
            found.append(ImageLabels(sha, labels, frozenset(digests.split(",")) - {""}, moment))
        return found

    def changed_labels(self) -> Iterator[list[ImageLabels]]:
        """Yield images whose newest labels are not exactly those that the source gives, in chunks."""
        query = (
            "SELECT sha, (SELECT group_concat(digest) FROM given AS s WHERE s.sha = newest.sha), "
            "digests FROM newest WHERE sha IN (SELECT sha FROM given)"
        )
        with _translated_errors():
            rows = self._database.execute(query).fetchall()
        otherwise = (
            sha for sha, digests, stored in rows if {*digests.split(",")} != {*stored.split(",")}
        )
        for chunk in _chunks(otherwise):
            yield self.labels_of(chunk)

    # --- splits that the source gives ---

    def splits(self, images: Sequence[str]) -> dict[str, str]:
        """Return the splits given to images so far, by sha256."""
        query = (
            "SELECT json_group_object(sha, split) FROM splits "
            "WHERE sha IN (SELECT value FROM json_each(?))"
        )
        with _translated_errors():
            ((text,),) = self._database.execute(query, (_json(images),)).fetchall()
        found: dict[str, str] = json.loads(text)
        return found

    def set_splits(self, splits: Sequence[tuple[str, str]]) -> None:
        """Set the splits of images, given as pairs of sha256 and split."""
        self._put(_SET_SPLITS, splits)

    # --- files that were taken ---

    def add_taken(self, files: Sequence[tuple[str, str, Labels | None]]) -> None:
        """Add stored files: sha256, name and labels (``None`` without)."""
        rows = [
            (sha, name, None if labels is None else json.dumps(sorted(labels)))
            for sha, name, labels in files
        ]
        self._put(_ADD_TAKEN, rows)

    def meanings(self) -> list[tuple[Labels, int, int]]:
        """Return each set of labels with its time (ms since the epoch) and number of images."""
        query = (
            "SELECT labels, moment, count(DISTINCT sha) FROM taken JOIN newest USING (sha) "
            "WHERE labels IS NOT NULL GROUP BY labels, moment ORDER BY labels, moment"
        )
        with _translated_errors():
            rows = self._database.execute(query).fetchall()
        return [(tuple(json.loads(labels)), moment, images) for labels, moment, images in rows]

    def read_as(self, meant: Iterable[tuple[Labels, int, Labels]]) -> None:
        """Replace the labels of files by the classes that they count as.

        Args:
            meant: labels as given, their time (ms since the epoch), and the classes that they count
                as.
        """
        rows = [(json.dumps(labels), at, json.dumps(counted)) for labels, at, counted in meant]
        with _translated_errors():
            self._database.executemany("INSERT INTO meant VALUES (?, ?, ?)", rows)
            self._database.execute(_READ)

    def by_labels(self) -> Iterator[tuple[Labels | None, int]]:
        """Yield the number of different images by set of labels; ``None`` for images without."""
        query = "SELECT labels, count(DISTINCT sha) FROM taken GROUP BY labels"
        with _translated_errors():
            rows = self._database.execute(query).fetchall()
        for text, images in rows:
            yield None if text is None else tuple(json.loads(text)), images

    def taken_images(self) -> int:
        """Return the number of different images."""
        with _translated_errors():
            ((images,),) = self._database.execute("SELECT count(DISTINCT sha) FROM taken")
        return int(images)

    def duplicates(self) -> Iterator[Duplicates]:
        """Yield the groups of files with the same bytes."""
        query = (
            "SELECT taken.sha, name, labels FROM taken JOIN "
            "(SELECT sha FROM taken GROUP BY sha HAVING count(*) > 1) AS doubled "
            "ON doubled.sha = taken.sha ORDER BY taken.sha, taken.rowid"
        )
        with _translated_errors():
            rows = self._database.execute(query)
            for _, group in groupby(rows, key=lambda row: row[0]):
                yield _duplicates(list(group))

    def _put(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with _translated_errors():
            self._database.execute(statement, (_json(rows),))


def _duplicates(group: list[tuple[str, str, str | None]]) -> Duplicates:
    distinct = sorted({labels for _, _, labels in group if labels is not None})
    # First one file of each set of labels: these are the ones to compare.
    first = {labels: name for _, name, labels in reversed(group)}
    names = dict.fromkeys([*first.values(), *(name for _, name, _ in group)])
    labels = tuple(tuple(json.loads(text)) for text in distinct)
    return Duplicates(len(group), tuple(names)[:EXAMPLES], labels)


def _json(rows: Sequence[Any]) -> str:
    return json.dumps(rows, ensure_ascii=False)


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SourceError(
            f"the temporary folder cannot be used ({error}); free some space there, or name "
            "another one in TMPDIR. Completed work is kept"
        ) from error
