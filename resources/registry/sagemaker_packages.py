"""Converting model packages to SageMaker's API and back."""

import json
import re
from collections.abc import Mapping
from typing import Any

from resources.registry.registry import ModelPackage
from resources.registry.sagemaker_approval import Decision

_CONTENT_TYPES = [
    "application/x-image",
    "image/jpeg",
    "image/png",
    "image/webp",
    "application/json",
]
_NOT_ALLOWED = re.compile(r"[^\w\s.:/=+\-@]")
"""Customer metadata takes letters, digits, spaces and these signs: botocore's service model."""


def create_request(
    package: ModelPackage,
    *,
    group: str,
    image_uri: str,
    model_url: str,
    metrics_url: str,
    token: str,
) -> dict[str, Any]:
    """Build the request of CreateModelPackage.

    Args:
        package: to register, as pending.
        group: name of the model package group.
        image_uri: of the container that serves it.
        model_url: ``s3://`` address of ``model.tar.gz``.
        metrics_url: ``s3://`` address of a JSON document of its metrics, "" for none.
        token: ClientToken, which makes the request idempotent.
    """
    request: dict[str, Any] = {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": _description(package),
        "ModelApprovalStatus": "PendingManualApproval",
        "Domain": "COMPUTER_VISION",
        "Task": "IMAGE_CLASSIFICATION",
        "InferenceSpecification": {
            "Containers": [{"Image": image_uri, "ModelDataUrl": model_url}],
            "SupportedContentTypes": _CONTENT_TYPES,
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "CustomerMetadataProperties": _metadata(package),
        "ClientToken": token,
    }
    if metrics_url:
        statistics = {"ContentType": "application/json", "S3Uri": metrics_url}
        request["ModelMetrics"] = {"ModelQuality": {"Statistics": statistics}}
    return request


def package_of(described: Mapping[str, Any], document: bytes, decision: Decision) -> ModelPackage:
    """Build a package from DescribeModelPackage's answer and the store's document.

    Args:
        described: the answer. Its digest, data set and code version replace the document's.
        document: JSON of the package in the store.
        decision: the newest about it.
    """
    metadata = described.get("CustomerMetadataProperties", {})
    return ModelPackage.model_validate(
        {
            **json.loads(document),
            "digest": metadata["digest"],
            "dataset_version": metadata["dataset_version"],
            "code_version": metadata["code_version"],
            "approval_status": decision.status,
            "approver": decision.approver,
            "approval_reason": decision.reason,
            "approval_changed_at": decision.changed_at,
            "decision": decision.number,
            "registry_version": str(described.get("ModelPackageVersion", "")),
            "created_at": described["CreationTime"],
        }
    )


def _description(package: ModelPackage) -> str:
    """Return the description, whose beginning names the model version; at most 1,024 characters."""
    text = f"{package.model_version}: trained on data set {package.dataset_version}"
    told = "".join(c for c in package.licences if c.isprintable())
    return f"{text}; {told}"[:1024] if told else text


def _metadata(package: ModelPackage) -> dict[str, str]:
    """Return customer metadata: identity, lineage and as many metrics as fit into 50 entries."""
    identity = {
        "model_version": package.model_version,
        "digest": package.digest,
        "dataset_version": package.dataset_version,
        "code_version": package.code_version,
        "training_job": package.model_version,
        "task": package.task,
        "labels": str(len(package.labels)),
    }
    if package.evaluation_run:
        identity["evaluation"] = package.evaluation_run
    metrics = {
        f"metric.{_NOT_ALLOWED.sub('_', name)}"[:128]: f"{value:.6g}"
        for name, value in list(package.metrics.items())[:40]
    }
    return {**identity, **metrics}
