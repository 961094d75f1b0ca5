"""Rules that refuse requests which a page of another site makes a browser send.

A browser sends requests of any page to any server, also on this machine. Headers that no script can
set tell which page it was: ``Origin`` and ``Sec-Fetch-*``. ``Host`` reveals a page whose *name* was
pointed at this machine (DNS rebinding). Programs that are no browsers send neither ``Origin`` nor
``Sec-Fetch-*`` and are let in.

Only the standard library is imported: Label Studio's environment has no Starlette.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from guard.hosts import (
    Authority,
    checked_host,
    is_address,
    is_loopback,
    parse_authority,
    parse_origin,
)

SETTING = (
    "web.allowed_hosts in imgclf.toml (IMGCLF_WEB__ALLOWED_HOSTS), --allow-host of a server that "
    "is started by hand, HostName of the stack on AWS"
)

_OWN_SITES = ("same-origin", "none")
"""``Sec-Fetch-Site`` of the server's own pages, and of an address that the user typed."""

_READS = ("GET", "HEAD")
_MAX_LOGGED = 100

log = logging.getLogger("guard")


@dataclass(frozen=True, slots=True)
class Asked:
    """The parts of a request that the rules need.

    Attributes:
        method: HTTP method in capitals; empty for the handshake of a websocket.
        path: without the query.
        headers: (name in lower case, value).
        server: local address of the connection, if it is known.
    """

    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    server: str | None = None

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The HTTP status of a refused request, and the reason."""

    status: int
    reason: str


class Rules:
    """Decides on each request to a server without authentication.

    Args:
        allowed_hosts: host names of the server, besides those of loopback and the local address of
            the connection.
        health_paths: paths that are answered under any IP address, for the health checks of load
            balancers, which use addresses. A page cannot have an address as its name.
        any_host: whether any Host is allowed, because something in front of the server chooses the
            name, as SageMaker does.

    Raises:
        ValueError: one of ``allowed_hosts`` is no host name.
    """

    def __init__(
        self,
        allowed_hosts: Iterable[str] = (),
        health_paths: Collection[str] = (),
        *,
        any_host: bool = False,
    ) -> None:
        self._any_host = any_host
        self._allowed = frozenset(map(checked_host, allowed_hosts))
        self._health_paths = frozenset(health_paths)
        self._logged: set[str] = set()

    def refusal(self, asked: Asked) -> Refusal | None:
        """Return why a request is refused, and log it; ``None`` if it is let in."""
        found = self._judged(asked)
        # Log each reason once: a page that asks in a loop must not fill the log.
        if found and found.reason not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(found.reason)
            log.warning("%s", found.reason)
        return found

    def _judged(self, asked: Asked) -> Refusal | None:
        hosts = asked.all("host")
        host = parse_authority(hosts[0]) if len(hosts) == 1 else None
        if host is None:
            return Refusal(400, f"refused: {_shown(hosts)} is not one Host header with a host")
        if not self._knows(host, asked):
            return Refusal(
                421,
                f"refused: this server has no host name {_shown([host.host])}. Allow that host by "
                f"{SETTING}",
            )
        return self._foreign_origin(asked.all("origin"), host) or _foreign_site(asked)

    def _knows(self, host: Authority, asked: Asked) -> bool:
        if self._any_host or is_loopback(host.host) or host.host in self._allowed:
            return True
        if not is_address(host.host):
            return False
        # The local address of the connection, whatever address the server listens on.
        if asked.server == host.host:
            return True
        return asked.method in _READS and asked.path in self._health_paths

    def _foreign_origin(self, origins: list[str], host: Authority) -> Refusal | None:
        if not origins or (len(origins) == 1 and self._is_own(origins[0], host)):
            return None
        return Refusal(
            403,
            f"refused: a page of another origin ({_shown(origins)}) asks {_shown([host.host])}. "
            f"If a proxy of yours is in front, let it pass on Host, or allow its name by {SETTING}",
        )

    def _is_own(self, origin: str, host: Authority) -> bool:
        parsed = parse_origin(origin)
        if parsed is None:
            return False
        scheme, page = parsed
        # Behind a TLS proxy the page is https and this server sees http: apply the page's scheme.
        if page.at(scheme) == host.at(scheme):
            return True
        # A proxy may replace Host: then only configured names count, on the default port.
        return page.host in self._allowed and page.port is None


def _foreign_site(asked: Asked) -> Refusal | None:
    """Judge a request by ``Sec-Fetch-Site``; links to whole pages may come from anywhere."""
    sites = asked.all("sec-fetch-site")
    if all(site in _OWN_SITES for site in sites):
        return None
    followed_link = (
        asked.method in _READS
        and asked.all("sec-fetch-mode") == ["navigate"]
        and asked.all("sec-fetch-dest") in ([], ["document"])
    )
    if followed_link:
        return None
    return Refusal(
        403,
        f"refused: a page of another site asks (Sec-Fetch-Site: {_shown(sites)}); only links may "
        "lead here from other sites. Open this address directly",
    )


def _shown(values: list[str]) -> str:
    return ascii(", ".join(values)[:200]) if values else "none"
