"""Secrets in files that only their owner can read."""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from imgclf_dagster.settings.root import SettingsError

_OTHERS = 0o077


def private_folder(path: Path) -> Path:
    """Make a folder that nobody else may enter, unless it is there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def keep_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret at ``path``; what ``make`` returns becomes it if there is none.

    Two at once agree on one, and a reader never sees half of it.

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
                os.link(part, path)  # unlike a rename, leaves the other's alone
        finally:
            part.unlink()
    return read_secret(path) or ""


def read_secret(path: Path) -> str | None:
    """The secret at ``path``, ``None`` if there is no file.

    Raises:
        SettingsError: others may read the file too, it is empty, or it cannot be read.
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
