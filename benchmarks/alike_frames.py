"""Near-duplicate groups of images that are all alike to the perceptual hash, as a fixed camera takes them."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from assets.dataset.splits.leakage import crossing_pairs
from benchmarks.processes import BenchmarkFailed, peak_mb, reset_peak
from benchmarks.result import Measurement, Result
from training.groups.fingerprint import COLOUR, LUMA, Prints
from training.groups.groups import GROUPS_SCHEMA, assign_groups, current_rows, founders_split

FRAMES = 10_000
MORE = 100
PLAIN = 400
"""Frames for timing the plain comparison of all pairs, which is quadratic."""
SEED = 5
SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
CROSSING = 1 - sum(share**2 for share in SHARES.values())
"""Share of the pairs that cross a split."""


def measure(scratch: Path) -> Result:
    """Group frames of an empty scene, of one with a person in it, and some more of the second."""
    rows: list[Measurement] = []
    plain = _plain_pair_seconds() * FRAMES * (FRAMES - 1) / 2
    more = plain * MORE * 2 / FRAMES
    groups = {}
    for what, share in (
        ("nobody in them: one group", 0.0),
        ("somebody elsewhere in each", 1.0),
    ):
        cells = frames(FRAMES + MORE, share)
        reset_peak()
        before = peak_mb()
        known, spent = grouped(GROUPS_SCHEMA.empty_table(), cells[:FRAMES])
        groups[what] = len(set(known["group_id"].to_pylist()))
        rows += [
            Measurement(
                what=f"{FRAMES:,} frames, {what}", value=spent, unit="CPU s", limit=60, peer=plain
            ),
            Measurement(
                what="memory that this adds (peak)", value=peak_mb() - before, unit="MB", limit=500
            ),
            Measurement(
                what=f"{MORE} more frames of them",
                value=grouped(known, cells)[1],
                unit="CPU s",
                limit=10,
                peer=more,
            ),
        ]
    rows.append(
        Measurement(
            what="the check no_split_leakage of them, which looks at all afresh",
            value=_leaks(known, cells),
            unit="CPU s",
            limit=60,
            peer=plain * CROSSING,
        )
    )
    return Result(
        measurements=rows,
        peer=f"the fingerprint's whole test of every pair, from the time that {PLAIN} frames took",
        notes=[
            f"All {FRAMES:,} frames have hashes that differ in at most 2 bits, so the hash alone "
            "would call them one picture. Groups found: "
            + "; ".join(f"{what}: {count:,}" for what, count in groups.items())
            + ".",
            "Fingerprints are made, not computed from files: reading and decoding the frames "
            "comes on top.",
        ],
    )


def frames(count: int, share: float) -> np.ndarray:
    """Fingerprints of a camera's frames with noise and changing light; in ``share`` of them a
    person of one by three cells stands somewhere."""
    rng = np.random.default_rng(SEED)
    scene = rng.integers(60, 200, (LUMA // 4, LUMA // 4)).astype(np.float32)
    scene = np.kron(scene, np.ones((4, 4), np.float32))
    colour = rng.integers(110, 146, (2, COLOUR, COLOUR)).astype(np.float32)
    out = np.empty((count, LUMA * LUMA + 2 * COLOUR * COLOUR), np.uint8)
    for number in range(count):
        light = rng.uniform(0.95, 1.05)
        luma = scene * light + rng.normal(0, 0.5, scene.shape)
        tint = colour + rng.normal(0, 0.5, colour.shape)
        if rng.random() < share:
            y, x = rng.integers(0, LUMA - 3), rng.integers(0, LUMA)
            luma[y : y + 3, x] = rng.integers(0, 255)
            tint[:, y // 2 : y // 2 + 2, x // 2] += rng.integers(-40, 40, (2, 1))
        cells = np.concatenate([luma.ravel(), tint.ravel()])
        out[number] = cells.round().clip(0, 255).astype(np.uint8)
    return out


def grouped(known: pa.Table, cells: np.ndarray) -> tuple[pa.Table, float]:
    """The rows that count after grouping, and the CPU seconds of grouping."""
    shas = [_sha(number) for number in range(len(cells))]
    prints = dict(zip(shas, (row.tobytes() for row in cells), strict=True))

    def fingerprints(wanted: Sequence[str]) -> Mapping[str, bytes]:
        return {sha: prints[sha] for sha in wanted}

    hashes = np.array([1 << number % 64 for number in range(len(cells))], np.uint64)
    images = pa.table({"sha256": pa.array(shas), "phash": pa.array(hashes)})
    began = time.process_time()
    rows = assign_groups(known, images, max_distance=4, fingerprints=fingerprints)
    return current_rows(pa.concat_tables([known, rows])), time.process_time() - began


def _leaks(known: pa.Table, cells: np.ndarray) -> float:
    """CPU seconds of the search for pairs that cross a split, with one split per group."""
    shas = sorted(known["sha256"].to_pylist())
    group = dict(zip(known["sha256"].to_pylist(), known["group_id"].to_pylist(), strict=True))
    hashes = dict(zip(known["sha256"].to_pylist(), known["phash"].to_pylist(), strict=True))
    numbers = {_sha(number): number for number in range(len(cells))}
    images = pa.table(
        {
            "sha256": shas,
            "split": [founders_split(group[sha], SHARES) for sha in shas],
            "phash": pa.array([hashes[sha] for sha in shas], pa.uint64()),
        }
    )
    began = time.process_time()
    found = crossing_pairs(
        images, 4, lambda wanted: {sha: cells[numbers[sha]].tobytes() for sha in wanted}
    )
    if found:
        raise BenchmarkFailed(f"{len(found)} pairs cross a split")
    return time.process_time() - began


def _sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _plain_pair_seconds() -> float:
    prints = Prints([row.tobytes() for row in frames(PLAIN, 1.0)])
    began = time.process_time()
    for one in range(PLAIN):
        prints.wholly_same(one, np.arange(one))
    return (time.process_time() - began) / (PLAIN * (PLAIN - 1) / 2)
