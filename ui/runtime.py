"""Client of the endpoints, through SageMaker Runtime's API only."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED, exceptions
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient

MAX_BODY_MB = 25
"""Largest request that a SageMaker real-time endpoint takes (MB)
(https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints.html)."""

PARALLEL = 4
"""Concurrent requests: enough to keep an endpoint busy, too few to be refused."""

Stage = Literal["staging", "prod"]
STAGES: tuple[Stage, ...] = ("staging", "prod")


class RankedLabel(BaseModel):
    """A label and its probability."""

    model_config = ConfigDict(frozen=True)

    label: str
    score: float


class _Prediction(BaseModel):
    prediction_id: str = ""
    labels: tuple[RankedLabel, ...]
    predicted: tuple[str, ...] | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_version: str
    digest: str
    predictions: tuple[_Prediction, ...]


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model's prediction of one image: labels, most probable first, and the predicted ones."""

    model_version: str
    digest: str
    labels: tuple[RankedLabel, ...]
    predicted: tuple[str, ...]
    prediction_id: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no prediction.

    Attributes:
        kind: ``image``: the image is not usable; ``absent``: nothing is deployed; ``failed``: an
            error.
        text: the message for the user.
    """

    kind: Literal["image", "absent", "failed"]
    text: str


class Runtime:
    """The endpoints of a project.

    Args:
        endpoint_url: URL of SageMaker Runtime's API. Over https, as on AWS, the usual AWS
            credentials and region apply; over plain http (a local endpoint host) requests bypass
            any proxy and are unsigned: a session's token must not be readable on the way.
        project: the endpoints are ``<project>-staging`` and ``<project>-prod``.
    """

    def __init__(self, endpoint_url: str, project: str) -> None:
        self.endpoint_url = endpoint_url
        self.project = project
        bounds = Config(
            connect_timeout=3,
            read_timeout=60,  # SageMaker's own limit
            retries={"total_max_attempts": 1},  # a person waits, and can retry
            max_pool_connections=2 * PARALLEL,
        )
        if urlsplit(endpoint_url).scheme == "http":
            self._remedy = "Is imgclf up running?"
            local = Config(signature_version=UNSIGNED, proxies={})
            self._client: SageMakerRuntimeClient = boto3.client(
                "sagemaker-runtime",
                endpoint_url=endpoint_url,
                region_name="us-east-1",
                config=bounds.merge(local),
            )
        else:
            self._remedy = "Is the network up, and the region right?"
            self._client = boto3.client(
                "sagemaker-runtime", endpoint_url=endpoint_url, config=bounds
            )

    def endpoint(self, stage: Stage) -> str:
        """Return the name of a stage's endpoint."""
        return f"{self.project}-{stage}"

    def predict(self, stage: Stage, image: bytes) -> ModelAnswer | Problem:
        """Ask a stage about one image file; every failure is returned as a ``Problem``."""
        if len(image) > MAX_BODY_MB * 1024**2:
            return too_big(len(image))
        try:
            response = self._client.invoke_endpoint(
                EndpointName=self.endpoint(stage), ContentType="application/x-image", Body=image
            )
            return _prediction(response["Body"].read())
        except ClientError as error:
            return _refusal(error)
        except (exceptions.ConnectionError, exceptions.HTTPClientError):
            return Problem("failed", f"No answer from {self.endpoint_url}. {self._remedy}")
        except exceptions.BotoCoreError as error:  # no credentials, no region: the message names it
            return Problem("failed", str(error))


def too_big(size: int) -> Problem:
    """Return the problem of an image of ``size`` bytes, more than endpoints take."""
    return Problem("image", f"{size / 1024**2:.1f} MB is more than the {MAX_BODY_MB} MB allowed")


def _prediction(body: bytes) -> ModelAnswer | Problem:
    try:
        answer = _Answer.model_validate_json(body)
        (prediction,) = answer.predictions
    except ValueError as error:
        return Problem("failed", f"The answer is not one prediction: {str(error).splitlines()[0]}")
    predicted = prediction.predicted
    if predicted is None:
        predicted = tuple(ranked.label for ranked in prediction.labels[:1])
    return ModelAnswer(
        answer.model_version, answer.digest, prediction.labels, predicted, prediction.prediction_id
    )


def _refusal(error: ClientError) -> Problem:
    """Return the problem that an error of the API stands for.

    A model's own error is in OriginalMessage of a ModelError.
    """
    code = error.response["Error"]["Code"]
    message = error.response["Error"].get("Message") or str(error)
    if code == "ModelError":
        status = error.response.get("OriginalStatusCode")
        original = _contract_message(str(error.response.get("OriginalMessage", "")))
        return Problem("image" if status in {400, 413, 415} else "failed", original or message)
    absent = (code == "ValidationError" and "not found" in message.lower()) or (
        code == "ServiceUnavailable" and "no model" in message.lower()
    )
    return Problem("absent" if absent else "failed", message)


def _contract_message(original: str) -> str | None:
    try:
        return str(json.loads(original)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return None
