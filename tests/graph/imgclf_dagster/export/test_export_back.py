"""A data set that went out and came back with ``--keep-splits`` is the same data set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assets.policies import IngestionPolicy
from imgclf_dagster.export.choice import choose_dataset
from imgclf_dagster.export.run import export_dataset
from imgclf_dagster.ingest.ingest import ingest
from labelling.exports.formats import FORMATS
from labelling.sources.read import read_source

pytestmark = pytest.mark.graph

DATA = ("raw_images", "annotations", "dataset")


@pytest.mark.parametrize("form", ["folder", "coco", "label-studio"])
def test_it_has_the_same_version(
    world: Any, tmp_path: Path, empty_world: Callable[..., Any], form: str
) -> None:
    world.add_classes(8)
    first = world.run(*DATA).version("dataset")
    place = tmp_path / "out.zip"
    export_dataset(choose_dataset(world.store, ""), FORMATS[form], place, store=world.store)
    other = empty_world(tmp_path / "other")
    ingest(
        read_source(place),
        store=other.store,
        policy=IngestionPolicy(),
        schema=other.line.labels,
        keep_splits=True,
    )
    assert other.run(*DATA).version("dataset") == first
