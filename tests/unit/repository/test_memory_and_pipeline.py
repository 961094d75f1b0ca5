"""The arithmetic of the benchmarks of a training's memory and of its data pipeline."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import training_memory
from benchmarks.data_pipeline import Pace, middle, pace_of, ready_batches, times_faster
from benchmarks.memory import counted_mb, peaks_of
from benchmarks.processes import BenchmarkFailed
from training.container.progress_file import PROGRESS
from training.data.data import Batches, LabelledImages

pytestmark = pytest.mark.unit

ROLLUP = """\
55d0c0a00000-7ffe5a3f3000 ---p 00000000 00:00 0                          [rollup]
Rss:             3000000 kB
Pss:             2500000 kB
Pss_Anon:           1000 kB
Pss_File:        2000000 kB
Pss_Shmem:           500 kB
Anonymous:        900000 kB
"""


def numbered(count: int) -> LabelledImages:
    pixels = np.zeros((count, 1, 1, 3), np.uint8)
    return LabelledImages(pixels, np.arange(count), pa.table({}))


def test_pages_of_files_are_not_counted() -> None:
    assert counted_mb(ROLLUP) == pytest.approx(1500 * 1024 / 1e6)


def test_the_peak_of_each_stage_includes_child_processes(tmp_path: Path) -> None:
    note = tmp_path / "stage"
    note.write_text("before")
    child = "import sys, time; block = b'x' * 60_000_000; time.sleep(1)"
    program = (
        "import pathlib, subprocess, sys, time\n"
        "time.sleep(0.5)\n"
        f"pathlib.Path({str(note)!r}).write_text('with a child')\n"
        f"subprocess.run([sys.executable, '-c', {child!r}])\n"
    )
    peaks = peaks_of([sys.executable, "-c", program], note.read_text, poll_s=0.02)
    assert peaks["before"] < 50 < 60 < peaks["with a child"]


def test_a_program_that_fails_has_no_peak() -> None:
    with pytest.raises(BenchmarkFailed, match="no such thing"):
        peaks_of([sys.executable, "-c", "raise SystemExit('no such thing')"], poll_s=0.02)


def test_a_jobs_stage_is_its_phase_and_what_a_fit_counts(tmp_path: Path) -> None:
    assert training_memory.stage_of(tmp_path) == ""
    file = tmp_path / PROGRESS
    file.parent.mkdir()
    file.write_text('{"phase": "data", "what": "train images read"}')
    assert training_memory.stage_of(tmp_path) == "data"
    file.write_text('{"phase": "fit", "what": "steps"}')
    assert training_memory.stage_of(tmp_path) == "fit (steps)"


def test_memory_of_features() -> None:
    assert training_memory.bytes_an_image([100.0, 400.0], (10_000, 40_000)) == 10_000
    features_mb = 1_000 * training_memory.WIDTH * 4 / 1e6
    assert training_memory.without_features(features_mb + 7.0, 1_000) == pytest.approx(7.0)


def test_few_batches_are_the_first_of_the_whole_order() -> None:
    whole = list(Batches(numbered(40), 4, shuffle_seed=1))
    few = training_memory.few_batches(3)(numbered(40), 4, shuffle_seed=1)
    assert len(few) == 3
    assert [found[1].tolist() for found in few] == [given[1].tolist() for given in whole[:3]]


def test_ready_batches_are_the_products() -> None:
    whole = [targets.tolist() for _, targets, _ in Batches(numbered(10), 4, shuffle_seed=1)]
    ready = ready_batches()(numbered(10), 4, shuffle_seed=1)
    assert [targets.tolist() for _, targets, _ in ready] == whole


def test_paces() -> None:
    ends = [(0.0, 0.0), (10.0, 20.0), (11.0, 22.0), (12.0, 24.0)]
    step = pace_of(ends, first=2, batch=32)  # what the first two steps took is not counted
    assert step == Pace(64, 2.0, 4.0)
    assert step.cpu_ms == pytest.approx(62.5)
    assert step.per_second == 32
    assert times_faster(Pace(64, 9.0, 1.0), step) == 4.0
    rounds = [Pace(64, 1.0, 5.0), Pace(64, 3.0, 4.0), Pace(64, 2.0, 9.0)]
    assert middle(rounds) == Pace(64, 2.0, 5.0)
