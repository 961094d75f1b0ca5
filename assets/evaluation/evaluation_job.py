"""The job that evaluates the candidate and the champion on the same test images."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import dagster as dg

from assets.annotations.label_names import label_names
from assets.evaluation.records import newest_evaluation
from assets.line import fingerprint
from assets.model.trained_model import dataset_channel
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.materializations import materialization_of
from labelling.labels.schema import LabelSchema
from object_store.contents.damage import DamagedObject
from object_store.errors import StoreError
from object_store.store import ObjectStore
from resources.compute.job_names import job_name
from resources.compute.job_spec import Channel, JobSpec
from serving.deployments import DeploymentRecord
from training.config import CODE_VERSION
from training.data.known_features import TEST_FEATURES
from training.evaluation.known_answers import PREDICTIONS

_LOOKED_AT = 5
"""Number of last evaluations of which one may have left features of test images."""


def evaluation_job(
    card: Mapping[str, Any],
    digest: str,
    champion_digest: str,
    models: Mapping[str, str],
    *,
    renamed: Mapping[str, str] | None = None,
) -> JobSpec:
    """Describe the job that evaluates ``models`` on a data set.

    Args:
        card: the data set's card.
        digest: of the candidate's artefact.
        champion_digest: of the champion's artefact; empty if there is none.
        models: channel to key of model.tar.gz.
        renamed: former to present name of the champion's renamed classes.
    """
    called = {"renamed": json.dumps(dict(renamed))} if renamed else {}
    identity = {
        **called,
        "dataset": card["version"],
        "model": digest,
        "champion": champion_digest,
        "code": CODE_VERSION,
    }
    return JobSpec(
        name=job_name("eval", fingerprint(identity)),
        kind="processing",
        module="training.evaluate",
        hyperparameters={"dataset_version": card["version"], **called},
        channels={
            "dataset": dataset_channel(card),
            **{
                name: Channel(prefix=f"{key.rpartition('/')[0]}/", keys=(key,))
                for name, key in models.items()
            },
        },
    )


def champion_answers(store: ObjectStore, champion: DeploymentRecord) -> dict[str, Channel]:
    """Return the predictions of the champion's newest evaluation as a channel, if there are some.

    They decide nothing: the job verifies that the same artefact and code gave them, and predicts what
    is missing.
    """
    try:
        known = newest_evaluation(store, champion.model_version)
        prefix = f"models/{known['job']}/processing/" if known else ""
        if not known or not store.exists(f"{prefix}{PREDICTIONS}"):
            return {}
    except StoreError:
        return {}
    return {"champion_answers": Channel(prefix=prefix, keys=(f"{prefix}{PREDICTIONS}",))}


def evaluated_before(instance: dg.DagsterInstance, store: ObjectStore) -> Iterator[str]:
    """Yield the model versions of the last evaluations, the latest first.

    Args:
        instance: stores the events.
        store: holds the records.
    """
    asset = dg.AssetKey(EvaluationReportRecord.asset)
    for record in instance.fetch_materializations(asset, limit=_LOOKED_AT).records:
        with suppress(StoreError):
            made = materialization_of(store, record.event_log_entry, EvaluationReportRecord)
            if made is not None:
                yield made.model_version


def known_features(store: ObjectStore, versions: Iterable[str]) -> dict[str, Channel]:
    """Return the features that an earlier evaluation left as a channel, if one left some.

    They decide nothing: the job verifies that the candidate's net computes the same, and computes what
    is missing.

    Args:
        store: holds the outputs of evaluations.
        versions: models that were evaluated, the latest first; the first with features counts.
    """
    for version in versions:
        try:
            known = newest_evaluation(store, version)
            prefix = f"models/{known['job']}/processing/" if known else ""
            if known and store.exists(f"{prefix}{TEST_FEATURES}"):
                return {
                    "known_features": Channel(prefix=prefix, keys=(f"{prefix}{TEST_FEATURES}",))
                }
        except StoreError:
            continue
    return {}


def renamed_since(
    store: ObjectStore,
    schema: LabelSchema,
    champion: DeploymentRecord | None,
    labels: Collection[str],
) -> dict[str, str]:
    """Map the champion's classes that were renamed since its training to their present names.

    Without it a renamed class would count as wrong.

    Args:
        store: object store of the project.
        schema: label schema from the settings.
        champion: the champion's deployment, or ``None``.
        labels: the data set's labels.

    Returns:
        Former name to present name, of present names that are in ``labels``.
    """
    if champion is None:
        return {}
    aliases = label_names(store, schema).aliases
    try:
        known = newest_evaluation(store, champion.model_version) if aliases else None
    except DamagedObject:
        known = None
    theirs = known["labels"] if known else aliases
    found = {old: aliases[old] for old in theirs if old in aliases and old not in labels}
    return {old: new for old, new in sorted(found.items()) if new in labels}
