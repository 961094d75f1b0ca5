"""Which hyperparameters a tuning job tries next: at random, or all of a grid.

The service's Bayesian search and Hyperband are random here: no caller can tell in a test.
"""

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any


def choices(config: dict[str, Any], ranges: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Hyperparameters, as strings; endless unless the strategy is Grid."""
    if config["Strategy"] == "Grid":
        return _grid(ranges)
    return _random(ranges, random.Random(config.get("RandomSeed", 0)))


def _grid(ranges: dict[str, Any]) -> Iterator[dict[str, str]]:
    categories = ranges.get("CategoricalParameterRanges", [])
    names = [given["Name"] for given in categories]
    for values in itertools.product(*(given["Values"] for given in categories)):
        yield dict(zip(names, values, strict=True))


def _random(ranges: dict[str, Any], rng: random.Random) -> Iterator[dict[str, str]]:
    while True:
        chosen = {
            given["Name"]: rng.choice(given["Values"])
            for given in ranges.get("CategoricalParameterRanges", [])
        }
        for given in ranges.get("IntegerParameterRanges", []):
            chosen[given["Name"]] = str(round(_between(given, rng)))
        for given in ranges.get("ContinuousParameterRanges", []):
            chosen[given["Name"]] = repr(_between(given, rng))
        yield chosen


def _between(given: dict[str, str], rng: random.Random) -> float:
    low, high = float(given["MinValue"]), float(given["MaxValue"])
    scaling = given.get("ScalingType", "Auto")
    if scaling == "Logarithmic":
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    if scaling == "ReverseLogarithmic":
        return 1 - math.exp(rng.uniform(math.log(1 - high), math.log(1 - low)))
    return rng.uniform(low, high)


def problems(config: dict[str, Any], ranges: dict[str, Any]) -> Iterator[str]:
    """What the service would refuse."""
    scaled = ranges.get("IntegerParameterRanges", []) + ranges.get("ContinuousParameterRanges", [])
    if not scaled and not ranges.get("CategoricalParameterRanges"):
        yield "Hyperparameter ranges must be given"
    if config["Strategy"] == "Grid":
        if scaled:
            yield "Grid search takes categorical ranges only"
        if "MaxNumberOfTrainingJobs" in config["ResourceLimits"]:
            expected = sum(1 for _ in _grid(ranges))
            if config["ResourceLimits"]["MaxNumberOfTrainingJobs"] != expected:
                yield f"MaxNumberOfTrainingJobs must be {expected}, the size of the grid, or absent"
    for given in scaled:
        try:
            low, high = float(given["MinValue"]), float(given["MaxValue"])
        except ValueError:
            yield f"{given['Name']}: MinValue and MaxValue must be numbers"
            continue
        if low >= high:
            yield f"{given['Name']}: MinValue must be less than MaxValue"
        if given.get("ScalingType") == "Logarithmic" and low <= 0:
            yield f"{given['Name']}: Logarithmic scaling needs values above 0"
        if given.get("ScalingType") == "ReverseLogarithmic" and not (low >= 0 and high < 1):
            yield f"{given['Name']}: ReverseLogarithmic scaling needs values in [0, 1)"
