"""Images of a data set that a job cannot read: they are reported and left out."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from training.errors import PermanentFailure

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SHARE = 0.1
"""Largest share of a split's images to leave out. If more cannot be read, the cause is not single
images, and a model of the others would not be the wanted one."""

A_FEW = 3
"""Number of images that may be left out of a split of any size."""

_MOST_NAMED = 20
_REMEDY = (
    "`imgclf doctor --store --repair` builds damaged shards again; what is no whole picture: "
    "delete it from raw/ or ingest it again, and build the data set again"
)


class UnreadableImage(PermanentFailure):
    """An image of a data set cannot be read, though it could when the data set was built.

    Attributes:
        key: of the image below ``raw/``.
        reason: why, for people.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key} of the data set cannot be read: {reason}; {_REMEDY}")
        self.key, self.reason = key, reason


def require_these(data: bytes, sha256: str, key: str) -> None:
    """Check that bytes of a shard are those of the image that was indexed.

    Args:
        data: the bytes.
        sha256: of the image: 64 hex digits.
        key: of the image below ``raw/``, for the message.

    Raises:
        UnreadableImage: their SHA-256 is another.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UnreadableImage(key, "its bytes in the shard are not those that were indexed")


def require_few(aside: Mapping[str, str], total: int, what: str) -> None:
    """Check that only few images cannot be read.

    Args:
        aside: reasons of images that cannot be read, by key.
        total: number of images, these included.
        what: describes the images, for the message.

    Raises:
        PermanentFailure: all of them, or too many, cannot be read.
    """
    if len(aside) == total > 0 or len(aside) > max(A_FEW, MOST_SHARE * total):
        key, reason = next(iter(aside.items()))
        raise PermanentFailure(
            f"{len(aside)} of {total} {what} cannot be read, for example {key}: {reason}; {_REMEDY}"
        )


def tell(aside: Mapping[str, str], warn: "Callable[[str], object]") -> None:
    """Report the images that are left out (the first 20 by name), with the remedy."""
    for key, reason in list(aside.items())[:_MOST_NAMED]:
        warn(f"{key} is set aside: {reason}")
    if aside:
        is_are = "image is" if len(aside) == 1 else "images are"
        warn(f"{len(aside)} {is_are} set aside, and the rest is used; {_REMEDY}")


@contextmanager
def optional_picture(name: str, warn: "Callable[[str], object]") -> Iterator[None]:
    """Turn any exception of a block that draws a picture into a warning.

    Args:
        name: of the picture, for the warning.
        warn: called with the warning.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the numbers do not depend on it
        warn(f"{name} could not be drawn; all else is complete: {_error_text(error)}")


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
