"""No single picture or label stops the data set: it is named, and the rest goes on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assets.dataset.assembly import LOST
from assets.dataset.contact_sheets import sheet_key
from assets.ingestion.image_index import IMAGES_SCHEMA, images_table, newest_rows

pytestmark = pytest.mark.graph

DATA = ("raw_images", "annotations", "dataset")
LONG = "東" * 60


def test_labels_of_any_script_and_length_and_a_strip_make_a_data_set(
    world: Any, png: Callable[..., bytes], pattern: Callable[[int], np.ndarray]
) -> None:
    world.add_classes(6)
    for seed in range(900, 906):
        world.add(f"far/{seed}.png", png(pattern(seed)), LONG)
    strip = np.tile(pattern(7), (1, 38))[:8, :1200]  # 150 : 1
    world.add("strip.png", png(strip), LONG)
    done = world.run(*DATA)
    assert "dataset" in done.materialized, done.why
    card = world.card(done.version("dataset"))
    assert card["contact_sheets"][LONG] == sheet_key(done.version("dataset"), LONG)
    assert all(world.store.exists(key) for key in card["contact_sheets"].values())
    assert "data:image/jpeg;base64," in done.metadata("dataset")[f"images of {LONG}"]


def test_pictures_that_changed_or_went_since_they_were_indexed_stay_out_by_name(
    world: Any,
) -> None:
    world.add_classes(8)
    world.run("raw_images", "annotations")
    keys = sorted(info.key for info in world.store.list("raw"))
    changed = bytearray(world.store.get(keys[0]))
    changed[-20] ^= 1
    world.tamper(keys[0], bytes(changed))
    world.store.delete(keys[1])
    done = world.run("dataset")
    assert "dataset" in done.materialized, done.why
    version = done.version("dataset")
    assert len(world.manifest(version)) == 22
    assert len(world.card(version)["left_out"][LOST]) == 2
    facts = done.metadata("dataset")["images set aside"]
    assert keys[0] in facts
    assert "rewritten after it was indexed; materialize raw_images again" in facts
    assert keys[1] in facts
    again = world.run("dataset")
    assert again.version("dataset") == version


def test_an_ornament_that_fails_is_reported_and_costs_nothing(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("a fault of the sheet")

    monkeypatch.setattr("training.data.contact_sheet._laid_out", broken)
    world.add_classes(4)
    done = world.run(*DATA)
    assert "dataset" in done.materialized, done.why
    assert world.card(done.version("dataset"))["contact_sheets"] == {}


def test_a_home_whose_sheets_bear_labels_goes_on(world: Any) -> None:
    world.add_classes(4)
    version = world.run(*DATA).version("dataset")
    card_key = f"datasets/{version}/card.json"
    card = world.card(version)
    old = f"datasets/{version}/contact_sheets/red.jpg"
    world.store.create(old, world.store.get(card["contact_sheets"]["red"]))
    text = world.store.get(card_key).decode().replace(card["contact_sheets"]["red"], old)
    world.tamper(card_key, text.encode())
    again = world.run("dataset")
    assert "dataset" in again.materialized, again.why
    assert again.version("dataset") == version
    assert old in again.metadata("dataset")["images of red"]


def test_a_picture_that_an_earlier_version_let_in_is_rejected_by_name(world: Any) -> None:
    world.add_classes(4)
    world.run("raw_images")
    table = images_table(world.store)
    row = newest_rows(table.read()).to_pylist()[0]
    wide = pa.Table.from_pylist([row | {"width": 70_000, "height": 1}], schema=IMAGES_SCHEMA)
    table.append(wide)
    done = world.run(*DATA)
    assert done.metadata("raw_images")["rejected"] == 1
    assert row["key"] in done.metadata("raw_images")["rejections"]
    assert "65,535 pixels; cut it" in done.metadata("raw_images")["rejections"]
    assert row["sha256"] not in world.manifest(done.version("dataset"))
    assert world.run("raw_images").version("raw_images") == done.version("raw_images")
