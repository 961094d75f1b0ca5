"""Fingerprints are computed once, and what cannot be read is named and left out."""

import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from assets.dataset.splits.fingerprints import fingerprints_of, fingerprints_table
from assets.dataset.splits.generations import (
    current_generation,
    deal_again,
    generation_number,
    newest_generation,
)
from assets.policies import SplitPolicy
from object_store.contents.damage import DamagedObject
from object_store.store import ObjectStore
from training.groups.fingerprint import SIZE

pytestmark = pytest.mark.unit


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=(tmp_path / "store").as_uri())
    store.ensure()
    return store


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (level, level, level)).save(file, "PNG")
    return file.getvalue()


def test_fingerprints_are_computed_once_and_kept(store: ObjectStore) -> None:
    files = [png(level) for level in (10, 20, 30)]
    keys = {hashlib.sha256(data).hexdigest(): f"raw/{n}.png" for n, data in enumerate(files)}
    for key, data in zip(keys.values(), files, strict=True):
        store.put(key, data)
    first, *rest = keys
    messages: list[str] = []
    found = fingerprints_of(store, keys, [first], messages.append)
    assert (list(found), len(found[first]), found[first][0]) == ([first], SIZE, 10)
    store.delete(keys[first])  # the table has it
    again = fingerprints_of(store, keys, [first, *rest], messages.append)
    assert again[first] == found[first]
    assert {again[sha][0] for sha in rest} == {20, 30}
    assert sorted(fingerprints_table(store).read()["sha256"].to_pylist()) == sorted(keys)


def test_what_cannot_be_read_is_named_and_left_out(store: ObjectStore) -> None:
    good = png(10)
    store.put("raw/good.png", good)
    store.put("raw/changed.png", png(20))
    store.put("raw/broken.png", b"no picture")
    keys = {
        hashlib.sha256(good).hexdigest(): "raw/good.png",
        "c" * 64: "raw/changed.png",
        hashlib.sha256(b"no picture").hexdigest(): "raw/broken.png",
        "d" * 64: "raw/gone.png",
    }
    messages: list[str] = []
    found = fingerprints_of(store, keys, [*keys, "e" * 64], messages.append)
    assert list(found) == [next(iter(keys))]
    for key in ("raw/changed.png", "raw/broken.png", "raw/gone.png"):
        assert any(
            text.startswith(f"{key} is compared by its perceptual hash") for text in messages
        )


def test_settings_that_change_begin_a_generation_until_a_model_is_released(
    store: ObjectStore,
) -> None:
    messages: list[str] = []
    policy, other = SplitPolicy(), SplitPolicy(near_duplicate_distance=2)
    assert generation_number(store) == 0
    for _ in range(2):
        assert current_generation(store, policy, None, messages.append).generation == 0
    assert messages == []
    assert current_generation(store, other, None, messages.append).generation == 1
    assert "near_duplicate_distance = 4 → 2" in messages[0]
    store.put("endpoints/prod/0000000000001-train-a.json", b"{}")
    assert current_generation(store, policy, None, messages.append).generation == 1
    assert "imgclf splits deal-again" in messages[1]
    assert deal_again(store, policy, "asked for", by="ann").generation == 2
    newest = newest_generation(store)
    assert newest is not None
    assert (newest.generation, newest.by, newest.policy) == (2, "ann", policy)
    assert current_generation(store, policy, None, messages.append).generation == 2


def test_a_home_of_an_earlier_version_is_of_the_settings_it_was_dealt_by(
    store: ObjectStore,
) -> None:
    messages: list[str] = []
    earlier = SplitPolicy(near_duplicate_distance=8)
    found = current_generation(store, SplitPolicy(), lambda: earlier, messages.append)
    assert (found.generation, found.policy) == (1, SplitPolicy())
    assert "near_duplicate_distance = 8 → 4" in messages[0]


def test_a_damaged_record_is_never_read_over(store: ObjectStore) -> None:
    current_generation(store, SplitPolicy(), None, print)
    store.put("splits/dealt/0000000000002.json", b"{")
    with pytest.raises(DamagedObject, match="splits/dealt/0000000000002"):
        generation_number(store)
