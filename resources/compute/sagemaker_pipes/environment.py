"""Putting Pipes' variables into a SageMaker job's request, and checking the request's limits."""

import copy
import re
from collections.abc import Mapping
from typing import Any

import dagster as dg

from resources.compute.sagemaker_pipes.jobs import APIS, JobKind

PIPES_ENTRIES = 2
"""Environment variables that Pipes needs."""

_TAGS = 50
_NOT_IN_TAGS = re.compile(r"[^\w .:/=+@-]")


def check_environment(
    kind: JobKind, name: str, environment: Mapping[str, str], spare: int = 0
) -> None:
    """Check a job's name and environment against SageMaker's limits.

    Args:
        kind: of the job; each has its own limits.
        name: of the job.
        environment: all variables that are known.
        spare: number of variables to be added later.

    Raises:
        dg.Failure: SageMaker would refuse them; without retries.
    """
    api, problems = APIS[kind], []
    if len(name) > api.name_characters:
        problems.append(f"its name has {len(name)} characters ({api.name_characters} at most)")
    if len(environment) + spare > api.entries:
        count = len(environment) + spare
        problems.append(f"{count} environment variables ({api.entries} at most)")
    problems += [
        f"the value of {key} has {len(value)} characters ({api.characters} at most)"
        for key, value in environment.items()
        if len(value) > api.characters
    ]
    if problems:
        raise dg.Failure(
            f"SageMaker would refuse the {kind} job {name}: {'; '.join(problems)}. Put what is "
            "long into an object of the store, and shorten the store's prefix",
            allow_retries=False,
        )


def environments(request: Mapping[str, Any], kind: JobKind) -> list[dict[str, str]]:
    """Return a request's environments: the job's, or one per definition of a tuning job."""
    if kind != "tuning":
        return [request.get("Environment", {})]
    single = [request["TrainingJobDefinition"]] if "TrainingJobDefinition" in request else []
    definitions = [*single, *request.get("TrainingJobDefinitions", [])]
    return [definition.get("Environment", {}) for definition in definitions]


def with_pipes(
    request: Mapping[str, Any], kind: JobKind, bootstrap: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Return a copy of the request with Pipes in its environment and more tags.

    Args:
        request: of CreateTrainingJob, CreateProcessingJob or CreateHyperParameterTuningJob.
        kind: of the job. A tuning job's training jobs get the variables, not itself.
        bootstrap: environment variables of Dagster Pipes.
        tags: to add, unless the request has one of the same key; 50 remain in all.
    """
    full: dict[str, Any] = copy.deepcopy(dict(request))
    if kind != "tuning":
        full.setdefault("Environment", {}).update(bootstrap)
    for definition in (
        full.get("TrainingJobDefinition"),
        *full.get("TrainingJobDefinitions", ()),
    ):
        if definition is not None:
            definition.setdefault("Environment", {}).update(bootstrap)
    given = {tag["Key"] for tag in full.get("Tags", ())}
    added = [
        {"Key": key, "Value": _NOT_IN_TAGS.sub("_", str(value))[:256]}
        for key, value in tags.items()
        if key not in given
    ]
    full["Tags"] = [*full.get("Tags", ()), *added][:_TAGS]
    return full
