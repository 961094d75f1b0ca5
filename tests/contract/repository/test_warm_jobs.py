"""Jobs in copies of a warm process behave as programs of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import warm_jobs
from tests.patience import WAIT_S, wait_for
from tests.warm_jobs.sitecustomize import job, start_server

pytestmark = pytest.mark.contract

HANDED_OVER = """
import sys
from tests.warm_jobs.sitecustomize import hand_over
hand_over(sys.argv[1], sys.argv[2:])
print("no server")
"""
JOB = """
import os, signal, sys, threading
assert "torch" in sys.modules
print(os.getpid(), os.getcwd(), os.environ["MINE"], *sys.argv[1:], flush=True)
print("an error", file=sys.stderr, flush=True)
if sys.argv[1] == "wait":
    signal.pause()
elif sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGUSR2)
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def server() -> str:
    address = os.environ.get(warm_jobs.SOCKET)
    if address is None:
        pytest.skip("jobs run cold here: a GPU, no Linux, or PYTEST_COLD_JOBS is set")
    start_server(address)
    wait_for(Path(address).exists, "no warm process")
    return address


@pytest.fixture
def start(server: str, tmp_path: Path) -> Iterator[object]:
    """``start(*arguments)``: the client of a job that is not known to the line."""
    (tmp_path / "warm_example.py").write_text(JOB, encoding="utf-8")
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(warm_jobs.CLIENT.parents[1]), str(tmp_path)])
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HANDED_OVER,
                server,
                "training.launcher",
                "warm_example",
                *arguments,
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "MINE": "yes", "IMGCLF_ML_ROOT": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_ends_as_its_copy_does(start, tmp_path: Path, code: int) -> None:
    process = start("end", str(code))
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    first, second = said.splitlines()
    assert first.split()[1:] == [str(tmp_path), "yes", "end", str(code)]
    assert second == "an error"
    assert int(first.split()[0]) != process.pid


def test_a_signal_that_ends_the_copy_ends_the_job(start) -> None:
    process = start("killed", "0")
    assert process.wait(timeout=WAIT_S) == -signal.SIGUSR2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_to_the_job_ends_the_copy(start, number: int, code: int) -> None:
    process = start("wait", "0")
    copy = psutil.Process(int(process.stdout.readline().split()[0]))
    os.killpg(process.pid, number)
    assert process.wait(timeout=WAIT_S) == code
    wait_for(lambda: not copy.is_running(), "the copy goes on")


def test_only_jobs_of_the_line_are_handed_over() -> None:
    python = ["/bin/python", "-u", "-m"]
    launched = ["training.launcher", "training.train", "--x"]
    assert job([*python, *launched], {}) == launched
    assert job([*python, *launched[1:]], {}) == launched[1:]
    assert job([*python, *launched], {"TORCHELASTIC_RUN_ID": "1"}) is None
    assert job([*python, "training.launcher", "mine"], {}) is None
    assert job([*python, "training.launcher"], {}) is None
    assert job(["/bin/python", "-c", "pass"], {}) is None
