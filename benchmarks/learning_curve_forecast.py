"""What half of the labels foretell of all of them, on the scenes: how far off, and how often held."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.photos import MISSING, NAME
from benchmarks.processes import BenchmarkFailed
from benchmarks.result import Measurement, Result
from benchmarks.scenes import load, missing, saved, scenes
from labelling.report.curve_law import LEVEL
from labelling.report.curve_report import Backtest
from training.curve.points import Subsets
from training.curve.refit import Refit
from training.curve.study import backtest

SPLITS = range(20)
TRAIN = 0.7
"""Share of the photos in the training split; scores are measured on the others."""


def measure(scratch: Path) -> Result:
    """Split the photos at random many times, and forecast each time."""
    if missing():
        return Result(skipped=missing())
    found = scenes(scratch)
    if found is None:
        return Result(skipped=MISSING)
    file = saved(found, scratch)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn) as workers:
        forecasts = list(workers.map(_forecast, [(str(file), seed) for seed in SPLITS]))
    return _result(forecasts, round(TRAIN * len(found.targets)))


def _forecast(job: tuple[str, int]) -> Backtest:
    """Run the check of the labelling report on one split."""
    found, seed = load(job[0]), job[1]
    order = np.random.default_rng(seed).permutation(len(found.targets))
    train, held = np.split(order, [round(TRAIN * len(order))])
    truth = np.eye(len(found.labels), dtype=bool)[found.targets]
    x = found.features
    refit = Refit(x[train], truth[train], x[held], truth[held], "single_label")
    every, subsets = np.arange(len(train)), Subsets(refit, truth[train])
    forecasts = backtest(subsets, every, subsets.marks(every).score)
    if forecasts is None:
        raise BenchmarkFailed(f"split {seed}: nothing is foretold")
    return forecasts


def _result(found: list[Backtest], labels: int) -> Result:
    forecasts = [
        (one.foretold.low or 0, one.foretold.value or 0, one.foretold.high or 1) for one in found
    ]
    low, value, high = np.array(forecasts).T
    score = np.array([one.score for one in found])
    held = (low <= score) & (score <= high)
    return Result(
        measurements=[
            Measurement(
                what="mean error of the accuracy foretold",
                value=100 * float(np.abs(value - score).mean()),
                unit="points",
            ),
            Measurement(
                what=f"splits in which it lay within the {LEVEL:.0%} interval",
                value=float(held.sum()),
                unit=f"of {len(found)}",
                bound="at least",
            ),
            Measurement(
                what="half the width of that interval (mean)",
                value=100 * float((high - low).mean() / 2),
                unit="points",
            ),
        ],
        notes=[
            f"The check of the labelling report (training/curve/study.py, backtest) on {NAME}: "
            f"{found[0].labels:,} labels foretell what {labels:,} reach on the other photos. "
            "The splits are of the same photos, so their errors go together.",
        ],
    )
