"""The settings: one file, ``imgclf.toml``, and the ``IMGCLF_*`` variables that override it."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from assets.policies import (
    GatePolicy,
    IngestionPolicy,
    LabellingPolicy,
    RetrainPolicy,
    SplitPolicy,
)
from imgclf_dagster.settings_aws import AwsSettings
from imgclf_dagster.settings_label_studio import SECTION as LABEL_STUDIO
from imgclf_dagster.settings_label_studio import LabelStudioSettings
from labelling.schema import LabelSchema
from training.config import Hyperparameters

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Profile = Literal["local", "aws"]


class SettingsError(ValueError):
    """A setting is wrong or missing; the message names each one and where it is set."""


class Ports(BaseModel):
    """TCP ports that ``imgclf up`` binds on the loopback interface."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dagster: int = Field(3000, ge=1, le=65535)
    endpoint: int = Field(8070, ge=1, le=65535)
    predictor: int = Field(7860, ge=1, le=65535)
    mlflow: int = Field(5000, ge=1, le=65535)
    label_studio: int = Field(8080, ge=1, le=65535)
    labelling: int = Field(9090, ge=1, le=65535)


class SensorSettings(BaseModel):
    """How often the sensors look."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval_s: int = Field(
        0,
        ge=0,
        le=3600,
        description="Seconds between two looks at the outside world; 0: 5 on a laptop, 30 on AWS, "
        "where a look costs calls.",
    )


class Settings(BaseSettings):
    """Everything a user decides.

    Later sources lose: ``IMGCLF_*`` variables, ``imgclf.toml``, ``aws.toml`` beside it.
    """

    model_config = SettingsConfigDict(
        env_prefix="IMGCLF_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    profile: Profile = Field("local", description="Where the line runs: local or aws.")
    home: Path = Field(Path(".imgclf"), description="Where everything is written.")
    project: str = Field(
        "imgclf",
        description="Names the endpoints (<project>-staging, <project>-prod) and the model.",
    )
    weights_dir: Path | None = Field(
        None,
        description="A folder of <architecture>.pth weight files, looked in before downloading.",
    )
    labels: LabelSchema = LabelSchema()
    ingestion: IngestionPolicy = IngestionPolicy()
    split: SplitPolicy = SplitPolicy()
    training: Hyperparameters = Hyperparameters()
    gates: GatePolicy = GatePolicy()
    labelling: LabellingPolicy = LabellingPolicy()
    retraining: RetrainPolicy = RetrainPolicy()
    label_studio: LabelStudioSettings = LabelStudioSettings()
    sensors: SensorSettings = SensorSettings()
    ports: Ports = Ports()
    aws: AwsSettings = AwsSettings()

    @field_validator("project")
    @classmethod
    def _project_is_a_name(cls, project: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", project):
            raise ValueError(
                f"project {project!r} must be 2 to 32 lower-case letters, digits and hyphens, "
                "beginning with a letter"
            )
        return project

    @field_validator("weights_dir", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("home", "weights_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, toml_file=settings_file())
        deployed = TomlConfigSettingsSource(settings_cls, toml_file=deployed_file())
        return init_settings, env_settings, toml, deployed

    @property
    def store_dir(self) -> Path:
        """The local store's folder."""
        return self.home / "store"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance folder."""
        return self.home / "dagster"

    @property
    def logs_dir(self) -> Path:
        """Where the supervised programs write their logs."""
        return self.home / "logs"

    @property
    def run_dir(self) -> Path:
        """Locks and addresses of what is running."""
        return self.home / "run"

    @property
    def sensor_interval_s(self) -> int:
        """Seconds between two looks of a sensor."""
        return self.sensors.interval_s or {"local": 5, "aws": 30}[self.profile]

    @property
    def mlflow_uri(self) -> str:
        """SQLAlchemy URL of the MLflow store."""
        return f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"


def _got(item: "ErrorDetails") -> str:
    """What was given, unless it may be a token: a misspelt name hides nothing by itself."""
    return "" if LABEL_STUDIO in item["loc"] else f" (got {item['input']!r})"


def settings_file() -> Path:
    """``IMGCLF_SETTINGS`` if set, else ``imgclf.toml`` in the home (``IMGCLF_HOME``)."""
    explicit = os.environ.get("IMGCLF_SETTINGS")
    if explicit:
        return Path(explicit).expanduser().absolute()
    return Path(os.environ.get("IMGCLF_HOME", ".imgclf")).expanduser().absolute() / "imgclf.toml"


def deployed_file() -> Path:
    """What ``imgclf deploy`` writes of the stacks it made: lies beside ``imgclf.toml``, loses to it."""
    return settings_file().with_name("aws.toml")


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a value is wrong; every wrong one is named, with its place.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, item['loc']))}: {item['msg']}{_got(item)}"
            for item in error.errors()
        ]
        raise SettingsError(
            f"settings are wrong ({settings_file()} and IMGCLF_* variables):\n" + "\n".join(lines)
        ) from None
    except ValueError as error:
        raise SettingsError(f"{settings_file()} cannot be read: {error}") from None
