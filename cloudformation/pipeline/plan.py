"""``python -m cloudformation.pipeline.plan``: the parameters with which a stack is updated.

CodePipeline's CloudFormation actions give a stack exactly the parameters of a template
configuration and reset all others to their defaults; they have no UsePreviousValue. So this program
writes a configuration from the present parameters of the stack, those of the repository
(``stages/*.json``), and the image of the commit. A stack that does not exist yet gets none, and the
pipeline skips it: Dagster releases the models, and a person makes the first deployment of
everything else (docs/aws-cicd.md). Other stacks, such as a canary in production, are not touched.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

NO_STACK = "none"
"""Only look which stacks there are."""

NOT_BUILT = "none"
"""In the place of an image that was not built: CodePipeline has no empty variables."""

_SERVERLESS = "ServerlessMemoryMB"
"""Parameter of ``endpoint.yaml``; "0" is an endpoint with instances."""

Configuration = dict[str, dict[str, str]]
"""``{"Parameters": …, "Tags": …}``, as CodePipeline reads it:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/continuous-delivery-codepipeline-cfn-artifacts.html"""


@dataclass(frozen=True)
class Target:
    """A stack of the pipeline: ``<project>-<suffix>``, from ``template``."""

    suffix: str
    template: str
    chosen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def targets() -> dict[str, Target]:
    """The pipeline's stacks by the name of their configuration."""
    stages = files("cloudformation") / "stages"
    return {
        "foundation": Target("foundation", "foundation.yaml"),
        "orchestrator": Target("orchestrator", "orchestrator.yaml"),
        **{
            stage: Target(
                f"endpoint-{stage}",
                "endpoint.yaml",
                json.loads((stages / f"{stage}.json").read_text(encoding="utf-8")),
            )
            for stage in ("staging", "prod")
        },
    }


def find_stack(client: Any, name: str) -> dict[str, Any] | None:
    """Return the stack ``name``; ``None`` if there is none, or only a creation that failed."""
    from botocore.exceptions import ClientError

    try:
        stack: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if stack["StackStatus"] in ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE") else stack


def configuration(
    stack: Mapping[str, Any],
    summary: Mapping[str, Any],
    *,
    chosen: Mapping[str, Mapping[str, str]],
    images: Mapping[str, str],
) -> Configuration:
    """Compute the template configuration with which a stack is updated.

    Args:
        stack: as DescribeStacks answers.
        summary: of the new template, as GetTemplateSummary answers.
        chosen: parameters and tags that the repository decides.
        images: parameters that name this commit's images.

    Raises:
        SystemExit: the stack is being changed, a new parameter has no value, or an endpoint with
            instances would have to become serverless.
    """
    name = stack["StackName"]
    if stack["StackStatus"].endswith("_IN_PROGRESS"):
        sys.exit(
            f"{name} is {stack['StackStatus']}: somebody deploys it. Retry this stage afterwards, "
            "or what they deploy would be undone"
        )
    known = {item["ParameterKey"]: item for item in summary["Parameters"]}
    now = {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])}
    wanted = {**now, **chosen.get("Parameters", {}), **images}
    parameters = {key: value for key, value in wanted.items() if key in known}
    missing = [key for key in known if key not in parameters and "DefaultValue" not in known[key]]
    if missing:
        sys.exit(
            f"{name} has no value for the new parameters {', '.join(missing)}: give them a Default, "
            "or update the stack once by hand (docs/aws-cicd.md)"
        )
    serverless = parameters.get(_SERVERLESS, "0")
    if now.get(_SERVERLESS, serverless) == "0" and serverless != "0":
        sys.exit(
            f"{name} has instances, and SageMaker does not convert such an endpoint to serverless "
            f"({_SERVERLESS} is {serverless} in the stage's file). Set it to 0; or delete the stack, "
            "which takes the endpoint out of service, and have the line deploy it again"
        )
    tags = {item["Key"]: item["Value"] for item in stack.get("Tags", [])}
    return {"Parameters": parameters, "Tags": {**tags, **chosen.get("Tags", {})}}


def look(client: Any, project: str) -> dict[str, bool]:
    """Return which stacks exist, by the name of their configuration."""
    found = {
        name: find_stack(client, f"{project}-{target.suffix}") is not None
        for name, target in targets().items()
    }
    for name, exists in found.items():
        if not exists:
            suffix = targets()[name].suffix
            print(f"{project}-{suffix} does not exist yet: left to its first deployment")
    return found


def write_plan(
    client: Any, project: str, name: str, images: Mapping[str, str], to: Path
) -> Path | None:
    """Write the template configuration of one stack.

    Args:
        client: boto3's client of CloudFormation.
        project: as in every template.
        name: of the stack in ``targets()``, and of the file: ``<name>.json``.
        images: parameters that name this commit's images.
        to: the folder of the file.

    Returns:
        The file's path; ``None`` if there is no such stack.

    Raises:
        SystemExit: the stack is being changed, or a new parameter has no value.
    """
    target = targets()[name]
    stack = find_stack(client, f"{project}-{target.suffix}")
    if stack is None:
        return None
    body = (files("cloudformation") / target.template).read_text(encoding="utf-8")
    summary = client.get_template_summary(TemplateBody=body)
    plan = configuration(stack, summary, chosen=target.chosen, images=images)
    path = to / f"{name}.json"
    path.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    print(f"{stack['StackName']}: {len(plan['Parameters'])} parameters")
    return path


def main() -> None:
    """Write the configuration of a stack, and which stacks exist: ``variables.sh``, ``stacks.json``."""
    import boto3

    parser = argparse.ArgumentParser("python -m cloudformation.pipeline.plan", description=__doc__)
    parser.add_argument("--project", required=True, help="as in every template")
    parser.add_argument(
        "--stack",
        required=True,
        choices=[*targets(), NO_STACK],
        help="the one that is updated next",
    )
    parser.add_argument("--image", required=True, help="image of this commit (CPU)")
    parser.add_argument(
        "--gpu-image", default=NOT_BUILT, help="the same for GPUs; none if it was not built"
    )
    parser.add_argument("--to", type=Path, default=Path("configuration"), help="folder to write")
    given = parser.parse_args()
    images = {"ImageUri": given.image}
    if given.gpu_image not in ("", NOT_BUILT):
        images["GpuImageUri"] = given.gpu_image
    client = boto3.client("cloudformation")
    given.to.mkdir(parents=True, exist_ok=True)
    found = look(client, given.project)
    if given.stack != NO_STACK:
        write_plan(client, given.project, given.stack, images, given.to)
    lines = [f"export {name.upper()}={str(exists).lower()}\n" for name, exists in found.items()]
    (given.to / "variables.sh").write_text("".join(lines), encoding="utf-8")
    # An artifact without a file would fail the build.
    (given.to / "stacks.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
