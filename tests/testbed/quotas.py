"""Service Quotas of SageMaker, which moto has not: one for each instance type and use.

``POST /_standin/quotas {name: value}`` sets some (null: not offered); ``{"clear": true}`` all back.
"""

import json
from typing import Any

from werkzeug import Response

from tests.testbed.state import ACCOUNT, State

_TYPES = [
    f"ml.{family}.{size}"
    for family in ("c5", "c6i", "c7i", "g4dn", "g5", "g6", "m5", "m6i", "m7i", "p3", "p4d", "r5")
    for size in ("large", "xlarge", "2xlarge", "4xlarge", "12xlarge", "24xlarge")
]
_USES = (
    "endpoint usage",
    "processing job usage",
    "spot training job usage",
    "training job usage",
    "training warm pool usage",
    "transform job usage",
)
_DEFAULT = 20.0
_PAGE = 100


def _list(state: State, request: dict[str, Any]) -> Response:
    if request.get("ServiceCode") != "sagemaker":
        return _answer({"Quotas": []})
    changed = state.table("quota")
    values = {f"{kind} for {use}": _DEFAULT for use in _USES for kind in _TYPES} | changed
    offered = {name: value for name, value in values.items() if value is not None}
    began = int(request.get("NextToken") or 0)
    end = began + min(_PAGE, request.get("MaxResults") or _PAGE)
    quotas = [_quota(state, *item) for item in sorted(offered.items())[began:end]]
    more = {"NextToken": str(end)} if end < len(offered) else {}
    return _answer({"Quotas": quotas, **more})


def _quota(state: State, name: str, value: float) -> dict[str, Any]:
    code = f"L-{abs(hash(name)) % 16**8:08X}"
    return {
        "ServiceCode": "sagemaker",
        "ServiceName": "Amazon SageMaker",
        "QuotaArn": f"arn:aws:servicequotas:{state.region}:{ACCOUNT}:sagemaker/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


def _answer(body: dict[str, Any]) -> Response:
    return Response(json.dumps(body), 200, content_type="application/x-amz-json-1.1")


def _set(state: State, request: dict[str, Any]) -> dict[str, Any]:
    request.pop("_method")
    with state.lock:
        table = state.table("quota")
        if request.pop("clear", False):
            table.clear()
        table.update(request)
        return dict(table)


SERVICES = {("servicequotas", "ListServiceQuotas"): _list}
ADMIN = {"quotas": _set}
