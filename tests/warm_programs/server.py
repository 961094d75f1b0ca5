"""A process with libraries in it that forks: ``python -m tests.warm_programs.server SOCKET PID``.

The socket's name is what it forks for: ``jobs``, ``endpoints``, ``programs`` or, with the Python of
its environment, ``label_studio``. It ends with the process ``PID``, the tests' first. Its client is
``sitecustomize``.
"""

import array
import atexit
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from tests.warm_programs import CLIENT
from tests.warm_programs.sitecustomize import (
    ENDPOINTS,
    ISOLATED,
    JOBS,
    LABEL_STUDIO,
    PROGRAMS,
    ROOT,
    SPACES,
    SPAWNS,
    WARM,
    place,
)

PRELOADED = {
    JOBS: (
        "lightning.pytorch",
        "torchmetrics",
        "torchvision",
        "training.train",
        "training.evaluate",
        "training.embed",
        "training.learning_curve",
        "training.step_time",
        "training.tune",
        # What a training imports later, above all to export its net.
        "joblib",
        "matplotlib.backends.backend_agg",
        "omegaconf",
        "onnxscript.function_libs.torch_lib.ops",
        "optuna.importance",
        "optuna.storages._rdb.models",
        "optuna.storages._rdb.storage",
        "optuna.visualization.matplotlib",
        "pyarrow.dataset",
        "s3fs",
        "sklearn.ensemble",  # of the importance of hyperparameters
        "sympy.tensor.tensor",
        "tensorboardX",
        "torch._inductor.compiler_bisector",
        "torch._inductor.sizevars",
        "torch.export._trace",
        "torch.onnx._internal.exporter._compat",
        "torch.onnx._internal.exporter._torchlib.ops",
        "torchvision.transforms.v2",
        "training.fitting.fit",
        "training.fitting.probe",
    ),
    ENDPOINTS: (
        "guard.arguments",
        "guard.middleware",
        "object_store.store",
        "serving.endpoint.address",
        "serving.endpoint.app",
        "serving.endpoint.host",
        "serving.endpoint.listening",
        "uvicorn.lifespan.on",
        "uvicorn.loops.uvloop",
        "uvicorn.protocols.http.httptools_impl",
        "uvicorn.protocols.websockets.websockets_sansio_impl",
        "training.container.privileges",
    ),
    # Only what needs no settings of Django's: those are each server's own.
    LABEL_STUDIO: (
        "bleach",
        "boto3",
        "django.contrib.admin.decorators",
        "django.test.signals",
        "label_studio_sdk.converter.brush",
        "label_studio_sdk.label_interface",
        "ldclient",
        "pandas",
        "psycopg",
        "rq",
        "sentry_sdk",
        "tldextract",
        "ua_parser.user_agent_parser",
    ),
    # Nothing here may read settings or the environment when it is imported.
    PROGRAMS: (
        "dagster._api.get_server_id",
        "dagster._api.list_repositories",
        "dagster._api.snapshot_job",
        "dagster._api.snapshot_repository",
        "dagster._api.snapshot_sensor",
        "dagster._cli",
        "dagster._core.executor.in_process",
        "dagster._core.storage.schedules.sqlite",
        "dagster._core.storage.sqlite_storage",
        "dagster._daemon.cli",
        "dagster._grpc.proxy_server",
        "dagster._grpc.server",
        "dagster_webserver.app",
        "dagster_webserver.cli",
        "flask",
        "gradio",
        "guard.arguments",
        "guard.middleware",
        "imgclf_dagster.cli.main",
        "imgclf_dagster.daemon",
        "imgclf_dagster.definitions",
        "mlflow.genai",
        "mlflow.store.model_registry.sqlalchemy_store",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.tracking",
        "pyarrow.dataset",
        "resources.compute.local.compute",
        "resources.compute.sagemaker.compute",
        "resources.endpoints.local",
        "resources.registry.mlflow",
        "scipy.fftpack",
        "scipy.special",
        "serving.endpoint.launch",
        "training.images.images",
        "upath",
        "uvicorn.lifespan.on",
        "uvicorn.loops.uvloop",
        "uvicorn.protocols.http.httptools_impl",
        "uvicorn.protocols.websockets.websockets_sansio_impl",
        "werkzeug",
    ),
}
FREE = 200
"""The first number of files where a copy puts what it was handed, before their numbers are free."""


@dataclass(frozen=True)
class Request:
    """A program to run: what its process was started with.

    Attributes:
        arguments: what followed Python's name.
        environment: its variables.
        folder: its working folder.
        files: descriptors here of its open files.
        numbers: their numbers in its process.
        niceness: of its process.
        mask: of the files that it makes (umask).
        place: see ``sitecustomize.place``.
        client: the process's id.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    files: list[int]
    numbers: list[int]
    niceness: int
    mask: int
    place: list[Any]
    client: int

    @classmethod
    def read(cls, connection: socket.socket) -> "Request":
        """Receive it, with the descriptors of its open files."""
        size, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(253 * 4))
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
            In a copy, the program to run; None in the server, when the owner has ended.
        """
        while True:
            for key, _ in self.waiting.select():
                if key.fileobj is self.owner:
                    self._end_copies()
                    return None
                if key.fileobj is self.listener:
                    connection, _ = self.listener.accept()
                    request = self._take(connection)
                    if request is not None:
                        return request
                else:
                    self._ended(*key.data)

    def _end_copies(self) -> None:
        """Kill what still runs: nobody else would notice that its client has ended."""
        for pid in {key.data[0] for key in self.waiting.get_map().values() if key.data}:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

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
            there = is_at(request)
            with suppress(OSError):  # its client has ended, and the server notices
                connection.sendall(f"{os.getpid() if there else 0}\n".encode())
            connection.close()
            if not there:
                os._exit(0)
            return request
        for descriptor in request.files:
            os.close(descriptor)
        process = os.pidfd_open(pid)
        for file in (process, connection):  # either it ends, or its client does
            self.waiting.register(file, selectors.EVENT_READ, (pid, process, connection))
        return None

    def _ended(self, pid: int, process: int, connection: socket.socket) -> None:
        """Tell how the copy ended; end it, if it is its client that has."""
        known = self.waiting.get_map().get(process)
        if known is None or known.data[0] != pid:
            return  # both had ended; a program that came meanwhile may have the descriptor's number
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what is left of it; nothing, if it has ended
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            connection.sendall(f"{status}\n".encode())
        for file in (process, connection):
            self.waiting.unregister(file)
        os.close(process)
        connection.close()


def is_at(request: Request) -> bool:
    """Whether this copy has the limits, user and namespaces of its client, into which it goes."""
    here = place()
    if here == request.place:
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    for name, mine, theirs in zip(
        SPACES, here[-len(SPACES) :], request.place[-len(SPACES) :], strict=True
    ):
        if mine != theirs:
            try:
                with Path(f"/proc/{request.client}/ns/{name}").open("rb") as space:
                    libc.setns(space.fileno(), 0)  # what it did is seen below
            except OSError:
                return False
    return place() == request.place


def parent_of(process: int) -> int:
    """The id of a process's parent; 1 if it has ended."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return 1
    return int(status.rpartition(")")[2].split()[1])


def settle(request: Request) -> None:
    """Take on the files, variables and folder of a program's process."""
    handed = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, FREE) for file in request.files]
    for descriptor in request.files:
        os.close(descriptor)
    for number, descriptor in zip(request.numbers, handed, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    os.getppid = lambda: parent_of(request.client)
    os.umask(request.mask)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, request.niceness)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = request.environment.get("PYTHONPATH", "").split(os.pathsep)
    if request.arguments[0] == ISOLATED:
        given = []
        sys.path.remove(ROOT)
    else:
        sys.path[:1] = [request.folder, *filter(None, given)]
    sys.orig_argv = [sys.executable, *request.arguments]
    if "PYTHONUNBUFFERED" in request.environment or request.arguments[0] == "-u":
        sys.stdout.reconfigure(write_through=True)
    for folder in map(Path, filter(None, given)):
        if folder != CLIENT and (folder / "sitecustomize.py").exists():
            customize(folder / "sitecustomize.py")
    torch = sys.modules.get("torch")
    if torch and (threads := request.environment.get("OMP_NUM_THREADS")):
        torch.set_num_threads(int(threads))  # read when the library was loaded


def customize(path: Path) -> None:
    """Import a program's ``sitecustomize.py`` under another name, which tells it that this is a
    copy: the libraries are imported already."""
    spec = importlib.util.spec_from_file_location("sitecustomize_of_a_copy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def run(request: Request) -> None:
    """Run a program in this copy as Python would have from the command line."""
    settle(request)
    kind, what, *rest = request.arguments[request.arguments[0] == "-u" :]
    if kind == ISOLATED:  # a file
        sys.argv = [what, *rest]
        runpy.run_path(what, run_name="__main__")
        return
    for name in (SPAWNS, WARM):
        os.environ.pop(name, None)
    if kind == "-c":
        sys.argv = ["-c", *rest]
        sys.path[0] = ""
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(what, vars(main))  # as Python would
        return
    if [what, *rest[:2]] == ["dagster", "api", "grpc"]:
        os.environ[SPAWNS] = "1"
    sys.argv = [what, *rest]
    runpy.run_module(what, run_name="__main__", alter_sys=True)


def end(request: Request) -> NoReturn:
    """Run a program, and end this copy as Python would, but for the 2 CPU s in which it collects
    all of the libraries' objects."""
    try:
        run(request)
        code = 0
    except SystemExit as leaving:
        if leaving.code is not None and not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        code &= 0xFF
    except BaseException as error:  # what Python does with it
        traceback.print_exc()
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def main() -> None:
    """Import, listen, serve; in a copy, run its program."""
    address, owner = Path(sys.argv[1]), int(sys.argv[2])
    gc.disable()
    for module in PRELOADED[address.name]:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()
    # It starts threads when it is imported; a copy, which has none, would wait for them at its end.
    assert "onnxruntime" not in sys.modules
    assert threading.active_count() == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{address}.part")
        listener.listen(64)
        Path(f"{address}.part").rename(address)  # what has this name can be connected to
        request = Server(listener, os.pidfd_open(owner)).serve()
    if request is not None:
        end(request)
    os._exit(0)  # Python would collect all of the libraries' objects first


if __name__ == "__main__":
    main()
