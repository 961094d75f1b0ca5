"""Compare the account's SageMaker quotas with the instances that the settings ask for.

There is one quota for each instance type and use; new accounts have 0 of most GPU types.
https://docs.aws.amazon.com/general/latest/gr/sagemaker.html
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imgclf_dagster.doctor.aws_account import Account
from imgclf_dagster.doctor.findings import Finding
from imgclf_dagster.settings.root import Settings
from resources.endpoints.stage_files import stage_settings
from serving.deployments import STAGES

_REMEDY = "ask for more in Service Quotas (SageMaker), which may take a day, or choose another"
_PAGE = 100
"""Maximum page size of Service Quotas; SageMaker has thousands of quotas."""


@dataclass
class Wanted:
    """Number of instances of a quota that are in use at the same time.

    Attributes:
        needed: instances without which a run fails.
        most: instances with everything optional; ``more`` says with what.
        setting: the setting that chooses the instance type.
        more: what ``most`` includes.
    """

    needed: int
    most: int
    setting: str
    more: str = "with all that autoscaling may add"


def wanted_quotas(settings: Settings) -> dict[str, Wanted]:
    """Return the instances that the settings ask for, by the name of the quota."""
    training, processing = settings.aws.training, settings.aws.processing
    use = "spot training job" if training.spot else "training job"
    count = training.instance_count
    wanted = {
        f"{training.instance_type} for {use} usage": Wanted(count, count, "aws.training"),
        f"{processing.instance_type} for processing job usage": Wanted(
            processing.instance_count, processing.instance_count, "aws.processing"
        ),
    }
    if training.spot and training.spot_fallback:
        wanted[f"{training.instance_type} for training job usage"] = Wanted(
            0, count, "aws.training", "on demand, where no spot capacity comes in time"
        )
    if training.keep_alive_s:
        name = f"{training.instance_type} for training warm pool usage"
        wanted[name] = Wanted(count, count, "aws.training.keep_alive_s")
    for stage in STAGES:
        parameters = stage_settings(stage, str(settings.aws.stages_dir or "")).parameters
        if parameters.get("ServerlessMemoryMB", "0") != "0":
            continue
        # A blue/green update runs both fleets at the same time.
        both = 2 * int(parameters.get("InstanceCount", "1"))
        most = max(both, int(parameters.get("MaxInstanceCount", "1")))
        name = f"{parameters['InstanceType']} for endpoint usage"
        old = wanted.get(name, Wanted(0, 0, "InstanceType in the stages' files"))
        wanted[name] = Wanted(old.needed + both, old.most + most, old.setting)
    return wanted


def look_at_quotas(account: Account) -> Iterator[Finding]:
    """Compare each quota with the number of instances wanted."""
    wanted = wanted_quotas(account.settings)
    granted = _granted(account, set(wanted))
    for name, want in wanted.items():
        if name not in granted:
            yield Finding(
                "quota",
                "warning",
                f"{name}: not listed",
                f"check that the instance type is right ({want.setting}), and offered in "
                f"{account.region}",
            )
            continue
        value = granted[name]
        detail = f"{name}: {value:g}, and {want.needed} are needed"
        if value < want.needed:
            yield Finding("quota", "failed", detail, f"{_REMEDY} instance type ({want.setting})")
        elif value < want.most:
            detail += f", {want.most} {want.more}"
            chosen = "MaxInstanceCount" if want.needed else f"instance type ({want.setting})"
            yield Finding("quota", "warning", detail, f"{_REMEDY} {chosen}")
        else:
            yield Finding("quota", "ok", detail)


def _granted(account: Account, names: set[str]) -> dict[str, float]:
    """Return the values of the named quotas that the account lists; stop when all are found."""
    pages = account.client("service-quotas").get_paginator("list_service_quotas")
    found: dict[str, float] = {}
    for page in pages.paginate(ServiceCode="sagemaker", PaginationConfig={"PageSize": _PAGE}):
        for quota in page["Quotas"]:
            if quota["QuotaName"] in names:
                found[quota["QuotaName"]] = quota["Value"]
        if names <= found.keys():
            break
    return found
