"""`imgclf run` with a challenger: what it does in which order, and when it leaves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from imgclf_dagster.cli import run as cli
from imgclf_dagster.cli.main import app
from imgclf_dagster.line import runner as line
from imgclf_dagster.line.outcome import RunOutcome
from imgclf_dagster.line.progress import Narrator
from tests.graph.played_jobs import PlayedJobs

pytestmark = pytest.mark.graph

HELD_BACK = {"beats_champion": "it is worse"}


@dataclass
class Runner:
    """A runner that notes what it is asked to do; nothing is executed."""

    failures: dict[str, str] = field(default_factory=dict)
    due: bool = True
    version: str | None = "train-1"
    challenged: RunOutcome = field(default_factory=lambda: RunOutcome("2", success=True))
    done: list[str] = field(default_factory=list)
    endpoints: Any = None
    registry: Any = field(
        default_factory=lambda: SimpleNamespace(
            get=lambda version: SimpleNamespace(
                model_version=version,
                digest="d",
                approval_status="PendingManualApproval",
                approver="",
            )
        )
    )

    def run_line(self, start_from: str = "") -> RunOutcome:
        self.done.append(f"line {start_from}".strip())
        return RunOutcome("1", success=not self.failures, failures=self.failures)

    def awaits_challenger(self) -> bool:
        return self.due

    def challenge(self, start_from: str = "") -> RunOutcome:
        self.done.append(f"challenge {start_from}".strip())
        self.version = "train-2"
        return self.challenged

    def challenger_outcome(self) -> str:
        return "challenger train-2 becomes the candidate"

    def candidate(self) -> str | None:
        return self.version

    def release(self, version: str) -> None:
        self.done.append(version)

    def settle_decisions(self) -> list[RunOutcome]:
        return []

    def await_host(self) -> None:
        pass


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``run(runner, *arguments)``: `imgclf run` with a runner of the test's."""

    def command(runner: Runner, *arguments: str) -> Any:
        @contextmanager
        def fake(settings: Any, narrator: Narrator) -> Iterator[Runner]:
            yield runner

        monkeypatch.setattr(line, "line_runner", fake)
        monkeypatch.setattr(cli, "require_served", lambda *_: None)
        monkeypatch.setattr(cli, "say_served", lambda _, __, text: cli.console.print(text))
        monkeypatch.setattr(cli, "_remedies", lambda *_: "")
        monkeypatch.setattr("imgclf_dagster.decisions.live_deployment", lambda *_: None)
        return CliRunner().invoke(app, ["run", *arguments])

    return command


def test_the_first_candidate_is_staged_before_the_challenger_is_trained(run: Any) -> None:
    runner = Runner()
    answer = run(runner)
    assert answer.exit_code == 0, answer.output
    assert runner.done == ["line", "train-1", "challenge", "train-2"]
    first, _, rest = answer.output.partition("next, a challenger")
    assert "train-1 is on staging and waits for approval" in first
    assert "challenger train-2 becomes the candidate" in rest
    assert "train-2 is on staging and waits for approval" in rest


def test_one_may_leave_after_the_first_candidate(run: Any) -> None:
    for runner, arguments in ((Runner(), ["--no-challenger"]), (Runner(due=False), [])):
        assert run(runner, *arguments).exit_code == 0
        assert runner.done == ["line", "train-1"]


def test_a_first_model_that_its_gates_hold_back_is_challenged_all_the_same(run: Any) -> None:
    runner = Runner(failures=HELD_BACK)
    assert run(runner).exit_code == 0
    assert runner.done == ["line", "challenge", "train-2"]
    for other in (Runner(failures=HELD_BACK, due=False), Runner(failures={"dataset": "empty"})):
        assert run(other).exit_code == 1
        assert other.done == ["line"]


def test_a_challenger_that_fails_is_an_error_after_the_first_is_staged(run: Any) -> None:
    failed = RunOutcome("2", success=False, failures={"challenger_model": "no memory"})
    runner = Runner(challenged=failed)
    answer = run(runner)
    assert answer.exit_code == 1
    assert runner.done == ["line", "train-1", "challenge"]
    assert "no memory" in answer.output


def test_one_may_leave_during_the_challenger(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def left(self: Runner, start_from: str = "") -> RunOutcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "challenge", left)
    answer = run(Runner())
    assert answer.exit_code == 130
    assert "train-1 is on staging and waits for approval" in answer.output
    assert "the next imgclf run goes on with the challenger" in " ".join(answer.output.split())


def test_without_a_challenger_nothing_is_evaluated_again(shop: Any, jobs: PlayedJobs) -> None:
    shop.add_classes(16)
    none = shop.with_settings(training={"budget_minutes": 0.001})
    with line.line_runner(none.settings, Silent(), hosted=False) as runner:  # type: ignore[arg-type]
        assert runner.run_line().success
        before = runner.candidate()
        outcome = runner.challenge()
        assert outcome.success
        assert list(outcome.seconds) == ["challenger_model"]
        assert "no challenger is trained" in (runner.challenger_outcome() or "")
        assert (runner.candidate(), runner.awaits_challenger()) == (before, False)


def test_what_is_trained_starts_from_the_model_that_is_named(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(due=False)  # asked for, so it is trained all the same
    assert run(runner, "--from", "champion").exit_code == 0
    assert runner.done == ["line", "train-1", "challenge champion", "train-2"]
    refused = run(Runner(), "--from", "champion", "--no-challenger")
    assert refused.exit_code == 1
    assert "nothing is trained that could start from champion" in refused.output
    monkeypatch.setenv("IMGCLF_TRAINING__RECIPE", "finetune")
    runner = Runner(due=False)
    assert run(runner, "--from", "train-0").exit_code == 0
    assert runner.done == ["line train-0", "train-1"]


class Silent:
    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def test_a_challenger_is_due_once_for_each_model_and_configuration(
    shop: Any, jobs: PlayedJobs
) -> None:
    shop.add_classes(16)
    with line.line_runner(shop.settings, Silent(), hosted=False) as runner:  # type: ignore[arg-type]
        assert runner.run_line().success
        assert runner.awaits_challenger()
        assert runner.why_no_challenger() == ""
        outcome = runner.challenge()
        assert outcome.success, outcome.failures
        assert not runner.awaits_challenger()
        assert runner.candidate() == jobs.version_of("finetune")
        count = len(jobs.asked)
        assert runner.run_line().success
        assert (runner.candidate(), len(jobs.asked)) == (jobs.version_of("finetune"), count)
    probe = shop.with_settings(training={"recipe": "probe"})
    with line.line_runner(probe.settings, Silent(), hosted=False) as runner:  # type: ignore[arg-type]
        assert "asks for recipe probe" in runner.why_no_challenger()
    longer = shop.with_settings(training={"budget_minutes": 60.0})
    with line.line_runner(longer.settings, Silent(), hosted=False) as runner:  # type: ignore[arg-type]
        assert runner.awaits_challenger()
