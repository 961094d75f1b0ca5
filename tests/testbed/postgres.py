"""A real Postgres of Debian's package, on a free loopback port, in a folder that is thrown away."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import WAIT_S
from tests.ports import free_port

USER = "imgclf"
PASSWORD = "p@ss/word:1"  # one that has to be quoted in a URL
START_S = round(WAIT_S)

CONFIGURATION = """
listen_addresses = '127.0.0.1'
ssl = on
# Nothing here has to survive a power cut.
fsync = off
full_page_writes = off
"""


@dataclass
class Postgres:
    """One server. Stopping it drops every connection, as a failover of RDS does."""

    programs: Path
    folder: Path
    port: int
    account: str | None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder}"
        self._control("start", "-w", "-o", options, "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """Stop it at once; what was committed stays."""
        self._control("stop", "-m", "fast", "-w")

    def database(self) -> dict[str, str]:
        """A new, empty database, as the variables of ``dagster-aws.yaml`` name it."""
        name = f"dagster_{uuid.uuid4().hex[:12]}"
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            connection.cursor().execute(f'CREATE DATABASE "{name}"')
        return {
            "DAGSTER_POSTGRES_USER": USER,
            "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_DB": name,
        }

    def connect(self, database: str = "postgres"):
        """A connection of psycopg2's, with TLS."""
        import psycopg2

        return psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            sslmode="require",
        )

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-t", str(START_S), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        # Postgres refuses to run as root; in a container that is who we are.
        subprocess.run(
            [str(self.programs / program), *arguments],
            user=self.account,
            cwd=self.folder,
            check=True,
            timeout=2 * START_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def create(self) -> None:
        """Make the cluster of databases, with a password and a certificate of its own."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        key, certificate = self.folder / "server.key", self.folder / "server.crt"
        write_certificate(key, certificate)
        for path in (self.folder, secret, key, certificate):
            if self.account:
                shutil.chown(path, self.account)
        data = self.folder / "data"
        self._run(
            "initdb", "-D", str(data), "-U", USER, "-A", "scram-sha-256",
            "--pwfile", str(secret), "-E", "UTF8", "--no-sync",
        )  # fmt: skip
        lines = f"{CONFIGURATION}ssl_key_file = '{key}'\nssl_cert_file = '{certificate}'\n"
        with (data / "postgresql.conf").open("a") as file:
            file.write(lines)


def write_certificate(key: Path, certificate: Path) -> None:
    """A self-signed certificate for 127.0.0.1, good for a day."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)


def programs() -> Path | None:
    """The folder of the newest ``initdb``: Debian keeps it off the path."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(path.parts[-3]), default=None)
    on_path = shutil.which("initdb")
    return newest.parent if newest else Path(on_path).parent if on_path else None


def unprivileged() -> str | None:
    """The account that Postgres runs under; None if it is ours."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server for the time of a ``with``; the test is skipped where Postgres is not installed."""
    found = programs()
    if found is None:
        pytest.skip("Postgres is not installed: apt-get install postgresql")
    port = free_port()
    # Not below pytest's own folder, which only root may enter; short, for the socket's path.
    folder = Path(tempfile.mkdtemp(prefix="imgclf-pg-", dir="/tmp"))
    server = Postgres(found, folder, port, unprivileged())
    try:
        server.create()
        server.start()
        yield server
    finally:
        with contextlib.suppress(subprocess.SubprocessError):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
