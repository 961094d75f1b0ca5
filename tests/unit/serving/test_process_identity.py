"""A process is recognised whatever its clock does, and another one with its id is not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

from imgclf_dagster.processes.leftovers import PROGRAMS, Roster, leftovers
from imgclf_dagster.runs.orphans import PROCESS_TAG, gone_process, process_tag
from serving.endpoint.address import read_address, write_address
from serving.process_identity import is_running, start_mark

pytestmark = pytest.mark.unit


@pytest.fixture
def correct_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``correct_clock(seconds)``: what psutil says after the clock was set forward."""
    before = psutil.Process.create_time

    def correct(seconds: float) -> None:
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: before(self) + seconds)

    return correct


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def test_a_host_a_program_and_a_run_are_known_after_the_clock_was_corrected(
    tmp_path: Path, instance: dg.DagsterInstance, correct_clock: Callable[[float], None]
) -> None:
    write_address(tmp_path / "endpoint.json", "http://x", "file:///x")
    Roster(tmp_path).note("this test", os.getpid())
    run = dg.DagsterRun(job_name="line", tags=process_tag())
    correct_clock(3600.0)
    assert read_address(tmp_path / "endpoint.json") is not None
    assert [program.name for program in leftovers(tmp_path)] == ["this test"]
    assert gone_process(instance, run) is None


def test_notes_of_older_versions_are_read(
    tmp_path: Path, instance: dg.DagsterInstance, correct_clock: Callable[[float], None]
) -> None:
    host, pid, created, _ = process_tag()[PROCESS_TAG].split(":")
    (tmp_path / "endpoint.json").write_text(
        f'{{"pid": {pid}, "create_time": {created}, "url": "http://x", "store_url": "file:///x"}}'
    )
    (tmp_path / PROGRAMS).write_text(f'[{{"name": "old", "pid": {pid}, "created": {created}}}]')
    run = dg.DagsterRun(job_name="line", tags={PROCESS_TAG: f"{host}:{pid}:{created}"})
    for seconds, known in ((1.5, True), (60.0, False)):
        correct_clock(seconds)
        assert (read_address(tmp_path / "endpoint.json") is not None) == known
        assert len(leftovers(tmp_path)) == known
        assert (gone_process(instance, run) is None) == known


def test_another_process_with_the_same_id_is_not_taken_for_it() -> None:
    own = psutil.Process()
    mark = start_mark(own.pid)
    if mark is None:
        pytest.skip("this system has no /proc; only the clock tells processes apart")
    boot, tick = mark.split("/")
    assert is_running(own.pid, own.create_time(), mark)
    assert not is_running(own.pid, own.create_time(), f"{boot}/{int(tick) + 1}")
    assert not is_running(own.pid, own.create_time(), f"another-boot/{tick}")


def test_a_process_that_has_ended_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        created, mark = psutil.Process(process.pid).create_time(), start_mark(process.pid)
        assert is_running(process.pid, created, mark)
        process.kill()
        # It is a zombie until its parent asks how it ended.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(process.pid, created, mark)
    assert not is_running(process.pid, created, mark)
    with pytest.raises(psutil.NoSuchProcess):
        start_mark(2**22 + 1)
