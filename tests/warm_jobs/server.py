"""A process with PyTorch in it that forks for each job: ``python -m tests.warm_jobs.server SOCKET PID``.

It ends with the process ``PID``, the tests' first. Its client is ``sitecustomize``.
"""

import array
import atexit
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "lightning.pytorch",
    "torchmetrics",
    "torchvision",
    "training.train",
    "training.evaluate",
    "training.embed",
    "training.learning_curve",
)


@dataclass(frozen=True)
class Request:
    """A job to run: what its process was started with."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    files: list[int]

    @classmethod
    def read(cls, connection: socket.socket) -> "Request":
        """Receive it, with the descriptors of its input and outputs."""
        size, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * 4))
        files = array.array("i")
        for _, _, data in ancillary:
            files.frombytes(data)
        with connection.makefile("rb") as stream:
            values: dict[str, Any] = json.loads(stream.read(int.from_bytes(size, "big")))
        return cls(files=list(files), **values)


class Server:
    """Forks for each connection, and tells it how its copy ended."""

    def __init__(self, listener: socket.socket, owner: int) -> None:
        """Args:
        listener: bound and listening.
        owner: the descriptor (pidfd) of the process to end with.
        """
        self.listener, self.owner = listener, owner
        self.waiting = selectors.DefaultSelector()
        self.waiting.register(listener, selectors.EVENT_READ)
        self.waiting.register(owner, selectors.EVENT_READ)

    def serve(self) -> Request | None:
        """Fork for each request until the owner ends.

        Returns:
            In a copy, the job to run; None in the server, when the owner has ended.
        """
        while True:
            for key, _ in self.waiting.select():
                if key.fileobj is self.owner:
                    return None
                if key.fileobj is self.listener:
                    connection, _ = self.listener.accept()
                    request = self._take(connection)
                    if request is not None:
                        return request
                else:
                    self._ended(*key.data)

    def _take(self, connection: socket.socket) -> Request | None:
        try:
            request = Request.read(connection)
        except (OSError, ValueError):  # its client has ended already
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            os.setsid()
            self.waiting.close()
            self.listener.close()
            connection.close()
            return request
        for descriptor in request.files:
            os.close(descriptor)
        connection.sendall(f"{pid}\n".encode())
        process = os.pidfd_open(pid)
        for file in (process, connection):  # either it ends, or its client does
            self.waiting.register(file, selectors.EVENT_READ, (pid, process, connection))
        return None

    def _ended(self, pid: int, process: int, connection: socket.socket) -> None:
        """Tell how the copy ended; end it, if it is its client that has."""
        if process not in self.waiting.get_map():
            return  # both had ended
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what is left of it; nothing, if it has ended
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            connection.sendall(f"{status}\n".encode())
        for file in (process, connection):
            self.waiting.unregister(file)
        os.close(process)
        connection.close()


def run(request: Request) -> None:
    """Run a job in this copy as Python would have from the command line."""
    for number, descriptor in enumerate(request.files):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    for path in reversed(request.environment.get("PYTHONPATH", "").split(os.pathsep)):
        if path and path not in sys.path:
            sys.path.insert(0, path)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import torch

    if threads := request.environment.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))  # read when the library was loaded
    sys.argv = request.arguments
    runpy.run_module(request.arguments[0], run_name="__main__", alter_sys=True)


def end(request: Request) -> NoReturn:
    """Run a job, and end this copy as Python would, but for the 2 CPU s in which it collects all
    of PyTorch's objects."""
    try:
        run(request)
        code = 0
    except SystemExit as leaving:
        if leaving.code is not None and not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - what Python does with it
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Import, listen, serve; in a copy, run its job."""
    address, owner = sys.argv[1], int(sys.argv[2])
    for module in PRELOADED:
        importlib.import_module(module)
    # It starts threads when it is imported; a copy, which has none, would wait for them at its end.
    assert "onnxruntime" not in sys.modules
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{address}.part")
        listener.listen(16)
        Path(f"{address}.part").rename(address)  # what has this name can be connected to
        request = Server(listener, os.pidfd_open(owner)).serve()
    if request is not None:
        end(request)


if __name__ == "__main__":
    main()
