"""Uploading a local job's outputs to the store."""

import gzip
import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path

from object_store.store import ObjectStore
from resources.compute.job_names import Kind
from resources.compute.local.folder import JobFolder
from resources.compute.outputs import (
    model_key,
)


def upload(store: ObjectStore, name: str, kind: Kind, folder: JobFolder) -> dict[str, str]:
    """Put a job's files into the store; replaces what an interrupted upload left there.

    Args:
        store: to write to.
        name: of the job.
        kind: of the job: a training job's files become archives, a processing job's stay files.
        folder: the job's folder on this machine.

    Returns:
        SHA-256 (hex) of each object, by key.
    """
    sums: dict[str, str] = {}
    if kind == "processing":
        output = folder.output_dir(kind)
        for path in files_below(output):
            key = f"models/{name}/processing/{path.relative_to(output).as_posix()}"
            sums[key] = _replace(store, key, path)
        return sums
    archives = {model_key(name): folder.model_dir}
    archives[f"models/{name}/output/output.tar.gz"] = folder.output_dir(kind)
    for key, content in archives.items():
        if files_below(content):
            archive = folder.path / key.rpartition("/")[2]
            pack(content, archive)
            sums[key] = _replace(store, key, archive)
    return sums


def _replace(store: ObjectStore, key: str, path: Path) -> str:
    """Write or overwrite an object; returns the SHA-256 (hex) of its bytes."""
    # Outputs of a job that is not done are never read, so overwriting them is safe.
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not store.create(key, path):
        store.delete(key)
        store.put(key, path)
    return digest


def pack(folder: Path, target: Path) -> None:
    """Write the folder's files as a ``.tar.gz`` that depends only on names and contents."""
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
    """List all files below the folder, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
