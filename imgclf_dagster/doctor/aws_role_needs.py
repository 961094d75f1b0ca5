"""The IAM actions and resources that the caller and each role of the line must be allowed.

They follow the calls in ``resources/aws`` and what SageMaker does with its roles:
https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from imgclf_dagster.doctor.aws_account import Account
from imgclf_dagster.doctor.aws_sagemaker import Image
from resources.compute.job_names import JOB_KINDS, job_name

Context = Mapping[str, tuple[str, str]]
"""Type and value of a request's context, by IAM condition key."""


@dataclass(frozen=True)
class Need:
    """Actions that must be allowed on a resource, with the request's context."""

    actions: tuple[str, ...]
    resource: str
    context: Context = field(default_factory=dict)


def usual_context(account: Account) -> Context:
    """Return the context keys common to all requests of the line, for the simulation."""
    project, suffix = account.settings.project, _suffix(account)
    return {
        "aws:SecureTransport": ("boolean", "true"),
        "aws:RequestedRegion": ("string", account.region),
        "aws:RequestTag/imgclf:project": ("string", project),
        "aws:ResourceTag/imgclf:project": ("string", project),
        "aws:ResourceAccount": ("string", account.id),
        "cloudwatch:namespace": ("string", "/aws/sagemaker/TrainingJobs"),
        "application-autoscaling:service-namespace": ("string", "sagemaker"),
        "kms:GrantIsForAWSResource": ("boolean", "true"),
        "kms:ViaService": ("string", f"s3.{account.region}.{suffix}"),
        "s3:prefix": ("string", f"{account.settings.aws.prefix}/raw/".lstrip("/")),
        "sagemaker:TaggingAction": ("string", "CreateModel"),
    }


def caller_needs(account: Account) -> Iterator[Need]:
    """Yield what the caller needs: the tasks of Dagster, or a person on the command line."""
    aws, project = account.settings.aws, account.settings.project
    objects = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
    yield Need(objects, _object(account, "raw/x"))
    yield Need(("s3:ListBucket",), _bucket(account))
    yield from _starting_jobs(account)
    group = aws.package_group or project
    group_actions = ("sagemaker:CreateModelPackageGroup", "sagemaker:DescribeModelPackageGroup")
    yield Need(group_actions, _arn(account, "sagemaker", f"model-package-group/{group}"))
    packages = ("CreateModelPackage", "DescribeModelPackage", "UpdateModelPackage")
    yield Need(
        tuple(f"sagemaker:{action}" for action in packages),
        _arn(account, "sagemaker", f"model-package/{group}/1"),
    )
    yield Need(("sagemaker:ListModelPackages",), "*")
    yield from _deploying(account)
    if aws.job_role_arn:
        yield _pass_role(aws.job_role_arn, account, "sagemaker")
    if aws.arrivals_queue_url:
        queue = aws.arrivals_queue_url.rpartition("/")[2]
        yield Need(("sqs:ReceiveMessage", "sqs:DeleteMessage"), _arn(account, "sqs", queue))
    yield from _encryption(account)


def _starting_jobs(account: Account) -> Iterator[Need]:
    """Yield what it takes to start and watch jobs of every name, and to read their logs."""
    for stage, kind in JOB_KINDS.items():
        verbs = ("Create", "Describe", "Stop")
        jobs = tuple(f"sagemaker:{verb}{kind.title()}Job" for verb in verbs)
        name = f"{kind}-job/{job_name(stage, 'x')}"
        yield Need((*jobs, "sagemaker:AddTags"), _arn(account, "sagemaker", name))
    for kind in sorted(set(JOB_KINDS.values())):
        log = f"/aws/sagemaker/{kind.title()}Jobs:log-stream:x"
        logs = ("logs:DescribeLogStreams", "logs:GetLogEvents")
        yield Need(logs, _arn(account, "logs", f"log-group:{log}"))


def _deploying(account: Account) -> Iterator[Need]:
    """Yield what it takes to deploy stacks and endpoints."""
    aws, project = account.settings.aws, account.settings.project
    changes = (
        "CreateChangeSet",
        "DeleteChangeSet",
        "DescribeChangeSet",
        "DescribeStackEvents",
        "DescribeStacks",
        "ExecuteChangeSet",
    )
    yield Need(
        tuple(f"cloudformation:{action}" for action in changes),
        _arn(account, "cloudformation", f"stack/{project}-endpoint-prod/x"),
    )
    yield Need(("cloudformation:GetTemplateSummary", "sagemaker:ListEndpoints"), "*")
    mending = ("AddTags", "CreateEndpoint", "UpdateEndpoint")  # to repair what was changed by hand
    yield Need(
        tuple(f"sagemaker:{do}" for do in ("DescribeEndpoint", "InvokeEndpoint", *mending)),
        _arn(account, "sagemaker", f"endpoint/{project}-prod"),
    )
    config = _arn(account, "sagemaker", "endpoint-config/x")
    described = ("DescribeEndpointConfig", "CreateEndpoint", "UpdateEndpoint")
    yield Need(tuple(f"sagemaker:{do}" for do in described), config)
    yield Need(("sagemaker:DescribeModel",), _arn(account, "sagemaker", "model/x"))
    # Without a role of its own, CloudFormation uses the caller's permissions.
    if aws.cloudformation_role_arn:
        yield _pass_role(aws.cloudformation_role_arn, account, "cloudformation")
    else:
        yield from stack_needs(account)


def stack_needs(account: Account) -> Iterator[Need]:
    """Yield what CloudFormation needs for the stack of an endpoint."""
    aws, project = account.settings.aws, account.settings.project
    for action, name in (("Model", "model"), ("EndpointConfig", "endpoint-config")):
        actions = (f"sagemaker:Create{action}", f"sagemaker:Delete{action}", "sagemaker:AddTags")
        yield Need(actions, _arn(account, "sagemaker", f"{name}/x"))
    yield Need(
        ("sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint", "sagemaker:DescribeEndpoint"),
        _arn(account, "sagemaker", f"endpoint/{project}-prod"),
    )
    alarm = f"alarm:{project}-endpoint-prod-x"
    yield Need(("cloudwatch:PutMetricAlarm",), _arn(account, "cloudwatch", alarm))
    scaling = ("RegisterScalableTarget", "PutScalingPolicy")
    yield Need(
        tuple(f"application-autoscaling:{action}" for action in scaling),
        _arn(account, "application-autoscaling", "scalable-target/x"),
    )
    if aws.endpoint_role_arn:
        yield _pass_role(aws.endpoint_role_arn, account, "sagemaker")


def job_needs(account: Account) -> Iterator[Need]:
    """Yield what the role of training and processing jobs needs."""
    for key in ("datasets/x", "embeddings/x", "inputs/x", "raw/x"):
        yield Need(("s3:GetObject",), _object(account, key))
    for key in ("models/x", "pipes/x", "checkpoints/x"):
        yield Need(("s3:GetObject", "s3:PutObject"), _object(account, key))
    logs = ("logs:CreateLogStream", "logs:PutLogEvents")
    for kind in ("Training", "Processing"):
        group = f"log-group:/aws/sagemaker/{kind}Jobs:log-stream:x"
        yield Need(logs, _arn(account, "logs", group))
    yield from _container(account)


def endpoint_needs(account: Account) -> Iterator[Need]:
    """Yield what the role of endpoints needs."""
    project = account.settings.project
    yield Need(("s3:GetObject",), _object(account, "models/x"))
    yield Need(("s3:PutObject",), _object(account, "captures/x"))
    group = f"log-group:/aws/sagemaker/Endpoints/{project}-prod:log-stream:x"
    yield Need(("logs:CreateLogStream", "logs:PutLogEvents"), _arn(account, "logs", group))
    alarm = f"alarm:{project}-endpoint-prod-x"
    yield Need(("cloudwatch:DescribeAlarms",), _arn(account, "cloudwatch", alarm))
    yield from _container(account)


def _container(account: Account) -> Iterator[Need]:
    """Yield what SageMaker needs, with the role's permissions, to start a container."""
    aws = account.settings.aws
    yield Need(("s3:ListBucket",), _bucket(account))
    yield Need(("ecr:GetAuthorizationToken",), "*")
    image = Image.parse(aws.image_uri)
    if image:
        repository = f"arn:{account.partition}:ecr:{image.region}:{image.account}:repository"
        pull = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
        actions = tuple(f"ecr:{action}" for action in pull)
        yield Need(actions, f"{repository}/{image.repository}")
    yield Need(("cloudwatch:PutMetricData",), "*")
    if aws.subnets:
        for action in ("ec2:DescribeSubnets", "ec2:DescribeVpcs"):
            yield Need((action,), "*")
        interface = _arn(account, "ec2", "network-interface/x")
        made = ("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission")
        yield Need(made, interface)
    yield from _encryption(account)


def _encryption(account: Account) -> Iterator[Need]:
    key = account.settings.aws.kms_key_arn
    if key:
        yield Need(("kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"), key)


def _pass_role(arn: str, account: Account, service: str) -> Need:
    to = {"iam:PassedToService": ("string", f"{service}.amazonaws.com")}
    return Need(("iam:PassRole",), arn, to)


def _bucket(account: Account) -> str:
    return f"arn:{account.partition}:s3:::{account.settings.aws.bucket}"


def _object(account: Account, key: str) -> str:
    return f"{_bucket(account)}/{account.settings.aws.prefix}/{key}".replace("//", "/")


def _arn(account: Account, service: str, resource: str) -> str:
    return f"arn:{account.partition}:{service}:{account.region}:{account.id}:{resource}"


def _suffix(account: Account) -> str:
    return "amazonaws.com.cn" if account.partition == "aws-cn" else "amazonaws.com"
