"""What every List operation of SageMaker has in common."""

import base64
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tests.testbed.state import ApiError


def page(
    request: dict[str, Any],
    items: Iterable[dict[str, Any]],
    *,
    member: str,
    name: str,
    status: str | None = None,
    sort_default: tuple[str, str] = ("CreationTime", "Descending"),
    default_size: int = 10,
) -> dict[str, Any]:
    """Filtered, sorted, and one page of it.

    Args:
        request: NameContains, StatusEquals, *After, *Before, SortBy, SortOrder, MaxResults,
            NextToken.
        items: summaries, with times as datetimes.
        member: of the answer.
        name: a summary's member with the name.
        status: a summary's member with the status.
        sort_default: SortBy and SortOrder unless the request says.
        default_size: MaxResults unless the request says.
    """
    chosen = [item for item in items if _wanted(request, item, name, status)]
    by = request.get("SortBy", sort_default[0])
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "Name": lambda item: item.get(name, ""),
        "Status": lambda item: item.get(status or "", ""),
    }
    key = keys.get(by, lambda item: item[by] if item.get(by) is not None else item["CreationTime"])
    order = request.get("SortOrder", sort_default[1])
    chosen.sort(key=key, reverse=order == "Descending")
    start = _position(request.get("NextToken"))
    size = request.get("MaxResults", default_size)
    answer: dict[str, Any] = {member: chosen[start : start + size]}
    if start + size < len(chosen):
        answer["NextToken"] = base64.b64encode(str(start + size).encode()).decode()
    return answer


def _wanted(request: dict[str, Any], item: dict[str, Any], name: str, status: str | None) -> bool:
    if request.get("NameContains", "").lower() not in item.get(name, "").lower():
        return False
    if status and request.get("StatusEquals") not in (None, item[status]):
        return False
    for member in ("CreationTime", "LastModifiedTime"):
        moment: datetime = item.get(member) or item["CreationTime"]
        after, before = request.get(f"{member}After"), request.get(f"{member}Before")
        if after is not None and moment.timestamp() <= after:
            return False
        if before is not None and moment.timestamp() >= before:
            return False
    return True


def _position(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.b64decode(token))
    except ValueError as error:
        raise ApiError("ValidationException", "Invalid NextToken") from error
