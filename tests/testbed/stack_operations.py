"""CloudFormation's way with a stack's resources, in the place of ministack's.

ministack deletes what an update has touched when the update fails; CloudFormation brings it back.
So the whole operation is ours: create before delete, replacement, rollback, clean-up, deletion
policies, and the events and reasons that go with them
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html).
ministack keeps the parsing, the intrinsic functions and its own resource types.
"""

from typing import Any

from tests.testbed.stack_operation import Operation, call, entry
from tests.testbed.stack_resources import TYPES, ResourceFailed
from tests.testbed.stack_undo import clean_up, undo_creation, undo_update

_REPLACES = "Requested update requires the creation of a new physical resource; hence creating one."
_INITIATED = "Resource creation Initiated"


async def deploy(
    stack_name: str,
    stack_id: str,
    template: dict[str, Any],
    param_values: dict[str, Any],
    disable_rollback: bool,
    tags: list[Any],
    is_update: bool = False,
    previous_stack: dict[str, Any] | None = None,
) -> None:
    """Create or update a stack; in the place of ministack's ``_deploy_stack_async``."""
    from ministack.services.cloudformation import _stacks
    from ministack.services.cloudformation.engine import _topological_sort

    stack = _stacks[stack_name]
    operation = Operation(stack, template, param_values, previous_stack if is_update else None)
    for logical_id in _topological_sort(template["Resources"], operation.conditions):
        try:
            await _provision(operation, logical_id)
        except Exception as error:
            await _note_failure(operation, logical_id, error)
            stack["_resources"] = operation.resources
            reason = operation.reason()
            if disable_rollback:
                operation.turn(f"{operation.verb}_FAILED", reason)
            elif operation.before is None:
                await undo_creation(operation, reason)
            else:
                await undo_update(operation, reason)
            return
    stack["_resources"] = operation.resources
    stack["_template"], stack["_resolved_params"] = template, param_values
    stack["Outputs"] = _outputs(operation)
    if operation.before is not None:
        operation.turn("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        await clean_up(operation)
    operation.turn(f"{operation.verb}_COMPLETE")


async def _provision(operation: Operation, logical_id: str) -> None:
    from ministack.services.cloudformation.engine import _NO_VALUE
    from ministack.services.cloudformation.provisioners import (
        _provision_resource,
        _update_resource,
    )

    definition = operation.template["Resources"][logical_id]
    kind = definition["Type"]
    resolved = operation.resolve(definition.get("Properties", {}))
    props = {key: value for key, value in resolved.items() if value is not _NO_VALUE}
    old = operation.resources.get(logical_id)
    name = operation.stack["StackName"]
    if old is not None and old["ResourceType"] == kind and old["Properties"] == props:
        return  # untouched, as CloudFormation leaves it
    replaced = old is not None and replaces(kind, old, props)
    if old is None or replaced:
        verb = "UPDATE" if replaced else "CREATE"
        operation.event(logical_id, f"{verb}_IN_PROGRESS", _REPLACES if replaced else "", kind)
        attempt = (_provision_resource, kind, logical_id, props, name)
        operation.done.append((logical_id, "replaced" if replaced else "created", old))
    else:
        verb = "UPDATE"
        operation.event(logical_id, "UPDATE_IN_PROGRESS")
        old_id, old_props, attributes = (
            old["PhysicalResourceId"],
            old["Properties"],
            old["Attributes"],
        )
        attempt = (_update_resource, kind, old_id, old_props, props, name, logical_id, attributes)
        operation.done.append((logical_id, "updated", old))
    physical_id, attributes = await call(*attempt)
    operation.resources[logical_id] = entry(logical_id, kind, physical_id, props, attributes)
    if verb == "CREATE" or replaced:
        operation.event(logical_id, f"{verb}_IN_PROGRESS", _INITIATED)
    operation.event(logical_id, f"{verb}_COMPLETE")
    operation.resources[logical_id]["ResourceStatus"] = f"{verb}_COMPLETE"


def replaces(kind: str, old: dict[str, Any], props: dict[str, Any]) -> bool:
    """Whether a change of properties makes a new physical resource."""
    if old["ResourceType"] != kind:
        return True
    ours = TYPES.get(kind)
    keys = old["Properties"].keys() | props.keys()
    changed = {key for key in keys if old["Properties"].get(key) != props.get(key)}
    return ours is not None and any(ours.replaced_by(key) for key in changed)


async def _note_failure(operation: Operation, logical_id: str, error: Exception) -> None:
    action = operation.done[-1][1] if operation.done else "created"
    if isinstance(error, ResourceFailed) and error.physical_id and action != "updated":
        kind = operation.template["Resources"][logical_id]["Type"]
        operation.resources[logical_id] = entry(logical_id, kind, error.physical_id, {}, {})
    elif action == "created":
        operation.resources.pop(logical_id, None)
        if operation.done and operation.done[-1][0] == logical_id:
            operation.done.pop()
    verb = "CREATE" if action == "created" else "UPDATE"
    operation.event(logical_id, f"{verb}_FAILED", str(error))
    operation.failed.append((logical_id, verb))


def _outputs(operation: Operation) -> list[dict[str, str]]:
    from ministack.services.cloudformation import _exports

    outputs = []
    for name, definition in operation.template.get("Outputs", {}).items():
        if not operation.conditions.get(definition.get("Condition"), True):
            continue
        value = str(operation.resolve(definition.get("Value", "")))
        output = {
            "OutputKey": name,
            "OutputValue": value,
            "Description": definition.get("Description", ""),
        }
        if "Export" in definition:
            export = str(operation.resolve(definition["Export"]["Name"]))
            output["ExportName"] = export
            stack_id = operation.stack["StackId"]
            _exports[export] = {"StackId": stack_id, "Name": export, "Value": value}
        outputs.append(output)
    return outputs
