"""What the commands share: how they speak, how they fail, and who is asking."""

import errno
import functools
import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer

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


def fail(message: str, code: int = 1) -> typer.Exit:
    """Say what is wrong on stderr; the exit to raise."""
    errors.print(f"[red]error:[/] {escape(message)}")
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
            expected = isinstance(error, _expected())
            message = str(error) if expected else disk_trouble(error) or aws_trouble(error)
            if message is None:
                raise
            raise fail(message) from error
        except KeyboardInterrupt:
            raise fail(
                "interrupted; what was complete is kept, run it again to go on", 130
            ) from None

    return wrapped


def _expected() -> tuple[type[Exception], ...]:
    """Errors whose message is all that a user needs. Their modules take half a second to import."""
    from imgclf_dagster.decisions import DecisionError
    from imgclf_dagster.export.errors import ExportError
    from imgclf_dagster.label_studio_environment import LabelStudioNotInstalled
    from imgclf_dagster.runner import RunInProgress
    from imgclf_dagster.settings import SettingsError
    from labelling.exports.contents import CannotHold
    from labelling.sources.containers import SourceError
    from resources.aws.stack_errors import StackError
    from resources.aws.stage_files import StageFileError
    from resources.endpoint_host import DeploymentFailed, HostUnavailable
    from resources.model_registry import RegistryError
    from resources.store_errors import StoreError
    from serving.launch import HostNotStarted

    return (
        SettingsError,
        SourceError,
        ExportError,
        CannotHold,
        StoreError,
        RunInProgress,
        DecisionError,
        RegistryError,
        HostUnavailable,
        HostNotStarted,
        DeploymentFailed,
        StackError,
        StageFileError,
        LabelStudioNotInstalled,
    )


def disk_trouble(error: BaseException) -> str | None:
    """What to tell of an error that only says that a disk is full or read-only; else ``None``.

    The store says so itself (``StoreUnwritable``). Everything else in the home may run into it,
    too: folders, logs, and the SQLite databases of Dagster and MLflow.
    """
    from sqlalchemy.exc import OperationalError

    remedy = None
    if isinstance(error, OSError) and error.errno is not None:
        what, remedy = f"{error.filename or 'a file'}: {error.strerror}", _DISK.get(error.errno)
    elif isinstance(error, OperationalError):
        what = f"a database in the home: {error.orig}"
        remedy = next((cure for sign, cure in _SQLITE.items() if sign in str(error.orig)), None)
    return f"{what}; {remedy}. What was complete is kept" if remedy else None


def aws_trouble(error: BaseException) -> str | None:
    """What to tell of a refusal by AWS that reached us as it was; else ``None``."""
    from botocore.exceptions import BotoCoreError, ClientError

    from resources.aws.errors import told

    if not isinstance(error, BotoCoreError | ClientError):
        return None
    return told(error, getattr(error, "operation_name", "AWS"))


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
