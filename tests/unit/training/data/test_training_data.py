"""Images and targets of a job."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data.data import (
    Batches,
    DataSource,
    LabelledImages,
    require_learnable,
    resized_to_square,
)
from training.errors import PermanentFailure
from training.images.preprocessing import Preprocessing

pytestmark = pytest.mark.unit

Layout = Callable[..., Path]


def _images(count: int, split: str = "train") -> list[tuple[np.ndarray, list[str], str]]:
    draw = np.random.default_rng(0).integers
    return [
        (draw(0, 256, (20, 30 + i, 3), dtype=np.uint8), ["ab"[i % 2]], split) for i in range(count)
    ]


def _source(root: Path, labels: tuple[str, ...] = ("a", "b")) -> DataSource:
    given = json.loads((root / "input/config/hyperparameters.json").read_text())
    channel = root / "input/data/dataset"
    return DataSource(channel, given["dataset_version"], "single_label", labels, root / "scratch")


def _sized(size: int) -> Preprocessing:
    return Preprocessing(size=size)


def _ignore(done: int, total: int) -> None:
    pass


def test_a_split_holds_the_images_squashed_and_their_targets(
    tmp_path: Path, training_job: Layout
) -> None:
    source = _source(training_job(tmp_path, _images(5)))
    split = source.split("train", _sized(16), _ignore)
    originals = source.originals("train", 16)
    for image, original in zip(split.images, originals, strict=True):
        assert np.array_equal(image, resized_to_square(original, _sized(16)))
    labels = [row[0] for row in split.rows["labels"].to_pylist()]
    assert ["ab"[target] for target in split.targets] == labels


def test_the_cache_is_used_again_and_a_torn_one_is_not(
    tmp_path: Path, training_job: Layout
) -> None:
    root = training_job(tmp_path, _images(3))
    source = _source(root)
    source.cache.mkdir()
    (source.cache / "train-0.1.tmp").write_bytes(b"torn")
    before = np.array(source.split("train", _sized(8), _ignore).images)
    for shard in (root / "input/data/dataset/shards").iterdir():
        shard.unlink()
    assert np.array_equal(source.split("train", _sized(8), _ignore).images, before)
    with pytest.raises(PermanentFailure):
        source.split("train", _sized(9), _ignore)


def test_images_that_cannot_be_read_are_set_aside_and_the_rest_is_whole(
    tmp_path: Path, training_job: Layout
) -> None:
    source = _source(training_job(tmp_path, _images(12)))
    whole = source.split("train", _sized(16), _ignore)
    lost = whole.rows.slice(3, 1).to_pylist()[0]
    shard = source.root / lost["shard"]
    data = bytearray(shard.read_bytes())
    data[lost["offset"] + lost["length"] // 2] ^= 255
    shard.write_bytes(data)
    for size in (8, 8):  # from the shards, and from the cache
        split = source.split("train", _sized(size), _ignore)
        assert set(split.aside) == {lost["raw_key"]}
        assert len(split) == len(split.targets) == len(split.rows) == 11
        assert lost["sha256"] not in split.rows["sha256"].to_pylist()
    expected = np.delete(np.array(whole.images), 3, axis=0)
    for path in source.cache.iterdir():
        path.unlink()
    assert np.array_equal(source.split("train", _sized(16), _ignore).images, expected)
    assert len(list(source.originals("train", 16))) == 11


def test_a_split_of_which_most_cannot_be_read_stops_the_job(
    tmp_path: Path, training_job: Layout
) -> None:
    source = _source(training_job(tmp_path, _images(12)))
    for shard in (source.root / "shards").iterdir():
        shard.write_bytes(shard.read_bytes()[:3000])
    for _ in range(2):
        with pytest.raises(PermanentFailure, match=r"of 12 images of the train split cannot be"):
            source.split("train", _sized(8), _ignore)


def test_an_empty_split_is_permanent_and_named(tmp_path: Path, training_job: Layout) -> None:
    with pytest.raises(PermanentFailure, match=r"val split .* is empty.*label more images"):
        _source(training_job(tmp_path, _images(2))).split("val", _sized(8), _ignore)


def test_an_unknown_label_is_named(tmp_path: Path, training_job: Layout) -> None:
    source = _source(training_job(tmp_path, _images(2)), labels=("a", "c"))
    with pytest.raises(PermanentFailure, match=r"configuration lacks: b"):
        source.split("train", _sized(8), _ignore)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (np.array([0, 0, 0]), "only one class"),
        (np.array([0, 1, 0]), "no training image has the label c"),
        (
            np.array([[1, 0, 1], [1, 1, 0]], np.float32),
            "every training image has the label a: label some images without it, or remove it: imgclf "
            "labels withdraw --class a",
        ),
        (np.array([[1, 0, 0], [0, 1, 0]], np.float32), "no training image has the label c"),
    ],
)
def test_what_cannot_be_learnt_is_refused(targets: np.ndarray, expected: str) -> None:
    with pytest.raises(PermanentFailure, match=expected):
        require_learnable(targets, ("a", "b", "c"))


def _numbered(count: int) -> LabelledImages:
    images = np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1).repeat(3, axis=3)
    return LabelledImages(images, np.arange(count), rows=None)


@pytest.mark.parametrize(("count", "size"), [(1, 8), (9, 8), (64, 64), (65, 64), (10, 3)])
def test_batches_hold_every_image_once_and_none_alone(count: int, size: int) -> None:
    batches = Batches(_numbered(count), size, shuffle_seed=1)
    parts = [targets.tolist() for _, targets, _ in batches]
    assert sorted(sum(parts, [])) == list(range(count))
    assert len(parts) == len(batches)
    assert max(map(len, parts)) <= size
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = Batches(_numbered(50), 8, shuffle_seed=seed)
        batches.set_epoch(epoch)
        return sum((targets.tolist() for _, targets, _ in batches), [])

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_images_stay_with_their_targets() -> None:
    for images, targets, _ in Batches(_numbered(50), 8, shuffle_seed=0):
        assert images[:, 0, 0, 0].tolist() == targets.tolist()


@pytest.mark.parametrize(("count", "processes"), [(50, 3), (17, 8), (2, 3)])
def test_shares_make_up_the_batches(count: int, processes: int) -> None:
    whole = Batches(_numbered(count), 8, shuffle_seed=1)
    shares = [
        Batches(_numbered(count), 8, shuffle_seed=1, share=(rank, processes))
        for rank in range(processes)
    ]
    for together, *apart in zip(whole, *shares, strict=True):
        found = [targets.tolist() for _, targets, _ in apart]
        assert sorted(sum(found, [])) == together[1].tolist()
        assert whole.size_of(together[2]) == len(together[1])
        assert max(map(len, found)) - min(map(len, found)) <= 1
    assert whole.start_of(len(whole)) == count


@pytest.mark.parametrize("ahead", [1, 2, 50])
def test_reading_ahead_changes_nothing(ahead: int) -> None:
    def order(**options: int) -> list[list[int]]:
        batches = Batches(_numbered(50), 8, shuffle_seed=1, **options)
        return [[number, *targets.tolist()] for _, targets, number in batches]

    assert order(ahead=ahead) == order()
