"""``python -m imgclf_dagster.mlflow_server``: ``mlflow``, protected from pages of other origins.

MLflow checks Host, but lets pages of any other port of this machine read and write, model approval
included; and it accepts ``10.evil.example`` as a private address.
"""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from guard.hosts import LOOPBACK, in_header

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOSTS_VARIABLE = "MLFLOW_GUARD_ALLOWED_HOSTS"
"""Passes the allowed host names to the server process that ``mlflow`` starts."""

_STOCK = "mlflow.server.fastapi_app:app"
_GUARDED = "imgclf_dagster.mlflow_server:create_app"


def variables(allowed_hosts: Sequence[str]) -> dict[str, str]:
    """Return the environment variables of the server for its allowed host names."""
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
    """Return MLflow's application behind the guard."""
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
                f"MLflow would start {command[-1]}, which cannot be protected; install the mlflow "
                "that constraints.txt names"
            )
        return [*command[:-1], "--factory", _GUARDED]

    mlflow.server._build_uvicorn_command = guarded
    _create_database(sys.argv)
    cli()


def _create_database(arguments: Sequence[str]) -> None:
    """Create the database that ``arguments`` name, if it is a file that does not exist."""
    # A run that registers a model may create it at the same moment. MLflow locks nothing: each finds
    # tables of the other, and what is left cannot be completed by anybody.
    from resources.registry.mlflow_writes import database_of, ensure_database

    option = "--backend-store-uri"
    if option in arguments and (database := database_of(arguments[arguments.index(option) + 1])):
        ensure_database(database)


if __name__ == "__main__":
    main()
