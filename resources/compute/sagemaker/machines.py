"""Settings of SageMaker jobs' instances: type, number, disk, time limits, spot and warm pools."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_SPOT_WAIT_S = 3600


class JobResources(BaseModel):
    """Instances of one kind of job. The limits are those of the SageMaker API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instance_type: str = Field(
        "ml.m5.xlarge",
        pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$",
        description="SageMaker instance type, such as ml.g5.xlarge (one GPU).",
    )
    instance_count: int = Field(1, ge=1, le=100, description="Number of instances.")
    volume_gb: int = Field(50, ge=1, le=16384, description="Disk of each instance.")
    max_runtime_s: int = Field(
        86_400, ge=1, le=2_419_200, description="A job that runs longer is stopped."
    )


class TrainingResources(JobResources):
    """Instances of training jobs: only these run on spare capacity, or keep their machines warm."""

    spot: bool = Field(
        False,
        description="Train on spot capacity, at a discount; checkpoints survive an interruption.",
    )
    spot_wait_s: int = Field(
        0,
        ge=0,
        le=2_419_200,
        description="Spot: seconds without a machine after which the job uses on-demand "
        "capacity; 0: an hour, or the limit from max_wait_s.",
    )
    spot_fallback: bool = Field(
        True,
        description="Spot: use on-demand capacity if no spot capacity is found in time; false: "
        "fail.",
    )
    max_wait_s: int = Field(
        0,
        ge=0,
        le=2_419_200,
        description="Spot: longest wait and run together; 0: the longest run and spot_wait_s.",
    )
    keep_alive_s: int = Field(
        0,
        ge=0,
        le=3600,
        description="Warm pool: keep the instances for the next job; they are billed till then.",
    )

    @property
    def longest_spot_wait_s(self) -> int | None:
        """Seconds that a spot job may be without a machine; None if only ``max_wait_s`` ends it.

        SageMaker's own limit is for wait and run together, so it must be as long as the longest
        run, and a job of a minute could wait for a day.
        """
        if self.spot_wait_s or self.max_wait_s:
            return self.spot_wait_s or None
        return _SPOT_WAIT_S

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.spot and self.keep_alive_s:
            raise ValueError(
                "spot and keep_alive_s exclude each other: SageMaker has no warm pools of spot"
            )
        if self.spot and 0 < self.max_wait_s < self.max_runtime_s:
            raise ValueError("max_wait_s includes the run: it must not be less than max_runtime_s")
        return self
