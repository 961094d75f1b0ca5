"""Checks of a candidate: its export, and its gates on the test split."""

import dagster as dg

from assets.evaluation.champion import NONE_YET
from assets.evaluation.gates import evaluate_gates
from assets.line import MODEL_VERSIONS, Line
from assets.model.export_difference import export_difference
from assets.records.evaluation_report import EvaluationReportRecord
from assets.records.materializations import newest_materialization
from assets.records.trained_model import TrainedModelRecord
from imgclf_dagster.checks.result import fails_closed, judge, nothing_to_judge
from object_store.contents.reading import parse_object
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from training.evaluation.report import EvaluationReport

GATES = {
    "beats_champion": "The candidate is at least as good as the model in production "
    "(without one, it beats always predicting the commonest class).",
    "no_slice_regression": "No class lost more recall against the champion than chance explains.",
    "calibration_within_bound": "The candidate's probabilities are calibrated.",
}


@dg.asset_check(
    asset="trained_model",
    blocking=True,
    description="On real images, the ONNX graph gives the same probabilities as the net in training.",
)
@fails_closed
def export_matches_training(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    compute: Compute,
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """Compare the probabilities of the ONNX graph with those of the net in training.

    Args:
        context: Dagster's context.
        store: the object store.
        compute: where jobs run.
        line: the settings of the line.

    Returns:
        The largest difference, and whether it is within the bound.
    """
    found = newest_materialization(context.instance, store, TrainedModelRecord)
    if found is None:
        return nothing_to_judge("trained_model")
    version, digest = found.model_version, found.digest
    outputs = compute.outputs(version, "training")
    difference = export_difference(store, compute.model_key(version), outputs)
    bound = line.gates.max_export_difference
    return judge(
        store,
        check="export_matches_training",
        subject=f"trained_model/{version}",
        passed=difference.within(bound),
        digest=digest,
        reason=difference.text(bound),
        numbers={"largest_difference": difference.largest, "images": difference.images},
    )


def _gate_check(name: str, description: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset="evaluation_report", name=name, description=description, blocking=True)
    @fails_closed
    def gate(
        context: dg.AssetCheckExecutionContext,
        store: dg.ResourceParam[ObjectStore],
        compute: Compute,
        line: dg.ResourceParam[Line],
    ) -> dg.AssetCheckResult:
        """Evaluate one gate on the newest evaluation report.

        Args:
            context: of the check.
            store: with the report and the verdicts.
            compute: reads the output of the evaluation job.
            line: the bounds of the gates.
        """
        found = newest_materialization(context.instance, store, EvaluationReportRecord)
        if found is None:
            return nothing_to_judge("evaluation_report")
        job = found.job
        data = compute.open_output(job, "report.json", "processing")
        key = f"models/{job}/processing/report.json"
        report = parse_object(store, key, data, EvaluationReport)
        gates = evaluate_gates(report, line.gates, found.no_champion or NONE_YET)
        result = next(gate for gate in gates if gate.name == name)
        judged = judge(
            store,
            check=name,
            subject=f"trained_model/{found.model_version}",
            passed=result.passed,
            digest=found.digest,
            reason=result.reason,
            numbers=result.numbers,
        )
        if all(gate.passed for gate in gates):  # the version may be released
            partitions = str(MODEL_VERSIONS.name)
            context.instance.add_dynamic_partitions(partitions, [found.model_version])
        return judged

    return gate


def gate_checks() -> list[dg.AssetChecksDefinition]:
    """Return one check for each gate on the evaluation report."""
    return [_gate_check(name, description) for name, description in GATES.items()]
