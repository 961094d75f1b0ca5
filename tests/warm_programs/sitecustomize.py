"""Has a program of the line run in a copy of a process that has imported its libraries already.

Python imports this file at start, if its folder is on PYTHONPATH. ``python -m training.launcher
training.train``, say, then hands its arguments, environment, folder and open files to a server
(``tests.warm_programs.server``; the folder of its socket is ``PYTEST_WARM_PROGRAMS``), which forks;
it passes signals on, and ends as the copy ends. The first starts the server. A program whose server
has failed runs as ever.
"""

import os
import sys

JOBS, PROGRAMS, ENDPOINTS, LABEL_STUDIO = "jobs", "programs", "endpoints", "label_studio"

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The repository's folder."""

ISOLATED = "-I"
"""Python's option with which Label Studio is started: without our packages, or those of a folder."""

JOB_MODULES = {
    "torch.distributed.run",
    "training.embed",
    "training.evaluate",
    "training.learning_curve",
    "training.step_time",
    "training.train",
    "training.tune",
}
JOB = "PYTEST_WARM_JOB"
"""A test's own module that needs PyTorch, to be run as jobs are."""
MODULES = {
    "dagster",
    "dagster._daemon",
    "imgclf_dagster.cli.entry",
    "imgclf_dagster.cli.main",
    "imgclf_dagster.daemon",
    "imgclf_dagster.mlflow_server",
    "imgclf_dagster.webserver",
    "serving.label_studio_backend",
    "ui",
}
ENDPOINT_MODULES = {"serving", "serving.container"}
SPACES = ("user", "mnt", "net", "pid")
"""The namespaces of a process that are looked at. A user's comes first: it allows the others."""
SPAWN = "from multiprocessing.spawn import spawn_main;"
SPAWNS = "PYTEST_WARM_SPAWN"
"""Set in Dagster's code server: what it spawns are runs."""
DETACHED = """
import subprocess, sys
server = subprocess.Popen(
    sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
)
print(server.pid)
"""
"""Starts a program that is nobody's child, and prints its process id."""
WARM = "PYTEST_WARM_AS"
"""Set by a test for a program of its own: the name of the server that has what it imports."""
COLD = "PYTEST_COLD_PROGRAMS"
"""Set by the fixture ``cold_programs``: programs but jobs, and what they start, run as ever."""


def server_of(arguments, environment):
    """The name of a program's server; None if it is to run as ever.

    Args:
        arguments: what Python was started with (``sys.orig_argv``).
        environment: its environment.
    """
    options = arguments[1:]
    if options[:1] == ["-u"]:
        options = options[1:]
    if len(options) < 2:
        return None
    kind, name, *rest = options
    if WARM in environment and kind in ("-c", "-m"):
        return environment[WARM]
    if kind == "-c" and name.startswith(SPAWN):
        return PROGRAMS if SPAWNS in environment else None
    if kind != "-m":
        return None
    # A job's module is started by training.launcher, or itself.
    module = rest[0] if name == "training.launcher" and rest else name
    if module in JOB_MODULES or module == environment.get(JOB):
        return JOBS
    if COLD in environment:
        return None
    if name in ENDPOINT_MODULES:
        return ENDPOINTS
    # The processes that `imgclf up` has started are to be its children.
    return PROGRAMS if name in MODULES and rest[:1] != ["up"] else None


def place():
    """What a copy has of its server rather than of its client, unless it enters the client's
    namespaces; it must be the same for both."""
    import resource

    limits = (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
    spaces = [os.readlink(f"/proc/self/ns/{name}") for name in SPACES]
    return [
        *(os.getuid(), os.geteuid(), os.getgid(), os.getegid()),
        *(list(resource.getrlimit(limit)) for limit in limits),
        *spaces,
    ]


def open_files():
    """The numbers of the files that this process was started with."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.get_inheritable(number):
                found.append(number)
        except OSError:  # the folder that is being read
            continue
    return sorted(found)


def hand_over(address):
    """Let the server at ``address`` run this program, and end as it ends; return if there is none."""
    import array
    import json
    import signal
    import socket

    files = open_files()
    start_server(address)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if not is_there(address) or connection.connect_ex(address) != 0:
        connection.close()
        return
    request = {
        "arguments": sys.orig_argv[1:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "numbers": files,
        "niceness": os.nice(0),
        "mask": os.umask(0o022),
        "place": place(),
        "client": os.getpid(),
    }
    data = json.dumps(request).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files).tobytes())]
    connection.sendmsg([len(data).to_bytes(4, "big")], rights)
    connection.sendall(data)
    answers = connection.makefile("r")
    pid = int(answers.readline())
    if pid == 0:  # it is another place's
        os.umask(request["mask"])
        connection.close()
        return

    def pass_on(number, _):
        os.killpg(pid, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, pass_on)
    status = int(answers.readline())
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status))


def is_there(address):
    """Whether a server listens at ``address``, once one that is starting has imported its libraries.

    To wait costs less than to import: `imgclf up` starts six programs at once.
    """
    import time

    while not os.path.exists(address):
        try:
            with open(f"{address}.started") as file:
                pid = file.read()
            if pid and has_ended(pid):
                return False
        except OSError:  # the tests have ended
            return False
        time.sleep(0.05)
    return True


def has_ended(pid):
    """Whether a process is gone, or nobody has asked yet how it ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def start_server(address, python=sys.executable):
    """Start the server at ``address`` with an interpreter, unless it was started before."""
    if os.path.exists(f"{address}.started"):
        return
    import subprocess
    from pathlib import Path

    try:
        started = os.open(f"{address}.started", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except (FileExistsError, FileNotFoundError):  # another has, or the tests have ended
        return
    # What libraries read when they are imported would hold for all copies.
    own = ("AWS_", "DAGSTER_", "GRADIO_", "IMGCLF_", "LABEL_STUDIO_", "MLFLOW_", WARM)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    program = ["-m", "tests.warm_programs.server"]
    if os.path.basename(address) == LABEL_STUDIO:
        run = "from tests.warm_programs.server import main; main()"
        program = [ISOLATED, "-c", f"import sys; sys.path.append({ROOT!r}); {run}"]
    # A child of this process would be ended with it by `imgclf up`, and so would all copies.
    detached = [python, "-I", "-S", "-c", DETACHED]
    with Path(f"{address}.log").open("ab") as log, os.fdopen(started, "w") as note:
        starter = subprocess.run(
            [*detached, python, *program, address, os.environ["PYTEST_WARM_PROGRAMS_OF"]],
            cwd=ROOT,
            env={name: value for name, value in kept.items() if name != "PYTHONPATH"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=True,
        )
        note.write(starter.stdout.strip())


if (
    "PYTEST_WARM_PROGRAMS" in os.environ
    and hasattr(os, "pidfd_open")  # Linux
    and (found := server_of(sys.orig_argv, os.environ)) is not None
    and not any(map(os.isatty, (0, 1, 2)))
):
    hand_over(f"{os.environ['PYTEST_WARM_PROGRAMS']}/{found}")
