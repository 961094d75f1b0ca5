"""The candidate: the trained model, or the challenger that is better."""

from dataclasses import dataclass

import dagster as dg

from assets.records.challenger_model import ChallengerModelRecord
from assets.records.materializations import newest_materialization, require_materialization
from assets.records.trained_model import TrainedModelRecord
from object_store.store import ObjectStore


@dataclass(frozen=True)
class Candidate:
    """The model that may be released.

    Attributes:
        asset: ``trained_model`` or ``challenger_model``; its metadata have the configuration.
        model_version: name of its training job.
        dataset_version: the data set version that it was trained on.
        digest: sha256 of its artefact (hex).
        challenger: what became of the challenger of the trained model, as a sentence; empty: there
            was none yet.
    """

    asset: str
    model_version: str
    dataset_version: str
    digest: str
    challenger: str = ""


def candidate_of(model: TrainedModelRecord, challenger: ChallengerModelRecord | None) -> Candidate:
    """Return the better of the newest trained model and the newest challenger.

    A challenger that was compared with another model counts for nothing.
    """
    if challenger is not None and challenger.replaces(model.model_version):
        return Candidate(
            challenger.asset,
            challenger.model_version,
            challenger.dataset_version,
            challenger.digest,
            challenger.reason,
        )
    is_about_it = challenger is not None and challenger.base == model.model_version
    said = challenger.reason if challenger is not None and is_about_it else ""
    return Candidate(model.asset, model.model_version, model.dataset_version, model.digest, said)


def require_candidate(instance: dg.DagsterInstance, store: ObjectStore) -> Candidate:
    """Return the candidate of the newest materializations.

    Args:
        instance: the Dagster instance.
        store: object store of the project.

    Raises:
        dagster.Failure: no model was trained yet.
        DamagedObject: a record cannot be read.
    """
    model = require_materialization(instance, store, TrainedModelRecord)
    return candidate_of(model, newest_materialization(instance, store, ChallengerModelRecord))
