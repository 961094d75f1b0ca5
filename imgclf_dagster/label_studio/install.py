"""Label Studio's own environment: it pins packages that ours has otherwise, so it lives apart.

Installed once for a user, shared by all homes, and good without a network from then on: an
environment with the pinned version, and a database that is migrated already, from which each new
server begins (9 s instead of 40).
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
"""The version that this product is tested with."""

ENVIRONMENT_VARIABLE = "IMGCLF_LABEL_STUDIO_ENV"

ELSEWHERE = (
    f"name a folder with a ready environment in {ENVIRONMENT_VARIABLE}, or use any Label Studio "
    "that runs already: its address and token under [label_studio] in imgclf.toml"
)

MIGRATIONS = 396
"""Rows that ``django_migrations`` has at the end; only the progress bar looks at it."""

QUIET = {
    "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
    "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_SENTRY_DSN": "",
    "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
    "LABEL_STUDIO_DJANGO_DB": "sqlite",
}
"""Nothing calls home. Its variables count with this prefix first, so that a HOST or USERNAME that
the shell has set is nothing to it."""

_INSTALLING = 0.6
"""Share of the time that the packages take; the database takes the rest."""

_INSTALL_TIMEOUT_S = 1800.0
_MIGRATION_TIMEOUT_S = 900.0
_POLL_S = 0.2

Told = Callable[[str, float], object]
"""Told what is being done, and which share of it is (0 to 1)."""


class LabelStudioNotInstalled(ImgclfError, RuntimeError):  # noqa: N818 - a state, as its callers say it
    """Label Studio cannot be installed or prepared; the message says why, and the ways out."""


@dataclass(frozen=True)
class Installation:
    """Label Studio, ready to be started.

    Attributes:
        python: the interpreter of its environment.
        version: as found there.
        database: migrated and empty, to be copied.
    """

    python: Path
    version: str
    database: Path

    @property
    def command(self) -> tuple[str, ...]:
        """What ``label-studio`` would be, if its environment were on the path.

        Isolated (``-I``): neither our packages nor a folder's modules may get in.
        """
        return (str(self.python), "-I", "-m", "label_studio.server")

    def starting(self, script: Path) -> tuple[str, ...]:
        """What runs ``script`` there, isolated as well: its folder does not count."""
        return (str(self.python), "-I", str(script))


def cache_dir() -> Path:
    """Where what is shared by all homes of a user lies."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser().absolute() / "imgclf"


def environment_dir() -> Path:
    """``IMGCLF_LABEL_STUDIO_ENV`` if set, else the user's own."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return cache_dir() / f"label-studio-{VERSION}"


def found_version(environment: Path) -> str | None:
    """Version of Label Studio in an environment, ``None`` if it is not there."""
    if not (environment / "bin" / "python").exists():
        return None
    for info in environment.glob("lib/python*/site-packages/label_studio-*.dist-info"):
        return info.name.removeprefix("label_studio-").removesuffix(".dist-info")
    return None


def find_installation() -> Installation | None:
    """What ``install`` left behind, without changing anything; ``None`` if there is none."""
    environment = environment_dir()
    version = found_version(environment)
    if version is None or not _database_of(version).exists():
        return None
    return Installation(environment / "bin" / "python", version, _database_of(version))


def install(tell: Told = lambda what, share: None) -> Installation:
    """Have Label Studio on this machine. What is there already is not touched.

    Each part is made beside its place and renamed, so that a killed install leaves nothing that
    looks like one; a lock keeps a second one waiting.

    Args:
        tell: told of the progress.

    Raises:
        LabelStudioNotInstalled: no network, no disk, or a named environment without Label Studio.
    """
    found = find_installation()
    if found is not None:
        return found
    environment = environment_dir()
    try:
        with _locked(cache_dir() / f"label-studio-{VERSION}"):
            version = found_version(environment) or _install_environment(environment, tell)
            database = _database_of(version)
            if not database.exists():
                _make_database(environment / "bin" / "python", database, tell)
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


def _install_environment(environment: Path, tell: Told) -> str:
    """Make the environment; returns the version in it."""
    if os.environ.get(ENVIRONMENT_VARIABLE) and environment.exists():
        raise LabelStudioNotInstalled(
            f"there is no Label Studio in {environment} ({ENVIRONMENT_VARIABLE}): install "
            f"label-studio=={VERSION} there, or unset the variable"
        )
    uv = _uv()
    with _beside(environment) as part:
        # Relocatable, since it is renamed.
        _run((uv, "venv", "--relocatable", "--python", sys.executable, str(part)), tell)
        with as_file(files("imgclf_dagster.deployment") / "label-studio.txt") as requirements:
            python = str(part / "bin" / "python")
            options = ("--python", python, "--requirements", str(requirements))
            _run((uv, "pip", "install", *options), tell)
        version = found_version(part)
        if version is None:
            raise LabelStudioNotInstalled(f"uv installed no Label Studio in {part}", ELSEWHERE)
        shutil.rmtree(environment, ignore_errors=True)  # one whose Python is gone
        part.replace(environment)
    return version


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A path beside ``place`` to make it at; what others that were killed left there is removed.

    Each has a name of its own: the uv of a killed install may go on for a while.
    """
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


def _run(command: tuple[str, ...], tell: Told) -> None:
    """Run uv and tell what it says: how far it is, it says in words only."""
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
    said: list[str] = []
    patience = threading.Timer(_INSTALL_TIMEOUT_S, process.kill)
    patience.start()
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.strip())
            tell(line.strip(), _INSTALLING * _share(line))
        code = process.wait()
    finally:
        patience.cancel()
        process.kill()
        process.wait()
    if code != 0:
        raise LabelStudioNotInstalled(
            "Label Studio cannot be installed:\n  " + "\n  ".join(said[-6:]),
            f"see that the package index is within reach, or {ELSEWHERE}",
        )


def _share(line: str) -> float:
    """How much of an installation is done, by uv's words."""
    shares = {"Resolved": 0.1, "Downloading": 0.2, "Downloaded": 0.6, "Prepared": 0.8}
    first = line.split(maxsplit=1)[0] if line.strip() else ""
    return 1.0 if first.startswith(("Installed", "+")) else shares.get(first, 0.0)


def _make_database(python: Path, database: Path, tell: Told) -> None:
    """Migrate an empty database, without users: those are each server's own."""
    with _beside(database) as folder:
        folder.mkdir()
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                # Any command migrates first; this one does nothing else.
                (str(python), "-I", "-m", "label_studio.server", "version"),
                cwd=folder,
                env={**os.environ, **QUIET, "LABEL_STUDIO_BASE_DATA_DIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        made = folder / "label_studio.sqlite3"
        try:
            code = _follow(process, made, tell)
        finally:
            process.kill()
            process.wait()
        if code != 0 or not made.exists():
            last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-6:]
            raise LabelStudioNotInstalled(
                f"Label Studio in {python.parents[1]} cannot make its database (exit code {code}):"
                "\n  " + "\n  ".join(last),
                f"delete that folder to install it again, or {ELSEWHERE}",
            )
        made.replace(database)


def _follow(process: "subprocess.Popen[bytes]", database: Path, tell: Told) -> int | None:
    """Tell how many migrations are done until the process ends; None if it takes too long."""
    deadline = time.monotonic() + _MIGRATION_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            done = min(1.0, _migrated(database) / MIGRATIONS)
            tell("making its database", _INSTALLING + (1 - _INSTALLING) * done)
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
