"""What ministack's CloudFormation answers otherwise than CloudFormation, put right.

``correct()`` is called in ministack's process before it serves.
"""

import datetime
import itertools
import json
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


def correct() -> None:
    """Answers that botocore can parse, error codes of the service model, events in order."""
    from ministack.services.cloudformation import handlers, stacks

    actions = handlers._ACTION_HANDLERS
    delete, execute = actions["DeleteChangeSet"], actions["ExecuteChangeSet"]

    def deleted(params: Any) -> Answer:
        status, headers, body = delete(params)
        empty = b"<DeleteChangeSetResult></DeleteChangeSetResult><ResponseMetadata>"
        return status, headers, body.replace(b"<ResponseMetadata>", empty)

    def executed(params: Any) -> Answer:
        status, headers, body = execute(params)
        return (
            status,
            headers,
            body.replace(b"InvalidChangeSetStatusException", b"InvalidChangeSetStatus"),
        )

    actions |= {"DeleteChangeSet": deleted, "ExecuteChangeSet": executed}
    count = itertools.count()

    def now() -> str:
        """Never the same twice: ministack sorts the events by it, and tells equals in disorder."""
        moment = datetime.datetime.now(datetime.UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}{next(count):06}Z"

    stacks.now_iso = now
    _readable_resources()


def _readable_resources() -> None:
    """What a template made, in the form in which ministack's own services keep it."""
    from ministack.services import ecr, iam
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as HANDLERS

    make_role = HANDLERS["AWS::IAM::Role"]["create"]
    make_policy = HANDLERS["AWS::IAM::ManagedPolicy"]["create"]

    def role(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
        name, attributes = make_role(logical_id, props, stack_name)
        made = iam._roles[name]
        made["AttachedPolicies"] = [policy["PolicyArn"] for policy in made["AttachedPolicies"]]
        for policy, document in made["InlinePolicies"].items():
            made["InlinePolicies"][policy] = json.dumps(document)
        return name, attributes

    def managed(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
        arn, attributes = make_policy(logical_id, props, stack_name)
        made = iam._policies[arn]
        made["Versions"] = {item["VersionId"]: item for item in made.pop("PolicyVersions")}
        for version in made["Versions"].values():
            version["CreateDate"] = made["CreateDate"]
        return arn, attributes

    make_repository = HANDLERS["AWS::ECR::Repository"]["create"]

    def repository(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict]:
        name, attributes = make_repository(logical_id, props, stack_name)
        ecr._images.setdefault(name, [])
        return name, attributes

    HANDLERS["AWS::ECR::Repository"]["create"] = repository
    HANDLERS["AWS::IAM::Role"]["create"] = role
    HANDLERS["AWS::IAM::ManagedPolicy"]["create"] = managed
