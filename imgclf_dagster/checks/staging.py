"""Checks of the staging endpoint: the very package answers, as it was evaluated, and in time."""

import io
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.dataset_build import DATASETS, read_dataset_manifest
from assets.evaluation_records import newest_evaluation
from assets.line import MODEL_VERSIONS, Line
from imgclf_dagster.checks.result import judge
from resources.endpoint_host import EndpointHost, HostUnavailable
from resources.model_registry import ModelRegistry
from resources.object_store import ObjectStore
from serving.client import InvocationFailed

PROBES = 32
"""Test images sent to staging: enough for a 95th percentile, few enough for a second or two."""

ANY_IMAGE = "application/x-image"
"""SageMaker's media type for an image of any format."""


def _of_each_version(check: Callable[..., dg.AssetCheckResult]) -> dg.AssetChecksDefinition:
    """A blocking check of one partition of ``staging_endpoint``.

    Dagster calls partitioned checks a preview and warns at each; without them, a check of one
    version would let the others through. ``prod_endpoint`` relies on our own verdicts instead.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.asset_check(
            asset="staging_endpoint", blocking=True, partitions_def=MODEL_VERSIONS
        )(check)


@_of_each_version
def staging_serves_digest(
    context: dg.AssetCheckExecutionContext,
    store: ObjectStore,
    registry: ModelRegistry,
    endpoints: EndpointHost,
) -> dg.AssetCheckResult:
    """Staging answers with this package's digest, and labels test images as the evaluation did."""
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
            f"{sent - agreed} of {sent} test images are labelled unlike in the evaluation"
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


@_of_each_version
def staging_latency_within_budget(
    context: dg.AssetCheckExecutionContext,
    store: ObjectStore,
    registry: ModelRegistry,
    endpoints: EndpointHost,
    line: dg.ResourceParam[Line],
) -> dg.AssetCheckResult:
    """The 95th percentile of staging's answer time for one image is within the budget."""
    version = context.op_execution_context.partition_key
    package = registry.get(version)
    budget = line.gates.max_staging_latency_ms
    latencies: list[float] = []
    problem = ""
    try:
        for probe in _probes(store, version):
            begun = time.perf_counter()
            endpoints.invoke("staging", probe.image, ANY_IMAGE)
            latencies.append((time.perf_counter() - begun) * 1000)
    except (HostUnavailable, InvocationFailed) as error:
        problem = str(error)
    p95 = statistics.quantiles(latencies, n=20)[-1] if len(latencies) > 1 else float("inf")
    return judge(
        store,
        check="staging_latency_within_budget",
        subject=f"trained_model/{version}",
        passed=not problem and p95 <= budget,
        digest=package.digest,
        reason=problem
        or f"95th percentile {p95:.0f} ms of {len(latencies)} requests (budget {budget:g} ms)",
        numbers={"p95_ms": round(p95, 1) if latencies else -1.0, "requests": len(latencies)},
    )


@dataclass(frozen=True)
class Probe:
    """A test image (the bytes of its file) with the labels that the evaluation predicted."""

    image: bytes
    predicted: list[str]


def _probes(store: ObjectStore, version: str) -> Iterator[Probe]:
    """Test images of the model's evaluation, out of the data set: those under ``raw/`` may go."""
    evaluation = newest_evaluation(store, version)
    if evaluation is None:
        return
    data = store.get(f"models/{evaluation['job']}/processing/predictions.parquet")
    table = pq.read_table(io.BytesIO(data), columns=["sha256", "split", "predicted"])
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
