"""``python -m serving``: one endpoint host for all stages of a project."""

import argparse
import asyncio
import contextlib
import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn

from guard.arguments import add_allow_host
from guard.middleware import BrowserGuard
from object_store.errors import StoreError
from object_store.store import ObjectStore
from serving.deployments import record_keys
from serving.endpoint.address import HOST_RUNS_ALREADY, HostRunning, only_host, write_address
from serving.endpoint.app import create_app
from serving.endpoint.host import EndpointHost
from serving.endpoint.listening import listen, port_number, server_config
from serving.limits.limits import LimitsWrong, ServingLimits

_PARENT_POLL_S = 1.0


class _Server(uvicorn.Server):
    """Uvicorn that writes its address file while it listens, and exits with its parent process."""

    def __init__(self, config: uvicorn.Config, announce: tuple[Path, str, str] | None) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._announce:
            write_address(*self._announce)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # First, and here: uvicorn raises the signal again at the end, which skips any `finally`.
        if self._announce:
            self._announce[0].unlink(missing_ok=True)
        await super().shutdown(sockets)

    async def leave_with(self, parent: int) -> None:
        """Exit when the process ``parent`` is gone."""
        while os.getppid() == parent:
            await asyncio.sleep(_PARENT_POLL_S)
        self.should_exit = True


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit codes: 1 cannot start, 3 another host is running."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with (
            only_host(arguments.address_file)
            if arguments.address_file
            else contextlib.nullcontext()
        ):
            _serve(arguments)
    except HostRunning as error:
        print(error, file=sys.stderr)
        sys.exit(HOST_RUNS_ALREADY)


def _serve(arguments: argparse.Namespace) -> None:
    try:
        limits = ServingLimits.from_environment()
    except LimitsWrong as error:
        sys.exit(str(error))
    try:
        store = ObjectStore(url=arguments.store_url)
        record_keys(store, "prod")
    except (StoreError, ValueError) as error:
        sys.exit(f"the store {arguments.store_url} cannot be read: {error}")
    try:
        listener = listen(arguments.host, arguments.port)
    except OSError as error:
        sys.exit(
            f"cannot listen on {arguments.host}:{arguments.port}: {error.strerror}; choose another "
            "port (endpoint under [ports] in imgclf.toml)"
        )
    url = f"http://{arguments.host}:{listener.getsockname()[1]}"
    app = create_app(EndpointHost(store, arguments.project), limits=limits)
    config = server_config(BrowserGuard(app, arguments.allow_host))
    announce = (arguments.address_file, url, store.url) if arguments.address_file else None
    server = _Server(config, announce)
    logging.getLogger("serving").info("endpoints of %s at %s", arguments.project, url)
    asyncio.run(_run(server, listener, arguments.parent))


async def _run(server: _Server, listener: socket.socket, parent: int | None) -> None:
    watch = asyncio.create_task(server.leave_with(parent)) if parent else None
    await server.serve(sockets=[listener])
    if watch:
        watch.cancel()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m serving", description=__doc__)
    parser.add_argument("--store-url", required=True, help="the store: file:///… or s3://…")
    parser.add_argument("--project", required=True, help="endpoints are <project>-<stage>")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=port_number, required=True, help="0 takes any free port")
    parser.add_argument(
        "--address-file", type=Path, help="file that receives the address once it listens"
    )
    add_allow_host(parser)
    parser.add_argument("--parent", type=int, help="process id to exit with")
    return parser.parse_args()


if __name__ == "__main__":
    main()
