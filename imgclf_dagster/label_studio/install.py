"""Installation of Label Studio into an environment of its own, since its pins conflict with ours.

It is installed once for a user, shared by all homes, and needs no network afterwards. It consists
of an environment with the pinned version and a migrated database, which each new server copies (9 s
instead of 40 s).
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from filelock import FileLock

from errors.base import ImgclfError

VERSION = "1.23.2"
"""The version that imgclf is tested with."""

ENVIRONMENT_VARIABLE = "IMGCLF_LABEL_STUDIO_ENV"

ELSEWHERE = (
    f"name a folder with a ready environment in {ENVIRONMENT_VARIABLE}, or use any Label Studio "
    "that runs already: its address and token under [label_studio] in imgclf.toml"
)

MIGRATIONS = 396
"""Number of migrations, for the progress bar."""

QUIET = {
    "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
    "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_SENTRY_DSN": "",
    "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
    "LABEL_STUDIO_DJANGO_DB": "sqlite",
}
"""Variables that turn off telemetry. Label Studio reads names with this prefix first, so that HOST
or USERNAME of the shell have no effect."""

_INSTALLING = 0.6
"""Share of the progress bar for the packages (0 to 1); the rest is for the database."""

_INSTALL_TIMEOUT_S = 1800.0
_MIGRATION_TIMEOUT_S = 900.0
_POLL_S = 0.2

InstallProgress = Callable[[str, float], object]
"""Called with the present step and the finished share of the installation, in [0, 1]."""


class LabelStudioNotInstalled(ImgclfError, RuntimeError):
    """Label Studio cannot be installed or prepared; the message has the reason and the remedies."""


@dataclass(frozen=True)
class Installation:
    """An installed Label Studio.

    Attributes:
        python: interpreter of its environment.
        version: the installed version.
        database: migrated, empty SQLite database to copy.
    """

    python: Path
    version: str
    database: Path

    @property
    def command(self) -> tuple[str, ...]:
        """The command ``label-studio`` of its environment.

        Isolated (``-I``), so that neither our packages nor modules of the working folder are imported.
        """
        return (str(self.python), "-I", "-m", "label_studio.server")

    def starting(self, script: Path) -> tuple[str, ...]:
        """Return the command that runs ``script`` in the environment, isolated (``-I``)."""
        return (str(self.python), "-I", str(script))


def cache_dir() -> Path:
    """Return the cache folder that all homes of a user share."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "imgclf"


def environment_dir() -> Path:
    """Return ``IMGCLF_LABEL_STUDIO_ENV`` if set, else the environment in the user's cache."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return cache_dir() / f"label-studio-{VERSION}"


def found_version(environment: Path) -> str | None:
    """Return the version of Label Studio in an environment; ``None`` if there is none."""
    if not (environment / "bin" / "python").exists():
        return None
    for info in environment.glob("lib/python*/site-packages/label_studio-*.dist-info"):
        return info.name.removeprefix("label_studio-").removesuffix(".dist-info")
    return None


def find_installation() -> Installation | None:
    """Return the installation if it is complete, else ``None``. Changes nothing."""
    environment = environment_dir()
    version = found_version(environment)
    if version is None or not _database_of(version).exists():
        return None
    return Installation(environment / "bin" / "python", version, _database_of(version))


def install(report: InstallProgress = lambda what, share: None) -> Installation:
    """Install what is missing of Label Studio. An existing installation is left as it is.

    Args:
        report: called with the progress.

    Raises:
        LabelStudioNotInstalled: no network, no disk space, or a named environment without Label
            Studio.
    """
    # Each part is made under a temporary name and renamed, so that a killed installation leaves
    # nothing that looks complete; the lock makes a second installation wait.
    found = find_installation()
    if found is not None:
        return found
    environment = environment_dir()
    try:
        with _locked(cache_dir() / f"label-studio-{VERSION}"):
            version = found_version(environment) or _install_environment(environment, report)
            database = _database_of(version)
            if not database.exists():
                _make_database(environment / "bin" / "python", database, report)
    except OSError as error:
        raise LabelStudioNotInstalled(
            f"Label Studio cannot be installed in {environment}: {error}",
            f"make room and make it writable, or {ELSEWHERE}",
        ) from error
    return Installation(environment / "bin" / "python", version, database)


def _database_of(version: str) -> Path:
    return cache_dir() / f"label-studio-{version}.sqlite3"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        yield


def _install_environment(environment: Path, report: InstallProgress) -> str:
    """Create the environment and return the version of Label Studio in it."""
    if os.environ.get(ENVIRONMENT_VARIABLE) and environment.exists():
        raise LabelStudioNotInstalled(
            f"there is no Label Studio in {environment} ({ENVIRONMENT_VARIABLE}): install "
            f"label-studio=={VERSION} there, or unset the variable"
        )
    uv = _uv()
    with _beside(environment) as part:
        # Relocatable, since it is renamed.
        _run((uv, "venv", "--relocatable", "--python", sys.executable, str(part)), report)
        with as_file(files("imgclf_dagster.deployment") / "label-studio.txt") as requirements:
            python = str(part / "bin" / "python")
            options = ("--python", python, "--requirements", str(requirements))
            _run((uv, "pip", "install", *options), report)
        version = found_version(part)
        if version is None:
            raise LabelStudioNotInstalled(f"uv installed no Label Studio in {part}", ELSEWHERE)
        shutil.rmtree(environment, ignore_errors=True)  # an environment whose Python is gone
        part.replace(environment)
    return version


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``place``; remove those left by killed installations."""
    # The name is unique, because the uv of a killed installation may still be writing.
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f"{place.name}.part-*"):
        shutil.rmtree(left, ignore_errors=True)
    part = place.with_name(f"{place.name}.part-{uuid.uuid4().hex[:8]}")
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _uv() -> str:
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError as error:
        raise LabelStudioNotInstalled(
            f"uv, which installs Label Studio, is missing ({error})",
            f"pip install uv, or {ELSEWHERE}",
        ) from None


def _run(command: tuple[str, ...], report: InstallProgress) -> None:
    """Run uv and report its progress, estimated from its messages.

    Raises:
        LabelStudioNotInstalled: uv failed or took too long.
    """
    process = subprocess.Popen(
        command,
        env={**os.environ, "UV_NO_PROGRESS": "1", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    messages: list[str] = []
    patience = threading.Timer(_INSTALL_TIMEOUT_S, process.kill)
    patience.start()
    try:
        assert process.stderr is not None
        for line in process.stderr:
            messages.append(line.strip())
            report(line.strip(), _INSTALLING * _share(line))
        code = process.wait()
    finally:
        patience.cancel()
        process.kill()
        process.wait()
    if code != 0:
        raise LabelStudioNotInstalled(
            "Label Studio cannot be installed:\n  " + "\n  ".join(messages[-6:]),
            f"see that the package index is within reach, or {ELSEWHERE}",
        )


def _share(line: str) -> float:
    """Estimate the done share of the installation (0 to 1) from a line of uv."""
    shares = {"Resolved": 0.1, "Downloading": 0.2, "Downloaded": 0.6, "Prepared": 0.8}
    first = line.split(maxsplit=1)[0] if line.strip() else ""
    return 1.0 if first.startswith(("Installed", "+")) else shares.get(first, 0.0)


def _make_database(python: Path, database: Path, report: InstallProgress) -> None:
    """Create a migrated database without users; each server creates its own."""
    with _beside(database) as folder:
        folder.mkdir()
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                # Every command migrates first; this one does nothing else.
                (str(python), "-I", "-m", "label_studio.server", "version"),
                cwd=folder,
                env={**os.environ, **QUIET, "LABEL_STUDIO_BASE_DATA_DIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        made = folder / "label_studio.sqlite3"
        try:
            code = _follow(process, made, report)
        finally:
            process.kill()
            process.wait()
        if code != 0 or not made.exists():
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-6:]
            raise LabelStudioNotInstalled(
                f"Label Studio in {python.parents[1]} cannot create its database (exit code {code}):"
                "\n  " + "\n  ".join(last),
                f"delete that folder to install it again, or {ELSEWHERE}",
            )
        made.replace(database)


def _follow(
    process: "subprocess.Popen[bytes]", database: Path, report: InstallProgress
) -> int | None:
    """Report the share of finished migrations until the process ends.

    Returns:
        The exit code; ``None`` after the time limit.
    """
    deadline = time.monotonic() + _MIGRATION_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            done = min(1.0, _migrated(database) / MIGRATIONS)
            report("creating its database", _INSTALLING + (1 - _INSTALLING) * done)
    return None


def _migrated(database: Path) -> int:
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT count(*) FROM django_migrations").fetchone()
    except sqlite3.Error:  # not there yet, or just being written
        return 0
    return int(row[0])
