"""Whether the account may use as many instances as the settings ask for.

SageMaker's quotas are one per instance type and use; new accounts have 0 of most GPU types.
https://docs.aws.amazon.com/general/latest/gr/sagemaker.html
"""

from collections.abc import Iterator
from typing import Any

from imgclf_dagster.doctor_findings import Finding
from imgclf_dagster.settings import Settings
from resources.aws.stage_files import stage_settings
from serving.deployments import STAGES


def wanted_quotas(settings: Settings) -> dict[str, int]:
    """Instances needed at the same time, by the name of the quota."""
    training, processing = settings.aws.training, settings.aws.processing
    use = "spot training job" if training.spot else "training job"
    wanted = {
        f"{training.instance_type} for {use} usage": training.instance_count,
        f"{processing.instance_type} for processing job usage": processing.instance_count,
    }
    if training.keep_alive_s:
        name = f"{training.instance_type} for training warm pool usage"
        wanted[name] = training.instance_count
    for stage in STAGES:
        parameters = stage_settings(stage, str(settings.aws.stages_dir or "")).parameters
        if parameters.get("ServerlessMemoryMB", "0") != "0":
            continue
        name = f"{parameters['InstanceType']} for endpoint usage"
        # A blue/green update runs both fleets for a while.
        wanted[name] = wanted.get(name, 0) + 2 * int(parameters.get("InstanceCount", "1"))
    return wanted


def short_quotas(client: Any, settings: Settings) -> Iterator[Finding]:
    """Compare each quota with what is wanted."""
    wanted = wanted_quotas(settings)
    pages = client("service-quotas").get_paginator("list_service_quotas")
    granted = {
        quota["QuotaName"]: quota["Value"]
        for page in pages.paginate(ServiceCode="sagemaker")
        for quota in page["Quotas"]
        if quota["QuotaName"] in wanted
    }
    for name, count in wanted.items():
        if name not in granted:
            yield Finding("quota", "warning", f"{name}: not listed; is the instance type right?")
        elif granted[name] < count:
            yield Finding(
                "quota",
                "failed",
                f"{name}: {granted[name]:g}, and {count} are needed",
                "ask for more in Service Quotas (SageMaker); it may take a day",
            )
        else:
            yield Finding("quota", "ok", f"{name}: {granted[name]:g}, {count} needed")
