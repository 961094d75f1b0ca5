"""The job's launcher: which machines there are, how they meet, and which failure is told."""

import json
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from training import launcher
from training.container.distributed import ALONE, Team, note_failure
from training.container.pipes import open_pipes
from training.errors import PeerLost, PermanentFailure
from training.launcher import Failed, Machines

pytestmark = pytest.mark.unit

TWO = Machines("algo-2", ("algo-1", "algo-2"), "eth0")


@pytest.mark.parametrize("folder", ["input/config", "config"])
def test_machines_are_numbered_by_name(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)
    texts = {"current_host": "b", "hosts": ["b", "a"], "network_interface_name": "eth0"}
    (tmp_path / folder / "resourceconfig.json").write_text(json.dumps(texts))
    machines = Machines.read(tmp_path)
    assert (machines.position, machines.hosts[0], machines.interface) == (1, "a", "eth0")


def test_without_a_resource_configuration_there_is_one_machine(tmp_path: Path) -> None:
    machines = Machines.read(tmp_path)
    assert (machines.position, len(machines.hosts)) == (0, 1)


@pytest.mark.parametrize(("visible", "gpus"), [("", 0), ("-1", 0), ("0,3", 2), ("GPU-ab12", 1)])
def test_gpus_are_those_that_may_be_used(
    visible: str, gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert launcher.gpu_count() == gpus
    assert launcher.processes_per_host() == max(1, gpus)
    monkeypatch.setenv("IMGCLF_PROCESSES_PER_HOST", "3")
    assert launcher.processes_per_host() == 3


def test_machines_meet_at_the_first_over_their_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "NCCL_SOCKET_IFNAME", "IMGCLF_MASTER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    arguments = launcher._rendezvous_arguments(TWO, 4)
    wanted = {"--nnodes=2", "--node-rank=1", "--nproc-per-node=4", "--master-addr=algo-1"}
    assert wanted <= set(arguments)
    environment = launcher._environment(TWO, 4)
    assert environment["NCCL_SOCKET_IFNAME"] == "eth0"
    assert int(environment["OMP_NUM_THREADS"]) >= 1
    assert "GLOO_SOCKET_IFNAME" not in environment  # somebody has chosen


def _failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: Exception | None = None
) -> ProcessFailure:
    path = folder / f"{time.monotonic_ns()}.json"
    if error:
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
        assert note_failure(error)
    return ProcessFailure(local_rank=0, pid=1, exitcode=code, error_file=str(path))


def test_the_first_failure_is_told_not_what_follows_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = _failure(tmp_path, monkeypatch, 1, PeerLost("the connection broke"))
    ended = _failure(tmp_path, monkeypatch, -15)
    wrong = _failure(tmp_path, monkeypatch, 1, PermanentFailure("one class; ingest more"))
    killed = _failure(tmp_path, monkeypatch, -9)
    silent = _failure(tmp_path, monkeypatch, 3)

    def summary_of(*failures: ProcessFailure) -> tuple[int, str, bool]:
        failed = Failed.first(dict(enumerate(failures)), TWO, 2)
        return failed.code, failed.reason, failed.follows

    assert summary_of(lost, wrong, ended) == (
        1,
        "PermanentFailure: one class; ingest more [process 2 of 4 on algo-2]",
        False,
    )
    assert summary_of(lost, killed) == (
        137,
        "process 2 of 4 on algo-2 was killed by SIGKILL (out of memory?)",
        False,
    )
    aborted = _failure(tmp_path, monkeypatch, -6, PermanentFailure("one class; ingest more"))
    assert summary_of(aborted) == (
        1,
        "PermanentFailure: one class; ingest more [process 1 of 4 on algo-2]",
        False,
    )
    assert summary_of(silent)[1] == "process 1 of 4 on algo-2 ended with exit code 3; see its log"
    assert summary_of(ended, ended)[0] == 143
    assert summary_of(lost)[2]


def test_no_launcher_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE", raising=False)
    assert not note_failure(ValueError("x"))


def test_a_helping_process_neither_reads_nor_tells_dagster_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", "the first process's")
    monkeypatch.setenv("DAGSTER_PIPES_MESSAGES", "the first process's")
    with open_pipes(silent=True) as pipes:
        pipes.log.info("hello")
        pipes.report_custom_message("hello")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("count", "size"), [(10, 3), (2, 4), (0, 2), (7, 1)])
def test_shares_hold_everything_once(count: int, size: int) -> None:
    shares = [Team(rank, size).share(count) for rank in range(size)]
    assert sorted(number for share in shares for number in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_everything_is_a_plain_call(tmp_path: Path) -> None:
    assert ALONE.leads
    assert ALONE.leads_machine
    assert ALONE.once_per_machine(lambda: 3) == 3
    assert ALONE.any(True)
    assert ALONE.leaders_file(tmp_path / "none", tmp_path / "copy") is None
    ALONE.dismiss()
    with pytest.raises(ValueError, match="as it is"):
        ALONE.agree(lambda: int("as it is"))


def test_processes_are_numbered_machine_by_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"RANK": 5, "WORLD_SIZE": 8, "LOCAL_WORLD_SIZE": 4, "TORCHELASTIC_RUN_ID": "x"}
    for name, value in texts.items():
        monkeypatch.setenv(name, str(value))
    team = Team.from_environment()
    assert (team.machines, team.leads, team.leads_machine) == (2, False, False)
    monkeypatch.setenv("RANK", "4")
    assert Team.from_environment().leads_machine
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert Team.from_environment() == ALONE  # somebody else's variables
