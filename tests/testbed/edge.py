"""The edge as its tests deploy and call it."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cloudformation import packaging
from tests.patience import WAIT_S
from tests.testbed.ministack import KEY_ID, REGION, SECRET


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of an error in the inference contract's form."""
        return self.status, self.json["error"]["code"]

    @property
    def labels(self) -> list[list[str]]:
        """Labels of each prediction, best first."""
        return [[r["label"] for r in p["labels"]] for p in self.json["predictions"]]


def call(
    url: str, body: bytes = b"", headers: dict[str, str] | None = None, method: str = "POST"
) -> Answer:
    """Send a request; the API's own host name is only known to ministack."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=WAIT_S)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body, {"host": parts.netloc, **(headers or {})})
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read())
    finally:
        connection.close()


def signature(
    url: str, body: bytes, headers: dict[str, str], service: str = "execute-api"
) -> dict[str, str]:
    """The headers, signed (Signature Version 4)."""
    request = AWSRequest("POST", url, headers, body)
    SigV4Auth(Credentials(KEY_ID, SECRET), service, REGION).add_auth(request)
    return dict(request.headers.items())


@dataclass
class Cloud:
    """CloudFormation and what it made."""

    url: str

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **keys)

    def deploy(
        self, stack: str, *, kind: str = "CREATE", template: str = "", **parameters: str
    ) -> list[str]:
        """Create or update a stack as ``aws cloudformation deploy`` does: by a change set.

        Returns the resources that changed. Raises WaiterError: it failed, or nothing changes.
        """
        cloudformation = self.client("cloudformation")
        names = {"StackName": stack, "ChangeSetName": f"change-{time.time_ns()}"}
        cloudformation.create_change_set(
            **names,
            ChangeSetType=kind,
            TemplateBody=template or packaging.render("edge.yaml"),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        often = {"Delay": 1, "MaxAttempts": round(WAIT_S)}
        cloudformation.get_waiter("change_set_create_complete").wait(**names, WaiterConfig=often)
        changes = cloudformation.describe_change_set(**names)["Changes"]
        cloudformation.execute_change_set(**names)
        done = cloudformation.get_waiter(f"stack_{kind.lower()}_complete")
        done.wait(StackName=stack, WaiterConfig=often)
        return sorted(change["ResourceChange"]["LogicalResourceId"] for change in changes)

    def outputs(self, stack: str) -> dict[str, str]:
        [made] = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {o["OutputKey"]: o["OutputValue"] for o in made["Outputs"]}
