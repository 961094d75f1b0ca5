"""One stack of ``cloudformation/endpoint.yaml``, as a deployment drives it by change sets."""

import io
import json
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from PIL import Image

from tests.patience import WAIT_S
from tests.testbed.bed import TestBed
from training.artefact.artefact import digest, pack

FOLDER = Path(__file__).parents[3] / "cloudformation"
TEMPLATE = (FOLDER / "endpoint.yaml").read_text(encoding="utf-8")
SETTLE_S = WAIT_S


def stage_parameters(stage: str) -> dict[str, str]:
    """What the stage's file says."""
    text = (FOLDER / "stages" / f"{stage}.json").read_text(encoding="utf-8")
    parameters: dict[str, str] = json.loads(text)["Parameters"]
    return parameters


class Stack:
    """One stack of the template, as a deployment drives it."""

    def __init__(self, bed: TestBed, project: str, stage: str, folder: Path, artefact: Any) -> None:
        self.bed = bed
        self.name = f"{project}-endpoint-{stage}"
        self.endpoint = f"{project}-{stage}"
        self.cloudformation = bed.client("cloudformation")
        self.cloudwatch = bed.client("cloudwatch")
        self.sagemaker = bed.client("sagemaker")
        self.bucket = bed.bucket()
        self._folder = folder
        self._artefact = artefact
        self._sets = 0
        self._given = {
            **stage_parameters(stage),
            "Project": project,
            "Stage": stage,
            "ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/imgclf:1",
            "ExecutionRoleArn": "arn:aws:iam::123456789012:role/endpoint",
            "CaptureUri": f"s3://{self.bucket}/captures/{stage}",
            "AlertsTopicArn": "arn:aws:sns:us-east-1:123456789012:alerts",
            "DeployedBy": "Jörg Ann ann@example.org",
        }

    def model(self, version: str) -> dict[str, str]:
        """Parameters of a model that is in the bucket."""
        folder = self._artefact(self._folder / version, model_version=version)
        pack(folder, archive := self._folder / f"{version}.tar.gz")
        key = f"models/{version}/output/model.tar.gz"
        self.bed.client("s3").put_object(Bucket=self.bucket, Key=key, Body=archive.read_bytes())
        url = f"s3://{self.bucket}/{key}"
        return {"ModelVersion": version, "ModelDigest": digest(folder), "ModelDataUrl": url}

    def plan(self, **parameters: str) -> dict[str, Any]:
        """A change set, described."""
        given = {**self._given, **parameters}
        self._sets += 1
        creates = not self.status()
        made = self.cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=f"set-{self._sets}",
            ChangeSetType="CREATE" if creates else "UPDATE",
            TemplateBody=TEMPLATE,
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
            Tags=[{"Key": "team", "Value": "vision"}],
        )
        return dict(self.cloudformation.describe_change_set(ChangeSetName=made["Id"]))

    def deploy(self, **parameters: str) -> str:
        """Execute a change set to its end; the stack's status."""
        plan = self.plan(**parameters)
        assert plan["Status"] == "CREATE_COMPLETE", plan
        self.cloudformation.execute_change_set(ChangeSetName=plan["ChangeSetId"])
        return self.settled()

    def settled(self) -> str:
        deadline = time.monotonic() + SETTLE_S
        while (status := self.status()).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, self.events()
            time.sleep(0.05)
        return status

    def status(self) -> str:
        """ "" if there is no such stack."""
        try:
            [stack] = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError:
            return ""
        return str(stack["StackStatus"])

    def outputs(self) -> dict[str, str]:
        [stack] = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}

    def events(self) -> list[tuple[str, str, str]]:
        """(logical id, status, reason), oldest first."""
        reported = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [
            (e["LogicalResourceId"], e["ResourceStatus"], e.get("ResourceStatusReason", ""))
            for e in reversed(reported)
        ]

    def describe(self) -> dict[str, Any]:
        return dict(self.sagemaker.describe_endpoint(EndpointName=self.endpoint))

    def version(self) -> str:
        """The version that answers."""
        file = io.BytesIO()
        Image.new("RGB", (8, 8), "lime").save(file, "PNG")
        answer = self.bed.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=self.endpoint, Body=file.getvalue(), ContentType="image/png"
        )
        return str(json.loads(answer["Body"].read())["model_version"])

    def physical(self, logical_id: str) -> str:
        text = self.cloudformation.describe_stack_resource(
            StackName=self.name, LogicalResourceId=logical_id
        )
        return str(text["StackResourceDetail"]["PhysicalResourceId"])

    def delete(self) -> None:
        self.cloudformation.delete_stack(StackName=self.name)
        deadline = time.monotonic() + SETTLE_S
        while self.status():
            assert time.monotonic() < deadline, self.events()
            time.sleep(0.05)
