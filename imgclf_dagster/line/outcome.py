"""What became of one Dagster run."""

from dataclasses import dataclass, field


@dataclass
class RunOutcome:
    """What became of one Dagster run: seconds by step, what failed with its reason, and whether it
    was Ctrl-C that ended it."""

    run_id: str
    success: bool
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
