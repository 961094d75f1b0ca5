"""The page at ``/``: the newest labelling report of the store, or how one comes."""

from html import escape

from serving.store import BackingStore

REPORTS = "reports/labelling"

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the page shows what is in it, runs nothing and loads nothing."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>:root {{ color-scheme: light dark }} body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 38rem;
margin: 12vh auto; padding: 0 1.25rem }} h1 {{ font-size: 1.35rem; letter-spacing: -.01em }}
code {{ font-family: ui-monospace, Consolas, monospace; font-size: .93em }} a {{ color: inherit }}
p {{ opacity: .85 }}</style><h1>{title}</h1>{body}</html>"""


class ReportShelf:
    """The labelling reports of a store. Keys begin with the time in ms, so the last is the newest."""

    def __init__(self, store: BackingStore) -> None:
        self._store = store
        self._key: str | None = None
        self._page = b""

    def newest(self) -> bytes | None:
        """The newest report; it is read once. Raises what obstore raises when nobody answers."""
        after = self._store.keys_after(REPORTS, self._key)
        key = max((key for key in after if key.endswith(".html")), default=None)
        if key is not None:
            self._page = self._store.read(key)
            self._key = key
        return self._page if self._key else None


def no_report(project: str, label_studio_url: str) -> str:
    """The page as long as there is no report."""
    link = (
        f'<p>Label Studio is at <a href="{escape(label_studio_url)}">{escape(label_studio_url)}</a>.</p>'
        if label_studio_url.startswith(("http://", "https://"))
        else ""
    )
    return _PAGE.format(
        title=f"{escape(project)}: no labelling report yet",
        body="<p>The asset <code>labelling_report</code> writes one as soon as there are labels: "
        "labels per hour, how often pre-labels were right, and what more labels would bring."
        f"</p>{link}",
    )


def unreachable(project: str, why: str) -> str:
    """The page when the store does not answer."""
    body = (
        f"<p>The store does not answer: {escape(why)}</p><p>Load the page again when it does.</p>"
    )
    return _PAGE.format(title=f"{escape(project)}: no labelling report", body=body)
