"""The digest of a model artefact in the store."""

from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore


def actual_digest(store: ObjectStore, model_key: str) -> str:
    """Compute the digest of the artefact in the store and verify every member.

    Raises:
        object_store.contents.damage.DamagedObject: the artefact is damaged.
        object_store.errors.KeyMissing: it is not there.
    """
    import tempfile
    from pathlib import Path

    from training.artefact.artefact import digest, unpack
    from training.errors import ArtefactError

    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        archive = store.local_path(model_key) or Path(scratch) / "model.tar.gz"
        if not archive.exists():
            store.download(model_key, archive)
        try:
            return digest(unpack(archive, Path(scratch) / "model"))
        except ArtefactError as error:
            flaw = str(error).removeprefix(f"{archive}: ").removeprefix(f"{archive} ")
            raise DamagedObject(model_key, flaw, store.url) from None
