"""Names of the pipeline's jobs; the IAM policies must allow each of them.

The orchestrator's role may start jobs of these names only (``cloudformation/foundation.yaml``);
``imgclf doctor`` and the tests of the policies check each of them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

Kind = Literal["training", "processing"]
JobStage = Literal["train", "eval", "embed", "curve"]

JOB_KINDS: Mapping[JobStage, Kind] = MappingProxyType(
    {"train": "training", "eval": "processing", "embed": "processing", "curve": "processing"}
)
"""Kind of job by the first part of its name."""


def job_name(stage: JobStage, digest: str) -> str:
    """Return ``<stage>-<digest>``; the digest is a hash of everything that determines the result.

    Raises:
        ValueError: ``stage`` is unknown, so no role could start the job.
    """
    if stage not in JOB_KINDS:
        known = ", ".join(get_args(JobStage))
        raise ValueError(
            f"{stage!r} is no stage of the line ({known}): roles may start no such job"
        )
    return f"{stage}-{digest}"
