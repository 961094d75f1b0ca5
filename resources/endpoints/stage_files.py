"""The settings of a stage: a file in the form of CodePipeline's template configuration.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/continuous-delivery-codepipeline-cfn-artifacts.html
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from errors.base import ImgclfError
from serving.deployments import Stage


class StageFileError(ImgclfError, ValueError):
    """A stage's file is missing or wrong; the message names it."""


class StageSettings(BaseModel):
    """What a stage decides: parameters of ``endpoint.yaml``, and tags."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    parameters: dict[str, str] = Field({}, alias="Parameters")
    tags: dict[str, str] = Field({}, alias="Tags")


def stage_settings(stage: Stage, folder: str = "") -> StageSettings:
    """Read the settings of ``stage`` from ``folder``; "" for those that come with imgclf.

    Raises:
        StageFileError: there is no such file, or it does not have this form.
    """
    name = f"{stage}.json"
    try:
        values: Any = json.loads(_text(name, folder))
        return StageSettings.model_validate(values)
    except FileNotFoundError:
        raise StageFileError(f"{folder} has no {name}: copy cloudformation/stages there") from None
    except (ValueError, ValidationError) as error:
        raise StageFileError(
            f'{folder or "cloudformation/stages"}/{name} must be {{"Parameters": {{…}}, '
            f'"Tags": {{…}}}} with texts as values: {error}'
        ) from None


def _text(name: str, folder: str) -> str:
    if folder:
        return (Path(folder) / name).read_text(encoding="utf-8")
    from cloudformation import template

    return template(f"stages/{name}")
