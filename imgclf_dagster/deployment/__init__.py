"""What Dagster's programs read at their start, for each profile; the files lie beside this one."""

from importlib.resources import files
from typing import Literal


def dagster_yaml(profile: Literal["local", "aws"]) -> str:
    """The ``dagster.yaml`` of ``profile``, as text."""
    return files(__package__).joinpath(f"dagster-{profile}.yaml").read_text(encoding="utf-8")
