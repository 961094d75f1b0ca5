"""``python -m cloudformation.pipeline.endpoint_test``: test the endpoint of a stage.

It sends real images of the store and a body that is no image, and checks that the model that
answers is the one that the stack names. If a test fails, it prints the reason and exits with 1.
"""

import argparse
import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
WANTED = 20
"""Number of real images that are sent."""

_SIDE = 64


class Unfit(Exception):
    """The endpoint must not be released; the message says why."""


def generated_png() -> bytes:
    """Make a grey PNG for a store without images, without an imaging library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x80" * (3 * _SIDE)) * _SIDE
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def store_images(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, bytes, str]]:
    """Yield up to ``WANTED`` images of the store.

    Args:
        s3: a client of boto3.
        bucket: of the store.
        prefix: of the store in the bucket; ends in a slash unless it is empty.

    Yields:
        Key, bytes and media type of an image.
    """
    page = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}raw/", MaxKeys=1000)
    keys = [item["Key"] for item in page.get("Contents", [])]
    known = [key for key in keys if _suffix(key) in TYPES][:WANTED]
    for key in known:
        yield key, s3.get_object(Bucket=bucket, Key=key)["Body"].read(), TYPES[_suffix(key)]


def _suffix(key: str) -> str:
    return "." + key.rpartition(".")[2].lower()


class Endpoint:
    """The endpoint of a stage, and the model that its stack names."""

    def __init__(self, session: Any, project: str, stage: str) -> None:
        self.name = f"{project}-{stage}"
        self._sagemaker = session.client("sagemaker")
        self._runtime = session.client("sagemaker-runtime")
        stack = session.client("cloudformation").describe_stacks(
            StackName=f"{project}-endpoint-{stage}"
        )["Stacks"][0]
        given = {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]}
        self.model_version, self.digest = given["ModelVersion"], given["ModelDigest"]

    def check_in_service(self) -> None:
        """Raise Unfit if the endpoint is not in service."""
        status = self._sagemaker.describe_endpoint(EndpointName=self.name)["EndpointStatus"]
        if status != "InService":
            raise Unfit(f"{self.name} is {status}, not InService")

    def predict(self, body: bytes, media_type: str) -> bool:
        """Request the prediction of one image.

        Returns:
            Whether there is a prediction; ``False``: the endpoint refuses the image, with a reason.

        Raises:
            Unfit: the answer violates the inference contract, or comes from another model.
        """
        status, answer = self._invoke(body, media_type)
        if status in (400, 413, 415):
            if not answer.get("error", {}).get("message"):
                raise Unfit(f"{self.name} answered {status} without a reason: {answer}")
            return False
        if status != 200:
            raise Unfit(f"{self.name} answered {status}: {answer}")
        served = (answer.get("model_version"), answer.get("digest"))
        if served != (self.model_version, self.digest):
            raise Unfit(
                f"{self.name} serves {served[0]} ({str(served[1])[:12]}), its stack says "
                f"{self.model_version} ({self.digest[:12]})"
            )
        scores = [label["score"] for found in answer["predictions"] for label in found["labels"]]
        if not scores or not all(0 <= score <= 1 for score in scores):
            raise Unfit(f"{self.name} answered without probabilities: {answer}")
        return True

    def _invoke(self, body: bytes, media_type: str) -> tuple[int, dict[str, Any]]:
        from botocore.exceptions import ClientError

        try:
            answer = self._runtime.invoke_endpoint(
                EndpointName=self.name, ContentType=media_type, Body=body
            )
        except ClientError as error:
            # Of a ModelError only: what the container itself answered.
            model_error: dict[str, Any] = dict(error.response)
            if "OriginalStatusCode" not in model_error:
                raise Unfit(f"{self.name} cannot be invoked: {error}") from error
            status = int(model_error["OriginalStatusCode"])
            return status, _read(model_error.get("OriginalMessage", ""))
        return 200, _read(answer["Body"].read())


def _read(text: str | bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def run(session: Any, *, project: str, stage: str, bucket: str, prefix: str) -> str:
    """Test the endpoint of a stage.

    Args:
        session: of boto3.
        project: as in every template.
        stage: whose endpoint is tested.
        bucket: of the store with the test images; empty: a generated image only.
        prefix: of the store in the bucket.

    Returns:
        A sentence about the result.

    Raises:
        Unfit: the endpoint must not be released.
    """
    endpoint = Endpoint(session, project, stage)
    endpoint.check_in_service()
    images = list(store_images(session.client("s3"), bucket, prefix)) if bucket else []
    answered, seconds = 0, []
    for key, body, media_type in [*images, ("a generated image", generated_png(), "image/png")]:
        began = time.perf_counter()
        if endpoint.predict(body, media_type):
            answered += 1
            seconds.append(time.perf_counter() - began)
        else:
            print(f"refused, with a reason: {key}")
    if not answered:
        raise Unfit(f"{endpoint.name} answered none of {len(images) + 1} images")
    if endpoint.predict(b"this is not an image", "image/png"):
        raise Unfit(f"{endpoint.name} took a text for an image")
    return (
        f"{endpoint.name} serves {endpoint.model_version}: {answered} images answered, the "
        f"slowest in {max(seconds):.2f} s; what is no image is refused"
    )


def main() -> None:
    """Exit codes: 0 fit, 1 unfit."""
    import boto3

    parser = argparse.ArgumentParser(
        "python -m cloudformation.pipeline.endpoint_test", description=__doc__
    )
    parser.add_argument("--project", required=True)
    parser.add_argument("--stage", required=True, choices=("staging", "prod"))
    parser.add_argument("--bucket", default="", help="the store's; its images are asked about")
    parser.add_argument("--prefix", default="", help="of the line's keys, with its slash")
    given = parser.parse_args()
    try:
        report = run(
            boto3.Session(),
            project=given.project,
            stage=given.stage,
            bucket=given.bucket,
            prefix=given.prefix,
        )
    except Unfit as reason:
        sys.exit(f"unfit: {reason}")
    print(report)


if __name__ == "__main__":
    main()
