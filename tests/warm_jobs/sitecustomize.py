"""Has a job of the line run in a copy of a process that has imported PyTorch already.

Python imports this file at start, if its folder is on PYTHONPATH. ``python -m training.launcher
training.train``, say, then hands its arguments, environment, folder, input and output to the server of
``tests.warm_jobs.server`` (``PYTEST_WARM_JOBS`` is its socket), which forks; it passes signals on,
and ends as the copy ends. A job that finds no server starts one for the next, and runs as ever.
"""

import os
import sys

MODULES = {"training.train", "training.evaluate", "training.embed", "training.learning_curve"}


def job(arguments, environment):
    """A job's module and what follows it, if that is what Python was started with; else None.

    The module is training.launcher, which starts a job's, or the job's own. What torchrun starts
    is no job, but one process of it.
    """
    if "-m" not in arguments or "TORCHELASTIC_RUN_ID" in environment:
        return None
    given = arguments[arguments.index("-m") + 1 :]
    names = given[1:] if given[:1] == ["training.launcher"] else given
    return given if names and names[0] in MODULES else None


def hand_over(address, arguments):
    """Let the server run the job, and end as it ends; return if there is no server."""
    import array
    import json
    import signal
    import socket

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        start_server(address)
        return
    request = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109 - pathlib costs a start 10 ms
    data = json.dumps(request).encode()
    files = array.array("i", [0, 1, 2]).tobytes()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)]
    connection.sendmsg([len(data).to_bytes(4, "big")], rights)
    connection.sendall(data)
    answers = connection.makefile("r")
    pid = int(answers.readline())

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


def start_server(address):
    """Start the server of the next jobs, unless another job has."""
    import subprocess
    from pathlib import Path

    try:
        os.close(os.open(f"{address}.started", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    with Path(f"{address}.log").open("ab") as log:
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.warm_jobs.server",
                address,
                os.environ["PYTEST_WARM_JOBS_OF"],
            ],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


if (
    "PYTEST_WARM_JOBS" in os.environ
    and hasattr(os, "pidfd_open")  # Linux
    and (found := job(sys.orig_argv, os.environ)) is not None
):
    hand_over(os.environ["PYTEST_WARM_JOBS"], found)
