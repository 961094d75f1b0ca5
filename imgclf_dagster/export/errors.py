"""Errors that stop an export."""

import errno
from pathlib import Path

from errors.base import ImgclfError

_SPACE = "free some space, or name another place in --to"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "this file system does not support files of this size; export to a folder, or "
    "another disk",
    errno.EROFS: "the file system is read-only: name another place in --to",
    errno.EACCES: "make it writable for this user, or name another place in --to",
    errno.EPERM: "make it writable for this user, or name another place in --to",
    errno.EIO: "the disk fails: name another place in --to",
    errno.ENOTDIR: "a part of the path is a file: name another place in --to",
}

OF_A_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
"""Errors of a file system that refuses one name, while it may accept others."""


class ExportError(ImgclfError):
    """The export cannot be made or continued; the message has the reason and the remedy."""


def cannot_write(error: OSError, path: Path, *, kept: str) -> ExportError:
    """Make the error for a place that cannot be written.

    Args:
        error: the system's error.
        path: the export's place.
        kept: a sentence on whether what was written is kept.
    """
    remedy = _REMEDIES.get(error.errno or 0, "name another place in --to")
    return ExportError(f"{path} cannot be written ({error.strerror}). {kept}", remedy)
