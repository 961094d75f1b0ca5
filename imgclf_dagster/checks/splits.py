"""The check of near-duplicate groups."""

import dagster as dg

from assets.dataset.splits.class_floor import HOW_TO_DIVIDE
from assets.dataset.splits.group_report import suspect_groups
from assets.line import Line
from imgclf_dagster.checks.dataset import newest_data_set
from imgclf_dagster.checks.result import fails_closed, judge, nothing_to_judge
from object_store.store import ObjectStore

SHOWN = 5


@dg.asset_check(asset="dataset")
@fails_closed
def near_duplicate_groups(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """No near-duplicate group is large, and all images of a group have the same labels; otherwise
    it warns."""
    version, manifest = newest_data_set(context, store)
    if manifest is None:
        return nothing_to_judge("dataset")
    suspects = suspect_groups(manifest, line.gates.max_group_share)
    reason = "no large near-duplicate group, and none with different labels"
    if suspects:
        reason = "; ".join(one.sentence for one in suspects[:SHOWN])
        if len(suspects) > SHOWN:
            reason += f"; and {len(suspects) - SHOWN} more groups"
        reason += (
            ". They share a split. Where they are the same picture, their labels contradict one "
            f"another or many of them teach little. {HOW_TO_DIVIDE}"
        )
    return judge(
        store,
        check="near_duplicate_groups",
        subject=f"dataset/{version}",
        passed=not suspects,
        severity="WARN",
        reason=reason,
        numbers={
            "large": sum(one.is_large for one in suspects),
            "of different labels": sum(len(one.labels) > 1 for one in suspects),
        },
    )
