"""The pure functions of the graph."""

import base64
import io
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from rich.console import Console

from assets.dataset.splits.leakage import crossing_pairs
from assets.model.trained_model import training_config, training_job
from assets.pictures import INLINE_LIMIT, picture
from imgclf_dagster.line.progress import ConsoleNarrator
from imgclf_dagster.status.status import _arrived, _waiting
from training.config import Hyperparameters

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("distance", [0, 4, 15])
def test_crossing_pairs_are_all_that_comparing_everything_finds(distance: int) -> None:
    rng = np.random.default_rng(distance)
    founders = rng.integers(0, 2**64, 40, dtype=np.uint64)
    hashes = [int(value) for value in founders]
    for value in founders:  # relatives, some just inside the distance and some just outside
        for flips in (distance, distance + 1):
            bits = rng.choice(64, flips, replace=False)
            hashes.append(int(value) ^ sum(1 << int(bit) for bit in bits))
    images = pa.table(
        {
            "sha256": [f"{number:064x}" for number in range(len(hashes))],
            "split": rng.choice(["train", "val", "test"], len(hashes)).tolist(),
            "phash": pa.array(hashes, pa.uint64()),
        }
    )
    rows = images.to_pylist()
    expected = [
        (one["sha256"], other["sha256"])
        for one, other in combinations(rows, 2)
        if one["split"] != other["split"]
        and (one["phash"] ^ other["phash"]).bit_count() <= distance
    ]
    assert expected
    assert crossing_pairs(images, distance) == sorted(expected)
    # fingerprints tell some of them apart, and say nothing of those that cannot be had
    shas = images["sha256"].to_pylist()
    levels = {sha: bytes([100 * (number % 2)]) for number, sha in enumerate(shas) if number % 5}
    flat = {sha: level * 1024 + bytes([128]) * 512 for sha, level in levels.items()}
    texts = [pair for pair in expected if len({levels.get(sha) for sha in pair} - {None}) < 2]
    found = crossing_pairs(
        images, distance, lambda wanted: {s: flat[s] for s in wanted if s in flat}
    )
    assert found == sorted(texts)
    assert len(texts) < len(expected) or not distance


def test_a_big_picture_is_shown_small_and_linked() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    shown = str(picture(file.getvalue(), alt="noise", link="models/x/noise.png").value)
    encoded = shown.split("base64,")[1].split(")", maxsplit=1)[0]
    data = base64.b64decode(encoded)
    assert len(data) <= INLINE_LIMIT
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    assert shown.endswith("`models/x/noise.png`")


def test_a_job_is_named_by_all_that_decides_its_result(tmp_path: Path) -> None:
    card = {"version": "v" * 16, "labels": ["a", "b"], "task": "single_label", "shards": ["s.tar"]}
    probe = Hyperparameters(recipe="probe", architecture="net")
    (tmp_path / "net.pth").write_bytes(b"one")

    def name(card: dict[str, Any] = card, given: Hyperparameters = probe) -> str:
        return training_job(given, card, tmp_path).name

    first = name()
    assert name() == first
    others = {
        name({**card, "version": "w" * 16}),
        name({**card, "labels": ["b", "a"]}),
        name({**card, "task": "multi_label"}),
        name(given=probe.model_copy(update={"seed": 1})),
    }
    (tmp_path / "net.pth").write_bytes(b"other weights")
    others.add(name())
    assert len(others) == 5
    assert first not in others


def test_the_weights_of_a_net_that_takes_none_do_not_matter(tmp_path: Path) -> None:
    card = {"version": "v" * 16, "labels": ["a", "b"], "task": "single_label", "shards": ["s.tar"]}
    scratch = Hyperparameters(recipe="scratch", architecture="net")
    before = training_job(scratch, card, None)
    (tmp_path / "net.pth").write_bytes(b"weights")
    after = training_job(scratch, card, tmp_path)
    assert (after.name, after.local_channels) == (before.name, {})


def test_the_launchpad_offers_every_hyperparameter_with_the_settings_as_defaults() -> None:
    settings = Hyperparameters(recipe="finetune", epochs=3)
    form = training_config(settings)().model_dump()
    assert form.pop("dataset_version") == form.pop("start_from") == ""
    assert form == settings.model_dump(exclude={"parent_digest"})


def test_the_narrator_tells_checks_by_result_and_steps_by_time() -> None:
    console = Console(file=io.StringIO(), width=200)
    narrator = ConsoleNarrator(console)
    narrator.started("dataset")
    narrator.started("dataset_no_split_leakage")
    narrator.checked("no_split_leakage", passed=False, blocking=True, reason="2 pairs [x]")
    narrator.failed("dataset_no_split_leakage", "the check failed")
    narrator.failed("trained_model", "no [weights]")
    output = console.file.getvalue()
    assert "▸ dataset\n" in output
    assert "✗ no_split_leakage" in output
    assert "2 pairs [x]" in output
    assert "the check failed" not in output
    assert "no [weights]" in output


def test_what_waits_is_reported_in_the_order_of_the_line() -> None:
    images = {"usable": 10, "rejected": 0, "not_indexed": 3}
    labels = {"labelled": 8, "conflicts": 0, "not_indexed": 0}
    candidate = {"model_version": "train-2", "failed_checks": {"beats_champion": "worse"}}
    reported = _arrived(images, labels, [], up=False)
    reported += _waiting(images, labels, candidate, {"staging": None, "prod": None}, [])
    assert len(reported) == 3
    assert "3 objects" in reported[0]
    assert "2 images wait for a label" in reported[1]
    assert "held back by beats_champion" in reported[2]


def test_images_in_conflict_wait_with_a_remedy() -> None:
    images = {"usable": 3, "rejected": 0, "not_indexed": 0}
    labels = {"labelled": 1, "conflicts": 2, "not_indexed": 0}
    stages: dict[Any, Any] = {"staging": None, "prod": None}
    (two,) = _waiting(images, labels, None, stages, [])
    assert two.startswith("2 images with conflicting labels wait for a person: ingest each again")
    (one,) = _waiting(images | {"usable": 2}, labels | {"conflicts": 1}, None, stages, [])
    assert one.startswith("1 image with conflicting labels waits for a person: ingest it again")
    assert "imgclf labels withdraw --file" in one
