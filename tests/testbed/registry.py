"""Model package groups and packages: small, and true where moto is not.

moto forgets CustomerMetadataProperties and ApprovalDescription, knows no ClientToken, and answers
DeleteModelPackage with a page of HTML.
"""

from typing import Any

from tests.testbed.callers import caller
from tests.testbed.listing import page
from tests.testbed.state import ApiError, State, now

_METADATA_ENTRIES = 50


def _name(arn_or_name: str) -> str:
    return arn_or_name.rsplit(":model-package-group/", maxsplit=1)[-1]


# --- groups -----------------------------------------------------------------------------------


def _create_group(state: State, request: dict[str, Any]) -> dict[str, Any]:
    name = request["ModelPackageGroupName"]
    arn = state.arn("model-package-group", name)
    with state.lock:
        groups = state.table("model-package-group")
        if name in groups:
            raise ApiError("ValidationException", f"Model Package Group already exists: {arn}")
        groups[name] = {
            "ModelPackageGroupName": name,
            "ModelPackageGroupArn": arn,
            "ModelPackageGroupDescription": request.get("ModelPackageGroupDescription"),
            "CreationTime": now(),
            "CreatedBy": caller(state),
            "ModelPackageGroupStatus": "Completed",
        }
        state.table("next-version").setdefault(name, 1)
        state.tag(arn, request.get("Tags"))
    return {"ModelPackageGroupArn": arn}


def _group(state: State, arn_or_name: str) -> dict[str, Any]:
    name = _name(arn_or_name)
    groups = state.table("model-package-group")
    if name not in groups:
        arn = state.arn("model-package-group", name)
        raise ApiError("ValidationException", f"ModelPackageGroup {arn} does not exist.")
    return groups[name]


def _describe_group(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        return dict(_group(state, request["ModelPackageGroupName"]))


def _delete_group(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        group = _group(state, request["ModelPackageGroupName"])
        name = group["ModelPackageGroupName"]
        if any(_in_group(package, name) for package in state.table("model-package").values()):
            raise ApiError(
                "ConflictException",
                f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted: "
                "it still has model packages",
            )
        del state.table("model-package-group")[name]
        state.tags.pop(group["ModelPackageGroupArn"], None)
    return {}


def _list_groups(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        items = [
            {k: v for k, v in group.items() if k != "CreatedBy"}
            for group in state.table("model-package-group").values()
        ]
    return page(
        request,
        items,
        member="ModelPackageGroupSummaryList",
        name="ModelPackageGroupName",
        sort_default=("CreationTime", "Ascending"),
    )


# --- packages ---------------------------------------------------------------------------------


def _create_package(state: State, request: dict[str, Any]) -> dict[str, Any]:
    versioned = "ModelPackageGroupName" in request
    if versioned == ("ModelPackageName" in request):
        raise ApiError(
            "ValidationException",
            "Exactly one of ModelPackageName and ModelPackageGroupName must be given",
        )
    if versioned and request.get("Tags"):
        raise ApiError(
            "ValidationException",
            "Tags are not supported for a model package in a model package group",
        )
    with state.lock:
        done = _done_before(state, request)
        if done:
            return {"ModelPackageArn": done}
        package = {k: v for k, v in request.items() if k not in ("Tags", "ClientToken")}
        if versioned:
            group = _group(state, request["ModelPackageGroupName"])["ModelPackageGroupName"]
            version = state.table("next-version")[group]
            state.table("next-version")[group] = version + 1
            name = f"{group}/{version}"
            package |= {"ModelPackageGroupName": group, "ModelPackageVersion": version}
            package.setdefault("ModelApprovalStatus", "PendingManualApproval")
            package["ModelPackageName"] = group
        else:
            name = request["ModelPackageName"]
        arn = state.arn("model-package", name)
        if arn in state.table("model-package"):
            raise ApiError("ValidationException", f"Model Package already exists: {arn}")
        state.table("model-package")[arn] = package | {
            "ModelPackageArn": arn,
            "CreationTime": now(),
            "CreatedBy": caller(state),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        }
        state.table("client-token")[request.get("ClientToken", "")] = (arn, request)
        state.tag(arn, request.get("Tags"))
    return {"ModelPackageArn": arn}


def _done_before(state: State, request: dict[str, Any]) -> str:
    token = request.get("ClientToken")
    arn, former = state.table("client-token").get(token, ("", None)) if token else ("", None)
    if former is not None and former != request:
        raise ApiError(
            "ConflictException",
            f"ClientToken {token} was used for another model package, {arn}",
        )
    return arn


def _package(state: State, request: dict[str, Any], member: str) -> dict[str, Any]:
    arn = request[member]
    if not arn.startswith("arn:"):
        arn = state.arn("model-package", arn)
    packages = state.table("model-package")
    if arn not in packages:
        raise ApiError("ValidationException", f"ModelPackage {arn} does not exist.")
    return packages[arn]


def _describe_package(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        return dict(_package(state, request, "ModelPackageName"))


_REPLACED = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "ModelPackageRegistrationType",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


def _update_package(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        package = _package(state, request, "ModelPackageArn")
        metadata = dict(package.get("CustomerMetadataProperties", {}))
        metadata.update(request.get("CustomerMetadataProperties", {}))
        for key in request.get("CustomerMetadataPropertiesToRemove", []):
            metadata.pop(key, None)
        if len(metadata) > _METADATA_ENTRIES:
            raise ApiError(
                "ValidationException",
                f"CustomerMetadataProperties may have {_METADATA_ENTRIES} entries at most",
            )
        package.update({name: request[name] for name in _REPLACED if name in request})
        package["CustomerMetadataProperties"] = metadata or None
        package["LastModifiedTime"] = now()
        package["LastModifiedBy"] = caller(state)
        return {"ModelPackageArn": package["ModelPackageArn"]}


def _delete_package(state: State, request: dict[str, Any]) -> dict[str, Any]:
    with state.lock:
        package = _package(state, request, "ModelPackageName")
        del state.table("model-package")[package["ModelPackageArn"]]
        state.tags.pop(package["ModelPackageArn"], None)
    return {}


_SUMMARY = (
    "ModelPackageName",
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "ModelPackageStatus",
    "ModelApprovalStatus",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)


def _in_group(package: dict[str, Any], group: str) -> bool:
    return package.get("ModelPackageGroupName") == group


def _list_packages(state: State, request: dict[str, Any]) -> dict[str, Any]:
    """Without a group, only packages of no group, unless ModelPackageType says otherwise."""
    group = request.get("ModelPackageGroupName")
    kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
    approval = request.get("ModelApprovalStatus")
    with state.lock:
        if group:
            group = _group(state, group)["ModelPackageGroupName"]
        items = [
            {name: package[name] for name in _SUMMARY if name in package}
            for package in state.table("model-package").values()
            if (group is None or _in_group(package, group))
            and kind in ("Both", "Versioned" if "ModelPackageVersion" in package else "Unversioned")
            and approval in (None, package.get("ModelApprovalStatus"))
        ]
    if items and state.faults.take("stale"):
        items.remove(max(items, key=lambda item: item["CreationTime"]))
    return page(
        request,
        items,
        member="ModelPackageSummaryList",
        name="ModelPackageName",
        sort_default=("CreationTime", "Ascending"),
    )


OPERATIONS = {
    "CreateModelPackageGroup": _create_group,
    "DescribeModelPackageGroup": _describe_group,
    "DeleteModelPackageGroup": _delete_group,
    "ListModelPackageGroups": _list_groups,
    "CreateModelPackage": _create_package,
    "DescribeModelPackage": _describe_package,
    "UpdateModelPackage": _update_package,
    "DeleteModelPackage": _delete_package,
    "ListModelPackages": _list_packages,
}
