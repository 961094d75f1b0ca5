"""``python -m imgclf_dagster.webserver``: Dagster's web server, protected from other sites' pages.

The stock server (``dagster-webserver``, ``dagster dev``) executes GraphQL, mutations included, that
any web page makes a browser send. All its options are kept, and one is added.
"""

import json

import click
import dagster_webserver.app
from dagster_webserver.cli import cli as stock
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from guard.arguments import OPTION
from guard.middleware import BrowserGuard, is_json

HEALTH_PATH = "/server_info"
"""Health check of load balancers; it returns nothing but Dagster's version."""


class GuardedWebserver(DagsterWebserver):
    """Dagster's web server behind ``BrowserGuard``; it accepts GraphQL only by POST of JSON."""

    allowed_hosts: tuple[str, ...] = ()

    def build_middleware(self) -> list[Middleware]:
        """Return the middleware with the guard first, so that refused requests cost nothing."""
        health = f"{self._app_path_prefix}{HEALTH_PATH}"
        guard = Middleware(BrowserGuard, self.allowed_hosts, health_paths=[health])
        return [guard, *super().build_middleware()]

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """Execute GraphQL posted as JSON; serve the query page to browsers; refuse the rest."""
        if request.method == "POST":
            if not is_json(request.headers):
                return PlainTextResponse("refused: GraphQL is taken as application/json\n", 415)
            if not _is_object(await request.body()):  # Dagster fails on it with a traceback
                return PlainTextResponse("refused: the body is not one JSON object\n", 400)
        elif request.method != "GET" or not _asks_for_a_page(request):
            # A page can send such a GET as the address of an image; Dagster would execute it.
            return PlainTextResponse(
                "refused: GraphQL is asked by POST, as application/json\n", 405, {"Allow": "POST"}
            )
        answer: Response = await super().graphql_http_endpoint(request)
        return answer


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _asks_for_a_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and "query" not in request.query_params


def _guard(_: click.Context, __: click.Parameter, hosts: tuple[str, ...]) -> None:
    try:
        BrowserGuard(_nothing, hosts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    GuardedWebserver.allowed_hosts = hosts
    # Its factory looks the class up in this module.
    names = vars(dagster_webserver.app)
    if names.get(DagsterWebserver.__name__) is not DagsterWebserver:
        raise click.ClickException(
            "this version of dagster-webserver has another structure, so that it cannot be "
            "protected; install the one that constraints.txt names"
        )
    names[DagsterWebserver.__name__] = GuardedWebserver


async def _nothing(*_: object) -> None:
    """An ASGI application that does nothing, for checking the host names."""


command = click.Command(
    "dagster-webserver",
    help=stock.help,
    callback=stock.callback,
    params=[
        *stock.params,
        click.Option(
            [OPTION],
            multiple=True,
            expose_value=False,
            callback=_guard,
            help="A host name under which this server is reached, besides loopback's; repeatable.",
        ),
    ],
)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    command(auto_envvar_prefix="DAGSTER_WEBSERVER")


if __name__ == "__main__":
    main()
