"""CPU time of importing the code location and of building its definitions, on each profile."""

import json
import os
import sys
from pathlib import Path
from statistics import median
from typing import Literal, TypedDict

from benchmarks.processes import cpu_seconds, python_json
from benchmarks.result import Measurement, Result

REPETITIONS = 7
LIMIT_S = 1.0
HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "mlflow",
    "sagemaker",
    "boto3",
    "dagster_aws",
    "gradio",
    "sklearn",
    "scipy",
)

Profile = Literal["local", "aws"]
PROFILES: tuple[Profile, ...] = ("local", "aws")

ACCOUNT = {
    "IMGCLF_PROFILE": "aws",
    "IMGCLF_AWS__REGION": "eu-central-1",
    "IMGCLF_AWS__BUCKET": "benchmark",
    "IMGCLF_AWS__JOB_ROLE_ARN": "arn:aws:iam::123456789012:role/imgclf-jobs",
    "IMGCLF_AWS__ENDPOINT_ROLE_ARN": "arn:aws:iam::123456789012:role/imgclf-endpoints",
    "IMGCLF_AWS__IMAGE_URI": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/imgclf:1",
    "IMGCLF_AWS__ARRIVALS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/q",
}
"""Settings of profile aws; no request is sent to it."""


class Spent(TypedDict):
    """CPU seconds after each step, since the start of imports; heavy modules that were imported."""

    dagster: float
    imported: float
    built: float
    heavy: list[str]


def measure(scratch: Path) -> Result:
    """Run fresh processes without and with the code location in turn, on each profile; compare
    medians."""
    for profile in PROFILES:
        _spent(profile)  # writes the bytecode caches
    rounds = [
        (_spent(None), {profile: _spent(profile) for profile in PROFILES})
        for _ in range(REPETITIONS)
    ]
    alone = median(bare["dagster"] for bare, _ in rounds)
    measurements, heavy = [], set()
    for profile in PROFILES:
        measurements += [
            Measurement(
                what=f"profile {profile}: importing imgclf_dagster.definitions and building its "
                "repository, over importing dagster",
                value=median(found[profile]["built"] - bare["dagster"] for bare, found in rounds),
                unit="CPU s",
                limit=LIMIT_S,
            ),
            Measurement(
                what=f"profile {profile}: of which importing",
                value=median(
                    found[profile]["imported"] - bare["dagster"] for bare, found in rounds
                ),
                unit="CPU s",
            ),
        ]
        heavy |= {name for _, found in rounds for name in found[profile]["heavy"]}
    return Result(
        measurements=[
            *measurements,
            Measurement(what="importing dagster alone", value=alone, unit="CPU s"),
        ],
        notes=[
            f"Medians of {REPETITIONS} rounds of fresh processes, alternating, bytecode cached.",
            f"Heavy modules imported on the way: {', '.join(sorted(heavy)) or 'none'}.",
        ],
    )


def _spent(profile: Profile | None) -> Spent:
    spent: Spent = python_json("benchmarks.import_cost", *([profile] if profile else []))
    return spent


def _child(profile: str | None) -> Spent:
    """Import in a fresh process, and read the CPU clock after each step."""
    if profile == "aws":
        os.environ.update(ACCOUNT)
    before = cpu_seconds()
    import dagster  # noqa: F401 - its import is what is measured

    alone = imported = built = cpu_seconds() - before
    if profile:
        from imgclf_dagster.definitions import build_definitions
        from imgclf_dagster.settings.root import load_settings

        imported = cpu_seconds() - before
        build_definitions(load_settings()).get_repository_def()
        built = cpu_seconds() - before
    heavy = [name for name in HEAVY if name in sys.modules]
    return {"dagster": alone, "imported": imported, "built": built, "heavy": heavy}


if __name__ == "__main__":
    print(json.dumps(_child(sys.argv[1] if len(sys.argv) > 1 else None)))
