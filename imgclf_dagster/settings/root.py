"""The settings: one file, ``imgclf.toml``, and the ``IMGCLF_*`` variables that override it."""

import os
import re
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from assets.policies import (
    GatePolicy,
    IngestionPolicy,
    LabellingPolicy,
    RetrainPolicy,
    SplitPolicy,
    TrainingPolicy,
    TuningPolicy,
)
from errors.base import ImgclfError
from imgclf_dagster.settings.aws import AwsSettings
from imgclf_dagster.settings.label_studio import SECTION as LABEL_STUDIO
from imgclf_dagster.settings.label_studio import LabelStudioSettings
from imgclf_dagster.settings.names import DELIMITER, PREFIX, unknown_name, unknown_variables
from imgclf_dagster.settings.web import WebSettings
from labelling.labels.schema import LabelSchema
from serving.limits.limits import ServingLimits

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Profile = Literal["local", "aws"]

_MOST_SHOWN = 100
"""Maximum length of a wrong value in a message (characters)."""


class SettingsError(ImgclfError, ValueError):
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
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
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
    # A factory: pydantic-settings marks every field of a plain default as set, and of the
    # hyperparameters those that nobody set depend on the recipe.
    training: TrainingPolicy = Field(default_factory=TrainingPolicy)
    tuning: TuningPolicy = TuningPolicy()
    gates: GatePolicy = GatePolicy()
    serving: ServingLimits = ServingLimits()
    labelling: LabellingPolicy = LabellingPolicy()
    retraining: RetrainPolicy = RetrainPolicy()
    label_studio: LabelStudioSettings = LabelStudioSettings()
    sensors: SensorSettings = SensorSettings()
    ports: Ports = Ports()
    web: WebSettings = WebSettings()
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

    @field_validator("home")
    @classmethod
    def _holds_databases(cls, home: Path) -> Path:
        # Dagster puts the path into a SQLite URL without quoting (dagster/_core/storage/sqlite.py),
        # where these two begin an escape and a query: the databases would be elsewhere.
        if wrong := [char for char in "%?" if char in str(home)]:
            raise ValueError(
                f"the path of the home may not contain {' or '.join(map(repr, wrong))}: Dagster's "
                "databases cannot lie there; name another folder in IMGCLF_HOME"
            )
        return home

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings in descending priority. Called by pydantic-settings.

        Args:
            settings_cls: the settings class.
            init_settings: keyword arguments of the constructor.
            env_settings: environment variables.
            dotenv_settings: not used.
            file_secret_settings: not used.

        Returns:
            Arguments, environment variables, ``imgclf.toml``, ``aws.toml``.
        """
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
    def jobs_dir(self) -> Path:
        """Folders of the jobs of this machine that are not done."""
        return self.home / "jobs"

    @property
    def sensor_interval_s(self) -> int:
        """Seconds between two looks of a sensor."""
        return self.sensors.interval_s or {"local": 5, "aws": 30}[self.profile]

    @property
    def mlflow_uri(self) -> str:
        """SQLAlchemy URL of the MLflow store."""
        return f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"


def _problem(item: "ErrorDetails") -> str:
    """Return a line on a wrong setting: name, problem, and the value unless it may be secret."""
    path = tuple(str(part) for part in item["loc"])
    name = ".".join(path)
    if item["type"] == "extra_forbidden":
        # The value of a misspelt name may be a token, so only the name is shown.
        return f"  {name}: {unknown_name(Settings, path)}"
    # A whole section or list may contain a token as well.
    is_shown = LABEL_STUDIO not in path and isinstance(item["input"], str | int | float)
    got = f" (got {_shortened(item['input'])!r})" if is_shown else ""
    return f"  {name}: {item['msg']}{got}"


def _shortened(given: str | float) -> str | float:
    return (
        f"{given[:_MOST_SHOWN]}…" if isinstance(given, str) and len(given) > _MOST_SHOWN else given
    )


def settings_file() -> Path:
    """Return ``IMGCLF_SETTINGS`` if set, else ``imgclf.toml`` in the home (``IMGCLF_HOME``)."""
    explicit = os.environ.get("IMGCLF_SETTINGS")
    if explicit:
        return Path(explicit).expanduser().absolute()
    return Path(os.environ.get("IMGCLF_HOME", ".imgclf")).expanduser().absolute() / "imgclf.toml"


def deployed_file() -> Path:
    """Return ``aws.toml`` beside ``imgclf.toml``: what ``imgclf deploy`` wrote, of lower priority."""
    return settings_file().with_name("aws.toml")


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Args:
        overrides: values that take precedence over variables and files.

    Raises:
        SettingsError: a value is wrong, or a name is not a setting. The message lists all problems
            with their places; values that may be secret are not shown.
    """
    unknown = [f"  {line}" for line in unknown_variables(Settings, os.environ)]
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()] + unknown
        raise _wrong(problems) from None
    except SourceError as error:  # a section's variable that is not JSON
        raise _wrong([f"  {error}: write it as JSON", *unknown]) from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{settings_file()} cannot be read: {error}") from None
    if problems := [*_infinite(settings), *unknown]:
        raise _wrong(problems)
    return settings


def _infinite(section: BaseModel, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a line for each infinite number of ``section``."""
    # A gate with an infinite bound would let anything pass.
    for name, value in section:
        path = (*above, name)
        if isinstance(value, BaseModel):
            yield from _infinite(value, path)
        elif isinstance(value, float) and not isfinite(value):
            yield f"  {'.'.join(path)}: must be a finite number (got {value})"


def _wrong(problems: list[str]) -> SettingsError:
    listed = "\n".join(problems)
    return SettingsError(
        f"settings are wrong ({settings_file()} and IMGCLF_* variables):\n{listed}"
    )
