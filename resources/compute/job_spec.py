"""The description of a job for all adapters, within the limits of SageMaker's API."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from resources.compute.job_names import Kind

_VALUE_LIMIT = {"training": 512, "processing": 256}
"""Most characters of an environment variable's value: botocore's service model."""

_CHANNELS = {"training": 20, "processing": 10}


class Channel(BaseModel):
    """Objects of the store as a job's input; ``key`` appears at ``<channel>/<key without prefix>``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str
    keys: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _keys_lie_below(self) -> Self:
        outside = [key for key in self.keys if not key.startswith(f"{self.prefix.rstrip('/')}/")]
        if outside:
            raise ValueError(f"keys not below the channel's prefix {self.prefix!r}: {outside[:3]}")
        return self

    def relative(self, key: str) -> str:
        """Return the key's path inside the channel."""
        return key[len(self.prefix.rstrip("/")) + 1 :]


class LocalChannel(BaseModel):
    """Files of this machine as a job's input, such as weights; the rest of the folder stays out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    files: tuple[str, ...] = Field(min_length=1)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [Path(self.folder).absolute() / name for name in self.files]

    @field_validator("files")
    @classmethod
    def _names_only(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in files if Path(name).name != name]
        if wrong:
            raise ValueError(f"not names of files: {wrong}")
        return files


class JobSpec(BaseModel):
    """A job, within the limits of SageMaker's API whoever runs it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")
    kind: Kind
    module: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
    hyperparameters: dict[str, str] = {}
    channels: dict[str, Channel] = {}
    local_channels: dict[str, LocalChannel] = {}
    environment: dict[str, str] = {}
    max_runtime_s: int = Field(86_400, ge=1, le=2_419_200)
    background: bool = False
    """Whether a job on a shared machine leaves the cores to other programs that want them."""

    @field_validator("hyperparameters")
    @classmethod
    def _hyperparameters_fit(cls, values: dict[str, str]) -> dict[str, str]:
        _limit("hyperparameters", values, entries=100, characters=2500)
        return values

    @model_validator(mode="after")
    def _fits_the_kind(self) -> Self:
        """Check SageMaker's limits; leaves five environment entries for Pipes and the container."""
        _limit("environment", self.environment, 95, _VALUE_LIMIT[self.kind])
        if self.kind == "processing":  # key and value are two arguments
            _limit("hyperparameters", self.hyperparameters, 50, 256)
        most = _CHANNELS[self.kind]
        if len(self.all_channels) > most:
            raise ValueError(f"{len(self.all_channels)} channels; SageMaker takes {most} at most")
        twice = self.channels.keys() & self.local_channels.keys()
        wrong = [
            name for name in self.all_channels if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name)
        ]
        if twice or wrong:
            raise ValueError(f"channel names given twice or not usable: {sorted([*twice, *wrong])}")
        return self

    @property
    def all_channels(self) -> tuple[str, ...]:
        """Names of all channels."""
        return (*self.channels, *self.local_channels)

    @property
    def arguments(self) -> list[str]:
        """The command line: ``--key value`` for a processing job, nothing for a training job."""
        if self.kind == "training":
            return []
        return [part for key, value in self.hyperparameters.items() for part in (f"--{key}", value)]


def _limit(what: str, values: Mapping[str, str], entries: int, characters: int) -> None:
    if len(values) > entries:
        raise ValueError(f"{len(values)} {what}; a job takes {entries} at most")
    long = [key for key, value in values.items() if len(value) > characters or len(key) > 256]
    if long:
        raise ValueError(f"{what} {long}: longer than the {characters} characters a job takes")
