"""What a job leaves in the store, on a laptop and on AWS alike: the keys, and reading them.

``models/<job>/output/model.tar.gz`` and ``output.tar.gz`` are SageMaker's own of a training job,
``models/<job>/processing/**`` are the files of a processing job; ``job.json`` comes last.
"""

import gzip
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster._core.definitions.metadata import metadata_map_from_external

from resources.job_folder import JobFolder
from resources.job_names import Kind
from resources.object_store import ObjectStore
from resources.store_errors import KeyMissing

Metadata = dict[str, Any]
"""Metadata values as ``dg.MaterializeResult`` takes them."""


def record_key(name: str) -> str:
    """Key of the record that says a job is done."""
    return f"models/{name}/job.json"


def model_key(name: str) -> str:
    """Key of a training job's model artefact."""
    return f"models/{name}/output/model.tar.gz"


class OutputMissing(KeyMissing, KeyError):  # noqa: N818 - a state, as its callers say it
    """The job has not written that file; a KeyError, so that ``in`` and ``get`` work."""

    __str__ = Exception.__str__


class JobOutputs(Mapping[str, bytes]):
    """A job's files beside the model, by relative path. Nothing is read before it is asked for."""

    def __init__(self, store: ObjectStore, name: str, kind: Kind) -> None:
        """Name the job; a job that is not done has no outputs."""
        self._store, self._name, self._kind = store, name, kind

    def __getitem__(self, file: str) -> bytes:
        """The file's bytes. Raises OutputMissing."""
        try:
            if self._kind == "processing":
                return self._store.get(f"models/{self._name}/processing/{file}")
            return self._archive[file]
        except (KeyMissing, KeyError):
            raise OutputMissing(
                f"job {self._name} has no output {file!r}, but: {', '.join(self) or 'none'}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        """The relative paths, sorted."""
        if self._kind == "processing":
            prefix = f"models/{self._name}/processing/"
            return iter([info.key.removeprefix(prefix) for info in self._store.list(prefix)])
        return iter(sorted(self._archive))

    def __len__(self) -> int:
        """How many files there are."""
        return sum(1 for _ in self)

    @cached_property
    def _archive(self) -> dict[str, bytes]:
        """The members of output.tar.gz, read at once: reports and histories, some megabytes."""
        data = self._store.get(f"models/{self._name}/output/output.tar.gz")
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            files = ((member.name, archive.extractfile(member)) for member in archive)
            return {name.removeprefix("./"): file.read() for name, file in files if file}


def metadata_values(reported: Mapping[str, Any]) -> Metadata:
    """Metadata as Pipes carries it, as Dagster takes it; untyped values stay plain."""
    plain = {k: v["raw_value"] for k, v in reported.items() if v["type"] == "__infer__"}
    typed = {k: v for k, v in reported.items() if v["type"] != "__infer__"}
    return {**plain, **metadata_map_from_external(typed)}


def upload(store: ObjectStore, name: str, kind: Kind, folder: JobFolder) -> None:
    """Put a job's files into the store, in place of what an upload that was killed left."""
    if kind == "processing":
        output = folder.output_dir(kind)
        for path in files_below(output):
            key = f"models/{name}/processing/{path.relative_to(output).as_posix()}"
            _replace(store, key, path)
        return
    archives = {model_key(name): folder.model_dir}
    archives[f"models/{name}/output/output.tar.gz"] = folder.output_dir(kind)
    for key, content in archives.items():
        if files_below(content):
            archive = folder.path / key.rpartition("/")[2]
            pack(content, archive)
            _replace(store, key, archive)


def _replace(store: ObjectStore, key: str, path: Path) -> None:
    """Nobody reads the outputs of a job that is not done, so this is no update of an object."""
    if not store.create(key, path):
        store.delete(key)
        store.put(key, path)


def pack(folder: Path, target: Path) -> None:
    """Write the folder's files as a .tar.gz that depends on names and contents only."""
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in files_below(folder):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(member, content)


def files_below(folder: Path) -> Sequence[Path]:
    """All files below the folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
