"""Why an export cannot be made, or not go on."""

import errno
from pathlib import Path

from errors.base import ImgclfError

_SPACE = "free some space, or name another place in --to"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "this file system takes no file as large; export to a folder, or another disk",
    errno.EROFS: "the file system is read-only: name another place in --to",
    errno.EACCES: "make it writable for this user, or name another place in --to",
    errno.EPERM: "make it writable for this user, or name another place in --to",
    errno.EIO: "the disk fails: name another place in --to",
    errno.ENOTDIR: "a part of the path is a file: name another place in --to",
}

OF_A_NAME = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
"""What a file system says of a name that it does not take; another name it may take."""


class ExportError(ImgclfError):
    """The export cannot be made, or not go on; the message says why and what to do."""


def cannot_write(error: OSError, path: Path, *, kept: str) -> ExportError:
    """What to tell of a place that cannot be written.

    Args:
        error: what the system says.
        path: the export's place.
        kept: what became of what was written, as a sentence.
    """
    remedy = _REMEDIES.get(error.errno or 0, "name another place in --to")
    return ExportError(f"{path} cannot be written ({error.strerror}). {kept}", remedy)
