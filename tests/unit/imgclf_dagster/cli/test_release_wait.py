"""Waiting for ``imgclf up`` to roll out a decision."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import typer

from imgclf_dagster.cli import release
from imgclf_dagster.line import progress
from imgclf_dagster.profiles import chosen
from serving.deployments import EndpointStatus

pytestmark = pytest.mark.unit

WANTED = release._Wanted("train-2", "2" * 64)
SETTINGS: Any = SimpleNamespace(
    profile="local",
    ports=SimpleNamespace(dagster=3000),
)


class Endpoints:
    """Production serves the wanted model from the look ``at`` on."""

    deploy_timeout_s = 0.0

    def __init__(self, at: int) -> None:
        self.looks, self._at = 0, at

    def describe(self, stage: str) -> Any:
        assert stage == "prod"
        self.looks += 1
        digest = WANTED.digest if self.looks >= self._at else "1" * 64
        return EndpointStatus(
            name="imgclf-prod",
            stage="prod",
            status="InService",
            model_version="train-1",
            digest=digest,
            record_key=None,
        )

    def links(self, stage: str) -> dict[str, str]:
        return {}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an entry when Dagster's database is opened."""
    found: list[str] = []

    class Instance:
        def __enter__(self) -> None:
            found.append("opened")

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(dg.DagsterInstance, "get", Instance)
    monkeypatch.setattr(release, "POLL_S", 0.01)
    monkeypatch.setattr(release, "FAILURES_POLL_S", 0.01)
    monkeypatch.setattr(progress, "failure_since", lambda *_: None)
    monkeypatch.setattr(release, "_say_served", lambda endpoints, wanted: found.append("served"))
    return found


def waited(monkeypatch: pytest.MonkeyPatch, endpoints: Endpoints) -> None:
    monkeypatch.setattr(chosen, "build_endpoints", lambda _: endpoints)
    release._say_served(release._wait_for(SETTINGS, WANTED), WANTED)


def test_a_quick_roll_out_does_not_open_the_database_of_dagster(
    monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    """Opening it costs half of the CPU time of `imgclf approve` beside `imgclf up`."""
    waited(monkeypatch, Endpoints(at=3))
    assert opened == ["served"]


def test_a_slow_roll_out_is_waited_for_beside_failed_runs(
    monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    monkeypatch.setattr(release, "FAILURES_AFTER_S", 0.0)
    waited(monkeypatch, Endpoints(at=5))
    assert opened == ["opened", "served"]


def test_a_failed_run_ends_the_wait_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "FAILURES_AFTER_S", 0.0)
    monkeypatch.setattr(progress, "failure_since", lambda *_: "prod_endpoint: no space")
    with pytest.raises(typer.Exit):
        waited(monkeypatch, Endpoints(at=1_000_000))
    assert opened == ["opened"]
    assert "prod_endpoint: no space" in capsys.readouterr().err


def test_a_wait_that_is_over_names_the_model_that_is_served(
    monkeypatch: pytest.MonkeyPatch, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "START_S", 0.05)
    with pytest.raises(typer.Exit):
        waited(monkeypatch, Endpoints(at=1_000_000))
    assert "and not train-2" in " ".join(capsys.readouterr().err.split())
