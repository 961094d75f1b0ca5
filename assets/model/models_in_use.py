"""The models whose predictions the labelling queue uses."""

import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import dagster as dg
from pydantic import ValidationError

from assets.records.materializations import newest_materialization
from assets.records.trained_model import TrainedModelRecord
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import first_flaw
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.endpoints.endpoint_host import Endpoints
from serving.deployments import STAGES
from training.artefact.artefact import MANIFEST, ArtefactManifest

Role = str
"""``prod``, ``staging`` or ``newest``."""


@dataclass(frozen=True)
class ModelInUse:
    """A model, the key of its artefact, and its role: ``prod``, ``staging`` or ``newest``."""

    model_version: str
    model_key: str
    role: Role


def models_in_use(
    instance: dg.DagsterInstance, store: ObjectStore, endpoints: Endpoints, compute: Compute
) -> list[ModelInUse]:
    """List the models in use, the one whose predictions annotators see first; empty if none.

    The order is production, which the labelling backend also uses, then staging, if it is another.
    With neither, the newest trained model, even if it failed its gates: the first labels seldom
    make a model that passes.

    Args:
        instance: the Dagster instance, for the newest ``trained_model``.
        store: object store of the project.
        endpoints: the deployments to staging and production.
        compute: knows the key of a trained model.
    """
    found: list[ModelInUse] = []
    for stage in reversed(STAGES):
        record = endpoints.readable(stage)
        if record is not None and record.model_version not in {m.model_version for m in found}:
            found.append(ModelInUse(record.model_version, record.model_key, stage))
    newest = None if found else newest_materialization(instance, store, TrainedModelRecord)
    if newest is not None:
        version = newest.model_version
        found.append(ModelInUse(version, compute.model_key(version), "newest"))
    return found


def read_model_manifest(store: ObjectStore, model_key: str) -> ArtefactManifest:
    """Read the manifest of a model artefact without unpacking it.

    Raises:
        KeyMissing: there is no such artefact.
        DamagedObject: it is not a model artefact.
    """
    with _opened(store, model_key) as raw:
        try:
            with tarfile.open(fileobj=raw, mode="r|gz") as tar:
                for member in tar:
                    file = tar.extractfile(member) if Path(member.name).name == MANIFEST else None
                    if file is not None:
                        return ArtefactManifest.model_validate_json(file.read())
        except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
            flaw = first_flaw(error) if isinstance(error, ValidationError) else str(error)
            raise DamagedObject(model_key, f"no model artefact: {flaw}", store.url) from None
    raise DamagedObject(model_key, f"no model artefact: it has no {MANIFEST}", store.url)


@contextmanager
def _opened(store: ObjectStore, key: str) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryDirectory(prefix="imgclf-") as scratch:
        path = store.local_path(key) or Path(scratch) / "model.tar.gz"
        if not path.exists():
            store.download(key, path)
        with path.open("rb") as file:
            yield file
