"""What can go wrong with a store, and the remedies for what the operating system says of it."""

import re

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)

_UNWRITABLE = {
    "28": "the disk is full: free some space",
    "122": "the disk quota is used up: free some space",
    "27": "the file is larger than this process or file system may write",
    "30": "the file system is read-only: mount it writable",
    "13": "permission denied: give this user write access",
    "1": "the operation is not permitted: give this user write access",
}
"""Remedies by errno, for errors that obstore gives as text: ``(os error 28)``."""

_BAD_NAME = {"20": "it lies below an object", "36": "a name in it is too long for the file system"}
"""Flaws of a key that only the file system knows, by errno."""


class StoreError(Exception):
    """The store could not do what was asked; the message names the place and the reason."""


class StoreMissing(StoreError):  # noqa: N818 - a state, as its callers say it
    """There is no store at the URL: never set up, unmounted, or mistyped."""


class StoreUnwritable(StoreError):  # noqa: N818 - a state, as its callers say it
    """The store can be reached and does not let itself be written (disk full, read-only, …)."""


class KeyMissing(StoreError):  # noqa: N818 - a state, as its callers say it
    """No object has the key."""


class KeyExists(StoreError):  # noqa: N818 - a state, as its callers say it
    """An object has the key already; keys are create-only."""


class InvalidKey(StoreError, ValueError):  # noqa: N818 - a state, as its callers say it
    """A string that cannot be a key in every store."""


def told(
    error: BaseError | OSError, key: str, store: str, place: str, *, writing: bool
) -> StoreError:
    """obstore's error as one of ours: its own text names neither the store nor a remedy.

    Args:
        error: what obstore or the operating system raised.
        key: what it was about.
        store: the store's URL.
        place: the object's address, for people.
        writing: whether the object was to be written.
    """
    if isinstance(error, FileNotFoundError):
        return KeyMissing(f"{key} is not in the store {store}")
    if isinstance(error, AlreadyExistsError):
        return KeyExists(key)
    text = str(error).partition("\n")[0]
    found = re.search(r"os error (\d+)", text)
    errno = found[1] if found else str(getattr(error, "errno", ""))
    if errno in _BAD_NAME:
        return InvalidKey(f"key {key!r} cannot be used: {_BAD_NAME[errno]}")
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if writing and (denied or errno in _UNWRITABLE):
        remedy = _UNWRITABLE.get(errno, "check the credentials and the bucket's policy")
        return StoreUnwritable(f"{place} cannot be written, {remedy} ({text})")
    return StoreError(f"{place}: {text}")
