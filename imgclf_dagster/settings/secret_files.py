"""Secrets in files that only their owner can read."""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from imgclf_dagster.settings.root import SettingsError

_OTHERS = 0o077


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner may enter, unless it exists; return its path."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def keep_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret in a file; if there is no file, create it with the result of ``make``.

    Concurrent calls agree on one secret, and readers never see a part of it.

    Raises:
        SettingsError: see ``read_secret``.
    """
    if not path.exists():
        private_folder(path.parent)
        part = path.with_name(f"{path.name}.part-{uuid.uuid4().hex[:8]}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(make() + "\n")
            with contextlib.suppress(FileExistsError):
                os.link(part, path)  # unlike a rename, it does not replace another process's file
        finally:
            part.unlink()
    return read_secret(path) or ""


def read_secret(path: Path) -> str | None:
    """Return the secret in a file; ``None`` if there is no file.

    Raises:
        SettingsError: other users can read the file, it is empty, or it cannot be read.
    """
    try:
        mode = path.stat().st_mode
        secret = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the secret in {path} cannot be read: {error}") from None
    if mode & _OTHERS:
        raise SettingsError(
            f"others may read the secret in {path}: chmod 600 {path}, and if they are not to be "
            "trusted, have a new one made in Label Studio"
        )
    if not secret:
        raise SettingsError(f"{path} is empty: write the secret into it, or delete it")
    return secret
