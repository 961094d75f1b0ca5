"""The champion: the model in production that a candidate is compared with."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset.splits.generations import generation_number
from assets.dataset.versions import read_dataset_manifest
from assets.evaluation.records import newest_evaluation
from assets.model.digest import actual_digest
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing, ObjectRefused
from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import Endpoints
from serving.deployments import DeploymentRecord, version_in

NONE_YET = "no champion yet"
ITSELF = "it is the model in production, so it has no champion"


@dataclass(frozen=True)
class Champion:
    """The champion's deployment, or why there is none."""

    record: DeploymentRecord | None
    why_none: str = ""


def find_champion(store: ObjectStore, endpoints: Endpoints, digest: str) -> Champion:
    """Find the champion for a candidate.

    A model in production whose record or artefact is missing or damaged counts as none; otherwise
    no candidate, not even its replacement, could pass.

    Args:
        store: object store of the project.
        endpoints: the deployments to staging and production.
        digest: of the candidate's artefact, 64 hex digits.

    Raises:
        StoreError: the store does not answer.
    """
    try:
        record = endpoints.current("prod")
        if record is None:
            return Champion(None, NONE_YET)
        if record.digest == digest:
            return Champion(None, ITSELF)
        found = actual_digest(store, record.model_key)
    except (DamagedObject, KeyMissing, ObjectRefused) as error:
        return _unreadable(endpoints, str(error))
    if found != record.digest:
        return _unreadable(
            endpoints,
            f"{record.model_key} has digest {found[:12]}, and {record.digest[:12]} was deployed",
        )
    return Champion(record)


def unless_seen(store: ObjectStore, found: Champion, dataset_version: str) -> Champion:
    """Return the champion, unless it was trained on images of the test split.

    That happens only after all images were dealt again. The champion's scores on images that it
    was trained on would be too high for any candidate.

    Args:
        store: has the data sets of both.
        found: the champion, or why there is none.
        dataset_version: data set that the candidate was trained and is tested on.

    Returns:
        ``found``, or no champion with the reason.
    """
    if found.record is None or not generation_number(store):
        return found
    name = found.record.model_version
    try:
        evaluation = newest_evaluation(store, name)
        trained = str(evaluation["dataset_version"]) if evaluation else ""
        learnt = _images(store, trained, ("train", "val"))
    except (DamagedObject, KeyMissing) as error:
        return Champion(
            None,
            f"the images were dealt to the splits again, and the training data of {name}, which "
            f"is in production, cannot be read ({error}): it counts as no champion",
        )
    test = _images(store, dataset_version, ("test",))
    if not learnt & test:
        return found
    return Champion(
        None,
        f"the images were dealt to the splits again, and {name}, which is in production, was "
        f"trained on {len(learnt & test)} of the {len(test)} test images: it counts as no "
        "champion, as its scores would be too good",
    )


def _images(store: ObjectStore, dataset_version: str, splits: tuple[str, ...]) -> set[str]:
    """Return the images (sha256) of a data set that are in ``splits``."""
    if not dataset_version:
        raise KeyMissing("no evaluation says which data set it was trained on")
    rows = read_dataset_manifest(store, dataset_version)
    rows = rows.filter(pc.is_in(rows["split"], value_set=pa.array(splits)))
    return set(rows["sha256"].to_pylist())


def _unreadable(endpoints: Endpoints, why: str) -> Champion:
    key = endpoints.newest_key("prod") or ""
    return Champion(
        None,
        f"the model in production, {version_in(key)}, cannot be read and counts as no champion: "
        f"{why} (its record: {key}); `imgclf rollback` returns to the one before",
    )
