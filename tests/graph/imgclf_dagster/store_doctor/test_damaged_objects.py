"""Every kind of object of a home, damaged in every way: the doctor finds it, builds it again where
the store can, and says what a person can do where it cannot."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assets.dataset.splits.generations import deal_again, generation_number
from assets.evaluation.records import record_evaluation
from assets.queue.ledger import QueueBatch, QueuedImage, write_batch
from assets.release.verification import package_objections
from imgclf_dagster.cli.main import app
from imgclf_dagster.profiles.chosen import build_registry
from imgclf_dagster.settings.root import Settings
from imgclf_dagster.store_doctor.examine import examine_store
from imgclf_dagster.store_doctor.home_files import examine_home
from imgclf_dagster.store_doctor.repair import Bench, repair_all
from labelling.labels.corrections import Correction, correction_key
from labelling.labels.events import Rename, event_key, to_json
from object_store.contents.damage import DamagedObject
from object_store.contents.numbered import newest_key
from object_store.store import ObjectStore
from resources.registry import mlflow as mlflow_registry
from resources.registry.mlflow_database import TaggedVersion
from resources.registry.registry import RegistryError
from serving.deployments import DeploymentRecord
from serving.endpoint.address import read_address

pytestmark = pytest.mark.graph

DATA = ("raw_images", "annotations", "dataset")
VERSION = "train-0123456789ab"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, open_shop: Callable[..., Any]) -> Any:
    """A home with a data set, a model that passed, a batch of the queue and a correction; what its
    store held lies beside it."""
    home = tmp_path_factory.mktemp("damaged") / "home"
    shop = open_shop(home, split={"train": 0.6, "val": 0.2, "test": 0.2})
    shop.add_classes(4)
    renamed = Rename(at=shop.clock, by="me", old=("scarlet",), new="red")
    shop.store.put(event_key(renamed), to_json(renamed))
    done = shop.run(*DATA)
    shop.dataset = done.metadata("dataset")["dataset_version"]
    shop.package = shop.candidate(VERSION)
    store, at = shop.store, shop.clock
    image = next(iter(shop.manifest(shop.dataset)))
    chosen = QueuedImage(
        sha256=image, key="raw/a", reason="novelty", score=1, why="so", priority=0.5
    )
    write_batch(
        store, QueueBatch(batch="b" * 12, created_at=at, pace=1, wanted=1, open=0, images=(chosen,))
    )
    correction = Correction(
        sha256=image, raw_key="raw/a", labels=("red",), by="me", corrected_at=at
    )
    store.put(correction_key(correction), correction.to_json())
    assert examine_store(store) == []
    shutil.copytree(store.root, home.parent / "pristine")
    return shop


@pytest.fixture
def world(made: Any) -> Any:
    """The home as it was made."""
    shutil.rmtree(made.store.root)
    shutil.copytree(made.home.parent / "pristine", made.store.root)
    return made


def flipped(data: bytes) -> bytes:
    place = len(data) // (8 if data.startswith(b"PAR1") else 2)  # a page, not the footer
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "null": lambda data: b"null",
    "shape": lambda data: b'{"a": [1]}',
    "byte": flipped,
}
REBUILT = {
    "marker": r"\.imgclf-store\.json$",
    "image": r"raw/",
    "label": r"annotations/ingested/",
    "event": r"annotations/events/",
    "image table": r"tables/images/",
    "label table": r"tables/labels/",
    "groups": r"tables/groups/",
    "dealing": r"splits/dealt/",
    "places": r"tables/shards/",
    "shard": r"datasets/shards/",
    "manifest": r"datasets/[^/]+/manifest",
    "card": r"datasets/[^/]+/card",
    "batch": r"queue/.*\.json$",
}
"""What the store makes again, or does without, by the beginning of its key."""

DECIDED = {
    "verdict": r"checks/trained_model/.*/beats_champion/",
    "sources": r"datasets/d+/sources/",
    "evaluation": r"models/[^/]+/evaluations/",
    "correction": r"corrections/",
}
"""What nothing makes again."""


def damaged(store: ObjectStore, pattern: str, how: str) -> str:
    """Damage the first object whose key fits; its key."""
    key = next(info.key for info in store.list("") if re.match(pattern, info.key))
    path = store.local_path(key)
    assert path is not None
    data = DAMAGES[how](path.read_bytes())
    path.unlink()
    path.write_bytes(data)
    return key


def content(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: store.get(info.key) for info in store.list("datasets")}


@pytest.mark.parametrize("how", ["empty", "byte"])
@pytest.mark.parametrize("pattern", REBUILT.values(), ids=REBUILT)
def test_the_doctor_finds_and_builds_again(world: Any, pattern: str, how: str) -> None:
    store, bench = world.store, Bench(world.store, world.line)
    before = content(store)
    key = damaged(store, pattern, how)
    found = examine_store(store)
    if how == "byte" and not found:
        assert key.endswith(".json")  # a word of a text that is for people
        return
    assert [trouble.key for trouble in found] == [key]
    assert found[0].remedy
    assert key in repair_all(bench, found)
    assert examine_store(store) == []
    assert repair_all(bench, examine_store(store)) == {}
    done = world.run(*DATA)
    assert set(DATA) <= set(done.materialized), done.why
    assert done.metadata("dataset")["dataset_version"] == world.dataset
    after = content(store)
    cards = {name for name in before if name.endswith("card.json")}
    assert {name: after[name] for name in before if name not in cards} == {
        name: data for name, data in before.items() if name not in cards
    }


@pytest.mark.parametrize("how", ["empty", "shape", "byte"])
@pytest.mark.parametrize("pattern", DECIDED.values(), ids=DECIDED)
def test_what_nothing_makes_again_is_reported_and_left_alone(
    world: Any, pattern: str, how: str
) -> None:
    store, bench = world.store, Bench(world.store, world.line)
    key = damaged(store, pattern, how)
    left = store.get(key)
    found = examine_store(store)
    if how == "byte" and not found:
        return
    assert [trouble.key for trouble in found] == [key]
    assert len(found[0].remedy) > 20
    assert repair_all(bench, found) == {}
    assert store.get(key) == left
    if not pattern.startswith("corrections"):
        reported = package_objections(store, world.package, after_staging=True)
        assert any(key in objection for objection in reported)
        refused = world.run("registered_package", partition=VERSION)
        assert not refused.success
        assert key in refused.why


@pytest.mark.parametrize("how", ["half", "byte"])
@pytest.mark.parametrize(
    "pattern", [r"tables/images/", r"tables/labels/", r"tables/shards/"], ids=["i", "l", "s"]
)
def test_the_line_makes_its_tables_again_by_itself(world: Any, pattern: str, how: str) -> None:
    key = damaged(world.store, pattern, how)
    done = world.run(*DATA)
    assert set(DATA) <= set(done.materialized), done.why
    assert done.metadata("dataset")["dataset_version"] == world.dataset
    assert examine_store(world.store) == []
    assert world.store.exists(f"damaged/{key}")


@pytest.mark.parametrize("how", ["half", "byte"])
@pytest.mark.parametrize(
    "pattern", [r"datasets/[^/]+/manifest", r"datasets/[^/]+/card"], ids=["manifest", "card"]
)
def test_the_line_writes_its_newest_data_set_again(world: Any, pattern: str, how: str) -> None:
    damaged(world.store, pattern, how)
    done = world.run(*DATA)
    assert set(DATA) <= set(done.materialized), done.why
    assert done.metadata("dataset")["dataset_version"] == world.dataset
    assert examine_store(world.store) == []


def test_splits_are_never_dealt_again_by_the_line(world: Any) -> None:
    key = damaged(world.store, r"tables/groups/", "half")
    refused = world.run(*DATA)
    assert not refused.success
    assert key in refused.why
    assert "imgclf doctor --store --repair" in refused.why


def test_a_cut_shard_is_built_again_by_the_line(world: Any) -> None:
    key = damaged(world.store, r"datasets/shards/", "half")
    done = world.run(*DATA)
    assert set(DATA) <= set(done.materialized), done.why
    assert examine_store(world.store) == []
    assert world.store.exists(f"damaged/{key}")


def test_a_shard_whose_image_is_gone_is_reported_with_what_is_missing(world: Any) -> None:
    store = world.store
    damaged(store, r"datasets/shards/", "empty")
    damaged(store, r"raw/", "empty")
    found = examine_store(store)
    assert [trouble.key.partition("/")[0] for trouble in found] == ["datasets", "raw"]
    assert repair_all(Bench(store, world.line), found) == {}
    assert examine_store(store) == found


def test_a_check_of_what_is_damaged_fails_and_says_so(world: Any) -> None:
    key = damaged(world.store, r"datasets/[^/]+/manifest", "half")
    done = world.check("dataset", "class_floor_met")
    assert done.checks == {"class_floor_met": False}
    (result,) = done.result.get_asset_check_evaluations()
    assert key in (result.description or "")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_deployment_record_is_reported_by_key_and_remedy(world: Any, how: str) -> None:
    store = world.store
    key = "endpoints/prod/0000000000001-train-0.json"
    store.put(key, DAMAGES[how](b'{"stage": "prod"}'))
    with pytest.raises(DamagedObject, match="imgclf rollback") as reported:
        world.endpoints.current("prod")
    assert key in str(reported.value)
    assert [trouble.key for trouble in examine_store(store)] == [key]


def test_a_killed_repair_goes_on(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, bench = world.store, Bench(world.store, world.line)
    key = damaged(store, r"datasets/shards/", "half")
    create: Callable[..., bool] = ObjectStore.create

    def killed(self: ObjectStore, name: str, data: bytes) -> bool:
        if name == key:
            raise KeyboardInterrupt
        return create(self, name, data)

    monkeypatch.setattr(ObjectStore, "create", killed)
    with pytest.raises(KeyboardInterrupt):
        repair_all(bench, examine_store(store))
    monkeypatch.undo()
    found = examine_store(store)
    assert [(trouble.key, trouble.flaw) for trouble in found] == [(key, "it is missing")]
    repair_all(bench, found)
    assert examine_store(store) == []


def test_the_command_says_key_flaw_and_remedy_and_its_exit_code(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(world.home))
    monkeypatch.setenv("IMGCLF_SETTINGS", str(world.home / "imgclf.toml"))
    key = damaged(world.store, r"datasets/shards/", "half")
    cli = CliRunner()
    facts = cli.invoke(app, ["doctor", "--store", "--json"])
    assert facts.exit_code == 1
    rows = json.loads(io.StringIO(facts.stdout).read())["damaged"]
    assert [(row["key"], row["repaired"]) for row in rows] == [(key, "")]
    mended = cli.invoke(app, ["doctor", "--store", "--repair"])
    assert mended.exit_code == 0, mended.output
    assert "built again from raw/" in mended.output
    assert cli.invoke(app, ["doctor", "--store"]).exit_code == 0
    assert not Path(world.home / "store" / key).is_symlink()


def test_images_of_a_lost_shard_and_a_lost_original_stay_out(world: Any) -> None:
    store = world.store
    damaged(store, r"datasets/shards/", "empty")
    key = damaged(store, r"raw/", "empty")
    done = world.run(*DATA)
    assert set(DATA) <= set(done.materialized), done.why
    rows = world.manifest(done.metadata("dataset")["dataset_version"]).values()
    before = json.loads(
        (world.home.parent / "pristine" / f"datasets/{world.dataset}/card.json").read_bytes()
    )
    assert len(rows) == before["images"] - 1
    assert key not in {row["raw_key"] for row in rows}


def test_a_model_that_no_stage_serves_is_moved_aside_to_be_trained_again(world: Any) -> None:
    store, bench = world.store, Bench(world.store, world.line)
    store.put(
        f"models/{VERSION}/job.json",
        json.dumps({"name": VERSION, "seconds": 1, "metadata": {}, "messages": []}).encode(),
    )
    key = damaged(store, r"models/[^/]+/output/model", "half")
    refused = world.run("staging_endpoint", partition=VERSION)
    assert not refused.success
    assert key in refused.why
    assert key in repair_all(bench, examine_store(store))
    assert not store.exists(f"models/{VERSION}/job.json")
    assert store.exists(f"damaged/{key}")
    assert any("artefact cannot be used" in why for why in package_objections(store, world.package))


def judged_again(world: Any) -> None:
    world.judge(VERSION, "beats_champion", digest=world.package.digest)


def evaluated_again(world: Any) -> None:
    pristine = world.home.parent / "pristine"
    (path,) = (pristine / f"models/{VERSION}/evaluations").iterdir()
    record_evaluation(world.store, VERSION, json.loads(path.read_bytes()))


def made_again(world: Any) -> None:
    done = world.run(*DATA)
    assert set(DATA) <= set(done.materialized), done.why


def deployed_again(world: Any) -> None:
    world.store.put("endpoints/prod/0000000000002-train-1.json", RECORD)


RECORD = DeploymentRecord.at(
    2,
    stage="prod",
    model_version="train-1",
    digest="d" * 64,
    model_key="models/train-1/output/model.tar.gz",
    deployed_by="me",
    reason="",
).model_dump_json().encode()  # fmt: skip


def dealt_again(world: Any) -> None:
    done = CliRunner().invoke(app, ["splits", "deal-again", "--yes"])
    assert "written: dealing 1" in done.output, done.output


REMEDIED: dict[str, tuple[str, Callable[[Any], None]]] = {
    "verdict": (DECIDED["verdict"], judged_again),
    "sources": (r"datasets/(?!d+/)[^/]+/sources/", made_again),
    "evaluation": (DECIDED["evaluation"], evaluated_again),
    "materialization": (r"materializations/dataset/", made_again),
    "deployment": (r"endpoints/prod/", deployed_again),
    "dealing": (r"splits/dealt/", dealt_again),
}
"""What the printed remedy of a damaged record does, by the kind of record."""


@pytest.mark.parametrize(("pattern", "remedy"), REMEDIED.values(), ids=REMEDIED)
def test_who_follows_the_printed_remedy_to_its_end_contents_the_doctor(
    world: Any, pattern: str, remedy: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGCLF_HOME", str(world.home))
    monkeypatch.setenv("IMGCLF_SETTINGS", str(world.home / "imgclf.toml"))
    store = world.store
    if pattern.startswith("endpoints"):
        store.put("endpoints/prod/0000000000001-train-0.json", b"{}")
    key = damaged(store, pattern, "shape")
    (found,) = examine_store(store)
    assert found.key == key
    assert found.remedy.endswith("moves the damaged one aside")
    remedy(world)
    left = [trouble for trouble in examine_store(store) if trouble.key == key]
    assert ["--repair" in trouble.remedy for trouble in left] == [True]
    assert key in repair_all(Bench(store, world.line), left)
    assert key not in [trouble.key for trouble in examine_store(store)]
    assert store.exists(f"damaged/{key}")


def test_a_damaged_dealing_that_no_run_followed_yet_is_not_lost(world: Any) -> None:
    store = world.store
    deal_again(store, world.line.split, "asked")
    key = newest_key(store, "splits/dealt/")
    assert key
    store.delete(key)
    store.put(key, b"[]")
    assert key in repair_all(Bench(store, world.line), examine_store(store))
    assert generation_number(store) == 1


def test_a_dealing_of_which_nothing_tells_the_settings_is_left_to_a_person(world: Any) -> None:
    store = world.store
    card = f"datasets/{world.dataset}/card.json"
    unknown = json.loads(store.get(card)) | {"generation": None}
    store.delete(card)
    store.put(card, json.dumps(unknown).encode())
    key = damaged(store, r"splits/dealt/", "shape")
    (found,) = examine_store(store)
    assert repair_all(Bench(store, world.line), [found]) == {}
    assert "backup" in found.remedy
    assert store.get(key) == DAMAGES["shape"](b"")


@pytest.mark.parametrize(
    "tag",
    ["", "null", "[1]", '{"model_version": 1}', "{"],
    ids=["", "null", "list", "shape", "cut"],
)
def test_a_damaged_package_of_the_registry_is_named(tag: str) -> None:
    tags = {"imgclf.package": tag, "approval_status": "Approved"}
    version = TaggedVersion("imgclf", 3, 0, tags)
    with pytest.raises(RegistryError, match="version 3 of imgclf in MLflow is damaged"):
        mlflow_registry._package(version)


def test_a_damaged_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"\0" * 4096)
    settings = Settings(home=tmp_path)
    with pytest.raises(RegistryError, match="restore it from a backup"):
        build_registry(settings).list()
    (found,) = examine_home(settings)
    assert found.key.endswith("mlflow.db")
    assert "backup" in found.remedy


def test_notes_of_the_home_that_a_power_cut_damaged_stop_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.run_dir.mkdir(parents=True)
    note = settings.run_dir / "endpoint-host.json"
    note.write_bytes(b"")
    assert read_address(note) is None
    assert [trouble.key for trouble in examine_home(settings)] == [str(note)]
