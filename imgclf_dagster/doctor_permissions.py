"""Whether the roles may do what the line will ask of them: by IAM's own simulation.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from collections.abc import Iterator, Mapping
from typing import Any

from imgclf_dagster.doctor_findings import Finding
from imgclf_dagster.settings import Settings

Needs = Mapping[str, tuple[str, ...]]
"""Actions by the resource they are needed on."""


def orchestrator_needs(settings: Settings, account: str, region: str) -> Needs:
    """What whoever runs the line needs."""
    aws, project = settings.aws, settings.project
    sagemaker = f"arn:aws:sagemaker:{region}:{account}"
    objects = f"arn:aws:s3:::{aws.bucket}/{aws.prefix}/raw/x".replace("//raw", "/raw")
    stack = f"arn:aws:cloudformation:{region}:{account}:stack/{project}-endpoint-prod/x"
    needs: dict[str, tuple[str, ...]] = {
        objects: ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
        f"arn:aws:s3:::{aws.bucket}": ("s3:ListBucket",),
        f"{sagemaker}:training-job/train-x": (
            "sagemaker:CreateTrainingJob",
            "sagemaker:DescribeTrainingJob",
            "sagemaker:StopTrainingJob",
        ),
        f"{sagemaker}:processing-job/eval-x": (
            "sagemaker:CreateProcessingJob",
            "sagemaker:DescribeProcessingJob",
        ),
        f"{sagemaker}:endpoint/{project}-prod": (
            "sagemaker:DescribeEndpoint",
            "sagemaker:InvokeEndpoint",
        ),
        stack: (
            "cloudformation:CreateChangeSet",
            "cloudformation:ExecuteChangeSet",
            "cloudformation:DescribeStackEvents",
        ),
        aws.job_role_arn: ("iam:PassRole",),
    }
    if aws.arrivals_queue_url:
        queue = aws.arrivals_queue_url.rpartition("/")[2]
        needs[f"arn:aws:sqs:{region}:{account}:{queue}"] = (
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
        )
    return needs


def job_needs(settings: Settings) -> Needs:
    """What the role of the jobs needs."""
    prefix = f"arn:aws:s3:::{settings.aws.bucket}/{settings.aws.prefix}".rstrip("/")
    return {
        f"{prefix}/datasets/x": ("s3:GetObject",),
        f"{prefix}/models/x": ("s3:GetObject", "s3:PutObject"),
        f"{prefix}/pipes/x": ("s3:GetObject", "s3:PutObject"),
    }


def endpoint_needs(settings: Settings) -> Needs:
    """What the role of the endpoints needs."""
    prefix = f"arn:aws:s3:::{settings.aws.bucket}/{settings.aws.prefix}".rstrip("/")
    return {f"{prefix}/models/x": ("s3:GetObject",)}


def denied_permissions(client: Any, settings: Settings, identity: str) -> Iterator[Finding]:
    """Simulate each role's part; one finding a role, naming what it may not do."""
    account, iam = identity.split(":")[4], client("iam")
    region = client("sts").meta.region_name
    roles = {
        "orchestrator": (_principal(iam, identity), orchestrator_needs(settings, account, region)),
        "jobs": (settings.aws.job_role_arn, job_needs(settings)),
        "endpoints": (settings.aws.endpoint_role_arn, endpoint_needs(settings)),
    }
    for name, (arn, needs) in roles.items():
        denied = list(_denied(iam, arn, needs))
        if denied:
            yield Finding(
                f"role of the {name}",
                "failed",
                f"{arn} may not {'; '.join(denied)}",
                "run `imgclf deploy foundation` again, or compare its policy with "
                "cloudformation/foundation.yaml",
            )
        else:
            yield Finding(f"role of the {name}", "ok", arn)


def _denied(iam: Any, arn: str, needs: Needs) -> Iterator[str]:
    for resource, actions in needs.items():
        answer = iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=list(actions), ResourceArns=[resource]
        )
        for result in answer["EvaluationResults"]:
            if result["EvalDecision"] != "allowed":
                yield f"{result['EvalActionName']} on {resource}"


def _principal(iam: Any, identity: str) -> str:
    """The policy source of a caller: the role behind a session of it, else the user itself."""
    if ":assumed-role/" not in identity:
        return identity
    name = identity.split("/")[1]
    arn: str = iam.get_role(RoleName=name)["Role"]["Arn"]  # a session's ARN lacks the role's path
    return arn
