"""What the commands share: how they speak, how they fail, and who is asking."""

import errno
import functools
import getpass
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

from errors.base import ImgclfError
from imgclf_dagster.cli.foreign_paths import foreign_path
from imgclf_dagster.console import SafeConsole, escape

P = ParamSpec("P")
R = TypeVar("R")

console = SafeConsole(highlight=False, soft_wrap=True)
errors = SafeConsole(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for a script to read.")]


def given_path(given: str) -> Path:
    """The path that was given.

    Raises:
        typer.BadParameter: it is empty, a link to itself, a path of Windows, or an address.
    """
    # pathlib takes "" for the present folder; it is an unset variable of the shell.
    if not given.strip():
        raise typer.BadParameter('it is empty; give a file or a folder ("." is the present one)')
    path = Path(given)
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise typer.BadParameter(f"{given} is a link to itself") from None
        if flaw := foreign_path(given):
            raise typer.BadParameter(flaw) from None
    return path


def fail(message: str, code: int = 1, *, remedy: str = "") -> typer.Exit:
    """Print what is wrong, and what to do about it, on stderr.

    Args:
        message: what is wrong.
        code: the exit code.
        remedy: what to do about it; nothing is printed for an empty one.

    Returns:
        The exit to raise.
    """
    errors.print(f"[red]error:[/] {escape(message)}")
    if remedy:
        errors.print(f"    → {escape(remedy)}")
    return typer.Exit(code)


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the errors that a user can do something about into one message and exit code 1.

    Anything else is a defect of ours and keeps its traceback.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            told = error if isinstance(error, ImgclfError) else of_a_library(error)
            if told is None:
                raise
            raise fail(told.message, remedy=told.remedy) from error
        except KeyboardInterrupt:
            raise fail(
                "interrupted; what was complete is kept, run it again to go on", 130
            ) from None

    return wrapped


def of_a_library(error: Exception) -> ImgclfError | None:
    """Say what a user can do about an error of the system, SQLAlchemy or boto3; else ``None``."""
    return disk_trouble(error) or aws_trouble(error)


def disk_trouble(error: Exception) -> ImgclfError | None:
    """What to tell of an error that only says that a disk is full or read-only; else ``None``.

    The store says so itself (``StoreUnwritable``). Everything else in the home may run into it,
    too: folders, logs, and the SQLite databases of Dagster and MLflow.
    """
    what, remedy = "", None
    if isinstance(error, OSError) and error.errno is not None:
        what, remedy = f"{error.filename or 'a file'}: {error.strerror}", _DISK.get(error.errno)
    elif _is_a(error, "sqlalchemy.exc", "OperationalError"):
        said = str(getattr(error, "orig", error))
        what = f"a database in the home: {said}"
        remedy = next((cure for sign, cure in _SQLITE.items() if sign in said), None)
    return ImgclfError(f"{what}. What was complete is kept", remedy) if remedy else None


def aws_trouble(error: Exception) -> ImgclfError | None:
    """What to tell of a refusal by AWS that reached us as it was; else ``None``."""
    if not _is_a(error, "botocore.exceptions", "BotoCoreError", "ClientError"):
        return None
    from resources.aws.errors import explained

    return ImgclfError(*explained(error, getattr(error, "operation_name", "AWS")))


def _is_a(error: Exception, module: str, *names: str) -> bool:
    # Nobody can have raised an error of a module that is not imported; importing costs 0.2 s.
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, tuple(getattr(loaded, name) for name in names))


_SPACE = "free some space, or move the home to another disk (IMGCLF_HOME)"
_WRITABLE = "make the home writable, or name another one (IMGCLF_HOME)"
_DISK = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
}
_SQLITE = {
    "disk is full": _SPACE,
    "disk I/O error": f"is the disk full? Then {_SPACE}",
    "readonly database": _WRITABLE,
    "unable to open database file": _WRITABLE,
}


def current_user() -> str:
    """The name a decision is signed with when none is given."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a passwd entry
        return "unknown"
