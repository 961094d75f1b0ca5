"""Recognize Windows paths and URLs given as paths, and name the path to give instead."""

import re

_DRIVE = re.compile(r"^[\"']?(?P<letter>[A-Za-z]):(?P<rest>.*)$", re.DOTALL)
_WSL = re.compile(r"^(wsl\$|wsl\.localhost)/[^/]+(?P<rest>/.*)?$", re.IGNORECASE)
_ADDRESS = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/{1,3}")


def foreign_path(given: str) -> str | None:
    """Say which path to give instead of a Windows path or a URL.

    Returns:
        The message for the user; ``None`` if ``given`` is neither.
    """
    if address := _ADDRESS.match(given):
        return _address(given, address["scheme"].lower())
    if given.startswith("\\\\"):
        return _network(given)
    drive = _DRIVE.match(given)
    if drive is None:
        return None
    rest, letter = drive["rest"].rstrip("\"'"), drive["letter"].lower()
    if rest and rest[0] not in "\\/":
        return (
            f"{given} is a path of Windows whose backslashes were removed by the shell; under WSL "
            f"drive {letter.upper()}: is /mnt/{letter}: give /mnt/{letter}/… with slashes"
        )
    instead = f"/mnt/{letter}/{rest.replace(chr(92), '/').strip('/')}".rstrip("/")
    return f"{given} is a path of Windows; under WSL it is {_quoted(instead)}"


def _network(given: str) -> str:
    path = given.strip("\\").replace("\\", "/")
    if own := _WSL.match(path):
        return f"{given} is how Windows sees WSL; here it is {_quoted(own['rest'] or '/')}"
    share = "/".join(path.split("/")[:2])
    below = "/".join(path.split("/")[2:])
    instead = f"/mnt/share/{below}".rstrip("/")
    return (
        f"{given} is a network path of Windows; mount it (under WSL: sudo mkdir -p /mnt/share && "
        f"sudo mount -t drvfs '//{share}' /mnt/share) and give {_quoted(instead)}"
    )


def _address(given: str, scheme: str) -> str:
    if scheme == "file":
        return f"{given} is an address; give the path alone, without file://"
    if scheme == "s3":
        return (
            f"{given} is a bucket's address and no path; `aws s3 sync` copies to and from a folder"
        )
    return f"{given} is an address and no path; give a file or folder of this machine"


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path
