"""Small and look-alike data can be trained on, given splits are kept, and all can be dealt again."""

import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from assets.annotations.label_index import labelled_view
from assets.dataset.splits import splitting
from assets.dataset.splits.generations import newest_generation
from assets.dataset.splits.given_splits import record_given_splits
from assets.dataset.splits.splitting import current_groups, deal_groups, groups_table, update_groups
from assets.ingestion.image_index import images_table, usable_images
from imgclf_dagster.cli import splits as splits_command
from imgclf_dagster.cli.main import app
from object_store.store import ObjectStore

pytestmark = pytest.mark.graph

DATA = ("raw_images", "annotations", "dataset")
COLOURS = {"red": (190, 40, 40), "green": (40, 170, 60), "blue": (40, 60, 180)}


def png(cells: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(cells.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def swatch(colour: tuple[int, int, int], number: int) -> bytes:
    """A flat picture; no two numbers have the same colour."""
    shade = np.array(colour) + np.array([number % 3, number // 3 % 3, number // 9]) * 7
    return png(np.ones((32, 32, 3)) * shade)


def frame(thing: int | None, number: int) -> bytes:
    """A fixed camera's, with noise; and something in one of many places, or nothing."""
    scene = np.random.default_rng(1).integers(60, 200, (8, 8, 3)).repeat(16, 0).repeat(16, 1)
    if thing is not None:
        x, y = 8 + number * 13 % 100, 20 + number * 29 % 90
        scene[y : y + 20, x : x + 12] = (220, 30 + thing * 60, 30)
    noise = np.random.default_rng(number).normal(0, 2, scene.shape)
    return png((scene + noise).clip(0, 255))


def feed(world: Any, images: dict[str, list[bytes]]) -> list[str]:
    """Images of each class; their sha256."""
    found = []
    for label, files in images.items():
        for number, data in enumerate(files):
            sha = hashlib.sha256(data).hexdigest()
            world.add(f"{label}/{number:03}-{sha[:8]}.png", data)
            world.label(sha, label)
            found.append(sha)
    return found


def splits(world: Any) -> dict[str, str]:
    rows = current_groups(world.store)
    return dict(zip(rows["sha256"].to_pylist(), rows["split"].to_pylist(), strict=True))


@pytest.fixture
def command(world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """``command("deal-again", …)`` in the home of ``world``, in this process."""
    before = dict(os.environ)
    monkeypatch.setenv("IMGCLF_HOME", str(world.home))
    monkeypatch.setenv("COLUMNS", "200")
    yield lambda *args: CliRunner().invoke(app, ["splits", *args])
    os.environ.clear()
    os.environ.update(before)


def words(result: Result) -> str:
    return " ".join(f"{result.stdout} {result.stderr}".split())


def test_four_swatches_of_each_colour_are_enough_and_each_colour_is_in_each_split(
    world: Any,
) -> None:
    feed(world, {name: [swatch(c, n) for n in range(4)] for name, c in COLOURS.items()})
    done = world.run(*DATA)
    assert done.checks["class_floor_met"] is True
    assert done.checks["no_split_leakage"] is True
    rows = world.manifest(done.metadata("dataset")["dataset_version"])
    counts = Counter((tuple(row["labels"]), row["split"]) for row in rows.values())
    assert set(counts.values()) == {1, 2}
    assert len(counts) == 9


def test_a_fixed_cameras_frames_are_distinguished_and_the_empty_ones_are_one_picture(
    world: Any, command: Callable[..., Result]
) -> None:
    kinds = {"empty": None, "person": 0, "dog": 2}
    feed(world, {name: [frame(thing, n) for n in range(12)] for name, thing in kinds.items()})
    done = world.run(*DATA)
    assert done.checks["class_floor_met"] is False
    subject = f"dataset/{done.metadata('dataset')['dataset_version']}"
    reason = world.verdict(subject, "class_floor_met").reason
    assert "The 12 images of empty are 1 near-duplicate group" in reason
    assert "near_duplicate_distance = 0" in reason
    assert "person" not in reason
    answer = world.verdict(subject, "near_duplicate_groups")
    assert "12 images (33% of all) count as one picture: empty 12" in answer.reason
    assert not answer.blocks
    assert done.checks["near_duplicate_groups"] is True

    # the setting that the message names deals again, as nothing was released
    other = world.with_settings(split={"near_duplicate_distance": 0})
    done = other.run(*DATA)
    assert done.checks["class_floor_met"] is True
    assert "dealt again 1 time," in words(command())


def test_labels_that_come_later_are_dealt_when_they_come(world: Any) -> None:
    images = {name: [swatch(c, n) for n in range(6)] for name, c in COLOURS.items()}
    first = feed(world, {"red": images["red"], "green": images["green"]})
    later = []
    for number, data in enumerate(images["blue"]):
        world.add(f"blue/{number:03}.png", data)
        later.append(hashlib.sha256(data).hexdigest())
    world.run(*DATA)
    before = splits(world)
    assert {before[sha] for sha in later} == {""}
    for sha in later:
        world.label(sha, "blue")
    world.run(*DATA)
    after = splits(world)
    assert {after[sha] for sha in later} == {"train", "val", "test"}
    assert {sha: after[sha] for sha in first} == {sha: before[sha] for sha in first}


def given(world: Any, shas: list[str], names: list[str], of_source: set[str]) -> None:
    answer = dict(zip(shas, names, strict=True))
    record_given_splits(world.store, answer, source="x", of_source=of_source)


def test_a_given_test_set_is_kept_and_validation_is_dealt_out_of_train(world: Any) -> None:
    shas = feed(world, {name: [swatch(c, n) for n in range(8)] for name, c in COLOURS.items()})
    names = ["test" if number % 4 == 0 else "train" for number in range(24)]
    given(world, shas, names, {"train", "test"})
    done = world.run(*DATA)
    assert done.checks["class_floor_met"] is True
    found = splits(world)
    assert [sha for sha in shas if found[sha] == "test"] == shas[::4]
    assert sum(found[sha] == "val" for sha in shas) in range(3, 7)


def test_a_class_that_was_left_without_validation_gets_out_by_the_remedy_that_is_named(
    world: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As homes of 65c7c60 are: of a given training set, chance dealt nothing to validation."""
    shas = feed(world, {name: [swatch(c, n) for n in range(8)] for name, c in COLOURS.items()})
    names = ["test" if number % 4 == 0 else "train" for number in range(24)]
    given(world, shas, names, {"train", "test"})
    with monkeypatch.context() as patch:
        patch.setattr(
            splitting, "deal", lambda groups, *_: {one.group_id: one.among[0] for one in groups}
        )
        blocked = world.run(*DATA)
    assert blocked.checks["class_floor_met"] is False
    subject = f"dataset/{blocked.metadata('dataset')['dataset_version']}"
    reason = world.verdict(subject, "class_floor_met").reason
    assert "red: 0 in val, needs 1" in reason
    assert "imgclf splits deal-again deals all images again" in reason
    assert "--without-given" not in reason
    assert command("deal-again", "--yes").exit_code == 0
    assert world.run(*DATA).checks["class_floor_met"] is True
    assert [sha for sha in shas if splits(world)[sha] == "test"] == shas[::4]


def test_where_the_given_splits_lack_a_class_the_remedy_is_to_forget_them(
    world: Any, command: Callable[..., Result]
) -> None:
    shas = feed(world, {name: [swatch(c, n) for n in range(8)] for name, c in COLOURS.items()})
    names = ["train"] * 5 + ["test"] * 3 + (["train"] * 5 + ["val", "test", "test"]) * 2
    given(world, shas, names, {"train", "val", "test"})
    blocked = world.run(*DATA)
    assert blocked.checks["class_floor_met"] is False
    subject = f"dataset/{blocked.metadata('dataset')['dataset_version']}"
    reason = world.verdict(subject, "class_floor_met").reason
    assert (
        "Of red there are enough images, but not with the splits that their source gave" in reason
    )
    assert command("deal-again", "--without-given", "--yes").exit_code == 0
    assert world.run(*DATA).checks["class_floor_met"] is True


def test_members_of_a_group_that_are_given_other_splits_stay_out_and_are_named(
    world: Any,
) -> None:
    feed(world, {name: [swatch(c, n) for n in range(5)] for name, c in COLOURS.items()})
    alike = feed(world, {"white": [png(np.full((32, 32, 3), level)) for level in (250, 251, 252)]})
    given(world, alike, ["train", "test", "val"], {"train", "val", "test"})
    done = world.run(*DATA)
    found = splits(world)
    assert [found[sha] for sha in alike] == ["excluded", "test", "excluded"]
    facts = str(done.metadata("dataset")["left_out"])
    assert "given to train, near-duplicate of images given to test" in facts
    assert "given to val, near-duplicate of images given to test" in facts


def test_what_is_given_too_late_is_named_and_honoured_by_dealing_again(
    world: Any, command: Callable[..., Result]
) -> None:
    shas = feed(world, {name: [swatch(c, n) for n in range(6)] for name, c in COLOURS.items()})
    world.run(*DATA)
    before = splits(world)
    moved = [sha for sha in shas if before[sha] == "train"][:2]
    given(world, moved, ["test", "test"], {"test"})
    done = world.run(*DATA)
    assert splits(world) == before
    assert "2 images stay in the split" in done.metadata("dataset")["given too late"]
    assert "2 of them had been dealt to another split" in words(command())

    refused = command("deal-again")
    assert refused.exit_code == 1
    assert "--yes" in words(refused)
    assert newest_generation(world.store).generation == 0
    output = command("deal-again", "--yes")
    assert output.exit_code == 0
    assert "cannot be compared" in words(output)
    rows = groups_table(world.store).read().num_rows
    done = world.run(*DATA)
    after = splits(world)
    assert [after[sha] for sha in moved] == ["test", "test"]
    assert set(after) == set(before)
    assert groups_table(world.store).read().num_rows > rows  # nothing was rewritten
    assert "given too late" not in done.metadata("dataset")
    output = words(command("deal-anew", "--without-given", "--yes"))  # its former name
    assert "without the splits that sources gave" in output
    assert "2 given splits are taken back" in output
    world.run(*DATA)
    assert splits(world) == before


def test_settings_that_change_after_a_release_deal_nothing_again(
    world: Any, command: Callable[..., Result]
) -> None:
    feed(world, {name: [swatch(c, n) for n in range(5)] for name, c in COLOURS.items()})
    world.run(*DATA)
    before = splits(world)
    world.store.create("endpoints/prod/0000000000001-train-a.json", b"{}")
    other = world.with_settings(split={"train": 0.5, "val": 0.25, "test": 0.25})
    other.run(*DATA)
    assert splits(world) == before
    assert newest_generation(world.store).generation == 0


def test_a_home_of_an_earlier_version_keeps_its_splits(world: Any) -> None:
    import pyarrow as pa

    from object_store.contents.tables import Table

    shas = feed(world, {name: [swatch(c, n) for n in range(5)] for name, c in COLOURS.items()})
    world.run("raw_images", "annotations")
    old = groups_table(world.store).schema
    rows = [
        {"sha256": sha, "phash": 0, "group_id": shas[0], "split": "train", "reason": ""}
        for sha in shas
    ]
    schema = pa.schema([field for field in old if field.name != "generation"])
    Table(world.store, "groups", schema).append(pa.Table.from_pylist(rows, schema=schema))
    done = world.run(*DATA)
    assert set(splits(world).values()) == {"train"}
    assert groups_table(world.store).read().num_rows == len(rows)
    assert done.checks["class_floor_met"] is False
    more = feed(world, {name: [swatch(c, n) for n in range(5, 9)] for name, c in COLOURS.items()})
    done = world.run(*DATA)
    after = splits(world)
    assert {after[sha] for sha in shas} == {"train"}
    assert Counter(after[sha] for sha in more)["test"] >= 3
    assert done.checks["class_floor_met"] is True


# --- killed, and in any order ----------------------------------------------------------------


class Killed(BaseException):
    """The process ends where it is."""


@contextmanager
def killed_at(write: int) -> Iterator[list[str]]:
    """Nothing is written any more from a write on (counted from 0); the keys written before."""
    whole, keys = ObjectStore.create, list[str]()

    def create(self: ObjectStore, key: str, data: Any) -> bool:
        if len(keys) == write:
            raise Killed(key)
        keys.append(key)
        return whole(self, key, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "create", create)
        yield keys


def grouped_and_dealt(world: Any) -> None:
    """What a run does with the splits."""
    images = usable_images(images_table(world.store).read())
    groups = update_groups(world.store, images, world.line.split)
    view = labelled_view(world.store, world.line.labels)
    deal_groups(world.store, groups, view, world.line.split)


def everything(world: Any) -> dict[str, tuple[str, str]]:
    """Image to group and split, of what counts."""
    rows = current_groups(world.store).to_pylist()
    return {row["sha256"]: (row["group_id"], row["split"]) for row in rows}


def twice_each() -> dict[str, list[bytes]]:
    """Five swatches of each colour, each in two sizes."""
    return {
        name: [
            png(np.ones((side, side, 3)) * (np.array(colour) + 6 * number))
            for number in range(5)
            for side in (32, 40)
        ]
        for name, colour in COLOURS.items()
    }


def killed_copies(
    world: Any, empty_world: Callable[..., Any], work: Callable[[Any], None]
) -> Iterator[Any]:
    """Copies of a home, in which a work was killed before its first write, its second, … and was
    then done again; the last one was not killed."""
    for write in range(100):
        home = world.home.parent / f"killed-{write}"
        shutil.copytree(world.home, home)
        copy = empty_world(home)
        with killed_at(write) as keys:
            try:
                work(copy)
            except Killed:
                assert len(keys) == write
            else:
                yield copy
                return
        work(copy)
        yield copy
    raise AssertionError("it never ends")


def test_a_run_that_is_killed_in_grouping_comes_to_the_same_groups_and_splits(
    world: Any, empty_world: Callable[..., Any]
) -> None:
    feed(world, twice_each())
    world.run("raw_images", "annotations")
    found = [everything(copy) for copy in killed_copies(world, empty_world, grouped_and_dealt)]
    assert len(found) >= 5  # the settings, fingerprints, groups, splits; and none
    assert all(one == found[-1] for one in found)
    assert {split for _, split in found[-1].values()} == {"train", "val", "test"}
    assert len({group for group, _ in found[-1].values()}) == 15


def test_dealing_again_that_is_killed_can_be_done_again(
    world: Any, empty_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shas = feed(world, {name: [swatch(c, n) for n in range(6)] for name, c in COLOURS.items()})
    given(
        world, shas, ["test" if number % 3 else "train" for number in range(18)], {"train", "test"}
    )
    world.run("raw_images", "annotations")
    grouped_and_dealt(world)
    before = everything(world)

    def again(copy: Any) -> None:
        monkeypatch.setattr(splits_command, "_store", lambda _: copy.store)
        done = CliRunner().invoke(app, ["splits", "deal-again", "--without-given", "--yes"])
        assert done.exit_code == 0, words(done)
        grouped_and_dealt(copy)

    found = [everything(copy) for copy in killed_copies(world, empty_world, again)]
    assert len(found) >= 4  # given splits, the record, groups, splits; and none
    assert all(one == found[-1] for one in found)
    assert found[-1].keys() == before.keys()
    assert sum(split == "test" for _, split in found[-1].values()) < 6


def test_where_only_a_test_split_is_given_validation_is_dealt_out_of_the_rest(world: Any) -> None:
    shas = feed(world, {name: [swatch(c, n) for n in range(8)] for name, c in COLOURS.items()})
    tested = shas[::4]
    record_given_splits(world.store, dict.fromkeys(tested, "test"), source="x", of_source={"test"})
    done = world.run(*DATA)
    assert done.checks["class_floor_met"] is True
    found = splits(world)
    assert set(tested) <= {sha for sha in shas if found[sha] == "test"}
    assert set(found.values()) == {"train", "val", "test"}


def test_sources_that_come_in_another_order_are_dealt_validly_and_no_test_image_ever_moves(
    world: Any, empty_world: Callable[..., Any]
) -> None:
    images = twice_each()
    sources = [{name: files[n::2] for name, files in images.items()} for n in range(2)]
    for number, order in enumerate((sources, sources[::-1])):
        line = empty_world(world.home.parent / f"order-{number}")
        tested: set[str] = set()
        for source in order:
            feed(line, source)
            line.run("raw_images", "annotations")
            grouped_and_dealt(line)
            found = everything(line)
            now = {sha for sha, (_, split) in found.items() if split == "test"}
            assert tested <= now
            tested = now
            assert {split for _, split in found.values()} == {"train", "val", "test"}
        of_group = dict(found.values())
        assert all(split == of_group[group] for group, split in found.values())
        assert len(of_group) == 15


def test_a_second_run_groups_compares_and_deals_nothing(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(world, twice_each())
    world.run("raw_images", "annotations")
    grouped_and_dealt(world)
    before = everything(world)
    for name in ("assign_groups", "fingerprints_of", "deal"):
        monkeypatch.setattr(splitting, name, lambda *_, **__: pytest.fail("done already"))
    with killed_at(0):  # nothing is written
        grouped_and_dealt(world)
    assert everything(world) == before
