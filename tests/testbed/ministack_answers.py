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

    execute_once = once_a_token(execute)

    def executed(params: Any) -> Answer:
        status, headers, body = execute_once(params)
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


def once_a_token(execute: Any) -> Any:
    """A ClientRequestToken is good for one operation of a stack, and refused with a second one:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html"""
    used: dict[tuple[str, str], str] = {}

    def executed(params: Any) -> Answer:
        from ministack.services.cloudformation.changesets import _find_change_set
        from ministack.services.cloudformation.helpers import _error, _p

        _, found = _find_change_set(_p(params, "ChangeSetName"), _p(params, "StackName"))
        token = _p(params, "ClientRequestToken")
        if token and found is not None:
            key, change_set = (found["StackName"], token), found["ChangeSetId"]
            if used.setdefault(key, change_set) != change_set:
                refused: Answer = _error(
                    "TokenAlreadyExistsException", "A client request token already exists."
                )
                return refused
        answer: Answer = execute(params)
        return answer

    return executed


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
