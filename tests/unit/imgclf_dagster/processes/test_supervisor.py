"""What the supervisor decides: back-off, ports, one instance per home, who is ended."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from imgclf_dagster.processes.leftovers import PROGRAMS, Roster, leftovers
from imgclf_dagster.processes.ports import Port, PortTaken, require_free
from imgclf_dagster.processes.process_groups import end_groups
from imgclf_dagster.processes.supervisor import AlreadyRunning, backoff_s, single_instance
from serving.process_identity import start_mark
from tests.patience import SOON_S, WAIT_S

pytestmark = pytest.mark.unit


def test_backoff_doubles_up_to_half_a_minute() -> None:
    assert [backoff_s(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff_s(10_000) == 30  # a night of crashes must not overflow


def test_a_taken_port_names_the_port_its_holder_and_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with pytest.raises(PortTaken) as refused:
            require_free([Port(number, "MLflow", "ports.mlflow (IMGCLF_PORTS__MLFLOW)")])
    text = str(refused.value)
    assert str(number) in text
    assert f"(process {os.getpid()})" in text
    assert "IMGCLF_PORTS__MLFLOW" in text


def test_a_listener_on_all_interfaces_takes_the_port_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server, pytest.raises(PortTaken):
        require_free([Port(server.getsockname()[1], "MLflow", "ports.mlflow")])


def test_every_taken_port_is_named_at_once() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        numbers = [server.getsockname()[1] for server in (one, two)]
        with pytest.raises(PortTaken) as refused:
            require_free([Port(number, "x", "y") for number in numbers])
    assert all(str(number) in str(refused.value) for number in numbers)


def test_two_programs_cannot_want_one_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    with pytest.raises(PortTaken, match=r"both Dagster and MLflow.*ports\.mlflow"):
        require_free(
            [Port(number, "Dagster", "ports.dagster"), Port(number, "MLflow", "ports.mlflow")]
        )


def test_a_port_is_free_while_connections_of_its_last_server_linger() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    number = server.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", number))
    accepted, _ = server.accept()
    accepted.close()  # the server's side closes first: it is the one that lingers
    client.close()
    server.close()
    require_free([Port(number, "x", "y")])


def test_one_supervisor_per_home(tmp_path: Path) -> None:
    with (
        single_instance(tmp_path),
        pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"),
        single_instance(tmp_path),
    ):
        pass
    with single_instance(tmp_path):
        pass  # given back


FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, {leader})
child = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(3600)"
for own_session in (False, True):
    kid = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=own_session)
    kid.stdout.readline()
    print(kid.pid, flush=True)
time.sleep(3600)
"""


def ended(pid: int) -> bool:
    """A zombie has ended; whether somebody collects it is up to the machine."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("leader", ["signal.SIG_DFL", "signal.SIG_IGN"])
def test_a_group_ends_with_all_that_descends_from_it(leader: str) -> None:
    """Also what ignores SIGTERM, has a session of its own, or has lost its parent meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY.format(leader=leader)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    descendants = [int(process.stdout.readline()) for _ in range(2)]

    started = time.monotonic()
    killed = end_groups([process.pid], kill_after_s=0.4)

    assert time.monotonic() - started < SOON_S
    assert set(descendants) <= set(killed)
    assert all(map(ended, [process.pid, *descendants]))


def test_what_ends_by_itself_is_not_killed() -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal,sys,time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7));"
            "print(1, flush=True); time.sleep(3600)",
        ],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert end_groups([process.pid], kill_after_s=WAIT_S) == []
    assert process.wait() == 7


def test_a_group_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    process.wait()
    assert end_groups([process.pid], kill_after_s=0.2) == []


def test_a_program_that_ended_or_whose_number_another_has_is_no_leftover(tmp_path: Path) -> None:
    roster = Roster(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as ended:
        ended.wait()
        roster.note("ended", ended.pid)
    roster.note("this test", os.getpid())
    assert [program.name for program in leftovers(tmp_path)] == ["this test"]
    noted = (tmp_path / PROGRAMS).read_text(encoding="utf-8")
    mark = str(start_mark(os.getpid()))
    other = noted.replace(mark, f"{mark}0")
    assert other != noted
    (tmp_path / PROGRAMS).write_text(other, encoding="utf-8")
    assert leftovers(tmp_path) == []
    roster.clear()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[{"name": "x"}]'])
def test_a_roster_that_a_power_cut_spoilt_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / PROGRAMS).write_text(text, encoding="utf-8")
    assert leftovers(tmp_path) == []
