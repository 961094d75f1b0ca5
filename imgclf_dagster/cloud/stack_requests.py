"""Requests of ``imgclf deploy``: stacks, their parameters, and settings made from their outputs."""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from imgclf_dagster.profiles.aws import tags
from imgclf_dagster.settings.root import Settings, SettingsError, deployed_file
from resources.stacks.plan import StackRequest
from resources.stacks.stacks import IAM_CAPABILITY, Stacks

Part = Literal["foundation", "edge", "orchestrator", "cicd"]
"""Stacks that ``imgclf deploy`` deploys; those of endpoints are deployed by the line."""

FOUNDATION_SETTINGS = {
    "bucket": "BucketName",
    "kms_key_arn": "KmsKeyArn",
    "job_role_arn": "JobRoleArn",
    "endpoint_role_arn": "EndpointRoleArn",
    "cloudformation_role_arn": "CloudFormationRoleArn",
    "package_group": "PackageGroupName",
    "arrivals_queue_url": "ArrivalsQueueUrl",
    "alerts_topic_arn": "AlertsTopicArn",
}
"""Outputs of ``foundation.yaml`` by the setting of section ``[aws]`` that they become."""

_HEADER = """\
# Written by `imgclf deploy`: what it made in the AWS account. imgclf.toml and IMGCLF_* variables
# override it. Don't edit it: the next deployment overwrites it.
"""


def stack_name(settings: Settings, part: str) -> str:
    """Return the name of a part's stack."""
    return f"{settings.project}-{part}"


def request_for(
    part: Part, settings: Settings, stacks: Stacks, chosen: Mapping[str, str]
) -> StackRequest:
    """Build the request for a part's stack.

    Args:
        part: which stack.
        settings: the user's settings.
        stacks: CloudFormation of the account and region.
        chosen: template parameters of the command line by name; they override those taken from the
            settings and the foundation's outputs.

    Raises:
        SettingsError: the foundation is not deployed yet.
    """
    from cloudformation import template

    text = template(f"{part}.yaml")
    known = {
        "Project": settings.project,
        "KeyPrefix": f"{settings.aws.prefix}/" if settings.aws.prefix else "",
    }
    if part != "foundation":
        known |= _outputs_of_foundation(settings, stacks)
        for name, value in {
            "ImageUri": settings.aws.image_uri,
            "GpuImageUri": settings.aws.gpu_image_uri,
        }.items():
            if value:
                known[name] = value
    declared = declared_parameters(text)
    return StackRequest(
        name=stack_name(settings, part),
        template=text,
        parameters={name: value for name, value in known.items() if name in declared}
        | dict(chosen),
        tags=tags(settings),
        capabilities=(IAM_CAPABILITY,),
    )


def declared_parameters(template: str) -> set[str]:
    """Return the names of a template's parameters."""
    # Read from the text, with two spaces of indentation: tags such as !Ref are not plain YAML.
    lines = iter(template.splitlines())
    for line in lines:
        if line == "Parameters:":
            break
    found = set()
    for line in lines:
        if line and not line.startswith((" ", "#")):
            break
        if line.startswith("  ") and line[2:3].isalpha() and ":" in line:
            found.add(line.strip().partition(":")[0])
    return found


def _outputs_of_foundation(settings: Settings, stacks: Stacks) -> dict[str, str]:
    name = stack_name(settings, "foundation")
    if not stacks.exists(name):
        raise SettingsError(
            f"there is no stack {name} in this account and region: run `imgclf deploy foundation` "
            "first, or set aws.region and aws.profile_name to its account"
        )
    return stacks.outputs(name)


def settings_of(outputs: Mapping[str, str], region: str) -> dict[str, str]:
    """Return the settings of section ``[aws]`` made from the foundation's outputs and the region."""
    found = {
        name: outputs[output] for name, output in FOUNDATION_SETTINGS.items() if output in outputs
    }
    return {"region": region, **found}


def write_deployed(values: Mapping[str, str], path: Path | None = None) -> Path:
    """Set values in ``aws.toml`` atomically; other values in it are kept.

    Args:
        values: settings of section ``[aws]`` by name.
        path: the file; ``None`` for ``aws.toml`` beside ``imgclf.toml``.

    Returns:
        The file's path.

    Raises:
        SettingsError: the existing file cannot be read.
    """
    path = path or deployed_file()
    merged = {**_read(path), **values}
    rows = [f"{name} = {json.dumps(value)}" for name, value in sorted(merged.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text("\n".join([_HEADER + "[aws]", *rows, ""]), encoding="utf-8")
    part.replace(path)
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("aws", {})
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}); delete it and deploy again"
        ) from None
    return found
