"""The container image of jobs, endpoints and orchestrator: built here, pushed to ECR."""

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


class ImageNotPushed(RuntimeError):  # noqa: N818 - a state, as its callers say it
    """There is no such image in the repository; the message says how to get it there."""


def default_tag() -> str:
    """The product's version, and the commit if this is a clean checkout of it."""
    if not Path("Dockerfile").exists():
        return version("imgclf-dagster")
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return version("imgclf-dagster") + ("" if changed else f"-{_git('rev-parse', 'HEAD')[:12]}")
    except (OSError, subprocess.CalledProcessError):
        return version("imgclf-dagster")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def is_pushed(ecr: Any, repository_uri: str, tag: str) -> bool:
    """Whether the repository has an image of that tag. One call.

    Raises:
        botocore.exceptions.ClientError: there is no such repository, or one may not look.
    """
    try:
        answer = ecr.describe_images(
            registryId=repository_uri.partition(".")[0],
            repositoryName=repository_uri.partition("/")[2],
            imageIds=[{"imageTag": tag}],
        )
    except ecr.exceptions.ImageNotFoundException:
        return False
    return bool(answer["imageDetails"])


def push_commands(repository_uri: str, tag: str, region: str, *, gpu: bool) -> list[str]:
    """The lines, for a shell, that build the image and push it."""
    registry = repository_uri.partition("/")[0]
    variant = " --build-arg VARIANT=gpu" if gpu else ""
    return [
        f"aws ecr get-login-password --region {region}"
        f" | docker login --username AWS --password-stdin {registry}",
        # Provenance would make it an image index, which SageMaker does not take.
        f"docker build --platform linux/amd64 --provenance=false{variant}"
        f" -t {repository_uri}:{tag} .",
        f"docker push {repository_uri}:{tag}",
    ]


def build_and_push(repository_uri: str, tag: str, region: str, *, gpu: bool) -> None:
    """Run those lines; what they say goes to this terminal.

    Raises:
        ImageNotPushed: there is no Docker or no Dockerfile here, or one of them failed.
    """
    commands = push_commands(repository_uri, tag, region, gpu=gpu)
    lines = "\n".join(f"  {command}" for command in commands)
    missing = [tool for tool in ("docker", "aws") if not shutil.which(tool)]
    if missing or not Path("Dockerfile").exists():
        what = f"no {' and no '.join(missing)} on" if missing else "no Dockerfile of imgclf in"
        where = "this machine" if missing else "this folder"
        raise ImageNotPushed(
            f"there is {what} {where}. Run these lines in a checkout of imgclf-dagster where there "
            f"is, then this command again:\n{lines}"
        )
    for command in commands:
        done = subprocess.run(["/bin/bash", "-o", "pipefail", "-c", command], check=False)
        if done.returncode:
            raise ImageNotPushed(f"this failed (exit code {done.returncode}):\n  {command}")
