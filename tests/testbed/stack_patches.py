"""Where ministack's CloudFormation is not true enough for our tests, and what takes its place."""

from copy import deepcopy
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from tests.testbed import stack_changes, stack_operations, stack_parameters, stack_undo
from tests.testbed.ministack_answers import once_a_token
from tests.testbed.stack_resources import TYPES

Params = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]


def patch_cloudformation(standin_url: str) -> None:
    """Put our parts in. ``standin_url``: of process A, whose S3 holds templates.

    Modules of ministack take each other's functions by name, so each gets its own patch.
    """
    from ministack.services.cloudformation import changesets, handlers, provisioners

    for kind, ours in TYPES.items():
        handler = {"create": ours.create, "delete": ours.delete, "update": ours.update}
        provisioners._RESOURCE_HANDLERS[kind] = handler
    parse = _parsed_once(handlers._parse_template)
    for module in (changesets, handlers):
        module._parse_template = parse
        module._deploy_stack_async = stack_operations.deploy
        module._diff_resources = stack_changes.differences
        module._resolve_template = _template_source(module._resolve_template, standin_url)
        module._resolve_parameters = _checked(module._resolve_parameters)
    handlers._delete_stack_async = stack_undo.delete
    changesets._resolve_props_for_diff = stack_changes.resolved
    actions = handlers._ACTION_HANDLERS
    actions["CreateChangeSet"] = _guarded(actions["CreateChangeSet"])
    actions["ExecuteChangeSet"] = _guarded(once_a_token(actions["ExecuteChangeSet"]))
    actions["DeleteChangeSet"] = _wrapped(actions["DeleteChangeSet"], "DeleteChangeSet")
    actions["DescribeChangeSet"] = _with_details(actions["DescribeChangeSet"])


def _parsed_once(original: Any) -> Any:
    """Templates come again and again, and are parsed in Python: 55 ms of CPU for an endpoint's."""
    parsed = lru_cache(maxsize=32)(original)
    return lambda text: deepcopy(parsed(text))


def _template_source(original: Any, standin_url: str) -> Any:
    """TemplateURL leads to process A's S3, not to ministack's own."""

    def resolve(params: Params) -> tuple[str | None, Answer | None]:
        import boto3
        from botocore.exceptions import ClientError
        from ministack.services.cloudformation.helpers import _error, _p

        address = _p(params, "TemplateURL")
        if not address:
            found: tuple[str | None, Answer | None] = original(params)
            return found
        parts = urlsplit(address)
        bucket, _, key = parts.path.lstrip("/").partition("/")
        if ".s3." in parts.netloc:
            bucket, key = parts.netloc.partition(".s3.")[0], parts.path.lstrip("/")
        try:
            client = boto3.client("s3", endpoint_url=standin_url)
            return client.get_object(Bucket=bucket, Key=key)["Body"].read().decode(), None
        except ClientError as error:
            return None, _error("ValidationError", f"S3 error: {error}")

    return resolve


def _checked(original: Any) -> Any:
    def resolve(
        template: dict[str, Any], provided: list[dict[str, Any]], previous: Any = None
    ) -> dict[str, Any]:
        values: dict[str, Any] = original(template, provided, previous)
        stack_parameters.check(template, values, {item["Key"] for item in provided})
        return values

    return resolve


def _guarded(original: Any) -> Any:
    """No change set is made or executed while the stack does not allow it."""

    def act(params: Params) -> Answer:
        from ministack.services.cloudformation import _stacks
        from ministack.services.cloudformation.changesets import _find_change_set
        from ministack.services.cloudformation.helpers import _error, _p

        _, change_set = _find_change_set(_p(params, "ChangeSetName"), _p(params, "StackName"))
        executes = _p(params, "Action") == "ExecuteChangeSet"
        if executes and change_set is not None:
            name, kind = change_set["StackName"], change_set["ChangeSetType"]
        else:
            name, kind = _p(params, "StackName"), _p(params, "ChangeSetType", "UPDATE")
        why = stack_changes.refusal(_stacks.get(name.split("/")[1] if "/" in name else name), kind)
        if why:
            return _error("ValidationError", why)
        answer: Answer = original(params)
        return answer

    return act


def _wrapped(original: Any, action: str) -> Any:
    """ministack leaves out the empty result that botocore looks for."""

    def act(params: Params) -> Answer:
        status, headers, body = original(params)
        if status == 200 and f"<{action}Result".encode() not in body:
            metadata = b"<ResponseMetadata>"
            body = body.replace(metadata, f"<{action}Result/>".encode() + metadata, 1)
        return status, headers, body

    return act


def _with_details(original: Any) -> Any:
    """Details, scope and physical ids of each change."""
    import re

    def describe(params: Params) -> Answer:
        from ministack.services.cloudformation import _stacks
        from ministack.services.cloudformation.changesets import _find_change_set
        from ministack.services.cloudformation.helpers import _p

        status, headers, body = original(params)
        _, found = _find_change_set(_p(params, "ChangeSetName"), _p(params, "StackName"))
        if found is not None and status == 200:
            xml = stack_changes.change_xml(found, _stacks.get(found["StackName"]) or {})
            text = body.decode()
            text = re.sub(
                "<Changes>.*</Changes>", lambda _: f"<Changes>{xml}</Changes>", text, flags=re.S
            )
            body = text.encode()
        return status, headers, body

    return describe
