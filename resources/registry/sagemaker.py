"""The model registry on SageMaker: a package group per project, a package per model version.

The approval status is SageMaker's own, so approvals in the console or in Studio count, too.
Identity and metrics are the package's customer metadata. Fields that do not fit there, such as the
names of labels, are in an immutable object of the store. Decisions made here are also kept as
objects, since SageMaker keeps only the last one.
API: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateModelPackage.html
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from botocore.exceptions import BotoCoreError, ClientError

from object_store.contents.numbered import DIGITS, next_number
from object_store.store import ObjectStore
from resources.aws.errors import error_message, is_missing
from resources.aws.session import AwsSession
from resources.registry.registry import (
    ApprovalStatus,
    ModelPackage,
    ModelRegistry,
    PackageMissing,
    RegistryError,
)
from resources.registry.sagemaker_approval import Decision, decision_of, decision_text
from resources.registry.sagemaker_packages import create_request, package_of
from resources.registry.training_run import TrainingRun, noted_failure
from resources.waiting import poll

if TYPE_CHECKING:
    from resources.registry.mlflow import MlflowRegistry

_logger = logging.getLogger(__name__)

DECISIONS = "registry/decisions"

_LISTED_S, _LOOK_S = 10.0, 0.5
"""Seconds that a registered package may be missing from SageMaker's list, which is eventually
consistent; and seconds between two look-ups."""

_described: dict[tuple[str, str, str], ModelPackage] = {}
"""Cached packages by ARN, status and key of the last decision. Registered packages never change, and
a sensor that described all of them every few seconds would be throttled."""


class SageMakerRegistry(ModelRegistry):
    """SageMaker's registry; needs no lock, because creation carries a client token.

    Attributes:
        session: the account and region.
        store: holds the artefacts and what a package cannot.
        image_uri: the image that serves the packages.
        package_group: name of the model package group; "" for the project's.
        tracking_uri: ARN of a SageMaker MLflow server, or address of any MLflow server, which gets
            the runs of trainings and evaluations; "": none.
    """

    session: AwsSession
    store: dg.ResourceDependency[ObjectStore]
    image_uri: str
    package_group: str = ""
    tracking_uri: str = ""

    @property
    def group(self) -> str:
        """Name of the model package group."""
        return self.package_group or self.project

    def prepare(self) -> None:
        """See :meth:`ModelRegistry.prepare`."""
        with _translated(f"model package group {self.group}"):
            try:
                self._client.describe_model_package_group(ModelPackageGroupName=self.group)
            except ClientError as error:
                if not is_missing(error):
                    raise
                self._create_group()

    def register(self, package: ModelPackage) -> ModelPackage:
        """See :meth:`ModelRegistry.register`."""
        summary = self._find(package.model_version)
        if summary is None:
            self.prepare()
            fresh = package.immutable()
            self.store.create(
                _document_key(package.model_version), fresh.model_dump_json().encode()
            )
            with _translated(f"model package {package.model_version}"):
                summary = self._client.create_model_package(
                    **create_request(
                        fresh,
                        group=self.group,
                        image_uri=self.image_uri,
                        model_url=self.store.uri(package.model_key),
                        metrics_url=self._metrics_url(package),
                        token=_token(self.group, package.model_version, package.digest),
                    )
                )
        return self._same(self._described(summary["ModelPackageArn"]), package)

    def get(self, model_version: str) -> ModelPackage:
        """See :meth:`ModelRegistry.get`."""
        return self._described(self._require(model_version)["ModelPackageArn"])

    def list(self) -> Sequence[ModelPackage]:
        """See :meth:`ModelRegistry.list`.

        Makes one call per hundred packages, and one for each whose decision is not cached.
        """
        decided = {
            info.key.rpartition("/")[2].partition("-")[2].removesuffix(".json"): info.key
            for info in self.store.list(DECISIONS)
        }
        found: dict[str, ModelPackage] = {}
        for summary in self._summaries():
            version = _version_of(summary)
            key = (
                summary["ModelPackageArn"],
                summary.get("ModelApprovalStatus", ""),
                decided.get(version, ""),
            )
            if key not in _described:
                if not self.store.exists(_document_key(version)):
                    continue  # registered from another store that shares the group
                _described[key] = self._described(summary["ModelPackageArn"])
            found[version] = _described[key]  # of twins the older one counts, as in _find
        return tuple(sorted(found.values(), key=_age, reverse=True))

    def set_approval(
        self,
        model_version: str,
        status: ApprovalStatus,
        *,
        by: str,
        reason: str,
        digest: str,
        after: int | None = None,
    ) -> ModelPackage:
        """Record a decision in SageMaker and in the store; see :meth:`ModelRegistry.set_approval`.

        Status, approver and reason change in one call of UpdateModelPackage.

        Args:
            model_version: name of the model version.
            status: the decision.
            by: name of the approver.
            reason: of the decision.
            digest: of the model that was judged: SHA-256, 64 hex digits.
            after: ``decision_order`` of the package as the caller read it.
        """
        self._require_decision(model_version, status, by)
        arn = self._require(model_version)["ModelPackageArn"]
        package = self._described(arn)
        self._require_digest(package, digest)
        self._require_newest(package, after)
        self._keep(package)  # the decision before, which a crash may have left unkept
        decided = [known.decision_order for known in self.list()]
        number = max([*decided, next_number(self.store, DECISIONS) - 1]) + 1
        decision = Decision(status, by, reason, datetime.now(UTC), number)
        with _translated(f"model package {model_version}"):
            self._client.update_model_package(
                ModelPackageArn=arn,
                ModelApprovalStatus=status,
                ApprovalDescription=decision_text(decision),
            )
        package = self._described(arn)
        self._keep(package)
        return package

    def decisions(self, model_version: str) -> Sequence[ModelPackage]:
        """Read the decisions from objects of the store; see :meth:`ModelRegistry.decisions`."""
        kept = [info.key for info in self.store.list(DECISIONS)]
        return tuple(
            ModelPackage.model_validate_json(self.store.get(key))
            for key in kept
            if key.partition("-")[2] == f"{model_version}.json"
        )

    def log_training(self, run: TrainingRun) -> str:
        """Log a training in MLflow if there is a server; see :meth:`ModelRegistry.log_training`.

        SageMaker itself has the hyperparameters and the metrics of each epoch with the training job.
        """
        return self._tracking.log_training(run) if self._tracking else ""

    def log_evaluation(
        self,
        model_version: str,
        *,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        artifacts: Mapping[str, Path],
    ) -> str:
        """Log an evaluation as objects of the store; see :meth:`ModelRegistry.log_evaluation`.

        An MLflow server, if there is one, gets it as well; if it does not answer, the log says so.

        Args:
            model_version: name of the model version.
            params: of the run, as text.
            metrics: of the run.
            artifacts: local files by their path under the run.

        Returns:
            The run's id: the prefix of its objects.
        """
        document = json.dumps({"params": dict(params), "metrics": dict(metrics)}, sort_keys=True)
        run = f"registry/evaluations/{model_version}/{hashlib.sha256(document.encode()).hexdigest()[:16]}"
        for name, path in artifacts.items():
            self.store.create(f"{run}/{name}", path)
        if self._tracking:
            with noted_failure(f"the evaluation of {model_version}", _logger.warning):
                self._tracking.log_evaluation(
                    model_version, params=params, metrics=metrics, artifacts=artifacts
                )
        self.store.create(_metrics_key(run), document.encode())  # last: marks the run as complete
        return run

    @property
    def _tracking(self) -> "MlflowRegistry | None":
        if not self.tracking_uri:
            return None
        from resources.registry.mlflow import MlflowRegistry

        return MlflowRegistry(tracking_uri=self.tracking_uri, project=self.project)

    def _create_group(self) -> None:
        try:
            self._client.create_model_package_group(
                ModelPackageGroupName=self.group,
                ModelPackageGroupDescription=f"Models of {self.project}, by imgclf-dagster",
            )
        except ClientError as error:
            if "already exists" not in str(error):  # another process created it first
                raise

    @property
    def _client(self) -> Any:
        return self.session.client("sagemaker")

    def _keep(self, package: ModelPackage) -> None:
        """Write the package's decision as a permanent object, unless there is none."""
        if package.approval_changed_at is None:
            return
        key = f"{DECISIONS}/{package.decision_order:0{DIGITS}d}-{package.model_version}.json"
        self.store.create(key, package.model_dump_json().encode())

    def _metrics_url(self, package: ModelPackage) -> str:
        return (
            self.store.uri(_metrics_key(package.evaluation_run)) if package.evaluation_run else ""
        )

    def _described(self, arn: str) -> ModelPackage:
        with _translated(f"model package {arn}"):
            answer = self._client.describe_model_package(ModelPackageName=arn)
        version = _version_of(answer)
        return package_of(answer, self.store.get(_document_key(version)), decision_of(answer))

    def _summaries(self) -> Iterator[dict[str, Any]]:
        """Yield summaries of our packages in the group, newest first; none without a group."""
        pages = self._client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.group, SortBy="CreationTime", SortOrder="Descending"
        )
        with _translated(f"model package group {self.group}"):
            try:
                for page in pages:
                    for summary in page["ModelPackageSummaryList"]:
                        if _version_of(summary):
                            yield summary
            except ClientError as error:
                if not is_missing(error):
                    raise

    def _find(self, model_version: str) -> dict[str, Any] | None:
        """Return the summary of a version's package (the oldest of several), or ``None``."""
        found = [item for item in self._summaries() if _version_of(item) == model_version]
        return found[-1] if found else None

    def _require(self, model_version: str) -> dict[str, Any]:
        summary = poll(
            lambda: self._find(model_version),
            lambda found: found or not self.store.exists(_document_key(model_version)),
            deadline=time.monotonic() + _LISTED_S,
            poll_s=_LOOK_S,
        )
        if summary is None:
            raise PackageMissing(
                f"no package {model_version!r} in the model package group {self.group}; "
                "`imgclf status` lists what is registered"
            )
        return summary


@contextmanager
def _translated(item: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise RegistryError(error_message(error, item)) from error


def _version_of(described: Mapping[str, Any]) -> str:
    """Return the model version at the beginning of the description; "" for other packages."""
    word, mark, _ = str(described.get("ModelPackageDescription", "")).partition(": ")
    return word if mark else ""


def _age(package: ModelPackage) -> tuple[datetime, int]:
    return package.created_at or datetime.min.replace(tzinfo=UTC), int(package.registry_version)


def _document_key(model_version: str) -> str:
    return f"registry/packages/{model_version}.json"


def _metrics_key(run: str) -> str:
    return f"{run}/metrics.json"


def _token(*parts: str) -> str:
    """Return a client token that is the same for the same parts, so that creation is idempotent."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:36]
