"""The page at ``/``: the store's newest labelling report, or how to get one."""

from functools import cache
from typing import TYPE_CHECKING

from object_store.store import ObjectStore

if TYPE_CHECKING:
    import jinja2

REPORTS = "reports/labelling"

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the page runs no script and loads nothing."""


class ReportShelf:
    """The labelling reports of a store. Keys begin with the time in ms, so the last is the newest."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._key: str | None = None
        self._page = b""

    def newest(self) -> bytes | None:
        """Return the newest report (HTML), read once; ``None`` if there is none.

        Raises:
            StoreError: the store does not answer.
        """
        newer = self._store.list(REPORTS, start_after=self._key)
        key = max((info.key for info in newer if info.key.endswith(".html")), default=None)
        if key is not None:
            self._page = self._store.get(key)
            self._key = key
        return self._page if self._key else None


def no_report(project: str, label_studio_url: str) -> str:
    """Return the page that is shown while there is no report."""
    return _page(project, label_studio_url=label_studio_url, why=None)


def unreachable(project: str, why: str) -> str:
    """Return the page that is shown when the store does not answer."""
    return _page(project, label_studio_url="", why=why)


def _page(project: str, **values: str | None) -> str:
    return _templates().get_template("no_report.html").render(project=project, **values)


@cache
def _templates() -> "jinja2.Environment":
    """Return the template environment: all values are escaped, and a missing one is an error."""
    import jinja2  # late: Label Studio's requests do not need it

    return jinja2.Environment(
        loader=jinja2.PackageLoader("serving"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
