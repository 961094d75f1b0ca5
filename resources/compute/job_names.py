"""What the line's jobs are called: the one list, which the roles' policies have to agree with.

The orchestrator's role may start jobs of these names only (``cloudformation/foundation.yaml``);
the doctor and the tests of the policies ask about each of them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Kind = Literal["training", "processing"]
JobStage = Literal["train", "eval", "embed", "curve"]

JOB_KINDS: Mapping[JobStage, Kind] = MappingProxyType(
    {"train": "training", "eval": "processing", "embed": "processing", "curve": "processing"}
)
"""Kind of job by what its name begins with."""


def job_name(stage: JobStage, digest: str) -> str:
    """``<stage>-<digest>``; the digest is of all that decides the job's result.

    Raises:
        ValueError: no job of the line begins so, and no role could start it.
    """
    if stage not in JOB_KINDS:
        known = ", ".join(get_args(JobStage))
        raise ValueError(
            f"{stage!r} is no stage of the line ({known}): roles may start no such job"
        )
    return f"{stage}-{digest}"
