"""What the commands share: consoles, the path type, error messages and exit codes, the user name."""

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

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def given_path(given: str) -> Path:
    """Parse a path argument of the command line.

    Args:
        given: the argument as typed.

    Returns:
        The path; it need not exist.

    Raises:
        typer.BadParameter: it is empty, a symbolic link to itself, or does not exist and is written
            as a Windows path or a URL.
    """
    # pathlib reads "" as the current folder, but here it comes from an unset shell variable.
    if not given.strip():
        raise typer.BadParameter('it is empty; give a file or a folder ("." is the current one)')
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
    """Print an error message and its remedy on stderr.

    Args:
        message: what is wrong.
        code: exit code.
        remedy: what to do about it; an empty one is not printed.

    Returns:
        The ``typer.Exit`` for the caller to raise.
    """
    errors.print(f"[red]error:[/] {escape(message)}")
    if remedy:
        errors.print(f"    → {escape(remedy)}")
    return typer.Exit(code)


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command: errors that a user can act on become one message and exit code 1.

    Ctrl-C becomes a message and exit code 130. Any other error is a defect and keeps its traceback.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            known = error if isinstance(error, ImgclfError) else of_a_library(error)
            if known is None:
                raise
            raise fail(known.message, remedy=known.remedy) from error
        except KeyboardInterrupt:
            raise fail(
                "interrupted; completed work is kept, run it again to continue", 130
            ) from None

    return wrapped


def of_a_library(error: Exception) -> ImgclfError | None:
    """Translate an error of the operating system, SQLAlchemy or boto3 for the user.

    Returns:
        An error with a message and a remedy; ``None`` if there is no translation.
    """
    return disk_trouble(error) or aws_trouble(error)


def disk_trouble(error: Exception) -> ImgclfError | None:
    """Translate an error that means a full or read-only disk; ``None`` for any other.

    The store raises ``StoreUnwritable`` itself. Other writes in the home fail with these errors:
    folders, logs, and the SQLite databases of Dagster and MLflow.
    """
    what, remedy = "", None
    if isinstance(error, OSError) and error.errno is not None:
        what, remedy = f"{error.filename or 'a file'}: {error.strerror}", _DISK.get(error.errno)
    elif _is_a(error, "sqlalchemy.exc", "OperationalError"):
        detail = str(getattr(error, "orig", error))
        what = f"a database in the home failed: {detail}"
        remedy = next((cure for sign, cure in _SQLITE.items() if sign in detail), None)
    return ImgclfError(f"{what}. Completed work is kept", remedy) if remedy else None


def aws_trouble(error: Exception) -> ImgclfError | None:
    """Translate a boto3 error that no caller has handled; ``None`` for any other error."""
    if not _is_a(error, "botocore.exceptions", "BotoCoreError", "ClientError"):
        return None
    from resources.aws.errors import explained

    return ImgclfError(*explained(error, getattr(error, "operation_name", "AWS")))


def _is_a(error: Exception, module: str, *names: str) -> bool:
    # If the module is not imported, the error is not one of its own. Importing it would take 0.2 s.
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
    """Return the operating system's user name, the default signature of a decision."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a passwd entry
        return "unknown"
