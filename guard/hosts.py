"""Host names: parsed from headers, validated in settings, recognized as loopback."""

import ipaddress
import re
from dataclasses import dataclass

_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_NAME = 253
_DEFAULT_PORTS = {"http": 80, "https": 443}


LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine, for third-party programs that know no address ranges."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A host in lower case (an IPv6 address without brackets) and its port, if one was given."""

    host: str
    port: int | None

    def at(self, scheme: str) -> tuple[str, int | None]:
        """Return host and port, with the default port of ``scheme`` if none was given."""
        return self.host, self.port if self.port is not None else _DEFAULT_PORTS.get(scheme)


def parse_authority(text: str) -> Authority | None:
    """Parse host and port of a Host header or URL authority; ``None`` if it is invalid."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    if port is not None and port > 65535:
        return None
    if found["six"] is None:
        return Authority(found["name"].lower(), port)
    try:
        return Authority(str(ipaddress.IPv6Address(found["six"])), port)
    except ValueError:
        return None


def parse_origin(text: str) -> tuple[str, Authority] | None:
    """Parse scheme and authority of an Origin header; ``None`` if it is ``null`` or invalid."""
    scheme, found, rest = text.partition("://")
    authority = parse_authority(rest) if found else None
    if authority is None or scheme.lower() not in _DEFAULT_PORTS:
        return None
    return scheme.lower(), authority


def in_header(host: str) -> str:
    """Return ``host`` as in a Host header: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address, which does not depend on DNS."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether ``host`` is a loopback name: localhost, 127.0.0.0/8, ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_host(host: str) -> str:
    """Validate a host name from the settings; return it in lower case.

    Raises:
        ValueError: it is no host name; the message has the reason.
    """
    name = host.strip().lower()
    if "*" in name:
        raise ValueError(f"{host!r}: name each host in full; * would allow every host")
    if "/" in name:
        raise ValueError(f"{host!r}: only the name, without http:// and path")
    if not name.isascii():
        raise ValueError(f"{host!r}: as browsers send it, in ASCII (xn--…)")
    bare = name.removeprefix("[").removesuffix("]")
    if is_address(bare):
        address = ipaddress.ip_address(bare)
        if address.is_unspecified:
            raise ValueError(f"{host!r} is where a server listens; it is not a host name")
        return str(address)
    authority = parse_authority(name)
    if authority is not None and authority.port is not None:
        raise ValueError(f"{host!r}: without the port; every port of a host counts")
    if len(name) > _MAX_NAME or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError(f"{host!r} is no host name, such as dagster.example.org")
    return name
