"""Warm start: the model whose weights a training begins with, named by a person."""

from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg

from assets.model.digest import actual_digest
from assets.model.models_in_use import read_model_manifest
from object_store.contents.damage import DamagedObject
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.job_spec import Channel
from resources.endpoints.endpoint_host import Endpoints
from serving.deployments import Stage
from training.config import Hyperparameters

CHANNEL = "parent"
"""The job's input channel with the model's artefact (training.fitting.warm_start)."""

STAGES: dict[str, Stage] = {"champion": "prod", "staging": "staging"}
"""Names of models by what serves them, beside model versions."""

START_FROM = (
    "Model version whose weights the training starts from; champion: the model in production; "
    "staging: the one on staging; empty: pretrained weights."
)


@dataclass(frozen=True)
class StartPoint:
    """A model to start from.

    Attributes:
        model_version: name of its training job.
        digest: sha256 of its artefact (hex).
        key: of the artefact.
        recipe: that it was trained by.
        architecture: its net, or several joined by ``+``.
        input_size: width and height of its images in pixels.
    """

    model_version: str
    digest: str
    key: str
    recipe: str
    architecture: str
    input_size: int

    @property
    def channel(self) -> Channel:
        """The artefact as a job's input."""
        return Channel(prefix=self.key.rpartition("/")[0], keys=(self.key,))

    def given_to(
        self, hyperparameters: Hyperparameters, given: Collection[str]
    ) -> tuple[Hyperparameters, set[str]]:
        """Return the hyperparameters of a training that starts from this model.

        Net and image size are the model's, unless the user set others.

        Args:
            hyperparameters: of the training.
            given: names of those that the user set.

        Returns:
            The hyperparameters, and the names of those that are set now.

        Raises:
            dagster.Failure: the recipe cannot start from this model.
        """
        if hyperparameters.recipe == "probe":
            raise _refused(
                "recipe probe keeps the pretrained weights, so it starts from no model: set "
                'recipe = "finetune"'
            )
        if hyperparameters.recipe != self.recipe and "scratch" in (
            hyperparameters.recipe,
            self.recipe,
        ):
            raise _refused(
                f"{self.model_version} was trained by recipe {self.recipe}: recipe "
                f"{hyperparameters.recipe} has another net"
            )
        if "+" in self.architecture:
            raise _refused(
                f"{self.model_version} is a probe of several nets ({self.architecture}), of which "
                "none was trained: start from a fine-tuned model"
            )
        changes: dict[str, object] = {"parent_digest": self.digest}
        if "architecture" not in given and self.recipe != "scratch":
            changes["architecture"] = self.architecture
        if "image_size" not in given:
            changes["image_size"] = self.input_size
        found = Hyperparameters.model_validate({**hyperparameters.model_dump(), **changes})
        return found, {*given, *changes}


def find_start(store: ObjectStore, compute: Compute, endpoints: Endpoints, name: str) -> StartPoint:
    """Find the model that a person named.

    Args:
        store: object store of the project.
        compute: knows the key of a trained model.
        endpoints: know what is served.
        name: a model version, ``champion`` or ``staging``.

    Raises:
        dagster.Failure: there is no such model, or it cannot be read.
    """
    version, key = name, compute.model_key(name)
    if stage := STAGES.get(name):
        record = endpoints.readable(stage)
        if record is None:
            raise _refused(f"nothing is on {stage}, so that there is no {name} to start from")
        version, key = record.model_version, record.model_key
    try:
        manifest = read_model_manifest(store, key)
        digest = actual_digest(store, key)
    except KeyMissing:
        raise _refused(
            f"there is no model {version!r} in {store.url}: name a version that imgclf runs lists, "
            "champion, or staging"
        ) from None
    except DamagedObject as damage:
        raise _refused(f"{version} cannot be started from: {damage}") from damage
    return StartPoint(
        model_version=version,
        digest=digest,
        key=key,
        recipe=manifest.recipe,
        architecture=manifest.architecture,
        input_size=manifest.input_size,
    )


def _refused(reason: str) -> dg.Failure:
    return dg.Failure(reason, allow_retries=False)
