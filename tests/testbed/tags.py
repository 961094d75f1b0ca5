"""Tags of SageMaker's resources."""

from typing import Any

from tests.testbed.state import ApiError, State

_MOST = 50


def _add_tags(state: State, request: dict[str, Any]) -> dict[str, Any]:
    arn = request["ResourceArn"]
    with state.lock:
        _known(state, arn)
        merged = {**state.tags[arn], **{t["Key"]: t["Value"] for t in request["Tags"]}}
        if len(merged) > _MOST:
            raise ApiError("ResourceLimitExceeded", f"{arn} may have {_MOST} tags at most")
        state.tags[arn] = merged
        return {"Tags": _listed(merged)}


def _list_tags(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        _known(state, request["ResourceArn"])
        return {"Tags": _listed(state.tags[request["ResourceArn"]])}


def _delete_tags(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        _known(state, request["ResourceArn"])
        for key in request["TagKeys"]:
            state.tags[request["ResourceArn"]].pop(key, None)
    return {}


def _known(state: State, arn: str) -> None:
    if arn not in state.tags:
        raise ApiError("ValidationException", f"Requested resource not found: {arn}")


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


OPERATIONS = {"AddTags": _add_tags, "ListTags": _list_tags, "DeleteTags": _delete_tags}
