"""``python -m imgclf_dagster.mlflow_server``: ``mlflow``, its server kept from other sites' pages.

MLflow itself looks at Host, but lets every page of this machine's other ports read and write, the
approval of a model included; and of its own accord it knows ``10.evil.example`` as private.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from guard.hosts import LOOPBACK, in_header

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOSTS_VARIABLE = "MLFLOW_GUARD_ALLOWED_HOSTS"
"""Tells the server's process, which ``mlflow`` starts, the names that are allowed."""

_STOCK = "mlflow.server.fastapi_app:app"
_GUARDED = "imgclf_dagster.mlflow_server:create_app"


def variables(allowed_hosts: Sequence[str]) -> dict[str, str]:
    """What the server's environment says of the names under which it is reached."""
    names = list(map(in_header, allowed_hosts))
    known = [*map(in_header, LOOPBACK), *names]
    # Shell patterns, in which a bracket opens a set of characters.
    patterns = [*known, *(f"{host.replace('[', '[[]')}:*" for host in known)]
    chosen = {
        HOSTS_VARIABLE: ",".join(allowed_hosts),
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(patterns),
    }
    if names:
        origins = [f"{scheme}://{host}" for scheme in ("https", "http") for host in names]
        chosen["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    return chosen


def create_app() -> "ASGIApp":
    """MLflow's own application behind the guard."""
    from mlflow.server.fastapi_app import app

    from guard.middleware import BrowserGuard

    hosts = os.environ.get(HOSTS_VARIABLE, "")
    return BrowserGuard(app, hosts.split(",") if hosts else [])


def main() -> None:
    """Run ``mlflow`` with the arguments of this process."""
    import mlflow.server
    from mlflow.cli import cli

    stock = mlflow.server._build_uvicorn_command

    def guarded(*arguments: Any, **options: Any) -> list[str]:
        command: list[str] = stock(*arguments, **options)
        if command[-1] != _STOCK:
            sys.exit(
                f"MLflow would start {command[-1]}, which cannot be guarded; install the mlflow "
                "that constraints.txt names"
            )
        return [*command[:-1], "--factory", _GUARDED]

    mlflow.server._build_uvicorn_command = guarded
    cli()


if __name__ == "__main__":
    main()
