"""The job that evaluates the candidate and the champion on the same test images."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from assets.annotations.label_names import label_names
from assets.evaluation.records import newest_evaluation
from assets.line import fingerprint
from assets.model.trained_model import dataset_channel
from labelling.labels.schema import LabelSchema
from object_store.contents.damage import DamagedObject
from object_store.errors import StoreError
from object_store.store import ObjectStore
from resources.compute.job_names import job_name
from resources.compute.job_spec import Channel, JobSpec
from serving.deployments import DeploymentRecord
from training.config import CODE_VERSION
from training.evaluation.known_answers import PREDICTIONS


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
