"""A job's outputs in the store: their keys, and reading them. Same layout locally and on AWS.

A training job leaves ``models/<job>/output/model.tar.gz`` and ``output.tar.gz``, as SageMaker names
them; a processing job leaves ``models/<job>/processing/**``. ``job.json`` is written last.
"""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from object_store.contents.damage import DamagedObject, flaw_of
from object_store.contents.reading import read_object
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.job_names import Kind

Metadata = dict[str, Any]
"""Metadata values as ``dg.MaterializeResult`` takes them."""


def record_key(name: str) -> str:
    """Return the key of the record that marks a job as done."""
    return f"models/{name}/job.json"


def model_key(name: str) -> str:
    """Return the key of a training job's model artefact."""
    return f"models/{name}/output/model.tar.gz"


class JobRecord(BaseModel):
    """What ``job.json`` must have. ``sha256`` is of each object that a job of this machine left, by
    key; older records have none, nor the hyperparameters and times."""

    model_config = ConfigDict(extra="allow")

    name: str
    seconds: float
    metadata: dict[str, dict[str, Any]]
    messages: list[Any]
    details: dict[str, dict[str, Any]] = {}
    sha256: dict[str, str] = {}
    hyperparameters: dict[str, str] = {}
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


def job_times(record: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return when a job's last launch began and ended.

    Args:
        record: content of ``job.json``. One of older code has only the time when it was written.
    """
    known = JobRecord.model_validate(record)
    end = known.ended_at or known.finished_at
    start = known.started_at or (end - timedelta(seconds=known.seconds) if end else None)
    return start, end


def read_job(store: ObjectStore, name: str) -> dict[str, Any] | None:
    """Return the record of a job that is done, else ``None``. Raises DamagedObject."""
    try:
        record = read_object(store, record_key(name), JobRecord)
    except KeyMissing:
        return None
    if record["name"] != name:
        raise DamagedObject(record_key(name), f"it is the record of {record['name']}", store.url)
    if strange := [
        key for key in record.get("sha256", {}) if not key.startswith(f"models/{name}/")
    ]:
        raise DamagedObject(record_key(name), f"it tells of {strange[0]}", store.url)
    return record


class OutputMissing(KeyMissing, KeyError):
    """The job has not written the file; also a KeyError, so that ``in`` and ``get`` work."""


class JobOutputs(Mapping[str, bytes]):
    """A job's files other than the model, by relative path; read on access."""

    def __init__(self, store: ObjectStore, name: str, kind: Kind) -> None:
        """Open the outputs of a job; reads nothing yet.

        Args:
            store: to read from.
            name: of the job.
            kind: of the job.
        """
        self._store, self._name, self._kind = store, name, kind

    def __getitem__(self, file: str) -> bytes:
        """Return the file's bytes. Raises OutputMissing, DamagedObject."""
        try:
            if self._kind == "processing":
                return self._verified(f"models/{self._name}/processing/{file}")
            return self._archive[file]
        except (KeyMissing, KeyError):
            raise OutputMissing(
                f"job {self._name} has no output {file!r}, but: {', '.join(self) or 'none'}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the relative paths, sorted."""
        if self._kind == "processing":
            prefix = f"models/{self._name}/processing/"
            return iter([info.key.removeprefix(prefix) for info in self._store.list(prefix)])
        return iter(sorted(self._archive))

    def __len__(self) -> int:
        """Return the number of files."""
        return sum(1 for _ in self)

    @cached_property
    def _archive(self) -> dict[str, bytes]:
        """The members of output.tar.gz, read at once: reports and histories, some megabytes."""
        key = f"models/{self._name}/output/output.tar.gz"
        data = self._verified(key)
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
                files = ((member.name, archive.extractfile(member)) for member in archive)
                return {name.removeprefix("./"): file.read() for name, file in files if file}
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DamagedObject(key, flaw_of(data, error), self._store.url) from None

    @cached_property
    def _sums(self) -> Mapping[str, str]:
        record = read_job(self._store, self._name)
        sums: Mapping[str, str] = record.get("sha256", {}) if record else {}
        return sums

    def _verified(self, key: str) -> bytes:
        """Read an object and compare it with the SHA-256 in the job's record, if there is one."""
        data = self._store.get(key)
        if self._sums.get(key, "") not in ("", hashlib.sha256(data).hexdigest()):
            flaw = "its bytes are not those that the job wrote" if data else "it is empty"
            raise DamagedObject(key, flaw, self._store.url)
        return data


def metadata_values(reported: Mapping[str, Any]) -> Metadata:
    """Convert metadata from Pipes' form to Dagster's; untyped values stay plain."""
    # `imgclf runs` reads jobs without Dagster, whose import takes 1.5 s of CPU.
    from dagster._core.definitions.metadata import metadata_map_from_external

    plain = {k: v["raw_value"] for k, v in reported.items() if v["type"] == "__infer__"}
    typed = {k: v for k, v in reported.items() if v["type"] != "__infer__"}
    return {**plain, **metadata_map_from_external(typed)}
