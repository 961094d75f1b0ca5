"""Root only for as long as SageMaker insists on it.

SageMaker starts every container as root, and tells images to have no other user
(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html): the folders
below ``/opt/ml`` belong to root. So ours starts as root, hands over the folders that it writes,
and goes on as an ordinary user before it reads a byte of anybody's data.
"""

import itertools
import logging
import os
import pwd
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

USER_VARIABLE = "IMGCLF_RUN_AS"
"""The user to become; the image sets it. Unset, as on a laptop: nothing happens."""

WRITTEN = ("model", "output", "checkpoints", "scratch", "processing/output")
"""What a job writes, below the container's root."""

_LOOKED_AT = 1000
"""So many paths are tried for whether the user may read them: they were all laid by one program."""

log = logging.getLogger(__name__)


def drop_privileges(root: Path, *, written: Iterable[str] = WRITTEN) -> bool:
    """Become the user of ``IMGCLF_RUN_AS`` for good; whether this process is not root now.

    Where that user could not read the inputs or write the outputs, the process stays root and
    says so: a job is not to fail by its hardening.

    Args:
        root: the container's ``/opt/ml``.
        written: folders below it that this process will write; they are made and handed over.

    Raises:
        KeyError: there is no such user; the image is wrong.
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
    """``folder``, made if need be, and what is in it, such as the checkpoints of a lost attempt."""
    # A file system that is read-only or does not know owners: what follows will tell.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _blocked(root: Path, written: Iterable[Path]) -> Path | None:
    """A path that the effective user cannot use and would have to."""
    for folder in written:
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            return folder
    for path in itertools.islice(root.rglob("*"), _LOOKED_AT):
        mode = os.R_OK | (os.X_OK if path.is_dir() else 0)
        if not os.access(path, mode, effective_ids=True):
            return path
    return None
