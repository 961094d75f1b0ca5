"""Lists that were not downloaded: pointer files of Git LFS and git-annex.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md,
https://git-annex.branchable.com/internals/pointer_file/. ``training.images.images`` detects
pointers of images; training containers do not contain this package, so both have their own
signatures.
"""

from labelling.sources.lists.list_format import (
    ListFile,
    ListReading,
    ListRefusedError,
    Surroundings,
)
from labelling.sources.reading import ReadingOptions

_LFS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_ANNEX = b"/annex/objects/"


class Pointers:
    """Refuses pointer files, with the command that downloads the list."""

    name = "a pointer of Git LFS"

    def read(
        self, file: ListFile, options: ReadingOptions, source: Surroundings
    ) -> ListReading | None:
        """Refuse a pointer of Git LFS or git-annex.

        Args:
            file: the list: its name and its bytes.
            options: what the user decided; not used.
            source: the files around the list; not used.

        Returns:
            ``None`` if the file is not a pointer.

        Raises:
            ListRefusedError: the file is a pointer; the message says how to get the list.
        """
        if not is_pointer(file.data):
            return None
        lfs = file.data.startswith(_LFS)
        what, command = ("Git LFS", "git lfs pull") if lfs else ("git-annex", "git annex get")
        raise ListRefusedError(
            f"{file.name}: a pointer of {what}, not the list itself; run {command} there"
        )


def is_pointer(data: bytes) -> bool:
    """Whether a file is the pointer of a file that was not downloaded."""
    return data.startswith((*_LFS, _ANNEX))
