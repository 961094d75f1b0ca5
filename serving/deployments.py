"""Deployment records in the store; a stage serves the model of its newest record."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal, Self, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from errors.base import ImgclfError
from object_store.store import ObjectStore

Stage = Literal["staging", "prod"]
STAGES: tuple[Stage, ...] = get_args(Stage)

EndpointState = Literal["Creating", "Updating", "InService", "Failed", "NotFound"]
"""SageMaker's endpoint states that are used here
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeEndpoint.html).
"""


class RecordError(ImgclfError, ValueError):
    """A deployment record cannot be read; the message has its key."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A wanted deployment: which model on which stage, by whom and why.

    Attributes:
        stage: to deploy to.
        model_version: name of the model version.
        digest: of the model artefact: SHA-256, 64 hex digits.
        model_key: key of ``model.tar.gz`` in the store.
        deployed_by: the person or program, for the record.
        reason: of the deployment, for the record.
        run_id: of the Dagster run, for the record; "" for none.
        decision: number of the approval decision that this carries out; 0 for none.
    """

    stage: Stage
    model_version: str
    digest: str
    model_key: str
    deployed_by: str
    reason: str
    run_id: str = ""
    decision: int = 0


class DeploymentRecord(BaseModel):
    """A deployment in the store, and when it was recorded. Written once, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    stage: Stage
    model_version: str = Field(min_length=1, pattern=r"^[A-Za-z0-9-]+$")
    digest: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="sha256 of the artefact's manifest.json."
    )
    model_key: str = Field(min_length=1, description="Key of model.tar.gz in the store.")
    deployed_by: str = Field(min_length=1)
    reason: str
    created_at: AwareDatetime
    run_id: str = Field(default="", description="The Dagster run that deployed it, if one did.")
    decision: int = Field(
        default=0, ge=0, description="Number of the registry's decision that this carries out."
    )

    @property
    def created_ms(self) -> int:
        """Time of creation, in milliseconds since the epoch."""
        return round(self.created_at.timestamp() * 1000)

    @property
    def deployment(self) -> Deployment:
        """What was wanted."""
        return Deployment(**self.model_dump(exclude={"created_at"}))

    @classmethod
    def of(cls, deployment: Deployment, created_ms: int) -> Self:
        """Build the record of a deployment that begins at ``created_ms`` (ms since the epoch)."""
        return cls.at(created_ms, **asdict(deployment))

    @classmethod
    def at(cls, created_ms: int, **fields: object) -> Self:
        """Build a record that was created at ``created_ms`` (milliseconds since the epoch)."""
        created_at = datetime.fromtimestamp(created_ms / 1000, tz=UTC)
        return cls.model_validate({**fields, "created_at": created_at})


class EndpointStatus(BaseModel):
    """The present state of an endpoint, as its host reports it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    stage: Stage
    name: str
    status: EndpointState
    model_version: str | None = Field(
        default=None, description="The model served now, if there is one."
    )
    digest: str | None = Field(default=None, description="Digest of the model served now.")
    since: AwareDatetime | None = Field(
        default=None, description="Time since which that model is served."
    )
    failure_reason: str | None = Field(
        default=None, description="Why the newest record is not served."
    )
    record_key: str | None = Field(default=None, description="The newest record the host has seen.")

    @property
    def changing(self) -> bool:
        """Whether a model is being loaded."""
        return self.status in ("Creating", "Updating")


def endpoint_name(project: str, stage: Stage) -> str:
    """Return the endpoint's name, the same in both profiles."""
    return f"{project}-{stage}"


def records_prefix(stage: Stage) -> str:
    """Return the prefix of a stage's records in the store."""
    return f"endpoints/{stage}"


def record_key(record: DeploymentRecord) -> str:
    """Return the record's key; keys of a stage sort by time."""
    return f"{records_prefix(record.stage)}/{record.created_ms:013d}-{record.model_version}.json"


def record_keys(store: ObjectStore, stage: Stage, after: str | None = None) -> list[str]:
    """Return the keys of a stage's records, oldest first.

    Args:
        store: has the records.
        stage: of the records.
        after: only keys after this one; ``None``: all.
    """
    found = store.list(records_prefix(stage), after)
    return [info.key for info in found if info.key.endswith(".json")]


def read_record(store: ObjectStore, key: str) -> DeploymentRecord:
    """Read the deployment record at ``key``.

    Raises:
        KeyMissing: there is no such object.
        RecordError: it is no deployment record.
    """
    return parse_record(store.get(key), key)


def version_in(key: str) -> str:
    """Return the model version in a record's key; the record itself may be damaged."""
    return key.rpartition("/")[2].partition("-")[2].removesuffix(".json")


def parse_record(data: bytes, key: str) -> DeploymentRecord:
    """Parse a deployment record.

    Raises:
        RecordError: it is none, or it belongs to another key.
    """
    try:
        record = DeploymentRecord.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise RecordError(f"{key} is no deployment record: {place}: {first['msg']}") from None
    if record_key(record) != key:
        raise RecordError(f"{key} holds the record of {record_key(record)}")
    return record
