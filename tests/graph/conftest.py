"""The asset graph in a home of its own, and pictures to feed it with."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from assets import retries
from assets.challenger import plan
from assets.dataset.versions import read_card, read_dataset_manifest, record_sources
from assets.evaluation.records import record_evaluation
from assets.line import MODEL_VERSIONS, Line
from assets.release.verdicts import (
    DATASET_CHECKS,
    MODEL_CHECKS,
    SOURCE_CHECKS,
    STAGING_CHECKS,
    Verdict,
    newest_verdict,
    record_verdict,
)
from imgclf_dagster.cli.main import app
from imgclf_dagster.definitions import build_definitions
from imgclf_dagster.home.home import TELEMETRY_OFF, prepare_home
from imgclf_dagster.profiles.store import open_store
from imgclf_dagster.settings.root import Settings
from labelling.labels.snapshots import AnnotationSnapshot, ingested_key
from object_store.store import ObjectStore
from resources.compute.compute import Compute
from resources.compute.local.compute import LocalCompute
from resources.endpoints.endpoint_host import Endpoints
from resources.registry.mlflow import MlflowRegistry
from resources.registry.registry import ModelPackage, ModelRegistry
from serving.deployments import DeploymentRecord, record_key
from tests.dagster_costs import copied
from tests.graph.done_jobs import done_jobs
from tests.graph.pictures import COLOURS, pattern, photo, png, sha
from tests.graph.played_jobs import PlayedJobs
from tests.testbed.account import aws_section
from tests.testbed.bed import TestBed

__all__ = ["done_jobs"]

MORNING = datetime(2026, 1, 5, 8, tzinfo=UTC)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
DATASET = "d" * 16
"""A data set version that stands in the store by its sources only, for tests of the release."""


@dataclass
class Outcome:
    """What became of one run."""

    result: dg.ExecuteInProcessResult

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def materialized(self) -> list[str]:
        events = self.result.get_asset_materialization_events()
        return [event.asset_key.to_user_string() for event in events if event.asset_key]

    @property
    def checks(self) -> dict[str, bool]:
        return {item.check_name: item.passed for item in self.result.get_asset_check_evaluations()}

    @property
    def why(self) -> str:
        """The reasons of all failed steps."""
        failed = [e for e in self.result.all_events if e.is_step_failure]
        return "\n".join(_reason(event) for event in failed)

    def metadata(self, asset: str) -> dict[str, Any]:
        event = next(
            event
            for event in self.result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(asset)
        )
        return {name: item.value for name, item in event.materialization.metadata.items()}

    def version(self, asset: str) -> str:
        """The data version that ``asset`` got."""
        event = next(
            event
            for event in self.result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(asset)
        )
        return event.materialization.tags["dagster/data_version"]


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message if error else ""


@dataclass
class World:
    """A home, its real definitions, and an instance in memory."""

    home: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)
    clock: datetime = MORNING

    @cached_property
    def settings(self) -> Settings:
        return Settings(home=self.home, **self.overrides)

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.settings)

    def resource(self, name: str) -> Any:
        return (self.definitions.resources or {})[name]

    @cached_property
    def store(self) -> ObjectStore:
        return open_store(self.settings)

    @property
    def registry(self) -> ModelRegistry:
        return self.resource("registry")

    @property
    def endpoints(self) -> Endpoints:
        return self.resource("endpoints")

    @property
    def compute(self) -> Compute:
        return self.resource("compute")

    @property
    def line(self) -> Line:
        return self.resource("line")

    def with_settings(self, **overrides: Any) -> "World":
        """The same home and instance under other settings."""
        return World(self.home, {**self.overrides, **overrides}, self.instance, self.clock)

    def copy(self, home: Path, **overrides: Any) -> "World":
        """A copy at ``home``, which goes its own way, with further settings."""
        shutil.copytree(self.home, home)
        known = copied(self.instance)
        return World(home, {**self.overrides, **overrides}, known, self.clock)

    # --- running ---------------------------------------------------------------------------

    def run(
        self,
        *assets: str,
        partition: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Materialize ``assets`` with their checks, in one run."""
        job = self.definitions.get_repository_def().get_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            partition_key=partition,
            run_config={**(config or {}), **QUIET},
            raise_on_error=False,
        )
        return Outcome(result)

    def check(self, asset: str, name: str, *, partition: str | None = None) -> Outcome:
        """Evaluate one check alone."""
        job = self.definitions.get_repository_def().get_implicit_global_asset_job_def()
        key = dg.AssetCheckKey(dg.AssetKey(asset), name)
        subset = job.get_subset(asset_selection=set(), asset_check_selection={key})
        result = subset.execute_in_process(
            instance=self.instance, partition_key=partition, run_config=QUIET, raise_on_error=False
        )
        return Outcome(result)

    def verdict(self, subject: str, check: str) -> Verdict:
        found = newest_verdict(self.store, subject, check)
        assert found is not None, f"{check} left no verdict about {subject}"
        return found

    # --- feeding ---------------------------------------------------------------------------

    def add(
        self, key: str, data: bytes, *labels: str, at: datetime | None = None, **fields: Any
    ) -> str:
        """Put an image under ``raw/`` and, if there are ``labels``, what an ingest says of it."""
        self.store.put(f"raw/{key}", data)
        if labels:
            self.label(sha(data), *labels, at=at, **fields)
        return sha(data)

    def label(self, image: str, *labels: str, at: datetime | None = None, **fields: Any) -> str:
        """An annotation snapshot; its key."""
        snapshot = AnnotationSnapshot(
            **{
                "sha256": image,
                "labels": labels,
                "annotator": "ann",
                "source": "ingest",
                "annotated_at": at or self.clock,
                "annotation_id": "",
                **fields,
            }
        )
        self.store.put(ingested_key(snapshot), snapshot.to_json())
        return ingested_key(snapshot)

    def later(self, minutes: int = 1) -> datetime:
        """Move the clock of annotations on."""
        self.clock += timedelta(minutes=minutes)
        return self.clock

    def add_classes(
        self, each: int, *, start: int = 0, labels: tuple[str, ...] = tuple(COLOURS)
    ) -> None:
        """``each`` labelled pictures of each class, all perceptually different."""
        for offset, label in enumerate(labels):
            for number in range(each):
                seed = start + number * len(COLOURS) + offset
                self.add(f"{label}/{seed:04d}.png", photo(seed, label), label)

    # --- looking ---------------------------------------------------------------------------

    def manifest(self, version: str) -> dict[str, dict[str, Any]]:
        """The data set's rows by image."""
        rows = read_dataset_manifest(self.store, version).to_pylist()
        return {row["sha256"]: row for row in rows}

    def card(self, version: str) -> dict[str, Any]:
        return read_card(self.store, version)

    def tamper(self, key: str, data: bytes) -> None:
        """Rewrite an object, which nothing of ours ever does."""
        self.store.delete(key)
        self.store.put(key, data)


@pytest.fixture(scope="session", autouse=True)
def _no_telemetry() -> None:
    os.environ.update(TELEMETRY_OFF)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed for a while is tried again at once."""
    monkeypatch.setattr(retries, "TRANSIENT", retries.TRANSIENT._replace(delay=0))


def make_world(home: Path, **overrides: Any) -> World:
    world = World(home, overrides)
    world.store.ensure()
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty store under the default settings."""
    return make_world(tmp_path / "home")


@pytest.fixture
def raw_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys under ``raw/`` whose bytes were read, in order."""
    keys: list[str] = []
    whole = ObjectStore.get

    def get(self: ObjectStore, key: str) -> bytes:
        if key.startswith("raw/"):
            keys.append(key)
        return whole(self, key)

    monkeypatch.setattr(ObjectStore, "get", get)
    return keys


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's, made once: its migrations take seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowRegistry(tracking_uri=f"sqlite:///{path}", project="imgclf").prepare()
    return path


@dataclass
class Shop(World):
    """A world with packages in its registry."""

    publish: Callable[..., tuple[str, str]] | None = None

    def candidate(self, version: str, *, register: bool = True, **artefact: Any) -> ModelPackage:
        """A model with a real artefact that passed all its checks, as far as staging's."""
        assert self.publish is not None
        with tempfile.TemporaryDirectory() as scratch:
            local = self.settings.profile == "local"
            folder = self.settings.store_dir if local else Path(scratch)
            digest, key = self.publish(folder, version, **artefact)
            if not local:
                self.store.put(key, folder / key)
        package = ModelPackage(
            model_version=version,
            digest=digest,
            model_key=key,
            dataset_version=DATASET,
            code_version="1",
            labels=("red", "green", "blue"),
        )
        named = {"model_version", "digest", "model_key", "dataset_version", "code_version"}
        described = package.model_dump(include={*named, "task", "labels", "metrics"})
        record_evaluation(
            self.store, version, {**described, "job": f"eval-{version[6:]}", "evaluation_run": ""}
        )
        for check in (*MODEL_CHECKS, *STAGING_CHECKS):
            self.judge(version, check, digest=digest)
        self.instance.add_dynamic_partitions(str(MODEL_VERSIONS.name), [version])
        return self.registry.register(package) if register else package

    def judge(
        self, version: str, check: str, *, digest: str, passed: bool = True, reason: str = "fine"
    ) -> None:
        record_verdict(
            self.store,
            subject=f"trained_model/{version}",
            check=check,
            passed=passed,
            reason=reason,
            digest=digest,
        )

    def approve(self, package: ModelPackage, *, by: str = "ann") -> ModelPackage:
        """A person's decision, in the registry alone."""
        return self.registry.set_approval(
            package.model_version, "Approved", by=by, reason="good", digest=package.digest
        )

    def reject(self, package: ModelPackage, *, by: str = "bob") -> ModelPackage:
        return self.registry.set_approval(
            package.model_version, "Rejected", by=by, reason="bad", digest=package.digest
        )


def make_shop(
    home: Path, empty_registry: Path, publish: Callable[..., tuple[str, str]], **overrides: Any
) -> Shop:
    shop = Shop(home, overrides, publish=publish)
    shop.store.ensure()
    if shop.settings.profile == "local":
        (home / "mlflow").mkdir()
        shutil.copy(empty_registry, home / "mlflow" / "mlflow.db")
    record_sources(shop.store, DATASET, {"raw_images": "r1", "annotations": "a1"})
    subjects = {f"{asset}/{asset[0]}1": checks for asset, checks in SOURCE_CHECKS.items()}
    for subject, checks in {**subjects, f"dataset/{DATASET}": DATASET_CHECKS}.items():
        for check in checks:
            record_verdict(shop.store, subject=subject, check=check, passed=True, reason="fine")
    return shop


@pytest.fixture
def shop(
    tmp_path: Path, empty_registry: Path, publish_model: Callable[..., tuple[str, str]]
) -> Shop:
    """Packages can be made here; no endpoint host runs."""
    return make_shop(tmp_path / "home", empty_registry, publish_model)


@pytest.fixture
def jobs(
    shop: Any, publish_model: Callable[..., tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> PlayedJobs:
    """The jobs of ``shop`` are played; a few images are enough for a challenger."""
    played = PlayedJobs(shop, publish_model)
    monkeypatch.setattr(LocalCompute, "run", lambda _, context, spec: played.run(context, spec))
    monkeypatch.setattr(plan, "ENOUGH_TRAINING_IMAGES", 10)
    monkeypatch.setattr(plan, "ENOUGH_TEST_IMAGES", 1)
    return played


@pytest.fixture
def command(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """``command("approve", …)`` in the home of ``shop``, in this process."""
    before = dict(os.environ)
    monkeypatch.setenv("IMGCLF_HOME", str(shop.home))
    monkeypatch.setenv("COLUMNS", "200")
    prepare_home(shop.settings)
    with dg.DagsterInstance.get() as instance:
        shop.instance = instance  # the home's own, which the commands take
        yield lambda *args: CliRunner().invoke(app, args)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(name="photo", scope="session")
def photo_fixture() -> Callable[..., bytes]:
    """``photo(seed, colour)``: a small PNG, perceptually unlike that of any other seed."""
    return photo


@pytest.fixture(name="png", scope="session")
def png_fixture() -> Callable[..., bytes]:
    """``png(shape, colour, note)``."""
    return png


@pytest.fixture(name="pattern", scope="session")
def pattern_fixture() -> Callable[[int], np.ndarray]:
    """``pattern(seed)``."""
    return pattern


@pytest.fixture
def empty_world() -> Callable[..., World]:
    """``empty_world(home, **settings)``: another world."""
    return make_world


def in_production(shop: Shop, package: ModelPackage) -> DeploymentRecord:
    """A deployment as the endpoint host's port records it."""
    former = shop.endpoints.current("prod")
    moment = max(datetime.now(UTC), package.approval_changed_at or MORNING) + timedelta(
        milliseconds=1
    )
    if former is not None:
        moment = max(moment, former.created_at + timedelta(milliseconds=1))
    record = DeploymentRecord.at(
        round(moment.timestamp() * 1000),
        stage="prod",
        model_version=package.model_version,
        digest=package.digest,
        model_key=package.model_key,
        deployed_by=package.approver,
        reason=package.approval_reason,
    )
    shop.store.put(record_key(record), record.model_dump_json().encode())
    return record


@pytest.fixture
def deployed() -> Callable[[Shop, ModelPackage], DeploymentRecord]:
    """``deployed(shop, package)``: production serves it, as far as the records go."""
    return in_production


@pytest.fixture(scope="module")
def aws_settings(bed: TestBed) -> Iterator[dict[str, Any]]:
    """Settings of profile aws, on the test bed; for the module, AWS's variables lead there."""
    bed.with_cloudformation()
    with pytest.MonkeyPatch.context() as patched:
        for name, value in bed.environ.items():
            patched.setenv(name, value)
        bed.settings(time_scale=1000)  # each update of prod would wait for 9 s
        yield {"profile": "aws", "aws": aws_section(bed)}
        bed.settings(time_scale=100)


@pytest.fixture(scope="session")
def open_world() -> Callable[..., World]:
    """``open_world(home, **settings)``: a world that outlives a test."""
    return make_world


@pytest.fixture(scope="session")
def open_shop(
    empty_registry: Path, publish_model: Callable[..., tuple[str, str]]
) -> Callable[..., Shop]:
    """``open_shop(home, **settings)``: a shop that outlives a test."""
    return lambda home, **overrides: make_shop(home, empty_registry, publish_model, **overrides)
