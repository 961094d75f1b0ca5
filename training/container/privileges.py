"""Dropping root privileges at the start of a container.

SageMaker starts every container as root, and requires images without another user
(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html): the folders
below ``/opt/ml`` belong to root. So the process starts as root, changes the owner of the folders that
it writes, and becomes an ordinary user before it reads any data.
"""

import itertools
import logging
import os
import pwd
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

USER_VARIABLE = "IMGCLF_RUN_AS"
"""Environment variable with the user to become, set by the image. If it is unset, as on a laptop,
nothing changes."""

WRITTEN = ("model", "output", "checkpoints", "scratch", "processing/output")
"""Folders below the container's root that a job writes."""

_LOOKED_AT = 1000
"""Number of paths that are checked for read access; all were created by the same program."""

log = logging.getLogger(__name__)


def drop_privileges(root: Path, *, written: Iterable[str] = WRITTEN) -> bool:
    """Become the user of ``IMGCLF_RUN_AS`` permanently.

    If that user could not read the inputs or write the outputs, the process stays root and logs a
    warning, so that the job does not fail.

    Args:
        root: the container's ``/opt/ml``.
        written: folders below it that this process will write; they are created, and given to the
            user.

    Returns:
        Whether this process is not root now.

    Raises:
        KeyError: there is no such user in the image.
    """
    name = os.environ.get(USER_VARIABLE, "")
    if os.geteuid() != 0 or not name:
        return os.geteuid() != 0
    user = pwd.getpwnam(name)
    folders = [root / folder for folder in written]
    for folder in folders:
        _hand_over(folder, user)
    groups = os.getgroups()
    try:
        os.setgroups([user.pw_gid])
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
    except PermissionError as error:  # a root without its capabilities
        os.setegid(0)
        log.warning("stays root: it may not become %s (%s)", name, error)
        return False
    blocked = _blocked(root, folders)
    os.seteuid(0)
    os.setegid(0)
    if blocked is not None:
        os.setgroups(groups)
        log.warning("stays root: %s may not use %s", name, blocked)
        return False
    # As root, these set the real, the effective and the saved id (setresuid is Linux's alone).
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update({"HOME": user.pw_dir, "USER": name, "LOGNAME": name})
    return True


def _hand_over(folder: Path, user: pwd.struct_passwd) -> None:
    """Give a folder, created if necessary, and its contents to the user."""
    # If the file system is read-only or has no owners, `_blocked` finds out.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _blocked(root: Path, written: Iterable[Path]) -> Path | None:
    """Return a path that the effective user needs but cannot access; ``None`` if there is none."""
    for folder in written:
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            return folder
    for path in itertools.islice(root.rglob("*"), _LOOKED_AT):
        mode = os.R_OK | (os.X_OK if path.is_dir() else 0)
        if not os.access(path, mode, effective_ids=True):
            return path
    return None
