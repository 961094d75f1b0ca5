"""A job's inputs in S3: manifests of objects in the store, and uploads of local files."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.job_spec import JobSpec, LocalChannel
from resources.compute.sagemaker.requests import manifest

_AT_ONCE = 16


def bring_inputs(store: ObjectStore, spec: JobSpec) -> dict[str, str]:
    """Check that inputs are in the store, upload local files, and write a manifest per channel.

    Returns:
        The manifest's ``s3://`` address by channel.

    Raises:
        KeyMissing: an input is not in the store.
        FileNotFoundError: a local channel's file is missing.
    """
    # Checked here, because SageMaker would fail only after the machines were started and billed.
    _require(store, [key for channel in spec.channels.values() for key in channel.keys])
    found = {}
    for name, channel in spec.channels.items():
        keys = [channel.relative(key) for key in channel.keys]
        content = manifest(store.uri(channel.prefix.rstrip("/")), keys)
        found[name] = _write_manifest(store, spec.name, name, content)
    for name, local in spec.local_channels.items():
        prefix = _upload(store, name, local)
        content = manifest(store.uri(prefix), local.files)
        found[name] = _write_manifest(store, spec.name, name, content)
    return found


def _require(store: ObjectStore, keys: list[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        missing = [
            key for key, there in zip(keys, pool.map(store.exists, keys), strict=True) if not there
        ]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise KeyMissing(f"{', '.join(missing[:3])}{more}: not in the store {store.url}")


def _upload(store: ObjectStore, name: str, local: LocalChannel) -> str:
    """Upload missing files to ``inputs/<sha256>/``; returns that prefix."""
    missing = [str(path) for path in local.paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"channel {name!r}: {', '.join(missing)}: no such file")
    digests = [_sha256(path) for path in local.paths]
    identity = digests[0]
    if len(digests) > 1:  # they share a prefix, as a manifest has only one
        listing = "\n".join(f"{d} {p.name}" for d, p in zip(digests, local.paths, strict=True))
        identity = hashlib.sha256(listing.encode()).hexdigest()
    prefix = f"inputs/{identity}"
    for path in local.paths:
        key = f"{prefix}/{path.name}"
        if not store.exists(key):
            store.create(key, path)
    return prefix


def _write_manifest(store: ObjectStore, job: str, channel: str, content: bytes) -> str:
    """Write the manifest under a key with its own hash, so that a second attempt reuses it."""
    key = f"pipes/{job}/channels/{channel}-{hashlib.sha256(content).hexdigest()[:16]}.json"
    store.create(key, content)
    return store.uri(key)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
