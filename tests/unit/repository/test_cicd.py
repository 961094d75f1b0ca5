"""The pipeline: what its stages run exists, in the order that keeps people's endpoints safe."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudformation.pipeline.plan import targets
from tests.patience import WAIT_S
from tests.unit.cloudformation.templates.template import Template

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]
BUILDSPECS = sorted((REPOSITORY / "cloudformation/buildspecs").glob("*.yml"))
TEMPLATE = Template.ours("cicd.yaml")
PHASES = ("install", "pre_build", "build", "post_build")
BY_THE_SERVICE = {"PATH"}
"""Variables that no project of ours has to set."""


def stages(*, deploys_all: bool = True) -> list[dict[str, Any]]:
    found = []
    for stage in TEMPLATE.resources["Pipeline"]["Properties"]["Stages"]:
        if "Fn::If" in stage:
            assert stage["Fn::If"][0] == "DeploysAll"
            assert stage["Fn::If"][2] == {"Ref": "AWS::NoValue"}
            if deploys_all:
                found.append(stage["Fn::If"][1])
        else:
            found.append(stage)
    return found


def actions() -> list[dict[str, Any]]:
    return [action for stage in stages() for action in stage["Actions"]]


def project_variables(project: str) -> set[str]:
    environment = TEMPLATE.resources[project]["Properties"]["Environment"]
    return {item["Name"] for item in environment.get("EnvironmentVariables", [])}


def action_variables(action: dict[str, Any]) -> dict[str, str]:
    given = json.loads(action["Configuration"].get("EnvironmentVariables", "[]"))
    return {item["name"]: item["value"] for item in given}


def commands(path: Path) -> list[str]:
    phases = yaml.safe_load(path.read_text())["phases"]
    return [line for phase in phases.values() for line in phase["commands"]]


def exported(path: Path) -> set[str]:
    return set(yaml.safe_load(path.read_text()).get("env", {}).get("exported-variables", []))


# --- buildspecs --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BUILDSPECS, ids=lambda path: path.name)
def test_a_buildspec_is_one(path: Path) -> None:
    """https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"""
    spec = yaml.safe_load(path.read_text())
    assert spec["version"] == 0.2
    assert set(spec) <= {"version", "env", "phases", "artifacts", "cache"}
    assert set(spec["env"]) <= {"shell", "variables", "exported-variables"}
    assert spec["env"]["shell"] == "bash"
    assert set(spec["phases"]) <= set(PHASES)
    for line in commands(path):
        assert isinstance(line, str), f"{line!r} is read as YAML, not as a command"
        checked = subprocess.run(
            ["bash", "-n", "-c", line], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, f"{line}\n{checked.stderr}"


@pytest.mark.parametrize("path", BUILDSPECS, ids=lambda path: path.name)
def test_what_a_buildspec_calls_is_there(path: Path) -> None:
    text = "\n".join(commands(path))
    for script in re.findall(r"bash (\S+)", text):
        assert (REPOSITORY / script).is_file(), script
    for module in re.findall(r"python -m (cloudformation\S+)", text):
        assert (REPOSITORY / (module.replace(".", "/") + ".py")).is_file(), module
    for file in re.findall(r"-c (\S+\.txt)", text):
        assert (REPOSITORY / file).is_file(), file


def test_what_a_buildspec_calls_takes_these_arguments() -> None:
    for path in BUILDSPECS:
        for line in commands(path):
            if "python -m cloudformation" not in line:
                continue
            words = shlex.split(line)
            module = words[words.index("-m") + 1]
            source = (REPOSITORY / (module.replace(".", "/") + ".py")).read_text()
            for option in (word for word in words if word.startswith("--")):
                assert f'"{option}"' in source, f"{module} has no {option}"


def test_ci_runs_make_test() -> None:
    assert "bash .ci/run" in commands(REPOSITORY / "cloudformation/buildspecs/test.yml")
    lines = (REPOSITORY / ".ci/run").read_text().splitlines()
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    called = [line.split()[1] for line in lines if line.startswith("make ")]
    assert called == ["lint", "test"]
    assert set(called) <= set(targets)


@pytest.mark.parametrize("action", actions(), ids=lambda action: action["Name"])
def test_every_build_gets_the_variables_that_it_reads(action: dict[str, Any]) -> None:
    if action["ActionTypeId"]["Provider"] != "CodeBuild":
        return
    project = action["Configuration"]["ProjectName"]["Ref"]
    spec = TEMPLATE.resources[project]["Properties"]["Source"]["BuildSpec"]
    text = "\n".join(commands(REPOSITORY / spec))
    read = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", text))
    given = project_variables(project) | set(action_variables(action))
    assert read <= given | exported(REPOSITORY / spec) | BY_THE_SERVICE
    assert not project_variables(project) & set(action_variables(action))


# --- the pipeline ------------------------------------------------------------------------------


def test_the_stages_come_in_this_order() -> None:
    assert [stage["Name"] for stage in stages()] == [
        "Source", "Test", "Build", "Staging", "Approval", "Foundation", "Orchestrator", "Prod",
    ]  # fmt: skip
    assert [stage["Name"] for stage in stages(deploys_all=False)] == [
        "Source", "Test", "Build", "Staging", "Approval", "Prod",
    ]  # fmt: skip


def test_a_person_decides_before_prod() -> None:
    (approval,) = next(stage for stage in stages() if stage["Name"] == "Approval")["Actions"]
    assert approval["ActionTypeId"]["Provider"] == "Manual"
    assert approval["Configuration"]["NotificationArn"] == {"Ref": "AlertsTopicArn"}


def test_whatever_reaches_production_or_has_an_administrators_role_was_approved() -> None:
    names = [stage["Name"] for stage in stages()]
    before = stages()[: names.index("Approval")]
    reached = {
        action["Configuration"]["StackName"]["Fn::Sub"]
        for stage in before
        for action in stage["Actions"]
        if "StackName" in action["Configuration"]
    }
    assert reached == {"${Project}-endpoint-staging"}
    assert "DeployRoleArn" not in json.dumps(before)


@pytest.mark.parametrize(
    ("stage", "template", "name"),
    [
        ("Foundation", "foundation.yaml", "foundation"),
        ("Staging", "endpoint.yaml", "staging"),
        ("Orchestrator", "orchestrator.yaml", "orchestrator"),
        ("Prod", "endpoint.yaml", "prod"),
    ],
)
def test_a_stack_is_changed_by_a_change_set_planned_right_before(
    stage: str, template: str, name: str
) -> None:
    found = next(item for item in stages() if item["Name"] == stage)
    plan, change, execute, *tests = sorted(found["Actions"], key=lambda item: item["RunOrder"])
    assert plan["Configuration"]["ProjectName"] == {"Ref": "PlanProject"}
    assert action_variables(plan)["STACK"] == name, "another stack's deployment is not its business"
    (artifact,) = plan["OutputArtifacts"]
    assert change["Configuration"]["ActionMode"] == "CHANGE_SET_REPLACE"
    assert execute["Configuration"]["ActionMode"] == "CHANGE_SET_EXECUTE"
    for key in ("StackName", "ChangeSetName"):
        assert change["Configuration"][key] == execute["Configuration"][key]
    target = targets()[name]
    assert change["Configuration"]["StackName"] == {"Fn::Sub": f"${{Project}}-{target.suffix}"}
    assert change["Configuration"]["TemplatePath"] == f"Source::cloudformation/{template}"
    assert target.template == template
    assert (REPOSITORY / "cloudformation" / template).is_file()
    assert change["Configuration"]["TemplateConfiguration"] == f"{artifact['Name']}::{name}.json"
    assert {item["Name"] for item in change["InputArtifacts"]} == {"Source", artifact["Name"]}
    (condition,) = found["BeforeEntry"]["Conditions"]
    (rule,) = condition["Rules"]
    assert condition["Result"] == "SKIP"
    assert rule["Configuration"]["Variable"] == f"#{{Look.{name.upper()}}}"
    if template == "endpoint.yaml":
        (test,) = tests
        assert action_variables(test) == {"STAGE": name}


def test_every_variable_is_exported_by_an_action_before() -> None:
    known = {"Source": {"CommitId"}}
    for stage in stages():
        text = json.dumps(stage.get("BeforeEntry", {}))
        for action in sorted(stage["Actions"], key=lambda item: item.get("RunOrder", 1)):
            text += json.dumps(action["Configuration"])
            for namespace, name in re.findall(r"#\{(\w+)\.(\w+)\}", text):
                assert name in known[namespace], f"{action['Name']}: #{{{namespace}.{name}}}"
            if "Namespace" in action and action["Name"] != "Source":
                project = action["Configuration"]["ProjectName"]["Ref"]
                spec = TEMPLATE.resources[project]["Properties"]["Source"]["BuildSpec"]
                known[action["Namespace"]] = exported(REPOSITORY / spec)


def test_artifacts_have_names_of_their_own() -> None:
    made = [item["Name"] for action in actions() for item in action.get("OutputArtifacts", [])]
    assert len(made) == len(set(made))
    used = {item["Name"] for action in actions() for item in action.get("InputArtifacts", [])}
    assert used <= set(made)


def test_only_the_administrators_role_may_change_roles() -> None:
    roles = {
        action["Configuration"]["StackName"]["Fn::Sub"]: action["Configuration"]["RoleArn"]["Ref"]
        for action in actions()
        if "RoleArn" in action["Configuration"]
    }
    assert roles == {
        "${Project}-foundation": "DeployRoleArn",
        "${Project}-orchestrator": "DeployRoleArn",
        "${Project}-endpoint-staging": "CloudFormationRoleArn",
        "${Project}-endpoint-prod": "CloudFormationRoleArn",
    }
    assert TEMPLATE.parameters["DeployRoleArn"]["Default"] == ""


# --- the image ---------------------------------------------------------------------------------

FAKE = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$CALLS"
case "$1 $2" in
  "ecr describe-images") [ -n "$PUSHED" ] || [ -e "$CALLS.pushed" ] || exit 254; echo "${PUSHED:-$TYPE}" ;;
  "buildx $FAILS" | "$FAILS "*) exit 3 ;;
  "push "*) touch "$CALLS.pushed" ;;
esac
"""
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def run_image_script(
    tmp_path: Path, *, pushed: str = "", fails: str = "-", kind: str = DOCKER
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run ``image.sh`` with an ``aws`` and a ``docker`` that only write down how they are called.

    Args:
        pushed: media type of the image that is there already; "" for none.
        fails: docker's verb that fails.
        kind: media type of the image once it was pushed.
    """
    for name in ("aws", "docker"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    done = subprocess.run(
        ["bash", "cloudformation/buildspecs/image.sh", "gpu", "c0ffee-gpu"],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "REPOSITORY_URI": "1.dkr.ecr.eu-central-1.amazonaws.com/shop/imgclf",
            "CALLS": str(calls), "PUSHED": pushed, "FAILS": fails, "TYPE": kind,
        },
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    return done, [shlex.split(line) for line in calls.read_text().splitlines()]


@pytest.mark.parametrize(
    ("pushed", "fails", "code", "did"),
    [
        ("", "-", 0, ["buildx", "run", "push"]),
        (DOCKER, "-", 0, []),
        ("", "build", 3, ["buildx"]),
        ("", "run", 3, ["buildx", "run"]),
    ],
)
def test_an_image_is_pushed_only_once_and_only_if_it_starts(
    pushed: str, fails: str, code: int, did: list[str], tmp_path: Path
) -> None:
    done, lines = run_image_script(tmp_path, pushed=pushed, fails=fails)
    assert done.returncode == code, done.stderr
    assert [words[1] for words in lines if words[0] == "docker"] == did
    assert "imageTag=c0ffee-gpu" in lines[0]
    assert lines[0][4] == "shop/imgclf"
    if did:
        assert {"VARIANT=gpu", "REVISION=c0ffee"} <= set(lines[1])
        arguments = (REPOSITORY / "Dockerfile").read_text()
        for word in (word for word in lines[1] if re.match(r"[A-Z_]+=", word)):
            assert f"ARG {word.split('=')[0]}" in arguments


def test_the_image_has_the_format_that_sagemaker_takes(tmp_path: Path) -> None:
    _, lines = run_image_script(tmp_path)
    (build,) = (words for words in lines if words[:2] == ["docker", "buildx"])
    assert {"--provenance=false", "--sbom=false", "linux/amd64"} <= set(build)
    output = build[build.index("--output") + 1]
    uri = "1.dkr.ecr.eu-central-1.amazonaws.com/shop/imgclf:c0ffee-gpu"
    assert output == f"type=docker,name={uri},oci-mediatypes=false"


@pytest.mark.parametrize("kind", [OCI, INDEX])
@pytest.mark.parametrize("already", [True, False])
def test_an_image_that_sagemaker_refuses_stops_the_build_with_the_remedy(
    kind: str, already: bool, tmp_path: Path
) -> None:
    done, _ = run_image_script(tmp_path, pushed=kind if already else "", kind=kind)
    assert done.returncode == 1
    assert f"is in ECR as {kind}, which SageMaker refuses" in done.stderr
    assert "aws ecr batch-delete-image --repository-name shop/imgclf" in done.stderr


# --- GitHub ------------------------------------------------------------------------------------


def test_github_runs_the_same_test() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/test.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` so
    (job,) = workflow["jobs"].values()
    # .ci/run installs Debian's packages, as root; the test with Chromium needs Debian's.
    assert re.fullmatch(r"python:3\.11-\w+", job["container"]["image"])
    assert job["timeout-minutes"] <= 90
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs[-1] == "bash .ci/run"
    for step in job["steps"]:
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", step["uses"]), step["uses"]
