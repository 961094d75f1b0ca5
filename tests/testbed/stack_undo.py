"""The way back: failed operations undone, what is replaced or gone cleaned up, stacks deleted."""

from typing import Any

from tests.testbed.stack_operation import Operation, call


async def delete(stack_name: str, stack_id: str) -> None:
    """Delete a stack; in the place of ministack's ``_delete_stack_async``."""
    from ministack.services.cloudformation import _exports, _stacks

    stack = _stacks[stack_name]
    operation = Operation(stack, stack["_template"] or {}, stack["_resolved_params"], None)
    operation.resources = stack["_resources"]
    operation.turn("DELETE_IN_PROGRESS")
    for logical_id in _reversed(operation):
        await _remove(operation, logical_id, operation.resources[logical_id], "DeletionPolicy")
    if operation.failed:
        operation.turn("DELETE_FAILED", operation.reason())
        return
    for output in stack["Outputs"]:
        _exports.pop(output.get("ExportName", ""), None)
    operation.turn("DELETE_COMPLETE")


async def undo_creation(operation: Operation, reason: str) -> None:
    """Remove what was made."""
    operation.turn("ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user.")
    operation.failed.clear()
    for logical_id, _, _ in reversed(operation.done):
        if logical_id in operation.resources:
            await _remove(operation, logical_id, operation.resources[logical_id], "")
    operation.turn(
        "ROLLBACK_FAILED" if operation.failed else "ROLLBACK_COMPLETE", operation.reason()
    )


async def undo_update(operation: Operation, reason: str) -> None:
    """Bring back what was there, then remove what is new."""
    from ministack.services.cloudformation.provisioners import _update_resource

    before = operation.before
    assert before is not None
    operation.turn("UPDATE_ROLLBACK_IN_PROGRESS", reason)
    extra = []
    for logical_id, action, old in reversed(operation.done):
        now = operation.resources.get(logical_id)
        if action != "updated" or old is None or now is None:
            if now is not None and now is not old:
                extra.append((logical_id, now))
            if old is not None:
                operation.resources[logical_id] = old
            continue
        operation.event(logical_id, "UPDATE_IN_PROGRESS")
        try:
            # What failed was perhaps changed in part; its old properties are asserted again.
            new = {} if now is old else now["Properties"]
            await call(
                _update_resource,
                old["ResourceType"],
                old["PhysicalResourceId"],
                new,
                old["Properties"],
                operation.stack["StackName"],
                logical_id,
                old["Attributes"],
            )
        except Exception as error:
            operation.event(logical_id, "UPDATE_FAILED", str(error))
            text = f"The following resource(s) failed to update: [{logical_id}]. "
            operation.turn("UPDATE_ROLLBACK_FAILED", text)
            return
        operation.resources[logical_id] = old
        operation.event(logical_id, "UPDATE_COMPLETE")
    operation.turn("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    for logical_id, entry in extra:
        kept = operation.resources.get(logical_id)
        await _remove(operation, logical_id, entry, "")
        if kept is not None and kept is not entry:
            operation.resources[logical_id] = kept
    stack = operation.stack
    stack.update({key: before[key] for key in before if key != "_resources"})
    stack["_resources"] = operation.resources
    stack["Parameters"] = [
        {"ParameterKey": key, "ParameterValue": value["Value"], "NoEcho": value["NoEcho"]}
        for key, value in stack["_resolved_params"].items()
    ]
    operation.turn("UPDATE_ROLLBACK_COMPLETE")


async def clean_up(operation: Operation) -> None:
    """After a good update: delete what was replaced and what the template has no more."""
    for logical_id, action, old in reversed(operation.done):
        if action == "replaced" and old is not None:
            new = operation.resources[logical_id]
            await _remove(operation, logical_id, old, "UpdateReplacePolicy")
            operation.resources[logical_id] = new
    wanted = {
        logical_id
        for logical_id, definition in operation.template["Resources"].items()
        if operation.conditions.get(definition.get("Condition"), True)
    }
    for logical_id in _reversed(operation):
        if logical_id not in wanted:
            await _remove(operation, logical_id, operation.resources[logical_id], "DeletionPolicy")


async def _remove(
    operation: Operation, logical_id: str, entry: dict[str, Any], policy: str
) -> None:
    """Delete a resource, unless its policy ("" for none) keeps it."""
    from ministack.services.cloudformation.provisioners import _delete_resource

    operation.resources[logical_id] = entry
    if policy and operation.policy(logical_id, policy).startswith("Retain"):
        operation.event(logical_id, "DELETE_SKIPPED")
        del operation.resources[logical_id]
        return
    operation.event(logical_id, "DELETE_IN_PROGRESS")
    try:
        await call(
            _delete_resource,
            entry["ResourceType"],
            entry["PhysicalResourceId"],
            entry["Properties"],
            operation.stack["StackName"],
            logical_id,
        )
    except Exception as error:
        operation.event(logical_id, "DELETE_FAILED", str(error))
        operation.failed.append((logical_id, "DELETE"))
        return
    operation.event(logical_id, "DELETE_COMPLETE")
    del operation.resources[logical_id]


def _reversed(operation: Operation) -> list[str]:
    """What there is, dependants first."""
    from ministack.services.cloudformation.engine import _topological_sort

    definitions = {
        **(operation.before or {}).get("_template", {}).get("Resources", {}),
        **operation.template.get("Resources", {}),
    }
    order = [name for name in _topological_sort(definitions, {}) if name in operation.resources]
    return [*reversed(order), *(set(operation.resources) - set(order))]
