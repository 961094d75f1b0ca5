"""Starts Label Studio behind the rules. Run as a file by the Python of Label Studio's environment.

Label Studio enforces no CSRF token on its API, and browsers send its cookie with requests of pages
on other ports of this machine: such a page could label in the name of the logged-in user.
"""

import importlib.util
import os
import runpy
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

HOSTS_VARIABLE = "LABEL_STUDIO_ALLOWED_HOSTS"
"""Label Studio's own variable; includes loopback's names."""

_STATUS = {400: "400 Bad Request", 403: "403 Forbidden", 421: "421 Misdirected Request"}

Application = Callable[[Any, dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI handler's ``__call__``."""


def guarded(application: Application, allowed_hosts: Iterable[str]) -> Application:
    """Wrap ``application``: requests that the rules refuse are answered without it."""
    from guard.rules import Asked, Rules

    rules = Rules(allowed_hosts)

    def call(
        handler: Any, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a request as the wrapped handler does, or refuse it.

        Args:
            handler: Django's WSGI handler.
            environ: the request, as in PEP 3333.
            start_response: as in PEP 3333.

        Returns:
            The body of the response, in chunks.
        """
        headers = [
            (name.removeprefix("HTTP_").replace("_", "-").lower(), str(value))
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        asked = Asked(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), headers)
        refusal = rules.refusal(asked)
        if refusal is None:
            return application(handler, environ, start_response)
        start_response(_STATUS[refusal.status], [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{refusal.reason}\n".encode()]

    return call


def main() -> None:
    """Run ``label_studio.server`` with the arguments of this process."""
    _find_our_package()
    # Django is in Label Studio's environment, not in this project's.
    from django.core.handlers.wsgi import WSGIHandler  # type: ignore[import-not-found] # in Label Studio's environment

    hosts = os.environ[HOSTS_VARIABLE].split(",")
    WSGIHandler.__call__ = guarded(WSGIHandler.__call__, hosts)
    runpy.run_module("label_studio.server", run_name="__main__", alter_sys=True)


def _find_our_package() -> None:
    """Make ``guard`` importable, without the other packages in its parent folder."""
    folder = Path(__file__).parent
    spec = importlib.util.spec_from_file_location(
        "guard", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["guard"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    main()
