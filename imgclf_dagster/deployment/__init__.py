"""Configuration files of Dagster's programs, for each profile."""

from importlib.resources import files
from typing import Literal


def dagster_yaml(profile: Literal["local", "aws"]) -> str:
    """Return the text of ``dagster.yaml`` for a profile."""
    return files(__package__).joinpath(f"dagster-{profile}.yaml").read_text(encoding="utf-8")
