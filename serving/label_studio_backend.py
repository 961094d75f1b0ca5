"""``python -m serving.label_studio_backend``: pre-labels, corrections and the labelling report.

One server, for three callers: Label Studio asks it as an ML backend (basic auth), the predictor
sends it corrections (token), a person opens its page. On loopback the page needs no password.
"""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

import uvicorn

from guard.arguments import add_allow_host
from guard.middleware import BrowserGuard
from object_store.errors import StoreError
from object_store.store import ObjectStore
from serving.deployments import record_keys
from serving.endpoint.listening import listen, port_number, server_config
from serving.labelling.access import Access, CredentialsUnusable, is_loopback, read_credentials
from serving.labelling.app import Backend, create_backend_app
from serving.labelling.model import ServedModel
from serving.limits.limits import LimitsWrong, ServingLimits


def main() -> None:
    """Serve until SIGTERM or SIGINT. Exit code 1: it cannot start; the reason is on stderr."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        limits = ServingLimits.from_environment()
        credentials = read_credentials(arguments.credentials_file)
        store = ObjectStore(url=arguments.store_url)
        record_keys(store, "prod")
        listener = listen(arguments.host, arguments.port)
    except (CredentialsUnusable, LimitsWrong) as error:
        sys.exit(str(error))
    except StoreError as error:
        sys.exit(f"the store {arguments.store_url} cannot be read: {error}")
    except (OSError, ValueError) as error:
        sys.exit(
            f"cannot serve {arguments.store_url} on {arguments.host}:{arguments.port}: {error}; "
            "choose another port (labelling under [ports] in imgclf.toml)"
        )
    backend = Backend(
        store=store,
        project=arguments.project,
        model=ServedModel(store, arguments.project),
        access=Access(credentials, loopback=is_loopback(arguments.host)),
        hint_file=arguments.hint_file,
        label_studio_url=arguments.label_studio_url,
        limits=limits,
    )
    place = "{}:{}".format(*listener.getsockname())
    logging.getLogger("serving").info("labelling of %s at http://%s", arguments.project, place)
    app = BrowserGuard(create_backend_app(backend), arguments.allow_host)
    server = uvicorn.Server(server_config(app))
    asyncio.run(server.serve(sockets=[listener]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m serving.label_studio_backend", description=__doc__)
    parser.add_argument("--store-url", required=True, help="the store: file:///… or s3://…")
    parser.add_argument("--project", required=True, help="endpoints are <project>-<stage>")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; on any other than loopback's everything asks for a password",
    )
    add_allow_host(parser)
    parser.add_argument("--port", type=port_number, default=9090, help="0 takes any free port")
    parser.add_argument(
        "--credentials-file",
        type=Path,
        required=True,
        help="JSON with user, password and feedback_token, readable by its owner only",
    )
    parser.add_argument(
        "--hint-file", type=Path, help="file touched when Label Studio reports a change"
    )
    parser.add_argument("--label-studio-url", default="", help="linked to from the empty page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
