"""The commands that claim something compare it, at their end, with what was asked for."""

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from imgclf_dagster.cli import release
from imgclf_dagster.line.outcome import RunOutcome
from imgclf_dagster.line.runner import LineRunner
from object_store.store import ObjectStore
from serving.deployments import Deployment, DeploymentRecord, record_key

pytestmark = pytest.mark.graph

ONE, TWO = "train-1", "train-2"
BY_ANN = ("--reason", "good", "--by", "ann")


@pytest.fixture
def hosted(shop: Any, command: Callable[..., Result]) -> Iterator[Any]:
    """The home with two packages, and an endpoint host, which the commands find."""
    for sharpness, version in ((3.0, ONE), (5.0, TWO)):
        shop.candidate(version, sharpness=sharpness)
    with shop.endpoints.hosting(log_file=shop.home / "host.log"):
        yield shop


def serves(shop: Any) -> str | None:
    status = shop.endpoints.describe("prod")
    return status.model_version if status.status == "InService" else None


def words(result: Result) -> str:
    return " ".join(f"{result.stdout} {result.stderr}".split())


def claims(result: Result, expected: str) -> None:
    assert result.exit_code == 0, words(result)
    assert expected in words(result)


def denies(result: Result, *told: str) -> None:
    assert result.exit_code == 1, words(result)
    for text in told:
        assert text in words(result)


def deployed(shop: Any, version: str, moment: datetime, **changed: str) -> DeploymentRecord:
    """A record of production, as 884d3c5 writes it by a clock that says ``moment``."""
    package = shop.registry.get(version)
    given = {"model_version": version, "digest": package.digest, "model_key": package.model_key}
    record = DeploymentRecord.at(
        round(moment.timestamp() * 1000),
        **{"stage": "prod", "deployed_by": "ann", "reason": "good", **given, **changed},
    )
    data = record.model_dump_json(exclude={"decision"}).encode()
    shop.store.put(record_key(record), data)
    return record


def test_what_a_decision_says_is_what_production_serves(
    hosted: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    claims(command("approve", ONE, *BY_ANN), f"✓ production serves {ONE} (digest")
    claims(command("approve", TWO, *BY_ANN), f"✓ production serves {TWO} (digest")
    claims(command("approve", ONE, *BY_ANN), f"✓ production serves {ONE}")  # the same words again
    assert serves(hosted) == ONE
    # The clock was ahead when this was deployed, and is right again.
    deployed(hosted, ONE, datetime.now(UTC) + timedelta(days=1))
    claims(command("approve", TWO, *BY_ANN), f"✓ production serves {TWO}")
    assert serves(hosted) == TWO
    claims(command("reject", TWO, "--reason", "bad", "--by", "bob"), f"✓ production serves {ONE}")
    assert serves(hosted) == ONE
    with monkeypatch.context() as idle:  # whatever comes in between: nothing was carried out
        idle.setattr(LineRunner, "settle_decisions", lambda _: [])
        denies(
            command("approve", TWO, *BY_ANN),
            f"{TWO} is approved by ann",
            f"error: production serves {ONE} (digest",
            f"and not {TWO} (digest",
        )
    claims(command("approve", ONE, *BY_ANN), f"✓ production serves {ONE}")  # overtakes the other
    assert [known.decision for known in hosted.registry.decisions(ONE)] == [1, 3, 7]


def test_a_decision_that_undoes_another_needs_the_version_and_tells_whose(
    hosted: Any, command: Callable[..., Result]
) -> None:
    deployed(hosted, TWO, datetime.now(UTC), stage="staging")
    hosted.reject(hosted.registry.get(TWO), by="bert")
    denies(
        command("approve", *BY_ANN),
        f"{TWO} is on staging, but it was rejected by bert on",
        "UTC: bad",
        f"→ to decide otherwise, name it: imgclf approve {TWO}",
    )
    assert hosted.registry.get(TWO).approval_status == "Rejected"
    done = command("approve", TWO, *BY_ANN)
    claims(done, f"✓ production serves {TWO}")
    assert f"{TWO}: it was rejected by bert on" in words(done)
    denies(command("reject", "--reason", "no", "--by", "bert"), f"imgclf reject {TWO}")


def test_of_two_who_decide_at_once_one_is_told_that_the_other_decision_stands(
    hosted: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = hosted.registry.get(TWO)
    with monkeypatch.context() as racing:  # after ann has looked, and before she decides
        racing.setattr(release, "_warn", lambda store, package: hosted.reject(package, by="bert"))
        denies(command("approve", TWO, *BY_ANN), f"{TWO} was rejected by bert at the same time")
    assert [known.approver for known in hosted.registry.decisions(TWO)] == ["bert"]
    settle = LineRunner.settle_decisions

    def settle_late(self: LineRunner) -> Any:  # while ann's decision is carried out
        done = settle(self)
        hosted.reject(package, by="bert")
        return done

    monkeypatch.setattr(LineRunner, "settle_decisions", settle_late)
    denies(
        command("approve", TWO, *BY_ANN),
        f"{TWO} was rejected by bert on",
        "decided after ann approved it, and stands",
    )


def test_a_rollback_by_a_clock_that_was_set_back_returns_to_the_version_before(
    hosted: Any, command: Callable[..., Result]
) -> None:
    for version in (ONE, TWO):
        claims(command("approve", version, *BY_ANN), f"✓ production serves {version}")
    newest = deployed(hosted, TWO, datetime.now(UTC) + timedelta(days=1))
    claims(command("rollback", "--reason", "bad", "--by", "bob"), f"✓ production serves {ONE}")
    assert serves(hosted) == ONE
    record = hosted.endpoints.current("prod")
    assert record.created_at > newest.created_at
    denies(
        command("rollback", "--reason", "bad"),
        f"{ONE} is the only approved version",
        "approve another one",
    )


def test_a_model_that_cannot_be_read_is_reported_and_rolled_back(
    hosted: Any, command: Callable[..., Result], photo: Callable[..., bytes], tmp_path: Path
) -> None:
    """Whatever is lost, and however it is lifted; each leaves production as it found it."""
    claims(command("approve", ONE, *BY_ANN), f"✓ production serves {ONE}")
    (tmp_path / "photo.png").write_bytes(photo(1))
    key = hosted.registry.get(TWO).model_key
    model = hosted.store.get(key)
    for lost in ("artefact", "record"):
        for lifted_by in ("rollback", "reject"):
            loses_and_lifts(hosted, command, tmp_path / "photo.png", lost, lifted_by)
            hosted.tamper(key, model)


def loses_and_lifts(
    hosted: Any, command: Callable[..., Result], picture: Path, lost: str, lifted_by: str
) -> None:
    """Production is to serve TWO, of which something is lost; a command returns it to ONE."""
    hosted.approve(hosted.registry.get(TWO))
    if lost == "artefact":
        hosted.store.delete(hosted.registry.get(TWO).model_key)
    record = deployed(hosted, TWO, datetime.now(UTC) + timedelta(seconds=1))
    if lost == "record":
        hosted.tamper(record_key(record), b"")
    else:
        denies(
            command("predict", str(picture)),
            f"answered by {ONE}, while {TWO} is deployed to prod",
        )
    shown = words(command("status"))
    assert "the model of prod cannot be read" in shown
    assert (record_key(record) if lost == "record" else record.model_key) in shown
    assert "next: imgclf rollback" in shown
    named = (TWO,) if lifted_by == "reject" else ()
    claims(
        command(lifted_by, *named, "--reason", "gone", "--by", "bob"),
        f"✓ production serves {ONE}",
    )
    claims(command("predict", str(picture)), "red")
    assert "cannot be read" not in words(command("status"))


def test_a_run_says_of_production_what_production_serves(
    hosted: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is through already: its end is what is looked at."""
    monkeypatch.setattr(LineRunner, "run_line", lambda *_: RunOutcome("1", success=True))
    monkeypatch.setattr(LineRunner, "candidate", lambda _: ONE)
    monkeypatch.setattr(LineRunner, "release", lambda *_: None)
    package = hosted.registry.get(ONE)
    given = {"model_version": ONE, "digest": package.digest, "model_key": package.model_key}
    denies(command("run"), "staging serves nothing", f"and not {ONE}")
    hosted.endpoints.deploy(Deployment(stage="staging", deployed_by="imgclf", reason="", **given))
    claims(command("run"), f"✓ {ONE} is on staging and waits for approval: imgclf approve {ONE}")
    hosted.approve(package)
    claims(command("run"), f"✓ {ONE} is in production (digest {package.digest[:12]})")
    assert serves(hosted) == ONE
    hosted.approve(hosted.registry.get(TWO))
    denies(command("run"), f"{ONE} is approved by ann and not in production")  # but the other is
    hosted.reject(hosted.registry.get(TWO))
    hosted.reject(package)
    claims(command("run"), f"{ONE} was rejected by bob")


def test_the_address_of_an_endpoint_is_where_imgclf_up_serves(hosted: Any) -> None:
    """The host of a command listens on any free port, and ends with the command."""
    port = hosted.settings.ports.endpoint
    for url in hosted.endpoints.links("prod").values():
        assert url.startswith(f"http://127.0.0.1:{port}/endpoints/imgclf-prod")


def test_ctrl_c_is_told_plainly(
    shop: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ObjectStore, "list_table", pressed)
    stopped = command("run")
    assert stopped.exit_code == 130
    assert "error: interrupted; completed work is kept" in words(stopped)
    assert "Dagster" not in words(stopped)
    assert "Traceback" not in words(stopped)


def test_a_step_starts_no_process_that_ctrl_c_makes_print_a_traceback(
    shop: Any, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends Ctrl-C to all processes of the command."""
    started, start = [], subprocess.Popen.__init__

    def noted(self: Any, args: Any, *rest: Any, **more: Any) -> None:
        started.append(str(args))
        start(self, args, *rest, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    assert "✓ annotations" in words(command("run"))
    assert not [args for args in started if "watch_orphans" in args or "tail" in args]


def test_a_model_that_was_held_back_is_reported_with_its_numbers(
    shop: Any, command: Callable[..., Result]
) -> None:
    text = "macro-F1 0.7120 against 0.7560 of champion train-0"
    held = shop.candidate("train-abc1", register=False)
    shop.judge("train-abc1", "beats_champion", digest=held.digest, passed=False, reason=text)
    for name in ("train-abc1", "abc", "train-a"):
        denies(
            command("approve", name, *BY_ANN),
            "train-abc1 did not pass its checks, so it was never registered:",
            f"- beats_champion failed: {text}",
        )
    shop.candidate("train-xyz")
    denies(command("approve", "abc1", *BY_ANN), "train-abc1 did not pass its checks", text)
    denies(command("reject", "abc1", "--reason", "no"), "train-abc1 did not pass its checks", text)
    denies(command("approve", "nothing", *BY_ANN), "no packages begin with 'nothing'")
    shop.candidate("train-def", register=False)
    denies(command("approve", "def", *BY_ANN), "train-def is not registered yet: `imgclf run`")
