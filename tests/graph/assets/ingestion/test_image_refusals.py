"""Objects that are there and cannot be read: told by name, and read when they can be."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import obstore
import pytest
from obstore.exceptions import GenericError

from assets.ingestion.image_index import images_table, newest_rows
from assets.ingestion.refusals import readable_again
from assets.ingestion.sweep import Sweep, sweep_step
from imgclf_dagster.sensors.arrival import raw_images_arrival_sensor
from object_store import store as store_module
from resources.arrivals.arrivals import pending_notices, read_notices
from tests.testbed.bed import TestBed

pytestmark = pytest.mark.graph

EACCES = "Generic LocalFileSystem error: Unable to open file {}: Permission denied (os error 13)"


class Refusals:
    """A place of ``raw/`` with objects that refuse, as ``refuse`` says; each adapter's own way."""

    remedy: str

    def __init__(self, world: Any) -> None:
        self.world = world

    def refuse(self, *names: str) -> None:
        raise NotImplementedError

    def rows(self) -> dict[str, dict[str, Any]]:
        table = newest_rows(images_table(self.world.store).read())
        return {row["key"].removeprefix("raw/"): row for row in table.to_pylist()}

    def status(self) -> dict[str, str]:
        return {name: row["status"] for name, row in self.rows().items()}


class FolderRefusals(Refusals):
    """Files of another user: as obstore tells of them (the tests may run as root, who reads all)."""

    remedy = "give this user read access"

    def __init__(self, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(world)
        self._names: set[str] = set()
        monkeypatch.setattr(store_module, "obstore", SimpleNamespace(**vars(obstore)))
        for name in ("get", "get_range"):
            monkeypatch.setattr(store_module.obstore, name, self._guarded(getattr(obstore, name)))

    def refuse(self, *names: str) -> None:
        self._names = {f"raw/{name}" for name in names}

    def _guarded(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(store: Any, key: str, **options: Any) -> Any:
            if key in self._names:
                raise GenericError(EACCES.format(key))
            return read(store, key, **options)

        return guarded


class BucketRefusals(Refusals):
    """Objects of Glacier."""

    remedy = "restore-object"

    def __init__(self, world: Any, bed: TestBed) -> None:
        super().__init__(world)
        self._bed = bed

    def refuse(self, *names: str) -> None:
        self._bed.clear_faults()
        for name in names:
            self._bed.fault(
                "GetObject",
                "refused",
                times=-1,
                status=403,
                code="InvalidObjectState",
                message="The operation is not valid for the object's storage class",
                match={"Key": f"line/raw/{name}"},
            )


@pytest.fixture(params=["local", "aws"])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    empty_world: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Refusals:
    if request.param == "local":
        return FolderRefusals(empty_world(tmp_path / "home"), monkeypatch)
    bed = request.getfixturevalue("bed")
    settings = request.getfixturevalue("aws_settings")
    aws = {**settings["aws"], "bucket": bed.bucket()}
    return BucketRefusals(empty_world(tmp_path / "home", **{**settings, "aws": aws}), bed)


def test_one_that_refuses_holds_up_nothing_and_is_read_when_it_can_be(
    place: Refusals, photo: Callable[..., bytes]
) -> None:
    world = place.world
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        world.add(name, photo(number))
    place.refuse("b.png")
    done = world.run("raw_images")
    assert done.materialized == ["raw_images"], done.why
    assert place.status() == {"a.png": "ok", "b.png": "rejected", "c.png": "ok"}
    assert place.remedy in place.rows()["b.png"]["reason"]
    assert "b.png" in done.metadata("raw_images")["rejections"]

    parts = images_table(world.store).read().num_rows
    again = world.run("raw_images")  # it refuses still, alone, and that is nothing new
    assert again.materialized == ["raw_images"], again.why
    assert again.version("raw_images") == done.version("raw_images")
    assert images_table(world.store).read().num_rows == parts

    place.refuse()
    after = world.run("raw_images")
    assert place.status() == dict.fromkeys(("a.png", "b.png", "c.png"), "ok")
    assert after.version("raw_images") != done.version("raw_images")


def test_a_lone_arrival_that_refuses_is_rejected_since_others_can_be_read(
    place: Refusals, photo: Callable[..., bytes]
) -> None:
    place.world.add("a.png", photo(1))
    place.world.run("raw_images")
    place.world.add("b.png", photo(2))
    place.refuse("b.png")
    done = place.world.run("raw_images")
    assert done.materialized == ["raw_images"], done.why
    assert place.status() == {"a.png": "ok", "b.png": "rejected"}


def test_where_nothing_can_be_read_it_is_the_reader(
    place: Refusals, photo: Callable[..., bytes]
) -> None:
    place.world.add("a.png", photo(1))
    place.world.add("b.png", photo(2))
    place.refuse("a.png", "b.png")
    failed = place.world.run("raw_images")
    assert failed.materialized == []
    assert "so the reading role lacks a permission" in failed.why
    place.refuse()
    assert place.world.run("raw_images").success
    assert place.status() == {"a.png": "ok", "b.png": "ok"}
    place.world.add("c.png", photo(3))
    place.refuse("a.png", "b.png", "c.png")  # nor what could be before
    assert "the reading role lacks" in place.world.run("raw_images").why
    assert set(place.status()) == {"a.png", "b.png"}


def test_what_can_be_read_again_is_noticed(place: Refusals, photo: Callable[..., bytes]) -> None:
    world = place.world
    world.add("a.png", photo(1))
    world.add("b.png", photo(2))
    place.refuse("b.png")
    world.run("raw_images")
    assert readable_again(world.store, ["raw/b.png"]) == []
    look = bucket_look if isinstance(place, BucketRefusals) else folder_look
    assert not look(world)
    place.refuse()
    assert look(world)
    assert world.run("raw_images").success
    assert place.status() == {"a.png": "ok", "b.png": "ok"}
    assert not look(world)


def folder_look(world: Any) -> bool:
    """Whether the sensor asks for a run."""
    context = dg.build_sensor_context(
        instance=world.instance,
        definitions=world.definitions,
        sensor_name="raw_images_arrival_sensor",
    )
    given = {name: world.resource(name) for name in ("store", "line", "arrivals")}
    return not isinstance(raw_images_arrival_sensor(context, **given), dg.SkipReason)


def bucket_look(world: Any) -> bool:
    """Whether a step of the listing finds what a run is to look at."""
    sweep_step(world.store, Sweep(), 0.0)
    return bool(read_notices(world.store, pending_notices(world.store)))


def test_one_that_may_not_even_be_looked_at_is_rejected_too(
    tmp_path: Path,
    empty_world: Callable[..., Any],
    aws_settings: dict[str, Any],
    bed: TestBed,
    photo: Callable[..., bytes],
) -> None:
    """A bucket policy denies GetObject, by which S3 judges a HEAD as well."""
    from resources.arrivals.arrivals import write_notice

    aws = {**aws_settings["aws"], "bucket": bed.bucket()}
    world = empty_world(tmp_path / "home", **{**aws_settings, "aws": aws})
    world.add("a.png", photo(1))
    world.add("b.png", photo(2))
    for operation in ("GetObject", "HeadObject"):
        bed.fault(
            operation,
            "refused",
            times=-1,
            status=403,
            code="AccessDenied",
            message="Access Denied",
            match={"Key": "line/raw/b.png"},
        )
    write_notice(world.store, ["raw/a.png", "raw/b.png"], source="test")
    noticed = {"ops": {"raw_images": {"config": {"noticed_only": True}}}}
    done = world.run("raw_images", config=noticed)
    assert done.materialized == ["raw_images"], done.why
    assert BucketRefusals(world, bed).status() == {"a.png": "ok", "b.png": "rejected"}
    bed.clear_faults()
    assert world.run("raw_images").success
    assert BucketRefusals(world, bed).status() == {"a.png": "ok", "b.png": "ok"}
