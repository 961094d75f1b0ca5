"""The container image of jobs, endpoints and orchestrator: build it here and push it to ECR."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from errors.base import ImgclfError

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
"""The only image format that SageMaker hosting accepts: CreateModel refuses OCI manifests and
image indexes (https://github.com/aws/amazon-sagemaker-feedback/issues/180)."""


class ImageNotPushed(ImgclfError, RuntimeError):
    """The image is not in the repository; the message says how to push it."""


class ImageFormatError(ImageNotPushed):
    """The image in the repository has a format that SageMaker refuses; the message has the remedy."""


def default_tag() -> str:
    """Return ``<version>-<commit>``, with a hash of uncommitted changes appended if there are any.

    Without a Dockerfile in the current folder it is the version alone.

    Raises:
        ImageNotPushed: there is a Dockerfile, but no git checkout.
    """
    # Tags in ECR are immutable. Changed code under a former tag would deploy the former image.
    release = version("imgclf-dagster")
    if not Path("Dockerfile").exists():
        return release
    try:
        commit = _git("rev-parse", "HEAD").decode().strip()[:12]
        changes = _changes()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ImageNotPushed(
            "this folder is no git checkout, so the code has no commit to name the image after: "
            "give a tag (--tag …), and a new one after each change"
        ) from error
    return f"{release}-{commit}" + (f"-{changes}" if changes else "")


def _changes() -> str:
    """Return a hash of the changes since the commit, untracked files included; "" without any."""
    # Files that git ignores do not count: .dockerignore keeps them out of the image as well.
    difference = _git("diff", "--binary", "--no-ext-diff", "--no-textconv", "HEAD", "--", ".")
    unknown = _git("ls-files", "-z", "--others", "--exclude-standard").split(b"\0")[:-1]
    if not difference and not unknown:
        return ""
    digest = hashlib.sha256(difference)
    for name in sorted(unknown):
        path = Path(os.fsdecode(name))
        content = b"" if path.is_symlink() or path.is_dir() else path.read_bytes()
        digest.update(name + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def _git(*arguments: str) -> bytes:
    command = ["git", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def is_pushed(ecr: Any, repository_uri: str, tag: str) -> bool:
    """Whether the repository has an image with this tag. Costs one request.

    Args:
        ecr: boto3 client of ECR.
        repository_uri: ``<account>.dkr.ecr.<region>.amazonaws.com/<name>``.
        tag: the image's tag.

    Raises:
        ImageFormatError: it has one in a format that SageMaker refuses.
        botocore.exceptions.ClientError: the repository is missing, or access is denied.
    """
    try:
        answer = ecr.describe_images(
            registryId=repository_uri.partition(".")[0],
            repositoryName=repository_uri.partition("/")[2],
            imageIds=[{"imageTag": tag}],
        )
    except ecr.exceptions.ImageNotFoundException:
        return False
    kind = refused_format(answer)
    if kind:
        uri = f"{repository_uri}:{tag}"
        raise ImageFormatError(
            f"{uri} is there as {kind}, which SageMaker refuses: {format_remedy(uri)}"
        )
    return bool(answer["imageDetails"])


def refused_format(answer: Mapping[str, Any]) -> str:
    """Return the image's media type in an answer of DescribeImages; "" if SageMaker accepts it."""
    for details in answer["imageDetails"]:
        kind = str(details.get("imageManifestMediaType") or "an image of unknown media type")
        if kind != MANIFEST_TYPE:
            return kind
    return ""


def format_remedy(uri: str) -> str:
    """Return the remedy for an image in ECR that has a format SageMaker refuses."""
    # The repository's tags are immutable, so a push over an existing tag is refused.
    host, _, path = uri.partition("/")
    account, region = host.split(".")[0], host.split(".")[3]
    name, digest = path.partition("@")[::2]
    repository, tag = name.partition(":")[::2]
    which = f"imageDigest={digest}" if digest else f"imageTag={tag}"
    return (
        "build it again by `imgclf deploy image` (which asks Docker for the format that "
        "SageMaker takes), under another tag (--tag …); or delete this one first, as its tag "
        f"cannot be pushed over: `aws ecr batch-delete-image --region {region} --registry-id "
        f"{account} --repository-name {repository} --image-ids {which}`, then `imgclf deploy "
        "image` again"
    )


def push_commands(repository_uri: str, tag: str, region: str, *, gpu: bool) -> list[str]:
    """Return the shell commands that build the image and push it.

    Args:
        repository_uri: ``<account>.dkr.ecr.<region>.amazonaws.com/<name>``.
        tag: the image's tag.
        region: AWS region of the repository.
        gpu: build the variant for instances with GPUs.
    """
    registry = repository_uri.partition("/")[0]
    variant = " --build-arg VARIANT=gpu" if gpu else ""
    return [
        f"aws ecr get-login-password --region {region}"
        f" | docker login --username AWS --password-stdin {registry}",
        # Provenance or an SBOM would make an image index; Docker 29 writes OCI by default.
        f"docker buildx build --platform linux/amd64 --provenance=false --sbom=false{variant}"
        f" --output type=docker,name={repository_uri}:{tag},oci-mediatypes=false .",
        f"docker push {repository_uri}:{tag}",
    ]


def build_and_push(repository_uri: str, tag: str, region: str, *, gpu: bool) -> None:
    """Run :func:`push_commands`; their output goes to the terminal.

    Args:
        repository_uri: ``<account>.dkr.ecr.<region>.amazonaws.com/<name>``.
        tag: the image's tag.
        region: AWS region of the repository.
        gpu: build the variant for instances with GPUs.

    Raises:
        ImageNotPushed: Docker, the AWS CLI or the Dockerfile is missing, or a command failed.
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
