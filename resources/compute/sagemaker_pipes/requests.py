"""Comparing a Create request with an existing SageMaker job of the same name.

A job's name can be used once in an account and region. A run that launches under a name in use
attaches to that job, so the request is compared with Describe's answer first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from resources.compute.sagemaker_pipes.jobs import APIS, JobKind

_DEFAULTS: Mapping[str, tuple[Any, ...]] = {
    "CompressionType": ("None", "GZIP"),
    "InputMode": ("File",),
    "MaxRuntimeInSeconds": (86_400,),
    "RecordWrapperType": ("None",),
    "S3DataDistributionType": ("FullyReplicated",),
    "S3CompressionType": ("None",),
    "S3UploadMode": ("EndOfJob",),
}
"""SageMaker's defaults for members that a request omits, besides empty values and false."""

_FILLED_IN = {
    "EnableSageMakerMetricsTimeSeries",
    "ProfilerConfig",
    "ProfilerRuleConfigurations",
}
"""Members for monitoring that SageMaker sets by its own rules where a request omits them."""

_ADDED_KEYS = ("DAGSTER_PIPES_", "_tuning_objective_metric")
"""Prefixes of map keys that belong to one run, or to SageMaker."""

_UNSHOWN = "Environment"


def differing_fields(
    client: Any, kind: JobKind, request: Mapping[str, Any], description: Mapping[str, Any]
) -> list[str]:
    """List the differences between a request and an existing job, a line each.

    Tags are not compared: Describe does not return them, and they do not change the job's work.
    Values of environment variables are not shown.

    Args:
        client: boto3's for ``sagemaker``; its service model says which members there are.
        kind: of the job.
        request: of the Create call, without Pipes' own variables.
        description: the answer of the Describe call.
    """
    model = client.meta.service_model
    asked = model.operation_model(f"Create{APIS[kind].noun}Job").input_shape
    described = model.operation_model(f"Describe{APIS[kind].noun}Job").output_shape
    return [
        line
        for name, shape in asked.members.items()
        if name in described.members
        for line in _differences(shape, name, request.get(name), description.get(name))
    ]


def _differences(shape: Any, path: str, asked: Any, has: Any) -> Iterator[str]:
    name = path.rpartition(".")[2]
    if _is_nothing(asked) and (
        _is_nothing(has) or has in _DEFAULTS.get(name, ()) or name in _FILLED_IN
    ):
        return
    kind = shape.type_name
    if kind == "structure":
        for key, member in shape.members.items():
            yield from _differences(
                member, f"{path}.{key}", (asked or {}).get(key), (has or {}).get(key)
            )
    elif kind == "map":
        for key in sorted({*(asked or {}), *(has or {})}):
            if not key.startswith(_ADDED_KEYS):
                yield from _leaf(f"{path}.{key}", (asked or {}).get(key), (has or {}).get(key))
    elif kind == "list" and shape.member.type_name == "string":
        yield from _leaf(path, list(asked or ()), list(has or ()))
    elif kind == "list":
        here, there = list(asked or ()), list(has or ())
        if len(here) != len(there):
            yield f"{path}: asked for {len(here)}, it has {len(there)}"
        for number, (one, other) in enumerate(zip(here, there, strict=False), 1):
            yield from _differences(shape.member, f"{path}[{number}]", one, other)
    else:
        yield from _leaf(path, asked, has)


def _leaf(path: str, asked: Any, has: Any) -> Iterator[str]:
    if asked == has or (_is_nothing(asked) and _is_nothing(has)):
        return
    if _UNSHOWN in path.split("."):
        yield f"{path}: another value"
    else:
        yield f"{path}: asked for {_shown(asked)}, it has {_shown(has)}"


def _is_nothing(value: Any) -> bool:
    """Whether a value means the same as an omitted one; SageMaker returns some that were omitted."""
    return value is None or value is False or value in ("", {}, [])


def _shown(value: Any) -> str:
    return "nothing" if _is_nothing(value) else repr(value)[:200]
