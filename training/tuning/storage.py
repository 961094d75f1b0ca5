"""Where the study of a search is kept: a SQLite file, or a database of the user's."""

import os
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from object_store.durable import create_file
from training.errors import PermanentFailure

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import URL

STORAGE = "IMGCLF_TUNING_STORAGE"
"""Environment variable with the SQLAlchemy URL of a database for the studies of searches.

A variable, since a URL may have a password, and hyperparameters are written to logs and to MLflow.
"""

CONNECT_S = 10
"""Seconds after which a PostgreSQL server that does not answer counts as unreachable."""


_WAITS_S = (0.3, 0.6, 1.2, 2.4)
"""Seconds before each further attempt to create Optuna's tables."""

STUDY_NAME = "study-name"
"""File in the checkpoint folder with the name of the job's study in the database."""


def storage_url() -> str:
    """Return the URL that the environment names; empty: a SQLite file is used."""
    return os.environ.get(STORAGE, "").strip()


def study_name(folder: Path, job: str) -> str:
    """Return the name of a job's study in a database, which its checkpoint folder keeps.

    Args:
        folder: of the job's checkpoints.
        job: its name.
    """
    # The job's name alone is a hash: that of another project with the same data set is the same.
    create_file(folder, STUDY_NAME, f"{job}-{uuid.uuid4().hex[:12]}".encode(), durable=True)
    return (folder / STUDY_NAME).read_text(encoding="utf-8")


def open_storage(url: str) -> "optuna.storages.RDBStorage":
    """Connect to a database for studies, and create Optuna's tables if there are none.

    Args:
        url: of SQLAlchemy, as https://docs.sqlalchemy.org/en/20/core/engines.html describes.

    Raises:
        PermanentFailure: the URL is none, its driver is not installed, or the database cannot be used.
            The message does not have the password.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    parsed = _parsed(url)
    try:
        return _opened(parsed)
    except ImportError as error:
        raise _unusable(
            parsed, f"{error}; install the driver, for PostgreSQL psycopg2-binary"
        ) from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        reason = str(error.__cause__ or error).split("\n(Background")[0].strip()
        raise _unusable(parsed, reason) from None


def _opened(url: "URL") -> "optuna.storages.RDBStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    # The server may have been restarted between two trials.
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = {"connect_timeout": CONNECT_S}
    for wait_s in (*_WAITS_S, None):
        try:
            return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=options)
        except (IntegrityError, ProgrammingError):
            # Another job may be creating the tables of a new database; Optuna takes no lock for it.
            if wait_s is None:
                raise
            time.sleep(wait_s)
    raise AssertionError  # the last attempt returns or raises


def shown_url(url: str) -> str:
    """Return a URL without its password.

    Raises:
        PermanentFailure: it is no URL of SQLAlchemy.
    """
    return _without_secrets(_parsed(url))


def _without_secrets(url: "URL") -> str:
    # SQLAlchemy hides the password before the host only; options may have one, too.
    return url.set(query={}).render_as_string(hide_password=True)


def _parsed(url: str) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise PermanentFailure(
            f"{STORAGE} is no URL of a database; it must be like "
            "postgresql://USER:PASSWORD@HOST:5432/DATABASE, with signs such as @ and / in the password "
            "percent-encoded. Without the variable, the search is kept in a SQLite file"
        ) from None
    # SQLAlchemy 2.1 takes a plain postgresql: for psycopg 3.
    if parsed.drivername == "postgresql" and not find_spec("psycopg") and find_spec("psycopg2"):
        return parsed.set(drivername="postgresql+psycopg2")
    return parsed


def _unusable(url: "URL", reason: str) -> PermanentFailure:
    for secret in _secrets(url):
        reason = reason.replace(secret, "***")
    return PermanentFailure(
        f"the database for searches {_without_secrets(url)} cannot be used: "
        f"{reason[:400]}. Correct {STORAGE}, or unset it: then the search is kept in a SQLite file"
    )


def _secrets(url: "URL") -> list[str]:
    """Return what no message may have, as it is and as it is in a URL; the longest first."""
    given = [str(url.password or "")]
    for name, value in url.query.items():
        if "pass" in name.lower() or name.lower() in {"pwd", "token", "secret"}:
            given += [value] if isinstance(value, str) else value
    forms = {form for one in given for form in (one, quote(one, safe=""), quote_plus(one))}
    return sorted(forms - {""}, key=len, reverse=True)
