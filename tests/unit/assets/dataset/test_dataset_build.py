"""Assembling a data set from tables: which rows count, and what is not there."""

from pathlib import Path

import pyarrow as pa
import pytest

from assets.annotations.label_index import LabelledView
from assets.dataset.assembly import assemble
from assets.dataset.shards import verified_images
from labelling.labels.schema import LabelSchema
from object_store.errors import KeyMissing
from object_store.store import ObjectStore
from training.groups.groups import GROUPS_SCHEMA, current_rows

pytestmark = pytest.mark.unit

IMAGE = "a" * 64


def test_of_two_rows_of_an_image_the_first_deals_the_split() -> None:
    """Two runs at once may each have dealt it; a split is for ever."""
    dealt = [{"sha256": IMAGE, "group_id": split, "split": split} for split in ("test", "train")]
    rows = [dict.fromkeys(GROUPS_SCHEMA.names) | row for row in dealt]
    images = pa.table({"sha256": [IMAGE], "width": [8], "height": [8], "key": ["raw/a.png"]})
    view = LabelledView({IMAGE: ["cat"]}, [], "1")
    groups = current_rows(pa.Table.from_pylist(rows, schema=GROUPS_SCHEMA))
    found = assemble(images, view, groups, LabelSchema())
    assert [(row["split"], row["group_id"]) for row in found.rows.to_pylist()] == [("test", "test")]


def test_an_image_that_is_gone_is_named_and_not_left_out_in_silence(tmp_path: Path) -> None:
    store = ObjectStore(url=tmp_path.as_uri())
    store.ensure()
    with pytest.raises(KeyMissing, match=r"raw/a\.png is not in the store"):
        list(verified_images(store, [{"raw_key": "raw/a.png", "sha256": IMAGE}]))
