"""The supervisor with real processes, driven as ``imgclf up`` drives it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.patience import SOON_S, WAIT_S, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("cold_programs")]

REPOSITORY = Path(__file__).parents[2]

DRIVER = """
import json, sys
from pathlib import Path
from imgclf_dagster.processes.supervisor import ProcessSpec, Supervisor

folder, programs = Path(sys.argv[1]), json.loads(sys.argv[2])

def spec(name, code, ready=None, after=(), health_timeout_s=90.0, launches_runs=False):
    return ProcessSpec(
        name=name, argv=(sys.executable, "-c", code), log_file=folder / f"{name}.log",
        healthy=(folder / ready).exists if ready else None, after=tuple(after),
        health_timeout_s=health_timeout_s, env={"FOLDER": str(folder)},
        launches_runs=launches_runs,
    )

def say(notice):
    print(json.dumps([notice.kind, notice.spec.name, notice.text]), flush=True)

Supervisor([spec(**program) for program in programs], run_dir=folder, say=say).run()
print(json.dumps(["over", "", ""]), flush=True)
"""

HEAD = "import os, pathlib, subprocess, sys, time\nfolder = pathlib.Path(os.environ['FOLDER'])\n"


class Driven:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, programs: list[dict[str, Any]]) -> None:
        for program in programs:
            program["code"] = HEAD + textwrap.dedent(program["code"])
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder), json.dumps(programs)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> tuple[str, str, str]:
        """The next notice: kind, name, text."""
        assert self.process.stdout is not None
        kind, name, text = json.loads(self.process.stdout.readline())
        return kind, name, text

    def family(self) -> list[psutil.Process]:
        """The supervisor and all that it started."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Driven]]:
    started: list[Driven] = []

    def start(*programs: dict[str, Any]) -> Driven:
        started.append(Driven(tmp_path, list(programs)))
        return started[-1]

    yield start
    for driven in started:
        driven.process.terminate()
        driven.process.communicate(timeout=WAIT_S)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [
        process
        for process in processes
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


def test_a_program_is_announced_when_it_answers_and_before_what_needs_it(
    supervise: Callable[..., Driven], tmp_path: Path
) -> None:
    driven = supervise(
        {
            "name": "second",
            "code": "(folder / 'order').write_text(str((folder / 'up').exists())); time.sleep(3600)",
            "after": ["first"],
        },
        {
            "name": "first",
            "code": "time.sleep(0.7); (folder / 'up').touch(); time.sleep(3600)",
            "ready": "up",
        },
    )
    assert driven.hear()[:2] == ("healthy", "first")
    assert driven.hear()[:2] == ("healthy", "second")
    wait_for((tmp_path / "order").exists)
    wait_for(lambda: (tmp_path / "order").read_text(encoding="utf-8") == "True")


def test_a_crashed_program_is_started_again_and_reported(
    supervise: Callable[..., Driven], tmp_path: Path
) -> None:
    driven = supervise(
        {
            "name": "shaky",
            "code": """
                if not (folder / 'ran').exists():
                    kid = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
                    (folder / 'kid').write_text(str(kid.pid))
                    (folder / 'ran').touch()
                    sys.exit("the disk is full")
                (folder / 'again').touch()
                time.sleep(3600)
            """,
            "ready": "again",
        }
    )
    kind, name, text = driven.hear()
    assert (kind, name) == ("trouble", "shaky")
    assert "exit code 1: the disk is full; starting it again in 1 s" in text
    assert str(tmp_path / "shaky.log") in text
    orphan = int((tmp_path / "kid").read_text(encoding="utf-8"))
    wait_for(lambda: not psutil.pid_exists(orphan) or not alive([psutil.Process(orphan)]))
    assert driven.hear()[:2] == ("healthy", "shaky")


def test_a_program_that_never_answers_is_reported_and_started_again(
    supervise: Callable[..., Driven],
) -> None:
    driven = supervise(
        {"name": "mute", "code": "time.sleep(3600)", "ready": "never", "health_timeout_s": 0.3}
    )
    assert [driven.hear()[2].split(" (log")[0] for _ in range(2)] == [
        "did not answer within 0 s; starting it again in 1 s",
        "did not answer within 0 s; starting it again in 2 s",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_time(
    supervise: Callable[..., Driven], number: signal.Signals
) -> None:
    driven = supervise(
        {"name": "one", "code": "time.sleep(3600)"},
        {"name": "waiting", "code": "time.sleep(3600)", "after": ["never"], "ready": "never"},
        {
            "name": "parent",
            "code": "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)']); time.sleep(3600)",
        },
    )
    driven.hear(), driven.hear()
    wait_for(lambda: len(driven.family()) == 5)  # itself, the watchdog, two, and a grandchild
    family = driven.family()
    asked = time.monotonic()
    driven.process.send_signal(number)
    assert driven.hear()[0] == "over"
    assert driven.process.wait(WAIT_S) == 0
    assert time.monotonic() - asked < SOON_S
    wait_for(lambda: not alive(family))


def test_nothing_outlives_a_supervisor_that_was_killed(supervise: Callable[..., Driven]) -> None:
    driven = supervise(
        {"name": "one", "code": "time.sleep(3600)"},
        {
            "name": "parent",
            "code": "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)']); time.sleep(3600)",
        },
    )
    driven.hear(), driven.hear()
    wait_for(lambda: len(driven.family()) == 5)
    family = driven.family()
    os.kill(driven.process.pid, signal.SIGKILL)
    wait_for(lambda: not alive(family))


def test_what_outlived_supervisor_and_watchdog_is_named_and_ended_by_the_next(
    supervise: Callable[..., Driven],
) -> None:
    web = {"name": "web", "code": "time.sleep(600)"}
    daemon = {"name": "daemon", "code": "time.sleep(600)", "launches_runs": True}
    first = supervise(web, daemon)
    assert {first.hear()[1] for _ in range(2)} == {"web", "daemon"}
    family = first.family()
    watchdog = next(
        one for one in family if "imgclf_dagster.processes.process_groups" in one.cmdline()
    )
    left = [one for one in family if one not in (watchdog, family[0])]
    for one in (watchdog, family[0]):  # the watchdog first, or it ends the rest
        one.kill()
    first.process.wait()
    assert all(one.is_running() for one in left)

    second = supervise(dict(web), dict(daemon))
    texts = [second.hear() for _ in range(4)]
    assert [(kind, name) for kind, name, _ in texts[:2]] == [
        ("trouble", "daemon"),
        ("trouble", "web"),
    ]
    assert all("left of an earlier imgclf up" in text for _, _, text in texts[:2])
    assert {name for kind, name, _ in texts[2:] if kind == "healthy"} == {"web", "daemon"}
    wait_for(lambda: not any(one.is_running() and one.status() != "zombie" for one in left))


def test_a_second_supervisor_of_the_home_refuses(
    supervise: Callable[..., Driven], tmp_path: Path
) -> None:
    first = supervise({"name": "one", "code": "time.sleep(3600)"})
    first.hear()
    second = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), "[]"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert second.returncode == 1
    assert f"running already on {tmp_path.parent} (process {first.process.pid})" in second.stderr
