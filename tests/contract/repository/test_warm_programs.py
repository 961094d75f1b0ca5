"""Programs in copies of a warm process behave as processes of their own."""

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from imgclf_dagster.label_studio.install import Installation
from imgclf_dagster.processes.process_groups import end_groups
from tests import warm_programs
from tests.patience import WAIT_S, wait_for
from tests.warm_programs.label_studio import environment
from tests.warm_programs.server import Server
from tests.warm_programs.sitecustomize import (
    COLD,
    ENDPOINTS,
    JOB,
    JOBS,
    LABEL_STUDIO,
    PROGRAMS,
    SPAWN,
    SPAWNS,
    WARM,
    has_ended,
    is_there,
    server_of,
    start_server,
)

pytestmark = pytest.mark.contract

HANDED_OVER = """
import sys
from tests.warm_programs.sitecustomize import hand_over
address = sys.argv[1]
sys.orig_argv[1:] = ["-m", *sys.argv[2:]]
hand_over(address)
print("no server")
"""
PROGRAM = """
import os, signal, sys, time
assert "torch" in sys.modules
print(os.getpid(), os.getcwd(), os.environ["MINE"], *sys.argv[1:], flush=True)
print("an error", file=sys.stderr, flush=True)
if sys.argv[1] == "wait":
    signal.pause()
elif sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGUSR2)
elif sys.argv[1] == "state":
    with os.fdopen(int(sys.argv[2]), "w") as handed:
        print(os.nice(0), oct(os.umask(0)), file=handed)
    sys.exit()
elif sys.argv[1] == "listed":
    print(os.getuid(), os.listdir(), flush=True)
elif sys.argv[1] == "parent":
    parent = os.getppid()
    print(parent, flush=True)
    while os.getppid() == parent:
        time.sleep(0.05)
    print(os.getppid(), flush=True)
sys.exit(int(sys.argv[2]))
"""


def address_of(name: str) -> str:
    folder = os.environ.get(warm_programs.FOLDER)
    if folder is None:
        pytest.skip("programs run cold here: a GPU, no Linux, or PYTEST_COLD_JOBS is set")
    address = f"{folder}/{name}"
    start_server(address)
    assert is_there(address), Path(f"{address}.log").read_text(encoding="utf-8")
    return address


@pytest.fixture
def server() -> str:
    return address_of(JOBS)


def test_a_command_runs_in_a_copy(tmp_path: Path) -> None:
    address_of(PROGRAMS)
    answer = subprocess.run(
        [sys.executable, "-m", "imgclf_dagster.cli.entry", "status"],
        env={**os.environ, "IMGCLF_HOME": str(tmp_path), "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    # An editable install has a finder whose name ends otherwise.
    imported = re.findall(r"\| +(imgclf_dagster(?:\.\S+)?)$", answer.stderr, re.MULTILINE)
    assert not imported, "it was imported"
    assert "production" in answer.stdout


@pytest.fixture
def start(server: str, tmp_path: Path) -> Iterator[object]:
    """``start(*arguments)``: the client of a program that is not known to the line."""
    (tmp_path / "warm_example.py").write_text(PROGRAM, encoding="utf-8")
    started: list[subprocess.Popen[str]] = []

    def begin(
        *arguments: str,
        before: str = "",
        files: tuple[int, ...] = (),
        prefix: tuple[str, ...] = (),
    ) -> Any:
        path = os.pathsep.join([str(warm_programs.CLIENT.parents[1]), str(tmp_path)])
        process = subprocess.Popen(
            [
                *(*prefix, sys.executable, "-c", before + HANDED_OVER, server),
                *("warm_example", *arguments),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "MINE": "yes", "IMGCLF_ML_ROOT": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            pass_fds=files,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_nobody_waits_for_a_server_that_failed(tmp_path: Path) -> None:
    failed = subprocess.Popen([sys.executable, "-c", ""])
    (tmp_path / "programs.started").write_text(str(failed.pid))
    assert not is_there(str(tmp_path / "programs"))  # its parent has not asked how it ended
    failed.wait()
    assert not is_there(str(tmp_path / "programs"))


def test_a_server_does_not_end_with_the_family_of_the_program_that_started_it(
    tmp_path: Path,
) -> None:
    """`imgclf up` ends all descendants of its programs; others' programs are copies, too."""
    address_of(ENDPOINTS)
    script = (
        "import sys; from tests.warm_programs.sitecustomize import start_server\n"
        "start_server(sys.argv[1]); print(flush=True); input()"
    )
    family = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / ENDPOINTS)],
        env={**os.environ, "PYTHONPATH": str(warm_programs.CLIENT.parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert family.stdout is not None
    assert family.stdout.readline() == b"\n"
    server = psutil.Process(int((tmp_path / f"{ENDPOINTS}.started").read_text()))
    try:
        assert server not in psutil.Process(family.pid).children(recursive=True)
        end_groups([family.pid], kill_after_s=0.2)
        assert family.wait(WAIT_S) < 0
        assert is_there(str(tmp_path / ENDPOINTS))
        assert not has_ended(server.pid)
    finally:
        server.kill()


def test_a_copy_ends_with_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address_of(ENDPOINTS)
    (tmp_path / "warm_example.py").write_text(
        "import os, signal; print(os.getpid(), flush=True); signal.pause()", encoding="utf-8"
    )
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        monkeypatch.setenv(warm_programs.OWNER, str(owner.pid))
        monkeypatch.setenv(WARM, ENDPOINTS)  # or the server would wait for itself
        start_server(f"{tmp_path}/{ENDPOINTS}")
        client = subprocess.Popen(
            [sys.executable, "-c", HANDED_OVER, f"{tmp_path}/{ENDPOINTS}", "warm_example"],
            env={**os.environ, "PYTHONPATH": f"{warm_programs.CLIENT.parents[1]}:{tmp_path}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        copy = psutil.Process(int(client.stdout.readline()))
    wait_for(lambda: not copy.is_running(), "the copy goes on")
    assert client.wait(WAIT_S) != 0


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_ends_as_its_copy_does(start, tmp_path: Path, code: int) -> None:
    process = start("end", str(code))
    answer, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    first, second = answer.splitlines()
    assert first.split()[1:] == [str(tmp_path), "yes", "end", str(code)]
    assert second == "an error"
    assert int(first.split()[0]) != process.pid


def test_a_copy_has_its_clients_files_niceness_and_mask(start) -> None:
    reads, writes = os.pipe()
    before = "import os; os.nice(3); os.umask(0o027)"
    process = start("state", str(writes), before=before, files=(writes,))
    os.close(writes)
    assert process.wait(WAIT_S) == 0
    with os.fdopen(reads) as handed:
        assert handed.read() == f"{os.nice(0) + 3} 0o27\n"


def test_a_program_under_other_limits_runs_itself(start) -> None:
    limits = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (1 << 40, r.getrlimit(r.RLIMIT_FSIZE)[1]))"
    answer, _ = start("end", "0", before=limits).communicate(timeout=WAIT_S)
    assert answer == "no server\n"


def test_a_copy_has_the_parent_of_its_client_and_sees_it_end(start) -> None:
    process = start("parent", "0", prefix=("sh", "-c", '"$@" & wait', "sh"))
    lines = [process.stdout.readline() for _ in range(3)]
    assert int(lines[2]) == process.pid, "the shell"
    process.kill()
    process.wait()
    assert int(process.stdout.readline()) != process.pid


def test_a_copy_goes_into_its_clients_namespaces(start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = 'mount -t tmpfs none "$0" && touch "$0/here" && cd "$0" && exec "$@"'
    process = start(*("listed", "0"), prefix=("unshare", "-rm", "sh", "-c", mounted, str(disk)))
    answer, _ = process.communicate(timeout=WAIT_S)
    if process.returncode and "unshare" in answer:
        pytest.skip(f"a disk cannot be mounted here: {answer}")
    assert answer.splitlines()[1:] == ["an error", "0 ['here']"], answer
    assert not list(disk.iterdir())


def test_a_signal_that_ends_the_copy_ends_the_program(start) -> None:
    process = start("killed", "0")
    assert process.wait(timeout=WAIT_S) == -signal.SIGUSR2


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, -15), (signal.SIGINT, -2), (signal.SIGKILL, -9)],
)
def test_a_signal_to_the_program_ends_the_copy(start, number: int, code: int) -> None:
    process = start("wait", "0")
    copy = psutil.Process(int(process.stdout.readline().split()[0]))
    os.killpg(process.pid, number)
    assert process.wait(timeout=WAIT_S) == code
    wait_for(lambda: not copy.is_running(), "the copy goes on")


@pytest.mark.parametrize(
    ("started_with", "server"),
    [
        ("-u -m training.launcher training.train --x", JOBS),
        ("-m training.train --x", JOBS),
        ("-m training.launcher mine", None),
        ("-m training.launcher", None),
        ("-m torch.distributed.run --standalone shared", JOBS),
        ("-c pass", None),
        ("-m imgclf_dagster.cli.entry status", PROGRAMS),
        ("-m dagster api grpc", PROGRAMS),
        ("-m serving --port 0", ENDPOINTS),
        ("-m serving --parent 7", ENDPOINTS),
        ("-m serving.container serve", ENDPOINTS),
        ("-m serving.label_studio_backend", PROGRAMS),
        ("-m imgclf_dagster.cli.entry up", None),
        ("-I -m label_studio.server", None),
        ("-m mine", None),
    ],
)
def test_only_programs_of_the_line_are_handed_over(started_with: str, server: str | None) -> None:
    assert server_of(["/bin/python", *started_with.split()], {}) == server


def test_a_test_can_have_its_programs_cold() -> None:
    started_with = ["/bin/python", "-m", "imgclf_dagster.cli.entry", "status"]
    assert server_of(started_with, {COLD: "1"}) is None


def test_a_module_of_a_test_can_run_as_jobs_do() -> None:
    started_with = ["/bin/python", "-m", "mine", "--x"]
    assert server_of(started_with, {JOB: "mine"}) == JOBS
    assert server_of(started_with, {JOB: "another"}) is None


@pytest.mark.parametrize(("options", "server"), [("-c pass", PROGRAMS), ("x.py y", None)])
def test_a_test_can_have_a_program_of_its_own_warm(options: str, server: str | None) -> None:
    assert server_of(["/bin/python", *options.split()], {WARM: PROGRAMS}) == server


def test_of_what_is_spawned_only_runs_are_handed_over() -> None:
    spawned = ["/bin/python", "-c", f"{SPAWN} spawn_main(tracker_fd=5, pipe_handle=7)"]
    assert server_of(spawned, {SPAWNS: "1"}) == PROGRAMS
    assert server_of(spawned, {}) is None


LABEL_STUDIOS = """
import json, sys
from django.conf import settings
known = {name: name in sys.modules for name in ("pandas", "label_studio", "core.settings")}
print(json.dumps([sys.argv[1:], known, settings.configured, sys.flags.isolated, sys.path]))
sys.exit(3)
"""


@pytest.mark.parametrize("warm", [True, False])
def test_a_program_of_label_studio_is_isolated_and_has_libraries_only(
    label_studio_installation: Installation, tmp_path: Path, warm: bool
) -> None:
    python, version = label_studio_installation.python, label_studio_installation.version
    address_of(LABEL_STUDIO)
    if not warm:
        real = Path(python.read_text(encoding="utf-8").split('"')[1])
        (tmp_path / "failed.started").write_text("-1")
        python = environment(real, version, str(tmp_path / "failed")) / "bin" / "python"
    (tmp_path / "example.py").write_text(LABEL_STUDIOS, encoding="utf-8")
    answer = subprocess.run(
        [python, "-I", str(tmp_path / "example.py"), "-u", "--x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert answer.returncode == 3, answer.stderr
    arguments, known, configured, isolated, path = json.loads(answer.stdout)
    assert arguments == ["-u", "--x"]
    assert known == {"pandas": warm, "label_studio": False, "core.settings": False}
    assert (configured, isolated) == (False, 1)
    assert not {str(warm_programs.CLIENT.parents[1]), str(tmp_path), ""} & {*path}


def test_a_late_end_does_not_concern_the_copy_that_has_its_descriptor_now() -> None:
    """Of a copy and its client both ends may be seen at once, and a new copy be taken in between."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as program:
        listener, client = socket.socket(), socket.socketpair()
        owner, process = os.pidfd_open(os.getpid()), os.pidfd_open(program.pid)
        served = Server(listener, owner)
        for file in (process, client[0]):
            served.waiting.register(file, selectors.EVENT_READ, (program.pid, process, client[0]))
        try:
            served._ended(os.getpid() - 1, process, socket.socket())
            assert process in served.waiting.get_map()
            assert program.poll() is None
        finally:
            program.kill()
            for file in (listener, *client):
                file.close()
            for descriptor in (owner, process):
                os.close(descriptor)
            served.waiting.close()
