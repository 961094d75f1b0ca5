"""Checks of the staging endpoint: the right model answers, as evaluated, and in time."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from assets.dataset.versions import DATASETS, read_dataset_manifest
from assets.evaluation.records import newest_evaluation
from assets.line import MODEL_VERSIONS, Line
from assets.release.verdicts import newest_verdict
from imgclf_dagster.checks.latency import QUIET_P95, judge_latency
from imgclf_dagster.checks.result import fails_closed, judge
from object_store.contents.damage import DamagedObject
from object_store.contents.reading import read_rows
from object_store.store import ObjectStore
from resources.endpoints.endpoint_host import Endpoints, HostUnavailable
from resources.registry.registry import ModelRegistry
from serving.deployments import Stage
from serving.endpoint.client import InvocationFailed

PROBES = 32
"""Number of test images sent to staging: enough for a 95th percentile, sent in a second or two."""

_PREDICTED = pa.schema(
    [("sha256", pa.string()), ("split", pa.string()), ("predicted", pa.list_(pa.string()))]
)

ANY_IMAGE = "application/x-image"
"""SageMaker's media type for an image of any format."""


def _of_each_version(description: str) -> Callable[..., dg.AssetChecksDefinition]:
    """Make a decorator for a blocking check of one partition of ``staging_endpoint``."""

    def decorate(check: Callable[..., dg.AssetCheckResult]) -> dg.AssetChecksDefinition:
        # Dagster warns that partitioned checks are a preview. An unpartitioned check of one version
        # would let other versions through. prod_endpoint relies on our own verdicts instead.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.PreviewWarning)
            return dg.asset_check(
                asset="staging_endpoint",
                blocking=True,
                partitions_def=MODEL_VERSIONS,
                description=description,
            )(fails_closed(check))

    return decorate


@_of_each_version(
    "Staging answers with this package's digest, and predicts the same labels for test images as "
    "the evaluation."
)
def staging_serves_digest(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    registry: ModelRegistry,
    endpoints: Endpoints,
) -> dg.AssetCheckResult:
    """Compare staging's answers to test images with the package and its evaluation.

    Args:
        context: Dagster's context.
        store: the object store.
        registry: the model registry.
        endpoints: where models are served.

    Returns:
        Whether digest and labels are the same.
    """
    version = context.op_execution_context.partition_key
    package = registry.get(version)
    problems, agreed, sent = [], 0, 0
    try:
        for probe in _probes(store, version):
            answer = endpoints.invoke("staging", probe.image, ANY_IMAGE)
            sent += 1
            if answer["digest"] != package.digest:
                problems.append(f"answered by digest {str(answer['digest'])[:12]}")
                break
            agreed += _same_labels(answer, probe.predicted)
    except (HostUnavailable, InvocationFailed) as error:
        problems.append(str(error))
    if agreed < sent and not problems:
        problems.append(
            f"{sent - agreed} of {sent} test images got other labels than in the evaluation"
        )
    return judge(
        store,
        check="staging_serves_digest",
        subject=f"trained_model/{version}",
        passed=not problems and sent > 0,
        digest=package.digest,
        reason="; ".join(problems) or f"{agreed} of {sent} test images answered as evaluated",
        numbers={"agreed": agreed, "sent": sent},
    )


@_of_each_version(
    "The 95th percentile of staging's response time for one image is within the budget. If it is "
    "not, production's model gets the same images in the same minute, so that a busy machine only "
    "warns."
)
def staging_latency_within_budget(
    context: dg.AssetCheckExecutionContext,
    store: dg.ResourceParam[ObjectStore],
    registry: ModelRegistry,
    endpoints: Endpoints,
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """Compare the 95th percentile of staging's response time with the budget.

    Args:
        context: Dagster's context.
        store: the object store.
        registry: the model registry.
        endpoints: where models are served.
        line: the settings of the line.

    Returns:
        Whether it is within the budget; a busy machine only warns (``judge_latency``).
    """
    version = context.op_execution_context.partition_key
    package = registry.get(version)
    budget = line.gates.max_staging_latency_ms
    images = [probe.image for probe in _probes(store, version)]
    problem, finding = "", judge_latency([], budget)
    try:
        times = _answer_times(endpoints, images, ("staging",))
        finding = judge_latency(times["staging"], budget)
        before = _champion_before(store, endpoints, package.digest)
        if not finding.passed and before is not None:
            times = _answer_times(endpoints, images, ("staging", "prod"))
            finding = judge_latency(
                times["staging"], budget, champion=times["prod"], champion_before_ms=before
            )
    except (HostUnavailable, InvocationFailed) as error:
        problem = str(error)
    return judge(
        store,
        check="staging_latency_within_budget",
        subject=f"trained_model/{version}",
        passed=not problem and finding.passed,
        severity="ERROR" if problem else finding.severity,
        digest=package.digest,
        reason=problem or finding.reason,
        numbers=finding.numbers,
    )


def _answer_times(
    endpoints: Endpoints, images: Sequence[bytes], stages: Sequence[Stage]
) -> dict[Stage, list[float]]:
    """Send each image to each of ``stages`` in turn, and return the latencies by stage (ms).

    If production refuses a request, its list is empty.

    Raises:
        HostUnavailable: no endpoint host is up.
        InvocationFailed: staging refused a request.
    """
    times: dict[Stage, list[float]] = {stage: [] for stage in stages}
    asked = list(stages)
    for image in images:
        for stage in tuple(asked):
            begun = time.perf_counter()
            try:
                endpoints.invoke(stage, image, ANY_IMAGE)
            except InvocationFailed:
                if stage == "staging":
                    raise
                asked.remove(stage)
                times[stage] = []
                continue
            times[stage].append((time.perf_counter() - begun) * 1000)
    return times


def _champion_before(store: ObjectStore, endpoints: Endpoints, digest: str) -> float | None:
    """Return the 95th percentile of production's model when it was checked (ms).

    ``None`` if production has no model, has the candidate itself, or the value is unknown.
    """
    try:
        current = endpoints.current("prod")
        if current is None or current.digest == digest:
            return None
        subject = f"trained_model/{current.model_version}"
        verdict = newest_verdict(store, subject, "staging_latency_within_budget")
    except DamagedObject:  # judged without the comparison, which is stricter
        return None
    if verdict is None or verdict.digest != current.digest:
        return None
    found = verdict.numbers.get(QUIET_P95, verdict.numbers.get("p95_ms"))
    return float(found) if found is not None and float(found) > 0 else None


@dataclass(frozen=True)
class Probe:
    """A test image as encoded bytes, with the labels that the evaluation predicted."""

    image: bytes
    predicted: list[str]


def _probes(store: ObjectStore, version: str) -> Iterator[Probe]:
    """Yield test images of the model's evaluation, read from the data set's shards."""
    # Not from raw/, where images may have been deleted.
    evaluation = newest_evaluation(store, version)
    if evaluation is None:
        return
    key = f"models/{evaluation['job']}/processing/predictions.parquet"
    table = read_rows(store, key, _PREDICTED)
    test = table.filter(pc.equal(table["split"], "test")).slice(0, PROBES).to_pylist()
    manifest = read_dataset_manifest(store, evaluation["dataset_version"])
    wanted = pc.is_in(manifest["sha256"], value_set=pa.array([row["sha256"] for row in test]))
    places = {row["sha256"]: row for row in manifest.filter(wanted).to_pylist()}
    for row in test:
        place = places[row["sha256"]]
        shard = f"{DATASETS}{place['shard']}"
        image = store.get_range(shard, place["offset"], place["length"])
        yield Probe(image, row["predicted"])


def _same_labels(answer: Mapping[str, Any], predicted: list[str]) -> bool:
    return set(answer["predictions"][0]["predicted"]) == set(predicted)
