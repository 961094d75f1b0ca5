"""Change sets as CloudFormation makes them: what changes, why, and whether it is made again.

ministack compares resolved templates only: it misses resources that change because another is
replaced, and lists those whose condition is false. It also lets operations overlap.
"""

import json
import re
from typing import Any

from tests.testbed.stack_resources import TYPES

_OPEN = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


def resolved(
    template: dict[str, Any], params: dict[str, Any], stack_name: str, stack_id: str
) -> dict[str, Any]:
    """What there would be, as far as it is known beforehand: references to resources stay.

    In the place of ministack's ``_resolve_props_for_diff``.
    """
    from ministack.services.cloudformation.engine import _evaluate_conditions, _resolve_refs

    if not template:
        return {}
    conditions = _evaluate_conditions(template, params)
    names = {
        name: definition
        for name, definition in template["Resources"].items()
        if conditions.get(definition.get("Condition"), True)
    }
    placeholders = {
        name: {"PhysicalResourceId": f"${{{name}}}", "Attributes": _Attributes(name)}
        for name in names
    }
    found = {}
    for name, definition in names.items():
        props = _resolve_refs(
            json.loads(json.dumps(definition.get("Properties", {}))),
            placeholders,
            params,
            conditions,
            template.get("Mappings", {}),
            stack_name,
            stack_id,
        )
        found[name] = {**definition, "Properties": props}
    return {"Resources": found}


class _Attributes(dict[str, str]):
    """Every attribute of a resource that is not known yet."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return f"${{{self._name}.{key}}}"


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Changes of a change set; in the place of ministack's ``_diff_resources``."""
    before, after = old.get("Resources", {}), new.get("Resources", {})
    changes = {}
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            changes[name] = _change("Add", name, after[name])
        elif name not in after:
            changes[name] = _change("Remove", name, before[name])
        else:
            details = _details(before[name], after[name])
            if details:
                changes[name] = _modify(name, after[name], details)
    _spread(changes, after)
    return [{"Type": "Resource", "ResourceChange": change} for _, change in sorted(changes.items())]


def _change(action: str, name: str, definition: dict[str, Any]) -> dict[str, Any]:
    return {
        "Action": action,
        "LogicalResourceId": name,
        "ResourceType": definition["Type"],
        "Details": [],
    }


def _details(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, str]]:
    keys = old["Properties"].keys() | new["Properties"].keys()
    changed = [k for k in sorted(keys) if old["Properties"].get(k) != new["Properties"].get(k)]
    return [
        {"Name": key, "RequiresRecreation": _recreates(new["Type"], key, "Always")}
        for key in changed
    ]


def _recreates(kind: str, key: str, how: str) -> str:
    ours = TYPES.get(kind)
    return how if ours is not None and ours.replaced_by(key) else "Never"


def _modify(name: str, definition: dict[str, Any], details: list[dict[str, str]]) -> dict[str, Any]:
    recreations = {detail["RequiresRecreation"] for detail in details}
    replacement = "False"
    if "Always" in recreations:
        replacement = "True"
    elif "Conditionally" in recreations:
        replacement = "Conditional"
    change = _change("Modify", name, definition)
    return {**change, "Details": details, "Replacement": replacement}


def _spread(changes: dict[str, Any], after: dict[str, Any]) -> None:
    """What refers to a resource that is, or may be, made again changes too."""
    pending = list(changes)
    while pending:
        cause = pending.pop()
        if changes[cause].get("Replacement") not in ("True", "Conditional"):
            continue
        mention = re.compile(r"\$\{" + re.escape(cause) + r"[.}]")
        for name, definition in after.items():
            keys = [k for k, v in definition["Properties"].items() if mention.search(json.dumps(v))]
            known = {detail["Name"] for detail in changes.get(name, {}).get("Details", [])}
            if not keys or changes.get(name, {}).get("Action") == "Add" or set(keys) <= known:
                continue
            kind = definition["Type"]
            more = [
                {
                    "Name": key,
                    "RequiresRecreation": _recreates(kind, key, "Conditionally"),
                    "CausingEntity": cause,
                }
                for key in keys
                if key not in known
            ]
            changes[name] = _modify(
                name, definition, [*changes.get(name, {}).get("Details", []), *more]
            )
            pending.append(name)


def change_xml(change_set: dict[str, Any], stack: dict[str, Any]) -> str:
    """``Changes`` of DescribeChangeSet."""
    from ministack.services.cloudformation.helpers import _esc

    members = ""
    for change in change_set["Changes"]:
        reported = change["ResourceChange"]
        resource = stack.get("_resources", {}).get(reported["LogicalResourceId"], {})
        optional = "".join(
            f"<{key}>{_esc(str(value))}</{key}>"
            for key, value in (
                ("PhysicalResourceId", resource.get("PhysicalResourceId")),
                ("Replacement", reported.get("Replacement")),
            )
            if value
        )
        details = "".join(_detail_xml(detail) for detail in reported["Details"])
        scope = "<member>Properties</member>" if reported["Action"] == "Modify" else ""
        members += (
            "<member><Type>Resource</Type><ResourceChange>"
            f"<Action>{reported['Action']}</Action>"
            f"<LogicalResourceId>{_esc(reported['LogicalResourceId'])}</LogicalResourceId>"
            f"<ResourceType>{_esc(reported['ResourceType'])}</ResourceType>{optional}"
            f"<Scope>{scope}</Scope><Details>{details}</Details>"
            "</ResourceChange></member>"
        )
    return members


def _detail_xml(detail: dict[str, str]) -> str:
    caused = "CausingEntity" in detail
    cause = f"<CausingEntity>{detail['CausingEntity']}</CausingEntity>" if caused else ""
    return (
        "<member><Target><Attribute>Properties</Attribute>"
        f"<Name>{detail['Name']}</Name>"
        f"<RequiresRecreation>{detail['RequiresRecreation']}</RequiresRecreation></Target>"
        f"<Evaluation>{'Dynamic' if caused else 'Static'}</Evaluation>"
        f"<ChangeSource>{'ResourceReference' if caused else 'DirectModification'}</ChangeSource>"
        f"{cause}</member>"
    )


def refusal(stack: dict[str, Any] | None, kind: str) -> str:
    """Why a change set of that type cannot be made or executed now; "" if it can."""
    status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
    if kind == "CREATE":
        if status in ("DELETE_COMPLETE", "REVIEW_IN_PROGRESS"):
            return ""
        name = stack["StackName"] if stack else ""
        return f"Stack [{name}] already exists and cannot be created again with the changeSet."
    if stack is None or status in (*_OPEN, "DELETE_COMPLETE"):
        return ""
    return f"Stack:{stack['StackId']} is in {status} state and can not be updated."
