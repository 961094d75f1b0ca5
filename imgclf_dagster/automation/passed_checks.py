"""The automation condition that the blocking checks of the inputs passed."""

import dagster as dg
from dagster import AutomationCondition
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
LOOKED_THROUGH = 20
"""Number of newest evaluations of a check searched for the input's newest materialization."""


def blocking_checks_passed(*inputs: str) -> AutomationCondition:
    """True if all blocking checks of the newest materialization of ``inputs`` passed.

    Without ``inputs``, all inputs of the asset count.
    """
    passed: AutomationCondition = AutomationCondition.all_deps_blocking_checks_passed()
    if inputs:
        passed = AutomationCondition.all_deps_blocking_checks_passed().allow(
            dg.AssetSelection.assets(*inputs)
        )
    return (passed | ChecksPassedBefore(*inputs)).with_label("blocking checks passed")


class ChecksPassedBefore(AutomationCondition):
    """The blocking checks passed, though a later run that planned them never came to them.

    Dagster looks at the newest run that planned a check. One that failed or was cancelled before
    the input was made again would hold up what follows until the input changes.
    """

    def __init__(self, *inputs: str) -> None:
        """Watch the checks of ``inputs``; without any, of all inputs of the asset."""
        self.inputs = inputs

    @property
    def description(self) -> str:
        """For Dagster's page of the condition."""
        return "the checks passed for the newest materialization, in any run"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Return all of the candidates if the checks passed, else none."""
        is_passed = not context.candidate_subset.is_empty and all(
            _passed(context, key)
            for key in context.asset_graph.get(context.key).parent_keys
            if not self.inputs or key.to_user_string() in self.inputs
        )
        subset = context.candidate_subset if is_passed else context.get_empty_subset()
        return dg.AutomationResult(context, subset)


def _passed(context: dg.AutomationContext, key: dg.AssetKey) -> bool:
    """Whether the newest materialization of ``key`` passed its blocking checks."""
    checks = [
        check
        for check in context.asset_graph.get(key).check_keys
        if context.asset_graph.get(check).blocking
    ]
    if not checks:
        return True
    instance = context.asset_graph_view.instance
    newest = instance.get_latest_materialization_event(key)
    # A materialization reported by hand has no run, by which its evaluations could be found.
    if newest is None or not newest.run_id or context.asset_graph.get(key).is_partitioned:
        return False
    for check in checks:
        history = instance.event_log_storage.get_asset_check_execution_history(
            check, limit=LOOKED_THROUGH, status=EVALUATED
        )
        of_newest = (record for record in history if _is_of(record, newest))
        record = next(of_newest, None)
        if record is None or record.status != AssetCheckExecutionRecordStatus.SUCCEEDED:
            return False
    return True


def _is_of(record: AssetCheckExecutionRecord, newest: dg.EventLogEntry) -> bool:
    """Whether a check's evaluation belongs to the materialization ``newest``.

    It was made in the same run, or later with a materialization of that run as its target.
    """
    target = record.evaluation.target_materialization_data if record.evaluation else None
    return newest.run_id in (record.run_id, target.run_id if target else None)
