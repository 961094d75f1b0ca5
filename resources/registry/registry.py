"""Port: the model registry: models, their evaluations and approvals.

Locally MLflow (``mlflow.py``), on AWS SageMaker's Model Registry (``sagemaker.py``).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, get_args

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from errors.base import ImgclfError
from labelling.labels.schema import Task
from resources.registry.training_run import TrainingRun

ApprovalStatus = Literal["PendingManualApproval", "Approved", "Rejected"]
"""SageMaker's values (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ModelPackage.html)."""


class RegistryError(ImgclfError, RuntimeError):
    """The registry rejects a call; the message names the model version and the remedy."""


class PackageMissing(RegistryError):
    """No package of that model version is registered."""


class DigestMismatch(RegistryError):
    """The digest is not the one that is registered for this model version."""


class DecisionOvertaken(RegistryError):
    """Somebody decided about the model version since the caller read the registry."""


class ModelPackage(BaseModel):
    """A registered model: its inputs, its scores and its approval."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_version: str = Field(min_length=1, pattern=r"^[A-Za-z0-9-]+$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    model_key: str = Field(min_length=1, description="Key of model.tar.gz in the store.")
    model_uri: str = Field(default="", description="The same as a URL, for people and other tools.")
    dataset_version: str
    code_version: str
    task: Task = "single_label"
    labels: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    card: str = Field(default="", description="Model card, Markdown; not read back from MLflow.")
    licences: str = Field(default="", description="Of its pretrained weights, in one line.")
    evaluation_run: str = Field(default="", description="Id of the run made by log_evaluation.")
    approval_status: ApprovalStatus = "PendingManualApproval"
    approver: str = ""
    approval_reason: str = ""
    approval_changed_at: AwareDatetime | None = None
    decision: int = Field(
        default=0,
        ge=0,
        description="Number of the decision: newest + 1 in this registry. 0: none was made, or by "
        "hand in the registry, or before decisions were numbered.",
    )
    registry_version: str = Field(default="", description="The registry's own number; set by it.")
    created_at: AwareDatetime | None = Field(
        default=None, description="When registered; set by it."
    )

    def immutable(self) -> Self:
        """Return the package without the registry's fields: number, dates and approval."""
        return self.model_copy(
            update={
                "approval_status": "PendingManualApproval",
                "approver": "",
                "approval_reason": "",
                "approval_changed_at": None,
                "decision": 0,
                "registry_version": "",
                "created_at": None,
            }
        )

    @property
    def decided_at(self) -> datetime:
        """When the status was decided; a status that was set by hand in MLflow carries no time,
        and counts from the registration."""
        moment = self.approval_changed_at or self.created_at
        return moment or datetime.min.replace(tzinfo=UTC)

    @property
    def decision_order(self) -> int:
        """Sorts decisions: their number, else their time in milliseconds since the epoch, from
        which numbers go on; 0 without a decision."""
        if self.decision or self.approval_status == "PendingManualApproval":
            return self.decision
        return max(0, round(self.decided_at.timestamp() * 1000))


class ModelRegistry(dg.ConfigurableResource):
    """What every registry can do. ``project`` names the registered model (the package group)."""

    project: str

    @abstractmethod
    def prepare(self) -> None:
        """Create the registry's containers now, so that programs do not race to create them later."""

    @abstractmethod
    def register(self, package: ModelPackage) -> ModelPackage:
        """Register ``package`` as pending; returns the existing package if it is registered already.

        Raises:
            DigestMismatch: this model version is registered with another digest.
        """

    @abstractmethod
    def get(self, model_version: str) -> ModelPackage:
        """Return the package of ``model_version``. Raises PackageMissing."""

    @abstractmethod
    def list(self) -> Sequence[ModelPackage]:
        """List all packages, newest first."""

    @abstractmethod
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
        """Record an approval decision about a model version of exactly this digest.

        Each call is a new decision with the next number, also if the status stays the same.

        Args:
            model_version: name of the model version.
            status: the decision.
            by: name of the approver.
            reason: of the decision.
            digest: of the model that was judged: SHA-256, 64 hex digits.
            after: ``decision_order`` of the package as the caller read it: a person decides by
                what they saw. ``None``: whatever was decided before.

        Returns:
            The package after the decision.

        Raises:
            PackageMissing: the model version is not registered.
            DigestMismatch: it is registered with another digest.
            DecisionOvertaken: another decision came after ``after``; nothing is recorded.
            RegistryError: ``by`` is empty, or ``status`` is unknown.
        """

    @abstractmethod
    def decisions(self, model_version: str) -> Sequence[ModelPackage]:
        """Return the package after each decision made with :meth:`set_approval`, oldest first."""

    @abstractmethod
    def log_training(self, run: TrainingRun) -> str:
        """Log the training of a model version as a run.

        Logging it again returns the same run, and completes it if it was interrupted.

        Returns:
            The run's id; "" where there is nothing to log it to.
        """

    @abstractmethod
    def log_evaluation(
        self,
        model_version: str,
        *,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        artifacts: Mapping[str, Path],
    ) -> str:
        """Log an evaluation as a run.

        Logging the same evaluation again returns the same run, and completes it if it was
        interrupted.

        Args:
            model_version: name of the model version.
            params: of the run, as text.
            metrics: of the run.
            artifacts: local files by their path under the run.

        Returns:
            The run's id.
        """

    @staticmethod
    def _same(registered: ModelPackage, package: ModelPackage) -> ModelPackage:
        """Return ``registered`` if its digest is that of ``package``. Raises DigestMismatch."""
        if registered.digest != package.digest:
            raise DigestMismatch(
                f"{package.model_version} is registered with digest {registered.digest}, "
                f"not {package.digest}: a model version never changes; train a new one"
            )
        return registered

    @staticmethod
    def _require_decision(model_version: str, status: ApprovalStatus, by: str) -> None:
        """Check a decision's approver and status. Raises RegistryError."""
        if not by.strip():
            raise RegistryError(f"the decision about {model_version} needs a name: who decides?")
        if status not in get_args(ApprovalStatus):
            raise RegistryError(f"{status!r} is none of {', '.join(get_args(ApprovalStatus))}")

    @staticmethod
    def _require_newest(package: ModelPackage, after: int | None) -> None:
        """Check that nobody decided since the caller looked. Raises DecisionOvertaken."""
        if after is not None and package.decision_order != after:
            why = f": {package.approval_reason}" if package.approval_reason else ""
            raise DecisionOvertaken(
                f"{package.model_version} was {package.approval_status.lower()} by "
                f"{package.approver or 'nobody'} at the same time{why}. That stands, and nothing "
                "else was recorded",
                "look at it (`imgclf status`), then decide again",
            )

    @staticmethod
    def _require_digest(package: ModelPackage, digest: str) -> None:
        """Check that a decision's digest is this package's. Raises DigestMismatch."""
        if package.digest != digest:
            raise DigestMismatch(
                f"{package.model_version} has digest {package.digest}, and the decision names "
                f"{digest}"
            )
