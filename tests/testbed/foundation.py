"""The account that ``cloudformation/foundation.yaml`` makes, in process A: with moto's own IAM.

``Foundation(bed, project)`` reads the template itself, so a role has here exactly the policies that
it has in AWS, and process A holds sessions of it to them (``permissions.py``).
"""

import json
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from tests.testbed.bed import ACCOUNT, TestBed

_NOTHING = object()


class Foundation:
    """An account with one project's foundation.

    Attributes:
        project: begins the names of everything.
        made: physical id (what ``Ref`` gives) and attributes by logical id.
    """

    def __init__(self, bed: TestBed, project: str, **parameters: str) -> None:
        """Make everything of the template that process A knows."""
        from cfnlint.decode import cfn_yaml

        from cloudformation import template

        self.bed, self.project = bed, project
        self._template = cfn_yaml.loads(template("foundation.yaml"))
        defaults = {k: v.get("Default", "") for k, v in self._template["Parameters"].items()}
        self._parameters = {**defaults, "Project": project, **parameters}
        self.made: dict[str, tuple[str, dict[str, str]]] = {}
        for name, resource in self._template["Resources"].items():
            if resource["Type"] in _MAKERS and self._is_wanted(resource):
                self._make(name)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Of the stack."""
        return {
            name: self.resolve(output["Value"])
            for name, output in self._template["Outputs"].items()
        }

    @cached_property
    def image(self) -> str:
        """URI of the image, pushed at first use."""
        repository = self.outputs["ImageRepositoryUri"]
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        blob = {"mediaType": f"{kind}.x", "size": 1, "digest": f"sha256:{'0' * 64}"}
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": blob, "layers": [blob]}
        self.bed.client("ecr").put_image(
            repositoryName=repository.partition("/")[2],
            imageManifest=json.dumps(manifest),
            imageTag="1.0.0",
        )
        return f"{repository}:1.0.0"

    def section(self, **changes: Any) -> dict[str, Any]:
        """Section ``[aws]`` of the settings, as ``imgclf deploy`` writes it, and an image."""
        given = self.outputs
        return {
            "region": self.bed.region,
            "bucket": given["BucketName"],
            "prefix": self._parameters["KeyPrefix"].strip("/"),
            "kms_key_arn": given["KmsKeyArn"],
            "job_role_arn": given["JobRoleArn"],
            "endpoint_role_arn": given["EndpointRoleArn"],
            "cloudformation_role_arn": given["CloudFormationRoleArn"],
            "image_uri": self.image,
            "package_group": given["PackageGroupName"],
            "arrivals_queue_url": given["ArrivalsQueueUrl"],
            "alerts_topic_arn": given["AlertsTopicArn"],
            **changes,
        }

    @cached_property
    def session(self) -> dict[str, str]:
        """Credentials of a session of the orchestrator's role, as environment variables."""
        arn = self.outputs["OrchestratorRoleArn"]
        answer = self.bed.client("sts").assume_role(RoleArn=arn, RoleSessionName="someone")
        given = answer["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }

    # --- template -----------------------------------------------------------------------

    def _is_wanted(self, resource: Any) -> bool:
        name = resource.get("Condition")
        return name is None or bool(self.resolve({"Condition": name}))

    def _make(self, name: str) -> tuple[str, dict[str, str]]:
        if name not in self.made:
            resource = self._template["Resources"][name]
            properties = self.resolve(resource.get("Properties", {}))
            self.made[name] = _MAKERS[resource["Type"]](self.bed, properties)
        return self.made[name]

    def resolve(self, node: Any) -> Any:
        """A node of the template with its functions carried out."""
        if isinstance(node, list):
            return [item for each in node if (item := self.resolve(each)) is not _NOTHING]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            key = next(iter(node))
            function = getattr(self, f"_fn_{key.removeprefix('Fn::').lower()}", None)
            if function is not None and (key.startswith("Fn::") or key in ("Ref", "Condition")):
                return function(node[key])
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not _NOTHING}

    def _fn_ref(self, name: str) -> Any:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": self.bed.region,
            "AWS::Partition": "aws",
            "AWS::NoValue": _NOTHING,
        }
        if name in pseudo:
            return pseudo[name]
        return self._parameters[name] if name in self._parameters else self._make(name)[0]

    def _fn_getatt(self, place: Any) -> str:
        name, attribute = place.split(".") if isinstance(place, str) else place
        return self._make(name)[1][attribute]

    def _fn_sub(self, given: Any) -> str:
        text, own = (given, {}) if isinstance(given, str) else given

        def replaced(found: re.Match[str]) -> str:
            name = found[1]
            if name in own:
                return str(self.resolve(own[name]))
            return str(self._fn_getatt(name) if "." in name else self._fn_ref(name))

        return re.sub(r"\$\{([^!}][^}]*)\}", replaced, text)

    def _fn_if(self, given: Any) -> Any:
        return self.resolve(given[1] if self._fn_condition(given[0]) else given[2])

    def _fn_condition(self, name: Any) -> Any:
        if not isinstance(name, str) or name not in self._template["Conditions"]:
            return {"Condition": self.resolve(name)}  # an IAM statement that has nothing else
        return self.resolve(self._template["Conditions"][name])

    def _fn_equals(self, given: Any) -> bool:
        one, other = (str(self.resolve(item)) for item in given)
        return one == other

    def _fn_not(self, given: Any) -> bool:
        return not self.resolve(given[0])

    def _fn_and(self, given: Any) -> bool:
        return all(self.resolve(item) for item in given)

    def _fn_split(self, given: Any) -> list[str]:
        text: str = self.resolve(given[1])
        return text.split(given[0])


# --- makers: physical id and attributes ------------------------------------------------------

Made = tuple[str, dict[str, str]]


def _key(bed: TestBed, properties: Any) -> Made:
    metadata = bed.client("kms").create_key(Description=properties["Description"])["KeyMetadata"]
    return metadata["KeyId"], {"Arn": metadata["Arn"]}


def _bucket(bed: TestBed, properties: Any) -> Made:
    s3, name = bed.client("s3"), properties["BucketName"]
    s3.create_bucket(Bucket=name)
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration=_booleans(properties["PublicAccessBlockConfiguration"]),
    )
    notifications = [
        {
            "QueueArn": entry["Queue"],
            "Events": [entry["Event"]],
            "Filter": {"Key": {"FilterRules": entry["Filter"]["S3Key"]["Rules"]}},
        }
        for entry in properties["NotificationConfiguration"]["QueueConfigurations"]
    ]
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": notifications}
    )
    return name, {"Arn": f"arn:aws:s3:::{name}"}


def _booleans(values: dict[str, Any]) -> dict[str, bool]:
    return {key: str(value).lower() == "true" for key, value in values.items()}


def _queue(bed: TestBed, properties: Any) -> Made:
    sqs, name = bed.client("sqs"), properties["QueueName"]
    redrive = properties.get("RedrivePolicy")
    attributes = {"RedrivePolicy": json.dumps(redrive)} if redrive else {}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = f"arn:aws:sqs:{bed.region}:{ACCOUNT}:{name}"
    return url, {"Arn": arn, "QueueName": name}


def _group(bed: TestBed, properties: Any) -> Made:
    name = properties["ModelPackageGroupName"]
    bed.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    return name, {}


def _repository(bed: TestBed, properties: Any) -> Made:
    name = properties["RepositoryName"]
    made = bed.client("ecr").create_repository(repositoryName=name)["repository"]
    return name, {"Arn": made["repositoryArn"], "RepositoryUri": made["repositoryUri"]}


def _topic(bed: TestBed, properties: Any) -> Made:
    return bed.client("sns").create_topic(Name=properties["TopicName"])["TopicArn"], {}


def _role(bed: TestBed, properties: Any) -> Made:
    iam, name = bed.client("iam"), properties["RoleName"]
    trust = json.dumps(properties["AssumeRolePolicyDocument"])
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    for policy in properties.get("Policies", []):
        iam.put_role_policy(
            RoleName=name,
            PolicyName=policy["PolicyName"],
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )
    for policy_arn in properties.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=name, PolicyArn=policy_arn)
    return name, {"Arn": arn}


def _policy(bed: TestBed, properties: Any) -> Made:
    iam = bed.client("iam")
    made = iam.create_policy(
        PolicyName=properties["ManagedPolicyName"],
        PolicyDocument=json.dumps(properties["PolicyDocument"]),
    )
    for role in properties.get("Roles", []):
        iam.attach_role_policy(RoleName=role, PolicyArn=made["Policy"]["Arn"])
    return made["Policy"]["Arn"], {}


_MAKERS: dict[str, Callable[[TestBed, Any], Made]] = {
    "AWS::KMS::Key": _key,
    "AWS::S3::Bucket": _bucket,
    "AWS::SQS::Queue": _queue,
    "AWS::SageMaker::ModelPackageGroup": _group,
    "AWS::ECR::Repository": _repository,
    "AWS::SNS::Topic": _topic,
    "AWS::IAM::Role": _role,
    "AWS::IAM::ManagedPolicy": _policy,
}
