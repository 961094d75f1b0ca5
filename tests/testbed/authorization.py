"""What an API call asks of IAM: actions on resources, and what it says of itself.

As far as the line's own calls go; an operation that is not here is not refused to anybody.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.testbed.calls import Call
from tests.testbed.state import ACCOUNT, State


@dataclass(frozen=True)
class Request:
    """One action on one resource."""

    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict)


def requests_of(state: State, call: Call) -> Iterator[Request]:
    """All that a call asks for; nothing if it is not known, or always allowed."""
    service = "sagemaker" if call.service == "sagemaker-runtime" else call.service
    ask = _SERVICES.get(service)
    if ask is not None:
        yield from ask(state, call)


def _arn(state: State, service: str, resource: str) -> str:
    return f"arn:aws:{service}:{state.region}:{ACCOUNT}:{resource}"


_S3 = {
    "HeadObject": "GetObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
}
_S3_SAME = (
    "GetObject",
    "PutObject",
    "DeleteObject",
    "AbortMultipartUpload",
    "GetBucketLocation",
    "GetBucketVersioning",
)


def _s3(state: State, call: Call) -> Iterator[Request]:
    action = _S3.get(call.operation, call.operation if call.operation in _S3_SAME else "")
    if not action or bucket_region(call.request["Bucket"]) is None:
        return  # DeleteObjects names its keys in the body; what is not there is nobody's
    bucket, key = call.request["Bucket"], call.request.get("Key")
    resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    context = {"s3:prefix": call.request["prefix"]} if "prefix" in call.request else {}
    yield Request(f"s3:{action}", resource, context)


def bucket_region(name: str) -> str | None:
    """Where a bucket is; S3 tells it even to those whom it denies all else."""
    from moto.s3.models import s3_backends

    bucket = s3_backends[ACCOUNT]["aws"].buckets.get(name)
    return bucket.region_name if bucket is not None else None


_SAGEMAKER = {
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "ModelPackageGroupName": "model-package-group",
    "ModelPackageName": "",
    "ModelPackageArn": "",
}
"""Kind of the resource by the member that names it; "" for an ARN."""


def _sagemaker(state: State, call: Call) -> Iterator[Request]:
    named = [member for member in _SAGEMAKER if member in call.request]
    context = {
        f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in call.request.get("Tags") or []
    }
    if call.operation.startswith("List") and call.operation != "ListTags":
        yield Request(f"sagemaker:{call.operation}", "*", context)
        return
    for member in named if call.operation in ("CreateEndpoint", "UpdateEndpoint") else named[:1]:
        name, kind = call.request[member], _SAGEMAKER[member]
        resource = _arn(state, "sagemaker", f"{kind}/{name}") if kind else name
        tags = {
            f"aws:ResourceTag/{key}": value for key, value in state.tags.get(resource, {}).items()
        }
        yield Request(f"sagemaker:{call.operation}", resource, {**context, **tags})
    role = call.request.get("RoleArn") or call.request.get("ExecutionRoleArn")
    if role:
        yield Request("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _cloudformation(state: State, call: Call) -> Iterator[Request]:
    name = call.request.get("StackName", "")
    if not name:
        if "ChangeSetName" not in call.request:  # whose stack only process B knows
            yield Request(f"cloudformation:{call.operation}", "*")
        return
    resource = name if name.startswith("arn:") else _arn(state, "cloudformation", f"stack/{name}/x")
    yield Request(f"cloudformation:{call.operation}", resource)
    role = call.request.get("RoleARN")
    if role:
        passed = {"iam:PassedToService": "cloudformation.amazonaws.com"}
        yield Request("iam:PassRole", role, passed)


def _sqs(state: State, call: Call) -> Iterator[Request]:
    from moto.sqs.models import sqs_backends

    queue = call.request.get("QueueUrl", "").rpartition("/")[2]
    if queue in sqs_backends[ACCOUNT][state.region].queues:
        yield Request(f"sqs:{call.operation.removesuffix('Batch')}", _arn(state, "sqs", queue))


def _logs(state: State, call: Call) -> Iterator[Request]:
    group = call.request.get("logGroupName", "")
    stream = call.request.get("logStreamName", "")
    yield Request(
        f"logs:{call.operation}", _arn(state, "logs", f"log-group:{group}:log-stream:{stream}")
    )


def _ecr(state: State, call: Call) -> Iterator[Request]:
    repository = f"repository/{call.request.get('repositoryName', '')}"
    yield Request(f"ecr:{call.operation}", _arn(state, "ecr", repository))


def _iam(state: State, call: Call) -> Iterator[Request]:
    role = call.request.get("PolicySourceArn")
    role = role or f"arn:aws:iam::{ACCOUNT}:role/{call.request.get('RoleName', '')}"
    yield Request(f"iam:{call.operation}", role)


def _kms(state: State, call: Call) -> Iterator[Request]:
    yield Request(f"kms:{call.operation}", call.request.get("KeyId", "*"))


def _on_anything(state: State, call: Call) -> Iterator[Request]:
    yield Request(f"{call.service}:{call.operation}", "*")


_SERVICES: dict[str, Callable[[State, Call], Iterator[Request]]] = {
    "s3": _s3,
    "sagemaker": _sagemaker,
    "cloudformation": _cloudformation,
    "sqs": _sqs,
    "logs": _logs,
    "ecr": _ecr,
    "iam": _iam,
    "kms": _kms,
    "servicequotas": _on_anything,
}
"""Not STS: everybody may ask who they are."""
