"""The outcome of one Dagster run."""

from dataclasses import dataclass, field


@dataclass
class RunOutcome:
    """The outcome of one Dagster run.

    Attributes:
        run_id: id of the run.
        success: whether it succeeded.
        seconds: duration of each finished step (seconds), by step key.
        failures: reasons by failed check or step.
        interrupted: whether Ctrl-C ended it.
    """

    run_id: str
    success: bool
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
